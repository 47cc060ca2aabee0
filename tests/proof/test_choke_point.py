"""Every Stripe call and every commit of the service goes through `step`: by reading the source,
and by counting in a busy shop."""

import ast
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from paidonce.observability import set_step_hook
from paidonce.store import sqlite
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, StartService

SOURCE = Path(__file__).parents[2] / "src" / "paidonce"
STRIPE_CALLS = {"raw_request_async", "raw_request", "raw_request_stream_async"}
WRITES = {"commit", "fetchrow", "begin"}
"""Calls by which a database keeps something: a transaction's end, or a statement of its own."""
IN_A_STEP = {
    # the functions whose callers hold the step, and who they are
    ("sqlite.py", "_write"): "transaction",
    ("postgresql.py", "_transaction_once"): "transaction",
    ("run.py", "_on_sqlite"): "_in_connection",
    ("run.py", "_on_postgresql"): "_in_connection",
    ("run.py", "work"): "_on_postgresql",
}
IN_A_TRANSACTION = {
    ("postgresql.py", "fetch_one"),  # of a transaction or a read: neither commits
}


def list_places(tree: ast.AST) -> Iterator[tuple[ast.Call, list[ast.AST]]]:
    """Every call with what it stands in, outermost first."""

    def walk(node: ast.AST, around: list[ast.AST]) -> Iterator[tuple[ast.Call, list[ast.AST]]]:
        if isinstance(node, ast.Call):
            yield node, around
        for child in ast.iter_child_nodes(node):
            yield from walk(child, [*around, node])

    yield from walk(tree, [])


def is_in_step(around: list[ast.AST]) -> bool:
    return any(
        isinstance(node, ast.With | ast.AsyncWith)
        and any("step(" in ast.unparse(item.context_expr) for item in node.items)
        for node in around
    )


def function_of(around: list[ast.AST]) -> str:
    names = [n.name for n in around if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return names[-1] if names else ""


def keeps_something(call: ast.Call) -> bool:
    words = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    is_write = isinstance(call.func, ast.Attribute) and call.func.attr in WRITES
    return is_write or any(word.startswith("COMMIT") for word in words)


def list_outside(folder: Path) -> dict[tuple[str, str], str]:
    """Stripe calls and commits that no step surrounds, by file and function."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        for call, around in list_places(ast.parse(path.read_text())):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            place = (path.name, function_of(around))
            is_commit = "store" in path.parts and keeps_something(call)
            if (name in STRIPE_CALLS or is_commit) and not is_in_step(around):
                found[place] = name
    return found


def test_no_stripe_call_and_no_commit_stands_outside_a_step() -> None:
    inside = {key for key in IN_A_STEP if key[1] != "_on_postgresql"}  # it calls `work` only
    assert list_outside(SOURCE).keys() == inside | IN_A_TRANSACTION


def test_those_that_rely_on_their_callers_have_callers_with_a_step() -> None:
    held = set()
    for path in SOURCE.rglob("*.py"):
        for call, around in list_places(ast.parse(path.read_text())):
            names = {ast.unparse(n) for n in [call.func, *call.args]}
            for (file, inner), outer in IN_A_STEP.items():
                is_used = any(name.split(".")[-1] == inner for name in names)
                if path.name == file and is_used and function_of(around) == outer:
                    held |= {(file, inner)} if is_in_step(around) else set()
    inside = {key for key, outer in IN_A_STEP.items() if (key[0], outer) in IN_A_STEP}
    assert held == IN_A_STEP.keys() - inside


def test_the_check_sees_a_call_outside(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "new.py").write_text("async def keep(c):\n    await c.commit()\n")
    (tmp_path / "pay.py").write_text("async def pay(c):\n    await c.raw_request_async('post')\n")
    assert list_outside(tmp_path) == {
        ("pay.py", "pay"): "raw_request_async",
        ("new.py", "keep"): "commit",
    }


def test_a_busy_shop_commits_and_calls_nothing_outside(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: Counter[str] = Counter()
    commits: list[str] = []
    connect = sqlite.connect

    def traced(path: str, *, is_wal: bool = True) -> sqlite3.Connection:
        connection = connect(path, is_wal=is_wal)
        connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        return connection

    monkeypatch.setattr(sqlite, "connect", traced)
    service = start_service()
    seen = len(service.simulator.requests())
    commits.clear()
    set_step_hook(lambda name, when: steps.update([name]) if when == "before" else None)
    try:
        service.pay(service.order(), service.simulator.create_card(GOOD), save=True)
        service.pay(service.order(), service.simulator.create_card(DECLINED_AT_CHARGE))
        service.pay(service.order(), service.simulator.create_card(NEEDS_3DS))
        service.work()
    finally:
        set_step_hook(None)
    calls = [
        request
        for request in service.simulator.requests()[seen:]
        if not (request["method"] == "POST" and request["path"] == "/v1/payment_methods")
    ]
    stripe_steps = {name: n for name, n in steps.items() if name.startswith("stripe.")}
    assert sum(stripe_steps.values()) == len(calls) >= 9, (stripe_steps, calls)
    if service.settings.database_url.startswith("sqlite"):
        wanted = sum(n for name, n in steps.items() if name.startswith("commit."))
        assert wanted == len(commits) >= 15
        with closing(sqlite3.connect(service.settings.database_url[10:])) as database:
            assert database.execute("SELECT count(*) FROM paidonce_orders").fetchone() == (3,)
