"""The commands that a team moves in with: arguments and printing only. 0: nothing found, 1:
findings, 2: it could not be done, or not to its end."""

import asyncio
import csv
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TextIO

import typer

from paidonce.cli.exits import INCOMPLETE, fail, load, on_signals, one_of, time_option
from paidonce.cli.moving_in_view import AuditView, DuplicatesView, ShadowView
from paidonce.cli.records_view import Format
from paidonce.main import moving_in as moving_in_main
from paidonce.main.moving_in import Auditing, Watching
from paidonce.moving_in import audit as audit_run
from paidonce.moving_in import duplicates as duplicates_run
from paidonce.moving_in import shadow as shadow_run
from paidonce.observability import configure_logging, redact
from paidonce.settings import OperatorSettings, SettingsError, StripeSettings

Rate = Annotated[
    float, typer.Option(help="Requests to Stripe a second, at most.", min=0.1, max=1000)
]
Output = Annotated[
    Format, typer.Option("--format", **one_of(Format), help="How findings are printed.")
]

payment_methods_app = typer.Typer(help="Stored cards.", no_args_is_help=True)
STORED_AT_A_TIME = 500
ORDER_KEYS = "order_id,orderId,order,order_number,orderNumber"
USER_KEYS = "user_id,userId"


def duplicates(
    output: Output = Format.TABLE,
    record: Annotated[
        bool,
        typer.Option("--record", help="Record the one to keep for a user who has none recorded."),
    ] = False,
    rate: Rate = 20.0,
) -> None:
    """Users with several customers at Stripe, and a plan; merges nothing. 0: none, 1: found."""
    settings = load(OperatorSettings)
    configure_logging(level="CRITICAL")
    view = DuplicatesView(output)

    async def look() -> tuple[duplicates_run.Counts, str | None]:
        stop = asyncio.Event()
        on_signals(stop.set)
        return await moving_in_main.list_duplicates(
            settings, per_second=rate, is_recording=record, show=view.show, stop=stop
        )

    try:
        counts, complaint = asyncio.run(look())
    except SettingsError as error:
        fail(str(error))
    view.end(counts, is_complete=complaint is None)
    _end(complaint, counts.groups)


def shadow(
    since: Annotated[
        str, typer.Option(help="Payments made at Stripe since: 7d, 12h or a time.")
    ] = "7d",
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on by Stripe's events, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(help="With --watch: seconds between two looks.", min=1, max=3600)
    ] = 15.0,
    state: Annotated[
        Path | None, typer.Option(help="A file to remember in; the next run goes on with it.")
    ] = None,
    order_key: Annotated[
        str, typer.Option(help="Names of metadata that hold the order, comma separated.")
    ] = ORDER_KEYS,
    user_key: Annotated[str, typer.Option(help="The same of a customer's user.")] = USER_KEYS,
    within: Annotated[
        int, typer.Option(help="Minutes between two charges that may be one.", min=1, max=10080)
    ] = 10,
    idle: Annotated[
        int, typer.Option(help="Minutes after which an open intent was left lying.", min=0)
    ] = 60,
    allow_secret_key: Annotated[
        bool, typer.Option("--allow-secret-key", help="Run with a key that could write, too.")
    ] = False,
    output: Output = Format.TABLE,
    rate: Rate = 20.0,
) -> None:
    """Watch the account of the server that is there, read only. 0: nothing found, 1: findings."""
    settings = load(StripeSettings)
    if not (allow_secret_key or settings.stripe_secret_key.get_secret_value().startswith("rk_")):
        fail(
            "STRIPE_SECRET_KEY is no restricted key (rk_…): make one that may read PaymentIntents,"
            " Charges, Customers and Events and write nothing, or say --allow-secret-key; nothing"
            " but GETs is sent either way."
        )
    configure_logging(level="CRITICAL")
    view = ShadowView(output)
    what = shadow_run.Watch(
        time_option("--since", since),
        _names("--order-key", order_key),
        _names("--user-key", user_key),
        timedelta(minutes=within),
        timedelta(minutes=idle),
    )
    how = Watching(rate, state, every if watch else None, _complain)

    async def look() -> tuple[shadow_run.Counts, str | None]:
        stop = asyncio.Event()
        on_signals(stop.set)
        return await moving_in_main.watch_account(settings, what, how, show=view.show, stop=stop)

    try:
        counts, complaint = asyncio.run(look())
    except SettingsError as error:
        fail(str(error))
    view.end(counts, is_complete=complaint is None)
    _end(complaint, counts.found.total())


