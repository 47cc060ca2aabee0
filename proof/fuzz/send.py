"""Connections that send what they are given and read what comes, by hand: a client's library would
not let bad requests out."""

import asyncio
import contextlib
from typing import Self

from proof.fuzz.answers import Answer
from proof.fuzz.generate import Request

ANSWER_SECONDS = 60.0
SILENCE_SECONDS = 0.25
"""After which nothing more is expected of bytes that may be no request."""
MOST_BYTES = 1 << 22


class NoAnswer(Exception):
    """The connection ended, or time was over, before a whole answer had come."""


class Line:
    """One kept connection; a closed one is opened again by the next request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def ask(self, request: Request) -> Answer:
        """Raises NoAnswer. A kept connection that the server has closed is tried once more."""
        is_kept = self._writer is not None
        try:
            return await self._ask(request)
        except NoAnswer:
            if not is_kept:
                raise
        return await self._ask(request)

    async def _ask(self, request: Request) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self._open()
                writer.write(request.encode())
                answer = await read_answer(reader, is_head=request.method == "HEAD")
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self._close()
            raise NoAnswer(repr(error)) from error
        if answer.headers.get("connection") == "close" or answer.status == 400:
            self._close()
        return answer

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._reader, self._writer

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def read_answer(reader: asyncio.StreamReader, *, is_head: bool = False) -> Answer:
    """Raises EOFError before the whole answer has come, ValueError for what is none."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        version, _, rest = first.partition(" ")
        if version != "HTTP/1.1":
            raise ValueError(f"not HTTP: {first[:40]!r}")
        status = int(rest[:3])
        if status >= 200:
            break
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    length = 0 if is_head else int(headers["content-length"])
    return Answer(status, headers, await reader.readexactly(length))


async def send_bytes(port: int, data: bytes) -> list[Answer]:
    """On a connection of its own; every answer that comes until nobody says anything more. Raises
    ValueError for what is no HTTP, OSError when nobody listens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers: list[Answer] = []
    try:
        writer.write(data)
        with contextlib.suppress(TimeoutError, EOFError, ConnectionError):
            while len(answers) < 50:
                async with asyncio.timeout(SILENCE_SECONDS):
                    answers.append(await read_answer(reader))
    finally:
        writer.transport.abort()
    return answers
