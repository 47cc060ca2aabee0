"""Lists, newest first: `limit` (1 to 100, 10), cursors, `created[gte]` and its like.

Recorded (stripe_world, 2026-08): a list takes `limit=0` for 1 and `limit=101` for 100.
"""

from typing import Any

from stripesim.store.objects import PageQuery
from stripesim.wire.errors import invalid_request, missing_in_body
from stripesim.world import Call

Json = dict[str, Any]
NOUNS = {
    "payment_method": "PaymentMethod",
    "setup_intent": "setupintent",
    "balance_transaction": "balance transaction",
    "webhook_endpoint": "webhook endpoint",
    "setup_attempt": "setup attempt",
}
MAX_LIMIT = 100
NOT_HERE = ("customer_account", "test_clock")  # filters by what the simulator does not have
BOTH_CURSORS = "Received both starting_after and ending_before parameters. Please pass in only one."


def list_page(
    call: Call,
    kind: str,
    url: str,
    params: Json,
    filters: dict[str, str] | None = None,
    *,
    condition: str = "",
) -> Json:
    """`{"object":"list","data":[…],"has_more":…,"url":…}`. Raises StripeError 400."""
    reject_unknown_cursor(call, kind, params)
    for name in NOT_HERE:
        if params.get(name):
            raise missing_in_body(name, params[name], name)
    found, has_more = call.world.objects.page(
        PageQuery(
            kind=kind,
            limit=min(max(_limit(params), 1), MAX_LIMIT),
            filters=filters or {},
            created=read_created(params.get("created")),
            starting_after=params.get("starting_after"),
            ending_before=params.get("ending_before"),
            condition=condition,
        )
    )
    return {"object": "list", "data": found, "has_more": has_more, "url": url}


def reject_unknown_cursor(call: Call, kind: str, params: Json) -> None:
    if params.get("starting_after") and params.get("ending_before"):
        raise invalid_request(BOTH_CURSORS)
    for name in ("starting_after", "ending_before"):
        cursor = params.get(name)
        if cursor and call.world.objects.position(kind, cursor) is None:
            raise missing_in_body(NOUNS.get(kind, kind), cursor, name)


def _limit(params: Json) -> int:
    limit = params.get("limit")
    return 10 if limit in (None, "") else int(limit)


def read_limit(params: Json) -> int:
    """The limit of a search. Raises StripeError 400 beyond 1 and 100, where a list clamps."""
    value = _limit(params)
    if not 1 <= value <= MAX_LIMIT:
        bound = "greater than or equal to 1" if value < 1 else "less than or equal to 100"
        raise invalid_request(
            f"This value must be {bound}.", code="parameter_invalid_integer", param="limit"
        )
    return value


def read_created(value: Any) -> dict[str, int]:
    """`created=1` or `created[gte]=1`, as {"gte": 1}."""
    if value in (None, ""):
        return {}
    if isinstance(value, dict):
        return {name: int(at) for name, at in value.items() if name in ("gt", "gte", "lt", "lte")}
    if not str(value).isdigit():
        raise invalid_request(
            f"Invalid integer: {value}", code="parameter_invalid_integer", param="created"
        )
    return {"gte": int(value), "lte": int(value)}
