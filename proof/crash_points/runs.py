"""One run: a flow, the points where its processes die, and what comes after. And the workers."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paidonce.observability import configure_logging
from proof.auditor import judge, read_stripe
from proof.crash_points import checks
from proof.crash_points.flows import FLOWS, Flow
from proof.crash_points.life import Point
from proof.crash_points.service import Broken, Left
from proof.crash_points.shop import Shop
from proof.crash_points.stage import PostgresqlStore, SqliteStore, Stage, Store

COMING_BACK = ("asks", "switches")
"""After a death: whoever asked asks again, or the payer comes back with another card."""
STAYING_AWAY = ("leaves", "hears")
"""Nobody comes back, and only the worker has its rounds, or Stripe's events arrive before any lease
is over."""
AFTER = (*COMING_BACK, *STAYING_AWAY)
ROUNDS = (40.0, 1000.0, 100.0)
"""Seconds between the worker's rounds: leases end, pauses end, the window of 15 minutes ends."""
PUT_OFF = 4000.0
"""Seconds after which everything is due that a worker took in the rounds and died with: an intent
that the sweep has taken is due again after three times its age."""
NOTHING_IN_FLIGHT = 4000.0
"""Seconds after which an operator's comparison leaves nothing to recovery any more."""


@dataclass(frozen=True)
class Case:
    """What to run."""

    database: str
    flow: str
    plan: tuple[Point, ...] = ()
    after: str = "asks"

    def __str__(self) -> str:
        points = ",".join(map(str, self.plan))
        return f"{self.flow}:{points}:{self.after}" if points else self.flow

    @property
    def command(self) -> str:
        return f"python -m proof.crash_points --databases {self.database} --only '{self}'"


@dataclass
class Result:
    """What it showed. `steps`: of the clean run, or of the process that came after the death."""

    case: Case
    findings: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    seconds: float = 0.0
    is_broken: bool = False


def run(stage: Stage, case: Case) -> Result:
    """Everything from an empty shop to the verdict."""
    started = time.monotonic()
    result = Result(case)
    flow = FLOWS[case.flow]
    stage.make_new()
    if flow.is_start:
        stage.store.forget_installation()
    shop = Shop(
        stage,
        flow.settings,
        case.plan,
        comes_back=case.after in COMING_BACK,
        is_switching=case.after == "switches",
        checks_first=flow.is_start,
    )
    try:
        _play(shop, flow, case)
        if not case.plan:
            result.steps = shop.steps()
            if not result.steps:
                raise Broken("no step was passed")
        if case.after == "hears" or flow.needs_events:
            shop.hear()
        _let_recovery_work(shop, flow.operator)
        if flow.needs_events:  # also of what recovery itself has made
            shop.hear()
            for _ in range(2):  # who died in the first has its events again in the second
                shop.work(ROUNDS[0])
        result.findings += _verdict(shop, flow)
        if len(shop.deaths) < len(case.plan):
            raise Broken(f"{case.plan[len(shop.deaths)]} was never reached")
        if case.plan:
            result.steps = shop.steps()
    except Exception as error:
        result.findings.append(f"the run is broken: {type(error).__name__}: {error}")
        result.is_broken = True
    finally:
        shop.end()
    result.answers = shop.answers
    result.seconds = time.monotonic() - started
    return result


def _play(shop: Shop, flow: Flow, case: Case) -> None:
    try:
        flow.run(shop)
        shop.drain()
        if case.plan and not shop.deaths:
            raise Broken(f"{case.plan[0]} was never reached")
    except Left:
        shop.comes_back = True  # the supervisor does
        shop.has_come_back = False
        shop.start()


def _let_recovery_work(shop: Shop, command: str) -> None:
    deaths = len(shop.deaths)
    for seconds in (*ROUNDS, *shop.rounds_of_telling):
        shop.work(seconds)
    if len(shop.deaths) > deaths:  # what a dead worker had in its hands is put off
        for seconds in (PUT_OFF, ROUNDS[0]):
            shop.work(seconds)
    if command:
        shop.pass_time(NOTHING_IN_FLIGHT)
        shop.operate(command)
        shop.work(ROUNDS[0])


def _verdict(shop: Shop, flow: Flow) -> Iterator[str]:
    """Settled: the auditor's findings and ours. Then whatever is still to be paid is paid."""
    for order_id, _ in shop.orders:
        shop.look(order_id)
    statuses = yield from _judge(shop, is_swept=True)
    ends = {flow.ends, "paid"} if shop.has_switched else {flow.ends}
    if shop.has_come_back and flow.ends is not None and not ends & set(statuses[-1:]):
        yield f"the flow ended in {statuses}, not in {flow.ends}"
    unpaid = [
        order_id
        for (order_id, _), status in zip(shop.orders, statuses, strict=True)
        if status == "pending"
    ]
    if not unpaid:
        return
    shop.has_come_back, shop.is_switching = True, False
    for order_id in unpaid:
        answer = shop.pay(order_id, shop.card(user=shop.owner(order_id)))
        if answer.status == 429:  # too many declines before: when their hour is over
            shop.pass_time(float(answer.body["retryAfter"]) + 1)
            answer = shop.pay(order_id, shop.card(user=shop.owner(order_id)))
        if answer.status != 200 or answer.body["status"] != "success":
            yield f"blocked: order {order_id} cannot be paid any more: {answer}"
        for seconds in (ROUNDS[0], *shop.rounds_of_telling):
            shop.work(seconds)
        shop.look(order_id)
    yield from _judge(shop, is_swept=False)


def _judge(shop: Shop, *, is_swept: bool) -> Generator[str, None, list[str]]:
    """Findings; returns the orders' statuses in our books."""
    stripe = read_stripe(shop.stage.simulator.get)
    books = shop.stage.store.read()
    yield from map(str, judge(stripe, books, shop.expected_orders(), shop.asked, is_settled=True))
    yield from checks.findings(shop, stripe, books)
    if is_swept:
        yield from checks.strays(stripe, books)
    rows = [books.order(order_id) for order_id, _ in shop.orders]
    return [row["status"] if row else "lost" for row in rows]


# --- the workers ---------------------------------------------------------------------------------

_stages: dict[str, Stage] = {}


@dataclass(frozen=True)
class Place:
    """What a worker is given: a folder, a simulator and the second at which its clock stands, and
    an empty PostgreSQL database or none."""

    folder: Path
    simulator_url: str
    stands_at: int
    postgresql_url: str | None


def open_stages(places: Any, databases: list[str]) -> None:
    """Called once in every worker process, which takes a place from the queue `places`."""
    place: Place = places.get()
    configure_logging(level="WARNING")
    for database in databases:
        folder = place.folder / database
        folder.mkdir()
        store: Store
        if database == "sqlite":
            store = SqliteStore(folder)
        else:
            assert place.postgresql_url is not None
            store = PostgresqlStore(place.postgresql_url)
        _stages[database] = Stage(store, place.simulator_url, place.stands_at, folder)


def run_in_worker(case: Case) -> Result:
    return run(_stages[case.database], case)
