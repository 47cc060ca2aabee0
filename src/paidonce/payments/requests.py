"""The exact parameters and the idempotency key of every Stripe call the pipeline makes.

Parameters are built once, stored in the row, and read from there by every later send. Keys carry
the installation's namespace and UUIDs. The letters say what is asked:
`cus` customer, `pi` intent, `att` attach, `cf` confirm, `rc` confirm again after a challenge,
`cp` capture, `can` cancel, `det` detach, `re` refund, `si` setup intent, `sic` cancel it,
`ses` customer session, `eph` ephemeral key.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paidonce.gateway import Keyed
from paidonce.payments.context import Context, Parts, new_id
from paidonce.store.rows import (
    AttemptRow,
    CaptureRow,
    MethodRow,
    OrderRow,
    PaymentRow,
    RefundRow,
    SetupRow,
    UserRow,
    is_token,
)

NAMESPACE = re.compile(r"[0-9a-f]{32}")


def customer_request(ctx: Parts, user: UserRow) -> Keyed:
    """Constant for a user and key number: the e-mail in the row never changes."""
    params: dict[str, Any] = {"metadata": customer_metadata(ctx, user)}
    if user.email:
        params["email"] = user.email
    owner = hashlib.sha256(user.id.encode()).hexdigest()[:32]
    key = f"cus:{ctx.installation.namespace}:{owner}:{user.customer_key_no}"
    return Keyed(key, ctx.gateway.stripe_version, params)


def customer_metadata(ctx: Parts, user: UserRow) -> dict[str, str]:
    """By these a customer is recognised as ours; never by e-mail."""
    return {"user_id": user.id, "namespace": ctx.installation.namespace}


def hosts_user_id(ctx: Parts, metadata: Mapping[str, str]) -> str | None:
    """Whose customer this is, by `user_id`, or `userId` as the server before us wrote it; None
    when it says nothing, or was made by another installation on the same Stripe account (a host
    may have a `namespace` of its own, which is none of ours)."""
    namespace = metadata.get("namespace", "")
    if NAMESPACE.fullmatch(namespace) and namespace != ctx.installation.namespace:
        return None
    return metadata.get("user_id") or metadata.get("userId")


def intent_params(ctx: Context, order: OrderRow, payment: PaymentRow, customer_id: str) -> str:
    """What P4 sends. Never with `confirm`; `automatic` is Stripe's default and goes unsaid."""
    params: dict[str, Any] = {
        "amount": payment.amount_minor,
        "currency": payment.currency,
        "customer": customer_id,
        "allowed_payment_method_types": ctx.settings.payment_method_types.split(","),
        "description": f"Order {order.order_number}",
        "metadata": {
            "order_id": order.id,
            "payment_id": payment.id,
            "user_id": order.user_id,
            "namespace": ctx.installation.namespace,
        },
    }
    if payment.confirmation_method == "manual":
        params["confirmation_method"] = "manual"
    if order.capture_method == "manual":
        params["capture_method"] = "manual"
    return json.dumps(params)


def intent_request(ctx: Context, payment: PaymentRow) -> Keyed:
    key = f"pi:{ctx.installation.namespace}:{payment.id}:{payment.intent_key_no}"
    return Keyed(key, payment.stripe_version, json.loads(payment.intent_params or "{}"))


def attach_request(ctx: Context, attempt: AttemptRow, customer_id: str) -> Keyed:
    """One key per attempt: one per method and customer would replay a saved decline for a day. And
    per customer, since the customer of an attempt is replaced when he was deleted at Stripe."""
    of_attempt = f"{attempt.id}:{attempt.attach_key_no}"
    key = f"att:{ctx.installation.namespace}:{customer_id}:{of_attempt}"
    return Keyed(key, attempt.stripe_version, {"customer": customer_id})


def save_request(ctx: Parts, customer_id: str) -> Keyed:
    """An attach without a payment has a fresh key with every send that is not a repeat of a lost
    one: attaching again what is attached is harmless, while a key per method would replay a
    decline of today, or a saved 5xx, for a day after the card is good again."""
    key = f"att:{ctx.installation.namespace}:save:{new_id()}"
    return Keyed(key, ctx.gateway.stripe_version, {"customer": customer_id})


def customer_session_request(ctx: Context, customer_id: str) -> Keyed:
    """What the sheet may do with the customer: show the cards that their holder agreed to have
    shown, and offer to keep a new one. Removing is the app's (DELETE), since a payment may be under
    way with the card. https://docs.stripe.com/api/customer_sessions/create, `components`; the
    mobile sheet has its own component since 2025-10-29."""
    features = {
        "payment_method_redisplay": "enabled",
        "payment_method_save": "enabled",
        "payment_method_remove": "disabled",
    }
    params = {
        "customer": customer_id,
        "components": {"mobile_payment_element": {"enabled": True, "features": features}},
    }
    key = f"ses:{ctx.installation.namespace}:{new_id()}"
    return Keyed(key, ctx.gateway.stripe_version, params)


def ephemeral_key_request(ctx: Context, customer_id: str, stripe_version: str) -> Keyed:
    """For the version that the app's SDK speaks: it reads the key as that version writes it."""
    key = f"eph:{ctx.installation.namespace}:{new_id()}"
    return Keyed(key, stripe_version, {"customer": customer_id})


