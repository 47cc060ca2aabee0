"""The page on moving in says what its commands can find, and what their columns are."""

import pytest

from docs.markdown import list_rows, read
from paidonce.cli.moving_in_view import AUDIT_COLUMNS, DUPLICATE_COLUMNS, SHADOW_COLUMNS
from paidonce.moving_in import audit, duplicates, shadow

PAGE = "docs/moving-in.md"


def section(title: str) -> str:
    return read(PAGE).split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "kinds"),
    [("The account as it is", shadow.MEANING), ("Stored cards", audit.MEANING)],
)
def test_every_kind_is_explained_and_no_other(title: str, kinds: dict[str, str]) -> None:
    rows = {row[0].strip("`"): row for row in list_rows(section(title))}
    assert rows.keys() == kinds.keys()
    assert all(len(row[1]) > 10 for row in rows.values())


def test_every_kind_has_its_meaning_and_every_action_its_user() -> None:
    assert set(shadow.MEANING) == set(shadow.Kind)
    assert set(audit.MEANING) == set(audit.USER) == set(audit.Kind)


@pytest.mark.parametrize(
    ("title", "columns"),
    [
        ("The account as it is", SHADOW_COLUMNS),
        ("Users with several customers", (*DUPLICATE_COLUMNS, *duplicates.Kind)),
        ("Stored cards", (*AUDIT_COLUMNS, *audit.Certainty)),
    ],
)
def test_columns_are_documented(title: str, columns: tuple[str, ...]) -> None:
    text = section(title)
    assert [name for name in columns if f"`{name}`" not in text] == []
