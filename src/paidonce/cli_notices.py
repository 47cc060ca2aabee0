"""`paidonce notices …`: arguments and printing only."""

import typer

from paidonce.endpoints import new_secret

notices_app = typer.Typer(
    help="Outgoing events: what the merchant's endpoints are told.", no_args_is_help=True
)


@notices_app.command()
def secret() -> None:
    """A new signing secret for EVENT_SECRETS and for the endpoint."""
    print(new_secret())  # noqa: T201


@notices_app.callback()
def _group() -> None:
    """Outgoing events: what the merchant's endpoints are told."""
