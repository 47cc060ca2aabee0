"""What a simulator is started with."""

from dataclasses import dataclass
from datetime import date

API_VERSION = "2026-10-28.endive"  # the account's default: the version SDK 16.1.0 pins


@dataclass(frozen=True)
class Config:
    """The flags of `stripesim serve`, one field each.

    data: path of the SQLite file, None for a store in memory.
    webhook_url, webhook_secret: one endpoint for every event, known from the start.
    seed: makes ids and random choices repeatable.
    start_time: the clock stands there (seconds since 1970) until it is advanced; None is real time.
    control_token: required as `Authorization: Bearer` on `/_sim/…`; without it loopback only.
    strict_requires_action: a confirm with another method while `requires_action` is refused.
    strict_method_types: `payment_method_types` is refused from 2026-09-30.endive on, as documented.
    async_balance: with `automatic_async` capture a charge's balance transaction comes a moment
        later, and so does a refund's reference, as recorded; by default they are there at once.
    dashboard_methods: the account has redirect methods switched on in its dashboard.
    fields_as_of: every API version shows the fields that Stripe had on that day, `YYYY-MM-DD`; None
        is the version's own day.
    search_lag: seconds until search finds a change, 0 at once; None is Stripe's lag by kind.
    """

    data: str | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    seed: int | None = None
    start_time: float | None = None
    control_token: str | None = None
    strict_requires_action: bool = False
    strict_method_types: bool = False
    async_balance: bool = False
    dashboard_methods: bool = False
    fields_as_of: str | None = None
    search_lag: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError when `fields_as_of` is no day."""
        if self.fields_as_of is not None:
            date.fromisoformat(self.fields_as_of)
