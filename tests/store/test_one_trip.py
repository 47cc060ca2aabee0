"""The one-statement forms of T1 and P7: in every plain case exactly what the general road does, and
in every other case nothing at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Intent, IntentStatus, Method
from paidonce.domain.model import Paid, PayCommand
from paidonce.domain.states import MethodState, OrderStatus
from paidonce.main.parts import close_context, open_context
from paidonce.payments import notices
from paidonce.payments.context import Context, Job, Role, visitor_for
from paidonce.payments.pay import claim, record
from paidonce.payments.pay.claim import Drive
from paidonce.payments.requests import intent_params
from paidonce.store import attempts, forgotten, methods, orders, payments, users
from paidonce.store.engine import Transaction
from paidonce.store.postgresql import PostgresqlDatabase
from paidonce.store.rows import OrderRow, PaymentRow
from support.service import make_settings

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
TABLES = (
    "users", "orders", "payments", "payment_attempts", "payment_methods", "payment_events",
    "outbox",
)  # fmt: skip
USER_LIMIT, ADDRESS_LIMIT = 3, 6


class StandingClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here waits, {seconds} s")


@pytest.fixture(scope="module")
def shared_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """One database for the module: every test makes a world of its own in it."""
    server = request.getfixturevalue("postgres_server")
    name = server.create_database(request.getfixturevalue("_postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
async def ctx(shared_url: str) -> AsyncIterator[Context]:
    no_stripe = SimpleNamespace(
        secret_key="sk_test_x", publishable_key="pk_test_x", url="http://127.0.0.1:1"
    )
    settings = make_settings(
        shared_url,
        no_stripe,
        declines_per_user_and_hour=USER_LIMIT,
        declines_per_address_and_hour=ADDRESS_LIMIT,
    )
    context = await open_context(settings, StandingClock())
    await context.db.transaction("test", lambda tx: forgotten.know_until(tx, NOW))
    context.gate.open(NOW)
    yield context
    await close_context(context)


@dataclass(frozen=True)
class World:
    """A user with a customer, an attached card and a prepared order."""

    ctx: Context
    name: str
    order_id: str
    payment_id: str

    @property
    def user_id(self) -> str:
        return f"user-{self.name}"

    @property
    def customer_id(self) -> str:
        return f"cus_{self.name}"

    @property
    def method_id(self) -> str:
        return f"pm_{self.name}"

    @property
    def intent_id(self) -> str:
        return f"pi_{self.name}"

    @property
    def db(self) -> PostgresqlDatabase:
        assert isinstance(self.ctx.db, PostgresqlDatabase)
        return self.ctx.db

    def command(self, *, is_saving: bool = False) -> PayCommand:
        return PayCommand(
            user_id=self.user_id,
            order_id=self.order_id,
            payment_method_id=self.method_id,
            save_payment_method=is_saving,
            request_id="the-request",
            client_address=f"address-{self.name}",
        )

    async def execute(self, sql: str) -> None:
        """Change this world; `{order}` and the like stand for its ids."""
        text = sql.format(
            order=self.order_id,
            payment=self.payment_id,
            user=self.user_id,
            customer=self.customer_id,
            method=self.method_id,
            name=self.name,
        )
        await self.db.transaction("test", lambda tx: tx.execute(text))

    async def claim_in_one_trip(self, **changes: Any) -> Job | None:
        command = self.command(is_saving=changes.pop("is_saving", False))
        return await claim._claim_in_one_trip(self.ctx, self.db, replace(command, **changes))

    async def claim_in_general(self, *, is_saving: bool = False) -> claim.Claim:
        command = self.command(is_saving=is_saving)
        visitor = visitor_for(self.ctx, Role.PAYER, command.request_id, command.payment_method_id)
        return await self.db.transaction(
            "test", lambda tx: claim._claim(self.ctx, tx, command, visitor)
        )

    def intent(self, *, charge: str | None = "ch") -> Intent:
        return Intent(
            id=self.intent_id,
            status=IntentStatus.SUCCEEDED,
            amount=44_000,
            currency="usd",
            is_live=False,
            client_secret="",
            customer=self.customer_id,
            payment_method=self.method_id,
            latest_charge=f"{charge}_{self.name}" if charge else None,
        )

    async def dump(self) -> dict[str, list[str]]:
        """Every row of this world, with its own ids replaced by what they are."""
        names = {
            self.order_id: "<order>",
            self.payment_id: "<payment>",
            self.name: "<world>",
        }
        attempts = await fetch(self.db, "SELECT id, n FROM payment_attempts WHERE order_id = $1",
                               self.order_id)  # fmt: skip
        names |= {row["id"]: f"<attempt {row['n']}>" for row in attempts}
        owner = {"users": ("id", self.user_id), "payment_methods": ("user_id", self.user_id)}
        found: dict[str, list[str]] = {}
        for table in TABLES:
            column, value = owner.get(table, ("order_id", self.order_id))
            column = "id" if table == "orders" else column
            rows = await fetch(self.db, f"SELECT * FROM {table} WHERE {column} = $1", value)
            found[table] = sorted(_normal(table, row, names) for row in rows)
        return found


def _normal(table: str, row: dict[str, Any], names: dict[str, str]) -> str:
    if table in ("payment_events", "outbox", "payment_methods"):
        row = {**row, "id": "<new>"}
    if table == "outbox":
        row = {**row, "position": "<next>"}
    if table == "orders":
        row = {**row, "order_number": "<number>"}
    text = json.dumps(row, default=str, sort_keys=True)
    for value, name in names.items():
        text = text.replace(value, name)
    return text


def assert_same(found: dict[str, list[str]], expected: dict[str, list[str]]) -> None:
    """Names the rows that differ."""
    different = {
        table: (sorted(set(rows) - set(expected[table])), sorted(set(expected[table]) - set(rows)))
        for table, rows in found.items()
        if rows != expected[table]
    }
    assert not different, json.dumps(different, indent=1)


async def fetch(db: PostgresqlDatabase, sql: str, *args: Any) -> list[dict[str, Any]]:
    async def work(tx: Transaction) -> list[dict[str, Any]]:
        return [dict(row) for row in await tx.fetch(sql, *args)]

    return await db.read(work)


async def everything(db: PostgresqlDatabase) -> dict[str, list[dict[str, Any]]]:
    return {
        table: await fetch(db, f"SELECT * FROM {table} ORDER BY 1")
        for table in (*TABLES, "stripe_events", "answers", "products")
    }


async def make_world(ctx: Context, *, is_listed: bool = False) -> World:
    name = uuid4().hex
    order_id = str(uuid4())
    order = OrderRow(
        id=order_id, user_id=f"user-{name}", order_number=name, amount_minor=44_000,
        currency="usd", status=OrderStatus.PENDING, amount_refunded_minor=0, items="[]",
        details="{}", metadata="{}", created_at=NOW, paid_at=None,
    )  # fmt: skip
    card = Method(f"pm_{name}", f"cus_{name}", "visa", "4242", 12, 2030, "fp", None)

    async def work(tx: Transaction) -> PaymentRow:
        await users.ensure_user(tx, order.user_id, None, NOW)
        await users.save_customer(tx, order.user_id, 0, f"cus_{name}")
        await orders.insert_order_once(tx, order)
        payment = await claim.insert_payment(ctx, tx, order)
        params = intent_params(ctx, order, payment, f"cus_{name}")
        await payments.note_intent_request(tx, payment.id, f"cus_{name}", params, NOW, NOW)
        await payments.save_intent(tx, payment.id, f"pi_{name}")
        await methods.save_method(
            tx, f"spm_{name}", order.user_id, f"cus_{name}", card, NOW - timedelta(days=1)
        )
        await methods.note_use(tx, card.id, NOW - timedelta(days=1))
        if is_listed:
            await methods.keep_method(tx, order.user_id, card.id, NOW)
        return payment

    payment = await ctx.db.transaction("test", work)
    return World(ctx, name, order_id, payment.id)


ATTEMPT = (
    "INSERT INTO payment_attempts (id, payment_id, order_id, user_id, n, source, state,"
    " requested_method_id, stripe_payment_method_id, is_saving_method, is_single_use,"
    " stripe_version, sends, lease_owner, lease_until, next_check_at, client_address,"
    " created_at, closed_at)"
    " SELECT gen_random_uuid()::text, '{payment}', '{order}', '{user}', n, 'server', 'STATE',"
    " 'pm_other', 'pm_other', FALSE, FALSE, 'v', 1, 'x', TIME, TIME, 'address-{name}', TIME, TIME"
    " FROM generate_series(1, COUNT) AS n"
)


def attempts_in(state: str, count: int = 1, time: datetime = NOW) -> str:
    sql = ATTEMPT.replace("STATE", state).replace("COUNT", str(count))
    return sql.replace("TIME", f"TIMESTAMPTZ '{time.isoformat()}'")


# --- T1 ------------------------------------------------------------------------------------------

FORGOTTEN = (
    "INSERT INTO forgotten_intents (stripe_payment_intent_id, order_id, payment_id, found_at,"
    " next_look_at) VALUES ('{intent}', '{order}', 'pay_x', now(), now())"
)
PLAIN_BEFORE_CLAIM = {
    "nothing tried yet": [],
    "one declined before": [attempts_in("declined")],
    "as many declines as are allowed": [attempts_in("declined", USER_LIMIT - 1)],
    "declines of more than an hour ago": [
        attempts_in("declined", 8, NOW - timedelta(minutes=61)),
    ],
    "closed attempts of all kinds": [
        attempts_in("authentication_failed", 2),
        "UPDATE payment_attempts SET state = 'superseded' WHERE order_id = '{order}' AND n = 2",
    ],
    "an earlier generation": [
        "UPDATE payments SET generation = 2 WHERE id = '{payment}'",
        "INSERT INTO payments (id, order_id, user_id, generation, state, amount_minor, currency,"
        " confirmation_method, method_policy, stripe_version, created_at)"
        " SELECT 'pay_old_{name}', order_id, user_id, 1, 'canceled', amount_minor, currency,"
        " confirmation_method, method_policy, stripe_version, created_at"
        " FROM payments WHERE id = '{payment}'",
    ],
    "a forgotten intent that is adopted": [FORGOTTEN.replace("{intent}", "pi_{name}")],
    "a forgotten intent of another order": [
        FORGOTTEN.replace("{intent}", "pi_y_{name}").replace("'{order}'", "'{name}'")
    ],
}


@pytest.mark.parametrize("is_saving", [False, True])
@pytest.mark.parametrize("name", PLAIN_BEFORE_CLAIM)
async def test_a_plain_claim_is_that_of_the_general_road(
    ctx: Context, name: str, is_saving: bool
) -> None:
    quick, general = await make_world(ctx), await make_world(ctx)
    for world in (quick, general):
        for sql in PLAIN_BEFORE_CLAIM[name]:
            await world.execute(sql)
    job = await quick.claim_in_one_trip(is_saving=is_saving)
    drive = await general.claim_in_general(is_saving=is_saving)
    assert job is not None
    assert isinstance(drive, Drive) and drive.is_sent
    assert job.attempt.sends == drive.job.attempt.sends == 1
    assert_same(await quick.dump(), await general.dump())
    attempt_id = job.attempt.id
    assert job.attempt == await quick.db.read(lambda tx: attempts.get_attempt(tx, attempt_id))
    assert job.order == await quick.db.read(lambda tx: orders.lock_order(tx, quick.order_id))
    assert job.payment == await quick.db.read(lambda tx: payments.get_payment(tx, quick.payment_id))


NOT_PLAIN_BEFORE_CLAIM = {
    "forgotten intent": FORGOTTEN.replace("{intent}", "pi_x_{name}"),
    "order paid": "UPDATE orders SET status = 'paid' WHERE id = '{order}'",
    "order canceling": "UPDATE orders SET status = 'canceling' WHERE id = '{order}'",
    "order canceled": "UPDATE orders SET status = 'canceled' WHERE id = '{order}'",
    "order refunded": "UPDATE orders SET amount_refunded_minor = 44000 WHERE id = '{order}'",
    "payment canceled": "UPDATE payments SET state = 'canceled' WHERE id = '{payment}'",
    "payment authorized": "UPDATE payments SET state = 'authorized' WHERE id = '{payment}'",
    "payment succeeded": "UPDATE payments SET state = 'succeeded' WHERE id = '{payment}'",
    "open attempt": attempts_in("open"),
    "attempt in action": attempts_in("action"),
    "method of another user": "INSERT INTO users (id, created_at) VALUES ('x-{name}', now());"
    " UPDATE payment_methods SET user_id = 'x-{name}' WHERE stripe_payment_method_id = '{method}'",
    "method released": "UPDATE payment_methods SET state = 'released'"
    " WHERE stripe_payment_method_id = '{method}'",
    "method releasing": "UPDATE payment_methods SET state = 'releasing'"
    " WHERE stripe_payment_method_id = '{method}'",
    "method deleted": "UPDATE payment_methods SET state = 'deleted'"
    " WHERE stripe_payment_method_id = '{method}'",
    "method unknown": "DELETE FROM payment_methods WHERE stripe_payment_method_id = '{method}'",
    "method on another customer": "UPDATE payment_methods SET stripe_customer_id = 'cus_x'"
    " WHERE stripe_payment_method_id = '{method}'",
    "intent missing": "UPDATE payments SET stripe_payment_intent_id = NULL WHERE id = '{payment}'",
    "customer changed": "UPDATE users SET stripe_customer_id = 'cus_y_{name}' WHERE id = '{user}'",
    "customer forgotten": "UPDATE users SET stripe_customer_id = NULL WHERE id = '{user}'",
    "single use": "UPDATE payments SET method_policy = 'single_use' WHERE id = '{payment}'",
    "a card that has not paid yet": "UPDATE payment_methods SET first_paid_at = NULL"
    " WHERE stripe_payment_method_id = '{method}'",
    "limit of the user": attempts_in("declined", USER_LIMIT),
    "limit of the user, cards not saved": attempts_in("declined", USER_LIMIT - 1)
    + "; INSERT INTO declined_saves (id, user_id, client_address, created_at)"
    f" VALUES ('s{{name}}', '{{user}}', '', TIMESTAMPTZ '{NOW.isoformat()}')",
    "limit of the address": attempts_in("declined", ADDRESS_LIMIT).replace("'{user}'", "'y'"),
    "limit of the address, cards not saved": attempts_in("declined", ADDRESS_LIMIT - 1).replace(
        "'{user}'", "'y'"
    )
    + "; INSERT INTO declined_saves (id, user_id, client_address, created_at)"
    f" VALUES ('s{{name}}', 'y', 'address-{{name}}', TIMESTAMPTZ '{NOW.isoformat()}')",
}


async def many(world: World, sql: str) -> None:
    for statement in sql.split("; "):
        await world.execute(statement)


@pytest.mark.parametrize("name", NOT_PLAIN_BEFORE_CLAIM)
async def test_any_other_claim_changes_nothing(ctx: Context, name: str) -> None:
    world = await make_world(ctx)
    await many(world, NOT_PLAIN_BEFORE_CLAIM[name])
    before = await everything(world.db)
    assert await world.claim_in_one_trip() is None
    assert await everything(world.db) == before
    if name not in ("single use", "payment succeeded"):
        # There the general road may send at once (a pending order never has a succeeded payment);
        # everywhere else it has something to do first, or refuses.
        general = await world.claim_in_general()
        assert not (isinstance(general, Drive) and general.is_sent)


async def test_a_database_that_was_put_back_is_seen_by_both_roads(ctx: Context) -> None:
    world = await make_world(ctx)
    await world.execute(f"UPDATE orders SET created_at = '{NOW - timedelta(days=1)}'")
    before = await everything(world.db)
    ctx.gate.open(NOW + timedelta(seconds=1))
    assert await world.claim_in_one_trip() is None
    assert ctx.gate.is_open
    assert await world.claim_in_general() == claim.Uncompared()
    assert not ctx.gate.is_open
    assert await everything(world.db) == before


async def test_a_claim_of_what_is_somebody_elses_changes_nothing(ctx: Context) -> None:
    world, other = await make_world(ctx), await make_world(ctx)
    before = await everything(world.db)
    assert await world.claim_in_one_trip(user_id=other.user_id) is None
    assert await world.claim_in_one_trip(payment_method_id=other.method_id) is None
    assert await world.claim_in_one_trip(order_id=str(uuid4())) is None
    assert await world.claim_in_one_trip(payment_method_id=f"spm_{world.name}") is None
    assert await everything(world.db) == before
    assert await world.claim_in_one_trip() is not None


async def test_claims_at_the_same_time_make_one_attempt(ctx: Context) -> None:
    world = await make_world(ctx)
    jobs = await asyncio.gather(*(world.claim_in_one_trip() for _ in range(8)))
    assert len([job for job in jobs if job is not None]) == 1
    dump = await world.dump()
    assert len(dump["payment_attempts"]) == 1
    assert sum("attempt.sent" in row for row in dump["payment_events"]) == 1


async def test_both_roads_at_the_same_time_make_one_attempt(ctx: Context) -> None:
    for _ in range(5):
        world = await make_world(ctx)
        await asyncio.gather(
            world.claim_in_one_trip(),
            world.claim_in_general(),
            world.claim_in_one_trip(),
            world.claim_in_general(),
        )
        assert len((await world.dump())["payment_attempts"]) == 1


async def test_a_claim_beside_a_cancelation_waits_for_it(ctx: Context) -> None:
    """The order is locked by somebody who cancels it: the claim sees what became of it."""
    world = await make_world(ctx)
    has_lock, may_commit = asyncio.Event(), asyncio.Event()

    async def cancel(tx: Transaction) -> None:
        await orders.lock_order(tx, world.order_id)
        await orders.set_order_status(
            tx, world.order_id, OrderStatus.PENDING, OrderStatus.CANCELING, None
        )
        has_lock.set()
        await may_commit.wait()

    canceling = asyncio.create_task(world.db.transaction("test", cancel))
    await has_lock.wait()
    claiming = asyncio.create_task(world.claim_in_one_trip())
    await asyncio.sleep(0.1)
    assert not claiming.done()
    may_commit.set()
    await canceling
    assert await claiming is None
    assert (await world.dump())["payment_attempts"] == []


async def deleting(
    world: World, has_lock: asyncio.Event, may_commit: asyncio.Event, method_id: str | None = None
) -> Any:
    """What `delete_method` and the idle release do to a method, stopped before their commit."""

    async def work(tx: Transaction) -> Any:
        method = await methods.get_method(tx, method_id or world.method_id)
        assert method is not None
        await users.lock_user(tx, world.user_id)
        found = await methods.begin_deleting(tx, world.user_id, method, NOW, NOW)
        has_lock.set()
        await may_commit.wait()
        return found

    return await world.db.transaction("test", work)


async def releasing(world: World, has_lock: asyncio.Event, may_commit: asyncio.Event) -> Any:
    async def work(tx: Transaction) -> Any:
        await methods.begin_releasing_idle(tx, NOW, NOW, 1000)
        has_lock.set()
        await may_commit.wait()
        return (await methods.get_method(tx, world.method_id)).state is MethodState.RELEASING

    return await world.db.transaction("test", work)


@pytest.mark.parametrize("end", [deleting, releasing])
@pytest.mark.parametrize("road", ["quick", "general"])
async def test_a_claim_beside_the_end_of_its_card_waits_and_does_not_use_it(
    ctx: Context, end: Any, road: str
) -> None:
    world = await make_world(ctx)
    has_lock, may_commit = asyncio.Event(), asyncio.Event()
    ending = asyncio.create_task(end(world, has_lock, may_commit))
    await has_lock.wait()
    claiming: asyncio.Task[Any] = asyncio.create_task(
        world.claim_in_one_trip() if road == "quick" else world.claim_in_general()
    )
    await asyncio.sleep(0.1)
    assert not claiming.done()
    may_commit.set()
    assert await ending
    claimed = await claiming
    assert claimed is None or isinstance(claimed, ServiceError)
    assert (await world.dump())["payment_attempts"] == []


@pytest.mark.parametrize("road", ["quick", "general"])
async def test_a_claim_of_another_entry_beside_a_deletion_of_the_card_waits_too(
    ctx: Context, road: str
) -> None:
    """The card is listed by another PaymentMethod of it; deleting takes them all."""
    world = await make_world(ctx)
    entry = f"pm_listed_{world.name}"
    await many(
        world,
        "UPDATE payment_methods SET fingerprint = 'f-{name}', is_listed = FALSE"
        " WHERE stripe_payment_method_id = '{method}'; "
        "INSERT INTO payment_methods (id, user_id, stripe_payment_method_id, stripe_customer_id,"
        " state, is_listed, fingerprint, exp_year, exp_month, created_at, last_used_at)"
        f" SELECT 'spm_listed_{{name}}', user_id, '{entry}', stripe_customer_id, 'attached', TRUE,"
        " fingerprint, exp_year, exp_month, created_at, last_used_at FROM payment_methods"
        " WHERE stripe_payment_method_id = '{method}'",
    )
    has_lock, may_commit = asyncio.Event(), asyncio.Event()
    ending = asyncio.create_task(deleting(world, has_lock, may_commit, entry))
    await has_lock.wait()
    claiming: asyncio.Task[Any] = asyncio.create_task(
        world.claim_in_one_trip() if road == "quick" else world.claim_in_general()
    )
    await asyncio.sleep(0.1)
    assert not claiming.done()
    may_commit.set()
    assert len(await ending) == 2
    claimed = await claiming
    assert claimed is None or isinstance(claimed, ServiceError)


@pytest.mark.parametrize("road", ["quick", "general"])
async def test_the_end_of_a_card_beside_a_claim_sees_the_attempt(ctx: Context, road: str) -> None:
    """The claim has locked the method and not committed: a deletion waits, a release goes by."""
    world = await make_world(ctx)
    has_claimed, may_commit = asyncio.Event(), asyncio.Event()
    sql, args = "", ()
    if road == "quick":
        sql, args = await statement_of_the_claim(world)

    async def claim_slowly(tx: Transaction) -> None:
        if road == "quick":
            assert await tx.fetch_one(sql, *args) is not None
        else:
            command = world.command()
            visitor = visitor_for(ctx, Role.PAYER, command.request_id, command.payment_method_id)
            assert isinstance(await claim._claim(ctx, tx, command, visitor), Drive)
        has_claimed.set()
        await may_commit.wait()

    claiming = asyncio.create_task(world.db.transaction("test", claim_slowly))
    await has_claimed.wait()
    free = asyncio.Event()
    free.set()
    await releasing(world, asyncio.Event(), free)
    deletion = asyncio.create_task(deleting(world, asyncio.Event(), free))
    await asyncio.sleep(0.1)
    assert not deletion.done()
    may_commit.set()
    await claiming
    assert await deletion is None
    await releasing(world, asyncio.Event(), free)
    (method,) = (await world.dump())["payment_methods"]
    assert '"state": "attached"' in method


async def statement_of_the_claim(world: World) -> tuple[str, tuple[Any, ...]]:
    """The one statement and its parameters, to be run inside a transaction."""
    caught: list[tuple[str, tuple[Any, ...]]] = []

    class Catching:
        users = world.db.users

        async def statement(self, _name: str, sql: str, *args: Any) -> None:
            caught.append((sql, args))

    catching: Any = Catching()
    assert await claim._claim_in_one_trip(world.ctx, catching, world.command()) is None
    return caught[0]


async def test_payments_with_one_card_do_not_wait_for_each_other(ctx: Context) -> None:
    """The claim's lock on the method lets other claims, and the note of a use, go by."""
    world = await make_world(ctx)
    sql, args = await statement_of_the_claim(world)
    has_claimed, may_commit = asyncio.Event(), asyncio.Event()

    async def claim_slowly(tx: Transaction) -> None:
        assert await tx.fetch_one(sql, *args) is not None
        has_claimed.set()
        await may_commit.wait()

    claiming = asyncio.create_task(world.db.transaction("test", claim_slowly))
    await has_claimed.wait()

    async def use(tx: Transaction) -> None:
        assert await methods.get_method_to_pay(tx, world.method_id) is not None
        await methods.note_use(tx, world.method_id, NOW)

    await asyncio.wait_for(world.db.transaction("test", use), 2)
    may_commit.set()
    await claiming


