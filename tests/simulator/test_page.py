"""The page at `/_sim`: its files and their policy, and the page in a real browser."""

import re

import pytest
import requests
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from stripesim.config import Config
from stripesim.control.faults import KINDS
from stripesim.control.page import FILES
from stripesim.testing import SimulatorThread
from support.browser import ARGUMENTS, TIMEOUT_MILLISECONDS, find_chromium

THREE_D_SECURE = "4000002760003184"
EVIL = '<img src=x onerror="document.title=1"></script><script>document.title=2</script>'
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def test_the_page_comes_with_a_policy_that_lets_nothing_else_in(stripe_simulator):
    for path in ("", "/", *(f"/page/{file.name}" for file in FILES.iterdir())):
        answer = requests.get(f"{stripe_simulator.url}/_sim{path}", timeout=5)
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for wrong in ("/page/", "/page/none.js", "/page/../plane.py", "/page/%2e%2e/plane.py"):
        url = f"{stripe_simulator.url}/_sim{wrong}"
        assert requests.get(url, timeout=5).status_code in (404, 405)


def test_the_page_takes_nothing_from_elsewhere_and_writes_no_html():
    for file in FILES.iterdir():
        text = file.read_text(encoding="utf-8")
        addresses = re.findall(r"https?://[\w.]+", text)
        assert set(addresses) <= {"http://www.w3.org", "http://127.0.0.1"}, file.name
        for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert unsafe not in text, file.name


def test_every_kind_of_fault_is_explained_on_the_page():
    text = (FILES / "faults.js").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"  {kind}: " not in text] == []


# --- in a real browser ---------------------------------------------------------------------------


class Watcher:
    """A person before the page; every complaint of the browser fails the test."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        page.on("console", self._listen)
        page.on("request", self._watch)

    def _listen(self, message: ConsoleMessage) -> None:
        self.complaints.append(message.text)

    def _watch(self, request) -> None:
        if not request.url.startswith(f"{self.url}/_sim"):
            self.complaints.append(f"asked {request.url}")

    def open(self, view: str = "requests") -> None:
        self.page.goto(f"{self.url}/_sim#{view}")
        self.page.wait_for_selector("body[data-ready]")

    def go(self, view: str) -> None:
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()

    @property
    def list(self):
        return self.page.locator("#the-list")

    @property
    def controls(self):
        return self.page.locator("#the-controls")

    @property
    def detail(self):
        return self.page.locator("#the-detail")

    def assert_fits(self) -> None:
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"]


@pytest.fixture(scope="module")
def browser():
    """One for all; each test has a context of its own."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport=PHONE, reduced_motion="reduce")
    errors = []
    opened = context.new_page()
    opened.set_default_timeout(TIMEOUT_MILLISECONDS)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


@pytest.fixture
def watcher(stripe_simulator, page):
    found = Watcher(page, stripe_simulator.url)
    yield found
    found.assert_fits()
    assert found.complaints == []


@pytest.mark.browser
def test_a_request_is_shown_as_it_comes_with_its_answer_and_no_secret(wire, watcher):
    watcher.open()
    expect(watcher.list).to_contain_text("No request yet")
    asked = wire.ok(
        "/v1/payment_intents", {"amount": 440, "currency": "usd"}, idempotency_key="order-1"
    )
    row = watcher.list.get_by_role("link", name=re.compile("payment_intents"))
    expect(row).to_contain_text("200")
    expect(row).to_contain_text("key order-1")
    row.click()
    expect(watcher.detail).to_contain_text('"amount": "440"')
    expect(watcher.detail).to_contain_text('"status": "requires_payment_method"')
    expect(watcher.detail).to_contain_text("Bearer sk_test_[redacted]")
    assert asked["client_secret"] not in watcher.page.content()
    watcher.detail.get_by_role("link", name=asked["id"]).first.click()
    expect(watcher.detail.get_by_role("heading").first).to_have_text(asked["id"])
    watcher.page.keyboard.press("Escape")
    expect(watcher.detail).to_be_hidden()


