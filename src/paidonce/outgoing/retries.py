"""When an event that was not taken is sent again: Standard Webhooks' schedule, over three days."""

import random
from datetime import timedelta

PAUSES_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
MOST_TRIES = len(PAUSES_SECONDS) + 1
JITTER = 0.2
"""Every pause is up to so much longer, so that those that failed together do not come together."""
LONGEST_PAUSE_SECONDS = 86_400
"""What an endpoint's Retry-After may ask for."""
THROTTLED = (429, 502, 503, 504)
"""Answers that mean the endpoint and not the event: it is left alone for a while."""
THROTTLE_SECONDS = 10.0
LONGEST_THROTTLE_SECONDS = 300.0
GONE = 410


def pause_after(tries: int, asked_seconds: float | None) -> timedelta | None:
    """Until the next try; None: that was the last one. `asked_seconds`: its Retry-After."""
    if tries >= MOST_TRIES:
        return None
    own = PAUSES_SECONDS[tries - 1] * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
    return timedelta(seconds=max(own, min(asked_seconds or 0.0, LONGEST_PAUSE_SECONDS)))


def throttle_for(status: int | None, asked_seconds: float | None) -> timedelta | None:
    """How long the whole endpoint is left alone; None: it is not."""
    if status not in THROTTLED:
        return None
    seconds = THROTTLE_SECONDS if asked_seconds is None else asked_seconds
    return timedelta(seconds=min(seconds, LONGEST_THROTTLE_SECONDS))