# --- P7 ------------------------------------------------------------------------------------------

PLAIN_BEFORE_PAID = {
    "open": [],
    "in action": [
        "UPDATE payment_attempts SET state = 'action', action_at = now() WHERE order_id = '{order}'"
    ],
    "released meanwhile": [
        "UPDATE payment_methods SET state = 'released' WHERE stripe_payment_method_id = '{method}'"
    ],
    "noticed before": [
        "INSERT INTO outbox (id, order_id, kind, payload, created_at)"
        " VALUES ('out_{name}', '{order}', 'order.paid', '{{}}', now())"
    ],
}


async def claimed(ctx: Context, *, is_saving: bool = False, is_listed: bool = False) -> Any:
    world = await make_world(ctx, is_listed=is_listed)
    job = await world.claim_in_one_trip(is_saving=is_saving)
    assert job is not None
    return world, job


async def record_in_one_trip(world: World, job: Job, intent: Intent) -> Paid | None:
    return await record._record_in_one_trip(world.ctx, world.db, job.payment, job.attempt, intent)


async def record_in_general(world: World, job: Job, intent: Intent) -> Any:
    return await world.db.transaction(
        "test",
        lambda tx: record._record_success(world.ctx, tx, job.payment.id, job.attempt.id, intent),
    )


@pytest.mark.parametrize("name", PLAIN_BEFORE_PAID)
@pytest.mark.parametrize(("is_saving", "is_listed"), [(False, False), (True, True), (False, True)])
@pytest.mark.parametrize("charge", ["ch", None])
async def test_a_plain_success_is_recorded_as_on_the_general_road(
    ctx: Context, name: str, is_saving: bool, is_listed: bool, charge: str | None
) -> None:
    both = [await claimed(ctx, is_saving=is_saving, is_listed=is_listed) for _ in range(2)]
    for world, _ in both:
        for sql in PLAIN_BEFORE_PAID[name]:
            await world.execute(sql.replace("now()", f"TIMESTAMPTZ '{NOW.isoformat()}'"))
    (quick, quick_job), (general, general_job) = both
    paid = await record_in_one_trip(quick, quick_job, quick.intent(charge=charge))
    expected = await record_in_general(general, general_job, general.intent(charge=charge))
    assert paid == Paid(quick.payment_id, quick.order_id, 44_000, "usd")
    assert expected == Paid(general.payment_id, general.order_id, 44_000, "usd")
    found = await quick.dump()
    assert_same(found, await general.dump())
    assert len(found["outbox"]) == 1 and '"status": "paid"' in found["orders"][0]


