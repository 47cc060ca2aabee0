"""python -m proof.fuzz [--requests 1000000] [--seed 1] [--database KIND] [--json FILE]

Half of the requests are from the generator, nearly half are bytes, the rest are schemathesis'. Ends
with 1 when anything is wrong, and says what was sent."""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from proof.fuzz.afterwards import find_traces
from proof.fuzz.answers import Judge
from proof.fuzz.play import Player
from proof.fuzz.stories import play_stories
from proof.fuzz.target import SECRETS, Target, running_target

REQUESTS = 1_000_000
STORIES = 0.02
"""Of all requests; schemathesis thinks longer than the server does."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    with running_target(flags.database) as target:
        result = fuzz(target, flags.requests, flags.seed)
    findings = result.pop("what was found")
    print(json.dumps(result, indent=2))
    for finding in findings:
        print(f"FOUND {finding}")
    if flags.json:
        known = json.loads(flags.json.read_text()) if flags.json.exists() else {}
        known[flags.database] = result
        flags.json.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return 1 if findings else 0


def fuzz(target: Target, requests: int, seed: int) -> dict[str, Any]:
    started = time.monotonic()
    judge = Judge(target.document, SECRETS.values())
    player = Player(target, judge, seed)
    report = player.report
    memory = [_rss(target)]
    in_stories = int(requests * STORIES)
    play_stories(target, judge, report, requests=in_stories, seed=seed)
    left = requests - report.requests
    asyncio.run(player.send_requests(left // 2))
    memory.append(_rss(target))
    asyncio.run(player.send_raw(requests - report.requests))
    memory.append(_rss(target))
    report.findings += find_traces(target)
    described = [
        f"{method.upper()} {path}"
        for path, methods in target.document["paths"].items()
        for method in methods
    ]
    return {
        "requests": report.requests,
        "seconds": round(time.monotonic() - started),
        "seed": seed,
        "routes": len(report.routes),
        "routes never called": sorted(set(described) - set(report.routes)),
        "statuses": {str(status): n for status, n in sorted(report.statuses.items())},
        "codes": dict(sorted(report.codes.items())),
        "bytes that nobody answered": report.silent,
        "RSS (MiB)": memory,
        "findings": len(report.findings),
        "what was found": report.findings,
    }


def _rss(target: Target) -> int:
    return int(psutil.Process(target.process.pid).memory_info().rss) >> 20


if __name__ == "__main__":
    sys.exit(main())