@pytest.mark.browser
def test_requests_are_filtered(wire, watcher):
    wire.customer()
    wire.post("/v1/refunds", {})
    watcher.open()
    rows = watcher.list.locator("a.row")
    expect(rows).to_have_count(2)
    watcher.list.get_by_role("searchbox").fill("CUSTOMERS")
    expect(rows).to_have_count(1)
    watcher.list.get_by_role("searchbox").fill("")
    watcher.list.get_by_role("combobox").select_option("errors")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("/v1/refunds")
    watcher.list.get_by_role("combobox").select_option("faults")
    expect(watcher.list).to_contain_text("No request fits the filter.")


@pytest.mark.browser
def test_a_fault_that_is_switched_on_strikes_is_counted_and_removed(wire, watcher):
    watcher.page.set_viewport_size(DESK)
    watcher.open()
    form = watcher.controls.locator("form").filter(has_text="What goes wrong")
    form.get_by_label("What goes wrong").select_option("error_before")
    form.get_by_label("Method").select_option("POST")
    form.get_by_label("Path").fill("/v1/customers")
    form.get_by_label("Times").fill("1")
    form.get_by_label("Status").fill("503")
    form.get_by_role("button", name="Switch on").click()
    rule = watcher.controls.get_by_role("list", name="Fault rules").get_by_role("listitem")
    expect(rule).to_contain_text("error_before POST /v1/customers")
    assert wire.post("/v1/customers").status_code == 503
    assert wire.post("/v1/customers").status_code == 200
    expect(rule).to_contain_text("matched 2, struck 1")
    expect(watcher.list).to_contain_text("fault error_before")
    rule.get_by_role("button", name="Remove").click()
    expect(rule).to_have_count(0)
    assert wire.simulator.faults() == []


@pytest.mark.browser
def test_a_lie_that_cannot_be_read_is_complained_about(wire, watcher):
    watcher.page.set_viewport_size(DESK)
    watcher.open()
    form = watcher.controls.locator("form").filter(has_text="What goes wrong")
    form.get_by_label("What goes wrong").select_option("lie")
    form.get_by_label("Fields, as JSON").fill('{"amount": ')
    form.get_by_role("button", name="Switch on").click()
    expect(watcher.page.get_by_role("alert")).to_contain_text("JSON")
    form.get_by_label("Fields, as JSON").fill('{"amount": 2}')
    form.get_by_role("button", name="Switch on").click()
    expect(watcher.controls.get_by_role("list", name="Fault rules")).to_contain_text("lie")
    assert wire.simulator.faults()[0]["fault"]["fields"] == {"amount": 2}


@pytest.mark.browser
def test_an_event_is_shown_with_its_delivery_and_sent_again(wire, watcher, inbox):
    customer = wire.customer()
    inbox.wait_for("customer.created")
    watcher.open("events")
    event = watcher.list.get_by_role("listitem").filter(has_text="customer.created")
    expect(event).to_contain_text(customer)
    expect(event).to_contain_text("delivered")
    expect(event).to_contain_text(inbox.url)
    event.get_by_role("button", name="Resend").click()
    assert inbox.wait_for("customer.created", count=2).object["id"] == customer
    expect(event.get_by_text("delivered")).to_have_count(2)


@pytest.mark.browser
def test_a_challenge_is_completed_on_the_page(wire, watcher):
    watcher.open("controls")
    asked = wire.pay(payment_method=wire.card(THREE_D_SECURE))
    refused = wire.pay(payment_method=wire.card(THREE_D_SECURE))
    for intent, name in ((asked, "Complete"), (refused, "Fail")):
        challenge = watcher.controls.get_by_role("listitem").filter(has_text=intent["id"])
        expect(challenge).to_contain_text("$4.40")
        challenge.get_by_role("button", name=name).click()
        expect(challenge).to_have_count(0)
    assert wire.retrieve(asked["id"])["status"] == "succeeded"
    assert wire.retrieve(refused["id"])["status"] == "requires_payment_method"


