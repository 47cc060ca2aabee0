"""`paidonce reconcile --dismiss`: a person decides what adoption refuses."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from paidonce.cli import app
from paidonce.observability import configure_logging
from paidonce.payments import restore
from support.envelope import assert_error, assert_success
from support.environment import environment
from support.events import deliver, inbox, list_events
from support.planting import Shop, forgotten_charge, forgotten_intent
from support.service import running_service


@pytest.fixture
def shop(database_url: str, stripe_simulator: Any) -> Iterator[Shop]:
    with running_service(database_url, stripe_simulator) as service:
        yield Shop(service)
    stripe_simulator.reset()  # two charges of one order, as the person wanted it


def disagree(shop: Shop) -> tuple[str, str]:
    """A charge that adoption refuses, listed as forgotten; the order and the intent."""
    planted = forgotten_charge(shop)
    shop.sql("UPDATE orders SET amount_minor = 45000 WHERE id = $1", planted.order_id)
    shop.pass_time()
    notice(shop, planted.stripe_id)
    assert not shop.reconcile(fix=True).only().is_fixed
    return planted.order_id, planted.stripe_id


def notice(shop: Shop, intent_id: str) -> None:
    context = shop.service.context
    intent = shop.service.run(context.gateway.retrieve_intent(intent_id, 5))
    assert shop.service.run(restore.note_unknown(context, [intent])) == 1


def dismiss(shop: Shop, *options: str) -> tuple[int, str]:
    """The command as an operator types it: its exit code and what it said."""
    settings = shop.service.settings
    env = environment(settings.database_url, shop.service.simulator.url)
    try:
        result = CliRunner().invoke(app, ["reconcile", *options], env=env)
    finally:
        configure_logging(level="WARNING")  # as the tests have it
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def standing(shop: Shop) -> float:
    """As the gauge says it."""
    assert shop.service.run(restore.mark(shop.service.context))
    text = requests.get(f"{shop.service.url}/metrics", timeout=10).text
    [line] = [each for each in text.splitlines() if each.startswith("paidonce_forgotten_intents ")]
    return float(line.split()[1])


def test_a_charge_that_adoption_refuses_is_dismissed_by_a_person(shop: Shop) -> None:
    order_id, intent_id = disagree(shop)
    card = shop.card()
    assert_error(shop.service.pay(order_id, card), 409, "payment_processing", "wait")
    assert standing(shop) == 1

    code, said = dismiss(shop, "--dismiss", intent_id)
    assert code == 1 and "nothing was done" in said
    assert "has charged 44000 usd, and 0 of it was given back" in said
    assert f"order {order_id} is pending" in said and "charged a second time" in said
    assert standing(shop) == 1

    code, said = dismiss(shop, "--dismiss", intent_id, "--yes")
    assert code == 0 and "Dismissed" in said
    assert standing(shop) == 0
    assert "intent.dismissed" in shop.events(order_id)
    result = shop.reconcile()
    assert (result.findings, result.counts.dismissed) == ([], 1)
    assert_success(shop.service.pay(order_id, card))
    code, said = dismiss(shop, "--dismiss", intent_id, "--yes")
    assert code == 2 and "refuses no order" in said


def test_a_second_charge_is_told_although_the_first_was_dismissed(shop: Shop) -> None:
    order_id, intent_id = disagree(shop)
    assert dismiss(shop, "--dismiss", intent_id, "--yes")[0] == 0
    assert_success(shop.service.pay(order_id, shop.card()))
    shop.pass_time()
    assert (shop.reconcile().only().kind, shop.service.charges(order_id)) == ("second_charge", 2)


def test_once_it_was_given_back_nothing_is_said_of_a_second_charge(shop: Shop) -> None:
    order_id, intent_id = disagree(shop)
    shop.stripe("POST", "/v1/refunds", payment_intent=intent_id)
    code, said = dismiss(shop, "--dismiss", intent_id, "--yes")
    assert code == 0 and "and 44000 of it was given back" in said and "second" not in said
    assert_success(shop.service.pay(order_id, shop.card()))
    shop.pass_time()
    assert shop.reconcile().findings == []


def test_a_dismissed_intent_is_listed_by_nobody_again(shop: Shop) -> None:
    """Neither by the next comparison nor by an event, which is done with."""
    _, intent_id = disagree(shop)
    assert dismiss(shop, "--dismiss", intent_id, "--yes")[0] == 0
    gate = shop.service.context.gate
    gate.close(shop.service.clock.now())
    assert shop.service.run(restore.ensure_compared(shop.service.context, 5))
    for event in list_events(shop.service):
        if event["type"] == "payment_intent.succeeded":
            deliver(shop.service, event)
    shop.service.work()
    assert [event["state"] for event in inbox(shop.service)] == ["done"]
    assert standing(shop) == 0


def test_what_can_still_charge_is_not_dismissed(shop: Shop) -> None:
    planted = forgotten_intent(shop)
    shop.pass_time()
    notice(shop, planted.stripe_id)
    code, said = dismiss(shop, "--dismiss", planted.stripe_id, "--yes")
    assert code == 2 and "Cancel it in Stripe's dashboard" in said
    assert standing(shop) == 1


def test_a_charge_whose_order_is_in_no_books_can_be_dismissed(shop: Shop) -> None:
    intent_id = shop.make_intent("of-another-backup")
    shop.pass_time()
    notice(shop, intent_id)
    code, said = dismiss(shop, "--dismiss", intent_id, "--yes")
    assert code == 0 and "not in our books" in said
    assert standing(shop) == 0 and shop.reconcile().findings == []


@pytest.mark.parametrize(
    "options", [("--dismiss", "pi_1", "--fix"), ("--dismiss", "pi_1", "--order", "o"), ("--yes",)]
)
def test_dismissing_goes_with_nothing_else(options: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["reconcile", *options]).exit_code == 2
