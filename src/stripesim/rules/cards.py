"""Every test card, what it does, and the exact words of its declines. One table.

Codes, decline codes, params and advice codes are asserted against Stripe's test mode or recorded;
cards and aliases are those of docs.stripe.com/testing. Card numbers are only read here: an object
remembers the name of its card, never the number.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Decline:
    """How an issuer (or Stripe) says no. Absent fields are absent in the answer."""

    code: str
    decline_code: str
    message: str
    advice_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    param: str | None = None
    outcome_type: str = "issuer_declined"

    def error_fields(self) -> Json:
        found = {
            "advice_code": self.advice_code,
            "decline_code": self.decline_code,
            "network_advice_code": self.network_advice_code,
            "network_decline_code": self.network_decline_code,
        }
        return {name: value for name, value in found.items() if value is not None}


DECLINED = "Your card was declined."
TRY_LATER, DO_NOT, CONFIRM_DATA = "try_again_later", "do_not_try_again", "confirm_card_data"

GENERIC = Decline("card_declined", "generic_decline", DECLINED, TRY_LATER, "01")
INSUFFICIENT_FUNDS = Decline(
    "card_declined",
    "insufficient_funds",
    "Your card has insufficient funds.",
    TRY_LATER,
    "51",
    "02",
)
LOST = Decline("card_declined", "lost_card", DECLINED, DO_NOT, "41", "01")
STOLEN = Decline("card_declined", "stolen_card", DECLINED, DO_NOT, "43", "01")
EXPIRED = Decline(
    "expired_card",
    "expired_card",
    "Your card has expired.",
    CONFIRM_DATA,
    "54",
    "03",
    "exp_month",
)
INCORRECT_CVC = Decline(
    "incorrect_cvc",
    "incorrect_cvc",
    "Your card's security code is incorrect.",
    CONFIRM_DATA,
    "N7",
    "03",
    "cvc",
)
PROCESSING_ERROR = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    TRY_LATER,
    "06",
)
VELOCITY = Decline(
    "card_declined",
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount "
    "limit.",
    TRY_LATER,
    "61",
    "02",
)
FRAUDULENT = Decline("card_declined", "fraudulent", DECLINED, outcome_type="blocked")
LOOKUP_FAILED = Decline("card_declined", "generic_decline", DECLINED, TRY_LATER, "01")


class Authentication(StrEnum):
    """When a card asks for 3-D Secure."""

    NEVER = "never"
    ALWAYS = "always"  # every payment; off-session is refused
    UNLESS_SET_UP = "unless_set_up"  # on-session always; off-session free once set up
    ON_SESSION = "on_session"  # as if already set up: off-session is free
    OPTIONAL = "optional"  # only when requested
    OPTIONAL_BROKEN = "optional_broken"  # when requested, it ends in a processing error
    LOOKUP_FAILS = "lookup_fails"  # 3-D Secure is needed and cannot be done: declined


@dataclass(frozen=True)
class Card:
    """One test card. `decline` strikes at the charge, after the authentication if there is one."""

    number: str
    brand: str = "visa"
    aliases: tuple[str, ...] = ()
    funding: str = "credit"
    decline: Decline | None = None
    attaches: bool = True
    authentication: Authentication = Authentication.NEVER
    dispute_reason: str | None = None
    dispute_is_inquiry: bool = False
    refund_ends: str | None = None  # "succeeded" (pending first) or "failed" (succeeded first)
    risk_level: str = "normal"
    checks: Json = field(default_factory=dict)
    available_at_once: bool = False
    three_d_secure_supported: bool = True

    @property
    def name(self) -> str:
        """What an object remembers of its card."""
        return f"{self.brand}-{self.number[-4:]}-{len(self.number)}-{self.number[4:6]}"


def _good(number: str, brand: str, *aliases: str, funding: str = "credit") -> Card:
    return Card(number, brand, aliases, funding)


def _declining(number: str, decline: Decline, *aliases: str) -> Card:
    return Card(number, aliases=aliases, decline=decline, attaches=False)


def _secure(
    number: str, how: Authentication, *aliases: str, decline: Decline | None = None
) -> Card:
    return Card(number, aliases=aliases, authentication=how, decline=decline)


CARDS = (
    # --- success
    _good("4242424242424242", "visa", "visa", "us"),
    _good("4000056655665556", "visa", "visa_debit", funding="debit"),
    _good("5555555555554444", "mastercard", "mastercard"),
    _good("2223003122003222", "mastercard", "mastercard_2series"),
    _good("5200828282828210", "mastercard", "mastercard_debit", funding="debit"),
    _good("5105105105105100", "mastercard", "mastercard_prepaid", funding="prepaid"),
    Card("378282246310005", "amex", ("amex",), three_d_secure_supported=False),
    Card("371449635398431", "amex", three_d_secure_supported=False),
    _good("6011000990139424", "discover", "discover"),
    _good("6011111111111117", "discover"),
    _good("6011981111111113", "discover", "discover_debit", funding="debit"),
    _good("3056930009020004", "diners", "diners"),
    _good("36227206271667", "diners", "diners_14digits"),
    _good("3566002020360505", "jcb", "jcb"),
    _good("6200000000000005", "unionpay", "unionpay"),
    _good("6200000000000047", "unionpay", "unionpay_debit", funding="debit"),
    _good("6205500000000000004", "unionpay", "unionpay_19digits"),
    Card("4000000000000077", aliases=("bypassPending",), available_at_once=True),
    # --- declines
    _declining("4000000000000002", GENERIC, "visa_chargeDeclined", "chargeDeclined"),
    _declining(
        "4000000000009995",
        INSUFFICIENT_FUNDS,
        "visa_chargeDeclinedInsufficientFunds",
        "chargeDeclinedInsufficientFunds",
    ),
    _declining("4000000000009987", LOST, "visa_chargeDeclinedLostCard", "chargeDeclinedLostCard"),
    _declining(
        "4000000000009979", STOLEN, "visa_chargeDeclinedStolenCard", "chargeDeclinedStolenCard"
    ),
    _declining("4000000000000069", EXPIRED, "chargeDeclinedExpiredCard"),
    _declining("4000000000000127", INCORRECT_CVC, "chargeDeclinedIncorrectCvc"),
    _declining("4000000000000119", PROCESSING_ERROR, "chargeDeclinedProcessingError"),
    _declining(
        "4000000000006975",
        VELOCITY,
        "visa_chargeDeclinedVelocityLimitExceeded",
        "chargeDeclinedVelocityLimitExceeded",
    ),
    _declining("4100000000000019", FRAUDULENT, "chargeDeclinedFraudulent", "radarBlock"),
    Card("4000000000000341", aliases=("chargeCustomerFail",), decline=GENERIC),
    # --- risk and checks
    Card("4000000000004954", aliases=("riskLevelHighest",), risk_level="highest"),
    Card("4000000000009235", aliases=("riskLevelElevated",), risk_level="elevated"),
    Card(
        "4000000000000010",
        aliases=("avsFail",),
        checks={"address_line1_check": "fail", "address_postal_code_check": "fail"},
    ),
    Card("4000000000000028", aliases=("avsLine1Fail",), checks={"address_line1_check": "fail"}),
    Card("4000000000000036", aliases=("avsZipFail",), checks={"address_postal_code_check": "fail"}),
    Card(
        "4000000000000044",
        aliases=("avsUnchecked",),
        checks={"address_line1_check": "unavailable", "address_postal_code_check": "unavailable"},
    ),
    Card("4000000000000101", aliases=("cvcCheckFail",), checks={"cvc_check": "fail"}),
    # --- 3-D Secure
    _secure("4000002760003184", Authentication.ALWAYS, "authenticationRequired"),
    _secure("4000002500003155", Authentication.UNLESS_SET_UP, "authenticationRequiredOnSetup"),
    _secure(
        "4000003800000446",
        Authentication.ON_SESSION,
        "authenticationRequiredSetupForOffSession",
    ),
    _secure(
        "4000008260003178",
        Authentication.ALWAYS,
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        decline=INSUFFICIENT_FUNDS,
    ),
    _secure("4000000000003220", Authentication.ALWAYS, "threeDSecure2Required"),
    _secure("4000000000003063", Authentication.ALWAYS, "threeDSecureRequired"),
    _secure(
        "4000008400001629",
        Authentication.ALWAYS,
        "threeDSecureRequiredChargeDeclined",
        decline=GENERIC,
    ),
    _secure(
        "4000008400001280",
        Authentication.LOOKUP_FAILS,
        "threeDSecureRequiredProcessingError",
        decline=LOOKUP_FAILED,
    ),
    _secure("4000000000003055", Authentication.OPTIONAL, "threeDSecureOptional"),
    _secure(
        "4000000000003097", Authentication.OPTIONAL_BROKEN, "threeDSecureOptionalProcessingError"
    ),
    # --- disputes and refunds
    Card("4000000000000259", aliases=("createDispute",), dispute_reason="fraudulent"),
    Card(
        "4000000000002685",
        aliases=("createDisputeProductNotReceived",),
        dispute_reason="product_not_received",
    ),
    Card(
        "4000000000001976",
        aliases=("createDisputeInquiry",),
        dispute_reason="fraudulent",
        dispute_is_inquiry=True,
    ),
    Card("4000000000005423", aliases=("createIssuerFraudRecord",)),
    Card("4000004040000079", aliases=("createMultipleDisputes",), dispute_reason="fraudulent"),
    Card("4000000000007726", aliases=("pendingRefund",), refund_ends="succeeded"),
    Card("4000000000005126", aliases=("refundFail",), refund_ends="failed"),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {card.name: card for card in CARDS}
BY_ALIAS = {alias: card for card in CARDS for alias in card.aliases}


def by_factory_id(text: str) -> Card | None:
    """The card of `pm_card_visa` or `tok_visa`; every use of such an id makes a new object."""
    for prefix in ("pm_card_", "tok_"):
        if text.startswith(prefix):
            return BY_ALIAS.get(text.removeprefix(prefix))
    return None


def passes_luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number)]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
