"""Our rows, and the small transactions of all use cases (store/ and payments/pay/record.py)."""

from typing import NamedTuple, TypeVar

Row = TypeVar("Row")

LIVE = ("open", "action")
STANDING = ("live", "authorized", "succeeded")
GIVEN_UP = ("abandoned", "superseded")
"""Closed without an answer to a payer."""


class User(NamedTuple):
    """`asked`: empty, now, or old (more than 23 hours ago) for the create under this key."""

    customer: int = -1
    key_no: int = 0
    asked: str = ""


class Order(NamedTuple):
    user: int = 0
    status: str = "pending"  # canceling, canceled, paid


class Payment(NamedTuple):
    """One generation of an order. `customer` is that of the noted request, -1 before it."""

    order: int
    state: str = "live"  # authorized, succeeded, canceled, surplus
    customer: int = -1
    key_no: int = 0
    asked: str = ""
    intent: int = -1
    is_secret_out: bool = False
    capture: str = ""  # requested
    capture_key: int = 0


class Attempt(NamedTuple):
    """`is_old`: first sent more than 23 hours ago."""

    payment: int
    method: int
    state: str = "open"
    sends: int = 0
    attach_key: int = 0
    reconfirm_key: int = 0
    is_old: bool = False


class Card(NamedTuple):
    """What we know of a PaymentMethod: nothing (empty), attached, released, deleting, deleted."""

    state: str = ""
    user: int = -1
    customer: int = -1


class Books(NamedTuple):
    users: tuple[User, ...]
    orders: tuple[Order, ...]
    payments: tuple[Payment, ...]
    attempts: tuple[Attempt, ...]
    cards: tuple[Card, ...]


def put(rows: tuple[Row, ...], number: int, row: Row) -> tuple[Row, ...]:
    return (*rows[:number], row, *rows[number + 1 :])


def with_user(books: Books, number: int, **changes: object) -> Books:
    user = books.users[number]._replace(**changes)  # type: ignore[arg-type]
    return books._replace(users=put(books.users, number, user))


def with_order(books: Books, number: int, status: str) -> Books:
    order = books.orders[number]._replace(status=status)
    return books._replace(orders=put(books.orders, number, order))


def with_payment(books: Books, number: int, **changes: object) -> Books:
    payment = books.payments[number]._replace(**changes)  # type: ignore[arg-type]
    return books._replace(payments=put(books.payments, number, payment))


def with_attempt(books: Books, number: int, **changes: object) -> Books:
    attempt = books.attempts[number]._replace(**changes)  # type: ignore[arg-type]
    return books._replace(attempts=put(books.attempts, number, attempt))


def with_card(books: Books, number: int, card: Card) -> Books:
    return books._replace(cards=put(books.cards, number, card))


def standing_payment(books: Books, order: int) -> int | None:
    """The order's one payment that is live, authorized, or has succeeded."""
    for number, payment in enumerate(books.payments):
        if payment.order == order and payment.state in STANDING:
            return number
    return None


def live_attempt(books: Books, payment: int | None) -> int | None:
    """The payment's one attempt that is open or waits for the card holder."""
    for number in range(len(books.attempts) - 1, -1, -1):
        attempt = books.attempts[number]
        if attempt.payment == payment and attempt.state in LIVE:
            return number
    return None


def latest_attempt(books: Books, order: int) -> int | None:
    for number in range(len(books.attempts) - 1, -1, -1):
        if books.payments[books.attempts[number].payment].order == order:
            return number
    return None


def close(books: Books, attempt: int, state: str) -> Books:
    """The one door through which an attempt ends; once."""
    if books.attempts[attempt].state not in LIVE:
        return books
    return with_attempt(books, attempt, state=state)


def forget_customer(books: Books, user: int, gone: int) -> Books:
    """Compare-and-set: next key number, its cards forgotten."""
    known = books.users[user]
    if known.customer != gone:
        return books
    books = with_user(books, user, customer=-1, key_no=known.key_no + 1, asked="")
    for number, card in enumerate(books.cards):
        if card.customer == gone and card.state == "attached":
            books = with_card(books, number, card._replace(state="released"))
    return books


def release_card(books: Books, method: int) -> Books:
    card = books.cards[method]
    if not card.state:
        return books
    state = "deleted" if card.state in ("deleting", "deleted") else "released"
    return with_card(books, method, card._replace(state=state))


def retire(
    books: Books, payment: int, action_becomes: str, *, only_unrecorded: bool = False
) -> Books:
    """End a generation: Stripe said canceled, or no intent was ever recorded."""
    row = books.payments[payment]
    if row.state not in ("live", "authorized") or (only_unrecorded and row.intent >= 0):
        return books
    books = with_payment(books, payment, state="canceled", capture="", capture_key=0)
    attempt = live_attempt(books, payment)
    if attempt is None:
        return books
    is_action = books.attempts[attempt].state == "action"
    return close(books, attempt, action_becomes if is_action else "abandoned")


def authorize(books: Books, payment: int, attempt: int | None, method: int | None) -> Books:
    """The money is held; its attempt has succeeded, and the order is not paid."""
    if books.payments[payment].state != "live":
        return books
    return _credit(with_payment(books, payment, state="authorized"), payment, attempt, method)


def _credit(books: Books, payment: int, attempt: int | None, method: int | None) -> Books:
    """The attempt that charged succeeds; another one that is live is superseded."""
    live = live_attempt(books, payment)
    if live is None:
        return books
    is_its_own = live == attempt or books.attempts[live].method == method
    return close(books, live, "succeeded" if is_its_own else "superseded")


def pay(books: Books, payment: int, attempt: int | None, method: int | None) -> Books:
    """A success, from wherever it was learned. `attempt` only when its own confirm said so."""
    row = books.payments[payment]
    order = books.orders[row.order]
    if row.state == "succeeded":
        return books
    can_be_paid = row.state in ("live", "authorized")
    if not can_be_paid or order.status not in ("pending", "canceling"):
        if can_be_paid:
            books = retire(books, payment, "superseded")
        return with_payment(books, payment, state="surplus")
    books = with_payment(books, payment, state="succeeded", capture="", capture_key=0)
    books = _credit(books, payment, attempt, method)
    return with_order(books, row.order, "paid")
