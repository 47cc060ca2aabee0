"""`stripesim serve`: arguments and printing only."""

import sqlite3
from datetime import datetime
from typing import Annotated

import typer

from stripesim import __version__
from stripesim.clock import read_time
from stripesim.config import Config
from stripesim.control.access import is_loopback
from stripesim.server import bind, make_server

BEYOND_THIS_MACHINE = (
    "stripesim: other machines can reach this. Whoever does can use the API, since every test key "
    "is taken; /_sim is shut to them without --control-token."
)
SearchLag = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds until search finds a change; 0 at once [Stripe's lag]."),
]
StartTime = Annotated[
    str | None,
    typer.Option(
        help="The clock stands still there until advanced: 2026-01-01T00:00:00Z or seconds."
    ),
]
StrictRequiresAction = Annotated[
    bool,
    typer.Option(
        "--strict-requires-action",
        help="Refuse a confirm with another method while one is being authenticated.",
    ),
]
StrictMethodTypes = Annotated[
    bool,
    typer.Option(
        "--strict-method-types",
        help="Refuse payment_method_types from API version 2026-09-30.endive on, as Stripe.",
    ),
]
DashboardMethods = Annotated[
    bool,
    typer.Option(
        "--dashboard-methods",
        help="The account has redirect methods: a confirm needs a return_url.",
    ),
]
AsyncBalance = Annotated[
    bool,
    typer.Option(
        "--async-balance",
        help="Balance transactions of charges come a moment later, with charge.updated.",
    ),
]
FieldsAsOf = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d"],
        help="Every API version shows the fields that Stripe had on that day [the version's day].",
    ),
]
cli = typer.Typer(
    help="A stateful local Stripe for tests and demos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"stripesim {__version__}")
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """A stateful local Stripe for tests and demos."""


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8100,
    data: Annotated[
        str | None, typer.Option(help="SQLite file; without it everything is in memory.")
    ] = None,
    webhook_url: Annotated[
        str | None, typer.Option(help="Every event is sent here, signed.")
    ] = None,
    webhook_secret: Annotated[
        str | None, typer.Option(help="Secret of the signatures, whsec_…")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Makes ids and chances repeatable.")] = None,
    start_time: StartTime = None,
    control_token: Annotated[
        str | None, typer.Option(help="Opens /_sim/ beyond this machine, for who knows it.")
    ] = None,
    strict_requires_action: StrictRequiresAction = False,
    strict_method_types: StrictMethodTypes = False,
    async_balance: AsyncBalance = False,
    dashboard_methods: DashboardMethods = False,
    fields_as_of: FieldsAsOf = None,
    search_lag: SearchLag = None,
) -> None:
    """Run the simulator until Ctrl-C; prints one line when it is ready."""
    if webhook_url and not webhook_url.startswith(("http://", "https://")):
        raise typer.BadParameter(
            "it has to begin with http:// or https://", param_hint="--webhook-url"
        )
    if webhook_url and not webhook_secret:
        typer.echo("--webhook-url needs --webhook-secret", err=True)
        raise typer.Exit(2)
    config = Config(
        data=data,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        seed=seed,
        start_time=_read_start_time(start_time),
        control_token=control_token,
        strict_requires_action=strict_requires_action,
        strict_method_types=strict_method_types,
        async_balance=async_balance,
        dashboard_methods=dashboard_methods,
        fields_as_of=fields_as_of.date().isoformat() if fields_as_of else None,
        search_lag=search_lag,
    )
    try:
        listener = bind(host, port)
    except OSError as error:
        typer.echo(f"cannot listen on {host}:{port}: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    try:
        server = make_server(config, _print_ready)
    except sqlite3.Error as error:
        typer.echo(f"cannot use {data} as the store: {error}", err=True)
        raise typer.Exit(1) from error
    if not is_loopback(listener.getsockname()[0]):
        typer.echo(BEYOND_THIS_MACHINE, err=True)
    server.run(sockets=[listener])


def _read_start_time(text: str | None) -> float | None:
    try:
        return None if text is None else read_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--start-time") from error


def _print_ready(url: str) -> None:
    # One line on stdout, flushed: whoever started the process waits for it.
    typer.echo(f"stripesim ready on {url}")


def main() -> None:
    cli()
