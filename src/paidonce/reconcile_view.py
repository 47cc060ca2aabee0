"""What a person, or a program, sees of `paidonce reconcile`: each finding as soon as it is sure."""

import csv
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict
from enum import StrEnum
from typing import Any, TextIO

from paidonce.domain.intent import IntentStatus
from paidonce.domain.states import OrderStatus
from paidonce.reconcile import ADVICE, IN_FLIGHT, Counts, Dismissal, Finding, Kind
from paidonce.records_view import in_cell, printable

COLUMNS = (
    "kind", "order_id", "payment_id", "user_id", "stripe_id", "amount_minor", "currency", "detail",
    "advice", "is_fixed", "done",
)  # fmt: skip


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class View(ABC):
    """Written to as the run goes on; nothing is kept but what the end needs."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @abstractmethod
    def show(self, finding: Finding) -> None:
        """One more finding."""

    @abstractmethod
    def end(self, counts: Counts, *, is_complete: bool) -> None:
        """The figures; a run that broke off says so here too."""

    def _line(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class TableView(View):
    """A line for a finding, and one more for what `--fix` did; what to do comes at the end."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._has_head = False

    def show(self, finding: Finding) -> None:
        if not self._has_head:
            self._has_head = True
            self._line(_row("KIND", "ORDER", "AT STRIPE", "AMOUNT", "WHAT WAS FOUND"))
        has_amount = finding.amount_minor is not None
        amount = f"{finding.amount_minor} {finding.currency}" if has_amount else "-"
        order_id = finding.order_id or "-"
        detail = finding.detail
        if finding.user_id and not finding.order_id:
            detail = f"user {printable(finding.user_id)}: {detail}"
        self._line(_row(finding.kind, order_id, finding.stripe_id or "-", amount, detail))
        if finding.done:
            self._line(f"    {'fixed' if finding.is_fixed else 'not fixed'}: {finding.done}")

    def end(self, counts: Counts, *, is_complete: bool) -> None:
        if self._has_head:
            self._line("")
        for kind, count in _by_kind(counts):
            self._line(f"{count} x {kind}: {ADVICE[kind]}")
        looked = (
            f"{counts.intents} intents ({counts.foreign} of others, {counts.dismissed} dismissed),"
            f" {counts.charges} charges and"
            f" {counts.customers} customers of Stripe's lists, {counts.payments} payments and"
            f" {counts.users} users of ours"
        )
        self._line(f"Compared: {looked}.")
        minutes = f"{IN_FLIGHT.total_seconds() / 60:.0f} minutes"
        self._line(f"Left out: what is younger than {minutes}; its events may be on their way.")
        said = [f"{counts.findings} found, {counts.fixed} fixed."] if counts.findings else []
        if not is_complete:
            said.append("The comparison broke off: this is not all.")
        self._line(" ".join(said) or "Nothing found.")


class JsonView(View):
    """One document: `findings`, then `is_complete` and the counts."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._count = 0

    def show(self, finding: Finding) -> None:
        self._line(f"{',' if self._count else _JSON_HEAD} {json.dumps(_values(finding))}")
        self._count += 1

    def end(self, counts: Counts, *, is_complete: bool) -> None:
        if not self._count:
            self._line(_JSON_HEAD)
        figures = asdict(counts) | {"found": {str(k): n for k, n in _by_kind(counts)}}
        rest = {"is_complete": is_complete, "counts": figures}
        self._line(f"], {json.dumps(rest)[1:]}")


class CsvView(View):
    """A head and a line for each finding; the figures go nowhere."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def show(self, finding: Finding) -> None:
        self._writer.writerow({name: in_cell(value) for name, value in _values(finding).items()})
        self._out.flush()

    def end(self, counts: Counts, *, is_complete: bool) -> None:
        self._out.flush()


def show_dismissal(dismissal: Dismissal, out: TextIO | None = None) -> None:
    """What stands at Stripe, what follows for the order, and what was done."""
    intent, order = dismissal.intent, dismissal.order
    is_charged = intent.status is IntentStatus.SUCCEEDED
    returned = intent.amount_refunded or 0
    lines = [
        f"{intent.id} has charged {intent.amount} {intent.currency}, and {returned} of it was"
        " given back."
        if is_charged
        else f"{intent.id} is {intent.status} and never charges.",
        f"Its order {dismissal.found.order_id} is {order.status if order else 'not in our books'}.",
    ]
    if is_charged and returned < intent.amount and order and order.status is OrderStatus.PENDING:
        lines.append(
            "Once it is dismissed the order can be paid, and is charged a second time by that:"
            " refund this charge in Stripe's dashboard first, unless the money is to stay."
        )
    if dismissal.is_done:
        lines.append("Dismissed: it refuses its order no longer.")
    print("\n".join(lines), file=out or sys.stdout)


_JSON_HEAD = '{"findings": ['


def make_view(kind: Format, out: TextIO | None = None) -> View:
    views: dict[Format, type[View]] = {
        Format.TABLE: TableView,
        Format.JSON: JsonView,
        Format.CSV: CsvView,
    }
    return views[kind](out or sys.stdout)


def _values(finding: Finding) -> dict[str, Any]:
    """What is printed of a finding; `remedy` is the run's own."""
    return {name: getattr(finding, name) for name in COLUMNS}


def _by_kind(counts: Counts) -> list[tuple[Kind, int]]:
    return [(kind, counts.found[kind]) for kind in Kind if counts.found[kind]]


def _row(kind: str, order_id: str, stripe_id: str, amount: str, detail: str) -> str:
    return f"{kind:<21} {order_id:<36} {stripe_id:<28} {amount:>12}  {detail}"
