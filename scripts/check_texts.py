"""What no file of this project may name: a package registry's host, or a path of one machine.

The project installs from whatever source pip is configured with, and runs wherever it is cloned.
"""

import re
import subprocess
import sys
from pathlib import Path

# Each host has one letter in brackets, so that this file names none of them.
REGISTRY_HOST = re.compile(
    r"\b(py[p]i[.](org|python[.]org|io)|python[h]osted[.]org|registry[.](n[p]mjs|y[a]rnpkg)[.]"
    r"|n[p]mjs[.]com|n[p]mmirror[.]com|proxy[.]g[o]lang[.]org|c[r]ates[.]io|r[u]bygems[.]org"
    r"|repo[1]?[.]m[a]ven[.]apache[.]org|a[n]aconda[.]org|j[f]rog[.]io|p[u]b[.]dev|deb[.]d[e]bian)\b"
)
MACHINE_PATH = re.compile(
    r"(?<![\w.:/<>-])(?:/(?:home|Users)/[a-z]|/(?:root|work)/[\w.])|[A-Z]:\\\\?Users\\",
    re.MULTILINE,
)
URL = re.compile(r"https?://")


def list_files() -> list[Path]:
    """The files git knows or would add; every file outside dot folders where git is missing."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in Path().rglob("*") if not path.parts[0].startswith(".")]
    else:
        paths = [Path(name) for name in answer.stdout.split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def list_findings(path: Path) -> list[str]:
    """One sentence per forbidden text in `path`; binary files have none."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    rules = [(REGISTRY_HOST, "names a package registry"), (MACHINE_PATH, "names a machine's path")]
    if path.name == "requirements.lock":
        rules.append((URL, "holds a URL"))
    return [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {complaint}: {match.group()}"
        for pattern, complaint in rules
        for match in pattern.finditer(text)
    ]


def main() -> int:
    """Print every finding; 1 when there is one."""
    files = list_files()
    findings = [finding for path in files for finding in list_findings(path)]
    if not files:
        findings.append("no files found")
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
