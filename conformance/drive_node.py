"""Plays scenarios with the official SDK for Node, in a process of its own.

The package comes by its name and version from whatever source npm is configured with, and is used
only when its hash is the one written here. It lies in a folder that git ignores.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conformance.drive_python import Target
from conformance.scenarios import Json, Scenario

FOLDER = Path(__file__).parent / "node"
VERSION = "23.1.0"  # speaks 2026-10-28.endive, as the SDK for Python does
SHA512 = "fVUfMSfTPoukfoV//MUKAx2+YxyKmYaYtnAL9VkfnHfaPNQylFdWZMD+zgUFerI8rjbaiER8Vzj2XEUQ2AhAsQ=="
SDK = FOLDER / "packages" / f"stripe-{VERSION}"
OLDEST_NODE = 20
INSTALL_SECONDS, PLAY_SECONDS = 60, 100


class NodeIsMissing(Exception):
    """The text says what is missing, for the one who wonders why nothing was played."""


def ensure_sdk() -> Path:
    """The folder of the SDK, fetched when it is not there. Raises NodeIsMissing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NodeIsMissing("no node and npm: apt-get install --no-install-recommends nodejs npm")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.", said)  # nothing, when it does not run on this machine
    if version is None or int(version[1]) < OLDEST_NODE:
        raise NodeIsMissing(f"Node {OLDEST_NODE} or newer is needed, this says {said.strip()!r}")
    if not SDK.exists():
        _fetch(npm)
    return SDK


def _fetch(npm: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--ignore-scripts", f"stripe@{VERSION}"]
        try:
            subprocess.run(
                command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_SECONDS
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise NodeIsMissing(f"npm cannot fetch stripe@{VERSION}") from error
        archive = Path(folder) / f"stripe-{VERSION}.tgz"
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != SHA512:
            raise RuntimeError(f"stripe@{VERSION} is not the package whose hash is known: {digest}")
        with tarfile.open(archive) as packed:
            if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
                packed.extraction_filter = tarfile.data_filter
            packed.extractall(folder)
        SDK.parent.mkdir(parents=True, exist_ok=True)
        ready = SDK.parent / f"{SDK.name}.{Path(folder).name}"
        shutil.move(Path(folder) / "package", ready)
        try:
            ready.rename(SDK)  # whole or not at all, also when two do it at once
        except OSError:
            shutil.rmtree(ready)


def drive(target: Target, scenarios: Sequence[Scenario]) -> list[Json]:
    """The transcript, as `drive_python.drive` gives it. Raises NodeIsMissing."""
    job = {
        "sdk": str(ensure_sdk()),
        "url": target.url,
        "secret_key": target.secret_key,
        "publishable_key": target.publishable_key,
        "scenarios": [{"name": s.name, "steps": s.steps} for s in scenarios],
    }
    ended = subprocess.run(
        ["node", str(FOLDER / "drive.mjs")],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=PLAY_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"the driver for Node failed: {ended.stderr[-2000:]}")
    found: list[Json] = json.loads(ended.stdout)
    return found