async def test_an_event_that_was_written_before_is_also_sent_before(ctx: Context) -> None:
    """The one statement begins before another holder of the order's lock has written, and takes its
    number after it."""
    world, job = await claimed(ctx)
    holds_lock, may_commit = asyncio.Event(), asyncio.Event()

    async def ask(tx: Transaction) -> None:
        await orders.lock_order(tx, world.order_id)
        holds_lock.set()
        await may_commit.wait()
        await notices.payment_action_required(ctx, tx, job.attempt)

    asking = asyncio.create_task(world.db.transaction("test", ask))
    await holds_lock.wait()
    paying = asyncio.create_task(record_in_one_trip(world, job, world.intent()))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    while not await fetch(world.db, waiting, "%WITH standing%"):
        await asyncio.sleep(0.01)
    may_commit.set()
    await asking
    assert isinstance(await paying, Paid)
    rows = await fetch(
        world.db,
        "SELECT kind, position FROM outbox WHERE order_id = $1 ORDER BY position",
        world.order_id,
    )
    assert [row["kind"] for row in rows] == ["payment.action_required", "order.paid"]
    assert rows[0]["position"] < rows[1]["position"]


NOT_PLAIN_BEFORE_PAID = {
    "order paid": "UPDATE orders SET status = 'paid' WHERE id = '{order}'",
    "order canceling": "UPDATE orders SET status = 'canceling' WHERE id = '{order}'",
    "order canceled": "UPDATE orders SET status = 'canceled' WHERE id = '{order}'",
    "payment canceled": "UPDATE payments SET state = 'canceled' WHERE id = '{payment}'",
    "payment authorized": "UPDATE payments SET state = 'authorized' WHERE id = '{payment}'",
    "payment succeeded": "UPDATE payments SET state = 'succeeded' WHERE id = '{payment}'",
    "payment surplus": "UPDATE payments SET state = 'surplus' WHERE id = '{payment}'",
    **{
        f"attempt {state}": f"UPDATE payment_attempts SET state = '{state}'"
        " WHERE order_id = '{order}'"
        for state in ("succeeded", "declined", "abandoned", "superseded", "refused")
    },
}


