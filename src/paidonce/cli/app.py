"""The command line: arguments and printing only."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from paidonce import __version__
from paidonce.api import server
from paidonce.api.drain import Drain
from paidonce.backfill import Counts, StripeStaysAway
from paidonce.cli import backfill_view
from paidonce.cli.events import events_app
from paidonce.cli.exits import fail as _fail
from paidonce.cli.exits import load as _load
from paidonce.cli.exits import on_signals
from paidonce.cli.moving_in import duplicates, payment_methods_app, shadow
from paidonce.cli.notices import notices_app
from paidonce.cli.reconcile import reconcile
from paidonce.cli.users import users_app
from paidonce.demo import Demo, DemoError
from paidonce.main import build_app
from paidonce.main.commands import backfill_customers
from paidonce.main.schema import preflight, upgrade_database
from paidonce.main.worker import run_worker_alone
from paidonce.observability import TracingUnavailable, configure_logging, configure_tracing
from paidonce.settings import (
    DatabaseSettings,
    OperatorSettings,
    Settings,
    SettingsError,
    StripeSettings,
    TokenSettings,
)
from paidonce.store import migrations
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit
from paidonce.tokens import make_token

app = typer.Typer(
    help="One order, one charge: a payment service for mobile apps on Stripe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
db_app = typer.Typer(help="The database's schema.", no_args_is_help=True)
app.add_typer(db_app, name="db")
customers_app = typer.Typer(help="Users and their Stripe customers.", no_args_is_help=True)
app.add_typer(customers_app, name="customers")
app.add_typer(payment_methods_app, name="payment-methods")
customers_app.command()(duplicates)
app.add_typer(users_app, name="users")
app.add_typer(events_app, name="events")
app.add_typer(notices_app, name="notices")


def main() -> None:
    app()


def _say_version(is_asked: bool) -> None:
    if is_asked:
        print(f"paidonce {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """One order, one charge: a payment service for mobile apps on Stripe."""


def _not_empty(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("must not be empty")
    return value


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Recovery and webhooks inside.")
    ] = True,
) -> None:
    """Serve the HTTP API; recovery and the work on webhooks run inside."""
    settings = _load(Settings)
    _stop_unless_ready(settings)
    _observe()
    drain = Drain(settings.drain_delay_seconds)
    server.serve(build_app(settings, has_worker=worker, drain=drain), drain, host=host, port=port)


@app.command()
def worker() -> None:
    """Recovery and the work on webhooks alone, without the HTTP API."""
    settings = _load(Settings)
    _stop_unless_ready(settings)
    _observe()
    try:
        asyncio.run(_work_until_stopped(settings))
    except SettingsError as error:
        _fail(str(error))


@app.command()
def demo(
    port: Annotated[
        int, typer.Option(help="Port of paidonce; 0 picks one.", min=0, max=65535)
    ] = 8000,
    stripe_port: Annotated[
        int, typer.Option(help="Port of the simulator; 0 picks one.", min=0, max=65535)
    ] = 8100,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data here; without it the demo starts empty.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    json_line: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Simulator, server, worker and a page that plays the app, on SQLite, until Ctrl-C."""
    try:
        with Demo(port=port, stripe_port=stripe_port, data_dir=data_dir) as running:
            print(running.as_json() if json_line else running.as_text(), flush=True)  # noqa: T201
            if browser and not json_line:
                running.open_page()
            running.wait()
    except DemoError as error:
        _fail(str(error))


@app.command()
def token(
    user: Annotated[
        str, typer.Option(help="The user's id, the token's `sub`.", callback=_not_empty)
    ],
    email: Annotated[str | None, typer.Option(help="The user's e-mail.")] = None,
) -> None:
    """Print a token of the app for a user (development; needs AUTH_JWT_SECRET)."""
    settings = _load(TokenSettings)
    secret = settings.auth_jwt_secret.get_secret_value()
    if not secret:
        _fail("AUTH_JWT_SECRET is not set; tokens of a JWKS URL are made where its keys are.")
    print(make_token(settings, user, email))  # noqa: T201


