"""Confirmation tokens: one try each, whose card comes into being with the confirm."""

from proof.crash_points.card_numbers import DECLINED_AT_CHARGE, NEEDS_3DS
from proof.crash_points.flows.table import CONFIRM, flow
from proof.crash_points.shop import Shop


@flow(ends="paid")
def token(shop: Shop) -> None:
    """A token pays, and its card is kept."""
    order, card = shop.order(), shop.token()
    shop.begin()
    shop.pay(order, card, save=True)


@flow(ends="paid")
def token_with_a_challenge(shop: Shop) -> None:
    """A token is declined; another one needs 3-D Secure, and the answer is lost."""
    order, card, other = shop.order(), shop.token(DECLINED_AT_CHARGE), shop.token(NEEDS_3DS)
    shop.begin()
    shop.pay(order, card)
    shop.lose("POST", CONFIRM, "drop_response")
    shop.authenticate(shop.pay(order, other), is_late=True)
    shop.confirm(order)
