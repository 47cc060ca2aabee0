"""How a command ends that cannot be done: one sentence on stderr and an exit code."""

import sys
from typing import NoReturn

import typer

from paidonce.settings import AnySettings, SettingsError
from paidonce.settings import load as load_settings

INCOMPLETE = 1
REFUSED = 2


def fail(sentence: str, code: int = REFUSED) -> NoReturn:
    print(f"paidonce: {sentence}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)


def load(kind: type[AnySettings]) -> AnySettings:
    """The settings that a command needs, or the sentence that says which is missing."""
    try:
        return load_settings(kind)
    except SettingsError as error:
        fail(str(error))
