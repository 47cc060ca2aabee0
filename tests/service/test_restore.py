"""A database restored from an older copy has forgotten payments that Stripe has: no order is
charged a second time, whoever asks and whenever, and what was forgotten is found and shown."""

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from paidonce.gateway import lists
from paidonce.observability import render_metrics, set_step_hook
from paidonce.payments import restore
from paidonce.store import forgotten, migrations
from paidonce.store.engine import UnknownCommit
from support.envelope import assert_error, assert_success
from support.postgres import start_postgres
from support.processes import free_port
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    WEBHOOK_SECRET,
    Running,
    at_stripe,
    running_service,
)

HOUR = 3600
LIST = {"method": "GET", "path": "/v1/payment_intents"}
LIST_CALL = ("GET", "/v1/payment_intents")
CREATE_CALL = ("POST", "/v1/payment_intents")
CONFIRM_CALL = ("POST", "/v1/payment_intents/:id/confirm")
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}


class World:
    """One Stripe account, and a database that can be copied and put back."""

    def __init__(self, url: str, simulator: Any, postgres: Any) -> None:
        self.url, self.simulator, self._postgres = url, simulator, postgres
        self._copies = 0

    @contextlib.contextmanager
    def serving(self, url: str | None = None, **changes: Any) -> Iterator[Running]:
        with running_service(url or self.url, self.simulator, **changes) as service:
            yield service

    def back_up(self) -> str:
        """The URL of a copy; nobody is connected to the database."""
        self._copies += 1
        if self._postgres is not None:
            name = self.url.rsplit("/", 1)[1].split("?")[0]
            return str(self._postgres.url(self._postgres.create_database(name)))
        copy = f"{self.url}.copy{self._copies}"
        _copy_file(self.url, copy)
        return copy

    def put_back(self, copy: str) -> None:
        """The copy takes the place of the database, under whoever serves it."""
        if self._postgres is None:
            _copy_file(copy, self.url)
            return
        name, source = (url.rsplit("/", 1)[1].split("?")[0] for url in (self.url, copy))
        self._postgres.drop_database(name)
        self._postgres.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')

    def charges(self) -> dict[str, int]:
        groups = self.simulator.audit(group_by="order_id")["groups"]
        return {group["key"]: group["succeeded_charges"] for group in groups}


def _copy_file(source: str, target: str) -> None:
    """As SQLite copies a database, with readers and writers at work."""
    paths = [url.removeprefix("sqlite:///") for url in (source, target)]
    with (
        contextlib.closing(sqlite3.connect(paths[0])) as old,
        contextlib.closing(sqlite3.connect(paths[1])) as new,
    ):
        old.backup(new)


@pytest.fixture
def world(
    database_url: str, stripe_simulator: Any, request: pytest.FixtureRequest
) -> Iterator[World]:
    is_sqlite = database_url.startswith("sqlite")
    postgres = None if is_sqlite else request.getfixturevalue("postgres_server")
    made = World(database_url, stripe_simulator, postgres)
    yield made
    assert all(count <= 1 for count in made.charges().values()), "charged twice"


def execute(service: Running, sql: str, *args: Any) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(sql, *args)

    service.run(service.context.db.transaction("test", work))


def pay_in_next_generation(service: Running, order_id: str, number: str = GOOD) -> str:
    """Another card while a challenge is open: its intent is canceled, the next one pays."""
    service.pay(order_id, service.simulator.create_card(NEEDS_3DS))
    service.pay(order_id, service.simulator.create_card(number))
    [row] = service.rows(
        "SELECT stripe_payment_intent_id AS id FROM payments WHERE order_id = $1"
        " AND generation = 2",
        order_id,
    )
    return str(row["id"])


def forget(world: World, number: str = GOOD) -> tuple[str, str, str]:
    """An order that was paid (or tried) in a generation which the copy does not have: the copy,
    the order and the forgotten intent."""
    with world.serving() as service:
        order_id = service.order()
    copy = world.back_up()
    with world.serving() as service:
        intent_id = pay_in_next_generation(service, order_id, number)
    return copy, order_id, intent_id


def standing(service: Running) -> list[str]:
    rows = service.rows(
        "SELECT f.stripe_payment_intent_id AS id FROM forgotten_intents f"
        f" WHERE {forgotten.STANDS} ORDER BY f.found_at"
    )
    return [row["id"] for row in rows]


def assert_nothing_was_begun(service: Running, after: int) -> None:
    calls = service.stripe_calls(after)
    assert CONFIRM_CALL not in calls and CREATE_CALL not in calls, calls


