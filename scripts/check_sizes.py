"""The size fence: no function over 70 lines, no file over 500. Migrations are excepted, and what is
installed.

A function's lines run from `def` to its last line, decorators and docstring included.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 500
EXCEPTED = frozenset(["migrations", "packages", "node_modules"])


def list_findings(path: Path) -> Iterator[str]:
    """One sentence per function or file that is too long."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{path}: {lines} lines, at most {MAX_FILE_LINES}"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            length = (node.end_lineno or node.lineno) - first + 1
            if length > MAX_FUNCTION_LINES:
                name = f"{path}:{first}: {node.name}"
                yield f"{name} has {length} lines, at most {MAX_FUNCTION_LINES}"


def main(root: Path) -> int:
    """Print every finding below `root`; 1 when there is one."""
    code = (".py", ".sql", ".html", ".css", ".js")
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix in code and not EXCEPTED.intersection(path.parts)
    ]
    findings = [finding for path in files for finding in list_findings(path)]
    if not files:
        findings.append(f"{root}: no source files found")
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "src")))
