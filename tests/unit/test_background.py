"""Work ahead: what goes wrong in it ends nothing but itself."""

import pytest
import structlog

from paidonce.payments.background import Background
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (DatabaseUnavailable("too many wait for the database"), "background.database_unavailable"),
        (UnknownCommit("the connection ended"), "background.database_unavailable"),
        (LookupError("a bug"), "background.failed"),
    ],
)
async def test_a_database_that_is_busy_is_told_in_a_line_and_a_bug_with_its_traceback(
    error: Exception, event: str
) -> None:
    async def work() -> None:
        raise error

    background = Background()
    with structlog.testing.capture_logs() as logs:
        assert background.start("prepare:order-1", work)
        await background.drain()
    (line,) = logs
    assert (line["event"], line["work"]) == (event, "prepare")
    assert ("exc_info" in line) is (event == "background.failed")
    assert background.start("prepare:order-1", work)
    await background.drain()