@pytest.mark.browser
def test_objects_are_found_by_kind_and_lead_to_each_other(wire, watcher):
    customer, card = wire.saved_card()
    paid = wire.pay(customer=customer, payment_method=card)
    watcher.open("objects")
    watcher.list.get_by_role("link", name="charge", exact=True).click()
    watcher.list.get_by_role("link", name=re.compile(paid["latest_charge"])).click()
    watcher.detail.get_by_role("link", name=customer).first.click()
    expect(watcher.detail.get_by_role("heading").first).to_have_text(customer)
    expect(watcher.detail).to_contain_text("ada@example.com")


@pytest.mark.browser
def test_the_clock_and_the_webhooks_are_set_and_everything_is_emptied(wire, watcher):
    wire.customer()
    watcher.open("controls")
    watcher.controls.get_by_role("button", name="+ 1 day").click()
    expect(watcher.page.locator("#advanced")).to_have_text("+ 1 d")
    form = watcher.controls.locator("form").filter(has_text="Extra copies")
    form.get_by_text("Pause").click()
    form.get_by_label("Extra copies").fill("2")
    form.get_by_label("Target for every event").fill("http://127.0.0.1:1/hook")
    form.get_by_label("Its secret").fill("whsec_mine")
    form.get_by_role("button", name="Save").click()
    expect(watcher.page.locator("#alarms")).to_have_text("1")
    state = requests.get(f"{wire.simulator.url}/_sim/webhooks", timeout=5).json()
    assert (state["mode"], state["duplicate"]) == ("pause", 2)
    assert state["target"] == "http://127.0.0.1:1/hook"
    wire.customer()
    expect(watcher.controls).to_contain_text("3 waiting to be delivered")
    assert "whsec_mine" not in watcher.page.content()
    watcher.controls.get_by_role("button", name="Empty everything").click()
    assert wire.simulator.state()["last_seq"] == 2
    watcher.controls.get_by_role("button", name="Really? Press again").click()
    expect(watcher.page.locator("#advanced")).to_be_hidden()
    assert wire.simulator.state()["last_seq"] == 0
    watcher.go("Requests")
    expect(watcher.list).to_contain_text("No request yet")


@pytest.mark.browser
def test_a_value_is_never_html(wire, watcher):
    watcher.page.set_viewport_size(DESK)
    made = wire.ok(
        "/v1/customers",
        {"name": EVIL, "metadata[<b>x</b>]": EVIL},
        idempotency_key=f"k{EVIL}",
    )
    wire.simulator.set_webhook_target(f"http://127.0.0.1:1/{EVIL}")
    wire.simulator.add_fault(kind="latency", match={"path": EVIL})
    wire.get(f"/v1/{EVIL}")
    seq = wire.simulator.requests()[0]["seq"]
    for view in ("requests", "objects/customer", f"object/{made['id']}", f"request/{seq}"):
        watcher.open(view)
        watcher.page.reload()
        watcher.page.wait_for_selector("body[data-ready]")
        expect(watcher.page.locator("main")).to_contain_text("onerror=")
        assert watcher.page.locator("main img, main b, main script").count() == 0
        assert watcher.page.title() == "stripesim"


@pytest.mark.browser
def test_a_token_is_asked_for_and_kept_in_the_tab_only(page):
    with SimulatorThread(Config(control_token="open-sesame")) as simulator:
        page.goto(f"{simulator.url}/_sim")
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("textbox", name="Token")).to_have_value("")
        page.get_by_role("textbox", name="Token").fill("open-sesame")
        page.get_by_role("button", name="Open").click()
        page.wait_for_selector("body[data-ready]")
        expect(page.locator("#the-list")).to_contain_text("No request yet")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        other = page.context.new_page()
        other.goto(f"{simulator.url}/_sim")
        expect(other.get_by_role("textbox", name="Token")).to_be_visible()


@pytest.mark.browser
def test_the_page_says_that_the_simulator_is_gone(page):
    with SimulatorThread() as simulator:
        page.goto(f"{simulator.url}/_sim")
        page.wait_for_selector("body[data-ready]")
    expect(page.get_by_role("alert")).to_contain_text("gives no answer")
