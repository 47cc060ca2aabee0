"""Whoever talks to the service in a flow: the app, the merchant, an operator, the card holder, and
Stripe with its webhooks and its dashboard."""

import hashlib
import hmac
import json
from urllib.parse import urlencode

from proof.auditor import Asked, Order
from proof.crash_points.phone import QUANTITY, Phone
from proof.crash_points.service import MOST_REPEATS, Answer, Broken, Cut, Json
from proof.crash_points.stage import MERCHANT_API_KEY, PRICE_MINOR, PRODUCT, WEBHOOK_SECRET
from stripesim.testing import ControlError


class Shop(Phone):
    """One run's world outside of the service."""

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
            except Cut:
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

    def customers(self) -> list[str]:
        """Those that stand at Stripe."""
        return [each["id"] for each in self.stage.simulator.get("/v1/customers?limit=9")["data"]]

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
            except Cut:
                self._bury()
                continue
            if answer.status != 200:
                raise Broken(f"an event was not taken: {answer}")
            self.events_taken[event["id"]] = self.stage.clock.added
            return

    # --- for the auditor -------------------------------------------------------------------------

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.complaints.append(f"{what}: {found}, not {wanted}")

    def personal_traces(self, user: str) -> list[str]:
        """Where our books still have the user's e-mail, or what a card looks like."""
        tables = self.stage.store.read().tables
        cards = [row["id"] for row in tables["payment_methods"] if row["last4"]]
        return [row["id"] for row in tables["users"] if row["email"] == user] + cards

    def expected_orders(self) -> list[Order]:
        price = PRICE_MINOR * QUANTITY
        return [
            Order(order_id, user, price, "usd", frozenset(self._cards.get(user, ())))
            for order_id, user in self.orders
        ]
