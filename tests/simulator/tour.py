"""A tour through the whole simulator: every route, and everything that it tells in an event."""

from typing import Any

from simulator.conftest import Wire
from stripesim.routes import Router

Json = dict[str, Any]
ROUTER = Router()
CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
ENTERED = {f"card[{name}]": value for name, value in CARD.items()}
DAY = 24 * 3600
PRICE = {"amount": 440, "currency": "usd"}


class Tour(Wire):
    """Notes the answers: the route, the status and the body of each."""

    def __init__(self, simulator: Any) -> None:
        super().__init__(simulator)
        self.answers: list[tuple[str, int, Json]] = []

    def send(self, method: str, path: str, form: Json | None = None, **options: Any) -> Any:
        answer = super().send(method, path, form, **options)
        found = ROUTER.find(method, path)
        assert found is not None, path
        self.answers.append((found[0].name, answer.status_code, answer.json()))
        return answer

    def read(self, path: str, **form: Any) -> Json:
        answer = self.get(path, form)
        assert answer.status_code == 200, answer.text
        body: Json = answer.json()
        return body

    def all_events(self) -> list[Json]:
        found: list[Json] = []
        page = self.read("/v1/events", limit=100)
        while True:
            found += page["data"]
            if not page["has_more"]:
                return found
            page = self.read("/v1/events", limit=100, starting_after=found[-1]["id"])

    def go(self) -> None:
        for part in (
            customers, payment_methods, sources, payments, holds, failures, setups, charges,
            refunds, disputes, tokens, clients, webhooks, lists,
        ):  # fmt: skip
            part(self)


def customers(tour: Tour) -> None:
    address = {f"address[{name}]": "x" for name in ("city", "line1", "postal_code", "state")}
    full = {"email": "a@b.example", "name": "Ada", "phone": "1", "description": "d", **address}
    full |= {"shipping[name]": "Ada", "shipping[address][country]": "FR", "metadata[a]": "b"}
    customer = tour.ok("/v1/customers", full)["id"]
    tour.ok(f"/v1/customers/{customer}", {"name": "Bea", "invoice_settings[footer]": "bye"})
    tour.read(f"/v1/customers/{customer}")
    tour.send("DELETE", f"/v1/customers/{customer}")
    tour.read(f"/v1/customers/{customer}")
    for kind in ("customers", "payment_intents", "charges"):
        tour.read(f"/v1/{kind}/search", query="created>0", **{"expand[]": "total_count"})


def payment_methods(tour: Tour) -> None:
    customer = tour.customer()
    form = {"type": "card", **ENTERED, "billing_details[address][city]": "Paris"}
    method = tour.ok("/v1/payment_methods", form)["id"]
    tour.ok("/v1/payment_methods", {"type": "sepa_debit", "sepa_debit[iban]": "DE89370400440532"})
    path = f"/v1/payment_methods/{method}"
    tour.ok(f"{path}/attach", {"customer": customer, "expand[]": "customer"})
    tour.read(path)
    tour.ok(path, {"metadata[a]": "b", "card[exp_year]": 2041})
    tour.read(f"/v1/customers/{customer}/payment_methods")
    tour.read(f"/v1/customers/{customer}/payment_methods/{method}")
    tour.ok(f"{path}/detach")


def sources(tour: Tour) -> None:
    customer = tour.customer()
    for folder in ("sources", "cards"):
        path = f"/v1/customers/{customer}/{folder}"
        card = tour.ok(path, {"source": "tok_visa"})["id"]
        tour.read(f"{path}/{card}")
        tour.ok(f"{path}/{card}", {"name": "Ada", "metadata[a]": "b"})
        tour.send("DELETE", f"{path}/{card}")
    tour.ok(f"/v1/customers/{customer}/sources", {"source": "tok_mastercard"})
    tour.read(f"/v1/customers/{customer}/sources")
    tour.read(f"/v1/customers/{customer}", **{"expand[]": ["default_source", "sources"]})


def payments(tour: Tour) -> None:
    customer, card = tour.saved_card()
    expanded = ["latest_charge.balance_transaction", "customer", "payment_method"]
    shipping = {"shipping[name]": "Ada", "shipping[address][country]": "FR"}
    paid = tour.pay(
        customer=customer, payment_method=card, setup_future_usage="off_session",
        description="d", receipt_email="a@b.example", transfer_group="g",
        **shipping, **{"expand[]": expanded, "metadata[a]": "b"},
    )  # fmt: skip
    tour.read(f"/v1/payment_intents/{paid['id']}")
    tour.ok(f"/v1/payment_intents/{paid['id']}", {"metadata[a]": "c"})
    waiting = tour.intent()["id"]
    tour.error(f"/v1/payment_intents/{waiting}/apply_customer_balance")
    tour.error(f"/v1/payment_intents/{waiting}/verify_microdeposits")
    tour.ok(f"/v1/payment_intents/{waiting}/cancel", {"cancellation_reason": "abandoned"})
    for outcome in ("success", "fail"):
        asked = tour.pay(payment_method="pm_card_authenticationRequired")
        tour.simulator.authenticate(asked["id"], outcome)
    tour.pay(payment_method="pm_card_authenticationRequired", return_url="https://x.example")


