"""The flows: what a client, Stripe and time do to the service, in order.

Everything before `shop.begin()` sets the scene; after it every step is a crash point. A flow that
is not finished because its client left ends there. `ends` is what has to become of its last order
when everybody comes back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proof.crash_points.shop import (
    DECLINED_AFTER_3DS,
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    NEEDS_3DS,
    OTHER_GOOD,
    REFUND_FAILS,
    Shop,
)

CONFIRM = "/v1/payment_intents/*/confirm"
CANCEL = "/v1/payment_intents/*/cancel"
ATTACH = "/v1/payment_methods/*/attach"
INTENT = "/v1/payment_intents/*"
INTENTS = "/v1/payment_intents"
CUSTOMERS = "/v1/customers"
REFUNDS = "/v1/refunds"
TWICE = 2  # the HTTP client sends a GET again by itself when a kept connection breaks
HOURS = 3600.0
DAYS = 24 * HOURS
WINDOW_OVER = 1000.0
"""Past the 15 minutes after which an unknown outcome or a challenge is ended."""


@dataclass(frozen=True)
class Flow:
    """`ends`: the status of the last order, None where there is none to look at. `operator`: the
    command that somebody gives in the end, whoever has left."""

    name: str
    run: Callable[[Shop], None]
    ends: str | None
    settings: tuple[tuple[str, Any], ...] = ()
    is_start: bool = False
    operator: str = ""

    @property
    def title(self) -> str:
        return (self.run.__doc__ or "").split("\n")[0].rstrip(".")


FLOWS: dict[str, Flow] = {}

LEFT_OUT = {
    "commit.host_table": "an upgrade of the host's own table; tests/migration/test_adoption.py",
    "commit.dismiss": "a person's command: one commit, and nothing at Stripe;"
    " tests/service/test_reconcile_dismiss.py",
    "commit.authorized": "no intent of ours is made with manual capture",
}
"""Steps of the code that no flow passes, and why."""


def flow(
    ends: str | None,
    *,
    is_start: bool = False,
    operator: str = "",
    name: str = "",
    **settings: Any,
) -> Callable[[Callable[[Shop], None]], Callable[[Shop], None]]:
    """Put a flow into the table. `is_start`: the checks before a start belong to it."""

    def add(run: Callable[[Shop], None]) -> Callable[[Shop], None]:
        key = name or run.__name__
        FLOWS[key] = Flow(key, run, ends, tuple(sorted(settings.items())), is_start, operator)
        return run

    return add


# --- orders --------------------------------------------------------------------------------------


@flow(ends=None, is_start=True)
def starting(shop: Shop) -> None:
    """The service starts for the first time, and marks how far it knows Stripe."""
    shop.begin()
    shop.start()
    shop.operate("mark")


@flow(ends="pending")
def new_order(shop: Shop) -> None:
    """The app makes an order, and it is prepared."""
    shop.start()
    shop.begin()
    shop.order(key="basket-1")


@flow(ends="pending")
def hosts_order(shop: Shop) -> None:
    """The host sets its prices and makes an order under its own id, and it is prepared."""
    shop.start()
    shop.begin()
    shop.put_products()
    shop.merchant_order("7d0ee3a4-5a0c-4c3b-9d1c-0c8f6ae2f0aa")


@flow(ends="pending")
def backfill(shop: Shop) -> None:
    """Orders were made while Stripe was away, and the backfill makes their users' customers."""
    shop.lose("POST", CUSTOMERS, "rate_limit", times=9)
    for user in ("alice", "bob", "carol"):
        shop.order(user)
    shop.calm_down()
    shop.begin()
    shop.operate("backfill_customers")


# --- paying --------------------------------------------------------------------------------------


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


# --- 3-D Secure ----------------------------------------------------------------------------------


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


@flow(ends="paid", stripe_confirmation_method="manual")
def challenge_again(shop: Shop) -> None:
    """3-D Secure is passed, and the confirm after it asks for another challenge."""
    order, card, other = shop.order(), shop.card(NEEDS_3DS), shop.card(NEEDS_3DS)
    answer = shop.pay(order, card)
    shop.authenticate(answer)
    intent_id = answer.data["paymentIntentId"]
    shop.at_stripe("POST", f"/v1/payment_intents/{intent_id}?payment_method={other}")
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


# --- single use ----------------------------------------------------------------------------------


@flow(ends="paid", payment_method_policy="single_use")
def single_use(shop: Shop) -> None:
    """Each entry of a card is used once: the declined one is dead, the next one pays."""
    order, bad, good = shop.order(), shop.card(DECLINED_AT_CHARGE), shop.card()
    shop.begin()
    shop.pay(order, bad)
    shop.pay(order, bad)
    shop.pay(order, good)


# --- webhooks ------------------------------------------------------------------------------------


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
    """The events of a payment are forgotten after 90 days."""
    shop.pay(shop.order(), shop.card())
    shop.hear()
    shop.work()
    shop.begin()
    shop.work(91 * DAYS)


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


# --- recovery ------------------------------------------------------------------------------------


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


# --- canceling -----------------------------------------------------------------------------------


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


