"""Every guess has its grade, so that whoever reads an answer can tell what it rests on."""

import ast
import re
from pathlib import Path

from stripesim import guesses

FILE = Path(guesses.__file__)
GRADE = re.compile(r"# \[[CIG]\]")


def entries(text):
    """Name and the first line of the comment above, of every constant."""
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            above = node.lineno - 1
            while above and lines[above - 1].startswith("#"):
                above -= 1
            yield ast.unparse(target), lines[above] if above < node.lineno - 1 else ""


def ungraded(text):
    return [name for name, comment in entries(text) if not GRADE.match(comment)]


def unused(text, source):
    return [n for n, _ in entries(text) if not re.search(rf"guesses\.{n}\b", source)]


def source_of_the_simulator():
    return "\n".join(p.read_text() for p in FILE.parent.rglob("*.py") if p != FILE)


def test_every_guess_has_its_grade():
    assert ungraded(FILE.read_text()) == []


def test_every_guess_is_used():
    assert unused(FILE.read_text(), source_of_the_simulator()) == []


def test_an_ungraded_or_unused_guess_would_be_found():
    text = "# [C] seen\nA = 1\nB = 2  # [C]\n\n# why\n# [G] how\nC = 3\n# [X]\nD: int = 4\n"
    assert ungraded(text) == ["B", "C", "D"]
    assert unused(text, "guesses.A guesses.BB guesses.C + x.D") == ["B", "D"]
