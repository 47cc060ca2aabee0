"""Bugs planted one at a time into a copy of the source; each has to be caught.

A proof that finds nothing proves little: here the pipeline is broken where its rules say that it
must not be, and the proof has to turn red. BUGS is the table: the three naive servers, the bugs
that everybody writes, those that only a crash brings to light, and each rule of the design left
out. A bug whose text does not match the source any more is an error: it has to be planted anew.
"""

from proof.planted import app, controls, crashes, holds, money_back, named, rules, telling
from proof.planted.bug import Bug
from proof.planted.run import ROOT, DoesNotMatch, Verdict, plant, try_bug

BUGS: tuple[Bug, ...] = (
    *controls.BUGS,
    *named.BUGS,
    *rules.BUGS,
    *crashes.BUGS,
    *money_back.BUGS,
    *holds.BUGS,
    *app.BUGS,
    *telling.BUGS,
)

__all__ = ["BUGS", "ROOT", "Bug", "DoesNotMatch", "Verdict", "plant", "try_bug"]
