"""The signature of a webhook: `Stripe-Signature: t=<unix>,v1=<hex>[,v1=<hex>…]`.

v1 is the HMAC-SHA256 of `<t>.<raw body>` (https://docs.stripe.com/webhooks, "Verify manually").
The SDK accepts times in the future; here they are refused as old ones are.
"""

import hashlib
import hmac
from datetime import datetime

TOLERANCE_SECONDS = 300


def is_signed(body: bytes, header: str, secrets: list[str], now: datetime) -> bool:
    """Whether any of the secrets signed the raw body, at most five minutes from now."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12:
        return False
    if abs(int(times[0]) - now.timestamp()) > TOLERANCE_SECONDS:
        return False
    signed = f"{times[0]}.".encode() + body
    wanted = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in secrets]
    return any(
        hmac.compare_digest(candidate.encode(), signature.encode())
        for candidate in wanted
        for signature in signatures
    )
