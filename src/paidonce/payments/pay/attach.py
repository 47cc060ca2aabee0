"""P3: the method belongs to the user's customer before it is used, so that a decline cannot
kill it (behaviour of Stripe: an unattached method dies with its first attempt, declined or not)."""

from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import CardRefusal, Failure, Method, Reason
from paidonce.domain.states import AttemptState, MethodState
from paidonce.payments import customers, evidence, harmless, history
from paidonce.payments.context import Again, Context, Job, Verdict, Visitor, new_id
from paidonce.payments.limits import check_limits
from paidonce.payments.pay import record, settle
from paidonce.payments.requests import attach_request
from paidonce.store import attempts, methods, orders
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow, MethodRow

MAX_ROUNDS = 3


async def attach_method(
    ctx: Context, job: Job, visitor: Visitor, customer_id: str
) -> Verdict | None:
    """None when the method is attached and its id recorded in the attempt."""
    for n in range(MAX_ROUNDS):
        attempt, method, refusal = await _look(ctx, job.attempt, is_first=n == 0)
        if refusal is not None:
            return await record.close_never_sent(ctx, job, refusal)
        if job.payment.method_policy == "single_use" or attempt.is_token:
            return None
        if method is not None and _is_attached(attempt, method, customer_id):
            await _use(ctx, attempt, method.stripe_payment_method_id)
            return None
        answer = await _attach(ctx, attempt, visitor, customer_id)
        if isinstance(answer, Method):
            await _save_method(ctx, job, customer_id, answer)
            return None
        if not answer.is_saved_error:
            return await _refused(ctx, job, visitor, customer_id, answer)
        await _next_key(ctx, attempt)
    return await record.close_never_sent(ctx, job, errors.stripe_unavailable())


async def _look(
    ctx: Context, attempt: AttemptRow, *, is_first: bool
) -> tuple[AttemptRow, MethodRow | None, ServiceError | None]:
    """The attempt and its method; and, before the first call that could tell whether the card is
    good, what the limits say now that this attempt can be seen by others: of those that came at
    the same time none gets past them."""

    async def look(tx: Transaction) -> tuple[AttemptRow, MethodRow | None, ServiceError | None]:
        present = attempt if is_first else await attempts.get_attempt(tx, attempt.id)
        method_id = present.stripe_payment_method_id or present.requested_method_id
        method = await methods.get_method(tx, method_id)
        if not is_first or (method is not None and method.first_paid_at is not None):
            return present, method, None
        refusal = await check_limits(
            ctx,
            tx,
            present.user_id,
            present.client_address,
            present.device_hash,
            but_for=present.id,
        )
        return present, method, refusal

    return await ctx.db.read(look)


def _is_attached(attempt: AttemptRow, method: MethodRow, customer_id: str) -> bool:
    """It is known as the customer's."""
    return (
        method.user_id == attempt.user_id
        and method.state is MethodState.ATTACHED
        and method.stripe_customer_id == customer_id
    )


async def _use(ctx: Context, attempt: AttemptRow, method_id: str) -> None:
    """It stands in the attempt as Stripe names it."""
    if attempt.stripe_payment_method_id != method_id:
        await ctx.db.transaction("method", lambda tx: _set_method(tx, attempt, method_id))


async def _set_method(tx: Transaction, attempt: AttemptRow, method_id: str) -> None:
    await orders.lock_order(tx, attempt.order_id)
    await attempts.set_method(tx, attempt.id, method_id)


async def _attach(
    ctx: Context, attempt: AttemptRow, visitor: Visitor, customer_id: str
) -> Method | Failure:
    request, method_id = attach_request(ctx, attempt, customer_id), attempt.requested_method_id
    answer = await harmless.send_harmless(
        ctx, visitor.deadline, lambda left: ctx.gateway.attach_method(method_id, request, left)
    )
    return evidence.checked_method(answer, method_id, customer_id)


async def _next_key(ctx: Context, attempt: AttemptRow) -> None:
    """Stripe saved a 5xx under the old key and will never answer anything else."""
    await ctx.db.transaction(
        "attach_key", lambda tx: attempts.next_attach_key(tx, attempt.id, attempt.attach_key_no)
    )


async def _save_method(ctx: Context, job: Job, customer_id: str, method: Method) -> None:
    async def work(tx: Transaction) -> None:
        await orders.lock_order(tx, job.order.id)
        await methods.save_method(
            tx, f"spm_{new_id()}", job.order.user_id, customer_id, method, ctx.clock.now()
        )
        await attempts.set_method(tx, job.attempt.id, method.id)
        ids = (job.order.id, job.payment.id, job.attempt.id)
        await history.note(ctx, tx, "attempt.attached", *ids, request=method.stripe_request_id)

    await ctx.db.transaction("method", work)


async def _refused(
    ctx: Context, job: Job, visitor: Visitor, customer_id: str, failure: Failure
) -> Verdict:
    """A refusal of the attach closes only an attempt that was never sent."""
    match failure.reason:
        case Reason.DECLINED:
            refusal = failure.refusal or CardRefusal("card_declined", failure.message)
            return await record.record_negative(
                ctx, job, AttemptState.DECLINED, refusal, only_unsent=True
            )
        case Reason.METHOD_DEAD:
            return await settle.resolve_dead_method(ctx, job, visitor)
        case Reason.METHOD_FOREIGN | Reason.METHOD_MISSING | Reason.INVALID:
            return await record.close_never_sent(ctx, job, errors.payment_method_not_found())
        case Reason.CUSTOMER_GONE:
            await customers.forget_customer(ctx, job.order.user_id, customer_id)
            return Again("the customer is gone")
        case _:
            refused: ServiceError = harmless.unavailable(failure)
            return await record.close_never_sent(ctx, job, refused)
