"""Stripe's own answers are checked before anything is concluded from them.

An answer about a payment has to agree with our books in every field that it shares with them. One
that does not is no answer: it is alarmed, counted, shown in the order's history, and the outcome
stays unknown until Stripe says something that agrees.
"""

import json

from paidonce.domain.intent import (
    Charge,
    Failure,
    Intent,
    IntentStatus,
    Method,
    Reason,
    SetupAttempt,
    SetupIntent,
    SetupIntentStatus,
)
from paidonce.observability import get_logger
from paidonce.observability.metrics import record_contradiction
from paidonce.payments.context import Context, new_id
from paidonce.payments.requests import setup_metadata
from paidonce.store import events
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit
from paidonce.store.rows import PaymentRow, SetupRow

TEST_FACTORY = "pm_card_"
"""Stripe's test ids (docs.stripe.com/testing) make a new PaymentMethod with every use."""
log = get_logger(__name__)


async def checked(
    ctx: Context,
    payment: PaymentRow,
    answer: Intent | Failure,
    *,
    captured_minor: int | None = None,
) -> Intent | Failure:
    """What Stripe answered about the payment's intent, or Failure(CONTRADICTED).

    `captured_minor`: it answers a capture of so much, which is made as a whole or not at all.
    """
    if isinstance(answer, Failure):
        if answer.reason is Reason.CONTRADICTED:  # the gateway has seen it, and raised the alarm
            await _note(ctx, payment, [str(answer.param)])
        return answer
    fields = contradictions(ctx, payment, answer)
    if not fields and captured_minor not in (None, answer.amount_received):
        fields = ["amount_received"]
    if not fields:
        return answer
    await raise_alarm(ctx, payment, answer, fields)
    return Failure(Reason.CONTRADICTED, "it contradicts the payment", param=fields[0])


async def raise_alarm(ctx: Context, payment: PaymentRow, intent: Intent, fields: list[str]) -> None:
    log.critical(
        "payment.contradicted",
        payment_id=payment.id,
        order_id=payment.order_id,
        intent=intent.id,
        fields=fields,
    )
    record_contradiction("payment_intent")
    await _note(ctx, payment, fields)


def contradictions(ctx: Context, payment: PaymentRow, intent: Intent) -> list[str]:
    """The fields, by Stripe's names, in which an intent cannot be this payment's."""
    ours = {
        "order_id": payment.order_id,
        "payment_id": payment.id,
        "user_id": payment.user_id,
        "namespace": ctx.installation.namespace,
    }
    pairs = {
        "id": (intent.id, payment.stripe_payment_intent_id or intent.id),
        "amount": (intent.amount, payment.amount_minor),
        "currency": (intent.currency, payment.currency),
        "livemode": (intent.is_live, ctx.settings.mode == "live"),
        "customer": (intent.customer, payment.stripe_customer_id),
        **{f"metadata.{name}": (intent.metadata.get(name), ours[name]) for name in ours},
    }
    wrong = [name for name, (told, wanted) in pairs.items() if told != wanted]
    wrong += _of_secret_and_method(intent, payment.stripe_customer_id)
    if intent.status is IntentStatus.UNRECOGNIZED:
        wrong.append("status")
    if intent.status is IntentStatus.SUCCEEDED:
        wrong += _of_success(payment, intent)
    return wrong


def _of_secret_and_method(intent: Intent | SetupIntent, customer_id: str | None) -> list[str]:
    """The secret lets the app confirm the intent that it names (the SDKs read the id from it); a
    method is the customer's, or nobody's."""
    wrong = []
    if intent.client_secret and not intent.client_secret.startswith(f"{intent.id}_secret_"):
        wrong.append("client_secret")
    if intent.method is not None and intent.method.customer not in (None, customer_id):
        wrong.append("payment_method.customer")
    return wrong


def _of_success(payment: PaymentRow, intent: Intent) -> list[str]:
    """What was charged, by a charge of this intent that has succeeded: all of it, or what was taken
    of what was held."""
    wanted = _wanted_received(payment, intent)
    wrong = ["amount_received"] if intent.amount_received != wanted else []
    if not intent.latest_charge:
        wrong.append("latest_charge")
    charge = intent.charge
    return wrong if charge is None else wrong + _of_charge(payment, intent, charge, wanted)


