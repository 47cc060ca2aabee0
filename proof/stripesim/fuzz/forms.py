"""Strategies for parameters, made from the tables that the simulator checks requests against.

A form is a tuple of (name, value) in the wire's brackets; a value is text, or a `Ref` to an object
that the story has met before, of the right kind or of a wrong one.
"""

import functools
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from stripesim.rules import cards
from stripesim.wire import params

Json = dict[str, Any]
Strategy = st.SearchStrategy[Any]


@dataclass(frozen=True)
class Ref:
    """The id (or the client secret) of an object met before; `back` counts from the newest."""

    kind: str
    back: int
    what: str = "id"


Value = str | Ref
Form = tuple[tuple[str, Value], ...]
KINDS = (
    "customer", "payment_method", "payment_intent", "setup_intent", "charge", "refund", "dispute",
    "balance_transaction", "event", "token", "confirmation_token", "webhook_endpoint", "card",
)  # fmt: skip
FACTORIES = [f"pm_card_{alias}" for alias in cards.BY_ALIAS]
TOKENS = [f"tok_{alias}" for alias in cards.BY_ALIAS]
NUMBERS = [card.number for card in cards.CARDS]
NASTY = (
    "", " ", "0", "-1", "1", "00", "1.5", "1e9", "NaN", "null", "None", "true", "[]", "{}", "é☃",
    "\x00", "x" * 600, "9" * 18, "9" * 40, "-" + "9" * 17, "%", "&", "=", "\u202e", "\U0001f600",
    "' OR 1=1 --", "<b>", "../../etc/passwd", "${x}", "२", "2040-01-01", "pm_card_nope", "tok_nope",
)  # fmt: skip

RETURN_URLS = ("https://example.com/back?a=1#b", "https://example.com/back", "app://back")
NO_URLS = (
    "app:", "x y:z", "http://[", "http://a:b/", "javascript:alert(1)", "https://é.example/☃",
    "app://a\r\nX: y",
)  # fmt: skip
EXPANDED = (
    "latest_charge", "customer", "payment_method", "charge", "data.customer", "payment_intent",
    "latest_charge.balance_transaction", "data.latest_charge.refunds", "balance_transaction",
    "invoice_settings.default_payment_method", "source", "nope", "sources", "data.charge",
)  # fmt: skip
QUERIES = (
    "email:'ada@example.com'", "metadata['a']:'1'", "status:'succeeded' AND amount>100", "a:",
    "created>0", "-currency:'usd'", "status:'x' OR amount<5", "amount~'4'", "'", "customer:null",
)  # fmt: skip


def ref(*kinds: str) -> Strategy:
    return st.builds(Ref, st.sampled_from(kinds), st.integers(0, 3))


any_ref = ref(*KINDS)
secrets = st.builds(
    Ref, st.sampled_from(["payment_intent", "setup_intent"]), st.integers(0, 2), st.just("secret")
)
nasty = st.sampled_from(NASTY) | st.text(max_size=8)
amounts = st.sampled_from(["440", "440", "1000", "50", "100", "200", "439", "441", "1", "99999999"])
method = st.one_of(
    ref("payment_method"), ref("payment_method"), st.sampled_from(FACTORIES), ref("card")
)
# What a parameter of that name usually holds.
USUAL: dict[str, Strategy] = {
    "amount": amounts,
    "amount_to_capture": amounts,
    "currency": st.sampled_from(["usd", "usd", "usd", "eur", "jpy", "kwd"]),
    "customer": ref("customer"),
    "payment_method": method,
    "default_payment_method": method,
    "payment_intent": ref("payment_intent"),
    "setup_intent": ref("setup_intent"),
    "charge": ref("charge"),
    "confirmation_token": ref("confirmation_token"),
    "source": st.sampled_from(TOKENS) | ref("token", "card"),
    "default_source": ref("card"),
    "token": st.sampled_from(TOKENS) | ref("token"),
    "client_secret": secrets,
    "number": st.sampled_from(NUMBERS),
    "exp_month": st.sampled_from(["1", "12"]),
    "exp_year": st.sampled_from(["2040", "45", "2044"]),
    "cvc": st.sampled_from(["123", "1234"]),
    "email": st.sampled_from(["ada@example.com", "b@example.org"]),
    "receipt_email": st.just("ada@example.com"),
    "return_url": st.one_of(
        st.sampled_from(RETURN_URLS), st.sampled_from(RETURN_URLS), st.sampled_from(NO_URLS)
    ),
    "url": st.just("http://127.0.0.1:9/hook"),
    "limit": st.sampled_from(["1", "3", "100"]),
    "starting_after": any_ref,
    "ending_before": any_ref,
    "expand": st.sampled_from(EXPANDED),
    "enabled_events": st.sampled_from(["*", "payment_intent.succeeded", "charge.refunded"]),
    "uncategorized_text": st.sampled_from(["winning_evidence", "losing_evidence", "x"]),
    "off_session": st.sampled_from(["true", "false", "one_off", "recurring"]),
    "created": st.sampled_from(["0", "1700000000", "99999999999"]),
    "query": st.sampled_from(QUERIES),
    "type": st.sampled_from(["card", "card", "card", "us_bank_account", "sepa_debit", "link"]),
    "country": st.just("US"),
}
# Parameters that are drawn more often than others, so that stories come somewhere.
FAVOURITES = {
    "POST /v1/payment_intents": (
        "payment_method", "confirm", "customer", "capture_method", "setup_future_usage",
        "confirmation_method", "off_session", "return_url",
    ),
    "POST /v1/payment_methods/{id}/attach": ("customer",),
    "POST /v1/payment_intents/{id}": ("amount", "payment_method", "customer"),
    "POST /v1/payment_intents/{id}/confirm": ("payment_method", "return_url", "off_session"),
    "POST /v1/payment_intents/{id}/capture": ("amount_to_capture",),
    "POST /v1/setup_intents": ("payment_method", "confirm", "customer"),
    "POST /v1/setup_intents/{id}/confirm": ("payment_method",),
    "POST /v1/charges": ("source", "customer", "capture"),
    "POST /v1/refunds": ("charge", "payment_intent", "amount"),
    "POST /v1/payment_methods": ("type", "card"),
    "POST /v1/tokens": ("card",),
    "POST /v1/disputes/{id}": ("evidence", "submit"),
}  # fmt: skip
OFTEN = 4  # a favourite is drawn three times of four
scalars: dict[str, Strategy] = {
    "string": st.sampled_from(["a", "Ada", "x y", "ü", "1"]),
    "integer": st.sampled_from(["0", "1", "7", "1700000000"]),
    "number": st.sampled_from(["1", "0.5"]),
    "boolean": st.sampled_from(["true", "true", "false"]),
    "any": st.sampled_from(["1", "true", "a"]),
}


