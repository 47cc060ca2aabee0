"""The simulator as the demo needs it: its control plane, and its API for the usual repair."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import aiohttp

Json = dict[str, Any]
CALL_SECONDS = 7.0  # three sends end before the app gives up, after 30 s
FAULT_SECONDS = 2.0
SENDS = 3
PAUSE_SECONDS = 0.1


class Simulator:
    """The simulator at `url`. Every call opens its own connection; a demo is not in a hurry.

    A call that gets no answer, or one that cannot be read, raises ConnectionError.
    """

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

    async def add_fault(self, kind: str, **match: str) -> bool:
        """Whether the simulator took it. Never raises, nor does `clear_faults`."""
        return await self._faults("POST", {"match": match, "fault": {"kind": kind}})

    async def clear_faults(self) -> bool:
        return await self._faults("DELETE")

    async def _faults(self, method: str, body: Json | None = None) -> bool:
        try:
            status, _ = await self._send(method, "/_sim/faults", FAULT_SECONDS, json=body)
        except ConnectionError:
            return False
        return status == 200

    async def authenticate(self, intent_id: str, outcome: str) -> int:
        """What a button of the challenge page does; the status of the control plane's answer."""
        path = f"/_sim/payment_intents/{intent_id}/authenticate"
        status, _ = await self._control("POST", path, {"outcome": outcome})
        return status

    async def post(self, path: str, params: Mapping[str, str]) -> tuple[int, Json]:
        """An API call as Stripe's SDKs make it: after a lost answer they send again by themselves,
        under a key made for this call."""
        headers = {"Authorization": f"Bearer {self._secret_key}", "Idempotency-Key": str(uuid4())}
        for _ in range(SENDS):
            try:
                return await self._send("POST", path, CALL_SECONDS, data=params, headers=headers)
            except ConnectionError:
                await asyncio.sleep(PAUSE_SECONDS)
        raise ConnectionError("An error occurred with our connection to Stripe.")

    async def _control(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        return await self._send(method, path, CALL_SECONDS, json=body)

    async def _send(
        self, method: str, path: str, seconds: float, **content: Any
    ) -> tuple[int, Json]:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session,
                session.request(method, f"{self.url}{path}", **content) as response,
            ):
                body: Json = await response.json(content_type=None)
                return response.status, body
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ConnectionError("The simulator did not answer.") from error