def holds(tour: Tour) -> None:
    option = "payment_method_options[card][request_incremental_authorization]"
    held = [
        tour.pay(payment_method="pm_card_visa", capture_method="manual", **{option: "if_available"})
        for _ in range(3)
    ]
    tour.ok(f"/v1/payment_intents/{held[0]['id']}/increment_authorization", {"amount": 500})
    tour.ok(f"/v1/payment_intents/{held[0]['id']}/capture", {"amount_to_capture": 100})
    tour.ok(f"/v1/payment_intents/{held[1]['id']}/cancel", {"expand[]": "latest_charge"})
    tour.ok("/v1/charges", {**PRICE, "source": "tok_visa", "capture": "false"})
    tour.simulator.advance_clock(8 * DAY)
    tour.read(f"/v1/payment_intents/{held[2]['id']}")


def failures(tour: Tour) -> None:
    for card in ("visa_chargeDeclined", "radarBlock", "visa_chargeDeclinedInsufficientFunds"):
        _, error = tour.pay_error(payment_method=f"pm_card_{card}")
        tour.read(f"/v1/charges/{error['charge']}")
        tour.read(f"/v1/payment_intents/{error['payment_intent']['id']}")
    tour.pay_error(payment_method="pm_card_authenticationRequired", off_session="true")
    tour.error("/v1/charges", {**PRICE, "source": "tok_chargeDeclined"})
    for card in ("avsFail", "avsLine1Fail", "cvcCheckFail"):
        tour.pay(payment_method=f"pm_card_{card}")


def setups(tour: Tour) -> None:
    customer = tour.customer()
    form = {"customer": customer, "payment_method": "pm_card_visa", "confirm": "true"}
    accepted = {
        "mandate_data[customer_acceptance][type]": "online",
        "mandate_data[customer_acceptance][online][ip_address]": "127.0.0.1",
        "mandate_data[customer_acceptance][online][user_agent]": "x",
    }
    done = tour.ok("/v1/setup_intents", {**form, **accepted, "expand[]": "latest_attempt"})
    tour.read(f"/v1/mandates/{done['mandate']}")
    tour.read("/v1/setup_attempts", setup_intent=done["id"])
    waiting = tour.ok("/v1/setup_intents", {"customer": customer})["id"]
    path = f"/v1/setup_intents/{waiting}"
    tour.ok(path, {"description": "d"})
    tour.error(f"{path}/verify_microdeposits")
    tour.error(f"{path}/confirm", {"payment_method": "pm_card_visa_chargeDeclined"})
    tour.ok(f"{path}/confirm", {"payment_method": "pm_card_authenticationRequired"})
    tour.simulator.authenticate(waiting, "success")
    tour.read(path)
    tour.ok(f"/v1/setup_intents/{tour.ok('/v1/setup_intents')['id']}/cancel")


def charges(tour: Tour) -> None:
    form = {**PRICE, "source": "tok_visa"}
    charge = tour.ok("/v1/charges", form)["id"]
    tour.read(f"/v1/charges/{charge}", **{"expand[]": ["balance_transaction", "customer"]})
    tour.ok(f"/v1/charges/{charge}", {"description": "d", "fraud_details[user_report]": "safe"})
    held = tour.ok("/v1/charges", {**form, "capture": "false"})["id"]
    tour.ok(f"/v1/charges/{held}/capture", {"amount": 100})
    path = f"/v1/charges/{charge}/refunds"
    refund = tour.ok(path, {"amount": 100})["id"]
    tour.read(path)
    tour.read(f"{path}/{refund}")
    tour.ok(f"{path}/{refund}", {"metadata[a]": "b"})
    tour.ok(f"/v1/charges/{charge}/refund")


def refunds(tour: Tour) -> None:
    for card in ("pm_card_pendingRefund", "pm_card_refundFail", "pm_card_visa"):
        paid = tour.pay(payment_method=card)
        form = {"payment_intent": paid["id"], "amount": 100, "reason": "duplicate"}
        refund = tour.ok("/v1/refunds", {**form, "expand[]": "balance_transaction"})["id"]
        tour.error(f"/v1/refunds/{refund}/cancel")
        tour.error(f"/v1/test_helpers/refunds/{refund}/expire")
        tour.simulator.advance_clock(DAY)
        tour.read(f"/v1/refunds/{refund}", **{"expand[]": ["charge", "payment_intent"]})
        tour.ok(f"/v1/refunds/{refund}", {"metadata[a]": "b"})


