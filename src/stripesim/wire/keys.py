"""API keys: every `sk_test_…` and `pk_test_…` means the one account of the simulator; `rk_test_…`
reads what it has and writes nothing; `ek_test_…` are those that it made (`objects.ephemeral_keys`).
"""

import base64
import binascii
import re
from dataclasses import dataclass

from stripesim import guesses
from stripesim.ids import ACCOUNT_ID
from stripesim.wire.errors import StripeError

KEY = re.compile(r"^(sk|pk|rk|ek)_test_[A-Za-z0-9_]+$")
NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, "
    "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
    "https://stripe.com/docs/api#authentication for details, or we can help at "
    "https://support.stripe.com/."
)
PUBLISHABLE_NOT_ALLOWED = (
    "This API call cannot be made with a publishable API key. Please use a secret API key. You can "
    "find a list of your API keys at https://dashboard.stripe.com/account/apikeys."
)
# Recorded (stripe/stripe-android#7747, stripe/stripe-node#2246).
NOT_PERMITTED = (
    "The provided key '{key}' does not have the required permissions for this endpoint on account "
    "'{account}'. Having {what} would allow this request to continue."
)
# Recorded (stripe/stripe-node#2246) of a key with every permission to read.
NEVER_PERMITTED = {("GET", "/v1/account"): "rak_accounts_kyc_id_numbers_read"}


@dataclass(frozen=True)
class ApiKey:
    """`ephemeral` is the text of an ephemeral key, which is still to be looked up."""

    is_publishable: bool
    ephemeral: str | None = None
    restricted: str | None = None

    def check_permission(self, method: str, path: str) -> None:
        """Raises StripeError 403 where a restricted key is to write, or to tell its account."""
        missing = NEVER_PERMITTED.get((method, path))
        if missing is None and method != "GET":
            missing = guesses.WRITE_PERMISSION.format(noun=path.split("/")[2].removesuffix("s"))
        if self.restricted is not None and missing is not None:
            raise not_permitted(self.restricted, f"the '{missing}' permission")


def read_key(authorization: str | None, key_param: object = None) -> ApiKey:
    """The key of a request, from Bearer or Basic (as user name), or the `key` parameter that
    Stripe's browser library sends. Raises StripeError 401.
    """
    text = _from_header(authorization) or (key_param if isinstance(key_param, str) else None)
    if not text:
        raise StripeError(401, NO_KEY)
    if not KEY.match(text):
        raise StripeError(401, f"Invalid API Key provided: {masked(text)}")
    ephemeral, restricted = (text if text.startswith(kind) else None for kind in ("ek_", "rk_"))
    return ApiKey(text.startswith("pk_"), ephemeral, restricted)


def not_permitted(key: str, what: str) -> StripeError:
    return StripeError(403, NOT_PERMITTED.format(key=masked(key), account=ACCOUNT_ID, what=what))


def secret_key_required() -> StripeError:
    return StripeError(401, PUBLISHABLE_NOT_ALLOWED, code="secret_key_required")


def _from_header(authorization: str | None) -> str | None:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return value
    return None


def masked(text: str) -> str:
    """The first part and the last four characters; the rest is never shown."""
    shown = 8 if re.match(r"^(sk|pk|rk|ek)_(test|live)_", text) else 2
    if len(text) < shown + 8:
        return text[:2] + "*" * max(len(text) - 2, 0)
    return text[:shown] + "*" * (len(text) - shown - 4) + text[-4:]
