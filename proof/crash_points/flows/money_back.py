"""The merchant gives money back, and card holders dispute what they paid."""

from proof.crash_points.card_numbers import FRAUD_WARNED, IS_DISPUTED, REFUND_FAILS
from proof.crash_points.flows.table import DAYS, HOURS, REFUNDS, flow
from proof.crash_points.shop import Shop

PART = 1_000


def _paid(shop: Shop, number: str | None = None) -> str:
    order = shop.order()
    shop.pay(order, shop.card(number) if number else shop.card())
    return order


@flow(ends="paid")
def refund_on_request(shop: Shop) -> None:
    """A part goes back, the same request comes again, then all that is left, and a part more."""
    order = _paid(shop)
    shop.begin()
    shop.give_back(order, "a part", PART)
    shop.give_back(order, "a part", PART)
    shop.give_back(order, "the rest")
    shop.give_back(order, "too much", PART)
    shop.work(60)


@flow(ends="paid")
def refund_without_an_answer(shop: Shop) -> None:
    """Stripe makes the refund and its answer is lost; the worker finds out."""
    order = _paid(shop)
    shop.lose("POST", REFUNDS, "drop_response")
    shop.begin()
    shop.give_back(order, "a part", PART)
    shop.work(70)
    shop.give_back(order, "a part", PART)


@flow(ends="paid")
def refund_of_yesterday(shop: Shop) -> None:
    """Nobody heard of the refund, and its key is forgotten: Stripe's list has it."""
    order = _paid(shop)
    shop.lose("POST", REFUNDS, "drop_response", times=9)
    shop.give_back(order, "a part", PART)
    shop.calm_down()
    shop.begin()
    shop.work(25 * HOURS)
    shop.give_back(order, "a part", PART)


@flow(ends="paid", needs_events=True)
def refund_beside_the_dashboard(shop: Shop) -> None:
    """Somebody has given a part back at Stripe; the rest goes back on request."""
    order = _paid(shop)
    shop.at_stripe("POST", f"{REFUNDS}?charge={shop.charge_id()}&amount={PART}")
    shop.begin()
    shop.give_back(order, "the rest")
    shop.hear()
    shop.work(60)


@flow(ends="paid", needs_events=True)
def refund_on_request_that_fails_later(shop: Shop) -> None:
    """The bank gives it back after days, and the merchant asks again."""
    order = _paid(shop, REFUND_FAILS)
    shop.give_back(order, "all")
    shop.begin()
    shop.work(3 * DAYS)
    shop.hear()
    shop.work()
    shop.give_back(order, "all again")
    shop.work(3 * DAYS)  # a first one that was made late fails late
    shop.hear()
    shop.work()


@flow(ends="paid", needs_events=True)
def dispute(shop: Shop) -> None:
    """A payment is disputed, cannot be refunded, and is lost when nobody answers."""
    order = _paid(shop, IS_DISPUTED)
    shop.begin()
    shop.give_back(order, "all")
    shop.hear()
    shop.work()
    shop.give_back(order, "all the same")
    shop.pass_time(10 * DAYS)
    shop.hear()
    shop.work()


@flow(ends="paid")
def dispute_that_nobody_reports(shop: Shop) -> None:
    """No event comes: the worker reads Stripe's list, and looks at what is open."""
    shop.work()
    _paid(shop, IS_DISPUTED)
    shop.begin()
    shop.work(2 * HOURS)
    shop.work(10 * DAYS)


@flow(ends="paid", needs_events=True)
def fraud_warning(shop: Shop) -> None:
    """The card's bank warns that a payment may be a fraud."""
    _paid(shop, FRAUD_WARNED)
    shop.begin()
    shop.hear()
    shop.work()
