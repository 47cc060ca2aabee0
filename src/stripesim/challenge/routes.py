"""GET shows the challenge, POST decides it, and the browser goes back where it came from."""

import hmac
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from stripesim.api import Api
from stripesim.challenge.page import Words, challenge_page, message_page
from stripesim.http import (
    Answer,
    Receive,
    Request,
    Scope,
    Send,
    html_answer,
    read_request,
    send_answer,
)
from stripesim.objects.authentication import ChallengeIsOver, decide
from stripesim.objects.challenges import CHALLENGE_PATH
from stripesim.world import World

Json = dict[str, Any]
COMPLETE, FAIL = f"{CHALLENGE_PATH}/complete", f"{CHALLENGE_PATH}/fail"
UNKNOWN = "This link does not belong to a payment or to a card that is saved."
OVER = "This authentication is over. Nothing more can be confirmed or charged here."


class Challenge:
    """The page behind `next_action`, and its two buttons."""

    def __init__(self, world: World, api: Api) -> None:
        self._world = world
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(send, self._answer(await read_request(scope, receive)))

    def _answer(self, request: Request) -> Answer:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        intent = self._intent(query)
        if intent is None:
            return html_answer(404, message_page("Not found", UNKNOWN))
        if (request.method, request.path) == ("GET", CHALLENGE_PATH):
            return self._show(request, query, intent)
        if request.method == "POST" and request.path in (COMPLETE, FAIL):
            return self._decide(query, intent, is_passed=request.path == COMPLETE)
        return html_answer(405, message_page("Not possible", "Go back to the page before."))

    def _intent(self, query: dict[str, str]) -> Json | None:
        """The intent of the link, only with its client secret."""
        kind = "setup_intent" if "setup_intent" in query else "payment_intent"
        intent = self._world.objects.get(kind, query.get(kind, ""))
        secret = query.get(f"{kind}_client_secret", "")
        if intent and hmac.compare_digest(secret.encode(), intent["client_secret"].encode()):
            return intent
        return None

    def _show(self, request: Request, query: dict[str, str], intent: Json) -> Answer:
        challenge = intent["_sim"]["challenge"]
        if challenge is None or challenge["id"] != query.get("source"):
            return html_answer(200, message_page("Nothing to confirm", OVER))
        method = self._world.objects.get("payment_method", challenge["payment_method"])
        if method is None:
            return html_answer(200, message_page("Nothing to confirm", OVER))
        page = challenge_page(
            intent, method, f"{COMPLETE}?{request.query}", f"{FAIL}?{request.query}"
        )
        return html_answer(200, page)

    def _decide(self, query: dict[str, str], intent: Json, *, is_passed: bool) -> Answer:
        challenge = intent["_sim"]["challenge"]
        try:
            with self._world.database.transaction():
                call = self._api.call_of_time()
                decide(call, intent, query.get("source", ""), is_passed=is_passed)
        except ChallengeIsOver:
            return html_answer(409, message_page("Nothing to confirm", OVER))
        has_worked = is_passed and intent["status"] != "requires_payment_method"
        return_url = (challenge or {}).get("return_url")
        if not return_url:
            return html_answer(200, _result_page(intent, has_worked=has_worked))
        location = _with_result(return_url, intent, has_worked=has_worked)
        return Answer(303, b"", {"Location": location, "Cache-Control": "no-store"})


def _result_page(intent: Json, *, has_worked: bool) -> str:
    noun = Words.of(intent).noun
    if has_worked:
        return message_page(f"{noun} confirmed", "You can go back to the shop now.")
    return message_page(f"{noun} not confirmed", "You can go back to the shop and try again.")


def _with_result(return_url: str, intent: Json, *, has_worked: bool) -> str:
    """The return_url with Stripe's three parameters, keeping its own."""
    parts = urlsplit(return_url)
    kind = intent["object"]
    result = urlencode(
        {
            kind: intent["id"],
            f"{kind}_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if has_worked else "failed",
        }
    )
    query = f"{parts.query}&{result}" if parts.query else result
    return urlunsplit(parts._replace(query=query))
