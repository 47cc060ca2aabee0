"""Faults on demand: rules that match API requests and say what goes wrong with them.

`path` is a shell-style pattern on the path without query, and `*` crosses `/`. `nth` counts
matching requests from 1: without `times` the rule strikes at that one only, with `times` at that
one and the following. Without `nth` it strikes at every match, at most `times` times. The first
rule that strikes wins; every rule counts the requests that match it.
"""

import asyncio
import fnmatch
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
KINDS = (
    "latency", "hold", "drop_request", "drop_response", "error_before", "error_after",
    "error_saved", "rate_limit", "lock_timeout", "key_in_use", "truncate", "slow_body",
    "bad_gateway_html", "insufficient_balance", "lie",
)  # fmt: skip


class BadFault(Exception):
    """The rule cannot be understood; the text says why."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong. `seconds` for latency and slow_body, `status` for the error kinds, `fields`
    for lie.

    `removed` is set when its rule is taken away: until then a `hold` holds.
    """

    kind: str
    seconds: float = 1.0
    status: int | None = None
    fields: Json = field(default_factory=dict)
    removed: asyncio.Event = field(default_factory=asyncio.Event, repr=False, compare=False)


@dataclass
class Rule:
    """When it goes wrong, and how often it did."""

    fault: Fault
    method: str | None = None
    path: str = "*"
    nth: int | None = None
    times: int | None = None
    probability: float | None = None
    id: int = 0
    matched: int = 0
    struck: int = 0
    pattern: re.Pattern[str] = field(default=re.compile(".*"), repr=False)

    def strikes(self, method: str, path: str, dice: random.Random) -> bool:
        if self.method and self.method != method:
            return False
        if not self.pattern.match(path):
            return False
        self.matched += 1
        times = self.times if self.times is not None or self.nth is None else 1
        if self.nth is not None and self.matched < self.nth:
            return False
        if times is not None and self.struck >= times:
            return False
        return self.probability is None or dice.random() < self.probability

    def shown(self) -> Json:
        return {
            "id": self.id,
            "match": {
                "method": self.method,
                "path": self.path,
                "nth": self.nth,
                "times": self.times,
                "probability": self.probability,
            },
            "fault": {
                "kind": self.fault.kind,
                "seconds": self.fault.seconds,
                "status": self.fault.status,
                "fields": self.fault.fields,
            },
            "matched": self.matched,
            "struck": self.struck,
        }


class Faults:
    """The rules in the order they were added."""

    def __init__(self, dice: Callable[[], random.Random]) -> None:
        self._dice = dice
        self.rules: list[Rule] = []
        self._last_id = 0

    def add(self, body: Json) -> Rule:
        """Raises BadFault. Unused fields are ignored."""
        rule = read_rule(body)
        self._last_id += 1
        rule.id = self._last_id
        self.rules.append(rule)
        return rule

    def remove(self, rule_id: int) -> bool:
        """What the rule holds goes on. False when there is no such rule."""
        rule = next((rule for rule in self.rules if rule.id == rule_id), None)
        if rule is None:
            return False
        self.rules.remove(rule)
        rule.fault.removed.set()
        return True

    def clear(self) -> None:
        """Remove all rules; what they hold goes on."""
        for rule in [*self.rules]:
            self.remove(rule.id)

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault of the first rule that strikes at this request."""
        striking: Rule | None = None
        for rule in self.rules:
            if rule.strikes(method, path, self._dice()) and striking is None:
                striking = rule
        if striking is None:
            return None
        striking.struck += 1
        return striking.fault


def read_rule(body: Json) -> Rule:
    match, fault = body.get("match") or {}, body.get("fault") or {}
    if not isinstance(match, dict) or not isinstance(fault, dict):
        raise BadFault("match and fault have to be objects")
    if fault.get("kind") not in KINDS:
        raise BadFault(f"fault.kind has to be one of {', '.join(KINDS)}")
    fields = fault.get("fields") or {}
    if not isinstance(fields, dict) or (fault["kind"] == "lie" and not fields):
        raise BadFault("fields has to be an object: names of the answer, and what it says instead")
    path = str(match.get("path") or "*")
    nth, times = _read(match, "nth", 1), _read(match, "times", 0)
    seconds, status = _read(fault, "seconds", 0, 3600), _read(fault, "status", 400, 599)
    return Rule(
        fault=Fault(
            kind=fault["kind"],
            seconds=1.0 if seconds is None else seconds,
            status=None if status is None else int(status),
            fields=fields,
        ),
        method=str(match["method"]).upper() if match.get("method") else None,
        path=path,
        nth=None if nth is None else int(nth),
        times=None if times is None else int(times),
        probability=_read(match, "probability", 0, 1),
        pattern=re.compile(fnmatch.translate(path)),
    )


def _read(body: Json, name: str, least: float, most: float = 1e9) -> float | None:
    """The number of that name, None without one. Raises BadFault outside of its bounds."""
    if body.get(name) is None:
        return None
    try:
        value = float(body[name])
    except (TypeError, ValueError):
        value = math.nan
    if not least <= value <= most:
        raise BadFault(f"{name} has to be a number from {least:g} to {most:g}")
    return value
