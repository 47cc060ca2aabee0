"""The page at `/demo`, played by a real browser at two widths: every path, and what it must keep.

Each test ends by checking that the page had no error, fits its width, shows no secret, and sent no
card number to paidonce (see `phone`). What goes wrong is in `test_demo_failures.py`.
"""

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from e2e.phone import PAIDONCE, REPAIR, SIZES, Phone, open_phone

pytestmark = pytest.mark.browser
GOOD, DECLINED, DECLINED_AT_ONCE, POOR = "4242", "0341", "0002", "9995"
SECURE, SECURE_DECLINED = "3184", "1629"


# --- cards ---------------------------------------------------------------------------------------


def test_a_good_card_pays_once_at_both(phone: Phone) -> None:
    phone.page.get_by_role("button", name="One more: Coffee beans").click()
    phone.pay_with(GOOD)
    phone.sees("Paid")
    phone.sees_words("$452.50 paid. Thank you.")
    phone.sees_charges(1, 1)
    expect(phone.panel("paidonce")).to_contain_text("$452.50 in Stripe's ledger")
    phone.tap("Send the same request again")
    phone.sees("Paid")
    phone.sees_charges(1, 1)


def test_a_declined_card_can_be_tried_again_and_another_one_pays(phone: Phone) -> None:
    phone.pay_with(DECLINED)
    phone.sees("Card declined")
    phone.sees_words("Your card was declined.")
    phone.tap("Try again")
    expect(phone.panel("paidonce").locator(".status", has_text="402")).to_have_count(2)
    phone.sees_words("Your card was declined.")
    first, second = phone.cards_sent_to(PAIDONCE)
    assert first == second
    phone.tap("Use another card")
    phone.choose(GOOD)
    phone.pay()
    phone.sees("Paid")
    phone.sees_charges(1, 1)


@pytest.mark.parametrize(
    ("card", "words"),
    [(DECLINED_AT_ONCE, "Your card was declined."), (POOR, "Your card has insufficient funds.")],
)
def test_a_card_says_why_it_is_declined(desk: Phone, card: str, words: str) -> None:
    desk.pay_with(card)
    desk.sees("Card declined")
    desk.sees_words(words)
    desk.sees_charges(0, 0)


def test_a_number_is_typed_and_checked_before_it_is_sent(phone: Phone) -> None:
    phone.check_out()
    phone.choose("Another card")
    number = phone.page.get_by_label("Card number")
    number.press_sequentially("4242424242424241")
    assert number.input_value() == "4242 4242 4242 4241"
    expect(phone.page.locator("#number-hint")).to_contain_text("check digit")
    phone.pay()
    expect(number).to_be_focused()
    expect(number).to_have_attribute("aria-invalid", "true")
    assert phone.numbers_sent_to(phone.stripe_url) == []
    number.press("Backspace")
    number.press_sequentially("2")
    expect(phone.page.locator("#number-hint")).to_have_text("The number is complete.")
    phone.page.get_by_label("Expiry").press_sequentially("1234")
    phone.page.get_by_label("Security code").fill("123")
    phone.pay()
    phone.sees("Paid")
    phone.sees_charges(1, 1)
    assert phone.numbers_sent_to(phone.stripe_url) == ["4242424242424242"] * 2
    expect(phone.panel("paidonce")).to_contain_text('"card[number]": "[redacted]"')
    expect(phone.panel("paidonce")).to_contain_text('"card[cvc]": "[redacted]"')
    for request in phone.sent:
        if "4242424242424242" in (request.post_data or ""):
            assert request.url == f"{phone.stripe_url}/v1/payment_methods"
            assert request.headers["authorization"].startswith("Bearer pk_test_")


def test_what_stripe_says_against_a_typed_card_is_shown_where_it_was_typed(desk: Phone) -> None:
    desk.check_out()
    desk.choose("Another card")
    desk.page.get_by_label("Card number").fill("4242424242424242")
    desk.page.get_by_label("Expiry").press_sequentially("1220")
    desk.page.get_by_label("Security code").fill("123")
    desk.pay()
    expect(desk.page.get_by_role("alert")).to_have_text("Your card's expiration year is invalid.")
    desk.page.get_by_label("Expiry").fill("12 / 34")
    desk.pay()
    desk.sees("Paid")


