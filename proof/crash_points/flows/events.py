"""Stripe's events are heard, forgotten, read from its list."""

from proof.crash_points.card_numbers import NEEDS_3DS, OTHER_GOOD
from proof.crash_points.flows.table import CONFIRM, DAYS, INTENT, TWICE, flow
from proof.crash_points.shop import Shop


@flow(ends="paid")
def events_of_a_payment(shop: Shop) -> None:
    """The answer of the confirm is lost for good, and the events of the payment are heard."""
    order, card = shop.order(), shop.card()
    shop.lose("POST", CONFIRM, "drop_response", times=3)
    shop.lose("GET", INTENT, "drop_request", times=TWICE)
    shop.pay(order, card, patience=1)
    shop.calm_down()
    shop.begin()
    shop.hear()
    shop.work()


@flow(ends="paid")
def events_after_an_outage(shop: Shop) -> None:
    """No event was delivered: an operator reads them from Stripe's list, and resends one."""
    order, card = shop.order(), shop.card(NEEDS_3DS)
    shop.authenticate(shop.pay(order, card))
    shop.begin()
    shop.operate("backfill_events")
    shop.operate("resend_events")
    shop.work()


@flow(ends="paid")
def events_forgotten(shop: Shop) -> None:
    """Stripe's events are forgotten after 90 days. Those that we tell of a payment are younger."""
    order, card = shop.order(), shop.card()
    shop.at_stripe("POST", f"/v1/payment_methods/{card}/attach?customer={shop.customer_id()}")
    shop.at_stripe("POST", f"/v1/payment_methods/{card}/detach")
    shop.hear()
    shop.work()
    shop.pass_time(60 * DAYS)
    shop.pay(order, shop.card())
    shop.begin()
    shop.work(31 * DAYS)


@flow(ends="paid")
def events_of_a_customer(shop: Shop) -> None:
    """Somebody changes and detaches a card and deletes the customer at Stripe; then a payment."""
    card, other = shop.card(), shop.card(OTHER_GOOD)
    shop.pay(shop.order(), card, save=True)
    shop.hear()
    shop.work()
    order = shop.order()
    shop.at_stripe("POST", f"/v1/payment_methods/{card}?card[exp_year]=2044")
    shop.at_stripe("POST", f"/v1/payment_methods/{card}/detach")
    shop.at_stripe("DELETE", f"/v1/customers/{shop.customer_id()}")
    shop.begin()
    shop.hear()
    shop.work()
    shop.pay(order, other)