def table_of(endpoint: str) -> Json:
    """The parameter table of "METHOD /path"; an endpoint without one takes anything."""
    found: Json = params.document()["endpoints"].get(endpoint, {"fields": {}})
    return found


def valid_form(endpoint: str) -> Strategy:
    """Parameters that fit the endpoint's table; its objects may still refuse them."""
    return _fields(endpoint)


@functools.cache
def _fields(endpoint: str) -> Strategy:
    return _object(table_of(endpoint), "", FAVOURITES.get(endpoint, ()), most=2)


def _object(table: Json, prefix: str, favourites: tuple[str, ...] = (), most: int = 3) -> Strategy:
    fields: Json = table["fields"]
    required = tuple(table.get("required", []))
    optional = sorted(set(fields) - set(required))

    @st.composite
    def drawn(draw: st.DrawFn) -> Form:
        names = list(required)
        names += [n for n in favourites if n in optional and draw(st.integers(1, OFTEN)) > 1]
        if optional:
            names += draw(st.lists(st.sampled_from(optional), max_size=most))
        pairs: list[tuple[str, Value]] = []
        for name in dict.fromkeys(names):
            inner = f"{prefix}[{name}]" if prefix else name
            pairs += draw(_pairs(inner, name, fields[name]))
        return tuple(pairs)

    return drawn()


def _pairs(name: str, key: str, node: Any) -> Strategy:
    """Strategy for the pairs of one parameter, however deep it is."""
    if isinstance(node, str):
        if node == "map":
            values = st.dictionaries(st.sampled_from(["a", "order_id", "b c"]), scalars["string"])
            return values.map(lambda found: tuple((f"{name}[{k}]", v) for k, v in found.items()))
        return _one(name, USUAL.get(key, scalars[node]))
    if "enum" in node:
        return _one(name, st.sampled_from(node["enum"]))
    if "array" in node:
        inner = node["array"]
        return st.integers(1, 2).flatmap(
            lambda count: st.tuples(
                *(_pairs(f"{name}[{i}]", key, inner) for i in range(count))
            ).map(_joined)
        )
    return _object(node, name, most=2 if key != "card" else 1)


def _one(name: str, values: Strategy) -> Strategy:
    return values.map(lambda value: ((name, value),))


def _joined(parts: tuple[Form, ...]) -> Form:
    return tuple(pair for part in parts for pair in part)


@st.composite
def nearly_valid_form(draw: st.DrawFn, endpoint: str) -> Form:
    """A valid form with one or two things wrong."""
    form = list(draw(valid_form(endpoint)))
    for _ in range(draw(st.integers(1, 2))):
        form = draw(_with_a_mistake(form, endpoint))
    return tuple(form)


@st.composite
def _with_a_mistake(draw: st.DrawFn, form: list[tuple[str, Value]], endpoint: str) -> Any:
    kind = draw(st.integers(0, 6))
    if not form or kind == 0:
        name = draw(st.sampled_from([*table_of(endpoint)["fields"], "wat", "expand[]", "id"]))
        return [*form, (name, draw(nasty | any_ref))]
    place = draw(st.integers(0, len(form) - 1))
    name, value = form[place]
    if kind == 1:
        return form[:place] + form[place + 1 :]
    if kind == 2:
        return [*form[:place], (name, draw(any_ref)), *form[place + 1 :]]
    if kind == 3:
        suffix = draw(st.sampled_from(["[]", "[0]", "[a]", "[a][b]", "[", "]", "[1]", "[][]"]))
        return [*form[:place], (name + suffix, value), *form[place + 1 :]]
    if kind == 4:
        return [*form, (name, draw(nasty))]
    return [*form[:place], (name, draw(nasty)), *form[place + 1 :]]


garbage_form = st.lists(
    st.tuples(
        st.one_of(
            nasty,
            st.sampled_from(["amount", "metadata[a]", "card[number]", "expand[]", "a[b][c]", "[]"]),
        ),
        nasty | any_ref,
    ),
    max_size=5,
).map(tuple)
