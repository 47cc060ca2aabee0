"""The auditor finds nothing in a healthy shop, and each broken promise by its name."""

import copy
import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from proof.auditor import Asked, Books, Order, Stripe, judge, read_books, read_stripe
from support.money_back import ask as ask_for_refund
from support.service import DECLINED_AT_CHARGE, GOOD, PRICE_MINOR, Running, StartService


class Shop:
    """Two orders that were really paid, one after a decline, as the auditor sees them."""

    def __init__(self, service: Running) -> None:
        self.orders: list[Order] = []
        self.asked: list[Asked] = []
        self._service = service
        self._count = 0
        good, bad = (service.simulator.create_card(n) for n in (GOOD, DECLINED_AT_CHARGE))
        for cards in ([good], [bad, good]):
            order_id = service.order()
            if len(cards) > 1:
                sheet = f"/api/mobile-app/orders/{order_id}/payment-sheet"
                self.ask(order_id, "sheet", None, lambda p=sheet: service.call("POST", p, {}))
            self.orders.append(Order(order_id, "alice", PRICE_MINOR, "usd", frozenset({good, bad})))
            for card in cards:
                self.ask(order_id, "pay", card, lambda o=order_id, c=card: service.pay(o, c))
            path = f"/api/mobile-app/orders/{order_id}/payment"
            self.ask(order_id, "look", None, lambda p=path: service.call("GET", p))
        given_back = ask_for_refund(service, self.orders[1].id, "a part", amountMinor=1_000)
        self.ask(self.orders[1].id, "give_back", None, lambda: given_back)
        self.asked[-1] = replace(self.asked[-1], key="a part", amount_minor=1_000)
        self.stripe = read_stripe(self.get)
        self.books = read_books(service.settings.database_url)

    def ask(self, order_id: str, kind: str, card: str | None, call: Callable[[], Any]) -> None:
        self._count += 2
        answer = call()
        self.asked.append(
            Asked(
                order_id,
                kind,
                card,
                self._count,
                self._count + 1,
                answer.status_code,
                answer.json(),
            )
        )

    def get(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(
            self._service.simulator.url + path,
            headers={"Authorization": f"Bearer {self._service.simulator.secret_key}"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def judge(self) -> list[str]:
        found = judge(self.stripe, self.books, self.orders, self.asked, is_settled=True)
        return sorted({finding.invariant for finding in found})


@pytest.fixture
def shop(start_service: StartService) -> Shop:
    return Shop(start_service())


def test_a_healthy_shop_has_no_findings(shop: Shop) -> None:
    found = judge(shop.stripe, shop.books, shop.orders, shop.asked, is_settled=True)
    assert found == []
    assert len(shop.stripe.charges) == 3
    assert set(shop.stripe.keys) == {
        charge["id"] for charge in shop.stripe.charges if charge["status"] == "succeeded"
    }


def _order_row(books: Books) -> dict[str, Any]:
    return books.tables["orders"][0]


def _second_charge(shop: Shop) -> None:
    group = shop.stripe.ledger[shop.orders[0].id]
    group["succeeded_charges"] = 2
    (charge,) = _charges_of(shop, 0)
    shop.stripe.charges.append({**charge, "id": "ch_second"})


def _charges_of(shop: Shop, place: int) -> list[dict[str, Any]]:
    intents = shop.stripe.ledger[shop.orders[place].id]["payment_intents"]
    return [
        charge
        for charge in shop.stripe.charges
        if charge["payment_intent"] in intents and charge["status"] == "succeeded"
    ]


def _not_recorded(shop: Shop) -> None:
    row = shop.books.order(shop.orders[0].id)
    assert row is not None
    row["status"] = "pending"


def _paid_without_charge(shop: Shop) -> None:
    shop.stripe.ledger.pop(shop.orders[0].id)
    for charge in _charges_gone(shop):
        shop.stripe.charges.remove(charge)


def _charges_gone(shop: Shop) -> list[dict[str, Any]]:
    books = shop.books.of_order("payments", shop.orders[0].id)
    ids = {row["stripe_payment_intent_id"] for row in books}
    return [charge for charge in shop.stripe.charges if charge["payment_intent"] in ids]


def _unknown_order(shop: Shop) -> None:
    shop.asked = [ask for ask in shop.asked if ask.order_id != shop.orders[0].id]
    del shop.orders[0]


def _second_customer(shop: Shop) -> None:
    shop.stripe.customers.append({**shop.stripe.customers[0], "id": "cus_second"})


def _wrong_amount(shop: Shop) -> None:
    _charges_of(shop, 0)[0]["amount_captured"] = 1


def _foreign_card(shop: Shop) -> None:
    shop.orders[0] = replace(shop.orders[0], methods=frozenset())


def _tell(shop: Shop, place: int, **changes: Any) -> None:
    shop.asked[place] = replace(shop.asked[place], **changes)


def _card_that_nobody_named(shop: Shop) -> None:
    """A saved card of the same user, and not the one that he chose."""
    _tell(shop, 0, method="pm_chosen")


def _declined_but_charged(shop: Shop) -> None:
    _tell(shop, 0, status=402, body={**shop.asked[0].body, "status": "error"})


def _denied_after_success(shop: Shop) -> None:
    _tell(shop, 1, status=404, body={**shop.asked[1].body, "status": "error"})


def _called_refunded(shop: Shop) -> None:
    body = copy.deepcopy(shop.asked[1].body)
    body["data"]["status"] = "refunded"
    _tell(shop, 1, body=body)


def _attempt_declined_but_charged(shop: Shop) -> None:
    shop.books.of_order("payment_attempts", shop.orders[0].id)[0]["state"] = "declined"


def _challenge_passed_after_the_end(shop: Shop) -> None:
    """No key of ours made the charge: the card holder did."""
    _attempt_declined_but_charged(shop)
    for charge_id in shop.stripe.keys:
        shop.stripe.keys[charge_id] = ""


def _stack_trace(shop: Shop) -> None:
    _tell(shop, 0, status=500, body={})


def _open_attempt(shop: Shop) -> None:
    shop.books.of_order("payment_attempts", shop.orders[0].id)[0]["state"] = "open"


def _no_notice(shop: Shop) -> None:
    entries = shop.books.tables["outbox"]
    entries.remove(next(entry for entry in entries if entry["kind"] == "order.paid"))


def _lost_order(shop: Shop) -> None:
    shop.books.tables["orders"].remove(_order_row(shop.books))


def _unknown_refund(shop: Shop) -> None:
    shop.stripe.ledger[shop.orders[0].id]["amount_refunded"] = 5


def _balance_of_a_payment(shop: Shop) -> None:
    shop.books.tables["payments"][0]["amount_refunded_minor"] = 5


def _surplus_kept(shop: Shop) -> None:
    shop.books.tables["payments"][0]["state"] = "surplus"


def _refund(shop: Shop, state: str, cause: str = "surplus") -> None:
    payment = shop.books.of_order("payments", shop.orders[0].id)[0]
    row = {"id": "r", "order_id": shop.orders[0].id, "payment_id": payment["id"]}
    shop.books.tables["refunds"].append({**row, "state": state, "cause": cause})


def _refund_without_a_surplus(shop: Shop) -> None:
    _refund(shop, "succeeded")


def _refund_never_made(shop: Shop) -> None:
    _refund(shop, "requested", "requested")


def _refund_made_twice(shop: Shop) -> None:
    _refund(shop, "succeeded", "requested")
    metadata = {"order_id": shop.orders[0].id, "refund_id": "r"}
    shop.stripe.refunds.extend([{"metadata": metadata}] * 2)


def _refund_of_nobody(shop: Shop) -> None:
    metadata = {"order_id": shop.orders[0].id, "refund_id": "r"}
    shop.stripe.refunds.append({"metadata": metadata})


def _client_secret_in_an_answer(shop: Shop) -> None:
    shop.books.tables["answers"].append({"body": '{"clientSecret": "pi_3Abc_secret_xyz"}'})


def _client_secret(shop: Shop) -> None:
    shop.books.tables["payments"][0]["intent_params"] = "pi_3Abc_secret_xyz"


def _wish_made_twice(shop: Shop) -> None:
    shop.stripe.refunds.append({**shop.stripe.refunds[0], "id": "re_second"})


def _refund_over_another_amount(shop: Shop) -> None:
    shop.stripe.refunds[0]["amount"] += 1


def _refund_nobody_wished_for(shop: Shop) -> None:
    shop.asked = [ask for ask in shop.asked if ask.kind != "give_back"]


def _more_given_back_than_taken(shop: Shop) -> None:
    """By somebody at Stripe, who needs no wish."""
    made = shop.stripe.refunds[0]
    shop.stripe.refunds.append({**made, "id": "re_more", "amount": PRICE_MINOR, "metadata": {}})
    row = shop.books.tables["refunds"][0]
    more = {**row, "id": "more", "stripe_refund_id": "re_more", "amount_minor": PRICE_MINOR}
    shop.books.tables["refunds"].append(more)


def _refund_in_no_row(shop: Shop) -> None:
    shop.books.tables["refunds"].clear()


def _refund_failed_unseen(shop: Shop) -> None:
    shop.stripe.refunds[0]["status"] = "failed"


def _refund_not_at_stripe(shop: Shop) -> None:
    shop.stripe.refunds.clear()


def _refund_answered_and_not_made(shop: Shop) -> None:
    shop.asked[-1].body["data"]["stripeRefundId"] = "re_unknown"


def _refund_refused_and_made(shop: Shop) -> None:
    body = {**shop.asked[-1].body, "code": "refund_exceeds_payment", "data": None}
    shop.asked[-1] = replace(shop.asked[-1], status=409, body=body)


def _sheet(shop: Shop, **changes: Any) -> None:
    """Of the second order, as it was answered, and then changed."""
    (place,) = (n for n, ask in enumerate(shop.asked) if ask.kind == "sheet")
    body = shop.asked[place].body
    _tell(shop, place, body={**body, "data": {**body["data"], **changes}})


def _sheet_of_another_order(shop: Shop) -> None:
    _sheet(shop, paymentIntentId=_charges_of(shop, 0)[0]["payment_intent"])


def _sheet_for_a_stranger(shop: Shop) -> None:
    _sheet(shop, customerId="cus_of_somebody")


def _sheet_with_another_secret(shop: Shop) -> None:
    _sheet(shop, paymentIntentClientSecret="pi_another_secret")


def _sheet_after_the_payment(shop: Shop) -> None:
    (sheet,) = (ask for ask in shop.asked if ask.kind == "sheet")
    shop.asked.append(replace(sheet, begun=1_000, ended=1_001))


def _sheet_says_paid(shop: Shop) -> None:
    """Of an order of which nobody was told anything else, and that Stripe charged nothing for."""
    _paid_without_charge(shop)
    (sheet,) = (ask for ask in shop.asked if ask.kind == "sheet")
    body = {**sheet.body, "data": None, "code": "order_already_paid"}
    said = replace(sheet, order_id=shop.orders[0].id, status=409, body=body)
    shop.asked = [said, *(ask for ask in shop.asked if ask.order_id != said.order_id)]


def _sheet_that_stays_alive(shop: Shop) -> None:
    """Its intent is no more the one that our books know."""
    intent = shop.stripe.intents[_charges_of(shop, 1)[0]["payment_intent"]]
    left = {**intent, "id": "pi_left", "status": "requires_payment_method"}
    shop.stripe.intents["pi_left"] = left
    _sheet(shop, paymentIntentId="pi_left")


def _card_that_is_not_the_users(shop: Shop) -> None:
    shop.stripe.cards.append({**shop.stripe.cards[0], "id": "pm_of_somebody"})


def _card_on_another_customer(shop: Shop) -> None:
    shop.stripe.customers.append({"id": "cus_bob", "metadata": {"user_id": "bob"}})
    shop.stripe.cards[0]["customer"] = "cus_bob"


def _setup(shop: Shop, state: str, status: str) -> None:
    """Of the first card, by its user."""
    card = shop.stripe.cards[0]
    shop.books.tables["setups"].append({"id": "s", "user_id": "alice", "state": state})
    intent = {"id": "seti_1", "status": status, "customer": card["customer"]}
    metadata = {"setup_id": "s", "user_id": "alice"}
    shop.stripe.setups.append({**intent, "payment_method": card["id"], "metadata": metadata})


def _setup_left_alive(shop: Shop) -> None:
    _setup(shop, "closed", "requires_action")


def _setup_of_somebody(shop: Shop) -> None:
    _setup(shop, "open", "requires_action")
    shop.books.tables["setups"][0]["user_id"] = "bob"


def _setup_without_its_card(shop: Shop) -> None:
    _setup(shop, "succeeded", "succeeded")
    shop.books.tables["payment_methods"].clear()


def _setup_whose_card_is_not_listed(shop: Shop) -> None:
    _setup(shop, "succeeded", "succeeded")


BROKEN: dict[str, tuple[Callable[[Shop], None], str]] = {
    "a second charge": (_second_charge, "I1"),
    "a charge that is not recorded": (_not_recorded, "I2"),
    "paid without a charge": (_paid_without_charge, "I2"),
    "a charge of no order": (_unknown_order, "I2"),
    "a sheet of another order": (_sheet_of_another_order, "I2"),
    "a sheet with a stranger's customer": (_sheet_for_a_stranger, "I5"),
    "a sheet with another client secret": (_sheet_with_another_secret, "I6"),
    "a sheet after the payment": (_sheet_after_the_payment, "I6"),
    "a sheet that says paid, and nothing was charged": (_sheet_says_paid, "I6"),
    "a sheet that can be paid for ever": (_sheet_that_stays_alive, "I1"),
    "a card on a customer that is not its user's": (_card_that_is_not_the_users, "I5"),
    "a card of ours on another customer": (_card_on_another_customer, "I5"),
    "a setup that is left alive": (_setup_left_alive, "I8"),
    "a setup of somebody else": (_setup_of_somebody, "I5"),
    "a setup without its card": (_setup_without_its_card, "I2"),
    "a setup whose card is not listed": (_setup_whose_card_is_not_listed, "I2"),
    "two customers": (_second_customer, "I3"),
    "a wrong amount": (_wrong_amount, "I4"),
    "a card of somebody else": (_foreign_card, "I5"),
    "a card that nobody asked for": (_card_that_nobody_named, "I6"),
    "declined and charged": (_declined_but_charged, "I6"),
    "denied after success": (_denied_after_success, "I6"),
    "called refunded and kept": (_called_refunded, "I6"),
    "declined in our books and charged": (_attempt_declined_but_charged, "I6"),
    "failed in our books, and its challenge was passed": (_challenge_passed_after_the_end, "I6"),
    "a stack trace": (_stack_trace, "I6"),
    "an attempt that stays open": (_open_attempt, "I8"),
    "a payment without a notice": (_no_notice, "I9"),
    "an order that is gone": (_lost_order, "I11"),
    "a refund we do not know": (_unknown_refund, "I13"),
    "a payment's balance": (_balance_of_a_payment, "I13"),
    "a surplus that is kept": (_surplus_kept, "I13"),
    "a refund of no surplus": (_refund_without_a_surplus, "I13"),
    "a refund that is never made": (_refund_never_made, "I8"),
    "a refund made twice": (_refund_made_twice, "I13"),
    "a refund that is not in our books": (_refund_of_nobody, "I13"),
    "a client secret in the books": (_client_secret, "I14"),
    "one wish made twice": (_wish_made_twice, "I13"),
    "a refund over another amount": (_refund_over_another_amount, "I13"),
    "a refund that nobody wished for": (_refund_nobody_wished_for, "I13"),
    "more given back than taken": (_more_given_back_than_taken, "I13"),
    "a refund in no row": (_refund_in_no_row, "I13"),
    "a refund that failed unseen": (_refund_failed_unseen, "I13"),
    "a refund of ours that Stripe has not": (_refund_not_at_stripe, "I13"),
    "a refund answered and not made": (_refund_answered_and_not_made, "I6"),
    "a refund refused and made": (_refund_refused_and_made, "I6"),
    "a client secret in an answer that is kept": (_client_secret_in_an_answer, "I14"),
}


class Counted(dict[str, Any]):
    """A row or an object that counts how often anybody looks into it."""

    looks = 0

    def __getitem__(self, name: str) -> Any:
        Counted.looks += 1
        return super().__getitem__(name)


def _copied(shop: Shop, times: int) -> tuple[Stripe, Books, list[Order], list[Asked]]:
    """The shop's first order so many times, each with ids of its own."""
    order, charges = shop.orders[0], _charges_of(shop, 0)
    payments = shop.books.of_order("payments", order.id)
    intents = [shop.stripe.intents[row["stripe_payment_intent_id"]] for row in payments]
    known = [order.id, *(each["id"] for each in (*payments, *intents, *charges))]
    tables: dict[str, list[Any]] = {name: [] for name in shop.books.tables}
    stripe = Stripe({}, {}, [], [], {})
    orders, asked = [], []
    for number in range(times):
        mine = partial(_renamed, known, number)
        for name in ("payments", "payment_attempts", "outbox"):
            tables[name] += map(mine, shop.books.of_order(name, order.id))
        tables["orders"].append(mine(shop.books.order(order.id)))
        stripe.intents.update({each["id"]: each for each in map(mine, intents)})
        stripe.charges.extend(map(mine, charges))
        own = replace(order, id=f"{order.id}-{number}")
        stripe.ledger[own.id] = mine(shop.stripe.ledger[order.id])
        stripe.keys.update({f"{c['id']}-{number}": shop.stripe.keys[c["id"]] for c in charges})
        orders.append(own)
        asked += [replace(a, order_id=own.id) for a in shop.asked if a.order_id == order.id]
    return stripe, Books(tables), orders, asked


def _renamed(known: list[str], number: int, row: Any) -> Counted:
    text = json.dumps(row, default=str)
    for each in known:
        text = text.replace(each, f"{each}-{number}")
    return Counted(json.loads(text))


def test_an_order_costs_the_same_however_many_there_are(shop: Shop) -> None:
    looks = {}
    for times in (100, 1000):
        stripe, books, orders, asked = _copied(shop, times)
        Counted.looks = 0
        assert judge(stripe, books, orders, asked, is_settled=True) == []
        looks[times] = Counted.looks
    assert 1000 < looks[1000] <= 11 * looks[100]


def test_each_broken_promise_is_found_by_its_name(shop: Shop) -> None:
    healthy = copy.deepcopy((shop.stripe, shop.books, shop.orders, shop.asked))
    for name, (damage, invariant) in BROKEN.items():
        shop.stripe, shop.books, shop.orders, shop.asked = copy.deepcopy(healthy)
        damage(shop)
        assert invariant in shop.judge(), name
    assert isinstance(healthy[0], Stripe)
