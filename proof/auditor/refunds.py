"""Refunds: each request of the merchant's once, never more than was asked for and taken."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proof.auditor.facts import Asked

Rows = Sequence[Mapping[str, Any]]
Findings = Iterator[tuple[str, str]]
REFUSALS = ("refund_exceeds_payment", "order_not_refundable", "payment_disputed")
BACK = ("failed", "canceled")
"""Statuses of a refund that the customer did not get."""


def refund_findings(
    wishes: Sequence[Asked], made: Rows, charges: Rows, rows: Rows, *, is_settled: bool
) -> Findings:
    """Of one order: what was wished, what Stripe has made of its charges, and our rows."""
    yield from _wished(wishes, made)
    yield from _answered(wishes, made)
    for charge in charges:
        back = [refund for refund in made if refund["charge"] == charge["id"]]
        given = sum(refund["amount"] for refund in back if refund["status"] not in BACK)
        if given > charge["amount_captured"]:
            yield "I13", f"{given} went back of {charge['id']}, which took less"
    if is_settled:
        yield from _written_down(made, rows)


def _wished(wishes: Sequence[Asked], made: Rows) -> Findings:
    """Every refund of ours was wished for, with its amount, and each wish was made once."""
    wished = {_key_hash(wish): wish for wish in wishes}
    ours = [refund for refund in made if "key_hash" in refund["metadata"]]
    for key_hash, times in Counter(refund["metadata"]["key_hash"] for refund in ours).items():
        if times > 1:
            yield "I13", f"one wish was made {times} times"
        if key_hash not in wished:
            yield "I13", "a refund was made that nobody wished for"
    for refund in ours:
        wish = wished.get(refund["metadata"]["key_hash"])
        if wish and wish.amount_minor not in (None, refund["amount"]):
            yield "I13", f"{refund['id']} is over {refund['amount']}, not {wish.amount_minor}"


def _key_hash(wish: Asked) -> str:
    return hashlib.sha256(wish.key.encode()).hexdigest()


def _answered(wishes: Sequence[Asked], made: Rows) -> Findings:
    """Whatever was answered as made is there, and what was refused is not."""
    known = {refund["id"]: refund["amount"] for refund in made}
    keys = {refund["metadata"].get("key_hash") for refund in made}
    for wish in wishes:
        data = wish.body.get("data") or {}
        if wish.body.get("code") in REFUSALS and _key_hash(wish) in keys:
            yield "I6", f"a refund was refused and made: {wish.body['code']}"
        if wish.status != 200 or data.get("status") in ("processing", "refused"):
            continue
        if known.get(data.get("stripeRefundId")) != data.get("amountMinor"):
            yield "I6", f"a refund was answered that Stripe has not made: {data}"


def _written_down(made: Rows, rows: Rows) -> Findings:
    """Our rows are Stripe's refunds, one for one."""
    ours = {row["stripe_refund_id"]: row for row in rows if row.get("stripe_refund_id")}
    for refund in made:
        row = ours.pop(refund["id"], None)
        if row is None:
            yield "I13", f"{refund['id']} stands in no row of ours"
        elif (row["amount_minor"], row["state"]) != (refund["amount"], refund["status"]):
            yield "I13", f"{refund['id']} is {refund['status']}, our row says {row['state']}"
    for refund_id in ours:
        yield "I13", f"our books have {refund_id}, and Stripe has not"
