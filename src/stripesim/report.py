"""What a simulator was asked and what it sent, as lines of text for a failed test's report."""

from datetime import UTC, datetime
from typing import Any

from stripesim.testing import ControlClient

Json = dict[str, Any]
MOST_REQUESTS, MOST_EVENTS = 30, 15
LONGEST_KEY = 24
TIMEOUT_SECONDS = 2.0


def sections_of(simulator: ControlClient) -> list[tuple[str, str]]:
    """(title, text) of the requests, of the events and of the fault rules; nothing empty.

    What the control plane shows is redacted already.

    Raises ControlError and OSError when the simulator gives no answer.
    """
    asked = simulator.within(TIMEOUT_SECONDS)
    requests, count = asked.last_requests(MOST_REQUESTS), asked.state()["last_seq"]
    events, faults = asked.events(limit=MOST_EVENTS), asked.faults()
    found = [
        (f"requests to stripesim {simulator.url}", _with_rest(requests_text(requests), count)),
        ("events of stripesim, newest first", "\n".join(map(event_line, events))),
        ("fault rules of stripesim", "\n".join(map(fault_line, faults))),
    ]
    return [(title, text) for title, text in found if text]


def requests_text(requests: list[Json]) -> str:
    """One line each: time, method, path, status, and whatever is out of the ordinary."""
    width = max((len(line["method"] + line["path"]) for line in requests), default=0)
    return "\n".join(_request_line(line, width) for line in requests)


def _request_line(line: Json, width: int) -> str:
    place = f"{line['method']} {line['path']}".ljust(width + 1)
    status = str(line["status"] or "cut")
    key = line["idempotency_key"]
    notes = [
        line["error_code"],
        f"key={key if len(key) <= LONGEST_KEY else key[:LONGEST_KEY] + '…'}" if key else None,
        "replayed" if line["replayed"] else None,
        f"fault={line['fault']}" if line["fault"] else None,
    ]
    return " ".join([_time(line["at"]), place, status, *filter(None, notes)])


def _with_rest(text: str, count: int) -> str:
    left_out = count - len(text.splitlines()) if text else 0
    return f"… {left_out} before\n{text}" if left_out > 0 else text


def event_line(event: Json) -> str:
    deliveries = [
        delivery["state"]
        + (f" to {delivery['url']}" if delivery["url"] else "")  # the endpoint may be gone
        + (f" ({delivery['answered']})" if delivery["answered"] else "")
        for delivery in event["deliveries"]
    ]
    words = [_time(event["created"])[:8], event["type"], event["about"]["id"] or "", *deliveries]
    return " ".join(words)


def fault_line(rule: Json) -> str:
    match = " ".join(f"{k}={v}" for k, v in rule["match"].items() if v is not None)
    return (
        f"{rule['fault']['kind']} for {match}: matched {rule['matched']}, struck {rule['struck']}"
    )


def _time(at: float) -> str:
    """On the simulator's clock, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
