"""Does the money in a simulator's store add up? Read from the file, by none of its own code.

Each rule reads the objects as rows of JSON and the append-only ledger, and yields one sentence per
contradiction. What a rule says is Stripe's promise, not how the simulator happens to store it.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GIVEN_UP = ("failed", "canceled")  # a refund in one of these moved no money in the end


@dataclass
class Books:
    """Every object by kind and id, and the ledger's entries (entry, subject, amount)."""

    objects: dict[str, dict[str, Json]] = field(default_factory=lambda: defaultdict(dict))
    ledger: list[tuple[str, str, int]] = field(default_factory=list)

    def of(self, kind: str) -> list[Json]:
        return list(self.objects[kind].values())

    def by(self, kind: str, column: str) -> dict[str, list[Json]]:
        """Objects grouped by what that field of theirs names."""
        groups: dict[str, list[Json]] = defaultdict(list)
        for obj in self.of(kind):
            groups[obj.get(column) or ""].append(obj)
        return groups

    def booked(self, entry: str) -> dict[str, int]:
        """The ledger's sum of that entry by PaymentIntent (or by a direct charge)."""
        sums: dict[str, int] = defaultdict(int)
        for name, subject, amount in self.ledger:
            if name == entry:
                sums[subject] += amount
        return sums


def read_books(path: Path) -> Books:
    """What is committed in a store's file at this moment."""
    books = Books()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        for kind, object_id, body in connection.execute("SELECT kind, id, body FROM objects"):
            books.objects[kind][object_id] = json.loads(body)
        books.ledger = connection.execute(
            "SELECT entry, coalesce(payment_intent, ''), amount FROM ledger ORDER BY seq"
        ).fetchall()
    connection.close()
    return books


def find_contradictions(books: Books) -> list[str]:
    """One sentence per contradiction; none when the books are in order."""
    return [text for rule in RULES for text in rule(books)]


def intents_and_charges(books: Books) -> Iterator[str]:
    """A PaymentIntent makes at most one successful charge, and says what that charge says."""
    charges = books.by("charge", "payment_intent")
    for intent in books.of("payment_intent"):
        name, status = intent["id"], intent["status"]
        good = [c for c in charges[name] if c["status"] == "succeeded"]
        if len(good) > 1:
            yield f"{name} has {len(good)} successful charges"
            continue
        paid = good[0] if good else None
        is_paid = status in ("succeeded", "requires_capture")
        if is_paid and paid is None:
            yield f"{name} is {status} without a successful charge"
        if paid and status not in ("succeeded", "requires_capture", "canceled"):
            yield f"{name} is {status} with the successful charge {paid['id']}"
        if paid and status == "canceled" and paid["captured"]:
            yield f"{name} is canceled and {paid['id']} is captured"
        if paid and is_paid and intent["latest_charge"] != paid["id"]:
            yield f"{name} does not name its charge {paid['id']}"
        if paid and paid["amount"] != intent["amount"]:
            yield f"{name} is of {intent['amount']} and its charge of {paid['amount']}"
        if paid and paid["currency"] != intent["currency"]:
            yield f"{name} and its charge differ in currency"
        if paid and intent["customer"] not in (None, paid["customer"]):
            yield f"{name} is of {intent['customer']}, its charge of {paid['customer']}"
        received = paid["amount_captured"] if paid and status == "succeeded" else 0
        if intent["amount_received"] != received:
            yield f"{name} received {intent['amount_received']}, its charge captured {received}"
        capturable = intent["amount"] if status == "requires_capture" else 0
        if intent["amount_capturable"] != capturable:
            yield f"{name} is {status} with {intent['amount_capturable']} to capture"


def intents_alone(books: Books) -> Iterator[str]:
    """What belongs to a state stands in that state only."""
    for intent in books.of("payment_intent"):
        name, status = intent["id"], intent["status"]
        if (status == "requires_action") != (intent["next_action"] is not None):
            yield f"{name} is {status} with the next action {intent['next_action']}"
        if (status == "canceled") != (intent["canceled_at"] is not None):
            yield f"{name} is {status}, canceled at {intent['canceled_at']}"
        needs_method = status in (
            "requires_confirmation", "requires_action", "requires_capture", "succeeded",
        )  # fmt: skip
        if needs_method and not intent["payment_method"]:
            yield f"{name} is {status} without a payment method"
        if status == "succeeded" and intent["last_payment_error"]:
            yield f"{name} succeeded and shows an error"


