"""Reading the project's Markdown: tables, fenced blocks, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: the words behind its opening fence, its text, its line in the file."""

    info: tuple[str, ...]
    text: str
    line: int


def list_documents() -> list[Path]:
    """Every Markdown file that belongs to the project."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def list_rows(text: str) -> Iterator[list[str]]:
    """The cells of each table row, headers and rules left out."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        if number + 1 < len(lines) and re.match(r"\|[-: ]+\|", lines[number + 1]):
            continue
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def list_blocks(text: str) -> list[Block]:
    return [
        Block(tuple(match["info"].split()), match["text"], text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]


def list_links(text: str) -> list[str]:
    """Link targets outside fenced blocks."""
    return _LINK.findall(_FENCE.sub("", text))


def list_anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading)).strip().lower().replace(" ", "-")
        for heading in headings
    }
