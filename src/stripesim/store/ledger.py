"""The auditor's book: money movements, only ever appended to.

It is written beside the objects and never read by them, so that an audit does not depend on what
the objects say now. An entry is "customer", "payment_intent", "captured", "refunded" or
"refund_failed"; amounts are in the currency's minor unit. A charge without a PaymentIntent stands
under its own id where the intent's stands otherwise.
"""

from typing import Any

from stripesim.store.database import Database

Json = dict[str, Any]


class Ledger:
    """Appends entries and counts them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def append(
        self,
        entry: str,
        at: float,
        *,
        payment_intent: str | None = None,
        customer: str | None = None,
        charge: str | None = None,
        amount: int = 0,
        currency: str | None = None,
    ) -> None:
        self._db.execute(
            "INSERT INTO ledger (at, entry, payment_intent, customer, charge, amount, currency)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            at,
            entry,
            payment_intent,
            customer,
            charge,
            amount,
            currency,
        )

    def label(self, payment_intent: str, metadata: dict[str, str]) -> None:
        """Remember a PaymentIntent's metadata; of two values of one name the later counts."""
        for name, value in metadata.items():
            self._db.execute(
                "INSERT INTO ledger_labels (payment_intent, name, value) VALUES (?, ?, ?)",
                payment_intent,
                name,
                value,
            )

    def audit(self, group_by: str | None) -> Json:
        """Per value of the metadata key `group_by` what was captured and refunded, and totals.

        `succeeded_charges` counts charges whose money was taken: an authorization that is only
        held counts when it is captured.
        """
        return {"groups": self._groups(group_by) if group_by else [], "totals": self._totals()}

    def _groups(self, name: str) -> list[Json]:
        sql = "SELECT payment_intent, value FROM ledger_labels WHERE name = ? ORDER BY seq"
        labels = dict(self._db.rows(sql, name))
        groups: dict[str, Json] = {}
        for intent, value in labels.items():
            group = groups.setdefault(value, _empty_group(value))
            if intent.startswith("pi_"):
                group["payment_intents"].append(intent)
            for entry, customer, amount in self._db.rows(
                "SELECT entry, customer, amount FROM ledger WHERE payment_intent = ?", intent
            ):
                _count(group, entry, amount)
                if customer and customer not in group["customers"]:
                    group["customers"].append(customer)
        return list(groups.values())

    def _totals(self) -> Json:
        counts = dict(self._db.rows("SELECT entry, count(*) FROM ledger GROUP BY entry"))
        return {
            "succeeded_charges": counts.get("captured", 0),
            "customers": counts.get("customer", 0),
            "payment_intents": counts.get("payment_intent", 0),
        }


def _empty_group(value: str) -> Json:
    return {
        "key": value,
        "succeeded_charges": 0,
        "amount_captured": 0,
        "amount_refunded": 0,
        "payment_intents": [],
        "customers": [],
    }


def _count(group: Json, entry: str, amount: int) -> None:
    if entry == "captured":
        group["succeeded_charges"] += 1
        group["amount_captured"] += amount
    elif entry == "refunded":
        group["amount_refunded"] += amount
    elif entry == "refund_failed":
        group["amount_refunded"] -= amount