def test_the_same_card_pays_another_order(phone: Phone) -> None:
    phone.pay_with(GOOD)
    phone.sees("Paid")
    first = phone.last_order(PAIDONCE)
    phone.tap("Pay again with the same card")
    expect(phone.panel("paidonce")).to_contain_text("Tap: Pay again with Visa •••• 4242")
    phone.sees("Paid")
    phone.sees_charges(1, 1)
    assert phone.last_order(PAIDONCE) != first
    for server in (PAIDONCE, REPAIR):
        cards = phone.cards_sent_to(server)
        assert len(cards) == 2 and len(set(cards)) == 1


def test_kept_cards_are_listed_used_made_default_and_removed(
    phone: Phone, demo: dict[str, str]
) -> None:
    address = f"{demo['url']}{PAIDONCE}/payments/methods"
    headers = {"Authorization": f"Bearer {demo['token']}"}
    for number in (None, "5555555555554444"):
        phone.check_out()
        phone.choose("Another card" if number else GOOD)
        if number:
            phone.page.get_by_label("Card number").fill(number)
            phone.page.get_by_label("Expiry").press_sequentially("1234")
            phone.page.get_by_label("Security code").fill("123")
        phone.page.get_by_label("Keep this card for next time").check()
        phone.pay()
        phone.sees("Paid")
        phone.page.reload()
        phone.page.wait_for_selector("body[data-ready]")
    phone.check_out()
    phone.choose("Visa •••• 4242 Kept, default")
    phone.pay()
    phone.sees("Paid")
    phone.sees_charges(1, 1)
    assert phone.cards_sent_to(PAIDONCE)[-1].startswith("spm_")
    phone.tap("Kept cards")
    phone.sees("Kept cards")
    phone.tap("Make Mastercard •••• 4444 the default")
    expect(phone.page.get_by_role("button", name="Make Visa •••• 4242 the default")).to_be_visible()
    kept = requests.get(address, headers=headers, timeout=10).json()["data"]
    assert {card["details"]["last4"]: card["isDefault"] for card in kept} == {
        "4242": False,
        "4444": True,
    }
    phone.tap("Remove Mastercard •••• 4444")
    phone.tap("Remove Visa •••• 4242")
    expect(phone.page.locator("#screen")).to_contain_text("No card is kept.")
    assert requests.get(address, headers=headers, timeout=10).json()["data"] == []
    phone.tap("Back")
    phone.sees("Shop")


def test_an_order_id_is_no_card_number(desk: Phone) -> None:
    shown = desk.page.evaluate(
        "async (text) => (await import('/demo/page/redact.js')).redact(text)",
        "12345678-1234-4321-8444-006007984091 and 4242 4242 4242 4242 and 4242-4242-4242-4242",
    )
    assert shown == "12345678-1234-4321-8444-006007984091 and [redacted] and [redacted]"


# --- 3-D Secure ----------------------------------------------------------------------------------


def test_3d_secure_is_completed_in_the_app(phone: Phone) -> None:
    phone.pay_with(SECURE)
    sheet = phone.page.get_by_role("dialog", name="Your bank asks")
    expect(sheet).to_be_visible()
    expect(phone.page.get_by_role("button", name="Close")).to_be_focused()
    expect(phone.panel("paidonce")).to_contain_text("_secret_[redacted]&source=")
    phone.assert_panels_keep_secrets()
    phone.press_at_the_bank("Complete authentication")
    phone.sees("Paid")
    expect(sheet).to_be_hidden()
    phone.sees_charges(1, 0)
    told = phone.panel("repair").locator(".told")
    expect(told).to_contain_text("Authenticated, and still not paid")
    assert len(phone.sent_to(PAIDONCE, "/orders/[^/]+/pay/confirm")) == 1


