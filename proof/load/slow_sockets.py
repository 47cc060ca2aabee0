"""python slow_sockets.py PORT COUNT [KIND]: clients that keep a server waiting, until killed.

A quarter each: half a head and a byte a second of it; a whole head and a byte a second of the body;
nothing after the first answer; many requests whose answers are never read, with the smallest
window that the system gives. Whoever is closed comes again a second later. Prints how many are
there, every second once they are nearly all.
"""

import asyncio
import contextlib
import resource
import socket
import sys
from collections.abc import Callable

DRIP_SECONDS = 1.0
BACK_SECONDS = 1.0
NEARLY_ALL = 0.95
HEAD = b"POST /api/mobile-app/orders HTTP/1.1\r\nHost: shop.example\r\n"
BODY = b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: shop.example\r\n\r\n"
KINDS = {
    "head": HEAD + b"X-Slow: ",
    "body": HEAD + BODY,
    "idle": WHOLE,
    "unread": WHOLE.replace(b"healthz", b"openapi.json") * 20,
}


async def stay(kind: str, port: int, come: set[object]) -> None:
    me = object()
    while True:
        with contextlib.suppress(OSError):  # closed by the server: come again
            await come_once(kind, port, lambda: come.add(me))
        come.discard(me)
        await asyncio.sleep(BACK_SECONDS)


async def come_once(kind: str, port: int, has_come: Callable[[], None]) -> None:
    """Until the server closes it."""
    mine = socket.socket()
    mine.setblocking(False)
    if kind == "unread":
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    await asyncio.get_running_loop().sock_connect(mine, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=mine)
    has_come()
    writer.write(KINDS[kind])
    if kind == "unread":
        writer.transport.pause_reading()  # type: ignore[attr-defined]
    while not reader.at_eof():
        await asyncio.sleep(DRIP_SECONDS)
        if kind in ("head", "body"):
            writer.write(b"x")
            await writer.drain()
    writer.close()


async def run(port: int, count: int, kinds: list[str]) -> None:
    come: set[object] = set()
    tasks = []
    for n in range(count):
        tasks.append(asyncio.create_task(stay(kinds[n % len(kinds)], port, come)))
        if n % 50 == 49:
            await asyncio.sleep(0.1)
    while len(come) < NEARLY_ALL * count:
        await asyncio.sleep(0.1)
    while True:
        print(len(come), flush=True)
        await asyncio.sleep(1)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]) + 100,) * 2)
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(KINDS)))