@payment_methods_app.command("audit")
def audit(
    stored: Annotated[
        str | None,
        typer.Option("--from", help="CSV of the host's `user_id,pm_id`; - is stdin."),
    ] = None,
    since: Annotated[
        str, typer.Option(help="How far back uses are looked for: 90d, 12h or a time.")
    ] = "90d",
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair what can be repaired, and say what was done.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="With --fix: list cards that the host has not stored.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option(help="A file to remember in; the next run goes on with it.")
    ] = None,
    output: Output = Format.TABLE,
    rate: Rate = 20.0,
) -> None:
    """Which stored cards can still be used, and what their users must do. 0: all, 1: findings."""
    if adopt and not fix:
        raise typer.BadParameter("it goes with --fix", param_hint="--adopt")
    uses_since = time_option("--since", since)
    settings = load(OperatorSettings)
    configure_logging(level="CRITICAL")
    view = AuditView(output)

    async def look(rows: Iterator[list[tuple[str, str]]]) -> tuple[audit_run.Counts, str | None]:
        stop = asyncio.Event()
        on_signals(stop.set)
        how = Auditing(rate, state, uses_since, rows, fix, adopt)
        return await moving_in_main.audit_methods(settings, how, show=view.show, stop=stop)

    with ExitStack() as files:
        try:
            counts, complaint = asyncio.run(look(_stored(_open(stored, files))))
        except (SettingsError, _BadRow) as error:
            fail(str(error))
    view.end(counts, is_complete=complaint is None)
    _end(complaint, counts.found.total())


class _BadRow(Exception):
    """A line of --from that says nothing, in a sentence."""


def _open(name: str | None, files: ExitStack) -> TextIO | None:
    if name is None or name == "-":
        return None if name is None else sys.stdin
    try:
        return files.enter_context(open(name, encoding="utf-8-sig", newline=""))
    except OSError as error:
        fail(f"--from: {name} cannot be read: {error.strerror}.")


def _stored(file: TextIO | None) -> Iterator[list[tuple[str, str]]]:
    """Pairs of (method, user); a first line without a digit names its columns. Raises _BadRow."""
    batch: list[tuple[str, str]] = []
    lines = csv.reader(file) if file is not None else iter(())
    try:
        for number, line in enumerate(lines, 1):
            if not line or (number == 1 and not re.search("[0-9]", "".join(line))):
                continue
            if len(line) != 2 or not all(cell.strip() for cell in line):
                raise _BadRow(f"--from: line {number} is not `user_id,pm_id`.")
            batch.append((redact(line[1].strip()), line[0].strip()))  # it may hold anything
            if len(batch) == STORED_AT_A_TIME:
                yield batch
                batch = []
    except (csv.Error, UnicodeDecodeError) as error:
        raise _BadRow(f"--from: it is no CSV in UTF-8: {error}.") from error
    if batch:
        yield batch


def _names(option: str, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("name at least one key of metadata", param_hint=option)
    return names


def _complain(sentence: str) -> None:
    print(f"paidonce: {sentence}", file=sys.stderr, flush=True)  # noqa: T201


def _end(complaint: str | None, findings: int) -> None:
    if complaint:
        fail(complaint)
    if findings:
        raise typer.Exit(INCOMPLETE)
