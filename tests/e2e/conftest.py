"""A demo for the tests of a module, and its page in a real browser."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from e2e.phone import SIZES, Phone, open_phone
from support.browser import ARGUMENTS, find_chromium
from support.processes import Process, free_port, script


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One demo for all; SIGTERM ends it and the processes it started."""
    ports = ["--port", str(free_port()), "--stripe-port", str(free_port())]
    command = [script("paidonce"), "demo", "--json", *ports]
    process = Process(command, log_folder=tmp_path_factory.mktemp("demo"), environment={})
    try:
        yield json.loads(process.wait_for_line(r"^\{.*\}$", 60)[0])
        assert process.terminate() == 0, process.stderr()
    finally:
        process.clean_up()


@pytest.fixture(scope="module")
def browser(demo: dict[str, str]) -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def phone(
    request: pytest.FixtureRequest, browser: Browser, demo: dict[str, str]
) -> Iterator[Phone]:
    with open_phone(browser, demo, SIZES[request.param]) as opened:
        yield opened


@pytest.fixture
def desk(browser: Browser, demo: dict[str, str]) -> Iterator[Phone]:
    with open_phone(browser, demo, SIZES["desk"]) as opened:
        yield opened