def charges_alone(books: Books) -> Iterator[str]:
    """A failed charge moved nothing; a captured one has a balance transaction of its amount."""
    for charge in books.of("charge"):
        name, transaction = charge["id"], charge["balance_transaction"]
        if charge["status"] == "failed":
            moved = charge["amount_captured"] or charge["amount_refunded"] or transaction
            if charge["captured"] or charge["paid"] or moved:
                yield f"{name} failed and moved money"
            continue
        if not 0 <= charge["amount_captured"] <= charge["amount"]:
            yield f"{name} captured {charge['amount_captured']} of {charge['amount']}"
        if charge["captured"] != (transaction is not None):
            yield f"{name}: captured {charge['captured']}, balance transaction {transaction}"
        if charge["captured"]:
            found = books.objects["balance_transaction"].get(transaction, {})
            if (found.get("amount"), found.get("source")) != (charge["amount_captured"], name):
                yield f"{name} captured {charge['amount_captured']}, {transaction} says otherwise"


def refunds_and_charges(books: Books) -> Iterator[str]:
    """No more is given back than was taken, and the charge says how much."""
    refunds = books.by("refund", "charge")
    for charge in books.of("charge"):
        name = charge["id"]
        given = sum(r["amount"] for r in refunds[name] if r["status"] not in GIVEN_UP)
        taken = charge["amount_captured"] if charge["captured"] else charge["amount"]
        released = charge["amount"] - taken if charge["captured"] else 0
        if charge["status"] == "succeeded" and given > taken:
            yield f"{name} gave back {given} of {taken}"
        shown = charge["amount_refunded"]
        is_released = not charge["captured"] and shown == charge["amount"]  # a hold that ended
        if shown not in (given, given + released) and not is_released:
            yield f"{name} shows {shown} refunded, its refunds are {given}"
        is_all = shown == charge["amount"] or (charge["captured"] and given == taken)
        if charge["refunded"] != (is_all and shown > 0):
            yield f"{name} is of {charge['amount']}, shows {shown}, refunded: {charge['refunded']}"
        for refund in refunds[name]:
            if refund["payment_intent"] != charge["payment_intent"] or refund["amount"] <= 0:
                yield f"{refund['id']} is of {refund['amount']} and does not fit {name}"


def balance_transactions(books: Books) -> Iterator[str]:
    """Each has a source that exists, its net is its amount without the fee, and per charge the
    sum is what was captured, given back and disputed."""
    sources = {i: obj for kind in ("charge", "refund", "dispute") for i, obj in
               books.objects[kind].items()}  # fmt: skip
    sums: dict[str, int] = defaultdict(int)
    for found in books.of("balance_transaction"):
        name = found["id"]
        if found["net"] != found["amount"] - found["fee"]:
            yield f"{name}: {found['amount']} less {found['fee']} is not {found['net']}"
        if found["fee"] != sum(part["amount"] for part in found["fee_details"]):
            yield f"{name}: its fee is not the sum of its parts"
        source = sources.get(found["source"] or "")
        if source is None:
            yield f"{name} is of {found['source']}, which does not exist"
        elif source["currency"] != found["currency"]:
            yield f"{name} and {source['id']} are of different currencies"
        elif found["type"] != "adjustment":
            sums[source.get("charge") or source["id"]] += found["amount"]
    refunds = books.by("refund", "charge")
    for charge in books.of("charge"):
        given = sum(r["amount"] for r in refunds[charge["id"]] if r["status"] not in GIVEN_UP)
        wanted = charge["amount_captured"] - given if charge["captured"] else 0
        if sums[charge["id"]] != wanted:
            yield f"{charge['id']}: balance transactions of {sums[charge['id']]}, not {wanted}"


