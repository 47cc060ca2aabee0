"""The commands that a team moves in with: arguments and printing only. 0: nothing found, 1:
findings, 2: it could not be done, or not to its end."""

import asyncio
from typing import Annotated

import typer

from paidonce import moving_in_main
from paidonce.exits import INCOMPLETE, fail, load, on_signals
from paidonce.moving_in import duplicates as duplicates_run
from paidonce.moving_in_view import DuplicatesView
from paidonce.observability import configure_logging
from paidonce.records_view import Format
from paidonce.settings import OperatorSettings, SettingsError

Rate = Annotated[
    float, typer.Option(help="Requests to Stripe a second, at most.", min=0.1, max=1000)
]
Output = Annotated[Format, typer.Option("--format", help="How findings are printed.")]


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


def _end(complaint: str | None, findings: int) -> None:
    if complaint:
        fail(complaint)
    if findings:
        raise typer.Exit(INCOMPLETE)
