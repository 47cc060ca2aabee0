"""What a person sees of the commands that a team moves in with."""

from datetime import datetime

from paidonce.cli.records_view import Format, RecordsView
from paidonce.moving_in import audit, duplicates, shadow
from paidonce.moving_in.duplicates import Duplicate
from paidonce.moving_in.shadow import MEANING, Finding

DUPLICATE_COLUMNS = (
    "kind", "group", "stripe_customer_id", "user_id", "is_kept", "why", "is_recorded",
    "created_at", "last_paid_at", "payment_methods", "open_intents", "plan", "done",
)  # fmt: skip

SHADOW_COLUMNS = ("kind", "stripe_id", "order", "amount_minor", "currency", "detail", "meaning")

AUDIT_COLUMNS = (
    "kind", "user_id", "payment_method", "card", "stripe_customer_id", "certainty", "detail",
    "user_action", "meaning", "is_fixed", "done",
)  # fmt: skip


class DuplicatesView:
    """A line for a customer; the head of a group comes with its first."""

    def __init__(self, kind: Format) -> None:
        self._view = RecordsView(kind, "duplicates", DUPLICATE_COLUMNS)
        self._group = ""

    def show(self, duplicate: Duplicate) -> None:
        looked, known = duplicate.looked, duplicate.looked.known
        record = {
            "kind": str(duplicate.kind),
            "group": duplicate.group,
            "stripe_customer_id": known.id,
            "user_id": known.user_id or "",
            "is_kept": duplicate.is_kept,
            "why": duplicate.why,
            "is_recorded": known.is_recorded,
            "created_at": known.created_at.isoformat(),
            "last_paid_at": looked.last_paid_at.isoformat() if looked.last_paid_at else "",
            "payment_methods": looked.methods,
            "open_intents": looked.open_intents,
            "plan": duplicate.plan,
            "done": duplicate.done,
        }
        name = f"{duplicate.kind} {duplicate.group}"
        head = [name] if name != self._group else []
        self._group = name
        self._view.show(record, [*head, *_duplicate_lines(duplicate)])

    def end(self, counts: duplicates.Counts, *, is_complete: bool) -> None:
        sentences = [
            f"{counts.customers} customers at Stripe; in {counts.groups} groups there are"
            f" {counts.same_user} beside the one to keep, and {counts.same_email} that may be."
        ]
        if counts.left_out:
            sentences.append(f"{counts.left_out} more of these groups were not looked at.")
        if not counts.groups:
            sentences = [f"{counts.customers} customers at Stripe, and nothing found."]
        figures = {
            "customers": counts.customers,
            "groups": counts.groups,
            "same_user": counts.same_user,
            "same_email": counts.same_email,
            "left_out": counts.left_out,
            "recorded": counts.recorded,
        }
        self._view.end(figures, sentences, is_complete=is_complete)


class ShadowView:
    """A line for a finding; what a kind means, and the money at stake, come at the end."""

    def __init__(self, kind: Format) -> None:
        head = f"{'kind':<21} {'at Stripe':<28} {'order':<36} {'amount':>12}  what"
        self._view = RecordsView(kind, "findings", SHADOW_COLUMNS, head=head)

    def show(self, finding: Finding) -> None:
        record = {
            "kind": str(finding.kind),
            "stripe_id": finding.stripe_id,
            "order": finding.order,
            "amount_minor": finding.amount_minor,
            "currency": finding.currency,
            "detail": finding.detail,
            "meaning": MEANING[finding.kind],
        }
        has_amount = finding.amount_minor is not None
        amount = f"{finding.amount_minor} {finding.currency}" if has_amount else "-"
        line = (
            f"{finding.kind:<21} {finding.stripe_id:<28} {finding.order or '-':<36} {amount:>12}"
            f"  {finding.detail}"
        )
        self._view.show(record, [line])

    def end(self, counts: shadow.Counts, *, is_complete: bool) -> None:
        kinds = [kind for kind in shadow.Kind if counts.found[kind]]
        sentences = []
        for kind in kinds:
            money = "".join(f", {sum_} {name}" for name, sum_ in counts.money[kind].items())
            sentences.append(f"{counts.found[kind]} x {kind}{money}: {MEANING[kind]}")
        sentences.append(
            f"Read: {counts.intents} intents, {counts.charges} charges, {counts.customers}"
            f" customers and {counts.events} events."
        )
        if not kinds:
            sentences.append("Nothing found.")
        figures = {
            "intents": counts.intents,
            "charges": counts.charges,
            "customers": counts.customers,
            "events": counts.events,
            "found": {str(kind): counts.found[kind] for kind in kinds},
            "money": {str(kind): dict(counts.money[kind]) for kind in kinds if counts.money[kind]},
        }
        self._view.end(figures, sentences, is_complete=is_complete)


class AuditView:
    """A line for a method, and one more for what `--fix` did; what a kind means comes at the
    end."""

    def __init__(self, kind: Format) -> None:
        head = f"{'kind':<15} {'user':<36} {'method':<28} {'card':<16} {'certainty':<9} what"
        self._view = RecordsView(kind, "findings", AUDIT_COLUMNS, head=head)

    def show(self, finding: audit.Finding) -> None:
        record = {
            "kind": str(finding.kind),
            "user_id": finding.user_id,
            "payment_method": finding.method_id,
            "card": finding.card,
            "stripe_customer_id": finding.customer,
            "certainty": str(finding.certainty),
            "detail": finding.detail,
            "user_action": finding.user_action,
            "meaning": audit.MEANING[finding.kind],
            "is_fixed": finding.is_fixed,
            "done": finding.done,
        }
        lines = [
            f"{finding.kind:<15} {finding.user_id:<36} {finding.method_id:<28}"
            f" {finding.card or '-':<16} {finding.certainty:<9} {finding.detail}"
        ]
        if finding.done:
            lines.append(f"    {'fixed' if finding.is_fixed else 'not fixed'}: {finding.done}")
        self._view.show(record, lines)

    def end(self, counts: audit.Counts, *, is_complete: bool) -> None:
        kinds = [kind for kind in audit.Kind if counts.found[kind]]
        sentences = [
            f"{counts.found[kind]} x {kind}: {audit.MEANING[kind]} Its user: {audit.USER[kind]}."
            for kind in kinds
        ]
        unlisted = f", {counts.unlisted} of these not listed" if counts.unlisted else ""
        sentences.append(
            f"{counts.usable} of {counts.methods} methods can be used{unlisted}; {counts.users}"
            f" users with a customer were looked at, {counts.fixed} findings fixed."
        )
        figures = {
            "users": counts.users,
            "methods": counts.methods,
            "usable": counts.usable,
            "unlisted": counts.unlisted,
            "found": {str(kind): counts.found[kind] for kind in kinds},
            "fixed": counts.fixed,
        }
        self._view.end(figures, sentences, is_complete=is_complete)


def _duplicate_lines(duplicate: Duplicate) -> list[str]:
    looked, known = duplicate.looked, duplicate.looked.known
    mark = "keep" if duplicate.is_kept else "    "
    facts = [
        f"made {_day(known.created_at)}",
        f"paid {_day(looked.last_paid_at)}" if looked.last_paid_at else "never paid",
        f"{len(looked.methods)} cards",
        f"{len(looked.open_intents)} open",
    ]
    why = f" ({duplicate.why})" if duplicate.why else ""
    done = [f"         done: {duplicate.done}"] if duplicate.done else []
    return [
        f"  {mark} {known.id:<24} {', '.join(facts)}{why}",
        f"         {duplicate.plan}",
        *done,
    ]


def _day(at: datetime) -> str:
    return at.date().isoformat()