app.command()(reconcile)
app.command()(shadow)


@db_app.command()
def upgrade() -> None:
    """Bring the schema to the newest version; adopt the host's users table where there is one."""
    settings = _load(DatabaseSettings)
    has_stripe = bool(os.environ.get("STRIPE_SECRET_KEY"))
    stripe = _load(StripeSettings) if has_stripe else None
    configure_logging(level="WARNING")
    try:
        print(asyncio.run(upgrade_database(settings, stripe)))  # noqa: T201
    except SettingsError as error:
        _fail(str(error))


@db_app.command()
def downgrade(
    yes: Annotated[
        bool, typer.Option("--yes", help="Really drop every table of paidonce.")
    ] = False,
) -> None:
    """Take paidonce out of the database: its tables go, the host's users table is as before."""
    settings = _load(DatabaseSettings)
    if not yes:
        _fail(
            "this deletes every order and payment that paidonce has recorded, and the customers of"
            " users in a column that it added; say --yes."
        )
    try:
        migrations.downgrade(settings.database_url)
    except DatabaseUnavailable as error:
        _fail(f"DATABASE_URL: the database cannot be used: {error}.")
    print("The tables of paidonce are gone.")  # noqa: T201


@db_app.command()
def current() -> None:
    """Print the version of the schema, and the newest one there is."""
    settings = _load(DatabaseSettings)
    try:
        version = migrations.current(settings.database_url)
    except DatabaseUnavailable as error:
        _fail(f"DATABASE_URL: the database cannot be used: {error}.")
    print(f"{version or 'none'} (newest: {migrations.head()})")  # noqa: T201


@customers_app.command()
def backfill(
    rate: Annotated[
        float, typer.Option(help="Requests to Stripe a second, at most.", min=0.1, max=1000)
    ] = 20.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look: nothing is written here or at Stripe.")
    ] = False,
    json_line: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """A Stripe customer for every user: adopted by metadata where there is one, else created."""
    settings = _load(OperatorSettings)
    configure_logging()
    try:
        counts, complaint = asyncio.run(_backfill(settings, rate, dry_run))
    except SettingsError as error:
        _fail(str(error))
    show = backfill_view.as_json if json_line else backfill_view.as_text
    print(show(counts, dry_run))  # noqa: T201
    if complaint:
        print(f"paidonce: {complaint}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1)


async def _backfill(
    settings: OperatorSettings, rate: float, is_dry_run: bool
) -> tuple[Counts, str | None]:
    """What was done, and why it is not all."""
    stop = asyncio.Event()
    on_signals(stop.set)
    with backfill_view.Progress(is_dry_run) as progress:
        complaint = None
        try:
            await backfill_customers(
                settings, per_second=rate, is_dry_run=is_dry_run, report=progress.show, stop=stop
            )
        except StripeStaysAway:
            complaint = "Stripe did not take part several times in a row; run it again to go on."
        except (DatabaseUnavailable, UnknownCommit) as error:
            complaint = f"the database went away ({error}); run it again to go on."
        counts = progress.counts
    if stop.is_set():
        complaint = "stopped; run it again to go on."
    elif complaint is None and counts.failed:
        named = ", ".join(f"{user_id} ({code})" for user_id, code in counts.failures)
        complaint = f"no customer could be had for {counts.failed} of the users: {named}."
    return counts, complaint


def _observe() -> None:
    configure_logging()
    try:
        configure_tracing()
    except TracingUnavailable as error:
        _fail(str(error))


def _stop_unless_ready(settings: Settings) -> None:
    """A refused start says one sentence; that Stripe's answer led to it is no news beside it."""
    configure_logging(level="WARNING")
    try:
        asyncio.run(preflight(settings))
    except SettingsError as error:
        _fail(str(error))


async def _work_until_stopped(settings: Settings) -> None:
    drain = Drain()
    on_signals(drain.begin)
    await run_worker_alone(settings, drain)


if __name__ == "__main__":
    main()
