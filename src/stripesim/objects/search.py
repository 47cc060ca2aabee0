"""`/v1/customers/search`, `/v1/payment_intents/search`, `/v1/charges/search`.

Documented (docs.stripe.com/search, /api/pagination/search): newest first, `page` continues where
`next_page` ended, `total_count` is there when it is expanded and exact up to 10,000. Search lags
behind; an object is matched as the index knows it and shown as it is.
"""

import base64
import binascii
import json
from typing import Any

from stripesim import guesses
from stripesim.objects.listing import read_limit
from stripesim.store.search_index import NEVER, Candidates
from stripesim.wire.errors import invalid_request
from stripesim.wire.search_query import FIELDS, NUMERIC, Clause, Query, parse
from stripesim.world import Call

Json = dict[str, Any]
OLDEST_VERSION = "2020-08-27"  # documented
COUNTED = 10_000
SQL_OPERATORS = {":": "=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
COLUMNS = ("customer", "created")  # fields with a column, whose values are compared as they are


def customers(call: Call, params: Json) -> Json:
    return _search(call, params, "customers")


def payment_intents(call: Call, params: Json) -> Json:
    return _search(call, params, "payment_intents")


def charges(call: Call, params: Json) -> Json:
    return _search(call, params, "charges")


def _search(call: Call, params: Json, resource: str) -> Json:
    if call.version[:10] < OLDEST_VERSION:
        raise invalid_request(guesses.SEARCH_VERSION_MESSAGE)
    query = parse(resource, params["query"])
    limit = read_limit(params)
    before = _read_page(params.get("page"))
    found: list[tuple[int, Json]] = []
    for seq, obj in _matches(call, resource, query, before):
        found.append((seq, obj))
        if len(found) > limit:
            break
    shown = found[:limit]
    next_page = _page_after(shown[-1]) if len(found) > limit else None
    return {
        "object": "search_result",
        "data": [obj for _, obj in shown],
        "has_more": next_page is not None,
        "next_page": next_page,
        "url": f"/v1/{resource}/search",
        "_sim": {"resource": resource, "query": query},
    }


def total_count(call: Call, result: Json) -> int:
    """Of all pages; counting ends at 10,000."""
    resource, query = result["_sim"]["resource"], result["_sim"]["query"]
    count = 0
    for _ in _matches(call, resource, query, None):
        count += 1
        if count == COUNTED:
            break
    return count


def _matches(call: Call, resource: str, query: Query, before: tuple[int, int] | None) -> Any:
    condition, values = _narrowing(resource, query)
    wanted = Candidates(resource.removesuffix("s"), condition, values, before)
    for seq, obj, seen in call.world.search.scan(wanted, call.world.search_dice):
        if query.holds(seen):
            yield seq, obj


def _narrowing(resource: str, query: Query) -> tuple[str, tuple[Any, ...]]:
    """SQL that every match fulfils; none when a clause cannot be told in SQL and has to count."""
    parts = [_narrow(FIELDS[resource], clause) for clause in query.clauses]
    told = [part for part in parts if part is not None]
    if not told or (query.is_any and len(told) < len(parts)):
        return "", ()
    joint = " OR " if query.is_any else " AND "
    values = tuple(value for _, value in told)
    return f"({joint.join(sql for sql, _ in told)})", values


def _narrow(kinds: dict[str, str], clause: Clause) -> tuple[str, Any] | None:
    if clause.is_negated or clause.value is None:
        return None
    if kinds[clause.field] == NUMERIC:
        column = clause.field if clause.field in COLUMNS else _json_path(clause.field)
        return f"{column} {SQL_OPERATORS[clause.operator]} ?", clause.value
    text = str(clause.value)
    if not text.isascii():
        return None  # SQLite's lower() knows ASCII only
    return "instr(lower(body), ?) > 0", json.dumps(text)[1:-1]


def _json_path(field: str) -> str:
    return f"json_extract(body, '$.{field}')"


def _page_after(last: tuple[int, Json]) -> str:
    seq, obj = last
    return base64.urlsafe_b64encode(f"{obj['created']}:{seq}".encode()).decode().rstrip("=")


def _read_page(page: str | None) -> tuple[int, int] | None:
    if not page:
        return None
    try:
        text = base64.urlsafe_b64decode(page + "=" * (-len(page) % 4)).decode()
        created, seq = (int(part) for part in text.split(":"))
    except (binascii.Error, ValueError, UnicodeError) as error:
        raise invalid_request(guesses.SEARCH_PAGE_MESSAGE, param="page") from error
    if not 0 <= created < NEVER or not 0 <= seq < NEVER:
        raise invalid_request(guesses.SEARCH_PAGE_MESSAGE, param="page")
    return created, seq
