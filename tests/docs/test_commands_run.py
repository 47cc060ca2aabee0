"""The commands in README.md run, against a running demo, and answer what README says.

A block fenced as ```` ```sh tested ```` is run, all blocks in one shell in their order, so that a
variable set in one is there in the next. A block fenced as ```` ```json answer ```` behind it is
what its last line of output must hold: every key in it with an equal value, where `…` in a text
stands for anything, and a list must have as many items. A block fenced as
```` ```python tested ```` is run between them, by the shell's `python`; one fenced as
```` ```python pytest ```` is a test file.

The shell finds the demo's secrets in `TOKEN`, `OTHER_TOKEN`, `MERCHANT_API_KEY` and
`WEBHOOK_SECRET`, as README tells its reader to set them; the demo's usual addresses are replaced by
the ones of the demo under test.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.markdown import Block, list_blocks, read
from support.processes import StartProcess, free_port, script

URL = re.compile(r"http://(?:127\.0\.0\.1|localhost):8000")
STRIPE_URL = re.compile(r"http://(?:127\.0\.0\.1|localhost):8100")
END_OF_BLOCK = "--- end of the block at line"
SHELL_TIMEOUT_SECONDS = 60


@pytest.fixture
def demo(start_process: StartProcess, tmp_path: Path) -> dict[str, str]:
    """A running `paidonce demo` on free ports; what it printed about itself."""
    process = start_process(
        script("paidonce"), "demo", "--json", "--no-browser",
        "--port", str(free_port()), "--stripe-port", str(free_port()),
        "--data-dir", str(tmp_path / "demo"),
    )  # fmt: skip
    printed: dict[str, str] = json.loads(process.wait_for_line(r"^\{.*\}$")[0])
    return printed


def list_tested(path: str) -> list[tuple[Block, Block | None]]:
    """The tested blocks of a document, each with the answer it must give, if one is written."""
    blocks = list_blocks(read(path))
    followers = [*blocks[1:], None]
    return [
        (block, follower if follower and follower.info == ("json", "answer") else None)
        for block, follower in zip(blocks, followers, strict=True)
        if block.info in (("sh", "tested"), ("python", "tested"))
    ]


def as_shell(block: Block) -> str:
    if block.info[0] == "sh":
        return block.text
    return f"python - <<'END_OF_PYTHON'\n{block.text}END_OF_PYTHON\n"


def run_blocks(blocks: list[Block], demo: dict[str, str], folder: Path) -> dict[int, str]:
    """Run them in one shell that stops at the first failure; each block's stdout by its line."""
    lines = ["set -euo pipefail"]
    for block in blocks:
        lines += [as_shell(block), f"echo; echo '{END_OF_BLOCK} {block.line}'"]
    text = STRIPE_URL.sub(demo["stripe_url"], URL.sub(demo["url"], "\n".join(lines)))
    names = ("token", "other_token", "merchant_api_key", "webhook_secret")
    bin_folder = Path(script("paidonce")).parent
    environment = {name.upper(): demo[name] for name in names if name in demo}
    environment |= {"PATH": f"{bin_folder}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=SHELL_TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    parts = re.split(rf"^{END_OF_BLOCK} (\d+)$", done.stdout, flags=re.MULTILINE)
    return {int(parts[i + 1]): parts[i] for i in range(0, len(parts) - 1, 2)}


def differences(expected: Any, real: Any, path: str = "answer") -> list[str]:
    """Where `real` does not hold what `expected` says; nothing when it does."""
    if isinstance(expected, dict) and isinstance(real, dict):
        missing = [f"{path}.{key} is missing" for key in expected.keys() - real.keys()]
        both = expected.keys() & real.keys()
        return missing + [
            line for key in both for line in differences(expected[key], real[key], f"{path}.{key}")
        ]
    if isinstance(expected, list) and isinstance(real, list) and len(expected) == len(real):
        pairs = enumerate(zip(expected, real, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{path}[{i}]")]
    if isinstance(expected, str) and isinstance(real, str) and "…" in expected:
        pattern = ".*".join(map(re.escape, expected.split("…")))
        is_same = re.fullmatch(pattern, real, re.DOTALL) is not None
    else:
        is_same = expected == real and isinstance(expected, bool) == isinstance(real, bool)
    return [] if is_same else [f"{path}: {real!r}, not {expected!r}"]


@pytest.mark.demo
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl: apt-get install curl")
def test_the_commands_in_the_readme_run_and_answer_what_it_says(
    demo: dict[str, str], tmp_path: Path
) -> None:
    tested = list_tested("README.md")
    assert tested, "README.md has no block fenced as 'sh tested'"
    outputs = run_blocks([block for block, _ in tested], demo, tmp_path)
    for block, answer in tested:
        if answer is not None:
            last_line = outputs[block.line].strip().splitlines()[-1]
            found = differences(json.loads(answer.text), json.loads(last_line))
            assert not found, f"README.md, line {block.line}: {found}"


def test_the_test_files_in_the_documents_pass(tmp_path: Path) -> None:
    documents = ("README.md", "docs/simulator.md")
    blocks = [
        (name, block)
        for name in documents
        for block in list_blocks(read(name))
        if block.info == ("python", "pytest")
    ]
    assert blocks
    for place, (_, block) in enumerate(blocks):
        (tmp_path / f"test_{place}.py").write_text(block.text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"{len(blocks)} passed" in done.stdout, done.stdout + done.stderr


# --- the reading of answers ----------------------------------------------------------------------


def test_an_answer_may_say_more_than_the_readme() -> None:
    real = {"status": "success", "data": {"id": "pay_1", "amount": 440}, "requestId": "req"}
    assert differences({"status": "success", "data": {"id": "pay_…", "amount": 440}}, real) == []


@pytest.mark.parametrize(
    ("expected", "real"),
    [
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 2}),
        ({"a": True}, {"a": 1}),
        ({"a": "pay_…"}, {"a": "pi_1"}),
        ({"a": "[…"}, {"a": "x"}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": {"b": 1}}, {"a": [1]}),
    ],
)
def test_an_answer_that_differs_is_found(expected: Any, real: Any) -> None:
    assert len(differences(expected, real)) == 1
