"""Findings of a command that looks, as a person or a program sees them: each as soon as it is sure,
as a table, one JSON document or CSV."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TextIO

FORMULA_SIGNS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
MOST_LINES = 50
"""Of each kind in a table: whoever wants all of them reads JSON or CSV."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class RecordsView:
    """Keeps no finding. Every one is a dict with `columns` as keys, `kind` among them; `lines` are
    what a table shows of it, below `head`, of `most_lines` of each kind or of all."""

    def __init__(
        self,
        kind: Format,
        name: str,
        columns: Sequence[str],
        out: TextIO | None = None,
        *,
        head: str = "",
        most_lines: int | None = MOST_LINES,
    ) -> None:
        self._most_lines = most_lines
        self._table_head = [head] if head else []
        self._kind = kind
        self._out = out or sys.stdout
        self._columns = columns
        self._head = f'{{"{name}": ['
        self._shown: Counter[str] = Counter()
        self._writer = csv.DictWriter(self._out, columns, lineterminator="\n")
        if kind is Format.CSV:
            self._writer.writeheader()

    def show(self, record: Mapping[str, Any], lines: Sequence[str]) -> None:
        self._shown[record["kind"]] += 1
        count = self._shown.total()
        match self._kind:
            case Format.TABLE:
                if not self._hidden(record["kind"]):
                    self._lines([*(self._table_head if count == 1 else []), *lines])
            case Format.JSON:
                self._lines([f"{',' if count > 1 else self._head} {json.dumps(dict(record))}"])
            case Format.CSV:
                self._writer.writerow({name: in_cell(record[name]) for name in self._columns})
                self._out.flush()

    def end(
        self, figures: Mapping[str, Any], sentences: Sequence[str], *, is_complete: bool
    ) -> None:
        """The figures for a program, the same as sentences for a person; CSV has neither."""
        match self._kind:
            case Format.TABLE:
                hidden = [
                    f"… and {count} more {name}: --format csv shows all."
                    for name in self._shown
                    if (count := self._hidden(name))
                ]
                broken_off = [] if is_complete else ["It broke off: this is not all."]
                self._lines([*hidden, *sentences, *broken_off])
            case Format.JSON:
                head = [] if self._shown else [self._head]
                rest = json.dumps({"is_complete": is_complete, "counts": dict(figures)})
                self._lines([*head, f"], {rest[1:]}"])
            case Format.CSV:
                self._out.flush()

    def _hidden(self, kind: str) -> int:
        """How many of a kind a table does not show."""
        most = self._most_lines
        return max(0, self._shown[kind] - most) if most is not None else 0

    def _lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            print(printable(line), file=self._out)
        self._out.flush()


def in_cell(value: Any) -> Any:
    """A list as words. E-mails, ids and metadata are written by strangers: a text that would be a
    formula in a spreadsheet gets an apostrophe before it
    (https://owasp.org/www-community/attacks/CSV_Injection), and one that cannot be printed is
    written as in a table, with its line ends and control characters spelled out."""
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
    if not isinstance(text, str):
        return text
    if text.lstrip()[:1] in FORMULA_SIGNS:
        text = f"'{text}"
    return printable(text)


def printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
