"""The commands that a team moves in with: arguments and printing only. 0: nothing found, 1:
findings, 2: it could not be done, or not to its end."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from paidonce import moving_in_main
from paidonce.exits import INCOMPLETE, fail, load, on_signals
from paidonce.moving_in import duplicates as duplicates_run
from paidonce.moving_in import shadow as shadow_run
from paidonce.moving_in_main import Watching
from paidonce.moving_in_view import DuplicatesView, ShadowView
from paidonce.observability import configure_logging
from paidonce.records_view import Format
from paidonce.settings import OperatorSettings, SettingsError, StripeSettings
from paidonce.when import parse_time

Rate = Annotated[
    float, typer.Option(help="Requests to Stripe a second, at most.", min=0.1, max=1000)
]
Output = Annotated[Format, typer.Option("--format", help="How findings are printed.")]

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
        _since(since),
        _names(order_key),
        _names(user_key),
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


def _since(text: str) -> datetime:
    try:
        return parse_time(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("names at least one key of metadata")
    return names


def _complain(sentence: str) -> None:
    print(f"paidonce: {sentence}", file=sys.stderr, flush=True)  # noqa: T201


def _end(complaint: str | None, findings: int) -> None:
    if complaint:
        fail(complaint)
    if findings:
        raise typer.Exit(INCOMPLETE)
