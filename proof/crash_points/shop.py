"""Whoever talks to the service in a flow: the app, the merchant, Stripe's webhooks, the card
holder, the supervisor that starts a dead process again, and time.

When the service dies, either whoever asked asks again until the answer is final, as the app does
(`comes_back`), or nobody does (`Left`). Everything that was asked and answered is written down for
the auditor.
"""

import hashlib
import hmac
import http.client
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import jwt

from proof.auditor import Asked, Order
from proof.crash_points.life import Life, Point
from proof.crash_points.stage import (
    JWT_SECRET,
    MERCHANT_API_KEY,
    PRICE_MINOR,
    PRODUCT,
    WEBHOOK_SECRET,
    Http,
    Stage,
)
from stripesim.testing import ControlError

Json = dict[str, Any]
GOOD = "4242424242424242"
OTHER_GOOD = "5555555555554444"
DECLINED_AT_ATTACH = "4000000000000002"
DECLINED_AT_CHARGE = "4000000000000341"
NEEDS_3DS = "4000002760003184"
DECLINED_AFTER_3DS = "4000008400001629"
REFUND_FAILS = "4000000000005126"
IS_DISPUTED, FRAUD_WARNED = "4000000000000259", "4000000000005423"
QUANTITY = 2
MOST_REPEATS = 40
LEASE_SECONDS = 31
"""The supervisor is slow: until a dead process is up again, its leases are over."""


class Left(Exception):
    """The service died, and nobody comes back to ask."""


class Broken(Exception):
    """The run itself went wrong: it shows nothing about the service."""


