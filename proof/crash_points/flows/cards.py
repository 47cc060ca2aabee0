"""Cards are saved, change, are released."""

from proof.crash_points.card_numbers import DECLINED_AT_ATTACH, NEEDS_3DS, OTHER_GOOD
from proof.crash_points.flows.table import DAYS, HOURS, SETUPS, flow
from proof.crash_points.shop import Shop

TOO_MANY = "429 too_many_attempts"


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


@flow(ends=None)
def card_set_up(shop: Shop) -> None:
    """Cards are saved without a payment: by 3-D Secure and an event, and by a look at the list."""
    first, second = shop.card(NEEDS_3DS), shop.card(OTHER_GOOD)
    shop.start()
    shop.begin()
    answer = shop.set_up_card()
    shop.app_confirms_setup(answer, first)
    shop.stage.simulator.authenticate(answer.data["setupIntentId"])
    shop.hear()
    shop.work()
    shop.app_confirms_setup(shop.set_up_card(isDefault=True), second)
    shop.cards()
    shop.pass_time(2)  # a look that died is not repeated within a second
    shop.expect("the saved cards", shop.cards(), sorted([first, f"{second}*"]))


@flow(ends=None)
def card_set_up_unreported(shop: Shop) -> None:
    """The app saves a card without a payment, is closed, and no event comes: the worker looks."""
    card = shop.card()
    answer = shop.set_up_card()
    shop.app_confirms_setup(answer, card)
    shop.begin()
    shop.work(60)
    shop.expect("the saved cards", shop.cards(), [f"{card}*"])


@flow(ends=None, declines_per_user_and_hour=2)
def card_set_up_declined(shop: Shop) -> None:
    """Cards are tried with a SetupIntent, whose first create met a 500, until a limit ends it."""
    shop.lose("POST", SETUPS, "error_before")
    shop.lose("POST", SETUPS, "error_after")
    shop.begin()
    answer = shop.set_up_card()
    for _ in range(2):
        shop.app_confirms_setup(answer, shop.card(DECLINED_AT_ATTACH))
    shop.hear()
    shop.work()
    shop.work(60)
    shop.expect("a SetupIntent beyond the limit", str(shop.set_up_card(patience=1)), TOO_MANY)
    shop.expect("SetupIntents", shop.open_setups(), [])


@flow(ends=None)
def card_set_up_abandoned(shop: Shop) -> None:
    """The app begins to save a card and never confirms it: the SetupIntent is canceled."""
    shop.begin()
    shop.set_up_card()
    shop.work(60)
    shop.work(2 * HOURS)
    shop.expect("SetupIntents", shop.open_setups(), [])


@flow(ends=None)
def card_set_up_for_a_deleted_customer(shop: Shop) -> None:
    """The customer is deleted at Stripe before another card is saved without a payment."""
    card = shop.card()
    shop.app_confirms_setup(shop.set_up_card(), card)
    shop.cards()
    shop.at_stripe("DELETE", f"/v1/customers/{shop.customer_id()}")
    other = shop.card(OTHER_GOOD)
    shop.begin()
    shop.app_confirms_setup(shop.set_up_card(), other)
    shop.work(60)
    shop.expect("the saved cards", shop.cards(), [f"{other}*"])


@flow(ends=None)
def card_changes_unheard(shop: Shop) -> None:
    """One card is detached at Stripe, another renewed, and no event comes: the list finds out."""
    first, second = shop.card(), shop.card(OTHER_GOOD)
    shop.save_card(first)
    shop.save_card(second)
    shop.at_stripe("POST", f"/v1/payment_methods/{first}/detach")
    shop.at_stripe("POST", f"/v1/payment_methods/{second}?card[exp_year]=2044")
    shop.pass_time(DAYS)
    shop.begin()
    for _ in range(2):  # who died in between looks again
        shop.cards()
        shop.drain()
    shop.expect("the saved cards", shop.cards(), [f"{second}*"])
