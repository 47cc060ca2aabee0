"""The service as whoever asks it sees it: started, asked, dead, and started again by a supervisor.

When it dies, either whoever asked asks again until the answer is final, as the app does
(`comes_back`), or nobody does (`Left`). Everything that was asked and answered is written down for
the auditor.
"""

import http.client
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jwt

from proof.auditor import Asked
from proof.crash_points.card_numbers import GOOD
from proof.crash_points.life import Life, Point
from proof.crash_points.stage import JWT_SECRET, Http, Stage

Json = dict[str, Any]
MOST_REPEATS = 40
LEASE_SECONDS = 31
"""The supervisor is slow: until a dead process is up again, its leases are over."""


class Left(Exception):
    """The service died, and nobody comes back to ask."""


class Broken(Exception):
    """The run itself went wrong: it shows nothing about the service."""


class Cut(Exception):
    """No answer came."""


@dataclass(frozen=True)
class Answer:
    """An answer of the service."""

    status: int
    body: Json

    @property
    def is_final(self) -> bool:
        """Not "ask again": nothing more is to be learned by the same request."""
        return self.status != 503 and (self.status, self.body.get("nextStep")) != (409, "wait")

    @property
    def data(self) -> Any:
        return self.body.get("data")

    def __str__(self) -> str:
        return f"{self.status} {self.body.get('code') or self.body.get('status')}"


