"""Money is held, and captured later, or released; orders expire."""

from proof.crash_points.card_numbers import NEEDS_3DS
from proof.crash_points.flows.table import CAPTURE, CONFIRM, DAYS, HOURS, flow
from proof.crash_points.shop import Shop


@flow(ends="paid", capture_method="manual")
def hold_and_capture(shop: Shop) -> None:
    """An order is authorized, looked at, and captured."""
    order, card = shop.order(), shop.card()
    shop.begin()
    shop.pay(order, card, save=True)
    shop.work()
    shop.capture(order)


@flow(ends="paid", capture_method="manual")
def hold_after_a_challenge(shop: Shop) -> None:
    """3-D Secure is passed, an event tells of the hold, a part of it is captured."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    shop.authenticate(shop.pay(order, card))
    shop.begin()
    shop.hear()
    shop.work()
    shop.capture(order, 30_000)


@flow(ends="paid", capture_method="manual")
def hold_with_a_lost_answer(shop: Shop) -> None:
    """The confirm's answer is lost for good; the worker finds the hold, and so does the payer."""
    order, card = shop.order(), shop.card()
    shop.lose("POST", CONFIRM, "drop_response", times=3)
    shop.begin()
    shop.pay(order, card, patience=1)
    shop.work(60)
    shop.pay(order, card)
    shop.capture(order)


@flow(ends="paid", capture_method="manual")
def capture_resumed(shop: Shop) -> None:
    """The capture's answer is lost, and the worker goes on with it."""
    order, card = shop.order(), shop.card()
    shop.pay(order, card)
    shop.lose("POST", CAPTURE, "drop_response")
    shop.begin()
    shop.capture(order, 30_000, patience=1)
    shop.work(60)


@flow(ends="paid", capture_method="manual")
def capture_after_a_saved_500(shop: Shop) -> None:
    """Stripe saves a 500 under the capture's key, and has captured nothing."""
    order, card = shop.order(), shop.card()
    shop.pay(order, card)
    shop.lose("POST", CAPTURE, "error_saved")
    shop.begin()
    shop.capture(order, patience=1)
    shop.work(600)
    shop.work(600)


@flow(ends="canceled", capture_method="manual")
def hold_canceled(shop: Shop) -> None:
    """The merchant cancels an authorized order, and the hold is released."""
    order, card = shop.order(), shop.card()
    shop.pay(order, card)
    shop.begin()
    shop.cancel(order)
    shop.capture(order, patience=1)


@flow(ends="paid", capture_method="manual")
def hold_that_ends(shop: Shop) -> None:
    """Nobody captures, Stripe releases the hold after a week, and the order is paid again."""
    order, card = shop.order(), shop.card()
    shop.pay(order, card)
    shop.work()
    shop.begin()
    shop.work(8 * DAYS)
    shop.work(60)
    shop.pay(order, card)
    shop.capture(order)


@flow(ends="canceled", order_expires_after_hours=24)
def order_expired(shop: Shop) -> None:
    """Nobody pays an order in time, and the worker cancels it."""
    order, card = shop.order(), shop.card()
    shop.begin()
    shop.work(25 * HOURS)
    shop.pay(order, card)
