"""The merchant cancels."""

from proof.crash_points.card_numbers import NEEDS_3DS
from proof.crash_points.flows.table import CANCEL, flow
from proof.crash_points.shop import Shop


@flow(ends="canceled")
def cancel(shop: Shop) -> None:
    """The merchant cancels an order whose payer is asked to authenticate."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    answer = shop.pay(order, card)
    shop.begin()
    shop.cancel(order)
    shop.authenticate(answer, is_late=True)
    shop.pay(order, card)


@flow(ends="canceled")
def cancel_before_paying(shop: Shop) -> None:
    """The merchant cancels an order that nobody tried to pay."""
    order = shop.order()
    shop.begin()
    shop.cancel(order)


@flow(ends="canceled")
def cancel_resumed(shop: Shop) -> None:
    """Stripe does not answer the cancelation, and the worker goes on with it."""
    order = shop.order()
    shop.lose("POST", CANCEL, "drop_request")
    shop.begin()
    shop.cancel(order, patience=1)
    shop.work(60)


@flow(ends="paid")
def cancel_against_a_challenge_passed(shop: Shop) -> None:
    """The merchant cancels while the card holder passes the challenge: the charge stands."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    shop.authenticate(shop.pay(order, card))
    shop.begin()
    shop.cancel(order)
    shop.work(60)