def test_3d_secure_that_failed_is_begun_again(phone: Phone) -> None:
    phone.pay_with(SECURE)
    phone.press_at_the_bank("Fail authentication")
    phone.sees("Not authenticated")
    phone.sees_charges(0, 0)
    phone.tap("Try again")
    phone.press_at_the_bank("Complete authentication")
    phone.sees("Paid")
    phone.sees_charges(1, 0)


def test_a_sheet_that_was_closed_is_opened_again(phone: Phone) -> None:
    phone.pay_with(SECURE)
    expect(phone.page.get_by_role("dialog")).to_be_visible()
    phone.page.keyboard.press("Escape")
    phone.sees("Not confirmed yet")
    expect(phone.page.get_by_role("dialog")).to_be_hidden()
    phone.sees_charges(0, 0)
    phone.tap("Continue 3-D Secure")
    phone.press_at_the_bank("Complete authentication")
    phone.sees("Paid")
    phone.sees_charges(1, 0)


def test_a_card_declined_after_3d_secure_says_so_and_another_one_pays(phone: Phone) -> None:
    phone.pay_with(SECURE_DECLINED)
    phone.press_at_the_bank("Complete authentication")
    phone.sees("Card declined")
    phone.sees_charges(0, 0)
    phone.tap("Use another card")
    phone.choose(GOOD)
    phone.pay()
    phone.sees("Paid")
    phone.sees_charges(1, 1)


# --- a lost answer -------------------------------------------------------------------------------


def test_a_lost_answer_ends_in_one_charge_and_in_two_at_the_usual_repair(phone: Phone) -> None:
    phone.lose_the_answer()
    phone.pay_with(GOOD)
    phone.sees("Not known yet")
    phone.sees_charges(1, 1)
    expect(phone.panel("paidonce").locator(".told")).to_contain_text("not known yet")
    expect(phone.panel("repair").locator(".told")).to_contain_text("payment failed")
    phone.tap("Try again")
    phone.sees("Paid")
    phone.sees_charges(1, 2)
    expect(phone.panel("paidonce").locator(".verdict")).to_have_text("Charged once")
    expect(phone.panel("repair").locator(".verdict")).to_have_text("Charged twice")
    expect(phone.panel("repair")).to_contain_text("$880.00 in Stripe's ledger")


def test_taps_are_not_heard_while_a_payment_is_under_way(desk: Phone) -> None:
    desk.pay_with(DECLINED)
    desk.sees("Card declined")
    desk.lose_the_answer()
    desk.tap("Try again")
    paying = desk.page.get_by_role("button", name="Paying…")
    expect(paying).to_have_attribute("aria-disabled", "true")
    for _ in range(2):
        desk.page.get_by_role("button", name="Use another card").dispatch_event("click")
        paying.dispatch_event("click")
    desk.sees("Not known yet")
    assert len(desk.cards_sent_to(PAIDONCE)) == 2
    desk.tap("Try again")
    desk.sees("Card declined")
    desk.sees_charges(0, 0)


def test_a_lost_answer_to_a_card_with_3d_secure_ends_in_one_charge(desk: Phone) -> None:
    desk.lose_the_answer()
    desk.pay_with(SECURE)
    desk.sees("Not known yet")
    desk.tap("Try again")
    desk.press_at_the_bank("Complete authentication")
    desk.sees("Paid")
    desk.sees_charges(1, 0)


def test_the_switch_is_for_one_payment_and_leaves_no_fault_behind(desk: Phone) -> None:
    """The card is declined at its attachment: the answers that were to be lost never came."""
    desk.lose_the_answer()
    desk.pay_with(DECLINED_AT_ONCE)
    desk.sees("Card declined")
    expect(desk.page.get_by_role("switch")).not_to_be_checked()
    desk.tap("Use another card")
    desk.choose(GOOD)
    desk.pay()
    desk.sees("Paid")
    desk.sees_charges(1, 1)


# --- everybody -----------------------------------------------------------------------------------


