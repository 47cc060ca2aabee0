"""Intents that were made and that no row holds: the worker finds, adopts or cancels them, and no
others."""

from typing import Any

import pytest

from paidonce.domain.intent import Failure, Intent
from paidonce.gateway import client
from paidonce.payments.pay import prepare
from support.envelope import assert_error, assert_success
from support.events import deliver, list_events
from support.service import GOOD, NEEDS_3DS, Running, StartService

CREATE = {"method": "POST", "path": "/v1/payment_intents"}
CANCEL = {"method": "POST", "path": "/v1/payment_intents/*/cancel"}
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LIST_CALL = ("GET", "/v1/payment_intents")
MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.fixture
def one_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every object of a list costs a request."""
    monkeypatch.setattr(client, "PAGE_SIZE", 1)


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def intents(service: Running) -> dict[str, str]:
    """Every intent at Stripe and its status, oldest first."""
    found = service.stripe("GET", "/v1/payment_intents?limit=100")["data"]
    return {intent["id"]: intent["status"] for intent in reversed(found)}


def pass_time(service: Running, seconds: float) -> None:
    """On our clock and on Stripe's; then the worker has a round."""
    service.simulator.advance_clock(seconds)
    service.recover(seconds)


def payment_of(service: Running, order_id: str) -> dict[str, Any]:
    [row] = service.rows("SELECT * FROM payments WHERE order_id = $1", order_id)
    return row


def plant(service: Running, order_id: str, **changes: str) -> str:
    """Another intent with this order's metadata, as a create under another key makes it."""
    row = payment_of(service, order_id)
    metadata = {
        "order_id": order_id,
        "payment_id": row["id"],
        "user_id": "alice",
        "namespace": service.context.installation.namespace,
        **changes,
    }
    form = {f"metadata[{name}]": value for name, value in metadata.items()}
    made = service.stripe(
        "POST",
        "/v1/payment_intents",
        amount=row["amount_minor"],
        currency=row["currency"],
        customer=row["stripe_customer_id"],
        **form,
    )
    return str(made["id"])


def execute(service: Running, sql: str, *args: Any) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(sql, *args)

    service.run(service.context.db.transaction("test", work))


def sweep_again(service: Running, order_id: str) -> None:
    """As after a create under a further key: the row says that somebody has to look."""
    execute(
        service,
        "UPDATE payments SET next_sweep_at = created_at, intent_key_no = 1 WHERE order_id = $1",
        order_id,
    )


# --- made and never recorded ---------------------------------------------------------------------


@pytest.mark.parametrize("age", [2 * MINUTE, 2 * DAY], ids=["minutes", "days"])
def test_an_intent_that_was_never_recorded_is_adopted_without_anyone(
    service: Running, age: float
) -> None:
    """Its create was executed and the answer was lost; later the order is paid by it."""
    service.simulator.add_fault(match=CREATE, kind="drop_response")
    order_id = service.order()
    service.simulator.clear_faults()
    [made] = intents(service)
    assert service.intent_of(order_id) == "None"
    pass_time(service, age)
    assert service.intent_of(order_id) == made
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert intents(service) == {made: "succeeded"}
    assert service.charges(order_id) == 1


def test_the_stray_of_a_saved_error_is_canceled(service: Running) -> None:
    """The first create was executed, its 500 saved; the second one is the recorded one."""
    service.simulator.add_fault(match={**CREATE, "times": 1}, kind="error_after")
    order_id = service.order()
    stray, recorded = intents(service)
    assert service.intent_of(order_id) == recorded
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    pass_time(service, 2 * MINUTE)
    assert intents(service) == {stray: "canceled", recorded: "succeeded"}
    assert service.charges(order_id) == 1


def test_an_intent_of_an_order_canceled_meanwhile_is_canceled(service: Running) -> None:
    service.simulator.add_fault(match=CREATE, kind="drop_response")
    order_id = service.order()
    service.simulator.clear_faults()
    assert_success(service.merchant("POST", f"/api/orders/{order_id}/cancel"))
    pass_time(service, 2 * MINUTE)
    assert list(intents(service).values()) == ["canceled"]
    assert service.intent_of(order_id) == "None"


