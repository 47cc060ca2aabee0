"""What an answer of the API has to look like, whatever was asked."""

import json
from collections.abc import Collection
from typing import Any

Json = dict[str, Any]
STATUSES = (200, 400, 401, 403, 402, 404, 409, 413, 429)
ERROR_TYPES = ("api_error", "card_error", "idempotency_error", "invalid_request_error")
TEXTS = (
    "code", "param", "message", "type", "doc_url", "request_log_url", "decline_code", "charge",
    "advice_code", "network_advice_code", "network_decline_code", "payment_method_type",
)  # fmt: skip
OBJECTS = ("payment_intent", "payment_method", "setup_intent", "source")
PRIVATE_WORDS = ('"_sim"', "Traceback", "stripesim/", "sqlite3")


def private_words_in(sent: str) -> set[str]:
    """The private words that a request itself says: hypothesis takes texts from our own source."""
    return {word for word in PRIVATE_WORDS if word.strip('"') in sent}


def find_flaws(
    status: int, headers: dict[str, str], text: str, said: Collection[str] = ()
) -> list[str]:
    """One sentence per way in which this is no answer of Stripe's.

    said: private words that may come back, since a request said them.
    """
    leaked = [word for word in PRIVATE_WORDS if word in text and word not in said]
    flaws = [f"the answer holds {word}" for word in leaked]
    if status not in STATUSES:
        return [*flaws, f"status {status}"]
    if headers.get("content-type") != "application/json":
        return [*flaws, f"content type {headers.get('content-type')}"]
    try:
        body = json.loads(text)
    except ValueError:
        return [*flaws, "the answer is no JSON"]
    if not isinstance(body, dict):
        return [*flaws, f"the answer is a {type(body).__name__}"]
    if status not in (401, 413):
        flaws += [f"no {n}" for n in ("request-id", "stripe-version") if n not in headers]
    return flaws + (_object(body) if status == 200 else _error(status, body))


def _error(status: int, body: Json) -> list[str]:
    error = body.get("error")
    if list(body) != ["error"] or not isinstance(error, dict):
        return [f"no error alone, but {list(body)}"]
    flaws = [f"error.{name} is {value!r}" for name, value in error.items() if value is None]
    flaws += [f"error.{n} is unknown" for n in error if n not in TEXTS and n not in OBJECTS]
    flaws += [f"error.{n} is no text" for n in TEXTS if not isinstance(error.get(n, ""), str)]
    flaws += [f"error.{n} is no object" for n in OBJECTS if not isinstance(error.get(n, {}), dict)]
    if error.get("type") not in ERROR_TYPES or not error.get("message"):
        flaws.append(f"error of type {error.get('type')!r}, message {error.get('message')!r}")
    if (status == 402) != (error.get("type") == "card_error"):
        flaws.append(f"{error.get('type')} with {status}")
    if ("code" in error) != ("doc_url" in error) and "message_code" not in error:
        flaws.append("code and doc_url do not go together")
    return flaws


def _object(body: Json) -> list[str]:
    if body.get("object") in ("list", "search_result"):
        return _page(body)
    if not isinstance(body.get("object"), str):
        return ["an object without its kind"]
    if not isinstance(body.get("id", ""), str) or body.get("id") == "":
        return ["an object without an id"]
    return []


def _page(body: Json) -> list[str]:
    data = body.get("data")
    if not isinstance(data, list) or not isinstance(body.get("has_more"), bool):
        return ["a page without data or has_more"]
    if not isinstance(body.get("url"), str):
        return ["a page without its url"]
    ids = [item.get("id") for item in data]
    flaws = [] if len(set(ids)) == len(ids) else ["a page with one object twice"]
    return flaws + [flaw for item in data for flaw in _object(item)]
