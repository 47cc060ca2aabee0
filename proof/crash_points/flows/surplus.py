"""Money that fits no order, and goes back."""

from proof.crash_points.card_numbers import NEEDS_3DS, OTHER_GOOD, REFUND_FAILS
from proof.crash_points.flows.table import DAYS, HOURS, REFUNDS, flow
from proof.crash_points.shop import Shop


def _money_on_a_canceled_order(shop: Shop, number: str = OTHER_GOOD) -> str:
    """The app confirms by itself what our books hold for canceled; the intent."""
    order, card, other = shop.order(), shop.card(NEEDS_3DS), shop.card(number)
    answer = shop.pay(order, card)
    shop.authenticate(answer, "fail")
    shop.confirm(order)
    shop.hear()
    shop.work()
    shop.cancel_in_our_books(order)
    shop.app_confirms(order, answer, other)
    return str(answer.data["paymentIntentId"])


@flow(ends="canceled", needs_events=True)
def surplus(shop: Shop) -> None:
    """Money lands on a canceled order, and goes back."""
    _money_on_a_canceled_order(shop)
    shop.begin()
    shop.hear()
    shop.work()
    shop.hear()
    shop.work(60)


@flow(ends="canceled", needs_events=True)
def surplus_and_a_saved_500(shop: Shop) -> None:
    """Money goes back, and Stripe saves a 500 under the refund's key after it made it."""
    _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "error_after")
    shop.begin()
    shop.hear()
    shop.work()
    shop.work(60)


@flow(ends="canceled")
def surplus_and_a_low_balance(shop: Shop) -> None:
    """Our balance does not cover the refund at first, and Stripe saves that under its key."""
    _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "insufficient_balance")
    shop.hear()
    shop.work()
    shop.begin()
    shop.work(60)
    shop.work(60)


@flow(ends="canceled")
def surplus_of_yesterday(shop: Shop) -> None:
    """Money went back, nobody heard, and the key of the refund is forgotten."""
    _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "drop_response", times=9)
    shop.hear()
    shop.work()
    shop.calm_down()
    shop.begin()
    shop.work(25 * HOURS)


@flow(ends="canceled")
def surplus_given_back_by_hand(shop: Shop) -> None:
    """Somebody has refunded the charge in the dashboard before we do."""
    intent_id = _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "rate_limit")
    shop.hear()
    shop.work()
    shop.at_stripe("POST", f"{REFUNDS}?payment_intent={intent_id}")
    shop.begin()
    shop.work(60)


@flow(ends="canceled", needs_events=True)
def surplus_that_fails_later(shop: Shop) -> None:
    """The bank gives the refund back after days: the money is shown, and not sent again."""
    _money_on_a_canceled_order(shop, REFUND_FAILS)
    shop.hear()
    shop.work()
    shop.begin()
    shop.work(3 * DAYS)
    shop.hear()
    shop.work()
