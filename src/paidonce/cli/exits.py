"""How a command ends: by a signal in order, or, where it cannot be done, with one sentence on
stderr and an exit code."""

import asyncio
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

import typer

from paidonce.observability import redact
from paidonce.settings import AnySettings, SettingsError
from paidonce.settings import load as load_settings
from paidonce.when import parse_time

Choice = TypeVar("Choice", bound=StrEnum)
INCOMPLETE = 1
REFUSED = 2


def fail(sentence: str, code: int = REFUSED) -> NoReturn:
    print(f"paidonce: {redact(sentence)}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)


def one_of(kind: type[Choice]) -> dict[str, Any]:
    """What an option that takes one of these words gives to `typer.Option`."""
    words = list(kind)

    def parse(text: str) -> Choice:
        if text not in words:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(words)}.")
        return kind(text)

    return {"parser": parse, "metavar": f"[{'|'.join(words)}]"}


def time_option(option: str, text: str) -> datetime:
    """The time that a person has written, or the command's refusal, which names the option."""
    try:
        return parse_time(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


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
