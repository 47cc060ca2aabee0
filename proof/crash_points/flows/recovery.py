"""Calls, answers and keys are lost, and the worker or the next tap goes on."""

from proof.crash_points.card_numbers import DECLINED_AT_CHARGE, NEEDS_3DS, OTHER_GOOD
from proof.crash_points.flows.table import (
    ATTACH,
    CONFIRM,
    CUSTOMERS,
    HOURS,
    INTENT,
    INTENTS,
    TWICE,
    WINDOW_OVER,
    flow,
)
from proof.crash_points.shop import Shop


@flow(ends="paid")
def lost_answer(shop: Shop) -> None:
    """The confirm's answer is lost for good: the worker finds the charge."""
    order, card = shop.order(), shop.card()
    shop.lose("POST", CONFIRM, "drop_response", times=3)
    shop.lose("GET", INTENT, "drop_request", times=TWICE)
    shop.begin()
    shop.pay(order, card, patience=1)
    shop.calm_down()
    if shop.deaths:
        shop.pay(order, card)  # it may have died before it sent anything
    shop.work(60)


@flow(ends="pending")
def lost_request(shop: Shop) -> None:
    """The confirm never arrives: past the window the worker cancels the intent."""
    order, card = shop.order(), shop.card()
    shop.lose("POST", CONFIRM, "drop_request", times=99)
    shop.pay(order, card, patience=1)
    shop.begin()
    shop.work(60)
    shop.calm_down()
    shop.work(WINDOW_OVER)


@flow(ends="paid")
def lost_request_and_another_card(shop: Shop) -> None:
    """The confirm never arrives, and the user comes with another card at once."""
    order, card, other = shop.order(), shop.card(), shop.card(OTHER_GOOD)
    shop.lose("POST", CONFIRM, "drop_request", times=3)
    shop.begin()
    shop.pay(order, card, patience=1)
    shop.calm_down()
    shop.pay(order, other)


@flow(ends="paid")
def saved_500(shop: Shop) -> None:
    """Stripe saves a 500 under every key of a first payment."""
    shop.lose("POST", CUSTOMERS, "error_after")
    shop.lose("POST", INTENTS, "error_after")
    shop.lose("POST", ATTACH, "error_after")
    shop.lose("POST", CONFIRM, "error_before")
    shop.lose("POST", CONFIRM, "error_after")
    card = shop.card()
    shop.start()
    shop.begin()
    order = shop.order()
    shop.pay(order, card)


@flow(ends="paid")
def saved_500_and_decline(shop: Shop) -> None:
    """Stripe saves a 500 under the confirm's key, behind which the card was declined."""
    order, bad, good = shop.order(), shop.card(DECLINED_AT_CHARGE), shop.card()
    shop.lose("POST", CONFIRM, "error_after")
    shop.begin()
    shop.pay(order, bad)
    shop.pay(order, good)


@flow(ends="paid")
def rate_limit(shop: Shop) -> None:
    """Stripe does not take the confirm: surely not charged; the next attempt is."""
    order, card = shop.order(), shop.card()
    shop.lose("POST", CONFIRM, "rate_limit")
    shop.begin()
    shop.pay(order, card)


@flow(ends="paid")
def refused_email(shop: Shop) -> None:
    """Stripe refuses the user's e-mail, and the customer is made without it."""
    shop.start()
    shop.begin()
    order = shop.order("someone@nowhere")
    shop.pay(order, shop.card(user="someone@nowhere"))


@flow(ends="paid")
def dead_card(shop: Shop) -> None:
    """The card was detached at Stripe, so it can never be used again; another one pays."""
    card, other = shop.card(), shop.card(OTHER_GOOD)
    shop.pay(shop.order(), card)
    order = shop.order()
    shop.at_stripe("POST", f"/v1/payment_methods/{card}/detach")
    shop.begin()
    shop.pay(order, card)
    shop.pay(order, other)


@flow(ends="paid")
def customer_of_yesterday(shop: Shop) -> None:
    """The customer was made at Stripe and never recorded, and its key is forgotten."""
    shop.lose("POST", CUSTOMERS, "drop_response", times=3)
    order, card = shop.order(), shop.card()
    shop.calm_down()
    shop.pass_time(25 * HOURS)
    shop.begin()
    shop.pay(order, card)


@flow(ends="paid")
def intent_of_yesterday(shop: Shop) -> None:
    """The intent was made at Stripe and never recorded, and its key is forgotten."""
    shop.lose("POST", INTENTS, "drop_response", times=3)
    order, card = shop.order(), shop.card()
    shop.calm_down()
    shop.pass_time(25 * HOURS)
    shop.begin()
    shop.pay(order, card)


@flow(ends="paid")
def create_of_yesterday(shop: Shop) -> None:
    """The create never arrived, and its key is forgotten: it may still arrive, late."""
    shop.lose("POST", INTENTS, "drop_request", times=3)
    order, card = shop.order(), shop.card()
    shop.calm_down()
    shop.pass_time(25 * HOURS)
    shop.begin()
    shop.pay(order, card)
    shop.work(60)


@flow(ends="paid")
def key_of_yesterday_and_lost_answer(shop: Shop) -> None:
    """The confirm was executed, nobody heard, and the worker was away for a day."""
    order, card = shop.order(), shop.card()
    shop.lose("POST", CONFIRM, "drop_response", times=3)
    shop.lose("GET", INTENT, "drop_request", times=TWICE)
    shop.pay(order, card, patience=1)
    shop.calm_down()
    shop.pass_time(25 * HOURS)
    shop.begin()
    shop.work()


@flow(ends="paid")
def app_confirms_by_itself(shop: Shop) -> None:
    """After a failed challenge the app confirms with another card by itself, and is closed."""
    order, card, other = shop.order(), shop.card(NEEDS_3DS), shop.card()
    answer = shop.pay(order, card)
    shop.authenticate(answer, "fail")
    shop.confirm(order)
    shop.app_confirms(order, answer, other)
    shop.begin()
    shop.work(60)


@flow(ends="paid")
def deleted_customer(shop: Shop) -> None:
    """The customer was deleted at Stripe, and nobody told us before the payment."""
    other = shop.card(OTHER_GOOD)
    shop.pay(shop.order(), shop.card())
    order = shop.order()
    shop.at_stripe("DELETE", f"/v1/customers/{shop.customer_id()}")
    shop.begin()
    shop.pay(order, other)
