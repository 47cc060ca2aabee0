"""The simulator as the demo needs it: its control plane, and its API for the usual repair."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import aiohttp

Json = dict[str, Any]
TIMEOUT = aiohttp.ClientTimeout(total=10)
SENDS = 3
PAUSE_SECONDS = 0.1


class Simulator:
    """The simulator at `url`. Every call opens its own connection; a demo is not in a hurry."""

    def __init__(self, url: str, secret_key: str) -> None:
        self.url = url
        self._secret_key = secret_key

    async def ledger_of(self, order_ids: list[str]) -> Json:
        """Per order its successful charges and the money taken, by the append-only ledger."""
        _, audit = await self._control("GET", "/_sim/audit?group_by=order_id")
        groups = {group["key"]: group for group in audit["groups"]}
        return {
            order_id: {
                "charges": groups.get(order_id, {}).get("succeeded_charges", 0),
                "amountMinor": groups.get(order_id, {}).get("amount_captured", 0),
            }
            for order_id in order_ids
        }

    async def add_fault(self, kind: str, **match: str) -> None:
        await self._control("POST", "/_sim/faults", {"match": match, "fault": {"kind": kind}})

    async def clear_faults(self) -> None:
        await self._control("DELETE", "/_sim/faults")

    async def authenticate(self, intent_id: str, outcome: str) -> int:
        """What a button of the challenge page does; the status of the control plane's answer."""
        path = f"/_sim/payment_intents/{intent_id}/authenticate"
        status, _ = await self._control("POST", path, {"outcome": outcome})
        return status

    async def post(self, path: str, params: Mapping[str, str]) -> tuple[int, Json]:
        """An API call as Stripe's SDKs make it: after a lost answer they send again by themselves,
        under a key made for this call. Raises ConnectionError when every answer was lost."""
        headers = {"Authorization": f"Bearer {self._secret_key}", "Idempotency-Key": str(uuid4())}
        for _ in range(SENDS):
            try:
                return await self._send("POST", path, data=params, headers=headers)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(PAUSE_SECONDS)
        raise ConnectionError("An error occurred with our connection to Stripe.")

    async def _control(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        return await self._send(method, path, json=body)

    async def _send(self, method: str, path: str, **content: Any) -> tuple[int, Json]:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.request(method, f"{self.url}{path}", **content) as response,
        ):
            body: Json = await response.json(content_type=None)
            return response.status, body
