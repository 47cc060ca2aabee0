"""The page at `/demo` when something fails: it says so, counts nothing it does not know, goes on.

And where there is little room, or a card that is gone. Every test ends as those of
`test_demo_page.py` do.
"""

from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from e2e.phone import PAIDONCE, Phone, open_phone

pytestmark = pytest.mark.browser
GOOD = "4242"


def break_off(route: Route) -> None:
    route.abort()


def is_silent(_route: Route) -> None:
    """The request is never answered."""


def says_null(route: Route) -> None:
    route.fulfill(body="null", content_type="application/json")


def repair_routes(phone: Phone) -> None:
    phone.page.unroute_all(behavior="ignoreErrors")


def assert_charges_are_unknown(phone: Phone) -> None:
    for name in ("paidonce", "repair"):
        panel = phone.panel(name)
        expect(panel.locator(".number")).to_have_text("?")
        expect(panel.locator(".verdict")).to_have_text("Charges not known")
        expect(panel.locator(".unit")).to_have_text("Stripe's ledger could not be read")
        expect(phone.page.locator(f".score [data-of={name}] strong")).to_have_text("?")
    expect(phone.page.get_by_role("status")).to_contain_text("paidonce charges not known")


@pytest.mark.parametrize("fails", [lambda r: r.fulfill(status=502, body="{}"), break_off])
def test_charges_are_not_known_while_the_ledger_cannot_be_read(phone: Phone, fails: Any) -> None:
    phone.page.route("**/demo/ledger**", fails)
    phone.pay_with(GOOD)
    phone.sees("Paid")
    assert_charges_are_unknown(phone)
    repair_routes(phone)
    phone.tap("Send the same request again")
    phone.sees_charges(1, 1)


def test_a_server_that_is_gone_while_paying_leaves_the_payment_unknown(phone: Phone) -> None:
    phone.check_out()
    phone.page.route(f"{phone.url}/**", break_off)
    phone.pay()
    phone.sees("Not known yet")
    phone.sees_words("There was no answer. It is safe to try again.")
    assert_charges_are_unknown(phone)
    repair_routes(phone)
    phone.tap("Try again")
    phone.sees("Paid")
    phone.sees_charges(1, 1)


def test_a_server_that_stays_silent_is_given_up_after_30_seconds_as_the_app_does(
    desk: Phone,
) -> None:
    """The page's 30 seconds last one here; its other limits, were there any, would not end."""
    desk.check_out()
    desk.page.evaluate(
        """() => {
          const timeout = AbortSignal.timeout.bind(AbortSignal);
          AbortSignal.timeout = (ms) => timeout(ms === 30000 ? 1000 : 600000);
          window.giveBack = () => (AbortSignal.timeout = timeout);
        }"""
    )
    desk.page.route("**/orders/*/pay", is_silent)
    desk.page.route("**/demo/ledger**", is_silent)
    desk.pay()
    desk.sees("Not known yet")
    desk.sees_words("There was no answer. It is safe to try again.")
    expect(desk.panel("paidonce").locator(".told")).to_have_text(
        "The app got no answer; it may ask again."
    )
    expect(desk.panel("repair").locator(".told")).to_have_text("The app got no answer.")
    assert_charges_are_unknown(desk)
    desk.page.evaluate("giveBack()")
    repair_routes(desk)
    desk.tap("Try again")
    desk.sees("Paid")
    desk.sees_charges(1, 1)


def test_a_switch_that_could_not_be_set_says_so_and_stops_no_payment(phone: Phone) -> None:
    phone.page.route("**/demo/lose-answer", break_off)
    phone.lose_the_answer()
    expect(phone.page.get_by_role("alert")).to_have_text(
        "The switch “Lose Stripe's answer” could not be set."
    )
    expect(phone.page.get_by_role("switch")).not_to_be_checked()
    repair_routes(phone)
    phone.pay_with(GOOD)
    phone.sees("Paid")
    phone.sees_charges(1, 1)
    expect(phone.page.get_by_role("alert")).to_be_empty()


def test_a_shop_that_cannot_be_opened_says_so_and_is_tried_again(phone: Phone) -> None:
    phone.page.route("**/demo/session", break_off)
    phone.page.reload()
    expect(phone.page.locator("#screen")).to_contain_text("the demo did not answer")
    repair_routes(phone)
    phone.tap("Try again")
    phone.pay_with(GOOD)
    phone.sees("Paid")