def test_a_create_that_was_executed_late_is_found_by_a_later_look(service: Running) -> None:
    service.simulator.add_fault(match=CREATE, kind="drop_request")
    order_id = service.order()
    service.simulator.clear_faults()
    assert_success(service.merchant("POST", f"/api/orders/{order_id}/cancel"))
    pass_time(service, 2 * MINUTE)
    late = plant(service, order_id)
    pass_time(service, 10 * MINUTE)
    assert intents(service) == {late: "canceled"}


# --- losers --------------------------------------------------------------------------------------


def test_a_loser_whose_process_died_is_canceled_by_the_worker(service: Running) -> None:
    order_id = service.order()
    recorded, loser = service.intent_of(order_id), plant(service, order_id)
    sweep_again(service, order_id)
    service.work()
    assert intents(service) == {recorded: "requires_payment_method", loser: "canceled"}
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_the_loser_of_a_compare_and_set_is_canceled_although_the_first_cancel_was_lost(
    service: Running,
) -> None:
    order_id = service.order()
    recorded, loser = service.intent_of(order_id), plant(service, order_id)

    async def lose() -> None:
        intent = await service.context.gateway.retrieve_intent(loser, 5)
        assert isinstance(intent, Intent)
        payment = await prepare.read_payment(service.context, payment_of_order["id"])
        await prepare.save_intent(service.context, payment, intent)
        await service.context.background.drain()

    payment_of_order = payment_of(service, order_id)
    service.simulator.add_fault(match=CANCEL, kind="drop_request")
    service.run(lose())
    service.simulator.clear_faults()
    assert intents(service)[loser] == "requires_payment_method"
    pass_time(service, 2 * MINUTE)
    assert intents(service) == {recorded: "requires_payment_method", loser: "canceled"}


def test_the_event_of_a_loser_that_was_canceled_is_done_and_nothing_is_forgotten(
    service: Running,
) -> None:
    order_id = service.order()
    loser = plant(service, order_id)
    service.stripe("POST", f"/v1/payment_intents/{loser}/cancel")
    for event in list_events(service):
        deliver(service, event)
    service.work()
    [row] = service.rows(
        "SELECT state, note FROM stripe_events WHERE stripe_payment_intent_id = $1"
        " AND type = 'payment_intent.canceled'",
        loser,
    )
    assert row == {"state": "done", "note": "no payment holds the intent, and it was canceled"}
    assert service.rows("SELECT * FROM forgotten_intents") == []


@pytest.mark.parametrize("kind", ["error_before", "error_after", "drop_response", "rate_limit"])
def test_a_stray_whose_cancel_failed_is_canceled_by_a_later_look(
    service: Running, kind: str
) -> None:
    order_id = service.order()
    stray = plant(service, order_id)
    sweep_again(service, order_id)
    service.simulator.add_fault(match=CANCEL, kind=kind)
    service.work()
    service.simulator.clear_faults()
    pass_time(service, 2 * MINUTE)
    assert intents(service)[stray] == "canceled"


# --- what is never touched -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["namespace", "payment_id"])
def test_an_intent_of_another_environment_or_payment_is_left_alone(
    service: Running, name: str
) -> None:
    order_id = service.order()
    other = plant(service, order_id, **{name: "f" * 32})
    sweep_again(service, order_id)
    service.work()
    assert set(intents(service).values()) == {"requires_payment_method"}
    assert other in intents(service)


def test_the_recorded_intent_is_left_alone_whatever_became_of_it(service: Running) -> None:
    fresh, paid = service.order(), service.order()
    assert_success(service.pay(paid, service.simulator.create_card(GOOD)))
    for order_id in (fresh, paid):
        sweep_again(service, order_id)
    service.work()
    assert sorted(intents(service).values()) == ["requires_payment_method", "succeeded"]
    assert_success(service.pay(fresh, service.simulator.create_card(GOOD)))


