"""The SQL of saved methods, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from paidonce.domain.intent import Method
from paidonce.store import listings, methods, trials, users
from paidonce.store.engine import Database, Transaction
from paidonce.store.rows import MethodRow

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def entry(n: int, *, fingerprint: str | None = "fp", year: int = 2030, month: int = 12) -> Method:
    return Method(f"pm_{n}", "cus", "visa", "4242", month, year, fingerprint, None)


async def attach(tx: Transaction, method: Method, n: int = 0, user_id: str = "alice") -> None:
    await users.ensure_user(tx, user_id, None, NOW)
    at = NOW + timedelta(seconds=n)
    await methods.save_method(tx, f"spm_{method.id}", user_id, "cus", method, at)


async def keep(tx: Transaction, method_id: str, at: datetime = NOW) -> MethodRow | None:
    await users.lock_user(tx, "alice")
    return await methods.keep_method(tx, "alice", method_id, at)


async def get(tx: Transaction, method_id: str) -> MethodRow:
    found = await methods.get_method(tx, method_id)
    assert found is not None
    return found


async def listed(db: Database, at: datetime = NOW) -> list[str]:
    rows = await db.read(lambda tx: listings.list_methods(tx, "alice", 100, None, at))
    return [str(row["stripe_payment_method_id"]) for row in rows]


async def test_a_second_entry_of_a_card_is_not_listed(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        for n in range(3):
            await attach(tx, entry(n), n)
        for n in (1, 0, 2, 1):
            kept = await keep(tx, f"pm_{n}")
            assert kept is not None and kept.stripe_payment_method_id == "pm_1"

    await db.transaction("test", work)
    assert await listed(db) == ["pm_1"]


async def test_cards_without_a_fingerprint_are_never_the_same(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        for n in range(2):
            await attach(tx, entry(n, fingerprint=None), n)
            await keep(tx, f"pm_{n}")

    await db.transaction("test", work)
    assert await listed(db) == ["pm_1", "pm_0"]


@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
async def test_each_expiry_that_is_not_over_is_listed_once_in_any_order(
    db: Database, order: tuple[int, ...]
) -> None:
    expiries = {0: (2026, 11), 1: (2031, 1), 2: (2031, 1), 3: (2026, 10)}

    async def work(tx: Transaction) -> None:
        for n, (year, month) in expiries.items():
            await attach(tx, entry(n, year=year, month=month), n)
        for n in order:
            await keep(tx, f"pm_{n}")
        first = next(n for n in order if n in (1, 2))
        rows = [await get(tx, f"pm_{n}") for n in range(4)]
        assert [n for n, row in enumerate(rows) if row.is_listed] == sorted({0, first})
        assert [n for n, row in enumerate(rows) if row.is_default] == [
            next(n for n in order if n != 3)
        ]

    await db.transaction("test", work)


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (datetime(2030, 12, 31, 23, 59, tzinfo=UTC), ["pm_2", "pm_1", "pm_0"]),
        (datetime(2031, 1, 1, tzinfo=UTC), ["pm_2", "pm_0", "pm_1"]),
    ],
)
async def test_a_card_is_good_to_the_end_of_its_month(
    db: Database, at: datetime, wanted: list[str]
) -> None:
    async def work(tx: Transaction) -> None:
        for n, year in ((0, 2040), (1, 2030), (2, 2035)):
            await attach(tx, entry(n, fingerprint=str(n), year=year, month=12), n)
            await keep(tx, f"pm_{n}")

    await db.transaction("test", work)
    assert await listed(db, at) == wanted


async def test_entries_kept_at_the_same_time_are_listed_once(db: Database) -> None:
    async def prepare(tx: Transaction) -> None:
        for n in range(6):
            await attach(tx, entry(n), n)

    await db.transaction("test", prepare)
    found = await asyncio.gather(
        *(db.transaction("test", lambda tx, n=n: keep(tx, f"pm_{n}")) for n in range(6))
    )
    assert len({each.id for each in found if each is not None}) == 1
    assert len(await listed(db)) == 1


async def test_what_is_not_the_users_or_not_attached_is_not_kept(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await attach(tx, entry(0), user_id="bob")
        await attach(tx, entry(1))
        await methods.release_method(tx, "pm_1", NOW)
        for method_id in ("pm_0", "pm_1", "pm_unknown"):
            assert await keep(tx, method_id) is None

    await db.transaction("test", work)
    assert await listed(db) == []


@pytest.mark.parametrize("state", ["deleting", "deleted", "releasing"])
async def test_an_attach_that_comes_late_does_not_bring_a_card_back(
    db: Database, state: str
) -> None:
    async def work(tx: Transaction) -> str:
        await attach(tx, entry(0))
        await tx.execute("UPDATE payment_methods SET state = $1", state)
        await attach(tx, entry(0), 5)
        return (await get(tx, "pm_0")).state.value

    assert await db.transaction("test", work) == state


async def test_one_default_whoever_ends(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        for n in range(3):
            await attach(tx, entry(n, fingerprint=str(n)), n)
            await keep(tx, f"pm_{n}")
        assert (await get(tx, "pm_0")).is_default
        await methods.set_default(tx, "alice", "spm_pm_1")
        await methods.release_method(tx, "pm_1", NOW)
        assert (await get(tx, "pm_2")).is_default
        rows = await tx.fetch("SELECT id FROM payment_methods WHERE is_default")
        assert len(rows) == 1
        await methods.release_methods_of_customer(tx, "cus")
        assert await tx.fetch("SELECT id FROM payment_methods WHERE is_default OR is_listed") == []

    await db.transaction("test", work)


async def test_idle_cards_are_taken_in_batches_and_their_detach_by_one_worker(
    db: Database,
) -> None:
    async def work(tx: Transaction) -> None:
        for n in range(5):
            await attach(tx, entry(n, fingerprint=str(n)), n)
        await keep(tx, "pm_4")

    await db.transaction("test", work)

    async def take(now: datetime, since: datetime = NOW + HOUR) -> Any:
        async def work(tx: Transaction) -> list[str]:
            await methods.begin_releasing_idle(tx, since, now, 2)
            due = await methods.take_to_detach(tx, now, now + HOUR, 10)
            return sorted(row.stripe_payment_method_id for row in due)

        return await db.transaction("test", work)

    assert await take(NOW, NOW - HOUR) == []
    assert await take(NOW) == ["pm_0", "pm_1"]
    assert await take(NOW) == ["pm_2", "pm_3"]
    assert await take(NOW) == []
    assert await take(NOW + 2 * HOUR) == ["pm_0", "pm_1", "pm_2", "pm_3"]
    assert await listed(db) == ["pm_4"]


async def test_declined_saves_count_as_declines_of_their_user_and_address(db: Database) -> None:
    async def begin(tx: Transaction, n: int, at: datetime) -> None:
        await methods.note_save(tx, f"s{n}", "alice", "address", "", f"pm_{n}", at, at - HOUR)

    async def count(tx: Transaction, user_id: str, since: datetime) -> tuple[int, int, int, Any]:
        found = await trials.count_tried(tx, user_id, "address", "", since, "")
        user, address = found["user"], found["address"]
        return user.declines, user.open, address.declines, address.first_at

    async def work(tx: Transaction) -> None:
        await users.ensure_user(tx, "alice", None, NOW)
        later = NOW + timedelta(minutes=30)
        assert await count(tx, "alice", NOW - HOUR) == (0, 0, 0, None)
        await begin(tx, 1, NOW)
        assert await count(tx, "alice", NOW - HOUR) == (0, 1, 0, NOW)
        await methods.end_save(tx, "s1", "declined")
        await begin(tx, 2, later)
        await methods.end_save(tx, "s2", "declined")
        assert await count(tx, "alice", NOW - HOUR) == (2, 0, 2, NOW)
        assert await count(tx, "alice", NOW) == (1, 0, 1, later)
        assert await count(tx, "bob", NOW - HOUR) == (0, 0, 2, NOW)
        await begin(tx, 3, NOW + HOUR)  # the first one has served its time
        assert len(await tx.fetch("SELECT id FROM declined_saves")) == 2
        await methods.forget_save(tx, "s3")
        assert await count(tx, "alice", NOW) == (1, 0, 1, later)

    await db.transaction("test", work)
