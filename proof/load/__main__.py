"""python -m proof.load restarts|overload|hanging|slow|all [--database KIND] [--json FILE]
python -m proof.load upgrade [--from REVISION] [--database KIND] [--json FILE]"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from proof.load import hanging, overload, restarts, slow, upgrade
from proof.load.cluster import database, running

DATABASES = ("sqlite", "postgresql")


def run_restarts(kind: str, flags: argparse.Namespace) -> dict[str, Any]:
    with running(kind, servers=flags.servers, workers=1) as cluster:
        return asyncio.run(restarts.run(cluster, restarts=flags.restarts))


def run_overload(kind: str, flags: argparse.Namespace) -> dict[str, Any]:
    with running(kind, servers=1) as cluster:
        return asyncio.run(overload.run(cluster, seconds=flags.seconds, times=flags.times))


def run_hanging(kind: str, _flags: argparse.Namespace) -> dict[str, Any]:
    with running(kind, servers=1, DATABASE_POOL_SIZE="1") as cluster:
        return asyncio.run(hanging.run(cluster))


def run_slow(kind: str, flags: argparse.Namespace) -> dict[str, Any]:
    with running(kind, servers=1) as cluster:
        return asyncio.run(slow.run(cluster, sockets=flags.sockets, seconds=flags.seconds))


def run_upgrade(kind: str, flags: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, database(kind, Path(name)) as url:
        folder = Path(name)
        revision = flags.revision or upgrade.newest_before_the_last_migration()
        old = upgrade.program_of(revision, folder / "old")
        new = upgrade.Program(upgrade.ROOT / "src", knows_readers=True)
        with upgrade.running_old(url, old, folder) as (cluster, settings):
            return asyncio.run(upgrade.run(cluster, settings, old, new, folder))


RUNS = {
    "restarts": run_restarts,
    "overload": run_overload,
    "hanging": run_hanging,
    "slow": run_slow,
}


def main() -> int:
    """Run, print the tables; 1 when anything was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*RUNS, "upgrade", "all"])
    parser.add_argument("--database", choices=DATABASES, help="both without it")
    parser.add_argument("--restarts", type=int, default=50)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=20, help="of overload, and of each turn of slow"
    )
    parser.add_argument("--sockets", type=int, default=2000, help="slow ones")
    parser.add_argument("--times", type=float, default=10, help="the capacity")
    parser.add_argument("--from", dest="revision", help="the old program's, of upgrade")
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    known = json.loads(flags.json.read_text()) if flags.json and flags.json.exists() else {}
    for name in RUNS if flags.what == "all" else [flags.what]:
        for kind in [flags.database] if flags.database else DATABASES:
            result = {**RUNS, "upgrade": run_upgrade}[name](kind, flags)
            results[f"{name} on {kind}"] = result
            show(f"{name} on {kind}", result)
            if flags.json:  # after each, beside what earlier runs wrote
                text = json.dumps({**known, **results}, indent=2)
                flags.json.parent.mkdir(parents=True, exist_ok=True)
                flags.json.write_text(f"{text}\n", encoding="utf-8")
    return 1 if any(result["violations"] for result in results.values()) else 0


def show(title: str, result: dict[str, Any]) -> None:
    print(f"\n{title}")
    for name, value in result.items():
        if isinstance(value, dict):
            print(f"  {name}")
            for inner, count in value.items():
                print(f"    {inner:<44} {count:>10}")
        elif name == "violations":
            print(f"  {name:<46} {len(value):>10}")
            for sentence in value[:20]:
                print(f"    {sentence}")
        else:
            print(f"  {name:<46} {value!s:>10}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
