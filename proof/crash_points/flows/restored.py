"""A database that was put back."""

from proof.crash_points.card_numbers import NEEDS_3DS
from proof.crash_points.flows.table import CUSTOMERS, HOURS, INTENTS, flow
from proof.crash_points.shop import Shop


@flow(ends="paid", operator="reconcile")
def restored(shop: Shop) -> None:
    """Two orders were paid after the copy was made; the books know one intent, and not the other's
    customer."""
    known, card = shop.order(), shop.card()
    shop.lose("POST", CUSTOMERS, "rate_limit", times=3)
    unknown, other = shop.order("bob"), shop.card(user="bob")
    shop.calm_down()
    shop.back_up()
    shop.pay(known, card)
    shop.pay(unknown, other)
    shop.restore()
    shop.pass_time(25 * HOURS)  # no key helps any more
    shop.begin()
    shop.start()
    shop.pay(unknown, other, patience=1)
    shop.operate("mark")
    shop.operate("reconcile")
    shop.pay(unknown, other)
    shop.pay(known, card)


@flow(ends="paid")
def restored_and_canceled(shop: Shop) -> None:
    """The intent that the books have forgotten was canceled at Stripe: another one pays."""
    shop.lose("POST", CUSTOMERS, "rate_limit", times=3)
    order, card = shop.order(), shop.card()
    shop.calm_down()
    shop.back_up()
    answer = shop.pay(order, shop.card(NEEDS_3DS))
    shop.restore()
    shop.start()
    shop.at_stripe("POST", f"{INTENTS}/{answer.data['paymentIntentId']}/cancel")
    shop.begin()
    shop.work(120)
    shop.work(600)
    shop.pay(order, card)
