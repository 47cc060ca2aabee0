"""What reconciling can find, what each kind means, and what a person does about it."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """A way in which Stripe and our books can disagree."""

    CHARGE_WITHOUT_ORDER = "charge_without_order"
    SECOND_CHARGE = "second_charge"
    FOREIGN_CHARGE = "foreign_charge"
    SURPLUS_NOT_RETURNED = "surplus_not_returned"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_CURRENCY = "wrong_currency"
    WRONG_CUSTOMER = "wrong_customer"
    PAID_NOT_CHARGED = "paid_not_charged"
    CHARGED_NOT_PAID = "charged_not_paid"
    REFUND_NOT_RECORDED = "refund_not_recorded"
    FORGOTTEN_INTENT = "forgotten_intent"
    ORPHAN_INTENT = "orphan_intent"
    MISSING_INTENT = "missing_intent"
    DUPLICATE_CUSTOMER = "duplicate_customer"
    DELETED_CUSTOMER = "deleted_customer"


class Remedy(StrEnum):
    """What `--fix` does about a finding."""

    NONE = "none"
    SETTLE = "settle"  # the intent is handed to the road that its webhook would have taken
    CANCEL = "cancel"  # the intent is canceled at Stripe
    ADOPT = "adopt"  # the intent is recorded as its order's, then as SETTLE


ADVICE: dict[Kind, str] = {
    Kind.CHARGE_WITHOUT_ORDER: "The books have no such order. Restore it from a later backup or"
    " create it again with its id and run again, or refund the charge in Stripe's dashboard.",
    Kind.SECOND_CHARGE: "The order is charged more than once. Refund one charge in Stripe's"
    " dashboard, unless it is a recorded surplus: that is refunded by policy.",
    Kind.FOREIGN_CHARGE: "Something that is not this installation charged one of its orders. Find"
    " out which server did and stop it; refund what the order is not owed.",
    Kind.SURPLUS_NOT_RETURNED: "Money on a canceled order that was not given back. It is refunded"
    " by policy; when it is still here an hour later, refund it in Stripe's dashboard.",
    Kind.WRONG_AMOUNT: "The order has another amount than Stripe. When it is charged, refund or"
    " collect the difference; when it is not, cancel the intent in Stripe's dashboard.",
    Kind.WRONG_CURRENCY: "The order has another currency than Stripe. When it is charged, refund"
    " it; when it is not, cancel the intent in Stripe's dashboard.",
    Kind.WRONG_CUSTOMER: "The intent is on another customer than our books say. Find out who"
    " changed the one or the other; the customer of an intent cannot be changed at Stripe.",
    Kind.PAID_NOT_CHARGED: "The books say paid and Stripe has no charge. Hold the delivery and find"
    " out who wrote it: paidonce records success only on Stripe's word.",
    Kind.CHARGED_NOT_PAID: "`--fix` records it. What it leaves, its line says why.",
    Kind.REFUND_NOT_RECORDED: "Resend the event charge.refunded from Stripe's dashboard; until then"
    " our balance of the order is wrong.",
    Kind.FORGOTTEN_INTENT: "`--fix` adopts it where it is its order's only one. What it leaves, its"
    " line says why; `--dismiss` then opens its order again.",
    Kind.ORPHAN_INTENT: "`--fix` cancels it, so that it can never charge. What it leaves, its line"
    " says why.",
    Kind.MISSING_INTENT: "Stripe does not know the intent of a payment. Check that the key is of"
    " the right account; the order cannot be paid, so cancel it and make a new one.",
    Kind.DUPLICATE_CUSTOMER: "The user has another customer recorded. Nothing is charged twice by"
    " it; Stripe can merge none, and `paidonce customers duplicates` says what hangs on each.",
    Kind.DELETED_CUSTOMER: "Nothing: it heals at the user's next payment, with a new customer.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement. `stripe_id` is the intent, the charge or the customer at Stripe; `amount`
    is Stripe's, in minor units. `done` says what `--fix` did about it, or why it did nothing."""

    kind: Kind
    detail: str
    stripe_id: str = ""
    order_id: str = ""
    payment_id: str = ""
    user_id: str = ""
    amount_minor: int | None = None
    currency: str = ""
    remedy: Remedy = Remedy.NONE
    is_fixed: bool = False
    done: str = ""

    @property
    def advice(self) -> str:
        return ADVICE[self.kind]

    def with_result(self, done: str, *, is_fixed: bool) -> "Finding":
        return replace(self, done=done, is_fixed=is_fixed)