@pytest.mark.parametrize("name", NOT_PLAIN_BEFORE_PAID)
async def test_any_other_success_is_left_to_the_general_road(ctx: Context, name: str) -> None:
    world, job = await claimed(ctx)
    await world.execute(NOT_PLAIN_BEFORE_PAID[name])
    before = await everything(world.db)
    assert await record_in_one_trip(world, job, world.intent()) is None
    assert await everything(world.db) == before
    verdict = await record_in_general(world, job, world.intent())
    assert isinstance(verdict, Paid | ServiceError)
    (payment,) = await fetch(world.db, "SELECT state FROM payments WHERE id = $1", world.payment_id)
    assert payment["state"] in ("succeeded", "surplus"), "money is never forgotten"


async def test_a_card_to_be_listed_for_the_first_time_is_left_to_the_general_road(
    ctx: Context,
) -> None:
    """Whether the same card is listed already needs the user's lock, and a look after it."""
    world, job = await claimed(ctx, is_saving=True)
    before = await everything(world.db)
    assert await record_in_one_trip(world, job, world.intent()) is None
    assert await everything(world.db) == before
    assert isinstance(await record_in_general(world, job, world.intent()), Paid)
    (method,) = (await world.dump())["payment_methods"]
    assert '"is_listed": true' in method and '"is_default": true' in method


