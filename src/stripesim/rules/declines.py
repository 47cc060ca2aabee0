"""How an issuer, or Stripe, says no: one row per reason.

Codes, decline codes, params and advice codes are asserted against Stripe's test mode or recorded.
The message of a generic decline and of exceeded velocity is recorded, the others are documented
(docs.stripe.com/error-codes and /declines/codes).
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Decline:
    """One reason. Fields that are None are absent in the answer."""

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
NO_FUNDS = "Your card has insufficient funds."
BROKEN = "An error occurred while processing your card. Try again in a little bit."
TOO_OFTEN = (
    "Your card was declined for making repeated attempts too frequently or exceeding its amount "
    "limit."
)
EXPIRY_PASSED = "Your card has expired."
WRONG_CVC = "Your card's security code is incorrect."
LATER, NEVER, CHECK = "try_again_later", "do_not_try_again", "confirm_card_data"

# fmt: off
#       code, decline code, message, advice code, network's decline and advice codes, param
GENERIC = Decline("card_declined", "generic_decline", DECLINED, LATER, "01")
INSUFFICIENT_FUNDS = Decline("card_declined", "insufficient_funds", NO_FUNDS, LATER, "51", "02")
LOST = Decline("card_declined", "lost_card", DECLINED, NEVER, "41", "01")
STOLEN = Decline("card_declined", "stolen_card", DECLINED, NEVER, "43", "01")
VELOCITY = Decline("card_declined", "card_velocity_exceeded", TOO_OFTEN, LATER, "61", "02")
EXPIRED = Decline("expired_card", "expired_card", EXPIRY_PASSED, CHECK, "54", "03", "exp_month")
INCORRECT_CVC = Decline("incorrect_cvc", "incorrect_cvc", WRONG_CVC, CHECK, "N7", "03", "cvc")
PROCESSING_ERROR = Decline("processing_error", "processing_error", BROKEN, LATER, "06")
FRAUDULENT = Decline("card_declined", "fraudulent", DECLINED, outcome_type="blocked")
# fmt: on
