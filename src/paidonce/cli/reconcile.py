"""`paidonce reconcile`: arguments and printing only."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from paidonce.cli.exits import INCOMPLETE, fail, load, on_signals, one_of, time_option
from paidonce.cli.reconcile_view import ReconcileView, show_dismissal
from paidonce.cli.records_view import Format
from paidonce.domain.intent import Window
from paidonce.main.commands import Compare, compare_books, dismiss_intent
from paidonce.observability import configure_logging
from paidonce.reconcile import CannotDismiss, Counts
from paidonce.settings import OperatorSettings, Settings, SettingsError

FOUND = 1


def reconcile(
    since: Annotated[
        str | None, typer.Option(help="Created at Stripe since: 7d, 12h or a time; else ever.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Created at Stripe until; else now.")] = None,
    order: Annotated[str | None, typer.Option(help="This order alone.")] = None,
    output: Annotated[
        Format, typer.Option("--format", **one_of(Format), help="How findings are printed.")
    ] = Format.TABLE,
    fix: Annotated[
        bool, typer.Option("--fix", help="Do what is safe, and say what was done.")
    ] = False,
    dismiss: Annotated[
        str | None,
        typer.Option(help="A forgotten intent that --fix has left: it refuses its order no more."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --dismiss: do it.")] = False,
    rate: Annotated[
        float, typer.Option(help="Requests to Stripe a second, at most.", min=0.1, max=1000)
    ] = 20.0,
) -> None:
    """Compare Stripe with the books, both ways. 0: nothing found, 1: findings, 2: not done."""
    if dismiss is not None:
        if fix or any(option is not None for option in (since, until, order)):
            raise typer.BadParameter("it goes with --yes alone", param_hint="--dismiss")
        return _dismiss(dismiss, is_sure=yes)
    if yes:
        raise typer.BadParameter("it goes with --dismiss alone", param_hint="--yes")
    window = Window(_time("--since", since), _time("--until", until))
    if window.since and window.since > datetime.now(UTC):
        raise typer.BadParameter("it lies in the future", param_hint="--since")
    if window.since and window.until and window.since >= window.until:
        raise typer.BadParameter("it must be before --until", param_hint="--since")
    fixing = load(Settings) if fix else None
    settings = fixing or load(OperatorSettings)
    configure_logging(level="CRITICAL")
    view = ReconcileView(output)

    async def compare() -> tuple[Counts, str | None]:
        what, stop = Compare(window, order, rate), asyncio.Event()
        on_signals(stop.set)
        return await compare_books(settings, what, fixing=fixing, show=view.show, stop=stop)

    try:
        counts, complaint = asyncio.run(compare())
    except SettingsError as error:
        fail(str(error))
    view.end(counts, is_complete=complaint is None)
    if complaint:
        fail(complaint)
    if counts.findings:
        raise typer.Exit(FOUND)


def _dismiss(intent_id: str, *, is_sure: bool) -> None:
    """0: dismissed, 1: only looked, 2: not done."""
    settings = load(OperatorSettings)
    configure_logging(level="CRITICAL")
    try:
        dismissal = asyncio.run(dismiss_intent(settings, intent_id, is_sure=is_sure))
    except (SettingsError, CannotDismiss) as error:
        fail(f"{str(error).rstrip('.')}.")
    show_dismissal(dismissal)
    if not is_sure:
        fail("nothing was done: --yes does it, and it cannot be taken back.", INCOMPLETE)


def _time(option: str, text: str | None) -> datetime | None:
    return None if text is None else time_option(option, text)
