"""A shop in which Stripe and our books disagree, one planted fault at a time.

Faults at Stripe are made by calls to the simulator that are none of the service's, faults of our
books by SQL.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import requests

from paidonce.domain.intent import Window
from paidonce.reconcile import Counts, Finding, Fixer, Kind, Reconcile
from paidonce.store.scratch import Scratch
from support.service import GOOD, Running

LONG_AFTER = 2 * 3600.0
"""Seconds after which nothing is in flight any more."""


@dataclass
class Result:
    """What a run told, and its figures."""

    findings: list[Finding]
    counts: Counts

    def kinds(self) -> list[Kind]:
        return sorted(finding.kind for finding in self.findings)

    def only(self) -> Finding:
        [finding] = self.findings
        return finding


@dataclass
class Shop:
    """The service, and Stripe and the books behind its back."""

    service: Running
    orders: list[str] = field(default_factory=list)

    # --- reconciling

    def reconcile(
        self, *, fix: bool = False, window: Window | None = None, order_id: str | None = None
    ) -> Result:
        context = self.service.context
        findings: list[Finding] = []

        async def run() -> Counts:
            scratch = Scratch()
            reconcile = Reconcile(
                context,
                scratch,
                window=window or Window(),
                show=findings.append,
                stop=asyncio.Event(),
                fixer=Fixer(context) if fix else None,
            )
            try:
                return await (reconcile.run_order(order_id) if order_id else reconcile.run())
            finally:
                scratch.close()

        return Result(findings, self.service.run(run()))

    def pass_time(self, seconds: float = LONG_AFTER) -> None:
        self.service.clock.added += seconds

    # --- Stripe and the books

    @property
    def namespace(self) -> str:
        return self.service.context.installation.namespace

    def stripe(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        simulator = self.service.simulator
        answer = requests.request(
            method,
            f"{simulator.url}{path}",
            **({"params": form} if method == "GET" else {"data": form}),
            auth=(simulator.secret_key, ""),
            timeout=20,
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def sql(self, statement: str, *args: Any) -> None:
        async def run() -> None:
            await self.service.context.db.transaction(
                "planted", lambda tx: tx.execute(statement, *args)
            )

        self.service.run(run())

    def row(self, statement: str, *args: Any) -> dict[str, Any]:
        [row] = self.service.rows(statement, *args)
        return row

    def payment(self, order_id: str) -> dict[str, Any]:
        return self.row(
            "SELECT * FROM payments WHERE order_id = $1 ORDER BY generation DESC LIMIT 1", order_id
        )

    def order(self, order_id: str) -> dict[str, Any]:
        return self.row("SELECT * FROM orders WHERE id = $1", order_id)

    def events(self, order_id: str) -> list[str]:
        rows = self.service.rows(
            "SELECT kind FROM payment_events WHERE order_id = $1 ORDER BY created_at", order_id
        )
        return [row["kind"] for row in rows]

    # --- what a shop sells

    def new_order(self, user: str = "alice") -> str:
        order_id = self.service.order(user)
        self.orders.append(order_id)
        return order_id

    def paid_order(self, user: str = "alice") -> str:
        order_id = self.new_order(user)
        answer = self.service.pay(order_id, self.card(), user=user)
        assert answer.json()["status"] == "success", answer.text
        return order_id

    def card(self, number: str = GOOD) -> str:
        return str(self.service.simulator.create_card(number))

    # --- what others do at Stripe

    def customer_of(self, order_id: str) -> str:
        return str(self.payment(order_id)["stripe_customer_id"])

    def make_intent(self, order_id: str, *, is_charged: bool = True, **changes: Any) -> str:
        """An intent that says of itself what ours say."""
        metadata = {
            "order_id": order_id,
            "payment_id": f"pay_{uuid4().hex}",
            "user_id": "alice",
            "namespace": self.namespace,
            **changes.pop("metadata", {}),
        }
        form = {"amount": 44_000, "currency": "usd", **changes}
        form |= {f"metadata[{name}]": text for name, text in metadata.items() if text is not None}
        intent = self.stripe("POST", "/v1/payment_intents", **form)
        if is_charged:
            self.charge(intent["id"])
        return str(intent["id"])

    def charge(self, intent_id: str) -> None:
        """As the app confirms by itself: nobody tells us."""
        path = f"/v1/payment_intents/{intent_id}/confirm"
        intent = self.stripe("POST", path, payment_method="pm_card_visa")
        assert intent["status"] == "succeeded"

    def intent(self, intent_id: str) -> dict[str, Any]:
        return self.stripe("GET", f"/v1/payment_intents/{intent_id}")


@dataclass(frozen=True)
class Planted:
    """A fault, and how it has to be found: the kind, and where."""

    kind: Kind
    stripe_id: str = ""
    order_id: str = ""

    def is_told_by(self, finding: Finding) -> bool:
        return (
            finding.kind is self.kind
            and finding.stripe_id == self.stripe_id
            and finding.order_id == self.order_id
        )


# --- faults --------------------------------------------------------------------------------------


def charge_without_order(shop: Shop) -> Planted:
    order_id = str(uuid4())
    intent_id = shop.make_intent(order_id)
    return Planted(Kind.CHARGE_WITHOUT_ORDER, intent_id, order_id)


def charge_without_order_and_intent(shop: Shop) -> Planted:
    form = {"metadata[namespace]": shop.namespace, "metadata[order_id]": str(uuid4())}
    charge = shop.stripe(
        "POST", "/v1/charges", amount=44_000, currency="usd", source="tok_visa", **form
    )
    return Planted(Kind.CHARGE_WITHOUT_ORDER, charge["id"])


def forgotten_intent_without_order(shop: Shop) -> Planted:
    order_id = str(uuid4())
    intent_id = shop.make_intent(order_id, is_charged=False)
    return Planted(Kind.FORGOTTEN_INTENT, intent_id, order_id)


def second_charge(shop: Shop) -> Planted:
    order_id = shop.paid_order()
    intent_id = shop.make_intent(order_id, customer=shop.customer_of(order_id))
    return Planted(Kind.SECOND_CHARGE, intent_id, order_id)


def second_charge_by_a_loser(shop: Shop) -> Planted:
    order_id = shop.paid_order()
    payment = shop.payment(order_id)
    intent_id = shop.make_intent(order_id, metadata={"payment_id": payment["id"]})
    return Planted(Kind.SECOND_CHARGE, intent_id, order_id)


def surplus_on_a_paid_order(shop: Shop) -> Planted:
    """Recorded as what it is, and not refunded."""
    order_id = shop.paid_order()
    intent_id = shop.make_intent(order_id, customer=shop.customer_of(order_id))
    _insert_payment(shop, order_id, intent_id, "surplus")
    return Planted(Kind.SECOND_CHARGE, intent_id, order_id)


def surplus_on_a_canceled_order(shop: Shop) -> Planted:
    order_id = shop.new_order()
    intent_id = str(shop.payment(order_id)["stripe_payment_intent_id"])
    shop.charge(intent_id)
    shop.sql("UPDATE payments SET state = 'surplus' WHERE order_id = $1", order_id)
    shop.sql("UPDATE orders SET status = 'canceled' WHERE id = $1", order_id)
    return Planted(Kind.SURPLUS_NOT_RETURNED, intent_id, order_id)


def foreign_charge(shop: Shop) -> Planted:
    """The server before us, which wrote the order's id and no namespace."""
    order_id = shop.new_order()
    intent_id = shop.make_intent(order_id, metadata={"namespace": None, "payment_id": None})
    return Planted(Kind.FOREIGN_CHARGE, intent_id, order_id)


