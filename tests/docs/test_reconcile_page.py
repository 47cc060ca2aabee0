"""The page on reconciling says what the code can find and what it does about it."""

import pytest

from docs.markdown import list_rows, read
from paidonce.cli.reconcile_view import COLUMNS
from paidonce.cli.records_view import Format
from paidonce.reconcile import ADVICE, Kind


def documented() -> dict[str, list[str]]:
    text = read("docs/reconcile.md").split("## What can be found")[1].split("\n## ")[0]
    return {row[0].strip("`"): row for row in list_rows(text)}


def test_every_kind_is_documented_and_no_other() -> None:
    assert documented().keys() == set(Kind) == ADVICE.keys()


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_says_what_it_means_and_what_to_do(kind: Kind) -> None:
    _, meaning, fix, person = documented()[kind]
    assert len(meaning) > 20
    assert fix
    assert len(person) > 10
    assert ADVICE[kind].endswith(".")


def test_formats_and_columns_are_documented() -> None:
    text = read("docs/reconcile.md")
    for name in (*COLUMNS, *Format):
        assert f"`{name}`" in text