def adopt(service: Running, order_id: str, intent_id: str) -> None:
    """What `reconcile --fix` does: the payment gets its row again."""
    execute(service, "UPDATE payments SET state = 'canceled' WHERE order_id = $1", order_id)
    execute(
        service,
        "INSERT INTO payments (id, order_id, user_id, generation, state, amount_minor, currency,"
        " confirmation_method, method_policy, stripe_version, stripe_payment_intent_id,"
        " intent_params, stripe_customer_id, created_at)"
        " SELECT $3, order_id, user_id, 2, 'live', amount_minor, currency,"
        " confirmation_method, method_policy, stripe_version, $2, '{}', stripe_customer_id,"
        " created_at FROM payments WHERE order_id = $1",
        order_id,
        intent_id,
        service.stripe("GET", f"/v1/payment_intents/{intent_id}")["metadata"]["payment_id"],
    )


# --- found at the start --------------------------------------------------------------------------


def test_an_order_paid_after_the_backup_is_not_charged_again(world: World) -> None:
    copy, order_id, intent_id = forget(world)
    with world.serving(copy) as service:
        before = service.last_request()
        card = service.simulator.create_card(GOOD)
        for answer in service.pay_together(order_id, card, card, card):
            assert_error(answer, 409, "payment_processing", "wait")
        assert_error(service.confirm(order_id), 409, "payment_processing", "wait")
        assert_error(
            service.confirm(order_id, {"paymentIntentId": intent_id}), 409, "payment_processing"
        )
        assert service.payment(order_id)["status"] == "processing"
        canceling = service.merchant("POST", f"/api/orders/{order_id}/cancel")
        assert_error(canceling, 409, "payment_processing", "wait")
        assert_nothing_was_begun(service, before)
        assert standing(service) == [intent_id]
        assert b"paidonce_forgotten_intents 1.0" in render_metrics()
        adopt(service, order_id, intent_id)
        assert standing(service) == []
        assert_success(service.pay(order_id, card))
        assert service.order_view(order_id)["status"] == "paid"
    assert world.charges() == {order_id: 1}


@pytest.mark.parametrize("has_row", [False, True], ids=["no row", "nothing asked for"])
def test_an_order_backed_up_before_its_preparation_is_not_charged_again(
    world: World, has_row: bool
) -> None:
    """The payment has no row in the copy, or one that does not know of any intent."""
    with world.serving() as service:
        order_id = service.order()
    copy = world.back_up()
    with world.serving(copy) as service:
        execute(service, "DELETE FROM payment_events")
        execute(
            service,
            "UPDATE payments SET stripe_payment_intent_id = NULL, intent_params = NULL,"
            " intent_requested_at = NULL, stripe_customer_id = NULL"
            if has_row
            else "DELETE FROM payments",
        )
        execute(service, "UPDATE users SET stripe_customer_id = NULL")
    with world.serving() as service:
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        paid = service.intent_of(order_id)
    with world.serving(copy) as service:
        assert standing(service) == [paid]
        answer = service.pay(order_id, service.simulator.create_card(GOOD))
        assert_error(answer, 409, "payment_processing", "wait")
    assert world.charges() == {order_id: 1}


def test_a_forgotten_intent_that_stripe_has_canceled_stands_in_nobodys_way(world: World) -> None:
    copy, order_id, intent_id = forget(world, DECLINED_AT_CHARGE)
    with world.serving(copy) as service:
        card = service.simulator.create_card(GOOD)
        assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
        at_stripe(world.simulator, "POST", f"/v1/payment_intents/{intent_id}/cancel")
        service.recover(90)
        assert standing(service) == []
        assert_success(service.pay(order_id, card))
    with world.serving(copy) as service:
        assert standing(service) == []
    assert world.charges() == {order_id: 1}


def test_what_was_recorded_before_the_backup_pays_and_tells_the_truth(world: World) -> None:
    """The forgotten success is on the recorded intent itself: one intent, one charge."""
    with world.serving() as service:
        order_id = service.order()
    copy = world.back_up()
    with world.serving() as service:
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    with world.serving(copy) as service:
        assert standing(service) == []
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        assert service.order_view(order_id)["status"] == "paid"
    assert world.charges() == {order_id: 1}


