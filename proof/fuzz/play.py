"""Sends requests and bytes, so many at a time, and collects what is wrong with the answers."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from proof.fuzz.answers import Answer, Judge
from proof.fuzz.generate import Generator, Request
from proof.fuzz.send import Line, NoAnswer, send_bytes
from proof.fuzz.spoil import Spoiler
from proof.fuzz.target import Target

LINES = 12
RAW_LINES = 48
MOST_FINDINGS = 20
MOST_VALUES = 400
SAVED = "/api/mobile-app/payments/methods"


@dataclass
class Report:
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    silent: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return len(self.findings) >= MOST_FINDINGS


class Player:
    def __init__(self, target: Target, judge: Judge, seed: int) -> None:
        self._target, self._judge = target, judge
        self._generator = Generator(target, seed)
        self._spoiler = Spoiler(self._generator, seed)
        self.report = Report()

    async def send_requests(self, count: int) -> None:
        left = iter(range(count))

        async def go_on() -> None:
            async with Line(self._target.port) as line:
                for _ in left:
                    if self.report.is_over:
                        return
                    await self._send(line, self._generator.request())

        await asyncio.gather(*(go_on() for _ in range(LINES)))

    async def _send(self, line: Line, request: Request) -> None:
        self.report.requests += 1
        try:
            answer = await line.ask(request)
        except NoAnswer as error:
            self._found(request.encode(), f"no answer: {error}")
            return
        self._look_at(request.route, request.encode(), answer, is_head=request.method == "HEAD")
        if request.route is not None:
            self.report.routes[" ".join(request.route)] += 1
            self._learn(request.route, answer)

    async def send_raw(self, count: int) -> None:
        left = iter(range(count))

        async def go_on() -> None:
            for _ in left:
                if self.report.is_over:
                    return
                data = self._spoiler.data()
                self.report.requests += 1
                try:
                    answers = await send_bytes(self._target.port, data)
                except (ValueError, OSError) as error:
                    self._found(data, f"no HTTP came back: {error!r}")
                    continue
                self.report.silent += not answers
                for answer in answers:
                    self._look_at(None, data, answer)

        await asyncio.gather(*(go_on() for _ in range(RAW_LINES)))

    def _look_at(
        self,
        route: tuple[str, str] | None,
        sent: bytes,
        answer: Answer,
        *,
        is_head: bool = False,
    ) -> None:
        self.report.statuses[answer.status] += 1
        is_metrics = answer.headers.get("content-type", "").startswith("text/plain; version=")
        text, has_envelope = sent.decode("latin-1"), not (is_head or is_metrics)
        for flaw in self._judge.find_flaws(route, text, answer, has_envelope=has_envelope):
            self._found(sent, f"{flaw}: {answer.status} {answer.body[:300]!r}")

    def _found(self, sent: bytes, what: str) -> None:
        self.report.findings.append(f"{what}\n      sent {sent[:1500]!r}")

    def _learn(self, route: tuple[str, str], answer: Answer) -> None:
        """New orders, intents and saved cards become what later requests name."""
        try:
            body: Any = json.loads(answer.body)
        except ValueError:
            return
        self.report.codes[str(body.get("code", body.get("status")))] += 1
        data = body.get("data")
        if not isinstance(data, dict):
            return
        names = {"orderId": "order", "paymentIntentId": "payment_intent"}
        if route[1] == SAVED:
            names = {"id": "saved_method"}
        for name, kind in names.items():
            if route[0] == "POST" and isinstance(data.get(name), str):
                known = self._target.values[kind]
                known.append(data[name])
                del known[:-MOST_VALUES]
