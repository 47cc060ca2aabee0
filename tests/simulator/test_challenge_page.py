"""The hosted challenge page: two forms, one button each, no JavaScript; and in a real browser."""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

RETURN_URL = "https://shop.example/back?order=1"


class Forms(HTMLParser):
    """method, action and the buttons' words of every form of a page."""

    def __init__(self, page):
        super().__init__()
        self.forms, self._in_button = [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "form":
            self.forms.append({**dict(attrs), "buttons": []})
        self._in_button = tag == "button"
        assert tag != "script"

    def handle_data(self, data):
        if self._in_button and data.strip():
            self.forms[-1]["buttons"].append(data.strip())

    def handle_endtag(self, tag):
        if tag == "button":
            self._in_button = False


def press(page_url, button):
    forms = Forms(requests.get(page_url, timeout=5).text).forms
    form = next(f for f in forms if f["buttons"] == [button])
    return requests.post(urljoin(page_url, form["action"]), timeout=5, allow_redirects=False)


@pytest.fixture
def challenge(wire):
    asked = wire.pay(payment_method=wire.card("4000002760003184"), return_url=RETURN_URL)
    return asked, asked["next_action"]["redirect_to_url"]["url"]


def test_the_page_has_two_post_forms_with_one_button_each(challenge):
    _, url = challenge
    answer = requests.get(url, timeout=5)
    assert answer.headers["Content-Type"].startswith("text/html")
    forms = Forms(answer.text).forms
    assert [f["method"] for f in forms] == ["post", "post"]
    assert [f["buttons"] for f in forms] == [["Complete authentication"], ["Fail authentication"]]
    assert '<link rel="icon" href="data:,">' in answer.text  # no request for one in the log
    assert 'name="viewport"' in answer.text and "prefers-color-scheme: dark" in answer.text
    assert "$4.40 USD" in answer.text and "3184" in answer.text


@pytest.mark.parametrize(
    ("button", "redirect_status", "status"),
    [
        ("Complete authentication", "succeeded", "succeeded"),
        ("Fail authentication", "failed", "requires_payment_method"),
    ],
)
def test_a_button_goes_back_with_the_result(wire, challenge, button, redirect_status, status):
    asked, url = challenge
    answer = press(url, button)
    assert answer.status_code == 303
    location = urlsplit(answer.headers["Location"])
    assert location._replace(query="").geturl() == "https://shop.example/back"
    assert parse_qs(location.query) == {
        "order": ["1"],
        "payment_intent": [asked["id"]],
        "payment_intent_client_secret": [asked["client_secret"]],
        "redirect_status": [redirect_status],
    }
    assert wire.retrieve(asked["id"])["status"] == status


def test_a_decline_after_the_authentication_comes_back_as_failed(wire):
    asked = wire.pay(payment_method=wire.card("4000008400001629"), return_url="shop://back")
    answer = press(asked["next_action"]["redirect_to_url"]["url"], "Complete authentication")
    assert answer.headers["Location"].startswith("shop://back?")
    assert "redirect_status=failed" in answer.headers["Location"]


def test_without_return_url_there_is_a_result_page(wire):
    asked = wire.pay(payment_method=wire.card("4000002760003184"))
    answer = press(asked["next_action"]["use_stripe_sdk"]["stripe_js"], "Complete authentication")
    assert answer.status_code == 200 and "Payment confirmed" in answer.text


def test_a_second_press_changes_nothing(wire, challenge):
    asked, url = challenge
    forms = Forms(requests.get(url, timeout=5).text).forms
    press(url, "Complete authentication")
    for form in forms:
        again = requests.post(urljoin(url, form["action"]), timeout=5, allow_redirects=False)
        assert again.status_code == 409 and "is over" in again.text
    assert wire.retrieve(asked["id"])["status"] == "succeeded"
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 1


def test_a_wrong_client_secret_shows_nothing(wire, challenge):
    asked, url = challenge
    wrong = re.sub(r"_secret_\w+", "_secret_wrong", url)
    assert requests.get(wrong, timeout=5).status_code == 404
    button = wrong.replace("/hosted?", "/hosted/complete?")
    assert requests.post(button, timeout=5).status_code == 404
    assert wire.retrieve(asked["id"])["status"] == "requires_action"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("button", "status"),
    [
        ("Complete authentication", "succeeded"),
        ("Fail authentication", "requires_payment_method"),
    ],
)
def test_a_person_with_a_phone_can_use_the_page(wire, browser_page, button, status):
    back = wire.simulator.url + "/_sim/health"
    asked = wire.pay(payment_method=wire.card("4000002760003184"), return_url=back)
    for scheme in ("light", "dark"):
        browser_page.emulate_media(color_scheme=scheme)
        browser_page.goto(asked["next_action"]["redirect_to_url"]["url"])
        box = browser_page.get_by_role("button", name=button).bounding_box()
        assert box is not None and box["height"] >= 44
        width = browser_page.evaluate("document.documentElement.scrollWidth")
        assert width <= browser_page.viewport_size["width"]
    browser_page.get_by_role("button", name=button).click()
    browser_page.wait_for_url(f"{back}?*")
    assert wire.retrieve(asked["id"])["status"] == status