def disputes(tour: Tour) -> None:
    evidence = "evidence[uncategorized_text]"
    for card, text in (
        ("createDispute", "winning_evidence"),
        ("createDisputeProductNotReceived", "losing_evidence"),
        ("createDisputeInquiry", "escalate_inquiry_evidence"),
        ("createCe3EligibleDispute", "winning_evidence"),
        ("createComplianceDispute", "losing_evidence"),
        ("createMultipleDisputes", "winning_evidence"),
    ):
        paid = tour.pay(payment_method=f"pm_card_{card}", customer=tour.customer())
        dispute = tour.read("/v1/disputes", payment_intent=paid["id"])["data"][0]["id"]
        tour.ok(f"/v1/disputes/{dispute}", {evidence: "a beginning", "submit": "false"})
        tour.ok(f"/v1/disputes/{dispute}", {evidence: text, "metadata[a]": "b"})
        tour.simulator.advance_clock(60)
        tour.read(f"/v1/disputes/{dispute}", **{"expand[]": ["charge", "payment_intent"]})
    for by_charge in (True, False):
        paid = tour.pay(payment_method="pm_card_createDispute")
        path = f"/v1/charges/{paid['latest_charge']}/dispute"
        tour.ok(path, {evidence: "x", "submit": "false"})
        dispute = tour.read(path)["id"]
        tour.ok(f"{path}/close" if by_charge else f"/v1/disputes/{dispute}/close")
    tour.pay(payment_method="pm_card_createDisputeInquiry")
    tour.simulator.advance_clock(121 * DAY)
    warned = tour.pay(payment_method="pm_card_createIssuerFraudRecord")
    tour.ok("/v1/refunds", {"payment_intent": warned["id"]})
    warning = tour.read("/v1/radar/early_fraud_warnings")["data"][0]["id"]
    tour.read(f"/v1/radar/early_fraud_warnings/{warning}", **{"expand[]": "charge"})


def tokens(tour: Tour) -> None:
    token = tour.ok("/v1/tokens", ENTERED)["id"]
    tour.read(f"/v1/tokens/{token}")
    token = tour.ok("/v1/test_helpers/confirmation_tokens", {"payment_method": "pm_card_visa"})
    tour.pay(confirmation_token=token["id"], return_url="https://x.example")
    tour.read(f"/v1/confirmation_tokens/{token['id']}")


def clients(tour: Tour) -> None:
    key = tour.simulator.publishable_key
    customer = tour.customer()
    data = {f"payment_method_data[card][{name}]": value for name, value in CARD.items()}
    data |= {"payment_method_data[type]": "card"}
    tour.ok("/v1/confirmation_tokens", data, key=key)
    made = tour.ok("/v1/ephemeral_keys", {"customer": customer}, version="2026-10-28.endive")
    tour.send("DELETE", f"/v1/ephemeral_keys/{made['id']}")
    form = {"customer": customer, "components[payment_element][enabled]": "true"}
    tour.ok("/v1/customer_sessions", form)
    waiting = tour.intent()
    tour.ok(f"/v1/payment_intents/{waiting['id']}/confirm", {"payment_method": "pm_card_visa"})
    confirm = {"confirm": "true", "payment_method": "pm_card_authenticationRequired"}
    price = {"amount": 440, "currency": "usd"}
    for kind, terms in (("payment_intents", price), ("setup_intents", {})):
        asked = tour.ok(f"/v1/{kind}", {**terms, **confirm})
        source = asked["next_action"]["use_stripe_sdk"]["source"]
        tour.ok(f"/v1/{kind}/{asked['id']}/source_cancel", {"source": source})
        tour.ok(f"/v1/{kind}/{asked['id']}/refresh")


def webhooks(tour: Tour) -> None:
    form = {"url": "https://x.example/hook", "enabled_events[]": "*", "description": "d"}
    path = f"/v1/webhook_endpoints/{tour.ok('/v1/webhook_endpoints', form)['id']}"
    tour.read(path)
    tour.ok(path, {"disabled": "true", "metadata[a]": "b"})
    tour.read("/v1/webhook_endpoints")
    tour.send("DELETE", path)


def lists(tour: Tour) -> None:
    for kind in (
        "customers", "payment_methods", "payment_intents", "setup_intents", "charges", "refunds",
        "disputes", "balance_transactions", "invoice_payments",
    ):  # fmt: skip
        tour.read(f"/v1/{kind}", limit=100)
    transaction = tour.read("/v1/balance_transactions")["data"][0]["id"]
    tour.read(f"/v1/balance_transactions/{transaction}", **{"expand[]": "source"})
    for path in ("balance", "account"):
        tour.read(f"/v1/{path}")
    tour.read(f"/v1/events/{tour.read('/v1/events')['data'][0]['id']}")