class _Cut(Exception):
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
class Shop:
    """One run's world outside of the service. `plan`: where its processes die, one by one."""

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
            raise _Cut from None
        try:
            found = json.loads(text)
        except ValueError:
            found = {"not JSON": text.decode(errors="replace")[:200]}
        return Answer(status, found)

    def _drive(self, what: str) -> Json:
        """What the process is told from behind the scenes; raises _Cut."""
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
            except _Cut:
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

    def _as_user(self, user: str, key: str | None = None) -> dict[str, str]:
        claims = {"sub": user, "exp": int(self.stage.clock.now().timestamp()) + 3600}
        if "@" in user:
            claims["email"] = user
        token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        headers = {"Authorization": f"Bearer {token}"}
        return headers | ({"Idempotency-Key": key} if key else {})

    # --- the app ---------------------------------------------------------------------------------

    def order(self, user: str = "alice", key: str | None = None) -> str:
        """A new order; then the work behind the answer has its time."""
        body = {"items": [{"productId": PRODUCT["productId"], "quantity": QUANTITY}]}
        path = "/api/mobile-app/orders"
        is_known_again = key or dict(self.settings).get("same_order_within_seconds")
        self.wishes.add((user, key or ("basket" if is_known_again else f"#{next(self._places)}")))
        answer = self._ask("order", path, body, self._as_user(user, key))
        return self._note_order(answer, user)

    def _note_order(self, answer: Answer, user: str) -> str:
        if answer.status != 200:
            raise Broken(f"no order: {answer}")
        order_id = str(answer.data["orderId"])
        if (order_id, user) not in self.orders:
            self.orders.append((order_id, user))
        self.drain()
        return order_id

    def card(self, number: str = GOOD, user: str = "alice") -> str:
        """A card that the user enters; its PaymentMethod's id."""
        method_id = self.stage.simulator.create_card(number)
        self._cards.setdefault(user, set()).add(method_id)
        return method_id

    def token(self, number: str = GOOD, user: str = "alice") -> str:
        """A ConfirmationToken of a card that the user enters; it goes where a card's id goes."""
        card, key = self.card(number, user), self.stage.simulator.publishable_key
        form = urlencode({"payment_method": card})
        made = self.stage.simulator.post("/v1/confirmation_tokens", form, key)
        self._cards_of_tokens[made["id"]] = card
        return str(made["id"])

    def pay(
        self,
        order_id: str,
        card: str,
        *,
        save: bool = False,
        key: str | None = None,
        patience: int = MOST_REPEATS,
    ) -> Answer:
        body = {"paymentMethod": "credit_card", "paymentToken": card, "savePaymentMethod": save}
        path = f"/api/mobile-app/orders/{order_id}/pay"
        headers = self._as_user(self.owner(order_id), key)
        return self._ask(
            "pay",
            path,
            body,
            headers,
            order_id=order_id,
            card=self._cards_of_tokens.get(card, card),
            patience=patience,
        )

    def confirm(self, order_id: str) -> Answer:
        path = f"/api/mobile-app/orders/{order_id}/pay/confirm"
        headers = self._as_user(self.owner(order_id))
        return self._ask("confirm", path, {}, headers, order_id=order_id)

    def open_sheet(self, order_id: str) -> Answer:
        """With a key for the version that the app's SDK speaks."""
        path = f"/api/mobile-app/orders/{order_id}/payment-sheet"
        headers = self._as_user(self.owner(order_id))
        body = {"stripeVersion": "2025-10-29.clover"}
        return self._ask("sheet", path, body, headers, order_id=order_id)

    def look(self, order_id: str) -> Answer:
        path = f"/api/mobile-app/orders/{order_id}/payment"
        headers = self._as_user(self.owner(order_id))
        return self._ask("look", path, None, headers, order_id=order_id, method="GET")

    def save_card(self, card: str, user: str = "alice") -> Answer:
        body = {"stripePaymentMethodId": card, "type": "credit_card"}
        return self._ask("save", "/api/mobile-app/payments/methods", body, self._as_user(user))

    def set_up_card(
        self, user: str = "alice", *, patience: int = MOST_REPEATS, **body: Any
    ) -> Answer:
        path = "/api/mobile-app/payments/setup"
        return self._ask("setup", path, body, self._as_user(user), patience=patience)

    def open_setups(self) -> list[str]:
        """The SetupIntents at Stripe with which a card could still be saved."""
        listed = self.stage.simulator.get("/v1/setup_intents?limit=100")["data"]
        return [each["id"] for each in listed if each["status"] not in ("succeeded", "canceled")]

    def app_confirms_setup(self, answer: Answer, card: str) -> Json:
        """The app's own SDK confirms the SetupIntent of the answer; Stripe's answer."""
        form = urlencode({"client_secret": answer.data["clientSecret"], "payment_method": card})
        path = f"/v1/setup_intents/{answer.data['setupIntentId']}/confirm"
        try:
            intent: Json = self.stage.simulator.post(path, form, answer.data["publishableKey"])
        except ControlError as error:
            return {"error": str(error)}
        return intent

    def change_card(self, method: str, card: str, end: str = "", user: str = "alice") -> Answer:
        path = f"/api/mobile-app/payments/methods/{card}{end}"
        return self._ask("card", path, None, self._as_user(user), method=method)

    def cards(self, user: str = "alice") -> list[str]:
        """The saved cards as the app lists them, the default one marked with a star."""
        path = "/api/mobile-app/payments/methods"
        answer = self._ask("cards", path, None, self._as_user(user), method="GET")
        return sorted(
            item["stripePaymentMethodId"] + ("*" if item["isDefault"] else "")
            for item in answer.data
        )

    def owner(self, order_id: str) -> str:
        return next(user for known_id, user in self.orders if known_id == order_id)

    # --- the merchant ----------------------------------------------------------------------------

    def put_products(self) -> None:
        body = {"products": [PRODUCT]}
        self._ask("products", "/api/products", body, self._as_merchant(), method="PUT")

    def merchant_order(self, order_id: str, user: str = "alice") -> str:
        """The host's order under the host's own id."""
        total = PRICE_MINOR * QUANTITY
        body = {"userId": user, "orderId": order_id, "amountMinor": total, "currency": "usd"}
        answer = self._ask("order", "/api/orders", body, self._as_merchant())
        return self._note_order(answer, user)

    def cancel(self, order_id: str, patience: int = MOST_REPEATS) -> Answer:
        path = f"/api/orders/{order_id}/cancel"
        return self._ask(
            "cancel", path, {}, self._as_merchant(), order_id=order_id, patience=patience
        )

    def give_back(self, order_id: str, key: str, amount_minor: int | None = None) -> Answer:
        """A refund of a part, or of all that is left."""
        path = f"/api/orders/{order_id}/refunds"
        headers = self._as_merchant() | {"Idempotency-Key": key}
        body = {} if amount_minor is None else {"amountMinor": amount_minor}
        return self._ask("give_back", path, body, headers, order_id=order_id)

    def capture(
        self, order_id: str, amount_minor: int | None = None, patience: int = MOST_REPEATS
    ) -> Answer:
        """Of what is held: all of it, or a part."""
        body = {} if amount_minor is None else {"amountMinor": amount_minor}
        return self._ask(
            "capture",
            f"/api/orders/{order_id}/capture",
            body,
            self._as_merchant(),
            order_id=order_id,
            patience=patience,
        )

    def operate(self, command: str) -> None:
        """An operator's command, which is given again after a death."""
        while True:
            try:
                self._drive(command)
                return
            except _Cut:
                self._bury()

    def _as_merchant(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {MERCHANT_API_KEY}"}

    # --- the card holder and Stripe --------------------------------------------------------------

    def cancel_in_our_books(self, order_id: str) -> None:
        """We never do this without Stripe: the intent stays what it is."""
        change = self.stage.store.change
        change(f"UPDATE {{}}payments SET state = 'canceled' WHERE order_id = '{order_id}'")
        change(f"UPDATE {{}}orders SET status = 'canceled' WHERE id = '{order_id}'")

    def authenticate(
        self, answer: Answer, outcome: str = "success", *, is_late: bool = False
    ) -> None:
        """Press a button of the challenge that the answer asks for, if it does. `is_late`: it may
        be over."""
        if answer.body.get("status") != "requires_action":
            return
        try:
            self.stage.simulator.authenticate(answer.data["paymentIntentId"], outcome)
        except ControlError as error:
            if not is_late:
                self.complaints.append(f"the challenge of the answer was over: {error}")

    def app_confirms(self, order_id: str, answer: Answer, card: str) -> None:
        """The app's own SDK confirms the intent, whose client secret it was given."""
        intent_id = answer.data["paymentIntentId"]
        secret = answer.data.get("clientSecret") or answer.data["paymentIntentClientSecret"]
        form = urlencode({"client_secret": secret, "payment_method": card})
        begun = next(self._places)
        key = self.stage.simulator.publishable_key
        path, status, intent = f"/v1/payment_intents/{intent_id}/confirm", 200, {}
        try:
            intent = self.stage.simulator.post(path, form, key)
        except ControlError:  # declined
            status = 402
        self.asked.append(Asked(order_id, "app", card, begun, next(self._places), status, intent))

    def finish_challenge(self, opened: Answer) -> None:
        """The card holder passes the challenge that the app's own confirm has met."""
        self.stage.simulator.authenticate(opened.data["paymentIntentId"], "success")

    def app_changes_card(self, order_id: str, answer: Answer, card: str) -> None:
        """The intent of the answer is to be paid with another card."""
        begun, intent_id = next(self._places), answer.data["paymentIntentId"]
        self.at_stripe("POST", f"/v1/payment_intents/{intent_id}?payment_method={card}")
        self.asked.append(Asked(order_id, "app", card, begun, next(self._places), 200))

    def at_stripe(self, method: str, path: str) -> None:
        """Somebody changes something in Stripe's dashboard."""
        simulator = self.stage.simulator
        headers = {"Authorization": f"Bearer {simulator.secret_key}"}
        simulator._send(method, path, b"", headers)

    def customer_id(self) -> str:
        """The newest customer at Stripe."""
        return str(self.stage.simulator.get("/v1/customers?limit=1")["data"][0]["id"])

    def charge_id(self) -> str:
        """The newest charge at Stripe."""
        return str(self.stage.simulator.get("/v1/charges?limit=1")["data"][0]["id"])

    def lose(self, method: str, path: str, kind: str, times: int = 1) -> None:
        """So many calls of Stripe's API go wrong in this way (SIMULATOR.md, faults)."""
        match = {"method": method, "path": path, "times": times}
        self.stage.simulator.add_fault(match=match, kind=kind)

    def calm_down(self) -> None:
        self.stage.simulator.clear_faults()

    def hear(self) -> None:
        """Every event of Stripe's that the service has not heard yet, until it takes it."""
        for event in reversed(self.stage.simulator.get("/v1/events?limit=100")["data"]):
            if event["id"] not in self._events_seen:
                self._events_seen.add(event["id"])
                self._deliver(event)

    def _deliver(self, event: Json) -> None:
        raw = json.dumps(event).encode()
        while True:
            sent_at = int(self.stage.clock.now().timestamp())
            signed = hmac.new(WEBHOOK_SECRET.encode(), f"{sent_at}.".encode() + raw, hashlib.sha256)
            headers = {
                "Content-Type": "application/json",
                "Stripe-Signature": f"t={sent_at},v1={signed.hexdigest()}",
            }
            try:
                answer = self._send("POST", "/api/webhooks/stripe", raw, headers)
            except _Cut:
                self._bury()
                continue
            if answer.status != 200:
                raise Broken(f"an event was not taken: {answer}")
            self.events_taken[event["id"]] = self.stage.clock.added
            return

    # --- time ------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        self.stage.clock.added += seconds
        self.stage.simulator.advance_clock(seconds)

    def drain(self) -> None:
        """The work behind the answers comes to its end."""
        try:
            self._drive("drain")
        except _Cut:
            self._bury()

    def work(self, seconds: float = 0) -> None:
        """Time passes, then the worker has one round; when it dies in it, a later one."""
        self.pass_time(seconds)
        while True:
            try:
                self._drive("work")
                return
            except _Cut:
                self._bury()
                self.pass_time(LEASE_SECONDS)

    @property
    def tells_events(self) -> bool:
        return bool(dict(self.settings).get("tells_events"))

    @property
    def rounds_of_telling(self) -> tuple[float, ...]:
        """Two events of an order come at their second try each; a death costs one try more."""
        return (400.0, 400.0, 400.0) if self.tells_events else ()

    # --- for the auditor -------------------------------------------------------------------------

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.complaints.append(f"{what}: {found}, not {wanted}")

    def expected_orders(self) -> list[Order]:
        price = PRICE_MINOR * QUANTITY
        return [
            Order(order_id, user, price, "usd", frozenset(self._cards.get(user, ())))
            for order_id, user in self.orders
        ]
