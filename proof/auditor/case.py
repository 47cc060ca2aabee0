"""One order, held against Stripe, our books and what its clients were told."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from proof.auditor.facts import Asked, Books, Json, Order, Rows, Stripe
from proof.auditor.refunds import refund_findings
from proof.auditor.sheets import sheet_findings
from proof.auditor.telling import notice_findings

ENVELOPE = {"status", "message", "nextStep", "requestId"}
STATUSES = {200, 400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 503}
CLOSED = ("declined", "authentication_failed", "consumed", "refused", "abandoned")
"""States of an attempt that say: it never charges."""
AT_STRIPE = ("app", "refund")
"""Kinds of deeds there, of which we answer nothing."""
Findings = Iterator[tuple[str, str]]


class World:
    """Everything, grouped once, so that an order costs the same however many there are."""

    def __init__(self, stripe: Stripe, books: Books) -> None:
        self.ledger, self.keys = stripe.ledger, stripe.keys
        self.intents = _grouped(stripe.intents.values(), _order_named)
        self.charges = _grouped(stripe.charges, lambda charge: charge["payment_intent"])
        self.given_back = _grouped(stripe.refunds, _order_named)
        self.refunds = _grouped(stripe.refunds, lambda refund: refund.get("charge"))
        self.orders = {row["id"]: row for row in books.tables["orders"]}
        self.rows = {
            table: _grouped(books.tables[table], lambda row: row["order_id"])
            for table in (
                "payments",
                "payment_attempts",
                "captures",
                "outbox",
                "refunds",
                "payment_events",
            )
        }


def _grouped(rows: Iterable[Json], key: Callable[[Json], Any]) -> dict[Any, Rows]:
    groups: dict[Any, Rows] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _order_named(thing: Json) -> Any:
    return thing["metadata"].get("order_id")


class Case:
    """One order, with everything that Stripe, our books and the clients say about it."""

    def __init__(self, order: Order, world: World, asked: list[Asked]) -> None:
        self.order, self.asked = order, sorted(asked, key=lambda ask: ask.begun)
        self.keys = world.keys
        self.intents = world.intents.get(order.id, [])
        self.charges = [
            charge
            for intent in self.intents
            for charge in world.charges.get(intent["id"], [])
            if charge["status"] == "succeeded" and charge["captured"]
        ]
        group = world.ledger.get(order.id, {})
        self.charged = int(group.get("succeeded_charges", 0))
        self.captured = int(group.get("amount_captured", 0))
        self.refunded = int(group.get("amount_refunded", 0))
        self.has_held = any(
            charge["status"] == "succeeded" and "capture_before" in _card_of(charge)
            for intent in self.intents
            for charge in world.charges.get(intent["id"], [])
        )
        self.row: Mapping[str, Any] = world.orders.get(order.id, {})
        self.payments = world.rows["payments"].get(order.id, [])
        self.attempts = world.rows["payment_attempts"].get(order.id, [])
        self.captures = world.rows["captures"].get(order.id, [])
        self.outbox = world.rows["outbox"].get(order.id, [])
        self.timeline = world.rows["payment_events"].get(order.id, [])
        self.refunds = world.rows["refunds"].get(order.id, [])
        self.made = [
            each for charge in self.charges for each in world.refunds.get(charge["id"], [])
        ]
        self.given_back = [
            refund["metadata"]["refund_id"]
            for refund in world.given_back.get(order.id, [])
            if "refund_id" in refund["metadata"]
        ]

    def findings(self, is_settled: bool) -> Findings:
        yield from self._money()
        yield from self._answers()
        yield from self._explanations()
        wishes = [ask for ask in self.asked if ask.kind == "give_back"]
        yield from refund_findings(
            wishes, self.made, self.charges, self.refunds, is_settled=is_settled
        )
        yield from sheet_findings(
            self.asked,
            self.intents,
            self.payments,
            has_taken=bool(self.charged) or self.has_held,
            is_settled=is_settled,
        )
        if not self.row:
            yield "I11", "the order was answered and is not in our books"
        elif is_settled:
            yield from self._books()
            yield from self._surplus()
            yield from notice_findings(
                self.timeline, self.attempts, self.refunds, self.payments, self.outbox
            )
            yield from self._last_look()

    def _money(self) -> Findings:
        if self.charged > 1:
            yield "I1", f"charged {self.charged} times"
        if len(self.charges) != self.charged:
            yield "I1", f"{self.charged} charges in the ledger, {len(self.charges)} objects"
        for intent in self.intents:
            if (intent["amount"], intent["currency"]) != self._price():
                yield "I4", f"{intent['id']} is over {intent['amount']} {intent['currency']}"
        for charge in self.charges:
            if (charge["amount_captured"], charge["currency"]) not in self._wanted():
                yield "I4", f"{charge['id']} took {charge['amount_captured']} {charge['currency']}"
            if charge["payment_method"] not in self.order.methods:
                yield (
                    "I5",
                    f"{charge['id']} was paid with {charge['payment_method']}, not the user's",
                )

    def _price(self) -> tuple[int, str]:
        return self.order.amount_minor, self.order.currency

    def _wanted(self) -> list[tuple[int, str]]:
        """The whole, or what the merchant asked to take of what is held."""
        amount, currency = self._price()
        asked = [ask.amount_minor or amount for ask in self.asked if ask.kind == "capture"]
        return [(each, currency) for each in asked or [amount]]

    def _answers(self) -> Findings:
        paid_at = min((ask.ended or 0 for ask in self.asked if ask.says_paid), default=None)
        if paid_at is not None and not self.charged:
            yield "I6", "success was answered and nothing was charged"
        if any(ask.says_held for ask in self.asked) and not self.has_held:
            yield "I6", "held was answered and nothing was held"
        refunds = [ask.begun for ask in self.asked if ask.gives_back]
        for ask in self.asked:
            if ask.status is None:
                continue
            is_refunded = any(begun < (ask.ended or 0) for begun in refunds)
            if ask.kind not in AT_STRIPE and not (
                ask.status in STATUSES and ask.body.keys() >= ENVELOPE
            ):
                yield "I6", f"no answer of ours: {ask} {sorted(ask.body)}"
            if ask.kind == "look" and ask.says_refunded and not self.refunded:
                yield "I6", f"nothing was given back, and: {ask}"
            if is_refunded and ask.says_refunded:
                continue
            if paid_at is not None and ask.begun > paid_at and self._denies(ask):
                yield "I6", f"the order was answered as paid before, and now: {ask}"
        is_canceled = any(ask.kind == "cancel" and ask.status == 200 for ask in self.asked)
        if is_canceled and paid_at is not None:
            yield "I6", "the payer was told success and the merchant canceled"
        if is_canceled and self.captured > self.refunded and self._is_silent_surplus():
            yield "I6", "canceled was answered, money was taken, and our books do not show it"

    def _denies(self, ask: Asked) -> bool:
        is_turned_away = ask.status in (429, 503)
        return ask.kind in ("pay", "confirm", "look") and not (ask.says_paid or is_turned_away)

    def _is_silent_surplus(self) -> bool:
        return not any(row["state"] == "surplus" for row in self.payments)

    def _explanations(self) -> Findings:
        """A charge has to follow from a request that was not answered with "not charged", and
        from no attempt that our books call closed without a charge."""
        attempts = {row["id"]: row for row in self.attempts}
        pays = [ask for ask in self.asked if ask.kind in ("pay", "app")]
        for charge in self.charges:
            method = charge["payment_method"]
            mine = [ask for ask in pays if ask.method == method]
            if not mine:
                yield "I6", f"{charge['id']} was paid with {method}, which nobody asked for"
            elif all(ask.says_not_charged for ask in mine):
                told = "; ".join(map(str, mine))
                yield (
                    "I6",
                    f"{charge['id']} was charged, and every request of its card heard: {told}",
                )
            kind, _, attempt_id = self._parts(charge["id"])
            attempt = attempts.get(attempt_id)
            if kind in ("cf", "rc") and attempt and attempt["state"] in CLOSED:
                yield "I6", f"attempt {attempt_id} is {attempt['state']} in our books and charged"
            if not kind and not any(ask.kind == "app" for ask in mine):
                yield from self._challenge(charge)

    def _challenge(self, charge: Json) -> Findings:
        """A charge without a key was made by a challenge that the card holder passed: some attempt
        of ours with that card waited for it, and must not have been closed as failed."""
        intents = {row["id"]: row["stripe_payment_intent_id"] for row in self.payments}
        states = {
            row["state"]
            for row in self.attempts
            if row["source"] == "server"
            and row["stripe_payment_method_id"] == charge["payment_method"]
            and intents.get(row["payment_id"]) == charge["payment_intent"]
        }
        if states and states <= set(CLOSED):
            told = ", ".join(sorted(states))
            yield "I6", f"{charge['id']} came of a challenge, and its attempts are {told}"

    def _parts(self, charge_id: str) -> tuple[str, str, str]:
        kind, _, rest = self.keys.get(charge_id, "").partition(":")
        namespace, _, attempt_id = rest.partition(":")
        return kind, namespace, attempt_id.split(":")[0]

    def _books(self) -> Findings:
        status = self.row["status"]
        is_given_back = self.captured > 0 and self.captured == self.refunded
        has_surplus = any(row["state"] == "surplus" for row in self.payments)
        if self.charged and status != "paid" and not (is_given_back or has_surplus):
            yield "I2", f"charged, and the order is {status} in our books"
        if status == "paid" and not self.charged:
            yield "I2", "paid in our books, and Stripe charged nothing"
        succeeded = [row for row in self.payments if row["state"] == "succeeded"]
        if (status == "paid") != (len(succeeded) == 1):
            yield "I2", f"{status} with {len(succeeded)} succeeded payments"
        for row in succeeded:
            if not any(
                c["payment_intent"] == row["stripe_payment_intent_id"] for c in self.charges
            ):
                yield "I2", f"payment {row['id']} succeeded with an intent that was not charged"
        for row in self.attempts:
            if row["state"] in ("open", "action"):
                yield "I8", f"attempt {row['id']} is still {row['state']}"
        if status == "canceling":
            yield "I8", "the cancelation never ended"
        for row in self.captures:
            if row["state"] == "requested":
                yield "I8", f"capture {row['id']} never ended"
        notices = sum(row["kind"] == "order.paid" for row in self.outbox)
        if notices != (status == "paid"):
            yield "I9", f"{notices} notices of payment for an order that is {status}"
        if status == "paid" and self._balance() != self.captured - self.refunded:
            net = self.captured - self.refunded
            yield "I13", f"Stripe holds {net}, our balance says {self._balance()}"

    def _surplus(self) -> Findings:
        """Money that fits no order goes back once, and every payment's balance is Stripe's."""
        for refund_id, times in Counter(self.given_back).items():
            if times > 1:
                yield "I13", f"refund {refund_id} was made {times} times"
            if refund_id not in {row["id"] for row in self.refunds}:
                yield "I13", f"refund {refund_id} was made and is not in our books"
        for row in self.refunds:
            if row["state"] == "requested":
                yield "I8", f"refund {row['id']} was never made"
        held = [row for row in self.payments if row["state"] in ("succeeded", "surplus")]
        ours = sum(_charged_of(row) - row["amount_refunded_minor"] for row in held)
        if ours != self.captured - self.refunded:
            net = self.captured - self.refunded
            yield "I13", f"Stripe holds {net}, our payments say {ours}"
        for row in held:
            mine = [r for r in self.refunds if r["payment_id"] == row["id"]]
            mine = [r for r in mine if r["cause"] == "surplus"]
            is_kept = _charged_of(row) > row["amount_refunded_minor"]
            if row["state"] == "surplus" and is_kept and not mine:
                yield "I13", f"the surplus of payment {row['id']} is not given back"
            if len(mine) > (row["state"] == "surplus"):
                yield "I13", f"payment {row['id']} has {len(mine)} refunds of a surplus"

    def _balance(self) -> int:
        return _charged_of(self.row) - int(self.row["amount_refunded_minor"])

    def _last_look(self) -> Findings:
        """A later question gets the truth."""
        if not self.asked or self.asked[-1].kind != "look" or self.asked[-1].status != 200:
            return
        is_refunded = self.captured > 0 and self.captured == self.refunded
        is_paid = self.row["status"] == "paid" and not is_refunded
        if self.asked[-1].says_paid != is_paid:
            yield "I6", f"the last look says {self.asked[-1].body['data'].get('status')}"


def _charged_of(row: Mapping[str, Any]) -> int:
    """What a paid order, or its payment, has cost by our books."""
    taken = row.get("amount_captured_minor")
    return int(row["amount_minor"] if taken is None else taken)


def _card_of(charge: Json) -> Json:
    card: Json = (charge.get("payment_method_details") or {}).get("card") or {}
    return card
