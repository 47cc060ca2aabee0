"""A real browser for tests: the system's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MILLISECONDS = 15_000


def find_chromium() -> str | None:
    """The path of the system's Chromium or Chrome, None when there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture
def browser_page() -> Iterator[Page]:
    """A page of a fresh browser, phone-sized. Only for tests that are not coroutines.

    An error in the page's own JavaScript fails the test.
    """
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install --no-install-recommends chromium")
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": 390, "height": 844})
            page.set_default_timeout(TIMEOUT_MILLISECONDS)
            page.on("pageerror", lambda error: errors.append(str(error)))
            yield page
        finally:
            browser.close()
    assert not errors, errors
