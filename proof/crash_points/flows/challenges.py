"""3-D Secure, with both confirmation methods."""

from proof.crash_points.card_numbers import DECLINED_AFTER_3DS, NEEDS_3DS
from proof.crash_points.flows.table import CONFIRM, HOURS, WINDOW_OVER, flow
from proof.crash_points.shop import Shop


@flow(ends="paid", name="challenge_manual", stripe_confirmation_method="manual")
@flow(ends="paid", name="challenge_automatic")
def challenge(shop: Shop) -> None:
    """3-D Secure is passed."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    shop.begin()
    shop.authenticate(shop.pay(order, card))
    shop.confirm(order)


@flow(ends="paid", name="challenge_failed_manual", stripe_confirmation_method="manual")
@flow(ends="paid", name="challenge_failed_automatic")
def challenge_failed(shop: Shop) -> None:
    """3-D Secure fails, then the bank declines after it, then another card pays."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    bad, good = shop.card(DECLINED_AFTER_3DS), shop.card()
    shop.begin()
    shop.authenticate(shop.pay(order, card), "fail")
    shop.confirm(order)
    shop.authenticate(shop.pay(order, bad))
    shop.confirm(order)
    shop.pay(order, good)


@flow(ends="paid")
def challenge_left_for_another_card(shop: Shop) -> None:
    """3-D Secure is pending, and the user comes with another card."""
    order, card, other = shop.order(), shop.card(NEEDS_3DS), shop.card()
    shop.begin()
    answer = shop.pay(order, card)
    shop.pay(order, other)
    shop.authenticate(answer, is_late=True)


@flow(ends="paid", name="challenge_reported_manual", stripe_confirmation_method="manual")
@flow(ends="paid", name="challenge_reported_automatic")
def challenge_reported(shop: Shop) -> None:
    """3-D Secure is passed, the app is closed: an event, or the worker, finishes the payment."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    shop.authenticate(shop.pay(order, card))
    shop.begin()
    shop.hear()
    shop.work()
    shop.work(60)


@flow(ends="pending")
def challenge_abandoned(shop: Shop) -> None:
    """3-D Secure is never answered, and the worker ends it."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    shop.pay(order, card)
    shop.begin()
    shop.work(60)
    shop.work(WINDOW_OVER)


@flow(ends="pending")
def apps_challenge_abandoned(shop: Shop) -> None:
    """The app asks for 3-D Secure by itself, nobody answers, and the last look ends it."""
    order, card, other = shop.order(), shop.card(NEEDS_3DS), shop.card(NEEDS_3DS)
    answer = shop.pay(order, card)
    shop.authenticate(answer, "fail")
    shop.confirm(order)
    intent_id = answer.data["paymentIntentId"]
    shop.at_stripe("POST", f"/v1/payment_intents/{intent_id}/confirm?payment_method={other}")
    shop.begin()
    shop.work(60)
    shop.work(25 * HOURS)


@flow(ends="paid", stripe_confirmation_method="manual")
def challenge_again(shop: Shop) -> None:
    """3-D Secure is passed, and the confirm after it asks for another challenge."""
    order, card, other = shop.order(), shop.card(NEEDS_3DS), shop.card(NEEDS_3DS)
    answer = shop.pay(order, card)
    shop.authenticate(answer)
    shop.app_changes_card(order, answer, other)
    shop.begin()
    shop.authenticate(shop.confirm(order))
    shop.confirm(order)


@flow(ends="paid", stripe_confirmation_method="manual")
def challenge_after_a_saved_500(shop: Shop) -> None:
    """The confirm after the challenge runs into a 500 that Stripe saves under its key."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    shop.authenticate(shop.pay(order, card))
    shop.lose("POST", CONFIRM, "error_before")
    shop.lose("POST", CONFIRM, "error_after")
    shop.begin()
    shop.confirm(order)
    shop.work(60)
