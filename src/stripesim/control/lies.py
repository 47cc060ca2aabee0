"""Answers that say something else than what was done: the fault `lie`.

The request is executed truly and saved truly under its key; only what is sent is altered.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stripesim.http import Answer


def told_otherwise(answer: Answer, fields: Mapping[str, Any]) -> Answer:
    """The answer with other values. A name is a path with dots (`metadata.order_id`), `*` stands
    for every entry of a list (`data.*.amount`). What the answer does not have is passed over, but
    for the last name of a path."""
    body = json.loads(answer.body)
    for path, value in fields.items():
        *way, name = path.split(".")
        for holder in _holders(body, way):
            if isinstance(holder, dict):
                holder[name] = value
    return replace(answer, body=json.dumps(body, indent=2).encode())


def _holders(body: Any, way: list[str]) -> list[Any]:
    found = [body]
    for name in way:
        if name == "*":
            found = [entry for each in found if isinstance(each, list) for entry in each]
        else:
            found = [each[name] for each in found if isinstance(each, dict) and name in each]
    return found
