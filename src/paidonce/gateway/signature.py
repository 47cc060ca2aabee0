"""The signature of a webhook: `Stripe-Signature: t=<unix>,v1=<hex>[,v1=<hex>…]`.

v1 is the HMAC-SHA256 of `<t>.<raw body>` (https://docs.stripe.com/webhooks, "Verify manually").
The SDK accepts times in the future; here they are refused as old ones are.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Literal

TOLERANCE_SECONDS = 300
Fault = Literal["no_header", "malformed", "too_old", "from_the_future", "no_match"]


def find_fault(body: bytes, header: str, secrets: list[str], now: datetime) -> Fault | None:
    """None where any of the secrets signed the raw body, at most five minutes from now."""
    if not header:
        return "no_header"
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12:
        return "malformed"
    seconds_old = now.timestamp() - int(times[0])
    if abs(seconds_old) > TOLERANCE_SECONDS:
        return "too_old" if seconds_old > 0 else "from_the_future"
    signed = f"{times[0]}.".encode() + body
    wanted = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in secrets]
    is_signed = any(
        hmac.compare_digest(candidate.encode(), signature.encode())
        for candidate in wanted
        for signature in signatures
    )
    return None if is_signed else "no_match"
