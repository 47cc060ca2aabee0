"""How many requests are let in at a time, and how many of them from one user.

Each kind has a lane of its own, so that payments which wait for Stripe leave reads, webhooks and
health as they were. A request first comes in whole, then takes a place, and holds it while it is in
work or waits for the database, for Stripe or for another request. Whoever gets no place is told so
before anything is done for him: he may send the same request again.
"""

from starlette.types import Scope

from paidonce.api.bodies import (
    MAX_BODY_BYTES,
    MAX_WEBHOOK_BODY_BYTES,
    MOST_ARRIVING_BYTES,
    Arrivals,
)
from paidonce.domain import errors

MACHINE_LANE = 32
PLACE = "paidonce.place"  # in the ASGI scope, set by the shell
WEBHOOK_PATH = "/api/webhooks/stripe"
MACHINE_PATHS = ("/healthz", "/readyz", "/metrics")


class Lane:
    """Room for `most` requests in work, and the bodies on their way there. `is_shared`: between
    many, none of whom may take it all."""

    def __init__(
        self, most: int, limit_bytes: int = MAX_BODY_BYTES, *, is_shared: bool = True
    ) -> None:
        self.arrivals = Arrivals(limit_bytes, MOST_ARRIVING_BYTES)
        self.is_shared = is_shared
        self.free = most
        self.held: dict[str, int] = {}


class Place:
    """What one request holds of a lane: at most one place, in somebody's name."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._holder: str | None = None

    def hold(self, holder: str) -> None:
        """Take a place, or go on holding it in another name: an address's, then that of the user
        or the merchant.

        Nobody gets more places than he leaves free: one alone gets half of a lane, n greedy ones
        get n of n + 1 parts, and who comes without a place finds one. Raises `too_many_requests`,
        and `service_overloaded` when the lane is full; then no place is held.
        """
        self.leave()
        held = self._lane.held.get(holder, 0)
        if not self._lane.free:
            raise errors.service_overloaded()
        if self._lane.is_shared and held >= self._lane.free:
            raise errors.too_many_requests()
        self._lane.free -= 1
        self._lane.held[holder] = held + 1
        self._holder = holder

    def leave(self) -> None:
        if self._holder is None:
            return
        self._lane.free += 1
        self._lane.held[self._holder] -= 1
        if not self._lane.held[self._holder]:
            del self._lane.held[self._holder]
        self._holder = None


class Admission:
    """The lanes of one process, each with room for `most_requests`."""

    def __init__(self, most_requests: int) -> None:
        self._changes = Lane(most_requests)
        self._reads = Lane(most_requests)
        # Stripe delivers from few addresses, and what others send there is refused unsigned.
        self._webhooks = Lane(most_requests, MAX_WEBHOOK_BODY_BYTES, is_shared=False)
        self._machines = Lane(MACHINE_LANE)

    def lane_of(self, scope: Scope) -> Lane:
        path = scope["path"]  # a host may have put a prefix before it
        if path.endswith(MACHINE_PATHS):
            return self._machines
        if path.endswith(WEBHOOK_PATH):
            return self._webhooks
        return self._reads if scope["method"] in ("GET", "HEAD") else self._changes
