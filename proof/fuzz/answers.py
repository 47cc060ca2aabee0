"""What is wrong with an answer. Nothing here is the service's own code."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
NEXT_STEPS = {"done", "authenticate", "retry", "use_other_method", "wait", "sign_in"}
NEXT_STEPS |= {"fix_request", "contact_support"}
UNROUTED = frozenset({400, 401, 404, 405, 413, 429, 503})
"""What a path, or a method, that is nobody's may be answered."""
INNARDS = re.compile(
    r"Traceback|site-packages|\.py\b|asyncpg|sqlite3?\.|SELECT |INSERT |0x[0-9a-f]{8}"
)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # by lower-case name
    body: bytes


class Judge:
    """`document`: the server's OpenAPI. `secrets`: words that no answer may hold."""

    def __init__(self, document: Json, secrets: Iterable[str]) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._described: dict[tuple[str, str], set[int]] = {
            (method.upper(), template): {int(status) for status in operation["responses"]}
            for template, operations in document["paths"].items()
            for method, operation in operations.items()
        }
        self._any = UNROUTED.union(*self._described.values())

    def find_flaws(
        self,
        route: tuple[str, str] | None,
        sent: str,
        answer: Answer,
        *,
        has_envelope: bool = True,
    ) -> list[str]:
        """`route`: (method, template) of what was asked for, None where that is not known; `sent`:
        the request, since a word of it may come back; the metrics, and what answers HEAD, have no
        envelope."""
        text = answer.body.decode("utf-8", "replace")
        flaws = [f"a secret of ours stands in it: {s[:12]}…" for s in self._secrets if s in text]
        innards = {found.group() for found in INNARDS.finditer(text)}
        flaws += [f"it shows the inside: {word}" for word in innards if word not in sent]
        if answer.status >= 500 and answer.status != 503:
            flaws.append(f"status {answer.status}")
        described = self._described[route] if route else self._any
        if answer.status not in described and _code_of(text) != "not_found":
            flaws.append(f"status {answer.status} is not described for {route}")
        return flaws + (_find_flaws_of_envelope(answer, text) if has_envelope else [])


def _code_of(text: str) -> str:
    try:
        return str(json.loads(text).get("code"))
    except (ValueError, AttributeError):
        return ""


def _find_flaws_of_envelope(answer: Answer, text: str) -> list[str]:
    if answer.headers.get("content-type") != "application/json":
        return [f"content type {answer.headers.get('content-type')}"]
    try:
        body = json.loads(text)
    except ValueError:
        return ["it is no JSON"]
    if not isinstance(body, dict):
        return ["it is no object"]
    checks = {
        "status": body.get("status") in ("success", "requires_action", "error"),
        "message": isinstance(body.get("message"), str) and body["message"] != "",
        "nextStep": body.get("nextStep") in NEXT_STEPS,
        "requestId": body.get("requestId") == answer.headers.get("request-id"),
        "cache-control": answer.headers.get("cache-control") == "no-store",
    }
    if body.get("status") == "error":
        found = body.get("errors")
        checks |= {
            "errors": isinstance(found, list) and found != [] and all(map(_is_text, found)),
            "code": isinstance(body.get("code"), str)
            and re.fullmatch("[a-z0-9_]+", body["code"]) is not None,
            "no data": "data" not in body,
            "status of an error": answer.status >= 400,
            "retry-after": str(body.get("retryAfter", "")) == answer.headers.get("retry-after", ""),
        }
    else:
        checks |= {
            "data": "data" in body,
            "no errors": "errors" not in body and "code" not in body,
            "status 200": answer.status == 200,
        }
    return [f"the envelope's {name} is wrong" for name, is_right in checks.items() if not is_right]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
