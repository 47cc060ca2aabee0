"""What the fuzzing left behind: in the ledger, the log and the database."""

import asyncio
import re
from collections.abc import Iterator

import asyncpg
import requests

from proof.fuzz.target import CARDS, SECRETS, Target, spaced


def find_traces(target: Target) -> list[str]:
    """Orders charged twice; secrets and card numbers in the log, the metrics or the database; a
    server that is gone."""
    found = [] if target.is_alive() else ["the server is gone"]
    groups = target.simulator.audit(group_by="order_id")["groups"]
    found += [
        f"order {group['key']} was charged {group['succeeded_charges']} times"
        for group in groups
        if group["key"] and group["succeeded_charges"] > 1
    ]
    places = {
        "log": target.process.stdout() + target.process.stderr(),
        "metrics": requests.get(f"{target.url}/metrics", timeout=30).text,
    }
    for place, text in (*places.items(), *_pages(target)):
        for name, word in _words(target):
            if word in text:
                found.append(f"{name} stands in the {place}")
    if re.search(r"pi_\w+_secret_\w+|seti_\w+_secret_\w+", places["log"]):
        found.append("a client secret stands in the log")
    if "Traceback" in places["log"]:
        line = next(line for line in places["log"].splitlines() if "Traceback" in line)
        found.append(f"the log has a traceback: …{line[-1500:]}")
    return found


def _words(target: Target) -> Iterator[tuple[str, str]]:
    yield from SECRETS.items()
    yield from ((f"the token of {user}", token) for user, token in target.tokens.items())
    for kind, number in CARDS.items():
        yield f"the card number {kind}", number
        yield f"the card number {kind}, with spaces", spaced(number)


def _pages(target: Target) -> Iterator[tuple[str, str]]:
    """The database, as text."""
    if target.database_url.startswith("sqlite"):
        path = target.database_url.removeprefix("sqlite:///")
        for ending in ("", "-wal"):
            try:
                with open(path + ending, "rb") as file:
                    yield "database", file.read().decode("latin-1")
            except FileNotFoundError:
                continue
        return
    for table, row in asyncio.run(_rows(target.database_url)):
        yield f"table {table}", row


async def _rows(url: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'paidonce'"
        )
        return [
            (table["table_name"], str(row["row"]))
            for table in tables
            for row in await connection.fetch(
                f"SELECT t::text AS row FROM paidonce.{table['table_name']} t"
            )
        ]
    finally:
        await connection.close()
