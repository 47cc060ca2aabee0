"""The app's lists under everything that could make one skip or repeat: equal times, rows that come
while it is walked, cursors of another list."""

from typing import Any

import pytest

from support.envelope import assert_envelope, assert_error, assert_success
from support.service import GOOD, Running, StartService

ORDERS = "/api/mobile-app/orders"
PAYMENTS = "/api/mobile-app/payments"
METHODS = "/api/mobile-app/payments/methods"


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def make_paid(service: Running, count: int, user: str = "alice") -> list[str]:
    """Orders that are paid, each with a card that is kept; one of each list, `count` times."""
    made = []
    for n in range(count):
        order_id = service.order(user)
        card = service.simulator.create_card(
            GOOD if n % 2 else "5555555555554444", exp_year=2040 + n
        )
        assert_success(service.pay(order_id, card, user=user, save=True))
        made.append(order_id)
    return made


def make_all_at_once(service: Running) -> None:
    """Every row gets the time of the first one."""

    async def work(tx: Any) -> None:
        for table in ("orders", "payments", "payment_methods"):
            await tx.execute(
                f"UPDATE {table} SET created_at = (SELECT min(created_at) FROM {table})"
            )

    service.run(service.context.db.transaction("test", work))


def walk(service: Running, path: str, limit: int) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        body = assert_envelope(service.call("GET", f"{path}?limit={limit}{cursor}"))
        assert len(body["data"]) <= limit
        found += [item["id"] for item in body["data"]]
        if body["nextCursor"] is None:
            return found
        cursor = f"&cursor={body['nextCursor']}"


def test_rows_of_one_moment_are_each_walked_once(service: Running) -> None:
    make_paid(service, 5)
    make_paid(service, 1, "bob")
    make_all_at_once(service)
    for path in (ORDERS, PAYMENTS, METHODS):
        whole = walk(service, path, 100)
        assert len(whole) == 5 if path != METHODS else len(whole) >= 2
        for limit in (1, 2, 3):
            assert walk(service, path, limit) == whole


def test_rows_that_come_while_a_list_is_walked_are_no_part_of_the_rest(service: Running) -> None:
    make_paid(service, 4)
    for path in (ORDERS, PAYMENTS):
        before = walk(service, path, 100)
        page = assert_envelope(service.call("GET", f"{path}?limit=2"))
        make_paid(service, 1)
        rest = assert_envelope(service.call("GET", f"{path}?limit=100&cursor={page['nextCursor']}"))
        assert [item["id"] for item in page["data"] + rest["data"]] == before
        assert rest["nextCursor"] is None


def test_a_cursor_of_another_list_is_refused(service: Running) -> None:
    make_paid(service, 2)
    cursors = {
        path: assert_envelope(service.call("GET", f"{path}?limit=1"))["nextCursor"]
        for path in (ORDERS, PAYMENTS, METHODS)
    }
    for path in cursors:
        for other, cursor in cursors.items():
            answer = service.call("GET", f"{path}?cursor={cursor}")
            if path == other:
                assert_success(answer)
            else:
                assert_error(answer, 400, "invalid_request", "fix_request")


def test_another_users_cursor_shows_nothing_of_his(service: Running) -> None:
    make_paid(service, 2)
    mine = make_paid(service, 1, "bob")
    cursor = assert_envelope(service.call("GET", f"{ORDERS}?limit=1"))["nextCursor"]
    seen = assert_success(service.call("GET", f"{ORDERS}?cursor={cursor}", user="bob"))
    assert {item["id"] for item in seen} <= set(mine)


@pytest.mark.parametrize("path", [ORDERS, PAYMENTS, METHODS])
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=1.0", "limit=%2B5", "limit=٣", "limit=", "cursor=W10"]
)
def test_a_limit_or_cursor_that_is_none_is_refused(service: Running, path: str, query: str) -> None:
    assert_error(service.call("GET", f"{path}?{query}"), 400, "invalid_request", "fix_request")


@pytest.mark.parametrize("limit", [1, 100])
def test_the_smallest_and_the_largest_page(service: Running, limit: int) -> None:
    make_paid(service, 2)
    for path in (ORDERS, PAYMENTS, METHODS):
        body = assert_envelope(service.call("GET", f"{path}?limit={limit}"))
        assert len(body["data"]) == min(limit, 2)
        assert (body["nextCursor"] is None) == (limit == 100)
