"""Bad input against a real `stripesim serve`.

    python -m proof.stripesim.fuzz [--requests 100000] [--seed 1] [--json FILE]

Ends with 1 and the shortest story that shows it when an answer is not in Stripe's shape, a request
hangs, or the books do not add up.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from proof.stripesim.fuzz.play import Player
from proof.stripesim.fuzz.search import Failure, search
from proof.stripesim.fuzz.stories import ROUTES
from stripesim.testing import SimulatorProcess


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    flags = parser.parse_args()
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "stripesim.db"
        with SimulatorProcess(data=data) as simulator:
            player = Player(simulator, data)
            failure = search(player, flags.seed, flags.requests)
    seconds = round(time.monotonic() - started_at)
    if failure is not None:
        _print_failure(failure)
        return 1
    figures = {
        "requests": player.requests,
        "seconds": seconds,
        "seed": flags.seed,
        "routes": len(player.routes),
        "routes_never_called": sorted(set(ROUTES) - player.routes),
        "routes_never_taken": sorted(set(ROUTES) - player.taken),
        "statuses": {str(s): n for s, n in sorted(player.statuses.items())},
        "findings": 0,
    }
    print(json.dumps(figures, indent=2))
    if flags.json:
        flags.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _print_failure(failure: Failure) -> None:
    print(f"FOUND with --seed {failure.seed}: {failure.text}")
    for number, line in enumerate(failure.story, 1):
        print(f"  {number:2}. {line}")


if __name__ == "__main__":
    sys.exit(main())