def test_a_payment_with_3d_secure_needs_no_pointer(phone: Phone) -> None:
    """Tab, arrows, Space and Enter only."""
    keys = phone.page.keyboard
    phone.page.locator("#check-out").focus()
    keys.press("Enter")
    phone.sees("Pay $440.00")
    for _ in range(6):
        keys.press("Tab")
        if phone.page.evaluate("document.activeElement.name") == "card":
            break
    for _ in range(4):
        keys.press("ArrowDown")
    assert phone.page.get_by_role("radio", name=SECURE).is_checked()
    keys.press("Tab")
    expect(phone.page.get_by_label("Keep this card for next time")).to_be_focused()
    keys.press("Tab")
    expect(phone.page.locator("#pay")).to_be_focused()
    assert phone.page.locator("#pay").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    keys.press("Enter")
    expect(phone.page.get_by_role("button", name="Close")).to_be_focused()
    bank = phone.page.frame_locator("#challenge-frame")
    expect(bank.get_by_role("button", name="Complete authentication")).to_be_visible()
    keys.press("Tab")
    expect(bank.get_by_role("button", name="Complete authentication")).to_be_focused()
    keys.press("Enter")
    phone.sees("Paid")
    phone.sees_charges(1, 0)
    announced = phone.page.get_by_role("status")
    expect(announced).to_contain_text("paidonce charged once")


ROLES = {"button", "link", "radio", "checkbox", "switch", "textbox", "dialog", "Iframe"}


def list_unnamed(page: Page) -> list[str]:
    """Roles of what a screen reader would announce without a name."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    found = [
        (node["role"]["value"], (node.get("name") or {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node["role"]["value"] in ROLES
    ]
    assert len(found) > 2
    return [role for role, name in found if not name.strip()]


def list_small(page: Page) -> list[str]:
    """What can be tapped and is less than 44 px high; a choice is as large as its label."""
    return page.evaluate(
        """() => [...document.querySelectorAll('button, a:not(.skip), summary, label:has(input), \
                                              .field input')]
            .filter((e) => e.checkVisibility())
            .filter((e) => e.getBoundingClientRect().height < 44)
            .map((e) => e.textContent)"""
    )


def test_everything_has_a_name_and_is_large_enough(phone: Phone) -> None:
    for step in ("shop", "typed card", "bank", "result"):
        if step == "typed card":
            phone.check_out()
            phone.choose("Another card")
        elif step == "bank":
            phone.choose(SECURE)
            phone.pay()
            expect(phone.page.get_by_role("dialog")).to_be_visible()
        elif step == "result":
            phone.press_at_the_bank("Complete authentication")
            phone.sees("Paid")
        assert list_unnamed(phone.page) == [], step
        assert list_small(phone.page) == [], step


CONTRAST = """() => {
  const probe = document.body.appendChild(document.createElement('i'));
  const light = (name) => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map((v) => {
      const c = v / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pairs = [];
  for (const under of ['ground', 'card', 'raised', 'good-soft']) pairs.push(['text', under]);
  for (const under of ['ground', 'card', 'raised']) pairs.push(['muted', under]);
  for (const tone of ['good', 'warn', 'bad']) {
    for (const under of ['card', 'raised', `${tone}-soft`]) pairs.push([tone, under]);
  }
  pairs.push(['accent', 'card'], ['accent', 'raised'], ['accent-text', 'accent']);
  pairs.push(['text', 'bad-soft']);
  const ratios = pairs.map(([over, under]) => {
    const [a, b] = [light(over), light(under)].sort((x, y) => y - x);
    return [`${over} on ${under}`, (a + 0.05) / (b + 0.05)];
  });
  probe.remove();
  return ratios.filter(([, ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(
    browser: Browser, demo: dict[str, str], scheme: str
) -> None:
    with open_phone(browser, demo, SIZES["desk"], color_scheme=scheme) as phone:
        red = phone.page.evaluate(
            "parseInt(getComputedStyle(document.body).backgroundColor.slice(4))"
        )
        assert (red > 200) == (scheme == "light")
        assert phone.page.evaluate(CONTRAST) == []