# --- intents that no row holds -------------------------------------------------------------------


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


# --- money that fits no order --------------------------------------------------------------------


def _money_on_a_canceled_order(shop: Shop, number: str = OTHER_GOOD) -> str:
    """The app confirms by itself what our books hold for canceled; the intent."""
    order, card, other = shop.order(), shop.card(NEEDS_3DS), shop.card(number)
    answer = shop.pay(order, card)
    shop.authenticate(answer, "fail")
    shop.confirm(order)
    shop.hear()
    shop.work()
    shop.cancel_in_our_books(order)
    shop.app_confirms(order, answer, other)
    return str(answer.data["paymentIntentId"])


@flow(ends="canceled")
def surplus(shop: Shop) -> None:
    """Money lands on a canceled order, and goes back."""
    _money_on_a_canceled_order(shop)
    shop.begin()
    shop.hear()
    shop.work()
    shop.hear()
    shop.work(60)


@flow(ends="canceled")
def surplus_and_a_saved_500(shop: Shop) -> None:
    """Money goes back, and Stripe saves a 500 under the refund's key after it made it."""
    _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "error_after")
    shop.begin()
    shop.hear()
    shop.work()
    shop.work(60)


@flow(ends="canceled")
def surplus_and_a_low_balance(shop: Shop) -> None:
    """Our balance does not cover the refund at first, and Stripe saves that under its key."""
    _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "insufficient_balance")
    shop.hear()
    shop.work()
    shop.begin()
    shop.work(60)
    shop.work(60)


@flow(ends="canceled")
def surplus_of_yesterday(shop: Shop) -> None:
    """Money went back, nobody heard, and the key of the refund is forgotten."""
    _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "drop_response", times=9)
    shop.hear()
    shop.work()
    shop.calm_down()
    shop.begin()
    shop.work(25 * HOURS)


@flow(ends="canceled")
def surplus_given_back_by_hand(shop: Shop) -> None:
    """Somebody has refunded the charge in the dashboard before we do."""
    intent_id = _money_on_a_canceled_order(shop)
    shop.lose("POST", REFUNDS, "rate_limit")
    shop.hear()
    shop.work()
    shop.at_stripe("POST", f"{REFUNDS}?payment_intent={intent_id}")
    shop.begin()
    shop.work(60)


@flow(ends="canceled")
def surplus_that_fails_later(shop: Shop) -> None:
    """The bank gives the refund back after days: the money is shown, and not sent again."""
    _money_on_a_canceled_order(shop, REFUND_FAILS)
    shop.hear()
    shop.work()
    shop.begin()
    shop.work(3 * DAYS)
    shop.hear()
    shop.work()


# --- a database that was put back ----------------------------------------------------------------


@flow(ends="paid", operator="reconcile")
def restored(shop: Shop) -> None:
    """Two orders were paid after the copy was made; the books know one intent, and not the other's
    customer."""
    known, card = shop.order(), shop.card()
    shop.lose("POST", CUSTOMERS, "rate_limit", times=3)
    unknown, other = shop.order("bob"), shop.card(user="bob")
    shop.calm_down()
    shop.back_up()
    shop.pay(known, card)
    shop.pay(unknown, other)
    shop.restore()
    shop.pass_time(25 * HOURS)  # no key helps any more
    shop.begin()
    shop.start()
    shop.pay(unknown, other, patience=1)
    shop.operate("mark")
    shop.operate("reconcile")
    shop.pay(unknown, other)
    shop.pay(known, card)


@flow(ends="paid")
def restored_and_canceled(shop: Shop) -> None:
    """The intent that the books have forgotten was canceled at Stripe: another one pays."""
    shop.lose("POST", CUSTOMERS, "rate_limit", times=3)
    order, card = shop.order(), shop.card()
    shop.calm_down()
    shop.back_up()
    answer = shop.pay(order, shop.card(NEEDS_3DS))
    shop.restore()
    shop.start()
    shop.at_stripe("POST", f"{INTENTS}/{answer.data['paymentIntentId']}/cancel")
    shop.begin()
    shop.work(120)
    shop.work(600)
    shop.pay(order, card)


# --- cards ---------------------------------------------------------------------------------------


@flow(ends=None)
def saved_cards(shop: Shop) -> None:
    """Cards are saved, one becomes the default, one is deleted."""
    first, second = shop.card(), shop.card(OTHER_GOOD)
    bad = shop.card(DECLINED_AT_ATTACH)
    shop.start()
    shop.begin()
    shop.save_card(first)
    shop.save_card(bad)
    shop.save_card(second)
    shop.change_card("PUT", second, "/default")
    shop.change_card("DELETE", first)
    shop.expect("the saved cards", shop.cards(), [f"{second}*"])


@flow(ends="paid")
def idle_card(shop: Shop) -> None:
    """A card that nobody asked to keep is detached after 30 days; the user pays with another."""
    card, other = shop.card(), shop.card(OTHER_GOOD)
    shop.pay(shop.order(), card)
    shop.begin()
    shop.work(31 * DAYS)
    shop.pay(shop.order(), other)
