"""The payment sheet: the app confirms the order's intent by itself, and the service dies around it.

What the app does at Stripe happens once, whatever becomes of the service: nobody asks it again.
"""

from proof.crash_points.card_numbers import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, OTHER_GOOD
from proof.crash_points.flows.table import DAYS, HOURS, flow
from proof.crash_points.shop import Shop


@flow(ends="paid")
def sheet(shop: Shop) -> None:
    """The app asks for a sheet and pays with it, and nobody but the worker finds out."""
    order, card = shop.order(), shop.card()
    shop.begin()
    shop.app_confirms(order, shop.open_sheet(order), card)
    shop.work(60)


@flow(ends="paid")
def sheet_of_a_new_order(shop: Shop) -> None:
    """Nothing is prepared when the sheet is asked for; the card needs 3-D Secure."""
    shop.start()
    shop.begin()
    order, card = shop.order(), shop.card(NEEDS_3DS)
    opened = shop.open_sheet(order)
    shop.app_confirms(order, opened, card)
    shop.look(order)
    shop.finish_challenge(opened)
    shop.look(order)


@flow(ends="paid")
def sheet_and_payment(shop: Shop) -> None:
    """The app's card is declined in the sheet; then it pays with another one, as ever."""
    order, card, other = shop.order(), shop.card(DECLINED_AT_CHARGE), shop.card(OTHER_GOOD)
    opened = shop.open_sheet(order)
    shop.app_confirms(order, opened, card)
    shop.begin()
    shop.look(order)
    shop.pay(order, other)


@flow(ends="pending", declines_per_user_and_hour=1)
def sheet_with_too_many_declines(shop: Shop) -> None:
    """A decline more than is allowed: the sheet's intent is canceled."""
    order, card = shop.order(), shop.card(DECLINED_AT_CHARGE)
    shop.app_confirms(order, shop.open_sheet(order), card)
    shop.begin()
    shop.look(order)
    shop.pass_time(2 * HOURS)


@flow(ends="pending")
def sheet_that_is_left(shop: Shop) -> None:
    """Nobody pays with the sheet, and after a day its intent is canceled."""
    order, other = shop.order(), shop.order()
    shop.open_sheet(order)
    shop.app_confirms(other, shop.open_sheet(other), shop.card(NEEDS_3DS))
    shop.begin()
    shop.work(DAYS)
    shop.work(3 * HOURS)


@flow(ends="paid")
def sheet_for_a_deleted_customer(shop: Shop) -> None:
    """The customer was deleted at Stripe, and nobody told us before a sheet was asked for."""
    shop.pay(shop.order(), shop.card())
    order = shop.order()
    shop.at_stripe("DELETE", f"/v1/customers/{shop.customer_id()}")
    shop.begin()
    shop.app_confirms(order, shop.open_sheet(order), shop.card(GOOD))
    shop.work(60)