def test_an_order_that_could_not_be_made_says_so_where_everybody_sees_it(phone: Phone) -> None:
    alert = phone.page.get_by_role("alert")
    phone.page.route("**/api/mobile-app/orders", break_off)
    phone.page.locator("#check-out").click()
    expect(alert).to_have_text("The order could not be made. It is safe to try again.")
    expect(alert).to_be_in_viewport()
    repair_routes(phone)
    phone.check_out()
    expect(alert).to_be_empty()


def test_the_charges_of_the_order_before_are_shown_when_no_other_could_be_made(desk: Phone) -> None:
    desk.pay_with(GOOD)
    desk.sees("Paid")
    desk.page.route("**/api/mobile-app/orders", break_off)
    desk.page.get_by_role("button", name="Pay again with the same card").click()
    expect(desk.page.get_by_role("alert")).not_to_be_empty()
    for name in ("paidonce", "repair"):
        expect(desk.panel(name).locator(".verdict")).to_have_text("Charged once")


def test_kept_cards_that_cannot_be_read_are_not_said_to_be_none(desk: Phone) -> None:
    desk.page.route("**/payments/methods", break_off)
    desk.tap("Kept cards")
    expect(desk.page.get_by_role("alert")).to_have_text("The kept cards could not be read.")


def test_what_nobody_expected_is_said_and_the_next_tap_is_heard(desk: Phone) -> None:
    desk.check_out()
    desk.page.route(f"{desk.url}{PAIDONCE}/orders/*/pay", says_null)
    desk.pay()
    expect(desk.page.get_by_role("alert")).to_have_text(
        "Something went wrong on this page. It is safe to try again."
    )
    expect(desk.page.locator("#pay")).to_have_text("Pay $440.00")
    assert desk.errors and all("TypeError" in error for error in desk.errors)
    desk.errors.clear()
    repair_routes(desk)
    desk.tap("Pay $440.00")
    desk.sees("Paid")


def test_a_removed_card_is_out_of_hand_whichever_entry_of_it_was_held(desk: Phone) -> None:
    desk.check_out()
    desk.page.get_by_label("Keep this card for next time").check()
    desk.pay()
    desk.sees("Paid")
    desk.tap("New order")
    desk.check_out()
    desk.choose("Visa •••• 4242 Pays")
    desk.pay()
    desk.sees("Paid")
    desk.tap("Kept cards")
    desk.tap("Remove Visa •••• 4242")
    expect(desk.page.locator("#screen")).to_contain_text("No card is kept.")
    desk.tap("Back")
    desk.sees("Shop")
    desk.check_out()
    expect(desk.page.get_by_role("radio", name="Same card again")).to_have_count(0)


STANDING = """() => [...document.querySelectorAll('body *')]
  .filter((e) => e.checkVisibility() && ['fixed', 'sticky'].includes(getComputedStyle(e).position))
  .map((e) => e.className)"""


@pytest.mark.parametrize(("width", "height"), [(320, 256), (640, 400)])
def test_nothing_stands_in_the_way_where_there_is_little_height(
    browser: Browser, demo: dict[str, str], width: int, height: int
) -> None:
    """320 by 256 is what 400 % of zoom leave of 1280 by 1024."""
    with open_phone(browser, demo, {"width": width, "height": height}) as phone:
        assert phone.page.evaluate(STANDING) == []
        phone.check_out()
        assert phone.page.evaluate(STANDING) == []
        phone.pay()
        phone.sees("Paid")
        assert phone.page.evaluate(STANDING) == []
        phone.sees_charges(1, 1)


CORNERS = """() => {
  const { left, right, bottom } = document.querySelector('.bottom').getBoundingClientRect();
  const at = (x) => document.elementFromPoint(x, bottom - 2).className;
  return [at(left + 2), at(right - 2)];
}"""


def test_the_list_does_not_show_through_the_corners_of_the_buttons(
    browser: Browser, demo: dict[str, str]
) -> None:
    with open_phone(browser, demo, {"width": 768, "height": 600}) as phone:
        phone.check_out()
        corners = phone.page.evaluate(CORNERS)
        assert corners == ["bottom", "bottom"]
