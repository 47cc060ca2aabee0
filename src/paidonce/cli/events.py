"""`paidonce events …`: arguments and printing only."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from paidonce.cli import events_view
from paidonce.cli.database import on_database
from paidonce.cli.exits import INCOMPLETE, fail, load, on_signals, one_of
from paidonce.main.commands import backfill_events
from paidonce.observability import configure_logging
from paidonce.settings import OperatorSettings, SettingsError
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit
from paidonce.webhooks.backfill import BadSince, Counts, StripeStaysAway, read_since
from paidonce.webhooks.inbox import Inbox

Result = TypeVar("Result")
events_app = typer.Typer(help="The inbox of Stripe's events.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


class State(StrEnum):
    PENDING = "pending"
    DONE = "done"
    IGNORED = "ignored"
    SET_ASIDE = "set_aside"


@events_app.command("list")
def list_events(
    state: Annotated[
        State | None, typer.Option(**one_of(State), help="Only those of one state.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, at most.", min=1, max=1000)] = 50,
    json_line: Json = False,
) -> None:
    """The latest events, and how many wait or were set aside."""

    async def work(inbox: Inbox) -> str:
        show = events_view.list_as_json if json_line else events_view.list_as_text
        return show(await inbox.list_latest(state, limit), await inbox.look())

    print(_use_inbox(work))  # noqa: T201


@events_app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id, evt_….")],
    json_line: Json = False,
) -> None:
    """Everything that is known of one event."""
    event = _use_inbox(lambda inbox: inbox.get(event_id))
    if event is None:
        fail(f"no event {event_id} is in the inbox.", INCOMPLETE)
    print((events_view.event_as_json if json_line else events_view.event_as_text)(event))  # noqa: T201


@events_app.command()
def resend(
    event_id: Annotated[str | None, typer.Argument(metavar="ID", help="The event's id.")] = None,
    all_set_aside: Annotated[
        bool, typer.Option("--all-set-aside", help="Every event that was set aside.")
    ] = False,
) -> None:
    """Back to work, with all its tries: a worker takes it within a second."""
    if (event_id is None) is not all_set_aside:
        fail("say the id of an event, or --all-set-aside.")
    if event_id is None:
        count = _use_inbox(lambda inbox: inbox.resend_all_set_aside())
        print(f"{count} back to work.")  # noqa: T201
        return
    if not _use_inbox(lambda inbox: inbox.resend(event_id)):
        fail(f"no event {event_id} is in the inbox.", INCOMPLETE)
    print(f"{event_id} is back to work.")  # noqa: T201


@events_app.command()
def backfill(
    since: Annotated[
        str, typer.Option(help="From when: 2026-11-20T00:00Z, or how long ago: 12h, 3d.")
    ],
    json_line: Json = False,
) -> None:
    """After an outage: the events of Stripe's own list, each once into the inbox."""
    settings = load(OperatorSettings)
    configure_logging()
    try:
        first = read_since(since, datetime.now(UTC))
        counts, complaint = asyncio.run(_backfill(settings, first))
    except (BadSince, SettingsError) as error:
        fail(str(error))
    print((events_view.counts_as_json if json_line else events_view.counts_as_text)(counts))  # noqa: T201
    if complaint:
        again = f" --since {counts.until:%Y-%m-%dT%H:%M:%SZ}" if counts.until else ""
        fail(f"{complaint}; run it again{again} to go on.", INCOMPLETE)


async def _backfill(settings: OperatorSettings, since: datetime) -> tuple[Counts, str | None]:
    """What was done, and why it is not all."""
    stop = asyncio.Event()
    on_signals(stop.set)
    counts = Counts()

    def report(seen: Counts) -> None:
        nonlocal counts
        counts = seen
        if sys.stderr.isatty():
            print(f"\r{seen.read} events read", end="", file=sys.stderr, flush=True)  # noqa: T201

    complaint = None
    try:
        await backfill_events(settings, since=since, report=report, stop=stop)
    except StripeStaysAway as error:
        complaint = str(error).rstrip(".")
    except (DatabaseUnavailable, UnknownCommit) as error:
        complaint = f"the database went away ({error})"
    if sys.stderr.isatty():
        print(file=sys.stderr)  # noqa: T201
    return counts, "stopped" if stop.is_set() else complaint


def _use_inbox(work: Callable[[Inbox], Awaitable[Result]]) -> Result:
    return on_database(lambda db, clock: work(Inbox(db, clock)))
