"""The signature of an outgoing event, by Standard Webhooks 1.0.0: HMAC-SHA256 over
`id.timestamp.body`, base64, one for each secret."""

import base64
import hashlib
import hmac
from collections.abc import Iterable


def sign(secrets: Iterable[bytes], event_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`; `timestamp` is in seconds and says when it is sent."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
        for key in secrets
    )
