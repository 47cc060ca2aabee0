"""Findings as CSV: what people open in a spreadsheet."""

import csv
import io

import pytest

from paidonce.cli.reconcile_view import ReconcileView
from paidonce.cli.records_view import MOST_LINES, Format, RecordsView
from paidonce.reconcile import Finding, Kind

FORMULA = '=HYPERLINK("https://shop.example.evil")@shop.example'


def written(text: str) -> str:
    """What comes back of it, alone and in a list."""
    out = io.StringIO(newline="")
    view = RecordsView(Format.CSV, "findings", ("kind", "group", "ids", "amount_minor"), out)
    view.show({"kind": "same_email", "group": text, "ids": [text], "amount_minor": -1}, [])
    (row,) = csv.DictReader(io.StringIO(out.getvalue(), newline=""))
    assert (row["ids"], row["amount_minor"]) == (row["group"], "-1")
    return str(row["group"])


@pytest.mark.parametrize("text", [FORMULA, "+1", "-1", "@x", " =1", "\uff1d1"])
def test_a_text_that_a_spreadsheet_would_work_out_is_written_as_a_text(text: str) -> None:
    assert written(text) == f"'{text}"


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "a\rb", "a\nb", "\x1b[2J", "a\u202eb"])
def test_a_text_that_cannot_be_printed_is_spelled_out(text: str) -> None:
    assert written(text).isprintable() and written(text)[0] in "'\""


@pytest.mark.parametrize("text", ["", "ann@shop.example", "ch_1", 'a, "b"; c', "käufer"])
def test_any_other_text_is_as_it_was(text: str) -> None:
    assert written(text) == text


def test_reconcile_writes_its_csv_in_the_same_way() -> None:
    out = io.StringIO(newline="")
    finding = Finding(next(iter(Kind)), "x", user_id=FORMULA, amount_minor=-5)
    ReconcileView(Format.CSV, out).show(finding)
    (row,) = csv.DictReader(io.StringIO(out.getvalue(), newline=""))
    assert (row["user_id"], row["amount_minor"]) == (f"'{FORMULA}", "-5")


def test_the_table_of_reconcile_shows_every_finding_in_letters_that_can_be_printed() -> None:
    out = io.StringIO()
    view = ReconcileView(Format.TABLE, out)
    for number in range(MOST_LINES + 1):
        view.show(Finding(next(iter(Kind)), "x", order_id=f"o-{number}\x1b[2J"))
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + MOST_LINES + 1
    assert all(line.isprintable() for line in lines)
