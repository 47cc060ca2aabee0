"""Write the pictures of the demo's page into docs/images: `make screenshots`.

Starts a demo on free ports and plays it in Chromium, at phone and desktop width, light and dark.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from paidonce.demo import Demo

FOLDER = Path(__file__).parents[1] / "docs" / "images"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
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


def main() -> int:
    chromium = next((path for name in NAMES if (path := shutil.which(name))), None)
    if chromium is None:
        print("screenshots: no Chromium was found", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        Demo(port=0, stripe_port=0, data_dir=None) as demo,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name, (size, scheme, play) in PICTURES.items():
            with open_page(browser, demo.page_url, size, scheme) as page:
                play(page)
                page.mouse.move(0, 0)
                page.screenshot(path=FOLDER / f"{name}.png")
            written = (FOLDER / f"{name}.png").stat().st_size
            print(f"docs/images/{name}.png  {written // 1000} kB")
            if written > LARGEST_BYTES:
                print(f"screenshots: {name} is larger than {LARGEST_BYTES} bytes", file=sys.stderr)
                return 1
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