def test_the_comparison_reads_every_page_and_goes_on_where_it_was_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, order_id, intent_id = forget(world)
    for _ in range(7):
        at_stripe(world.simulator, "POST", "/v1/payment_intents", amount=100, currency="usd")
    monkeypatch.setattr(lists, "PAGE_SIZE", 3)
    world.simulator.add_fault(match={**LIST, "nth": 2}, kind="error_before")
    with world.serving(copy) as service:
        assert not service.context.gate.is_open
        card = service.simulator.create_card(GOOD)
        assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
        assert service.context.gate.is_open
        assert standing(service) == [intent_id]
        assert service.stripe_calls(0).count(LIST_CALL) >= 4
    assert world.charges() == {order_id: 1}


@pytest.mark.parametrize("name", ["namespace", "status"])
def test_what_is_not_ours_or_is_over_refuses_nobody(world: World, name: str) -> None:
    with world.serving() as service:
        order_id = service.order()
        namespace = "f" * 32 if name == "namespace" else service.context.installation.namespace
        metadata = {"order_id": order_id, "payment_id": "pay_x", "namespace": namespace}
        form = {f"metadata[{key}]": value for key, value in metadata.items()}
        made = at_stripe(
            world.simulator, "POST", "/v1/payment_intents", amount=100, currency="usd", **form
        )
        if name == "status":
            at_stripe(world.simulator, "POST", f"/v1/payment_intents/{made['id']}/cancel")
    with world.serving() as service:
        assert standing(service) == []
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


# --- Stripe cannot be asked ----------------------------------------------------------------------


def test_without_stripes_list_older_orders_wait_and_new_ones_are_paid(world: World) -> None:
    copy, order_id, intent_id = forget(world)
    world.simulator.add_fault(match=LIST, kind="error_before")
    with world.serving(copy) as service:
        before = service.last_request()
        card = service.simulator.create_card(GOOD)
        assert_error(service.pay(order_id, card), 503, "stripe_unavailable", "retry")
        canceling = service.merchant("POST", f"/api/orders/{order_id}/cancel")
        assert_error(canceling, 503, "service_unavailable", "retry")
        assert_error(service.confirm(order_id), 409, "payment_processing", "wait")
        told = {"paymentIntentId": intent_id}
        assert_error(service.confirm(order_id, told), 409, "payment_processing", "wait")
        assert_nothing_was_begun(service, before)
        assert service.order_view(order_id)["status"] == "pending"  # reads go on
        new = service.order()
        assert_success(service.pay(new, card))
        world.simulator.clear_faults()
        assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    assert world.charges() == {order_id: 1, new: 1}


def test_an_order_of_the_hosts_own_id_waits_as_well(world: World) -> None:
    """The host sends an order again that the restored database has lost: it was paid."""
    order = {
        "userId": "alice",
        "orderId": "0190a1b2-0000-4000-8000-000000000001",
        "amountMinor": 44_000,
        "currency": "usd",
    }
    with world.serving() as service:
        service.order()
    copy = world.back_up()
    with world.serving() as service:
        assert_success(service.merchant("POST", "/api/orders", order))
        service.run(service.context.background.drain())
        assert_success(service.pay(order["orderId"], service.simulator.create_card(GOOD)))
    world.simulator.add_fault(match=LIST, kind="error_before")
    with world.serving(copy) as service:
        answer = service.merchant("POST", "/api/orders", order)
        assert_error(answer, 503, "service_unavailable", "retry")
        world.simulator.clear_faults()
        before = service.last_request()
        assert_success(service.merchant("POST", "/api/orders", order))
        service.run(service.context.background.drain())
        assert_nothing_was_begun(service, before)
        answer = service.pay(order["orderId"], service.simulator.create_card(GOOD))
        assert_error(answer, 409, "payment_processing", "wait")
    assert world.charges()[order["orderId"]] == 1


def test_an_attempt_that_was_sent_goes_on_without_the_comparison(world: World) -> None:
    """Its intent is recorded: whatever else was forgotten, it charges once."""
    with world.serving() as service:
        order_id, card = service.order(), service.simulator.create_card(GOOD)
        service.simulator.add_fault(match=CONFIRM, kind="drop_response")
        service.simulator.add_fault(match=LOOK, kind="drop_request")
        assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
        service.simulator.clear_faults()
    copy = world.back_up()
    world.simulator.add_fault(match=LIST, kind="error_before")
    with world.serving(copy) as service:
        assert_success(service.pay(order_id, card))
    assert world.charges() == {order_id: 1}


def test_a_server_starts_and_serves_reads_without_stripe(world: World) -> None:
    with world.serving() as service:
        order_id = service.order()
    with world.serving(stripe_api_base=f"http://127.0.0.1:{free_port()}") as service:
        assert service.order_view(order_id)["status"] == "pending"
        answer = service.pay(order_id, world.simulator.create_card(GOOD))
        assert_error(answer, 503, "stripe_unavailable", "retry")


