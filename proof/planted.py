"""Bugs planted one at a time into a copy of the source; each has to be caught.

A proof that finds nothing proves little: here the pipeline is broken where its rules say that it
must not be, and the proof has to turn red. `python -m proof.planted` runs all of them and prints
the table; names after it choose some, `--list` only tells them. A bug whose text does not match the
source any more is an error: it has to be planted anew.

Other proofs add their bugs to BUGS, each with the command that has to catch it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof.bug import Bug, Edit
from proof.crash_points.bugs import BUGS as CRASH_BUGS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("paidonce", "stripesim")
SECONDS = 900


class DoesNotMatch(Exception):
    """The text to replace is not in the source, or is there more than once."""


@dataclass(frozen=True)
class Verdict:
    """What became of a planted bug."""

    bug: Bug
    is_caught: bool
    how: str
    seconds: float


PAYMENTS = "paidonce/payments"
BUGS: tuple[Bug, ...] = (
    Bug(
        "fresh-intent-on-unknown",
        "rule 4: unknown ends by asking Stripe to cancel, never by a fresh intent",
        (
            Edit(
                f"{PAYMENTS}/confirm.py",
                "        await ctx.clock.sleep(pause)\n"
                "    return await settle.settle(ctx, job, visitor)\n",
                "        await ctx.clock.sleep(pause)\n"
                "    await record.retire(\n"
                "        ctx, job.payment.id, action_becomes=AttemptState.SUPERSEDED\n"
                "    )\n"
                '    return Again("the answer is unknown: with a fresh intent")\n',
            ),
        ),
        ("I1",),
    ),
    Bug(
        "failed-on-timeout",
        "three outcomes, never two: a lost answer is not a decline",
        (
            Edit(
                f"{PAYMENTS}/confirm.py",
                "        await ctx.clock.sleep(pause)\n"
                "    return await settle.settle(ctx, job, visitor)\n",
                "        await ctx.clock.sleep(pause)\n"
                "    return await record.record_negative(ctx, job, AttemptState.DECLINED)\n",
            ),
        ),
        ("I6",),
    ),
    Bug(
        "failed-by-webhook",
        "failure only from the answer to that attempt's own key",
        (
            Edit(
                f"{PAYMENTS}/hints.py",
                "or attempt.state is not AttemptState.ACTION:",
                "or attempt.sends == 0:",
            ),
            Edit(
                f"{PAYMENTS}/hints.py",
                '        return "done", "known already"\n',
                '        return "done", "known already"\n'
                "    job = await ctx.db.read(lambda tx: _waiting_job(tx, payment))\n"
                '    if job is not None and event.type == "payment_intent.payment_failed":\n'
                "        await settle.record.record_negative(ctx, job, AttemptState.DECLINED)\n"
                '        return "done", None\n',
            ),
        ),
        ("I6",),
    ),
    Bug(
        "event-by-payload",
        "an event is a hint: what is true is read from Stripe",
        (
            Edit(
                f"{PAYMENTS}/hints.py",
                '        return "done", "known already"\n',
                '        return "done", "known already"\n'
                "    job = await ctx.db.read(lambda tx: _waiting_job(tx, payment))\n"
                '    if job is not None and event.type == "payment_intent.payment_failed":\n'
                "        failed = AttemptState.AUTHENTICATION_FAILED\n"
                "        await settle.record.record_negative(ctx, job, failed)\n"
                '        return "done", None\n',
            ),
        ),
        ("I6",),
    ),
    Bug(
        "lease-trusted",
        "leases only avoid duplicate work: a dead one says nothing about the charge",
        (
            Edit(
                f"{PAYMENTS}/claim.py",
                "        can_replace = attempt.state is AttemptState.OPEN and attempt.sends == 0\n"
                "        if not (can_replace and not visitor.wants(attempt)):\n",
                "        is_dead = attempt.lease_until <= ctx.clock.now()\n"
                "        if attempt.state is not AttemptState.OPEN or not is_dead:\n",
            ),
            Edit(
                f"{PAYMENTS}/claim.py",
                "        await history.close(ctx, tx, attempt, AttemptState.SUPERSEDED)\n"
                "    return await _begin(",
                "        await history.close(ctx, tx, attempt, AttemptState.ABANDONED)\n"
                "        now, was, gone = ctx.clock.now(), payment.state, PaymentState.CANCELED\n"
                "        await payments.set_payment_state(tx, payment.id, was, gone, now)\n"
                "        payment = None\n"
                "    return await _begin(",
            ),
        ),
        ("I1", "I6"),
    ),
    Bug(
        "attach-keyed-by-method",
        "rule 3: attach has a key per attempt",
        (
            Edit(
                f"{PAYMENTS}/requests.py",
                "{attempt.id}:{attempt.attach_key_no}",
                "{attempt.requested_method_id}",
            ),
        ),
        ("stripe.contradiction", "I6"),
    ),
    Bug(
        "503-after-an-earlier-send",
        "rule 8: surely not executed only when this was the attempt's only send",
        (
            Edit(
                f"{PAYMENTS}/record.py",
                "    return await _close_refused(ctx, job, refusal, sends=1)\n",
                "    return await _close_refused(ctx, job, refusal, sends=99)\n",
            ),
        ),
        ("I6",),
    ),
    Bug(
        "no-fence",
        "rule 1: re-read everything that could forbid the send, in one transaction",
        (
            Edit(
                f"{PAYMENTS}/confirm.py",
                "    if attempt.state is not AttemptState.OPEN:\n"
                "        return answer_of(order, attempt)\n",
                "",
            ),
            Edit(
                f"{PAYMENTS}/confirm.py",
                "    if order.status is not OrderStatus.PENDING and attempt.sends == 0:\n",
                "    if order.status is None:\n",
            ),
            Edit(
                "paidonce/store/attempts.py",
                "COALESCE(first_sent_at, $3) WHERE id = $1 AND state = 'open'",
                "COALESCE(first_sent_at, $3) WHERE id = $1",
            ),
        ),
        ("I1", "I6"),
    ),
    Bug(
        "no-compare-and-set",
        "P5: the first recorded intent is the only one ever confirmed",
        (
            Edit(
                "paidonce/store/payments.py",
                "WHERE id = $1 AND stripe_payment_intent_id IS NULL AND state = 'live'",
                "WHERE id = $1",
            ),
            Edit(  # the other line of defence, which hides this one: one key, one intent
                f"{PAYMENTS}/requests.py",
                "{payment.id}:{payment.intent_key_no}",
                "{payment.id}:{new_id()}",
            ),
        ),
        ("I1", "I2", "I6"),
    ),
    *CRASH_BUGS,
)

ARGUED: tuple[tuple[str, str, str], ...] = ()
"""Rules that leave no trace when they are left out: name, rule, why there is none."""


def main() -> int:
    """Plant, run, print; 1 when one was not caught."""
    options = _options()
    chosen = [bug for bug in BUGS if not options.names or bug.name in options.names]
    unknown = set(options.names) - {bug.name for bug in BUGS}
    if unknown:
        print(f"no such bug: {', '.join(sorted(unknown))}")
        return 2
    if options.list:
        for bug in chosen:
            print(f"{bug.name:<26} {bug.rule}")
        return 0
    verdicts = []
    for bug in chosen:
        verdict = try_bug(bug)
        verdicts.append(verdict)
        said = "caught" if verdict.is_caught else "NOT CAUGHT"
        print(f"{bug.name:<26} {said:<11} {verdict.seconds:5.0f} s  {verdict.how}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(_report(verdicts), indent=2) + "\n", "utf-8")
    missed = [verdict.bug.name for verdict in verdicts if not verdict.is_caught]
    print(f"{len(verdicts) - len(missed)} of {len(verdicts)} planted bugs caught")
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.planted", description=__doc__)
    parser.add_argument("names", nargs="*", help="bugs to plant; all without one")
    parser.add_argument("--json", help="write the table to this file")
    parser.add_argument("--list", action="store_true", help="tell them and stop")
    return parser.parse_args()


def _report(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {
        "bugs": [
            {
                "name": verdict.bug.name,
                "rule": verdict.bug.rule,
                "caught_by": f"python {' '.join(verdict.bug.caught_by)}",
                "is_caught": verdict.is_caught,
                "how": verdict.how,
                "seconds": round(verdict.seconds),
            }
            for verdict in verdicts
        ],
        "argued": [{"name": name, "rule": rule, "why": why} for name, rule, why in ARGUED],
    }


def try_bug(bug: Bug, extra: Sequence[str] = ()) -> Verdict:
    """Run what has to catch the bug over a copy of the source that has it. Raises DoesNotMatch."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        for package in PACKAGES:
            shutil.copytree(
                ROOT / "src" / package,
                source / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        plant(bug, source)
        path = os.pathsep.join([str(source), str(ROOT)])
        done = subprocess.run(
            [sys.executable, *bug.caught_by, *extra],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("seed ", "FAILED", "I"))]
    said = [line for line in lines if any(word in line for word in bug.words)]
    is_caught = done.returncode == 1 and bool(said)
    how = said[0] if said else f"status {done.returncode}: {(lines or [''])[0]}"
    return Verdict(bug, is_caught, how[:150], time.monotonic() - began)


def plant(bug: Bug, source: Path) -> None:
    """Break the copy. Raises DoesNotMatch when the source has changed."""
    for edit in bug.edits:
        path = source / edit.path
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            found = text.count(edit.old)
            raise DoesNotMatch(f"{bug.name}: {edit.path} has the text {found} times: {edit.old!r}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