def detach_request(ctx: Context, method: MethodRow) -> Keyed:
    """Detaching twice is harmless, so every send has a key of its own and sees the present."""
    key = f"det:{ctx.installation.namespace}:{method.id}:{new_id()}"
    return Keyed(key, ctx.gateway.stripe_version, {})


def confirm_params(
    ctx: Context, method_policy: str, method_id: str, *, is_saving_method: bool
) -> str:
    """What P6 sends. Consent goes with the confirm, so it is said either way, never left out."""
    keeps = is_saving_method and method_policy == "attach"
    params: dict[str, Any] = {"setup_future_usage": "on_session" if keeps else ""}
    if is_token(method_id):  # what stands in the request counts before what the token brings
        params |= {"confirmation_token": method_id, "expand": ["payment_method"]}
    else:
        params["payment_method"] = method_id
    if ctx.settings.stripe_use_sdk:
        params["use_stripe_sdk"] = True
    else:
        params["return_url"] = ctx.settings.payment_return_url
    return json.dumps(params)


def confirm_request(ctx: Context, attempt: AttemptRow) -> Keyed:
    """The one key of an attempt; it never changes."""
    key = f"cf:{ctx.installation.namespace}:{attempt.id}"
    return Keyed(key, attempt.stripe_version, json.loads(attempt.confirm_params or "{}"))


def reconfirm_request(ctx: Context, attempt: AttemptRow) -> Keyed:
    """After the challenge, with confirmation method `manual`: the method is on the intent."""
    key = f"rc:{ctx.installation.namespace}:{attempt.id}:{attempt.reconfirm_key_no}"
    params = json.loads(attempt.confirm_params or "{}")
    for name in ("payment_method", "confirmation_token"):
        params.pop(name, None)
    return Keyed(key, attempt.stripe_version, params)


def cancel_request(ctx: Context, payment: PaymentRow) -> Keyed:
    """Canceling twice is harmless, so every send has a key of its own and sees the present."""
    key = f"can:{ctx.installation.namespace}:{payment.id}:{new_id()}"
    return Keyed(key, payment.stripe_version, {"cancellation_reason": "abandoned"})


def capture_request(ctx: Context, capture: CaptureRow) -> Keyed:
    """The number grows only after a saved 5xx, when a look has shown that nothing was taken, and
    from one capture of a payment to the next."""
    key = f"cp:{ctx.installation.namespace}:{capture.payment_id}:{capture.key_no}"
    return Keyed(key, capture.stripe_version, json.loads(capture.params))


@dataclass(frozen=True, slots=True)
class Wish:
    """What the merchant asked for: the hash of the Idempotency-Key, that of the request, and the
    reason in Stripe's words."""

    key_hash: str
    request_hash: str
    reason: str | None = None


def refund_params(
    ctx: Context, payment: PaymentRow, refund_id: str, amount_minor: int, wish: Wish | None
) -> str:
    """The metadata says whose refund it is, so that it is found again when its key is forgotten,
    and what it was asked for by, so that a restored database knows the request again."""
    params: dict[str, Any] = {
        "payment_intent": payment.stripe_payment_intent_id,
        "amount": amount_minor,
        "metadata": {
            "order_id": payment.order_id,
            "payment_id": payment.id,
            "refund_id": refund_id,
            "namespace": ctx.installation.namespace,
        },
    }
    if wish is not None:
        params["metadata"] |= {"key_hash": wish.key_hash, "request_hash": wish.request_hash}
        if wish.reason is not None:
            params["reason"] = wish.reason
    return json.dumps(params)


def refund_request(ctx: Context, refund: RefundRow) -> Keyed:
    """The number grows only after a saved 5xx, when Stripe's list has shown that nothing was
    made."""
    key = f"re:{ctx.installation.namespace}:{refund.id}:{refund.key_no}"
    return Keyed(key, refund.stripe_version, json.loads(refund.params))


def setup_metadata(ctx: Context, user_id: str, setup_id: str) -> dict[str, str]:
    """By these a SetupIntent is recognised as ours."""
    return {
        "setup_id": setup_id,
        "user_id": user_id,
        "namespace": ctx.installation.namespace,
    }


def setup_params(ctx: Context, user_id: str, customer_id: str, setup_id: str) -> str:
    """Never with `confirm`: the app does that. `on_session`, as our payments are: the holder is
    there to authenticate (https://docs.stripe.com/api/setup_intents/create, `usage`)."""
    params = {
        "customer": customer_id,
        "usage": "on_session",
        "allowed_payment_method_types": ctx.settings.payment_method_types.split(","),
        "metadata": setup_metadata(ctx, user_id, setup_id),
    }
    return json.dumps(params)


def setup_request(ctx: Context, setup: SetupRow) -> Keyed:
    """The number grows only after a saved 5xx."""
    key = f"si:{ctx.installation.namespace}:{setup.id}:{setup.key_no}"
    return Keyed(key, setup.stripe_version, json.loads(setup.params))


def setup_cancel_request(ctx: Context, setup: SetupRow) -> Keyed:
    """Canceling twice is harmless, so every send has a key of its own and sees the present."""
    key = f"sic:{ctx.installation.namespace}:{setup.id}:{new_id()}"
    return Keyed(key, setup.stripe_version, {"cancellation_reason": "abandoned"})
