"""The commands that a team moves in with, called inside this process, and an account as the server
before paidonce left it."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from typer.testing import CliRunner

from paidonce.cli import app
from paidonce.observability import configure_logging
from support.environment import environment


@dataclass
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.stdout)
        return body


def run(
    *words: str, env: dict[str, str], stdin: str | None = None, code: int | None = None
) -> Done:
    """`paidonce WORDS` with these settings and no others."""
    names = environment("", "")
    try:
        result = CliRunner().invoke(app, words, env={**dict.fromkeys(names), **env}, input=stdin)
    finally:
        configure_logging(level="WARNING")  # as the tests have it
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    done = Done(result.exit_code, result.stdout, result.stderr)
    assert code is None or done.code == code, done
    return done


def reading(url: str, simulator: Any) -> dict[str, str]:
    """The settings of a command that looks into the books and at Stripe."""
    everything = environment(url, simulator.url)
    return {
        name: everything[name] for name in ("DATABASE_URL", "STRIPE_API_BASE", "STRIPE_SECRET_KEY")
    }


def break_table(state: Path, table: str) -> None:
    """Damages a state file where one of its tables lies."""
    with closing(sqlite3.connect(state)) as file:
        [[size]] = file.execute("PRAGMA page_size")
        [[page]] = file.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,))
    with state.open("r+b") as raw:
        raw.seek((page - 1) * size)
        raw.write(b"?" * size)


def assert_broken_off(done: Done, *words: str) -> None:
    """One sentence that says why, and a JSON document that is whole."""
    [sentence] = done.stderr.splitlines()
    assert done.code == 2 and sentence.startswith("paidonce: ")
    assert all(word in sentence for word in words), sentence
    assert done.json()["is_complete"] is False


class Account:
    """Stripe, called as the old server called it."""

    def __init__(self, simulator: Any) -> None:
        self._simulator = simulator

    def post(self, path: str, *, is_refused: bool = False, **form: Any) -> dict[str, Any]:
        answer = requests.post(
            f"{self._simulator.url}/v1/{path}",
            data={
                name.replace("__", "[") + ("]" if "__" in name else ""): value
                for name, value in form.items()
            },
            auth=(self._simulator.secret_key, ""),
            timeout=10,
        )
        assert answer.ok != is_refused, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def get(self, path: str) -> dict[str, Any]:
        answer = requests.get(
            f"{self._simulator.url}/v1/{path}", auth=(self._simulator.secret_key, ""), timeout=10
        )
        assert answer.ok, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def customer(self, email: str | None = None, **metadata: str) -> str:
        form = {f"metadata__{name}": text for name, text in metadata.items()}
        if email is not None:
            form["email"] = email
        return str(self.post("customers", **form)["id"])

    def card(self, number: str = "4242424242424242") -> str:
        return str(self._simulator.create_card(number))

    def attach(self, customer: str, method: str | None = None) -> str:
        method = method or self.card()
        self.post(f"payment_methods/{method}/attach", customer=customer)
        return method

    def pay(self, *, is_refused: bool = False, **form: Any) -> dict[str, Any]:
        """A confirmed PaymentIntent, as the old server made one per request."""
        whole = {"amount": 44_000, "currency": "usd", "confirm": "true"} | form
        return self.post("payment_intents", is_refused=is_refused, **whole)
