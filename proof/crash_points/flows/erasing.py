"""A user is erased."""

from proof.crash_points.flows.table import flow
from proof.crash_points.life import ERASED_USER as USER
from proof.crash_points.shop import Shop


@flow(ends="paid", operator="erase_user")
def user_erased(shop: Shop) -> None:
    """A user who has paid and kept a card is erased, here and at Stripe, by a command that is given
    again when it did not come to its end."""
    shop.pay(shop.order(USER), shop.card(user=USER), save=True)
    shop.begin()
    shop.operate("erase_user")
    shop.expect("customers at Stripe", shop.customers(), [])
    shop.expect("what is personal", shop.personal_traces(USER), [])