def foreign_charge_without_intent(shop: Shop) -> Planted:
    order_id = shop.new_order()
    charge = shop.stripe(
        "POST", "/v1/charges", amount=44_000, currency="usd", source="tok_visa",
        **{"metadata[order_id]": order_id},
    )  # fmt: skip
    return Planted(Kind.FOREIGN_CHARGE, charge["id"], order_id)


def wrong_amount(shop: Shop) -> Planted:
    order_id = shop.paid_order()
    shop.sql("UPDATE orders SET amount_minor = 45000 WHERE id = $1", order_id)
    return Planted(Kind.WRONG_AMOUNT, shop.service.intent_of(order_id), order_id)


def wrong_amount_not_charged(shop: Shop) -> Planted:
    order_id = shop.new_order()
    intent_id = shop.service.intent_of(order_id)
    shop.stripe("POST", f"/v1/payment_intents/{intent_id}", amount=1_00)
    return Planted(Kind.WRONG_AMOUNT, intent_id, order_id)


def wrong_currency(shop: Shop) -> Planted:
    order_id = shop.paid_order()
    shop.sql("UPDATE orders SET currency = 'eur' WHERE id = $1", order_id)
    return Planted(Kind.WRONG_CURRENCY, shop.service.intent_of(order_id), order_id)


