"""The append-only history of a payment, and the one door through which an attempt is closed."""

import json
from typing import Any

from paidonce.domain.intent import CardRefusal
from paidonce.domain.states import AttemptState
from paidonce.observability import present_request_id
from paidonce.payments import notices
from paidonce.payments.context import Context, Parts, new_id
from paidonce.store import attempts, events
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow


async def note(
    ctx: Parts,
    tx: Transaction,
    kind: str,
    order_id: str,
    payment_id: str | None = None,
    attempt_id: str | None = None,
    **data: Any,
) -> None:
    """One fact, in the past tense (`attempt.declined`)."""
    await events.add_payment_event(
        tx,
        new_id(),
        order_id,
        payment_id,
        attempt_id,
        kind,
        data_of(**data),
        ctx.clock.now(),
    )


def data_of(**data: Any) -> str:
    """What is said about a fact, and which request of ours has brought it."""
    request_id = present_request_id()
    return json.dumps(data if request_id is None else {**data, "requestId": request_id})


async def close(
    ctx: Context,
    tx: Transaction,
    attempt: AttemptRow,
    state: AttemptState,
    refusal: CardRefusal | None = None,
) -> bool:
    """End an attempt and write it down; False when it was ended before."""
    if not await attempts.close_attempt(tx, attempt.id, state, ctx.clock.now(), refusal):
        return False
    code = refusal.decline_code or refusal.code if refusal else None
    await note(
        ctx,
        tx,
        f"attempt.{state.value}",
        attempt.order_id,
        attempt.payment_id,
        attempt.id,
        code=code,
        **({"request": refusal.stripe_request_id} if refusal else {}),
    )
    if state in notices.FAILURES:
        await notices.payment_failed(ctx, tx, attempt, state, refusal)
    return True