@pytest.mark.parametrize(
    ("number", "status"), [(GOOD, "succeeded"), (NEEDS_3DS, "requires_action")]
)
def test_a_stray_that_somebody_confirmed_is_left_to_a_person(
    service: Running, number: str, status: str
) -> None:
    order_id = service.order()
    stray = plant(service, order_id)
    form = {"payment_method": service.simulator.create_card(number), "use_stripe_sdk": "true"}
    service.stripe("POST", f"/v1/payment_intents/{stray}/confirm", **form)
    sweep_again(service, order_id)
    service.work()
    assert intents(service)[stray] == status
    [row] = service.rows("SELECT next_sweep_at FROM payments WHERE order_id = $1", order_id)
    assert row["next_sweep_at"] is not None
    assert service.intent_of(order_id) != stray


# --- it is cheap ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_of_a_page")
def test_an_intent_far_down_in_its_customers_list_is_found(service: Running) -> None:
    service.simulator.add_fault(match=CREATE, kind="drop_response")
    order_id = service.order()
    service.simulator.clear_faults()
    customer = payment_of(service, order_id)["stripe_customer_id"]
    [made] = intents(service)
    for _ in range(30):
        service.stripe("POST", CREATE["path"], amount=440, currency="usd", customer=customer)
    pass_time(service, DAY)
    assert payment_of(service, order_id)["stripe_payment_intent_id"] == made


@pytest.mark.usefixtures("one_of_a_page")
def test_a_list_that_is_longer_than_the_time_is_no_answer(service: Running) -> None:
    """Nobody decides by a part of it: what has not been seen may be what is looked for."""
    order_id = service.order()
    payment = service.run(
        prepare.read_payment(service.context, payment_of(service, order_id)["id"])
    )
    customer = payment.stripe_customer_id
    for _ in range(5):
        service.stripe("POST", CREATE["path"], amount=440, currency="usd", customer=customer)
    whole = service.run(prepare.find_intents_of(service.context, payment, 20))
    assert [intent.id for intent in whole] == [payment.stripe_payment_intent_id]
    service.simulator.add_fault(
        match={"method": "GET", "path": CREATE["path"]}, kind="latency", seconds=0.08
    )
    cut = service.run(prepare.find_intents_of(service.context, payment, 0.2))
    assert isinstance(cut, Failure)


def test_where_nothing_can_be_stray_nothing_is_asked(service: Running) -> None:
    order_id = service.order()
    before = service.last_request()
    pass_time(service, 2 * DAY)
    assert set(service.stripe_calls(before)) <= {("GET", "/v1/disputes")}
    sweep_again(service, order_id)
    for _ in range(8):
        pass_time(service, HOUR)
    assert service.stripe_calls(before).count(LIST_CALL) <= 3
    pass_time(service, 9 * DAY)
    [row] = service.rows("SELECT next_sweep_at FROM payments WHERE order_id = $1", order_id)
    assert row["next_sweep_at"] is None


# --- 5xx saved under the keys of the other calls -------------------------------------------------


def test_a_cancel_is_not_stopped_by_its_saved_error(service: Running) -> None:
    order_id = service.order()
    service.simulator.add_fault(match={**CANCEL, "times": 1}, kind="error_after")
    assert_error(
        service.merchant("POST", f"/api/orders/{order_id}/cancel"), 409, "payment_processing"
    )
    service.recover()
    assert service.order_view(order_id)["status"] == "canceled"
    assert list(intents(service).values()) == ["canceled"]


@pytest.mark.parametrize("age", [40, 2 * DAY], ids=["seconds", "days"])
def test_a_saved_error_of_a_confirm_is_resolved_without_anyone(
    service: Running, age: float
) -> None:
    """The process died with it: nobody has looked since."""
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match=CONFIRM, kind="error_after")
    service.simulator.add_fault(
        match={"method": "GET", "path": "/v1/payment_intents/*"}, kind="drop_request"
    )
    assert_error(service.pay(order_id, card), 409, "payment_processing")
    service.simulator.clear_faults()
    pass_time(service, age)
    assert service.order_view(order_id)["status"] == "paid"
    assert service.charges(order_id) == 1