def wrong_customer(shop: Shop) -> Planted:
    """The charge was made on the customer of another user."""
    order_id = shop.paid_order()
    other = shop.customer_of(shop.new_order("bob"))
    payment = shop.payment(order_id)
    intent_id = shop.make_intent(order_id, customer=other, metadata={"payment_id": payment["id"]})
    shop.sql(
        "UPDATE payments SET stripe_payment_intent_id = $2, stripe_customer_id = $3 WHERE id = $1",
        payment["id"], intent_id, other,
    )  # fmt: skip
    _refund(shop, payment["stripe_payment_intent_id"])  # only the other one is to be found
    return Planted(Kind.WRONG_CUSTOMER, intent_id, order_id)


def other_customer_than_recorded(shop: Shop, *, is_paid: bool = True) -> Planted:
    order_id = shop.paid_order() if is_paid else shop.new_order()
    shop.sql("UPDATE payments SET stripe_customer_id = 'cus_x' WHERE order_id = $1", order_id)
    return Planted(Kind.WRONG_CUSTOMER, shop.service.intent_of(order_id), order_id)


def paid_not_charged(shop: Shop) -> Planted:
    order_id = shop.new_order()
    shop.sql("UPDATE payments SET state = 'succeeded' WHERE order_id = $1", order_id)
    shop.sql("UPDATE orders SET status = 'paid' WHERE id = $1", order_id)
    return Planted(Kind.PAID_NOT_CHARGED, shop.service.intent_of(order_id), order_id)


def paid_by_an_unknown_intent(shop: Shop) -> Planted:
    order_id = shop.new_order()
    shop.stripe("POST", f"/v1/payment_intents/{shop.service.intent_of(order_id)}/cancel")
    shop.sql(
        "UPDATE payments SET state = 'succeeded', stripe_payment_intent_id = $2"
        " WHERE order_id = $1",
        order_id, f"pi_{order_id}",
    )  # fmt: skip
    shop.sql("UPDATE orders SET status = 'paid' WHERE id = $1", order_id)
    return Planted(Kind.PAID_NOT_CHARGED, f"pi_{order_id}", order_id)


def paid_without_payment(shop: Shop) -> Planted:
    order_id = shop.new_order()
    shop.sql("UPDATE orders SET status = 'paid' WHERE id = $1", order_id)
    return Planted(Kind.PAID_NOT_CHARGED, "", order_id)


def charged_not_paid(shop: Shop) -> Planted:
    order_id = shop.new_order()
    intent_id = shop.service.intent_of(order_id)
    shop.charge(intent_id)
    return Planted(Kind.CHARGED_NOT_PAID, intent_id, order_id)


def charge_on_a_retired_payment(shop: Shop) -> Planted:
    """The order was canceled here without Stripe's word."""
    order_id = shop.new_order()
    intent_id = shop.service.intent_of(order_id)
    shop.charge(intent_id)
    shop.sql("UPDATE payments SET state = 'canceled' WHERE order_id = $1", order_id)
    shop.sql("UPDATE orders SET status = 'canceled' WHERE id = $1", order_id)
    return Planted(Kind.CHARGED_NOT_PAID, intent_id, order_id)


