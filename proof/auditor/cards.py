"""Saved cards: whatever stands on a customer at Stripe is its user's, and is his in our books."""

from collections.abc import Iterator, Mapping, Sequence

from proof.auditor.facts import Books, Finding, Json, Order, Stripe

OVER = ("succeeded", "canceled")


def card_findings(
    stripe: Stripe, books: Books, orders: Sequence[Order], *, is_settled: bool
) -> Iterator[Finding]:
    owners = {c["id"]: c["metadata"].get("user_id") for c in stripe.customers}
    cards: dict[str, set[str]] = {}
    for order in orders:
        cards.setdefault(order.user_id, set()).update(order.methods)
    for card in stripe.cards:
        owner = owners.get(card["customer"])
        if owner in cards and card["id"] not in cards[owner]:
            yield Finding("I5", None, f"{card['id']} stands on the customer of {owner}, not his")
    rows = {row["stripe_payment_method_id"]: row for row in books.tables["payment_methods"]}
    attached = {card["id"]: card for card in stripe.cards}
    for method_id, row in rows.items():
        at_stripe = attached.get(method_id)
        if at_stripe and owners.get(at_stripe["customer"]) not in (row["user_id"], None):
            yield Finding("I5", None, f"{method_id} of {row['user_id']} stands on another customer")
    if is_settled:
        yield from _setups(stripe, books, owners, attached, rows)


def _setups(
    stripe: Stripe,
    books: Books,
    owners: Mapping[str, str | None],
    attached: Mapping[str, Json],
    rows: Mapping[str, Json],
) -> Iterator[Finding]:
    """Every SetupIntent is its user's, is over when its row is, and what it saved is listed."""
    known = {row["id"]: row for row in books.tables["setups"]}
    for intent in stripe.setups:
        user_id, customer_id = intent["metadata"].get("user_id"), intent["customer"]
        row = known.get(intent["metadata"].get("setup_id"))
        if row is None or row["user_id"] != user_id:
            yield Finding("I5", None, f"{intent['id']} is of no setup of {user_id}")
        if owners.get(customer_id) not in (user_id, None):
            yield Finding("I5", None, f"{intent['id']} of {user_id} is for another customer")
        if intent["status"] not in OVER and (row is None or row["state"] != "open"):
            yield Finding("I8", None, f"{intent['id']} can still be used, and nobody looks at it")
        card = attached.get(intent["payment_method"])
        if intent["status"] != "succeeded" or card is None or card["customer"] != customer_id:
            continue  # a card that was detached since then is nobody's
        saved = rows.get(card["id"])
        if saved is None or (saved["user_id"], saved["state"]) != (user_id, "attached"):
            yield Finding("I2", None, f"{card['id']} was saved at Stripe, and not for {user_id}")
        elif not any(
            other["is_listed"]
            and other["user_id"] == user_id
            and all(other[name] == saved[name] for name in ("fingerprint", "exp_year", "exp_month"))
            for other in rows.values()
        ):
            yield Finding("I2", None, f"{card['id']} was saved, and {user_id}'s list has it not")
