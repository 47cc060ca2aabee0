"""Makes transcripts comparable (ids, times, chance), and checks what the scenarios expect."""

import re
from collections.abc import Sequence
from typing import Any

from conformance.scenarios import Json, Scenario, look_up

ID = re.compile(r"\b([a-z]{2,8})_((?:1|3)?[A-Za-z0-9]{13,})(_secret_[A-Za-z0-9]+)?")
TIMES = re.compile(
    r"(created|expires|available_on|due_by|capture_before|expires_at|canceled_at|now|at)$"
)
# Chance, or the account's own: it says only whether there is a value.
VARIES = frozenset(
    [
        "advanced_seconds", "authorization_code", "calculated_statement_descriptor", "client_ip",
        "fingerprint", "idempotency_key", "invoice_prefix", "network_transaction_id",
        "pending_webhooks", "receipt_url", "request_log_url", "risk_score", "secret", "stripe_js",
        "transaction_id", "transaction_link_id",
    ]
)  # fmt: skip
SECRET = re.compile(r"\b([a-z]+)_secret_[A-Za-z0-9]{20,}")  # a customer session has nothing else
CHALLENGE = re.compile(r"https?://\S*3d_secure_2/hosted\S*")


def normalised(transcript: Sequence[Json], run: str) -> list[Json]:
    """The same transcript with `<cus 1>` for the first customer's id, `<time>` and `<varies>`."""
    names: dict[str, str] = {}
    return [_value(entry, "", names, run) for entry in transcript]


def _value(value: Any, name: str, names: dict[str, str], run: str) -> Any:
    if isinstance(value, dict):
        return {key: _value(value[key], key, names, run) for key in sorted(value)}
    if isinstance(value, list):
        return [_value(inner, name, names, run) for inner in value]
    if value is not None and name in VARIES:
        return "<varies>"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and TIMES.search(name):
        return "<time>" if value else value
    if isinstance(value, float) and value.is_integer():  # JavaScript knows no other 1.0
        return int(value)
    if isinstance(value, str):
        text = CHALLENGE.sub("<challenge>", value.replace(run, "<run>"))
        text = SECRET.sub(r"\1_secret_<varies>", text)
        return ID.sub(lambda found: _numbered(found, names), text)
    return value


def _numbered(found: re.Match[str], names: dict[str, str]) -> str:
    prefix, secret = found.group(1), found.group(3)
    whole = f"{prefix}_{found.group(2)}"
    if whole not in names:
        count = sum(name.startswith(f"<{prefix} ") for name in names.values())
        names[whole] = f"<{prefix} {count + 1}>"
    return names[whole] + ("_secret_<varies>" if secret else "")


def list_disappointments(scenarios: Sequence[Scenario], transcript: Sequence[Json]) -> list[str]:
    """One sentence per expectation of the files that the (not normalised) transcript misses."""
    found, entries = [], iter(transcript)
    for scenario in scenarios:
        saved: Json = {}
        for step in scenario.steps:
            entry = next(entries)
            result = entry.get("answer") or entry.get("error")
            saved[step.get("save", "last")] = result
            place = f"{scenario.name}: {step['name']}"
            found += [f"{place}: {text}" for text in _missed(step, entry, saved)]
    return found


def _missed(step: Json, entry: Json, saved: Json) -> list[str]:
    is_refusal = "error" in step
    if is_refusal != ("error" in entry):
        what = entry.get("error") or entry.get("answer")
        return [f"{'answered' if is_refusal else 'refused'}: {str(what)[:300]}"]
    wanted = dict(step["error"] if is_refusal else step.get("expect", {}))
    shown = dict(entry.get("error") or entry.get("answer") or {})
    if is_refusal:
        shown |= {"class": entry["class"], "status": entry["status"]}
    return [text for path, value in wanted.items() if (text := _differs(shown, path, value, saved))]


def _differs(shown: Json, path: str, wanted: Any, saved: Json) -> str | None:
    holder, _, last = path.rpartition(".")
    parent = look_up(shown, holder) if holder else shown
    value = look_up(shown, path)
    if wanted == "-":
        return f"{path} is {value!r}, not absent" if last in (parent or {}) else None
    if wanted == "*":
        return None if value is not None else f"{path} is missing"
    if isinstance(wanted, str) and wanted.startswith("$"):
        wanted = look_up(saved, wanted)
    return None if value == wanted else f"{path} is {value!r}, not {wanted!r}"


def expected_only(entry: Json, step: Json) -> Json:
    """The part of a normalised entry that can be compared when the rest depends on the account."""
    wanted = step.get("error") or step.get("expect") or {}
    shown = {**(entry.get("error") or entry.get("answer") or {})}
    kept = {path: look_up(shown, path) for path in wanted if path not in ("class", "status")}
    whole: Json = {
        name: entry[name] for name in ("scenario", "step", "class", "status") if name in entry
    }
    return {**whole, "error" if "error" in entry else "answer": kept}
