"""The states of what pays, saves, pays back and is disputed. Two tables, and one door.

Read a row of MOVES aloud: "a payment_intent that is requires_capture, when captured, becomes
succeeded". `move` is the only place that writes the status of such an object, and it refuses what
no row allows. A row of CALLS says in which states Stripe takes an API call; the order of the states
is the order in which Stripe's refusals name them.

The statuses are those that the SDK's types list. A charge has fewer of them than states, so its
states are named here and stand for several fields (CHARGE_FIELDS).
"""

from typing import Any

Json = dict[str, Any]
NEW = "(new)"
INTENT_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
INQUIRY_OPEN = ("warning_needs_response", "warning_under_review")
DISPUTE_OPEN = ("needs_response", "under_review", *INQUIRY_OPEN)

# state or states                   when                        becomes
PAYMENT_INTENT = (
    (NEW,                           "created",                  "requires_payment_method"),
    (INTENT_OPEN,                   "method_named",             "requires_confirmation"),
    (INTENT_OPEN,                   "method_removed",           "requires_payment_method"),
    (INTENT_OPEN,                   "authentication_asked",     "requires_action"),
    ("requires_action",             "authentication_passed",    "requires_confirmation"),
    (INTENT_OPEN,                   "attempt_failed",           "requires_payment_method"),
    (INTENT_OPEN,                   "money_held",               "requires_capture"),
    (INTENT_OPEN,                   "money_taken",              "succeeded"),
    ("requires_capture",            "captured",                 "succeeded"),
    ((*INTENT_OPEN, "requires_capture"), "canceled",            "canceled"),
)  # fmt: skip
SETUP_INTENT = (
    (NEW,                           "created",                  "requires_payment_method"),
    (INTENT_OPEN,                   "method_named",             "requires_confirmation"),
    (INTENT_OPEN,                   "authentication_asked",     "requires_action"),
    (INTENT_OPEN,                   "attempt_failed",           "requires_payment_method"),
    (INTENT_OPEN,                   "set_up",                   "succeeded"),
    (INTENT_OPEN,                   "canceled",                 "canceled"),
)  # fmt: skip
CHARGE = (
    (NEW,                           "declined",                 "failed"),
    (NEW,                           "authorized",               "held"),
    ("held",                        "captured",                 "captured"),
    ("held",                        "released",                 "released"),
    ("captured",                    "refunded",                 "refunded"),
    ("refunded",                    "refund_failed",            "captured"),
)  # fmt: skip
REFUND = (
    (NEW,                           "requested",                "pending"),
    (NEW,                           "action_asked",             "requires_action"),
    (NEW,                           "paid_back",                "succeeded"),
    (("pending", "requires_action"), "paid_back",               "succeeded"),
    (("pending", "requires_action", "succeeded"), "failed",     "failed"),
    (("pending", "requires_action"), "canceled",                "canceled"),
)  # fmt: skip
DISPUTE = (
    (NEW,                           "opened",                   "needs_response"),
    (NEW,                           "asked",                    "warning_needs_response"),
    (NEW,                           "prevented",                "prevented"),
    ("needs_response",              "evidence_submitted",       "under_review"),
    ("warning_needs_response",      "evidence_submitted",       "warning_under_review"),
    (("needs_response", "under_review"), "won",                 "won"),
    (("needs_response", "under_review"), "lost",                "lost"),
    (INQUIRY_OPEN,                  "closed",                   "warning_closed"),
    (INQUIRY_OPEN,                  "escalated",                "needs_response"),
)  # fmt: skip

# What a charge shows in each of its states. "released" is a hold that was given back.
CHARGE_FIELDS: dict[str, Json] = {
    "failed": {"status": "failed", "captured": False, "refunded": False},
    "held": {"status": "succeeded", "captured": False, "refunded": False},
    "released": {"status": "succeeded", "captured": False, "refunded": True},
    "captured": {"status": "succeeded", "captured": True, "refunded": False},
    "refunded": {"status": "succeeded", "captured": True, "refunded": True},
}

# object and call -> the states in which it is taken. No card is `processing`,
# `requires_reauthorization` or `expired` here.
CALLS: dict[tuple[str, str], tuple[str, ...]] = {
    ("payment_intent", "update"): INTENT_OPEN,  # amount, currency, method; the rest always
    ("payment_intent", "confirm"): INTENT_OPEN,
    ("payment_intent", "capture"): ("requires_capture",),
    ("payment_intent", "increment"): ("requires_capture",),
    ("payment_intent", "cancel"): (
        "requires_payment_method",
        "requires_capture",
        "requires_reauthorization",
        "requires_confirmation",
        "requires_action",
        "expired",
        "processing",
    ),
    ("setup_intent", "update"): INTENT_OPEN,  # the method; the rest always
    ("setup_intent", "confirm"): INTENT_OPEN,
    ("setup_intent", "cancel"): INTENT_OPEN,
    ("charge", "capture"): ("held",),
    ("charge", "refund"): ("held", "captured"),
    ("refund", "cancel"): ("requires_action",),
    ("dispute", "update"): DISPUTE_OPEN,
    ("dispute", "submit"): ("needs_response", "warning_needs_response"),
    ("dispute", "close"): DISPUTE_OPEN,
}


class ForbiddenMove(Exception):
    """No row of the table allows it: a bug of the simulator's."""


def _rows(table: tuple[tuple[str | tuple[str, ...], str, str], ...]) -> dict[tuple[str, str], str]:
    return {
        (state, event): after
        for before, event, after in table
        for state in ([before] if isinstance(before, str) else before)
    }


# object -> (state, event) -> state after
MOVES = {
    "payment_intent": _rows(PAYMENT_INTENT),
    "setup_intent": _rows(SETUP_INTENT),
    "charge": _rows(CHARGE),
    "refund": _rows(REFUND),
    "dispute": _rows(DISPUTE),
}


def begin(kind: str, event: str) -> str:
    """The state of a new object."""
    return after(kind, NEW, event)


def after(kind: str, state: str, event: str) -> str:
    """Raises ForbiddenMove when the table has no such row."""
    if (state, event) not in MOVES[kind]:
        raise ForbiddenMove(f"{kind}: {state} -> {event}")
    return MOVES[kind][(state, event)]


def state_of(obj: Json) -> str:
    """The object's state: its status, or that of a charge."""
    if obj["object"] != "charge":
        return str(obj["status"])
    fields = {name: obj[name] for name in ("status", "captured", "refunded")}
    return next(state for state, shown in CHARGE_FIELDS.items() if shown == fields)


def move(obj: Json, event: str) -> None:
    """The door: the object is now in the state that the table says. Raises ForbiddenMove."""
    state = after(obj["object"], state_of(obj), event)
    obj.update(CHARGE_FIELDS[state] if obj["object"] == "charge" else {"status": state})


def allows(obj: Json, call: str) -> bool:
    """Whether Stripe takes the API call in the object's state."""
    return state_of(obj) in CALLS[(obj["object"], call)]
