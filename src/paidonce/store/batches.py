"""Work through many rows, a batch in each transaction, so that no writer waits for long."""

from collections.abc import Awaitable, Callable

from paidonce.store.engine import Database, Work

FORGET_BATCH = 200
MOST_BATCHES = 20


async def forget(
    db: Database, find: Work[list[str]], delete: Callable[[list[str]], Awaitable[int]]
) -> int:
    """Delete what `find` finds, up to FORGET_BATCH at a time, some batches of it; how many. It is
    found by a read, so that nobody waits while the table is gone through: `delete`, a transaction,
    looks at each row again."""
    count = 0
    for _ in range(MOST_BATCHES):
        ids = await db.read(find)
        if not ids:
            break
        count += await delete(ids)
    return count


async def do_all(batch: int, once: Callable[[], Awaitable[int]]) -> int:
    """`once` again and again until it did less than a whole batch; how much it did in all."""
    count = 0
    while True:
        done = await once()
        count += done
        if done < batch:
            return count
