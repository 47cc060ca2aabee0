"""Cards are saved, change, are released."""

from proof.crash_points.flows.table import DAYS, flow
from proof.crash_points.shop import DECLINED_AT_ATTACH, OTHER_GOOD, Shop


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
