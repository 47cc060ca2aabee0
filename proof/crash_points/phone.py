"""The app, and what its own SDK does at Stripe."""

from typing import Any
from urllib.parse import urlencode

from proof.crash_points.card_numbers import GOOD
from proof.crash_points.service import MOST_REPEATS, Answer, Broken, Json, Service
from proof.crash_points.stage import PRODUCT
from stripesim.testing import ControlError

QUANTITY = 2


class Phone(Service):
    """Users with their phones."""

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