def second_charge_on_a_retired_payment(shop: Shop) -> Planted:
    """A generation that was given up here was charged after all, and the order is paid."""
    order_id = shop.paid_order()
    intent_id = shop.make_intent(order_id, customer=shop.customer_of(order_id))
    _insert_payment(shop, order_id, intent_id, "canceled")
    return Planted(Kind.SECOND_CHARGE, intent_id, order_id)


def charge_of_a_loser(shop: Shop) -> Planted:
    order_id = shop.new_order()
    payment = shop.payment(order_id)
    intent_id = shop.make_intent(
        order_id, metadata={"payment_id": payment["id"]}, customer=payment["stripe_customer_id"]
    )
    return Planted(Kind.CHARGED_NOT_PAID, intent_id, order_id)


def refund_not_recorded(shop: Shop) -> Planted:
    order_id = shop.paid_order()
    intent_id = shop.service.intent_of(order_id)
    _refund(shop, intent_id, amount=10_000)
    return Planted(Kind.REFUND_NOT_RECORDED, intent_id, order_id)


def refund_only_in_the_books(shop: Shop) -> Planted:
    order_id = shop.paid_order()
    shop.sql("UPDATE orders SET amount_refunded_minor = 500 WHERE id = $1", order_id)
    return Planted(Kind.REFUND_NOT_RECORDED, shop.service.intent_of(order_id), order_id)


def orphan_of_a_race(shop: Shop) -> Planted:
    order_id = shop.new_order()
    payment = shop.payment(order_id)
    intent_id = shop.make_intent(
        order_id,
        is_charged=False,
        customer=payment["stripe_customer_id"],
        metadata={"payment_id": payment["id"]},
    )
    return Planted(Kind.ORPHAN_INTENT, intent_id, order_id)


def orphan_of_a_retired_payment(shop: Shop) -> Planted:
    order_id = shop.new_order()
    intent_id = shop.service.intent_of(order_id)
    shop.sql("UPDATE payments SET state = 'canceled' WHERE order_id = $1", order_id)
    return Planted(Kind.ORPHAN_INTENT, intent_id, order_id)


def forgotten_charge(shop: Shop) -> Planted:
    order_id = shop.new_order()
    intent_id = shop.service.intent_of(order_id)
    shop.charge(intent_id)
    _forget(shop, order_id)
    return Planted(Kind.FORGOTTEN_INTENT, intent_id, order_id)


def forgotten_intent(shop: Shop) -> Planted:
    order_id = shop.new_order()
    intent_id = shop.service.intent_of(order_id)
    _forget(shop, order_id)
    return Planted(Kind.FORGOTTEN_INTENT, intent_id, order_id)


def forgotten_answer(shop: Shop) -> Planted:
    """The payment's row was there, its intent was not recorded."""
    order_id = shop.new_order()
    intent_id = shop.service.intent_of(order_id)
    shop.sql("UPDATE payments SET stripe_payment_intent_id = NULL WHERE order_id = $1", order_id)
    return Planted(Kind.FORGOTTEN_INTENT, intent_id, order_id)


def missing_intent(shop: Shop) -> Planted:
    order_id = shop.new_order()
    shop.stripe("POST", f"/v1/payment_intents/{shop.service.intent_of(order_id)}/cancel")
    shop.sql(
        "UPDATE payments SET stripe_payment_intent_id = $2 WHERE order_id = $1",
        order_id, f"pi_{order_id}",
    )  # fmt: skip
    return Planted(Kind.MISSING_INTENT, f"pi_{order_id}", order_id)


def duplicate_customer(shop: Shop) -> Planted:
    shop.paid_order("carol")
    form = {"metadata[user_id]": "carol", "metadata[namespace]": shop.namespace}
    customer = shop.stripe("POST", "/v1/customers", **form)
    return Planted(Kind.DUPLICATE_CUSTOMER, customer["id"])


