"""How many requests are let in at a time. One too many is answered 503 before anything is done for
it: nothing was sent to Stripe, and the client may send it again.

Each kind has a lane of its own, so that payments which wait for Stripe leave reads, webhooks and
health as they were. A lane holds whoever is in work or waits for the database or another request.
"""

from dataclasses import dataclass

from starlette.types import Scope

MACHINE_LANE = 32
_MACHINE_PATHS = frozenset(["/healthz", "/readyz", "/metrics"])


@dataclass(slots=True)
class Lane:
    """At most `most` requests inside at a time."""

    most: int
    inside: int = 0

    @property
    def is_full(self) -> bool:
        return self.inside >= self.most


class Admission:
    """The lanes of one process, each with room for `most_requests`."""

    def __init__(self, most_requests: int, webhook_path: str) -> None:
        self._webhook_path = webhook_path
        self._changes = Lane(most_requests)
        self._reads = Lane(most_requests)
        self._webhooks = Lane(most_requests)
        self._machines = Lane(MACHINE_LANE)

    def lane_of(self, scope: Scope) -> Lane:
        path = scope["path"]
        if path in _MACHINE_PATHS:
            return self._machines
        if path == self._webhook_path:
            return self._webhooks
        return self._reads if scope["method"] in ("GET", "HEAD") else self._changes
