"""Bytes that are nearly a request, or several, or none."""

import random

from proof.fuzz.generate import Generator

PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff\xfe",
    b" ",
    b"\t",
    b":",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"HTTP/1.1",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"Host: a\r\nHost: b\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"X: " + b"y" * 9000 + b"\r\n",
    b"Expect: 100-continue\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


class Spoiler:
    def __init__(self, generator: Generator, seed: int) -> None:
        self._generator = generator
        self._dice = random.Random(seed)

    def data(self) -> bytes:
        if self._dice.random() < 0.03:
            return self._dice.randbytes(self._dice.randint(1, 300))
        requests = [self._generator.request() for _ in range(self._dice.choice((1, 1, 1, 2, 5)))]
        # The answer to HEAD says how long a body is that does not come; who reads must know.
        data = b"".join(each.encode() for each in requests if each.method != "HEAD")
        for _ in range(self._dice.choice((0, 1, 1, 2, 4))):
            data = self._spoil(data)
        return data

    def _spoil(self, data: bytes) -> bytes:
        """Mostly in the head, where the meaning is."""
        end = data.find(b"\r\n\r\n") + 4 if self._dice.random() < 0.7 else len(data)
        place = self._dice.randint(0, max(end, 1))
        width = self._dice.choice((1, 1, 2, 10))
        rest = data[place + width :]
        return self._dice.choice(
            (
                data[:place] + rest,
                data[:place] + data[place : place + width] * 3 + rest,
                data[:place] + self._dice.randbytes(width) + rest,
                data[:place] + self._dice.choice(PIECES) + data[place:],
                data[:place] + self._dice.choice(PIECES) + rest,
                data[:place],
                data[:place] + bytes(byte ^ 0x20 for byte in data[place : place + width]) + rest,
            )
        )
