"""`paidonce users`: what is kept about one user, and its end. Arguments and printing only."""

import asyncio
import json
from typing import Annotated

import typer

from paidonce.cli.exits import INCOMPLETE, fail, load
from paidonce.main import users as users_main
from paidonce.observability import configure_logging
from paidonce.payments.erasure import CannotErase
from paidonce.settings import OperatorSettings, SettingsError

users_app = typer.Typer(help="What is kept about one user.", no_args_is_help=True)
UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id, the tokens' `sub`.")]


@users_app.command()
def export(user_id: UserId) -> None:
    """Print everything that is kept here about a user, as one JSON document."""
    settings = load(OperatorSettings)
    configure_logging(level="CRITICAL")
    try:
        found = asyncio.run(users_main.export(settings, user_id))
    except (SettingsError, CannotErase) as error:
        fail(f"{str(error).rstrip('.')}.")
    if found is None:
        fail(f"our books do not know the user {user_id}.", INCOMPLETE)
    print(json.dumps(found, indent=2))  # noqa: T201


@users_app.command()
def erase(
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it cannot be taken back.")] = False,
) -> None:
    """Delete a user's customer at Stripe and what is personal here. 0: done, 1: only looked."""
    settings = load(OperatorSettings)
    configure_logging(level="CRITICAL")
    try:
        erased = asyncio.run(users_main.erase(settings, user_id, is_sure=yes))
    except (SettingsError, CannotErase) as error:
        fail(f"{str(error).rstrip('.')}.")
    kept = ", ".join(f"{count} {name}" for name, count in erased.counts.items() if count)
    named = ", ".join(erased.customer_ids) or "none"
    verb = "were deleted" if erased.is_done else "would be deleted"
    print(f"Customers that {verb} at Stripe: {named}.")  # noqa: T201
    if erased.gone_ids:
        print(f"Deleted there before: {', '.join(erased.gone_ids)}.")  # noqa: T201
    print(f"Rows of the user: {kept or 'none'}; what is personal in them", end=" ")  # noqa: T201
    print("is gone." if erased.is_done else "would go.")  # noqa: T201
    if not erased.is_done:
        fail("nothing was done: --yes does it, and it cannot be taken back.", INCOMPLETE)
