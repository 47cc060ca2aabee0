"""The merchant's endpoint is told of what happened."""

from proof.crash_points.card_numbers import DECLINED_AT_CHARGE
from proof.crash_points.flows.table import flow
from proof.crash_points.shop import Shop


@flow(ends="paid", tells_events=True)
def events_told(shop: Shop) -> None:
    """The merchant is told of a declined payment and of the paid order, each at the second try."""
    shop.begin()
    order = shop.order()
    shop.pay(order, shop.card(DECLINED_AT_CHARGE))
    shop.pay(order, shop.card())
    for _ in range(3):
        shop.work(10)
