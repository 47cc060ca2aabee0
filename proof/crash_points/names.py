"""The names of all steps that stand in the production code, read from its source.

A step is named where a transaction, a statement or a Stripe call is made: by the first argument of
`….transaction("paid", …)`, `….statement("claim", …)`, and in the gateway `self._post("confirm", …)`
and `self._call("list", …)`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import paidonce

SOURCE = Path(paidonce.__file__).parent
PREFIXES = {"transaction": "commit", "statement": "commit", "_post": "stripe", "_call": "stripe"}
COMPUTED = {
    "state.value": ("commit.declined", "commit.authentication_failed", "commit.consumed",
                    "commit.abandoned"),
    "name": (),  # handed on: it is named where it comes from
}  # fmt: skip
"""What names that are not written out can be."""


class UnknownName(Exception):
    """A step whose name cannot be read from the source: add what it can be to COMPUTED."""


def list_steps(source: Path = SOURCE) -> set[str]:
    """Every step of the code, as `commit.paid` or `stripe.confirm`. Raises UnknownName."""
    return {name for path in sorted(source.rglob("*.py")) for name in _steps_of(path)}


def _steps_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if called not in PREFIXES or (called == "transaction" and len(node.args) < 2):
            continue
        if PREFIXES[called] == "stripe" and path.parent.name != "gateway":
            continue
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield f"{PREFIXES[called]}.{name.value}"
        elif ast.unparse(name) in COMPUTED:
            yield from COMPUTED[ast.unparse(name)]
        else:
            raise UnknownName(f"{path}:{node.lineno}: {ast.unparse(name)}")
