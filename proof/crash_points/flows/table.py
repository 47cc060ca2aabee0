"""The table of the flows, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proof.crash_points.shop import Shop

CONFIRM = "/v1/payment_intents/*/confirm"
CAPTURE = "/v1/payment_intents/*/capture"
CANCEL = "/v1/payment_intents/*/cancel"
ATTACH = "/v1/payment_methods/*/attach"
INTENT = "/v1/payment_intents/*"
INTENTS = "/v1/payment_intents"
CUSTOMERS = "/v1/customers"
SETUPS = "/v1/setup_intents"
REFUNDS = "/v1/refunds"
TWICE = 2  # the HTTP client sends a GET again by itself when a kept connection breaks
HOURS = 3600.0
DAYS = 24 * HOURS
WINDOW_OVER = 1000.0
"""Past the 15 minutes after which an unknown outcome or a challenge is ended."""


@dataclass(frozen=True)
class Flow:
    """`ends`: the status of the last order, None where there is none to look at. `operator`: the
    command that somebody gives in the end, whoever has left. `needs_events`: nothing but an event
    can tell what happened, and Stripe sends those that were not answered again."""

    name: str
    run: Callable[[Shop], None]
    ends: str | None
    settings: tuple[tuple[str, Any], ...] = ()
    is_start: bool = False
    operator: str = ""
    needs_events: bool = False

    @property
    def title(self) -> str:
        return (self.run.__doc__ or "").split("\n")[0].rstrip(".")


FLOWS: dict[str, Flow] = {}


def flow(
    ends: str | None,
    *,
    is_start: bool = False,
    operator: str = "",
    needs_events: bool = False,
    name: str = "",
    **settings: Any,
) -> Callable[[Callable[[Shop], None]], Callable[[Shop], None]]:
    """Put a flow into the table. `is_start`: the checks before a start belong to it."""

    def add(run: Callable[[Shop], None]) -> Callable[[Shop], None]:
        key = name or run.__name__
        changes = tuple(sorted(settings.items()))
        FLOWS[key] = Flow(key, run, ends, changes, is_start, operator, needs_events)
        return run

    return add
