"""What a person, or a program, sees of `paidonce reconcile`: each finding as soon as it is sure."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TextIO

from paidonce.cli.records_view import Format, RecordsView, printable
from paidonce.domain.intent import IntentStatus
from paidonce.domain.states import OrderStatus
from paidonce.reconcile import ADVICE, IN_FLIGHT, Counts, Dismissal, Finding, Kind

COLUMNS = (
    "kind", "order_id", "payment_id", "user_id", "stripe_id", "amount_minor", "currency", "detail",
    "advice", "is_fixed", "done",
)  # fmt: skip


class ReconcileView:
    """A line for a finding, and one more for what `--fix` did; what to do comes at the end. A table
    shows all of them: each is somebody's money."""

    def __init__(self, kind: Format, out: TextIO | None = None) -> None:
        head = _row("KIND", "ORDER", "AT STRIPE", "AMOUNT", "WHAT WAS FOUND")
        self._view = RecordsView(kind, "findings", COLUMNS, out, head=head, most_lines=None)

    def show(self, finding: Finding) -> None:
        """`remedy` is the run's own, and not shown."""
        has_amount = finding.amount_minor is not None
        amount = f"{finding.amount_minor} {finding.currency}" if has_amount else "-"
        order_id = finding.order_id or "-"
        detail = finding.detail
        if finding.user_id and not finding.order_id:
            detail = f"user {printable(finding.user_id)}: {detail}"
        lines = [_row(finding.kind, order_id, finding.stripe_id or "-", amount, detail)]
        if finding.done:
            lines.append(f"    {'fixed' if finding.is_fixed else 'not fixed'}: {finding.done}")
        self._view.show({name: getattr(finding, name) for name in COLUMNS}, lines)

    def end(self, counts: Counts, *, is_complete: bool) -> None:
        by_kind = {kind: counts.found[kind] for kind in Kind if counts.found[kind]}
        figures = asdict(counts) | {"found": {str(kind): n for kind, n in by_kind.items()}}
        sentences = list(_sentences(counts, by_kind, is_complete=is_complete))
        self._view.end(figures, sentences, is_complete=is_complete)


def _sentences(counts: Counts, by_kind: dict[Kind, int], *, is_complete: bool) -> Iterator[str]:
    if by_kind:
        yield ""
    for kind, count in by_kind.items():
        yield f"{count} x {kind}: {ADVICE[kind]}"
    yield (
        f"Compared: {counts.intents} intents ({counts.foreign} of others, {counts.dismissed}"
        f" dismissed), {counts.charges} charges and {counts.customers} customers of Stripe's lists,"
        f" {counts.payments} payments and {counts.users} users of ours."
    )
    minutes = f"{IN_FLIGHT.total_seconds() / 60:.0f} minutes"
    yield f"Left out: what is younger than {minutes}; its events may be on their way."
    if counts.findings:
        yield f"{counts.findings} found, {counts.fixed} fixed."
    elif is_complete:
        yield "Nothing found."


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


def _row(kind: str, order_id: str, stripe_id: str, amount: str, detail: str) -> str:
    return f"{kind:<21} {order_id:<36} {stripe_id:<28} {amount:>12}  {detail}"