# --- put back under a running server -------------------------------------------------------------


def test_a_database_put_back_under_a_running_server_is_noticed_by_the_next_payment(
    world: World,
) -> None:
    copy, order_id, intent_id = forget(world)
    with world.serving() as service, world.serving() as other:
        for each in (service, other):
            assert each.run(restore.mark(each.context))
        world.put_back(copy)
        card = service.simulator.create_card(GOOD)
        for each in (service, other, service):
            answer = each.pay(order_id, card)
            if answer.status_code != 503:  # the broken connections of a server that was replaced
                assert_error(answer, 409, "payment_processing", "wait")
        assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
        assert standing(service) == [intent_id]
    assert world.charges() == {order_id: 1}


async def set_mark(url: str, known_until: Any) -> None:
    connection = await asyncpg.connect(url)
    sql = "UPDATE paidonce.installation SET intents_known_until = $1"
    await connection.execute(sql, known_until)
    await connection.close()


def test_a_standby_that_was_seconds_behind_is_noticed_by_the_next_payment(
    stripe_simulator: Any,
) -> None:
    """It has the newest mark, and not what was committed after it."""
    server = start_postgres()
    try:
        url = server.url(server.create_database())
        migrations.upgrade(url)
        world = World(url, stripe_simulator, server)
        copy, order_id, intent_id = forget(world)
        with world.serving() as service:
            assert service.run(restore.mark(service.context))
            asyncio.run(set_mark(copy, service.context.gate.known_until))
            world.put_back(copy)
            server._process.send_signal(signal.SIGINT)
            server._process.wait(10)
            server._start()
            card = service.simulator.create_card(GOOD)
            for _ in range(2):
                answer = service.pay(order_id, card)
                assert answer.json()["code"] in ("payment_processing", "service_unavailable")
            assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
            assert standing(service) == [intent_id]
        assert world.charges() == {order_id: 1}
    finally:
        server.stop()


def test_a_database_put_back_under_an_idle_server_is_noticed_by_its_mark(world: World) -> None:
    copy, _, intent_id = forget(world)
    with world.serving() as service:
        assert service.run(restore.mark(service.context))
        world.put_back(copy)
        with contextlib.suppress(Exception):  # the broken connection
            service.run(restore.mark(service.context))
        service.run(restore.mark(service.context)) if service.context.gate.is_open else None
        assert not service.context.gate.is_open
        assert service.run(restore.ensure_compared(service.context, 5))
        assert standing(service) == [intent_id]