def two_customers_of_nobody(shop: Shop) -> Planted:
    """Neither is recorded: a database that was restored, say. The older one is told."""
    shop.service.call("GET", "/api/mobile-app/orders", user="gina")
    shop.sql(
        "INSERT INTO users (id, customer_key_no, created_at)"
        " SELECT 'gina', 0, created_at FROM installation WHERE id = 1 ON CONFLICT DO NOTHING"
    )
    form = {"metadata[user_id]": "gina", "metadata[namespace]": shop.namespace}
    older = shop.stripe("POST", "/v1/customers", **form)
    shop.stripe("POST", "/v1/customers", **form)
    return Planted(Kind.DUPLICATE_CUSTOMER, older["id"])


def deleted_customer(shop: Shop) -> Planted:
    order_id = shop.paid_order("dave")
    customer_id = shop.customer_of(order_id)
    shop.stripe("DELETE", f"/v1/customers/{customer_id}")
    return Planted(Kind.DELETED_CUSTOMER, customer_id)


def unknown_customer(shop: Shop) -> Planted:
    shop.service.call("GET", "/api/mobile-app/orders", user="erin")
    order_id = shop.new_order("erin")
    intent_id = shop.service.intent_of(order_id)
    shop.stripe("POST", f"/v1/payment_intents/{intent_id}/cancel")
    shop.sql("UPDATE users SET stripe_customer_id = 'cus_of_nobody' WHERE id = 'erin'")
    # The one at Stripe is to be no duplicate.
    shop.stripe("DELETE", f"/v1/customers/{shop.customer_of(order_id)}")
    return Planted(Kind.DELETED_CUSTOMER, "cus_of_nobody")


def _insert_payment(shop: Shop, order_id: str, intent_id: str, state: str) -> None:
    shop.sql(
        "INSERT INTO payments (id, order_id, user_id, generation, state, amount_minor, currency,"
        " confirmation_method, method_policy, stripe_version, stripe_customer_id, intent_params,"
        " stripe_payment_intent_id, created_at)"
        " SELECT $2, order_id, user_id, 9, $4, amount_minor, currency, confirmation_method,"
        " method_policy, stripe_version, stripe_customer_id, intent_params, $3, created_at"
        " FROM payments WHERE order_id = $1",
        order_id, shop.intent(intent_id)["metadata"]["payment_id"], intent_id, state,
    )  # fmt: skip


def _forget(shop: Shop, order_id: str) -> None:
    """As a database that was restored from the time before the order was prepared."""
    shop.sql("DELETE FROM payment_events WHERE order_id = $1", order_id)
    shop.sql("DELETE FROM payment_attempts WHERE order_id = $1", order_id)
    shop.sql("DELETE FROM payments WHERE order_id = $1", order_id)


def _refund(shop: Shop, intent_id: str, **form: Any) -> None:
    shop.stripe("POST", "/v1/refunds", payment_intent=intent_id, **form)


Plant = Callable[[Shop], Planted]
FIXED: list[Plant] = [
    charged_not_paid,
    charge_on_a_retired_payment,
    second_charge_on_a_retired_payment,
    orphan_of_a_race,
    orphan_of_a_retired_payment,
    forgotten_charge,
    forgotten_intent,
    forgotten_answer,
]
"""What `--fix` brings in order."""
LEFT: list[Plant] = [
    charge_without_order,
    charge_without_order_and_intent,
    forgotten_intent_without_order,
    second_charge,
    second_charge_by_a_loser,
    surplus_on_a_paid_order,
    surplus_on_a_canceled_order,
    foreign_charge,
    foreign_charge_without_intent,
    wrong_amount,
    wrong_amount_not_charged,
    wrong_currency,
    wrong_customer,
    other_customer_than_recorded,
    paid_not_charged,
    paid_by_an_unknown_intent,
    paid_without_payment,
    charge_of_a_loser,
    refund_not_recorded,
    refund_only_in_the_books,
    missing_intent,
    duplicate_customer,
    two_customers_of_nobody,
    deleted_customer,
    unknown_customer,
]
"""What a person has to look at."""
PLANTS: list[Plant] = [*FIXED, *LEFT]
