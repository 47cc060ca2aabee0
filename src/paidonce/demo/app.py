"""What `paidonce demo` serves: the service as `paidonce serve` does, and the page at `/demo`.

Started as `python -m paidonce.demo.app`, by `paidonce demo` and nobody else: `paidonce serve`
knows nothing of these routes.
"""

import asyncio
import os
import sys
from mimetypes import guess_type
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from paidonce.api.drain import Drain
from paidonce.api.server import serve
from paidonce.demo.body import json_object
from paidonce.demo.lost_answers import LostAnswers
from paidonce.demo.processes import PRODUCTS
from paidonce.demo.repair import Repair
from paidonce.demo.simulator import Simulator
from paidonce.main import build_app
from paidonce.main.schema import preflight
from paidonce.observability import configure_logging
from paidonce.settings import Settings, SettingsError, load_settings

PAGE = Path(__file__).parent / "page"
DEFAULT_HTTP_PORT = 80
NAMES_OF_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")
TOKEN_VARIABLE = "PAIDONCE_DEMO_TOKEN"  # noqa: S105 - the variable's name
BACK_IN_THE_APP = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Back in the app</title>
<meta name="color-scheme" content="light dark"><h1>Back in the app</h1>
<p>The authentication is over. The app goes on by itself.</p></html>"""


class DemoRoutes:
    """Everything below `/demo`."""

    def __init__(self, settings: Settings, token: str) -> None:
        self.simulator = Simulator(
            settings.stripe_api_base, settings.stripe_secret_key.get_secret_value()
        )
        self.lost_answers = LostAnswers(self.simulator)
        self._repair = Repair(
            self.simulator,
            PRODUCTS,
            settings.auth_jwt_secret.get_secret_value(),
            settings.payment_return_url,
        )
        self._session = {
            "token": token,
            "publishableKey": settings.stripe_publishable_key,
            "stripeUrl": settings.stripe_api_base,
            "products": PRODUCTS,
        }
        self._files = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.is_file()}

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            Route("/demo", self.index),
            Route("/demo/page/{name}", self.file),
            Route("/demo/back", self.back),
            Route("/demo/session", self.session),
            Route("/demo/ledger", self.ledger),
            Route("/demo/lose-answer", self.lose_answer, methods=["PUT"]),
            Route("/demo/repair/authenticate", self.authenticate, methods=["POST"]),
            Mount("/demo/repair/api/mobile-app", routes=self._repair.routes),
        ]

    async def index(self, _request: Request) -> Response:
        return HTMLResponse(self._files["index.html"], headers=self._headers("'none'"))

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            return Response(status_code=404)
        media_type = guess_type(name)[0]
        return Response(self._files[name], media_type=media_type, headers=self._headers("'none'"))

    async def back(self, _request: Request) -> Response:
        """The return_url: what the challenge page leads back to. The demo page may frame it."""
        return HTMLResponse(BACK_IN_THE_APP, headers=self._headers("'self'"))

    async def session(self, _request: Request) -> Response:
        """What is built into an app or given to it at sign-in, and the shop window."""
        return JSONResponse(self._session, headers=self._headers("'none'"))

    async def ledger(self, request: Request) -> Response:
        """`?order=…&order=…`: what Stripe's ledger says of each order."""
        try:
            ledger = await self.simulator.ledger_of(request.query_params.getlist("order"))
        except ConnectionError as error:
            return JSONResponse({"error": str(error)}, 502)
        return JSONResponse(ledger)

    async def lose_answer(self, request: Request) -> Response:
        """`{"isOn": true}`: the next pay request of each server loses Stripe's answers."""
        body = await json_object(request)
        is_on = body.get("isOn")
        if not isinstance(is_on, bool):
            return JSONResponse({"error": "isOn has to be true or false"}, 400)
        self.lost_answers.turn(is_on=is_on)
        return JSONResponse({"isOn": is_on})

    async def authenticate(self, request: Request) -> Response:
        """The same taps: the repair's challenge ends as paidonce's did."""
        body = await json_object(request)
        intent_id, outcome = str(body.get("paymentIntentId")), str(body.get("outcome"))
        if not (intent_id.isidentifier() and outcome in ("success", "fail")):
            return JSONResponse({"error": "paymentIntentId and outcome are needed"}, 400)
        try:
            status = await self.simulator.authenticate(intent_id, outcome)
        except ConnectionError as error:
            return JSONResponse({"error": str(error)}, 502)
        return JSONResponse({"isDecided": status == 200})

    def _headers(self, framed_by: str) -> dict[str, str]:
        stripe = self.simulator.url
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self' {stripe}; frame-src 'self' {stripe}; "
            f"base-uri 'none'; form-action 'none'; frame-ancestors {framed_by}"
        )
        return {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }


def for_this_machine(app: ASGIApp) -> ASGIApp:
    """`/demo` gives a token to whoever asks. A page of another site whose name was made to lead
    here (DNS rebinding) asks under its own name, and is sent away."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/demo"):
            port = scope["server"][1]
            hosts = {f"{name}:{port}" for name in NAMES_OF_THIS_MACHINE}
            if port == DEFAULT_HTTP_PORT:
                hosts.update(NAMES_OF_THIS_MACHINE)
            if Request(scope).headers.get("host", "").lower() not in hosts:
                await Response("The demo is not at this address.\n", 421)(scope, receive, send)
                return
        await app(scope, receive, send)

    return handle


def build_demo_app(settings: Settings, token: str, drain: Drain) -> ASGIApp:
    """The service, unchanged, with the demo's routes behind its own."""
    app = build_app(settings, drain=drain)
    demo = DemoRoutes(settings, token)
    app.router.routes.extend(demo.routes)
    return for_this_machine(demo.lost_answers.around(app))


def main() -> None:
    """Serve on the port given as the only argument, with the settings of the environment."""
    port = int(sys.argv[1])
    try:
        settings = load_settings()
        configure_logging()
        asyncio.run(preflight(settings))
    except SettingsError as error:
        sys.exit(f"paidonce demo: {error}")
    drain = Drain()  # nobody's balancer stands before a demo
    app = build_demo_app(settings, os.environ[TOKEN_VARIABLE], drain)
    serve(app, drain, host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
