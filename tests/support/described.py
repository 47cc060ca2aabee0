"""What the OpenAPI says of an answer: every answer that a test looks at is held against it."""

from datetime import UTC, datetime
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from fastapi import APIRouter
from fastapi.routing import APIRoute

from paidonce.api import UseCases
from paidonce.api.routes import add_routes
from paidonce.settings import Settings
from stripesim.testing import PUBLISHABLE_KEY, SECRET_KEY
from support.environment import JWT_SECRET, MERCHANT_API_KEY, WEBHOOK_SECRET


@cache
def described_routes() -> list[APIRoute]:
    """Every route that the OpenAPI shows, all sides of the server open."""
    settings = Settings(
        stripe_secret_key=cast("Any", SECRET_KEY),
        stripe_publishable_key=PUBLISHABLE_KEY,
        stripe_webhook_secret=cast("Any", WEBHOOK_SECRET),
        payment_return_url="shop://return",
        auth_jwt_secret=cast("Any", JWT_SECRET),
        merchant_api_key=cast("Any", MERCHANT_API_KEY),
    )
    router = APIRouter()
    add_routes(router, settings, cast("UseCases", None), lambda: datetime.now(UTC))
    return [
        route for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema
    ]


def assert_described(response: requests.Response) -> None:
    """Of a route that it names, the OpenAPI names this status too (a side of the server that its
    settings leave closed is not named, and answers `not_found`)."""
    if response.json().get("code") == "not_found":
        return
    method, path = str(response.request.method), urlsplit(str(response.request.url)).path
    for route in described_routes():
        if method in (route.methods or ()) and route.path_regex.match(path):
            described = {int(status) for status in route.responses}
            assert response.status_code in described, (method, route.path, response.text)
