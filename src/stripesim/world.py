"""Everything one simulator consists of, and the context in which one request works on it."""

import json
import random
import secrets
from dataclasses import dataclass
from typing import Any

from stripesim import guesses
from stripesim.clock import Clock, standing_at
from stripesim.config import API_VERSION, Config
from stripesim.ids import Ids
from stripesim.store.balances import Balances
from stripesim.store.database import Database
from stripesim.store.journal import Journal
from stripesim.store.ledger import Ledger
from stripesim.store.objects import Objects
from stripesim.store.outgoing import Deliveries, Timers
from stripesim.store.search_index import Lag, SearchIndex
from stripesim.wire.errors import missing_in_body, missing_on_path
from stripesim.wire.search_query import FIELDS

Json = dict[str, Any]


@dataclass
class WebhookSettings:
    """How deliveries behave (control plane). `duplicate` counts extra copies of every event."""

    mode: str = "deliver"  # deliver | pause (kept) | drop (never created)
    duplicate: int = 0
    shuffle: bool = False
    delay_seconds: float = 0
    seed: int | None = None


class World:
    """One account: its store, its clock, its settings."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.database = Database(config.data)
        self.clock = clock or _clock(config)
        self.search = SearchIndex(
            self.database,
            _lags(config.search_lag),
            {name.removesuffix("s"): tuple(fields) for name, fields in FIELDS.items()},
            self.clock.now,
        )
        self.objects = Objects(self.database, self.search)
        self.journal = Journal(self.database)
        self.ledger = Ledger(self.database)
        self.balances = Balances(self.database)
        self.deliveries = Deliveries(self.database)
        self.timers = Timers(self.database)
        self.clock.advanced_seconds = float(self.database.get_meta("advanced_seconds") or 0)
        self.webhooks = WebhookSettings()
        self.epoch = secrets.token_hex(4)  # another one after each start and reset
        self._enabled_endpoints: list[Json] | None = None
        self._seed_everything()
        self._add_configured_endpoint()

    def _seed_everything(self) -> None:
        """A restart on the same data must not repeat ids, so a seed counts from the last object."""
        seed = self.config.seed
        text = None if seed is None else f"{seed}:{self.objects.last_seq()}"
        self.ids = Ids(text)
        self.fault_dice = _dice(text, "faults")
        self.webhook_dice = _dice(text, "webhooks")
        self.search_dice = _dice(text, "search")

    def roll_webhooks_anew(self, seed: int | None) -> None:
        """The shuffling begins at this seed."""
        self.webhook_dice = _dice(seed, "webhooks")

    def _add_configured_endpoint(self) -> None:
        if self.config.webhook_url:
            self.set_webhook_target(self.config.webhook_url, self.config.webhook_secret or "")

    def set_webhook_target(self, url: str, secret: str) -> None:
        """One endpoint outside the API's list that gets every event; an empty url removes it."""
        with self.database.transaction():
            self.database.set_meta("webhook_target", json.dumps({"url": url, "secret": secret}))
        self.forget_endpoints()

    def webhook_target(self) -> Json:
        """`{"url", "secret"}` of that endpoint; empty when none was set."""
        found: Json = json.loads(self.database.get_meta("webhook_target") or "{}")
        return found

    def enabled_endpoints(self) -> list[Json]:
        """id, url, secret and enabled_events of every endpoint that wants events."""
        if self._enabled_endpoints is None:
            rows = self.database.rows(
                "SELECT body FROM objects WHERE kind = 'webhook_endpoint' AND listed = 1"
            )
            found = [json.loads(row[0]) for row in rows]
            self._enabled_endpoints = [
                {
                    "id": e["id"],
                    "url": e["url"],
                    "secret": e["_sim"]["secret"],
                    "enabled_events": e["enabled_events"],
                }
                for e in found
                if e["status"] == "enabled"
            ]
            target = self.webhook_target()
            if target.get("url"):
                self._enabled_endpoints.append(
                    {"id": "we_configured", "enabled_events": ["*"], **target}
                )
        return self._enabled_endpoints

    def forget_endpoints(self) -> None:
        """Called when an endpoint changed or its transaction was undone."""
        self._enabled_endpoints = None

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        with self.database.transaction():
            self.database.set_meta("advanced_seconds", str(self.clock.advanced_seconds))

    def reset(self) -> None:
        """Empty the store; clock, webhook settings and ids are as after the start."""
        self.database.empty()
        self.clock.advanced_seconds = 0
        self.webhooks = WebhookSettings()
        self.epoch = secrets.token_hex(4)
        self.forget_endpoints()
        self._seed_everything()
        self._add_configured_endpoint()


def _lags(seconds: float | None) -> dict[str, Lag]:
    """Of every kind that can be searched; `seconds` None is Stripe's."""
    if seconds is None:
        return {kind: Lag(*lag) for kind, lag in guesses.SEARCH_LAGS.items()}
    return dict.fromkeys(guesses.SEARCH_LAGS, Lag(seconds, seconds * 1.25))


def _clock(config: Config) -> Clock:
    return Clock() if config.start_time is None else standing_at(config.start_time)


def _dice(seed: str | int | None, purpose: str) -> random.Random:
    """Each purpose has its own, so that one does not depend on how often another was asked."""
    return random.Random(None if seed is None else f"{seed}:{purpose}")  # noqa: S311


@dataclass
class Call:
    """One request at work: where it came from, when, and the shortcuts every object needs."""

    world: World
    now: int
    request_id: str | None = None
    idempotency_key: str | None = None
    version: str = API_VERSION
    names_version: bool = False  # by the header Stripe-Version
    is_publishable: bool = False
    is_of_server: bool = False  # it came with a secret key
    customer: str | None = None  # whose ephemeral key it is
    base_url: str = ""  # how the client reached the simulator, for the challenge page's address
    client_ip: str | None = None
    is_balance_low: bool = False  # by a fault: our balance covers no refund

    @property
    def is_client(self) -> bool:
        """Not the merchant's server, but an app or a page."""
        return self.is_publishable or self.customer is not None

    def load(self, kind: str, object_id: str, *, noun: str, param: str) -> Json:
        """The object that the path names. Raises StripeError 404."""
        found = self.world.objects.get(kind, object_id)
        if found is None:
            raise missing_on_path(noun, object_id, param)
        return found

    def load_param(self, kind: str, object_id: str, *, noun: str, param: str) -> Json:
        """The object that a parameter names; a deleted one counts as missing. Raises 400."""
        found = self.world.objects.get(kind, object_id)
        if found is None or found.get("deleted"):
            raise missing_in_body(noun, object_id, param)
        return found

    def save(self, obj: Json) -> None:
        self.world.objects.update(obj)

    def add(self, obj: Json) -> None:
        self.world.objects.insert(obj)
