"""Wires `paidonce users …`."""

from typing import Any

from paidonce.domain.clock import SystemClock
from paidonce.main.parts import check_account, close_parts, open_parts
from paidonce.main.schema import check_schema
from paidonce.payments.erasure import CannotErase, Erased, erase_user, export_user
from paidonce.settings import OperatorSettings
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit


async def export(settings: OperatorSettings, user_id: str) -> dict[str, Any] | None:
    """What is kept about a user; None: nothing. Raises SettingsError, CannotErase."""
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), is_read_only=True)
    try:
        return await export_user(parts, user_id)
    except DatabaseUnavailable as error:
        raise CannotErase(f"the database went away ({error}); run it again") from error
    finally:
        await close_parts(parts)


async def erase(settings: OperatorSettings, user_id: str, *, is_sure: bool) -> Erased:
    """Raises SettingsError, CannotErase."""
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), is_read_only=not is_sure)
    try:
        await check_account(parts, is_read_only=not is_sure, needs_answer=True)
        return await erase_user(parts, user_id, is_sure=is_sure)
    except (DatabaseUnavailable, UnknownCommit) as error:
        raise CannotErase(f"the database went away ({error}); run it again") from error
    finally:
        await close_parts(parts)