def disputes(books: Books) -> Iterator[str]:
    """A dispute is about money that was taken, and its withdrawals add up to nothing or to it."""
    charges = books.objects["charge"]
    for dispute in books.of("dispute"):
        charge = charges.get(dispute["charge"])
        name, amount = dispute["id"], dispute["amount"]
        if charge is None or not charge["captured"] or not charge["disputed"]:
            yield f"{name} is about {dispute['charge']}, which is not captured and disputed"
        elif amount > charge["amount_captured"]:
            yield f"{name} is about {amount} of {charge['amount_captured']} taken"
        moved = sum(t["amount"] for t in dispute["balance_transactions"])
        if moved not in (0, -amount):
            yield f"{name} is about {amount} and moved {moved}"
        if dispute["status"] in ("needs_response", "under_review", "lost") and moved != -amount:
            yield f"{name} is {dispute['status']} and moved {moved} of {-amount}"
        if dispute["status"] == "won" and moved != 0:
            yield f"{name} is won and {moved} did not come back"


def ledger(books: Books) -> Iterator[str]:
    """The append-only ledger counts what the objects say."""
    captured, refunded = books.booked("captured"), books.booked("refunded")
    failed = books.booked("refund_failed")
    wanted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    refunds = books.by("refund", "charge")
    for charge in books.of("charge"):
        if charge["captured"]:
            subject = wanted[charge["payment_intent"] or charge["id"]]
            subject[0] += charge["amount_captured"]
            subject[1] += sum(
                r["amount"] for r in refunds[charge["id"]] if r["status"] not in GIVEN_UP
            )
    for name in {*captured, *refunded, *wanted}:
        found = [captured[name], refunded[name] - failed[name]]
        if found != wanted[name]:
            yield f"{name}: the ledger says {found} captured and refunded, not {wanted[name]}"
    entries = Counter(name for name, _, _ in books.ledger)
    if entries["payment_intent"] != len(books.objects["payment_intent"]):
        yield f"{entries['payment_intent']} intents in the ledger"
    if entries["customer"] != len(books.objects["customer"]):
        yield f"{entries['customer']} customers in the ledger"


def methods(books: Books) -> Iterator[str]:
    """A PaymentMethod pays for its customer, or once: it may not be used again."""
    attached = {
        event["data"]["object"]["id"]
        for event in books.of("event")
        if event["type"] == "payment_method.attached"
    }
    charges = books.by("charge", "payment_method")
    for method in books.of("payment_method"):
        name, owner = method["id"], method["customer"]
        if name.startswith("card_") or name in attached:
            continue
        if owner:
            yield f"{name} belongs to {owner} and was never attached"
        if len(charges[name]) > 1:
            yield f"{name} was never attached and was charged {len(charges[name])} times"
    known = books.objects["customer"]
    for method in books.of("payment_method"):
        if method["customer"] and method["customer"] not in known:
            yield f"{method['id']} belongs to {method['customer']}, which does not exist"
    for customer in known.values():
        default = (customer.get("invoice_settings") or {}).get("default_payment_method")
        found = books.objects["payment_method"].get(default or "")
        if default and (found is None or found["customer"] != customer["id"]):
            yield f"{customer['id']} pays by default with {default}, which is not its own"


def events(books: Books) -> Iterator[str]:
    """Each step that moved money was told once."""
    told = Counter((e["type"], e["data"]["object"].get("id")) for e in books.of("event"))
    wanted: dict[tuple[str, str], int] = {}
    for intent in books.of("payment_intent"):
        wanted["payment_intent.created", intent["id"]] = 1
        wanted["payment_intent.succeeded", intent["id"]] = int(intent["status"] == "succeeded")
        wanted["payment_intent.canceled", intent["id"]] = int(intent["status"] == "canceled")
    for charge in books.of("charge"):
        wanted["charge.succeeded", charge["id"]] = int(charge["status"] == "succeeded")
        wanted["charge.failed", charge["id"]] = int(charge["status"] == "failed")
    for refund in books.of("refund"):
        wanted["refund.created", refund["id"]] = 1
        wanted["refund.failed", refund["id"]] = int(refund["status"] == "failed")
    for dispute in books.of("dispute"):
        wanted["charge.dispute.created", dispute["id"]] = 1
    for (kind, object_id), count in wanted.items():
        if told[kind, object_id] != count:
            yield f"{object_id}: {told[kind, object_id]} events {kind}, not {count}"


RULES: tuple[Callable[[Books], Iterator[str]], ...] = (
    intents_and_charges,
    intents_alone,
    charges_alone,
    refunds_and_charges,
    balance_transactions,
    disputes,
    ledger,
    methods,
    events,
)
