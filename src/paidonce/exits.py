"""How a command ends: by a signal in order, or, where it cannot be done, with one sentence on
stderr and an exit code."""

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from paidonce.observability import redact
from paidonce.settings import AnySettings, SettingsError
from paidonce.settings import load as load_settings

INCOMPLETE = 1
REFUSED = 2


def fail(sentence: str, code: int = REFUSED) -> NoReturn:
    print(f"paidonce: {redact(sentence)}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)


def on_signals(callback: Callable[[], object]) -> None:
    """What Ctrl-C and SIGTERM do from now on, in the loop that runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, callback)


def load(kind: type[AnySettings]) -> AnySettings:
    """The settings that a command needs, or the sentence that says which is missing."""
    try:
        return load_settings(kind)
    except SettingsError as error:
        fail(str(error))