def _of_charge(payment: PaymentRow, intent: Intent, charge: Charge, wanted: int) -> list[str]:
    pairs = {
        "payment_intent": charge.intent_id == intent.id,
        "amount": charge.amount == payment.amount_minor,
        "amount_captured": charge.amount_captured == wanted,
        "amount_refunded": 0 <= charge.amount_refunded <= wanted,
        "currency": charge.currency == payment.currency,
        "status": charge.is_succeeded,
    }
    return [f"latest_charge.{name}" for name, is_right in pairs.items() if not is_right]


def _wanted_received(payment: PaymentRow, intent: Intent) -> int:
    """What a success of this payment has brought in: all of it, unless it was held first. Then the
    merchant takes as much as he likes of it, here or in the dashboard."""
    is_held_first = json.loads(payment.intent_params or "{}").get("capture_method") == "manual"
    received = intent.amount_received
    if is_held_first and received is not None and 0 < received <= payment.amount_minor:
        return received
    return payment.amount_minor


def checked_method(answer: Method | Failure, method_id: str, customer_id: str) -> Method | Failure:
    """What Stripe answered to attaching a method to a customer."""
    if isinstance(answer, Failure):
        return answer
    fields = []
    if answer.id != method_id and not method_id.startswith(TEST_FACTORY):
        fields.append("id")
    if answer.customer != customer_id:
        fields.append("customer")
    if not fields:
        return answer
    log.critical("stripe.contradicted", object="payment_method", fields=fields)
    record_contradiction("payment_method")
    return Failure(Reason.CONTRADICTED, "it contradicts the attach", param=fields[0])


def checked_setup(
    ctx: Context, setup: SetupRow, answer: SetupIntent | Failure
) -> SetupIntent | Failure:
    """What Stripe answered about a setup's SetupIntent, or Failure(CONTRADICTED)."""
    if isinstance(answer, Failure):
        return answer
    ours = setup_metadata(ctx, setup.user_id, setup.id)
    pairs = {
        "id": (answer.id, setup.stripe_setup_intent_id or answer.id),
        "customer": (answer.customer, setup.stripe_customer_id),
        "livemode": (answer.is_live, ctx.settings.mode == "live"),
        **{f"metadata.{name}": (answer.metadata.get(name), ours[name]) for name in ours},
    }
    fields = [name for name, (told, wanted) in pairs.items() if told != wanted]
    fields += _of_secret_and_method(answer, setup.stripe_customer_id)
    if answer.status is SetupIntentStatus.UNRECOGNIZED:
        fields.append("status")
    if not fields:
        return answer
    log.critical("setup.contradicted", setup_id=setup.id, intent=answer.id, fields=fields)
    record_contradiction("setup_intent")
    return Failure(Reason.CONTRADICTED, "it contradicts the setup", param=fields[0])


def checked_attempts(
    setup: SetupRow, listed: list[SetupAttempt] | Failure
) -> list[SetupAttempt] | Failure:
    """The SetupAttempts of a setup's SetupIntent: those of another one count for nobody."""
    if isinstance(listed, Failure):
        return listed
    if all(attempt.setup_intent == setup.stripe_setup_intent_id for attempt in listed):
        return listed
    log.critical("setup.contradicted", setup_id=setup.id, fields=["setup_intent"])
    record_contradiction("setup_attempt")
    return Failure(Reason.CONTRADICTED, "they are another's", param="setup_intent")


async def _note(ctx: Context, payment: PaymentRow, fields: list[str]) -> None:
    """Into the order's history, once for the same fields; the answer does not wait for a database
    that is away."""
    data = json.dumps({"fields": fields})
    now = ctx.clock.now()
    try:
        await ctx.db.transaction(
            "contradicted",
            lambda tx: events.add_payment_event_once(
                tx, new_id(), payment.order_id, payment.id, "payment.contradicted", data, now
            ),
        )
    except (DatabaseUnavailable, UnknownCommit) as error:
        log.warning("payment.contradiction_not_noted", error=str(error))
