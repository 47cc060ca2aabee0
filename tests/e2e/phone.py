"""The page at `/demo` in a real browser, with the taps of a person, and what must hold always."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from stripesim.testing import ControlClient
from support.browser import TIMEOUT_MILLISECONDS

CARD_NUMBER = re.compile(r"(?<![0-9a-fA-F-])(?:\d[ +-]?){12,18}\d(?![0-9a-fA-F-])")
PAIDONCE, REPAIR = "/api/mobile-app", "/demo/repair/api/mobile-app"
SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 900}}


@dataclass
class Phone:
    """A person at the page. Everything the page sends is recorded."""

    page: Page
    url: str
    stripe_url: str
    sent: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self) -> None:
        self.page.on("request", lambda request: self.sent.append(request))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)
        self.page.goto(f"{self.url}/demo")
        self.page.wait_for_selector("body[data-ready]")

    def _listen(self, message: ConsoleMessage) -> None:
        """Chromium reports every 4xx answer as an error of loading; those belong to the show."""
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    # --- taps ------------------------------------------------------------------------------------

    def tap(self, name: str) -> None:
        """Tap a button of the app once the tap before is done with."""
        expect(self.page.locator("#screen")).not_to_have_attribute("aria-busy", "true")
        self.page.locator("#phone").get_by_role("button", name=name, exact=True).click()

    def check_out(self) -> None:
        self.page.locator("#check-out").click()
        expect(self.page.locator("#pay")).to_be_visible()

    def choose(self, card: str) -> None:
        self.page.get_by_role("radio", name=card).check()

    def pay(self) -> None:
        self.page.locator("#pay").click()

    def pay_with(self, card: str) -> None:
        self.check_out()
        self.choose(card)
        self.pay()

    def press_at_the_bank(self, name: str) -> None:
        self.page.frame_locator("#challenge-frame").get_by_role("button", name=name).click()

    def lose_the_answer(self) -> None:
        self.page.get_by_role("switch", name="Lose Stripe's answer").click()

    # --- what a person sees ----------------------------------------------------------------------

    def sees(self, title: str) -> None:
        """The screen's title. The screen reader's focus is on it."""
        expect(self.page.locator("#screen-title")).to_have_text(title)
        expect(self.page.locator("#screen-title")).to_be_focused()

    def sees_words(self, words: str) -> None:
        expect(self.page.locator("#screen .words")).to_have_text(words)

    def panel(self, name: str) -> Locator:
        return self.page.locator(f"#{name}")

    def sees_charges(self, paidonce: int, repair: int) -> None:
        """The big numbers, and the simulator's own ledger."""
        for name, charges in (("paidonce", paidonce), ("repair", repair)):
            expect(self.panel(name).locator(".number")).to_have_text(str(charges))
        assert self.in_the_ledger() == (paidonce, repair)

    def in_the_ledger(self) -> tuple[int, int]:
        groups = ControlClient(self.stripe_url).audit(group_by="order_id")["groups"]
        found = {group["key"]: int(group["succeeded_charges"]) for group in groups}
        mine, other = self.last_order(PAIDONCE), self.last_order(REPAIR)
        return found.get(mine, 0), found.get(other, 0)

    # --- what was sent ---------------------------------------------------------------------------

    def sent_to(self, base: str, path: str, method: str = "POST") -> list[Request]:
        pattern = re.compile(re.escape(f"{self.url}{base}") + path)
        return [r for r in self.sent if r.method == method and pattern.fullmatch(r.url)]

    def last_order(self, base: str) -> str:
        answer = self.sent_to(base, "/orders")[-1].response()
        assert answer is not None
        return str(answer.json()["data"]["orderId"])

    def cards_sent_to(self, base: str) -> list[str]:
        """The PaymentMethods of the pay requests, in their order."""
        bodies: list[dict[str, Any]] = [
            r.post_data_json for r in self.sent_to(base, "/orders/[^/]+/pay")
        ]
        return [body["paymentToken"] for body in bodies]

    # --- what must hold always -------------------------------------------------------------------

    def assert_all_is_well(self) -> None:
        assert self.errors == []
        assert self.numbers_sent_to(self.url) == []
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"]
        self.assert_panels_keep_secrets()

    def numbers_sent_to(self, address: str) -> list[str]:
        """Card numbers in whatever was sent there: address, headers or body."""
        found = []
        for request in self.sent:
            if request.url.startswith(address):
                headers = " ".join(request.headers.values())
                text = f"{unquote_plus(request.url)} {headers} {request.post_data or ''}"
                found += CARD_NUMBER.findall(unquote_plus(text))
        return found

    def assert_panels_keep_secrets(self) -> None:
        for name in ("paidonce", "repair"):
            text = self.panel(name).text_content() or ""
            assert not re.search(r"_secret_(?!\[redacted\])", text)
            assert not re.search(r"eyJ\w|pk_test_\w|sk_test_\w", text)
            assert not CARD_NUMBER.search(text)


@contextlib.contextmanager
def open_phone(
    browser: Browser, demo: dict[str, str], viewport: dict[str, int], **options: Any
) -> Iterator[Phone]:
    context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
    try:
        page: Page = context.new_page()
        page.set_default_timeout(TIMEOUT_MILLISECONDS)
        phone = Phone(page, demo["url"], demo["stripe_url"])
        phone.open()
        yield phone
        phone.assert_all_is_well()
    finally:
        context.close()
