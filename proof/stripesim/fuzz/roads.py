"""Roads that lead somewhere: calls one after the other that Stripe may take, about one payment, one
card, one customer. Steps that are drawn alone are refused nearly always.
"""

from typing import Any

from hypothesis import strategies as st

from proof.stripesim.fuzz.forms import FACTORIES, RETURN_URLS, TOKENS, Ref, Strategy
from proof.stripesim.fuzz.steps import Authenticate, Send, Step, Wait

INTENT, SETUP, METHOD = Ref("payment_intent", 0), Ref("setup_intent", 0), Ref("payment_method", 0)
CUSTOMER, CHARGE, CARD = Ref("customer", 0), Ref("charge", 0), Ref("card", 0)
WARNING = Ref("radar.early_fraud_warning", 0)
CONFIRM = "POST /v1/payment_intents/{id}/confirm"
BACK = RETURN_URLS[0]
EVIDENCE = ("winning_evidence", "losing_evidence", "escalate_inquiry_evidence", "x")
VERSION = "2026-10-28.endive"
CARDS = st.sampled_from(["pm_card_visa", *FACTORIES])


def send(route: str, *ids: Ref | str, **form: Any) -> Send:
    """A name with brackets is written with `__`, which `[` and `]` stand for."""
    pairs = ((_in_brackets(name), value) for name, value in form.items())
    return Send(route, ids, tuple(pairs))


def _in_brackets(name: str) -> str:
    first, *inner = name.split("__")
    return first + "".join(f"[{part}]" for part in inner)


AFTERWARDS: tuple[Step, ...] = (
    Authenticate(INTENT, "success"),
    Authenticate(INTENT, "fail"),
    send(CONFIRM, INTENT),
    send(CONFIRM, INTENT, payment_method="pm_card_visa", return_url=BACK),
    send("POST /v1/payment_intents/{id}/capture", INTENT),
    send("POST /v1/payment_intents/{id}/capture", INTENT, amount_to_capture="200"),
    send("POST /v1/payment_intents/{id}/cancel", INTENT),
    send("POST /v1/refunds", payment_intent=INTENT),
    send("POST /v1/refunds", payment_intent=INTENT, amount="40"),
    send("POST /v1/refunds", charge=CHARGE, amount="100", reason="fraudulent"),
    send("GET /v1/payment_intents/{id}", INTENT, expand__="latest_charge"),
    send("GET /v1/charges/{id}", CHARGE),
    send("GET /v1/disputes"),
    *(
        send("POST /v1/disputes/{id}", Ref("dispute", 0), evidence__uncategorized_text=text)
        for text in EVIDENCE
    ),
    send("POST /v1/disputes/{id}/close", Ref("dispute", 0)),
    send("GET /v1/radar/early_fraud_warnings"),
    send("GET /v1/radar/early_fraud_warnings/{id}", WARNING),
    Wait(6),
    Wait(700_000),
)


@st.composite
def payments(draw: st.DrawFn) -> list[Step]:
    """A card pays, and what may come after it comes in any order."""
    form: dict[str, Any] = {
        "amount": draw(st.sampled_from(["440", "1000"])),
        "currency": draw(st.sampled_from(["usd", "jpy"])),
        "capture_method": draw(st.sampled_from(["automatic", "manual"])),
        "confirmation_method": draw(st.sampled_from(["automatic", "manual"])),
    }
    if draw(st.booleans()):
        form |= {"customer": CUSTOMER, "setup_future_usage": "off_session"}
    after = draw(st.lists(st.sampled_from(AFTERWARDS), max_size=8))
    return [
        send("POST /v1/payment_intents", **form),
        send(CONFIRM, INTENT, payment_method=draw(CARDS), return_url=BACK),
        *after,
    ]


@st.composite
def savings(draw: st.DrawFn) -> list[Step]:
    """A card is saved, pays, and is taken away."""
    return [
        send("POST /v1/setup_intents", customer=CUSTOMER),
        send(
            "POST /v1/setup_intents/{id}/confirm",
            SETUP,
            payment_method=draw(CARDS),
            return_url=BACK,
            mandate_data__customer_acceptance__type="offline",
            expand__="mandate",
        ),
        Authenticate(SETUP, draw(st.sampled_from(["success", "fail"])), on_page=True),
        send("GET /v1/mandates/{id}", Ref("mandate", 0)),
        send("GET /v1/customers/{id}/payment_methods", CUSTOMER),
        send(
            "POST /v1/payment_intents",
            amount="440",
            currency="usd",
            customer=CUSTOMER,
            payment_method=METHOD,
            confirm="true",
            off_session="true",
        ),
        send("POST /v1/payment_methods/{id}/detach", METHOD),
    ]


@st.composite
def clients(draw: st.DrawFn) -> list[Step]:
    """What an app is given, and a confirmation token of its."""
    key = send("POST /v1/ephemeral_keys", customer=CUSTOMER)
    return [
        Send(key.route, form=key.form, version=VERSION),
        send("DELETE /v1/ephemeral_keys/{id}", Ref("ephemeral_key", 0)),
        send(
            "POST /v1/customer_sessions",
            customer=CUSTOMER,
            components__payment_element__enabled="true",
        ),
        send("POST /v1/test_helpers/confirmation_tokens", payment_method=draw(CARDS)),
        send("POST /v1/payment_intents", amount="440", currency="usd"),
        send(CONFIRM, INTENT, confirmation_token=Ref("confirmation_token", 0), return_url=BACK),
        send("POST /v1/refunds", payment_intent=INTENT),
    ]


@st.composite
def direct_charges(draw: st.DrawFn) -> list[Step]:
    """Charges without an intent, and a customer's card."""
    token = draw(st.sampled_from(["tok_visa", *TOKENS]))
    return [
        send("POST /v1/charges", amount="700", currency="usd", source=token, capture="false"),
        send("POST /v1/charges/{id}/capture", CHARGE, amount=draw(st.sampled_from(["700", "9"]))),
        send("POST /v1/charges/{id}/refund", CHARGE, amount="5"),
        send("GET /v1/charges/{id}/refunds", CHARGE),
        send("POST /v1/customers/{id}/cards", CUSTOMER, source=token),
        send("POST /v1/customers/{id}/cards/{id}", CUSTOMER, CARD, name="Ada"),
        send("POST /v1/charges", amount="700", currency="usd", customer=CUSTOMER),
        send("DELETE /v1/customers/{id}/cards/{id}", CUSTOMER, CARD),
    ]


roads: Strategy = st.one_of(
    payments(), payments(), payments(), savings(), clients(), direct_charges()
)
