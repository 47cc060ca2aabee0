"""Intents that no row holds."""

from proof.crash_points.flows.table import HOURS, INTENTS, flow
from proof.crash_points.shop import Shop


@flow(ends="pending")
def stray_adopted(shop: Shop) -> None:
    """A create's answer was lost, and nobody recorded it: the worker does."""
    shop.lose("POST", INTENTS, "drop_response", times=3)
    shop.order()
    shop.calm_down()
    shop.begin()
    shop.work(120)


@flow(ends="paid")
def stray_canceled(shop: Shop) -> None:
    """Two intents were made, one was recorded and pays; the worker cancels the loser."""
    shop.lose("POST", INTENTS, "error_after")
    order, card = shop.order(), shop.card()
    shop.pay(order, card)
    shop.begin()
    shop.work(120)
    shop.work(27 * HOURS)


@flow(ends="canceled")
def stray_of_a_canceled_order(shop: Shop) -> None:
    """A create's answer was lost, and the order was canceled with no intent recorded."""
    shop.lose("POST", INTENTS, "drop_response", times=3)
    order = shop.order()
    shop.calm_down()
    shop.begin()
    shop.cancel(order)
    shop.work(120)
