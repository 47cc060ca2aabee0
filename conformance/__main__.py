"""The scenario suite against the simulator, and against Stripe's test mode when a key is set.

    python -m conformance [--differences N]

With STRIPE_TEST_SECRET_KEY (a sandbox's `sk_test_…`) every step that Stripe can be asked is played
there too, and the two transcripts are compared field by field. Ends with 1 when an expectation is
missed or anything differs. What was created at Stripe carries `conformance` in its metadata and is
deleted or canceled at the end, as far as Stripe lets it.
"""

import argparse
import os
import secrets
import sys

from conformance import clean_up, drive_python
from conformance.compare import list_differences, print_differences
from conformance.drive_python import Target
from conformance.scenarios import Json, Scenario, read_scenarios
from conformance.transcript import list_disappointments, normalised
from stripesim.testing import SimulatorThread

KEY_NAME = "STRIPE_TEST_SECRET_KEY"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--differences", type=int, default=500, help="the most rows to print")
    flags = parser.parse_args()
    key = os.environ.get(KEY_NAME, "")
    if key and not key.startswith(("sk_test_", "rk_test_")):
        print(f"{KEY_NAME} is no key of test mode: nothing was sent", file=sys.stderr)
        return 2
    run = f"conf{secrets.token_hex(4)}"
    missed = _play_whole(run)
    if not key:
        print(f"real Stripe: SKIPPED: {KEY_NAME} is not set")
        return int(missed)
    return max(int(missed), compare_with_stripe(Target(None, key), run, flags.differences))


def _play_whole(run: str) -> bool:
    """Every step, those of the control plane among them, against the simulator alone."""
    scenarios = read_scenarios(run, for_simulator=True)
    with SimulatorThread() as simulator:
        target = Target(simulator.url, simulator.secret_key, simulator.publishable_key)
        transcript = drive_python.drive(target, scenarios)
    return _report("simulator", scenarios, transcript)


def _report(whom: str, scenarios: list[Scenario], transcript: list[Json]) -> bool:
    missed = list_disappointments(scenarios, transcript)
    print(f"{whom}: {len(transcript)} steps, {len(missed)} not as expected")
    for text in missed:
        print(f"  {text}")
    return bool(missed)


def compare_with_stripe(stripe_itself: Target, run: str, most: int) -> int:
    """Every step that Stripe can be asked, there and here; 1 when anything differs."""
    scenarios = read_scenarios(run, for_simulator=False)
    with SimulatorThread() as simulator:
        ours = drive_python.drive(Target(simulator.url, simulator.secret_key), scenarios)
    theirs = drive_python.drive(stripe_itself, scenarios)
    clean_up.clean_up(stripe_itself, theirs)
    missed = _report("real Stripe", scenarios, theirs)
    differences = list_differences(normalised(theirs, run), normalised(ours, run), scenarios)
    print(f"{len(differences)} differences between real Stripe and the simulator")
    if differences:
        print_differences(differences[:most], "real", "simulated")
    return int(missed or bool(differences))


if __name__ == "__main__":
    sys.exit(main())
