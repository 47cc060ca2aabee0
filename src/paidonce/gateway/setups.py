"""SetupIntents: each made with a key, and looked at with the attempts that the app made."""

from collections.abc import Mapping
from datetime import datetime

from paidonce.domain.intent import Failure, SetupAttempt, SetupIntent
from paidonce.gateway.client import Keyed, StripeGateway
from paidonce.gateway.translate import translate_setup_attempt, translate_setup_intent

PATH = "/v1/setup_intents"


async def create_setup_intent(
    gateway: StripeGateway, request: Keyed, time_left: float
) -> SetupIntent | Failure:
    """POST /v1/setup_intents, never with `confirm`."""
    return await gateway.write("create_setup", PATH, request, time_left, translate_setup_intent)


async def cancel_setup_intent(
    gateway: StripeGateway, setup_intent_id: str, request: Keyed, time_left: float
) -> SetupIntent | Failure:
    """POST /v1/setup_intents/:id/cancel."""
    path = f"{PATH}/{setup_intent_id}/cancel"
    return await gateway.write("cancel_setup", path, request, time_left, translate_setup_intent)


async def retrieve_setup_intent(
    gateway: StripeGateway, setup_intent_id: str, time_left: float
) -> SetupIntent | Failure:
    """GET /v1/setup_intents/:id with its PaymentMethod."""
    query = {"expand": ["payment_method"]}
    path = f"{PATH}/{setup_intent_id}"
    return await gateway.read(path, query, time_left, translate_setup_intent, name="retrieve_setup")


async def list_setup_attempts(
    gateway: StripeGateway, setup_intent_id: str, time_left: float
) -> list[SetupAttempt] | Failure:
    """GET /v1/setup_attempts of a SetupIntent, newest first."""
    query = {"setup_intent": setup_intent_id}
    return await gateway.read_list("/v1/setup_attempts", query, translate_setup_attempt, time_left)


async def find_setup_intents(
    gateway: StripeGateway,
    customer_id: str,
    metadata: Mapping[str, str],
    since: datetime,
    time_left: float,
) -> list[SetupIntent] | Failure:
    """GET /v1/setup_intents of a customer from that time on, newest first: those whose metadata
    holds the given values."""
    query = {"customer": customer_id, "created": {"gte": int(since.timestamp())}}
    found = await gateway.read_list(PATH, query, translate_setup_intent, time_left)
    if isinstance(found, Failure):
        return found
    return [each for each in found if metadata.items() <= each.metadata.items()]
