"""The names of all steps that stand in the production code, read from its source.

A step is named where a transaction, a statement or a Stripe call is made: by the first argument of
`….transaction("paid", …)`, `….statement("claim", …)`, and in the gateway `self._post("confirm", …)`
and `self._call("list", …)`, or where `step("commit.schema")` itself is written out.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import paidonce

SOURCE = Path(paidonce.__file__).parent
CLOSED = ("declined", "authentication_failed", "consumed", "abandoned")
COMPUTED = {
    "state.value": tuple(f"commit.{state}" for state in CLOSED),
    # Handed on: they are named where they come from.
    "name": (),
    "f'commit.{name}'": (),
    "f'stripe.{name}'": (),
}
"""What names that are not written out can be."""


class UnknownName(Exception):
    """A step whose name cannot be read from the source: add what it can be to COMPUTED."""


def list_steps(source: Path = SOURCE) -> set[str]:
    """Every step of the code, as `commit.paid` or `stripe.confirm`. Raises UnknownName."""
    return {name for path in sorted(source.rglob("*.py")) for name in _steps_of(path)}


def _steps_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and path.parent.name == "gateway":
            yield from _named_by_keyword(node)
        prefix = _prefix(node, path) if isinstance(node, ast.Call) and node.args else None
        if prefix is None or not isinstance(node, ast.Call):
            continue
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield f"{prefix}{name.value}"
        elif ast.unparse(name) in COMPUTED:
            yield from COMPUTED[ast.unparse(name)]
        else:
            raise UnknownName(f"{path}:{node.lineno}: {ast.unparse(name)}")


def _named_by_keyword(call: ast.Call) -> Iterator[str]:
    """`gateway.read(…, name="retrieve_setup")`."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "read":
        for keyword in call.keywords:
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                yield f"stripe.{keyword.value.value!s}"


def _prefix(call: ast.Call, path: Path) -> str | None:
    """What the first argument of this call continues, None when it names no step."""
    match call.func:
        case ast.Name("step"):
            return ""
        case ast.Attribute(attr="transaction") if len(call.args) > 1:
            return "commit."
        case ast.Attribute(attr="statement"):
            return "commit."
        case ast.Attribute(attr="_post" | "_call" | "write") if path.parent.name == "gateway":
            return "stripe."
    return None
