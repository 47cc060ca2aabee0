"""A command that is called wrongly names the option, in words of its own."""

import pytest
import typer
from typer.testing import CliRunner

from paidonce import __version__
from paidonce.cli import app
from paidonce.reconcile import ADVICE
from stripesim.cli import cli as stripesim_cli
from support.environment import environment

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("command", "option", "words"),
    [
        ("reconcile --since 1x", "--since", "1x"),
        ("reconcile --until 1x", "--until", "1x"),
        ("reconcile --since 1d --until 2d", "--since", "before"),
        ("reconcile --yes", "--yes", "--dismiss"),
        ("reconcile --format xml", "--format", "xml"),
        ("shadow --allow-secret-key --since 1x", "--since", "1x"),
        ("shadow --allow-secret-key --order-key ,", "--order-key", "metadata"),
        ("payment-methods audit --since 1x", "--since", "1x"),
        ("payment-methods audit --adopt", "--adopt", "--fix"),
        ("events list --state lost", "--state", "set_aside"),
        ("notices list --state lost", "--state", "delivered"),
    ],
)
def test_what_cannot_be_read_is_named(
    sqlite_url: str, command: str, option: str, words: str
) -> None:
    result = CliRunner().invoke(app, command.split(), env=environment(sqlite_url, NOBODY))
    said = " ".join(result.stderr.replace("│", " ").split())
    assert result.exit_code == 2 and "Value error" not in said
    assert f"Invalid value for {option}" in said.replace("'", "") and words in said


def test_a_stripe_that_cannot_be_reached_is_not_the_fault_of_the_key(sqlite_url: str) -> None:
    command = ["shadow", "--allow-secret-key"]
    result = CliRunner().invoke(app, command, env=environment(sqlite_url, NOBODY))
    assert result.exit_code == 2 and "STRIPE_API_BASE" in result.stderr
    assert "STRIPE_SECRET_KEY" not in result.stderr


def test_nobody_is_advised_to_merge_customers() -> None:
    assert [kind for kind, advice in ADVICE.items() if "merge or delete" in advice] == []


def test_both_programs_say_their_version_and_serve_comes_first() -> None:
    for program, name in ((app, "paidonce"), (stripesim_cli, "stripesim")):
        result = CliRunner().invoke(program, ["--version"])
        assert (result.exit_code, result.stdout) == (0, f"{name} {__version__}\n")
    named = list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert named[:3] == ["serve", "worker", "demo"]
