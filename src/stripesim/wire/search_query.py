"""Stripe's search query language: `amount>999 AND metadata['order_id']:'6735'`.

Documented (docs.stripe.com/search): up to ten clauses, joined by spaces or AND, or by OR, never by
both; `-` negates a clause; `:` is equal whatever the case, `~` finds text inside of a text and
needs three characters, `> >= < <=` compare numbers; `null` asks for absence; text stands in quotes,
`\\` escapes one.
"""

import re
from dataclasses import dataclass
from typing import Any

from stripesim import guesses
from stripesim.wire.errors import StripeError, invalid_request

Json = dict[str, Any]
NUMERIC, TOKEN, STRING, BOOLEAN = "numeric", "token", "string", "boolean"
MOST_CLAUSES = 10
SHORTEST_SUBSTRING = 3
# Documented: the fields of each resource, and how each can be asked for.
FIELDS: dict[str, dict[str, str]] = {
    "customers": {
        "created": NUMERIC, "email": STRING, "metadata": TOKEN, "name": STRING, "phone": STRING,
    },
    "payment_intents": {
        "amount": NUMERIC, "created": NUMERIC, "currency": TOKEN, "customer": TOKEN,
        "metadata": TOKEN, "status": STRING,
    },
    "charges": {
        "amount": NUMERIC, "billing_details.address.postal_code": TOKEN, "created": NUMERIC,
        "currency": TOKEN, "customer": TOKEN, "disputed": BOOLEAN, "metadata": TOKEN,
        "payment_method_details.card.brand": TOKEN,
        "payment_method_details.card.exp_month": TOKEN,
        "payment_method_details.card.exp_year": TOKEN,
        "payment_method_details.card.fingerprint": TOKEN,
        "payment_method_details.card.last4": TOKEN,
        "refunded": BOOLEAN, "status": STRING,
    },
}  # fmt: skip
OPERATORS = {
    NUMERIC: (":", ">", ">=", "<", "<="),
    TOKEN: (":",),
    STRING: (":", "~"),
    BOOLEAN: (":",),
}
QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
CLAUSE = re.compile(
    rf"(?P<negated>-?)(?P<field>[a-z_0-9.]+)(?:\[(?P<key>{QUOTED})\])?"
    rf"\s*(?P<operator>>=|<=|[:~<>])\s*(?P<value>{QUOTED}|[^\s\"']+)",
    re.IGNORECASE,
)
JOINT = re.compile(r"\s+(?:(AND|OR)\s+)?", re.IGNORECASE)
NUMBER = re.compile(r"^-?\d{1,18}(\.\d+)?$")


@dataclass(frozen=True)
class Clause:
    """`value` is None for `null`, a float for numbers, else text in small letters."""

    field: str
    key: str | None
    operator: str
    value: str | float | None
    is_negated: bool

    def holds(self, found: Json) -> bool:
        """Whether it is true of an object's fields."""
        return self._is_met(self._look_up(found)) != self.is_negated

    def _look_up(self, found: Json) -> Any:
        for step in self.field.split("."):
            found = (found or {}).get(step)  # type: ignore[assignment]
        return (found or {}).get(self.key) if self.key is not None else found

    def _is_met(self, actual: Any) -> bool:
        if self.value is None:
            return actual is None
        if actual is None:
            return False
        if isinstance(self.value, float):
            return _compare(float(actual), self.operator, self.value)
        text = ("true" if actual else "false") if isinstance(actual, bool) else str(actual).lower()
        return self.value in text if self.operator == "~" else self.value == text


@dataclass(frozen=True)
class Query:
    """All clauses have to hold, or with `is_any` one of them."""

    clauses: tuple[Clause, ...]
    is_any: bool

    def holds(self, found: Json) -> bool:
        return (any if self.is_any else all)(clause.holds(found) for clause in self.clauses)


def _compare(actual: float, operator: str, wanted: float) -> bool:
    return {
        ":": actual == wanted,
        ">": actual > wanted,
        ">=": actual >= wanted,
        "<": actual < wanted,
        "<=": actual <= wanted,
    }[operator]


def parse(resource: str, text: str) -> Query:
    """Raises StripeError 400 for what is no query of the resource ("payment_intents")."""
    text = text.strip()
    clauses: list[Clause] = []
    joints: set[str] = set()
    position = 0
    while True:
        match = CLAUSE.match(text, position)
        if match is None:
            raise _unparsable()
        clauses.append(_clause(resource, match))
        position = match.end()
        if position == len(text):
            break
        joint = JOINT.match(text, position)
        if joint is None:
            raise _unparsable()
        joints.add((joint.group(1) or "AND").upper())
        position = joint.end()
    if len(joints) > 1:
        raise invalid_request(guesses.SEARCH_MIXED_MESSAGE, param="query")
    if len(clauses) > MOST_CLAUSES:
        raise invalid_request(guesses.SEARCH_TOO_MANY_MESSAGE, param="query")
    return Query(tuple(clauses), is_any=joints == {"OR"})


def _clause(resource: str, match: re.Match[str]) -> Clause:
    field, key = match["field"], match["key"]
    kind = FIELDS[resource].get(field)
    if kind is None or (key is not None) != (field == "metadata"):
        raise _unsupported(resource, field)
    if match["operator"] not in OPERATORS[kind]:
        raise invalid_request(
            guesses.SEARCH_OPERATOR_MESSAGE.format(operator=match["operator"], field=field),
            param="query",
        )
    value = _value(kind, match["value"])
    is_short = isinstance(value, str) and len(value) < SHORTEST_SUBSTRING
    if match["operator"] == "~" and (is_short or value is None):
        raise invalid_request(guesses.SEARCH_SHORT_MESSAGE, param="query")
    return Clause(
        field, _unquoted(key) if key else None, match["operator"], value, match["negated"] == "-"
    )


def _value(kind: str, text: str) -> str | float | None:
    is_quoted = text[0] in "\"'"
    if not is_quoted and text.lower() == "null":
        return None
    value = _unquoted(text) if is_quoted else text
    if kind == NUMERIC:
        if not NUMBER.match(value):
            raise _unparsable()
        return float(value)
    if not is_quoted and kind != BOOLEAN and not NUMBER.match(value):
        raise _unparsable()
    return value.lower()


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _unparsable() -> StripeError:
    return invalid_request(guesses.SEARCH_UNPARSABLE_MESSAGE)


def _unsupported(resource: str, field: str) -> StripeError:
    return invalid_request(
        guesses.SEARCH_FIELD_MESSAGE.format(
            field=field, resource=resource, anchor=resource.replace("_", "-")
        )
    )