@dataclass
class Service:
    """The service of one run, and everything that was asked of it. `plan`: where its processes die,
    one by one."""

    stage: Stage
    settings: tuple[tuple[str, Any], ...]
    plan: Sequence[Point] = ()
    comes_back: bool = True
    is_switching: bool = False
    checks_first: bool = False
    has_come_back: bool = True
    has_switched: bool = False
    is_restored: bool = False
    orders: list[tuple[str, str]] = field(default_factory=list)  # (id, user), as answered
    asked: list[Asked] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    deaths: list[Point] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    wishes: set[tuple[str, str]] = field(default_factory=set)  # orders asked for: user and key
    events_taken: dict[str, float] = field(default_factory=dict)  # when, by the clock's sum
    sends_at_death: dict[str, int] = field(default_factory=dict)
    life: Life | None = None

    def __post_init__(self) -> None:
        self._places = itertools.count(1)
        self._cards: dict[str, set[str]] = {}
        self._cards_of_tokens: dict[str, str] = {}
        self._events_seen: set[str] = set()
        self._is_armed = False
        self._http: Http | None = None

    # --- the process -----------------------------------------------------------------------------

    def begin(self) -> None:
        """From here on the steps count; what came before only set the scene."""
        if self.life is not None:
            self._drive("arm")
        self._is_armed = True

    def start(self) -> None:
        """Start the service, as often as it takes."""
        while self.life is None:
            point = self.plan[len(self.deaths)] if len(self.deaths) < len(self.plan) else None
            self.life = Life(
                self.stage.app_for(self.settings),
                point,
                is_armed=self._is_armed,
                log=self.stage.log,
                checks_first=self.stage.settings(self.settings) if self.checks_first else None,
            )
            if self.life.port is None:
                self._note_death()
                self._leave_unless_coming_back()
            else:
                self._http = Http("127.0.0.1", self.life.port)

    def end(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None
        if self.life is not None:
            self.life.kill()
            self.life = None

    def back_up(self) -> None:
        """The service is stopped, and a copy of its database is made."""
        self.end()
        self.stage.store.back_up()

    def restore(self) -> None:
        """The service is stopped, and the copy takes the database's place: what was answered since
        is forgotten with it, and what Stripe holds is not."""
        self.end()
        self.stage.store.put_back()
        self.asked = [replace(ask, ended=None, status=None, body={}) for ask in self.asked]
        self.is_restored = True

    def steps(self) -> list[str]:
        """Those of the present process, since it counts."""
        found: list[str] = self._drive("steps")["steps"]
        return found

    def _note_death(self) -> None:
        if self.life is None:
            raise Broken("nobody was there to die")
        is_killed = self.life.wait()
        self.life = None
        if not is_killed or len(self.deaths) >= len(self.plan):
            raise Broken("the process ended, and not where it was told to")
        self.deaths.append(self.plan[len(self.deaths)])

    def _bury(self) -> None:
        """The connection broke: the process is dead. Start another one, or leave."""
        self._note_death()
        if len(self.deaths) == 1:
            self.sends_at_death = self.stage.read_sends()
        self._leave_unless_coming_back()
        self.start()

    def _leave_unless_coming_back(self) -> None:
        if not self.comes_back:
            raise Left

    # --- asking ----------------------------------------------------------------------------------

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self.life is None or self._http is None:
            self.start()
        assert self._http is not None
        try:
            status, text = self._http.send(method, path, body, headers)
        except (OSError, http.client.HTTPException):
            raise Cut from None
        try:
            found = json.loads(text)
        except ValueError:
            found = {"not JSON": text.decode(errors="replace")[:200]}
        return Answer(status, found)

    def _drive(self, what: str) -> Json:
        """What the process is told from behind the scenes; raises Cut."""
        return self._send("POST", f"/_drive/{what}", b"", {}).body

    def _ask(
        self,
        kind: str,
        path: str,
        body: Json | None,
        headers: Mapping[str, str],
        *,
        order_id: str | None = None,
        card: str | None = None,
        method: str = "POST",
        patience: int = MOST_REPEATS,
    ) -> Answer:
        """Ask until the answer is final, `patience` times at most. What nobody answered, since the
        process died, is asked again without end: every process dies once at most."""
        headers = {"Content-Type": "application/json", **headers}
        wish = (headers.get("Idempotency-Key", ""), (body or {}).get("amountMinor"))
        while True:
            raw = b"" if body is None else json.dumps(body).encode()
            begun = next(self._places)
            try:
                answer = self._send(method, path, raw, headers)
            except Cut:
                self._write_down(kind, order_id, card, begun, None, wish)
                self._bury()
                if self.is_switching and body and card and order_id:
                    card = self.card(user=self.owner(order_id))
                    body = {**body, "paymentToken": card}
                    headers.pop("Idempotency-Key", None)  # another card is another request
                    self.has_switched = True
                continue
            self._write_down(kind, order_id, card, begun, answer, wish)
            patience -= 1
            if answer.is_final or patience == 0:
                break
            self.pass_time(float(answer.body.get("retryAfter") or 1))
        if not answer.is_final and patience == 0 and kind == "pay" and self._told_off(order_id):
            self.complaints.append(f"no final answer to {kind}: {answer} after {MOST_REPEATS}")
        return answer

    def _told_off(self, order_id: str | None) -> bool:
        """Whether this order's payer asked as often as anybody would."""
        asks = [ask for ask in self.asked if ask.order_id == order_id and ask.kind == "pay"]
        return len(asks) >= MOST_REPEATS

    def _write_down(
        self,
        kind: str,
        order_id: str | None,
        card: str | None,
        begun: int,
        answer: Answer | None,
        wish: tuple[str, int | None],
    ) -> None:
        ended = next(self._places) if answer else None
        self.answers.append(f"{kind}: {answer or 'no answer'}")
        if order_id is not None:
            status, body = (answer.status, answer.body) if answer else (None, {})
            self.asked.append(Asked(order_id, kind, card, begun, ended, status, body, *wish))
        elif answer is not None and answer.status >= 500 and answer.status != 503:
            self.complaints.append(f"I6 {kind}: {answer}")

    def owner(self, order_id: str) -> str:
        return next(user for known_id, user in self.orders if known_id == order_id)

    def card(self, number: str = GOOD, user: str = "alice") -> str:
        """A card that the user enters; its PaymentMethod's id."""
        method_id = self.stage.simulator.create_card(number)
        self._cards.setdefault(user, set()).add(method_id)
        return method_id

    def _as_user(self, user: str, key: str | None = None) -> dict[str, str]:
        claims = {"sub": user, "exp": int(self.stage.clock.now().timestamp()) + 3600}
        if "@" in user:
            claims["email"] = user
        token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        headers = {"Authorization": f"Bearer {token}"}
        return headers | ({"Idempotency-Key": key} if key else {})

    # --- time ------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        self.stage.clock.added += seconds
        self.stage.simulator.advance_clock(seconds)

    def drain(self) -> None:
        """The work behind the answers comes to its end."""
        try:
            self._drive("drain")
        except Cut:
            self._bury()

    def work(self, seconds: float = 0) -> None:
        """Time passes, then the worker has one round; when it dies in it, a later one."""
        self.pass_time(seconds)
        while True:
            try:
                self._drive("work")
                return
            except Cut:
                self._bury()
                self.pass_time(LEASE_SECONDS)

    @property
    def tells_events(self) -> bool:
        return bool(dict(self.settings).get("tells_events"))

    @property
    def rounds_of_telling(self) -> tuple[float, ...]:
        """Two events of an order come at their second try each; a death costs one try more."""
        return (400.0, 400.0, 400.0) if self.tells_events else ()
