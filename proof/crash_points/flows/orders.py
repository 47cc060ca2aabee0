"""Orders are made and prepared, and the service starts."""

from proof.crash_points.flows.table import CUSTOMERS, DAYS, flow
from proof.crash_points.shop import Shop


@flow(ends=None, is_start=True)
def starting(shop: Shop) -> None:
    """The service starts for the first time, and marks how far it knows Stripe."""
    shop.begin()
    shop.start()
    shop.operate("mark")


@flow(ends="pending")
def new_order(shop: Shop) -> None:
    """The app makes an order under a key, twice, and it is prepared; the key is forgotten."""
    shop.start()
    shop.begin()
    first = shop.order(key="basket-1")
    shop.expect("the order of the same key", shop.order(key="basket-1"), first)
    shop.work(DAYS + 1)


@flow(ends="pending", same_order_within_seconds=900)
def same_basket(shop: Shop) -> None:
    """The app makes an order without a key, and does not hear the answer."""
    shop.start()
    shop.begin()
    first = shop.order()
    shop.expect("the order of the same basket", shop.order(), first)


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