@pytest.mark.parametrize("mark", ["as it was", "a later one"])
def test_a_database_put_back_during_the_comparison_is_compared_again(
    world: World, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """What the comparison had listed until then is in the database no more, whichever copy it is:
    the very one that was begun with, or one with a later mark."""
    copy, order_id, intent_id = forget(world)
    for _ in range(4):
        at_stripe(world.simulator, "POST", "/v1/payment_intents", amount=100, currency="usd")
    world.put_back(copy)
    monkeypatch.setattr(lists, "PAGE_SIZE", 5)
    world.simulator.add_fault(match={**LIST, "nth": 2}, kind="error_before")
    with world.serving() as service:
        assert standing(service) == [intent_id] and not service.context.gate.is_open
        world.put_back(copy)
        for _ in range(3):  # while broken connections are found out
            with contextlib.suppress(Exception):
                if mark == "a later one":
                    now = service.clock.now()
                    execute(service, "UPDATE installation SET intents_known_until = $1", now)
                assert standing(service) == []
                break
        for _ in range(2):
            service.run(restore.ensure_compared(service.context, 5))
        assert service.context.gate.is_open
        assert standing(service) == [intent_id]
        card = service.simulator.create_card(GOOD)
        assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")


def test_a_comparison_that_may_have_ended_is_no_sign_of_a_restore(world: World) -> None:
    """The answer of the commit that ended it is lost."""
    lost = iter([True])

    def lose(name: str, moment: str) -> None:
        if (name, moment) == ("commit.compared", "after") and next(lost, False):
            raise UnknownCommit("its answer is lost")

    with world.serving() as service:
        service.context.gate.close(service.clock.now())
        closed_at = service.context.gate.closed_at
        set_step_hook(lose)
        try:
            with contextlib.suppress(UnknownCommit):
                service.run(restore.ensure_compared(service.context, 5))
        finally:
            set_step_hook(None)
        assert not service.context.gate.is_open
        assert service.run(restore.ensure_compared(service.context, 5))
        assert service.context.gate.closed_at == closed_at


def test_a_comparison_whose_place_is_gone_begins_again(world: World) -> None:
    with world.serving() as service:
        service.context.gate.close(service.clock.now())
        service.context.gate.after = "pi_gone"
        assert not service.run(restore.ensure_compared(service.context, 5))
        assert service.run(restore.ensure_compared(service.context, 5))


def test_an_event_about_an_intent_that_has_no_payment_is_a_reason_too(world: World) -> None:
    """However it came that the comparison did not see it."""
    copy, order_id, intent_id = forget(world)
    with world.serving(copy) as service:
        execute(service, "DELETE FROM forgotten_intents")
        url = f"{service.url}/api/webhooks/stripe"
        service.simulator.set_webhook_target(url, WEBHOOK_SECRET)
        at_stripe(world.simulator, "POST", "/v1/refunds", payment_intent=intent_id, amount=1)
        service.simulator.flush_webhooks()
        service.work()
        assert standing(service) == [intent_id]
        answer = service.pay(order_id, service.simulator.create_card(GOOD))
        assert_error(answer, 409, "payment_processing", "wait")


# --- nothing was restored ------------------------------------------------------------------------


def test_an_ordinary_restart_costs_one_list_and_refuses_nobody(world: World) -> None:
    """Whatever was left in the middle: a lost create, an order nobody has paid."""
    create = {"method": "POST", "path": "/v1/payment_intents"}
    with world.serving() as service:
        prepared = service.order()
        service.simulator.add_fault(match=create, kind="drop_response")
        lost = service.order()
        service.simulator.clear_faults()
    before = max(item["seq"] for item in world.simulator.requests(after=0))
    with world.serving() as service:
        assert service.stripe_calls(before) == [LIST_CALL]
        assert standing(service) == []
        for order_id in (prepared, lost):
            assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        assert service.stripe_calls(before).count(LIST_CALL) == 1


def test_the_mark_moves_forward_and_never_back(world: World) -> None:
    def marked(service: Running) -> Any:
        return service.rows("SELECT intents_known_until FROM installation")[0][
            "intents_known_until"
        ]

    with world.serving() as service, world.serving() as ahead:
        first = marked(service)
        assert first is not None
        ahead.clock.added += 3600
        assert ahead.run(restore.mark(ahead.context))
        newest = marked(service)
        assert newest > first
        assert service.run(restore.mark(service.context))
        assert marked(service) == newest


def test_a_process_that_has_not_compared_writes_no_mark(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "MARK_SECONDS", 0.05)
    world.simulator.add_fault(match=LIST, kind="error_before")
    with world.serving() as service:
        ask: Callable[[], Any] = lambda: service.run(  # noqa: E731
            restore.ensure_compared(service.context, 5)
        )
        assert not ask()
        [row] = service.rows("SELECT intents_known_until, created_at FROM installation")
        assert row["intents_known_until"] == row["created_at"]
        assert not service.run(restore.mark(service.context))
        [row] = service.rows("SELECT intents_known_until, created_at FROM installation")
        assert row["intents_known_until"] == row["created_at"]
        world.simulator.clear_faults()
        assert ask()


# --- where the comparison begins -----------------------------------------------------------------


@pytest.mark.parametrize("mark", ["none", "of a clock that was ahead"])
def test_what_happens_after_the_start_does_not_move_where_the_comparison_begins(
    world: World, mark: str
) -> None:
    """A copy without a mark to go by: new orders are paid before anybody could compare, and then
    the processes are started again. What the copy has forgotten lies an hour back."""
    copy, order_id, intent_id = forget(world)
    world.simulator.add_fault(match=LIST, kind="error_before")
    with world.serving(copy) as service:
        far = None if mark == "none" else service.clock.now() + timedelta(days=30)
        execute(service, "UPDATE installation SET intents_known_until = $1", far)
    with world.serving(copy) as service:
        service.clock.added += HOUR
        assert_success(service.pay(service.order(), service.simulator.create_card(GOOD)))
    with world.serving(copy) as service:
        service.clock.added += HOUR
        service.context.gate.close(service.clock.now())
        world.simulator.clear_faults()
        assert service.run(restore.ensure_compared(service.context, 5))
        assert standing(service) == [intent_id]
        answer = service.pay(order_id, service.simulator.create_card(GOOD))
        assert_error(answer, 409, "payment_processing", "wait")
