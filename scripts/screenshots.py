"""Write the pictures of the demo's and of the simulator's page into docs/images.

`make screenshots` starts both on free ports and plays them in Chromium, at phone and desktop width,
light and dark.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import stripe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from paidonce.demo import Demo
from stripesim.config import Config
from stripesim.testing import SimulatorThread

FOLDER = Path(__file__).parents[1] / "docs" / "images"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
SMALL_DESK = {"width": 1180, "height": 740}
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LARGEST_BYTES = 300_000


@contextmanager
def open_page(browser: Browser, url: str, size: dict[str, int], scheme: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport=size, color_scheme=scheme, reduced_motion="reduce", device_scale_factor=1.5
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    yield page
    context.close()


def pay(page: Page, card: str) -> None:
    page.locator("#check-out").click()
    page.get_by_role("radio", name=card).check()
    page.locator("#pay").click()


def see(page: Page, title: str) -> None:
    expect(page.locator("#screen-title")).to_have_text(title)


def retry_after_a_lost_answer(page: Page) -> None:
    page.get_by_role("switch").click()
    pay(page, "4242")
    see(page, "Not known yet")
    page.get_by_role("button", name="Try again").click()
    see(page, "Paid")


def wait_for_the_bank(page: Page) -> None:
    pay(page, "3184")
    bank = page.frame_locator("#challenge-frame")
    expect(bank.get_by_role("button", name="Complete authentication")).to_be_visible()


def look_around(page: Page) -> None:
    page.wait_for_load_state("networkidle")  # the products' pictures


def choose_a_card(page: Page) -> None:
    page.locator("#check-out").click()
    see(page, "Pay $440.00")


PICTURES = {
    "desk-lost-answer-light": (DESK, "light", retry_after_a_lost_answer),
    "desk-lost-answer-dark": (DESK, "dark", retry_after_a_lost_answer),
    "phone-shop-light": (PHONE, "light", look_around),
    "phone-card-dark": (PHONE, "dark", choose_a_card),
    "phone-3d-secure-light": (PHONE, "light", wait_for_the_bank),
    "phone-lost-answer-dark": (PHONE, "dark", retry_after_a_lost_answer),
}


# --- the simulator's page ------------------------------------------------------------------------


def play_a_shop(simulator: SimulatorThread) -> None:
    """A lost answer, a decline, a pending challenge, a refund whose events are held back."""
    base = {"api": simulator.url}
    stripe_client = stripe.StripeClient(
        simulator.secret_key, base_addresses=base, max_network_retries=2
    )
    calls = stripe_client.v1
    customer = calls.customers.create({"email": "ada@example.com", "name": "Ada"})
    card = simulator.create_card()
    calls.payment_methods.attach(card, {"customer": customer.id})
    order = {"amount": 44000, "currency": "usd", "customer": customer.id, "payment_method": card}
    intent = calls.payment_intents.create(
        {**order, "metadata": {"order_id": "order-17"}}, {"idempotency_key": "order-17"}
    )
    match = {"method": "POST", "path": "*/confirm", "times": 1}
    simulator.add_fault(kind="drop_response", match=match)
    calls.payment_intents.confirm(intent.id, {}, {"idempotency_key": "order-17-confirm"})
    poor = {"payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds", "confirm": True}
    try:
        calls.payment_intents.create(
            {"amount": 1250, "currency": "eur", **poor}, {"idempotency_key": "order-18"}
        )
    except stripe.CardError as error:
        print(f"as wanted: {error.user_message}")
    secure = {"payment_method": "pm_card_authenticationRequired", "confirm": True}
    calls.payment_intents.create(
        {"amount": 9900, "currency": "usd", "customer": customer.id, **secure},
        {"idempotency_key": "order-19"},
    )
    simulator.webhooks(mode="pause")
    calls.refunds.create({"payment_intent": intent.id, "amount": 4000}, {"idempotency_key": "r-1"})
    simulator.advance_clock(26 * 3600)


def open_the_decline(page: Page) -> None:
    page.locator("#the-list a.row").filter(has_text="card_declined").click()
    expect(page.locator("#the-detail")).to_contain_text("insufficient_funds")


SIMULATOR_PICTURES = {
    "simulator-desk-light": (SMALL_DESK, "light", "requests", None),
    "simulator-desk-dark": (SMALL_DESK, "dark", "requests", open_the_decline),
    "simulator-phone-light": (PHONE, "light", "requests", None),
    "simulator-phone-dark": (PHONE, "dark", "events", None),
}


def picture_the_simulator(browser: Browser) -> Iterator[str]:
    with (
        SimulatorThread(Config(seed=1)) as simulator,
        simulator.receive_webhooks(),
    ):
        play_a_shop(simulator)
        for name, (size, scheme, view, play) in SIMULATOR_PICTURES.items():
            with open_page(browser, f"{simulator.url}/_sim#{view}", size, scheme) as page:
                if play:
                    play(page)
                page.screenshot(path=FOLDER / f"{name}.png")
            yield name


def picture_the_demo(browser: Browser) -> Iterator[str]:
    with Demo(port=0, stripe_port=0, data_dir=None) as demo:
        for name, (size, scheme, play) in PICTURES.items():
            with open_page(browser, demo.page_url, size, scheme) as page:
                play(page)
                page.mouse.move(0, 0)
                page.screenshot(path=FOLDER / f"{name}.png")
            yield name


def main() -> int:
    chromium = next((path for name in NAMES if (path := shutil.which(name))), None)
    if chromium is None:
        print("screenshots: no Chromium was found", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    shows = {"demo": picture_the_demo, "simulator": picture_the_simulator}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name in (
            name for kind, show in shows.items() if only in kind for name in show(browser)
        ):
            written = (FOLDER / f"{name}.png").stat().st_size
            print(f"docs/images/{name}.png  {written // 1000} kB")
            if written > LARGEST_BYTES:
                print(f"screenshots: {name} is larger than {LARGEST_BYTES} bytes", file=sys.stderr)
                return 1
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
