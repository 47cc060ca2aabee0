"""docs/security.md counts what there is: tests as a run of the whole suite collects them, and what
a test file says of itself in `SAID_IN_DOCS`, which its own tests hold."""

import importlib.util
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from docs.markdown import ROOT, list_rows, read

PAGE = "docs/security.md"
_NUMBER = re.compile(r"(\d[\d,]*) ([a-zA-Z][a-zA-Z ]*?)(?: at least)?(?=[,;(]|$)")
MORE = 1.25
"""So many times the tests may be there before the page has to say so; never fewer than it says."""
WITHOUT_TESTS = ("make audit", "python -m proof.load")
"""Commands that count for themselves, or count nothing."""


def rows() -> list[tuple[str, str, str]]:
    """Item, cases, command: "the same" is the one above."""
    found, above = [], ""
    for item, _, cases, command in (row for row in list_rows(read(PAGE)) if len(row) == 4):
        above = above if command == "the same" else command
        found.append((item, cases, above))
    return found


def files_of(command: str) -> list[str]:
    return re.findall(r"tests/[\w/]+\.py", command)


def collected(session: pytest.Session) -> Counter[str] | None:
    """How many tests there are in each file that the page names; None where this run has not
    collected them all, as the whole suite does."""
    found = Counter(str(item.path.relative_to(ROOT)) for item in session.items)
    named = {name for _, _, command in rows() for name in files_of(command)}
    is_cut = session.config.option.keyword or session.config.option.markexpr
    return None if is_cut or named - found.keys() else found


@cache
def counted(file: str) -> dict[str, int]:
    spec = importlib.util.spec_from_file_location(f"counted_{Path(file).stem}", ROOT / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, int] = getattr(module, "SAID_IN_DOCS", {})
    return found


@pytest.mark.parametrize(("item", "cases", "command"), rows(), ids=[row[0] for row in rows()])
def test_the_counts_are_those_of_the_tests(
    request: pytest.FixtureRequest, item: str, cases: str, command: str
) -> None:
    files = files_of(command)
    if not files:
        assert any(known in command for known in WITHOUT_TESTS), command
        return
    assert all((ROOT / file).is_file() for file in files)
    said = {name: int(number.replace(",", "")) for number, name in _NUMBER.findall(cases)}
    assert said and len(said) == len(re.findall(r"\d[\d,]*", cases)), cases
    known: dict[str, int] = {}
    for file in files:
        known |= counted(file)
    if "tests" in said:
        tests = collected(request.session)
        if tests is None:
            pytest.skip("the tests that are counted are not among those of this run")
        there_are, says = sum(tests[file] for file in files), said["tests"]
        assert says <= there_are <= says * MORE, f"{there_are} tests"
        known["tests"] = says
    assert said == {name: known.get(name) for name in said}


def test_every_part_of_the_issue_has_its_row() -> None:
    items = " ".join(row[0] for row in rows())
    for word in ("tokens", "ownership", "mass assignment", "card testing", "card numbers"):
        assert word in items
    for word in ("canaries", "slow clients", "Stripe's answers", "dependencies", "bad requests"):
        assert word in items
