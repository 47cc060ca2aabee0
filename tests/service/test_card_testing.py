"""Whoever tests cards is held to the limits, however he spreads his tries; whoever pays is not."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from paidonce.observability import render_metrics
from paidonce.payments import limits
from support.card_setups import SETUP, client_confirms
from support.envelope import assert_error, assert_success
from support.saved_methods import listed, save
from support.service import (
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    Running,
    StartService,
    running_service,
)
from support.sheet import Sheet, sheet_path

PROXY = {"trusted_proxies": "127.0.0.1"}
ONLY_DECLINES = {"cards_without_delay": 99, "cards_per_user_and_hour": 99}
MANY = 1000
ORDER_OF = "SELECT id FROM orders WHERE user_id = $1"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def pay_from(
    service: Running, order_id: str, card: str, user: str, address: str = "", device: str = ""
) -> requests.Response:
    headers = {"X-Forwarded-For": address} if address else {}
    headers |= {"X-Device-Id": device} if device else {}
    path = f"/api/mobile-app/orders/{order_id}/pay"
    return service.call("POST", path, {"paymentToken": card}, user=user, headers=headers)


def tries_at_stripe(service: Running, after: int) -> int:
    """Calls that tell whether a card is good."""
    calls = service.stripe_calls(after)
    return sum(path.endswith(("/attach", "/confirm")) for method, path in calls if method == "POST")


def test_a_bot_of_a_thousand_cards_over_fifty_users_is_held_to_its_address(
    start_service: StartService,
) -> None:
    """A thousand tries from one address; as many reach Stripe as the address may have declines."""
    service = start_service(**PROXY, declines_per_address_and_hour=20, cards_without_delay=99)
    users = [f"user-{n}" for n in range(50)]
    orders = {user: service.order(user) for user in [*users, "zoe"]}
    card = "pm_card_chargeDeclined"  # a factory: a card of its own with every use
    before = service.last_request()

    def try_one(n: int) -> str:
        user = users[n % 50]
        body = pay_from(service, orders[user], card, user, "203.0.113.7").json()
        return str(body.get("code"))

    with ThreadPoolExecutor(8) as threads:
        codes = Counter(threads.map(try_one, range(MANY)))
    assert codes.keys() <= {"card_declined", "payment_in_progress", "too_many_attempts"}, codes
    assert codes["card_declined"] <= 20
    assert tries_at_stripe(service, before) <= 20
    other = service.simulator.create_card(GOOD)
    assert_success(pay_from(service, orders["zoe"], other, "zoe", "203.0.113.8"))


def test_one_user_over_fifty_addresses_is_held_to_his_own_limits(
    start_service: StartService,
) -> None:
    service = start_service(**PROXY, cards_without_delay=99)
    order_id = service.order()
    before = service.last_request()
    answers = []
    for n in range(50):
        card = service.simulator.create_card(DECLINED_AT_ATTACH)
        answers.append(pay_from(service, order_id, card, "alice", f"203.0.113.{n}"))
    assert [answer.status_code for answer in answers] == [402] * 10 + [429] * 40
    assert tries_at_stripe(service, before) == 10


def test_the_same_card_again_and_again_is_held_to_the_declines(
    start_service: StartService,
) -> None:
    service = start_service(cards_without_delay=99)
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_CHARGE)
    answers = [service.pay(order_id, card) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [402] * 10 + [429] * 2
    assert 3500 < answers[-1].json()["retryAfter"] <= 3600
    service.clock.added += 3601
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


def test_requests_at_the_same_time_do_not_slip_past(
    database_url: str, stripe_simulator: Any
) -> None:
    with running_service(database_url, stripe_simulator, **ONLY_DECLINES) as service:
        check_together(service)


def test_nor_do_they_on_postgresql(postgres_url: str, stripe_simulator: Any) -> None:
    with running_service(postgres_url, stripe_simulator, **ONLY_DECLINES) as service:
        check_together(service)


def check_together(service: Running) -> None:
    """One user, twenty orders, twenty cards, all at once."""
    orders = [service.order() for _ in range(20)]
    cards = [service.simulator.create_card(DECLINED_AT_ATTACH) for _ in orders]
    before = service.last_request()
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(service.pay, orders, cards))
    assert tries_at_stripe(service, before) <= 10
    assert {answer.status_code for answer in answers} <= {402, 429}


def test_saves_at_the_same_time_do_not_slip_past_the_limits_of_an_address(
    start_service: StartService,
) -> None:
    service = start_service(declines_per_address_and_hour=3, cards_without_delay=99)
    users = [f"user-{n}" for n in range(12)]
    cards = [service.simulator.create_card(DECLINED_AT_ATTACH) for _ in users]
    before = service.last_request()
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda user, card: save(service, card, user=user), users, cards))
    assert tries_at_stripe(service, before) <= 3
    assert {answer.status_code for answer in answers} <= {402, 429}


def test_good_cards_that_are_only_saved_count_as_different_ones(
    start_service: StartService,
) -> None:
    """Whether a card is good is told by a save that succeeds, too."""
    service = start_service(cards_per_user_and_hour=6)
    numbers = ["4242424242424242", "5555555555554444", "378282246310005", "6011111111111117"]
    numbers += ["4000056655665556", "5105105105105100", "3056930009020004"]
    cards = [service.simulator.create_card(number) for number in numbers]
    answers = [save(service, card) for card in cards]
    assert [answer.status_code for answer in answers] == [200] * 6 + [429]
    assert_success(service.pay(service.order("bob"), service.simulator.create_card(), user="bob"))


def test_delays_grow_with_each_further_decline_and_reasons_are_kept_back(
    start_service: StartService,
) -> None:
    service = start_service(cards_per_user_and_hour=99)
    order_id = service.order()
    waits = []
    for n in range(1, 10):
        card = service.simulator.create_card(DECLINED_AT_ATTACH)
        body = assert_error(service.pay(order_id, card), 402, "card_declined")
        assert ("declineCode" in body) is (n <= 4), n
        if n >= 5:
            assert body["nextStep"] == "use_other_method"
            assert body["errors"] == ["Your card was declined."]
            assert service.payment(order_id)["lastError"] == "Your card was declined."
        if n >= 4:
            refused = service.pay(order_id, service.simulator.create_card(GOOD))
            waits.append(assert_error(refused, 429, "too_many_attempts", "retry")["retryAfter"])
            assert refused.headers["Retry-After"] == str(waits[-1])
            service.clock.added += waits[-1]
    wanted = [15, 30, 60, 120, 240, 480]
    assert all(want - 2 <= wait <= want for wait, want in zip(waits, wanted, strict=True)), waits


def test_a_customer_with_two_declines_pays_at_once(start_service: StartService) -> None:
    service = start_service()
    order_id = service.order()
    for number in (DECLINED_AT_ATTACH, DECLINED_AT_CHARGE):
        body = assert_error(
            service.pay(order_id, service.simulator.create_card(number)), 402, "card_declined"
        )
        assert body["declineCode"] == "generic_decline"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


def test_a_family_of_ten_behind_one_address_pays(start_service: StartService) -> None:
    service = start_service()
    family = [f"user-{n}" for n in range(10)]
    orders = {user: service.order(user) for user in family}
    for user in family:
        bad = service.simulator.create_card(DECLINED_AT_ATTACH)
        assert_error(service.pay(orders[user], bad, user=user), 402, "card_declined")
    cards = [service.simulator.create_card(GOOD) for _ in family]
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda u, c: service.pay(orders[u], c, user=u), family, cards))
    for answer in answers:
        assert_success(answer)


def test_a_bot_with_one_account_shuts_nobody_out_of_a_carriers_address(
    start_service: StartService,
) -> None:
    """500 good users behind one address: the bot has its own limit, far below the address's. With
    ten accounts and more it can fill the address's limit: then those who have paid a day before go
    on paying, and the others wait for an hour at most."""
    service = start_service(cards_per_user_and_hour=99, cards_without_delay=99)
    users = [f"good-{n}" for n in range(500)]
    regular, card = service.order("good-0"), service.simulator.create_card(GOOD)
    assert_success(service.pay(regular, card, user="good-0"))
    service.clock.added += 25 * 3600

    def decline(bot: str) -> int:
        order_id = service.order(bot)
        count = 0
        while True:
            bad = service.simulator.create_card(DECLINED_AT_ATTACH)
            if service.pay(order_id, bad, user=bot).status_code != 402:
                return count
            count += 1

    def shut_out() -> int:
        async def count() -> int:
            ctx = service.context
            refusals = [
                await ctx.db.read(
                    lambda tx, user=user: limits.check_limits(ctx, tx, user, "127.0.0.1")
                )
                for user in users
            ]
            return sum(refusal is not None for refusal in refusals)

        found: int = service.run(count())
        return found

    assert decline("bot-0") == 10
    assert shut_out() == 0
    for n in range(1, 10):
        assert decline(f"bot-{n}") == 10
    assert shut_out() == 499
    assert_success(service.pay(service.order("good-0"), card, user="good-0"))
    service.clock.added += 3601
    assert shut_out() == 0


def test_a_device_that_names_itself_is_counted_across_users_and_addresses(
    start_service: StartService,
) -> None:
    service = start_service(**PROXY, cards_without_delay=99)
    before, answers = service.last_request(), []
    for n in range(12):
        user, card = f"user-{n}", service.simulator.create_card(DECLINED_AT_ATTACH)
        order_id = service.order(user)
        answers.append(
            pay_from(service, order_id, card, user, f"203.0.113.{n}", "phone-1").status_code
        )
    assert answers == [402] * 10 + [429] * 2
    assert tries_at_stripe(service, before) == 10
    rows = service.rows("SELECT DISTINCT device_hash FROM payment_attempts")
    assert len(rows) == 1 and len(rows[0]["device_hash"]) == 32 and "phone" not in str(rows)
    good = service.simulator.create_card(GOOD)
    assert_success(pay_from(service, service.order("zoe"), good, "zoe", "", "phone-2"))


@pytest.mark.parametrize("scope", ["address", "device"])
@pytest.mark.parametrize("way", ["setup", "sheet"])
def test_what_is_declined_in_the_app_counts_for_its_address_and_device(
    start_service: StartService, way: str, scope: str
) -> None:
    """The app talks to Stripe itself; whoever was let in is answerable."""
    service = start_service(**PROXY, **{f"declines_per_{scope}_and_hour": 2})

    def ask(n: int) -> requests.Response:
        user = f"user-{n}"
        address, device = ("203.0.113.7", str(n)) if scope == "address" else (f"203.0.113.{n}", "p")
        headers = {"X-Forwarded-For": address, "X-Device-Id": device}
        path = SETUP if way == "setup" else sheet_path(service.order(user))
        return service.call("POST", path, {}, user=user, headers=headers)

    answers = [assert_success(ask(n)) for n in range(3)]
    for n, answer in enumerate(answers[:2]):
        bad = service.simulator.create_card(
            DECLINED_AT_CHARGE if way == "sheet" else DECLINED_AT_ATTACH
        )
        if way == "setup":
            assert client_confirms(service, answer, bad)["error"]["code"] == "card_declined"
            assert listed(service, f"user-{n}") == []
        else:
            sheet = Sheet(service, service.rows(ORDER_OF, f"user-{n}")[0]["id"], answer)
            assert sheet.confirm(method=bad)[0] == 402
            service.payment(sheet.order_id, f"user-{n}")
    assert_error(ask(3), 429, "too_many_attempts", "retry")
    service.clock.added += 3601
    assert_success(ask(4))


def test_cards_that_the_app_saves_by_itself_count_as_different_ones(
    start_service: StartService,
) -> None:
    """A SetupIntent that succeeds tells that its card is good, and one card is one."""
    service = start_service(cards_per_user_and_hour=2)
    for number in ("4242424242424242", "4242424242424242", "5555555555554444"):
        setup = assert_success(service.call("POST", SETUP, {}))
        client_confirms(service, setup, service.simulator.create_card(number))
        assert listed(service)
    assert_error(service.call("POST", SETUP, {}), 429, "too_many_attempts", "retry")


def test_addresses_of_ipv6_count_by_their_network(start_service: StartService) -> None:
    service = start_service(**PROXY, declines_per_address_and_hour=3, cards_without_delay=99)
    answers = []
    for n in range(5):
        user, card = f"user-{n}", service.simulator.create_card(DECLINED_AT_ATTACH)
        address = f"2001:db8:1:2:{n}::{n}"
        answers.append(pay_from(service, service.order(user), card, user, address).status_code)
    assert answers == [402] * 3 + [429] * 2
    card = service.simulator.create_card(GOOD)
    assert_success(pay_from(service, service.order("zoe"), card, "zoe", "2001:db8:1:3::1"))


def test_limits_hold_across_processes(database_url: str, stripe_simulator: Any) -> None:
    free = {"cards_without_delay": 99, "cards_per_user_and_hour": 6}
    with (
        running_service(database_url, stripe_simulator, **free) as one,
        running_service(database_url, stripe_simulator, **free) as other,
    ):
        order_id = one.order()
        for service in (one, other, one, other, one, other):
            card = service.simulator.create_card(DECLINED_AT_ATTACH)
            assert_error(service.pay(order_id, card), 402, "card_declined")
        for service in (one, other):
            card = service.simulator.create_card(GOOD)
            assert_error(service.pay(order_id, card), 429, "too_many_attempts")


def test_a_limit_that_is_exceeded_is_alarmed_once_and_counted(
    start_service: StartService,
) -> None:
    service = start_service(declines_per_user_and_hour=1)
    order_id = service.order()
    bad, good = (service.simulator.create_card(n) for n in (DECLINED_AT_ATTACH, GOOD))
    assert_error(service.pay(order_id, bad), 402, "card_declined")
    with capture_logs() as lines:
        for _ in range(3):
            assert_error(service.pay(order_id, good), 429, "too_many_attempts")
    [alarm] = [line for line in lines if line["event"] == "card_testing.limit_exceeded"]
    assert (alarm["log_level"], alarm["scope"], alarm["who"]) == ("critical", "user", "alice")
    counted = 'paidonce_card_testing_refusals_total{limit="declines",scope="user"}'
    assert counted in render_metrics().decode()


def test_a_card_that_has_paid_costs_no_more_than_before(start_service: StartService) -> None:
    service = start_service()
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))
    order_id, before = service.order(), service.last_request()
    assert_success(service.pay(order_id, card))
    assert service.stripe_calls(before) == [("POST", "/v1/payment_intents/:id/confirm")]
