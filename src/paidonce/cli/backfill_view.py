"""What a person sees of `paidonce customers backfill`: a bar, or lines where nobody is watching."""

import json
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from paidonce.backfill import Counts

LINE_SECONDS = 5.0


class Progress:
    """On stderr: done of all, users a second, time left. `counts` is what was shown last."""

    def __init__(self, is_dry_run: bool) -> None:
        console = Console(stderr=True)
        self.counts = Counts()
        self._is_watched = console.is_terminal
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._is_watched,
            transient=True,
        )
        self._task = self._bar.add_task(
            "looking" if is_dry_run else "customers", total=None, rate=""
        )
        self._began = time.monotonic()
        self._next_line_at = self._began + LINE_SECONDS

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, counts: Counts) -> None:
        self.counts = counts
        now = time.monotonic()
        done = counts.adopted + counts.created
        rate = done / max(now - self._began, 0.001)
        total = counts.users - counts.had_customer
        self._bar.update(self._task, completed=done, total=total, rate=f"{rate:.1f}/s")
        if not self._is_watched and now >= self._next_line_at:
            self._next_line_at = now + LINE_SECONDS
            print(_line(done, total, rate), file=sys.stderr, flush=True)  # noqa: T201


def _line(done: int, total: int, rate: float) -> str:
    left = f", {(total - done) / rate:.0f} s left" if rate > 0 else ""
    return f"customers backfill: {done} of {total}, {rate:.1f}/s{left}"


def as_text(counts: Counts, is_dry_run: bool) -> str:
    """The figures of a run, and the users who have more than one customer at Stripe."""
    rows = [
        ("users", counts.users),
        ("had a customer", counts.had_customer),
        ("would be adopted" if is_dry_run else "adopted", counts.adopted),
        ("would be created" if is_dry_run else "created", _created(counts, is_dry_run)),
        ("failed", counts.failed),
        ("customers seen at Stripe", counts.customers_seen),
        ("customers beside the recorded one", counts.duplicate_customers),
    ]
    lines = [f"{name:<34}{count:>9}" for name, count in rows]
    lines += [f"  user {user_id}: {customer_id}" for user_id, customer_id in counts.duplicates]
    if counts.duplicate_customers > len(counts.duplicates):
        lines.append("  …")
    if counts.duplicate_customers:
        lines.append("What hangs on them and what to do: paidonce customers duplicates")
    return "\n".join(lines)


def as_json(counts: Counts, is_dry_run: bool) -> str:
    """The same as one line."""
    return json.dumps(
        {
            "dry_run": is_dry_run,
            "users": counts.users,
            "had_customer": counts.had_customer,
            "adopted": counts.adopted,
            "created": _created(counts, is_dry_run),
            "failed": counts.failed,
            "customers_seen": counts.customers_seen,
            "duplicate_customers": counts.duplicate_customers,
            "duplicates": [
                {"user_id": user_id, "stripe_customer_id": customer_id}
                for user_id, customer_id in counts.duplicates
            ],
            "failures": [{"user_id": user_id, "code": code} for user_id, code in counts.failures],
        }
    )


def _created(counts: Counts, is_dry_run: bool) -> int:
    """In a dry run: those whom a real one would create."""
    return counts.missing if is_dry_run else counts.created