async def test_a_single_use_with_the_wish_to_keep_the_card_stays_on_the_quick_road(
    ctx: Context,
) -> None:
    both = [await claimed(ctx, is_saving=True) for _ in range(2)]
    for world, _ in both:
        await world.execute(
            "UPDATE payment_attempts SET is_single_use = TRUE WHERE order_id = '{order}'"
        )
    (quick, quick_job), (general, general_job) = both
    assert isinstance(await record_in_one_trip(quick, quick_job, quick.intent()), Paid)
    assert isinstance(await record_in_general(general, general_job, general.intent()), Paid)
    found = await quick.dump()
    assert_same(found, await general.dump())
    assert '"is_listed": false' in found["payment_methods"][0]


async def test_a_success_of_another_payments_attempt_changes_nothing(ctx: Context) -> None:
    (world, job), (other, other_job) = await claimed(ctx), await claimed(ctx)
    before = await everything(world.db)
    mixed = replace(job, attempt=other_job.attempt)
    assert await record_in_one_trip(world, mixed, world.intent()) is None
    mixed = replace(job, payment=replace(job.payment, order_id=other.order_id))
    assert await record_in_one_trip(world, mixed, world.intent()) is None
    assert await everything(world.db) == before


async def test_a_success_is_recorded_once_however_often_it_is_told(ctx: Context) -> None:
    world, job = await claimed(ctx)
    found = await asyncio.gather(
        *(record_in_one_trip(world, job, world.intent()) for _ in range(5)),
        *(record_in_general(world, job, world.intent()) for _ in range(3)),
    )
    assert all(isinstance(each, Paid) for each in found[5:])
    dump = await world.dump()
    assert len(dump["outbox"]) == 1
    assert sum("payment.succeeded" in row for row in dump["payment_events"]) == 1
    assert '"state": "succeeded"' in dump["payment_attempts"][0]
