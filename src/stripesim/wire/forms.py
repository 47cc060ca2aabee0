"""Bracketed form decoding: `card[number]=…`, `expand[0]=…`, `expand[]=…`."""

import re
from typing import Any
from urllib.parse import parse_qsl

from stripesim import guesses
from stripesim.wire.errors import invalid_request

Json = dict[str, Any]
SEGMENT = re.compile(r"\[([^\[\]]*)\]")
APPEND = ""  # the name of `[]`
MAX_FIELDS = 2000
DEEPEST = 20  # far below what recursion over the result can bear; Stripe's parameters need 6


def decode(text: str) -> Json:
    """Nested dicts; a list written as `a[]` is {"": [..]} until the parameter table is known.

    Raises StripeError 400 when one name is both a value and an object, or is nested too deeply.
    """
    out: Json = {}
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    for name, value in pairs:
        _insert(out, _path(name), value)
    return out


def _path(name: str) -> list[str]:
    head, bracket, _ = name.partition("[")
    # Without a name before it a bracket is no structure: `[]=x` is a parameter named "[]".
    path = [head, *SEGMENT.findall(name[len(head) :])] if head and bracket else [name]
    if len(path) > DEEPEST:
        raise invalid_request(guesses.NESTED_TOO_DEEPLY_MESSAGE.format(name=head))
    return path


def _insert(out: Json, path: list[str], value: str) -> None:
    node: Json = out
    for depth, step in enumerate(path[:-1]):
        if step == APPEND:
            items = node.setdefault(APPEND, [])
            rest = path[depth + 1 :]
            if not items or not isinstance(items[-1], dict) or _is_taken(items[-1], rest):
                items.append({})
            node = items[-1]
            continue
        node = node.setdefault(step, {})
        if not isinstance(node, dict):
            raise _conflict(path)
    if path[-1] == APPEND and len(path) > 1:
        node.setdefault(APPEND, []).append(value)
        return
    if isinstance(node.get(path[-1]), dict):
        raise _conflict(path)
    node[path[-1]] = value


def _is_taken(node: Json, path: list[str]) -> bool:
    """`items[][price]=a&items[][price]=b` begins a second item where a name comes again."""
    for step in path:
        if step not in node:
            return False
        if not isinstance(node[step], dict):
            return step != APPEND
        node = node[step]
    return True


def _conflict(path: list[str]) -> Exception:
    return invalid_request(guesses.VALUE_AND_OBJECT_MESSAGE.format(name=path[0]))
