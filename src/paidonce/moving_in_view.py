"""What a person sees of the commands that a team moves in with."""

from datetime import datetime

from paidonce.moving_in import duplicates
from paidonce.moving_in.duplicates import Duplicate
from paidonce.records_view import Format, RecordsView

DUPLICATE_COLUMNS = (
    "kind", "group", "stripe_customer_id", "user_id", "is_kept", "why", "is_recorded",
    "created_at", "last_paid_at", "payment_methods", "open_intents", "plan", "done",
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
