"""Cards pay, are declined, are used once."""

from proof.crash_points.card_numbers import DECLINED_AT_ATTACH, DECLINED_AT_CHARGE, OTHER_GOOD
from proof.crash_points.flows.table import CUSTOMERS, flow
from proof.crash_points.shop import Shop


@flow(ends="paid")
def first_payment(shop: Shop) -> None:
    """A prepared order is paid with a new card, which is kept."""
    order, card = shop.order(), shop.card()
    shop.begin()
    shop.pay(order, card, save=True)


@flow(ends="paid")
def unprepared_payment(shop: Shop) -> None:
    """Nothing could be prepared: the first payment makes customer and intent."""
    shop.lose("POST", CUSTOMERS, "rate_limit", times=3)
    order, card = shop.order(), shop.card()
    shop.calm_down()
    shop.begin()
    shop.pay(order, card)


@flow(ends="paid")
def known_card(shop: Shop) -> None:
    """A prepared order is paid with a card that paid before."""
    card = shop.card()
    shop.pay(shop.order(), card)
    order = shop.order()
    shop.begin()
    shop.pay(order, card)


@flow(ends="paid")
def paid_order_again(shop: Shop) -> None:
    """A paid order is paid again, by the same card and by another."""
    order, card, other = shop.order(), shop.card(), shop.card(OTHER_GOOD)
    shop.pay(order, card)
    shop.begin()
    shop.pay(order, card, key="tap-1")
    shop.pay(order, other)
    shop.confirm(order)


@flow(ends="paid")
def decline_and_retry(shop: Shop) -> None:
    """A card is declined at the charge, twice; another card pays."""
    order, bad, good = shop.order(), shop.card(DECLINED_AT_CHARGE), shop.card()
    shop.begin()
    shop.pay(order, bad)
    shop.pay(order, bad)
    shop.pay(order, good)


@flow(ends="paid")
def decline_at_attach(shop: Shop) -> None:
    """A card is declined when it is attached; another card pays."""
    order, bad, good = shop.order(), shop.card(DECLINED_AT_ATTACH), shop.card()
    shop.begin()
    shop.pay(order, bad)
    shop.pay(order, good)


@flow(ends="paid", payment_method_policy="single_use")
def single_use(shop: Shop) -> None:
    """Each entry of a card is used once: the declined one is dead, the next one pays."""
    order, bad, good = shop.order(), shop.card(DECLINED_AT_CHARGE), shop.card()
    shop.begin()
    shop.pay(order, bad)
    shop.pay(order, bad)
    shop.pay(order, good)
