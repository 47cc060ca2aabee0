"""One request to an endpoint: where it goes, and what the other side may do to us. Nothing."""

import asyncio
import datetime
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from paidonce.endpoints import Endpoint
from paidonce.outgoing import courier
from paidonce.outgoing.courier import Courier, Sent

HERE, INSIDE = "127.0.0.1", "127.0.0.2"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """Listens on an address, keeps what came, and behaves as told."""

    def __init__(self, serve: Serve | bytes = OK) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._serve = serve

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                if isinstance(self._serve, bytes):
                    writer.write(self._serve)
                    await writer.drain()
                else:
                    await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    serve: Serve | bytes = OK, *, host: str = HERE, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(serve)
    server = await asyncio.start_server(receiver.handle, host, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@asynccontextmanager
async def courier_to(url: str, *addresses: list[str], **options: Any) -> AsyncIterator[Courier]:
    """`addresses` are what the resolver answers, one look-up after the other; HERE counts as
    outside, everything else as it is."""
    answers = iter(addresses)

    async def lookup(_host: str, _port: int) -> list[str]:
        return next(answers)

    sender = Courier(
        Endpoint("shop", url, (b"k" * 32,)),
        lookup=lookup,
        is_allowed=lambda a: a == HERE,
        **options,
    )
    try:
        yield sender
    finally:
        await sender.close()


@asynccontextmanager
async def talking(serve: Serve | bytes) -> AsyncIterator[tuple[Receiver, Courier]]:
    """Somebody who answers so, and a courier on its way to him."""
    async with (
        listening(serve) as receiver,
        courier_to(f"http://a.example:{receiver.port}/", [HERE]) as sender,
    ):
        yield receiver, sender


async def send(sender: Courier) -> Sent:
    return await sender.send({"webhook-id": "1"}, b"{}")


# --- where it goes -------------------------------------------------------------------------------


async def test_the_address_that_was_checked_is_the_one_that_is_called() -> None:
    """The resolver changes its mind after its first answer; it is asked once for a connection."""
    async with listening() as public, listening(host=INSIDE, port=public.port) as inside:
        url = f"http://shop.example:{public.port}/hook"
        async with courier_to(url, [HERE], [INSIDE]) as sender:
            assert (await send(sender)).status == 204
        assert (len(public.requests), inside.connections) == (1, 0)
        assert b"Host: shop.example" in public.requests[0]


async def test_a_name_that_moves_inside_is_called_no_more() -> None:
    closing = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    async with listening(closing) as public, listening(host=INSIDE, port=public.port) as inside:
        url = f"http://shop.example:{public.port}/hook"
        async with courier_to(url, [HERE], [INSIDE]) as sender:
            assert (await send(sender)).status == 204
            assert await send(sender) == Sent(None, "its address is inside a network: not called")
        assert (len(public.requests), inside.connections) == (1, 0)


@pytest.mark.parametrize("answers", [[HERE, INSIDE], [INSIDE, HERE], [HERE, "::1"], [INSIDE]])
async def test_one_address_inside_among_the_answers_denies_all(answers: list[str]) -> None:
    async with listening() as public, listening(host=INSIDE, port=public.port) as inside:
        async with courier_to(f"http://shop.example:{public.port}/", answers) as sender:
            assert (await send(sender)).note == "its address is inside a network: not called"
        assert (public.connections, inside.connections) == (0, 0)


async def test_an_address_that_passes_no_resolver_is_checked_at_its_socket() -> None:
    async with listening(host=INSIDE) as inside:
        async with courier_to(f"http://{INSIDE}:{inside.port}/") as sender:
            assert (await send(sender)).note == "its address is inside a network: not called"
        assert inside.connections == 0


@pytest.mark.parametrize("host", ["localhost", HERE, "127.0.0.1.nip.example"])
async def test_the_rules_to_send_with_know_loopback(host: str) -> None:
    """The defaults: nothing on this machine is called but an endpoint of development."""
    async with listening() as receiver:
        url = f"http://{host}:{receiver.port}/"

        async def lookup(_host: str, _port: int) -> list[str]:
            return [HERE]

        for is_loopback in (False, True):
            sender = Courier(Endpoint("a", url, (b"k",), is_loopback=is_loopback), lookup=lookup)
            sent = await send(sender)
            await sender.close()
            assert (sent.status == 204) is is_loopback, sent
        assert receiver.connections == 1


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with listening(host=INSIDE) as inside:
        for status in (301, 302, 303, 307, 308):
            place = f"http://{INSIDE}:{inside.port}/"
            answer = f"HTTP/1.1 {status} Moved\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
            async with listening(answer.encode()) as public:
                async with courier_to(f"http://a.example:{public.port}/", [HERE]) as sender:
                    sent = await send(sender)
                assert sent.status == status and not sent.is_delivered
        assert inside.connections == 0


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as proxy, listening() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        async with courier_to(f"http://a.example:{receiver.port}/", [HERE]) as sender:
            assert (await send(sender)).status == 204
        assert (proxy.connections, receiver.connections) == (0, 1)


async def test_no_cookie_is_kept_and_a_connection_is() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"
    async with talking(answer) as (receiver, sender):
        for _ in range(3):
            assert (await send(sender)).is_delivered
        assert receiver.connections == 1
        assert all(b"cookie" not in request.lower() for request in receiver.requests)


async def test_a_name_that_nobody_knows_is_said() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    sender = Courier(Endpoint("a", "https://a.example/", (b"k",)), lookup=lookup)
    assert (await send(sender)).note == "its name was not found"
    await sender.close()


# --- what the other side does --------------------------------------------------------------------


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> None:
    for place in range(len(text)):
        writer.write(text[place : place + 1])
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_an_answer_that_drips_ends_with_our_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "SEND_SECONDS", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drip(reader, writer, b"HTTP/1.1 200 OK\r\nX-Long: " + 5000 * b"a")

    async with talking(serve) as (_, sender):
        began = time.monotonic()
        assert await send(sender) == Sent(None, "no answer in time")
        assert time.monotonic() - began < 1


async def test_answers_before_the_answer_are_passed_over_while_they_are_few() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with talking(early * courier.MOST_EARLY_ANSWERS + OK) as (receiver, sender):
        assert [await send(sender) for _ in range(2)] == [Sent(204), Sent(204)]
        assert receiver.connections == 1


async def test_answers_before_the_answer_do_not_come_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them is work, for as long as a request may last."""
    monkeypatch.setattr(courier, "SEND_SECONDS", 2.0)

    async def prattle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
            await writer.drain()

    async with talking(prattle) as (_, sender):
        assert await send(sender) == Sent(None, "the call failed: TooManyAnswers")


async def test_a_body_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is the answer."""
    monkeypatch.setattr(courier, "ANSWER_SECONDS", 0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
        await drip(reader, writer, 4000 * b"a")

    async with talking(serve) as (_, sender):
        began = time.monotonic()
        assert (await send(sender)).is_delivered
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_huge_body_is_not_read(is_chunked: bool) -> None:
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        head = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 10000000000"
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        chunk = 65_536 * b"a"
        while written < 100_000_000:
            writer.write(b"10000\r\n" + chunk + b"\r\n" if is_chunked else chunk)
            await writer.drain()
            written += len(chunk)

    async with talking(serve) as (_, sender):
        assert (await send(sender)).is_delivered
    assert written < 10_000_000


async def test_what_is_packed_stays_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(3_000_000))
    assert len(bomb) < courier.MOST_ANSWER_BYTES
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    read: list[int] = []
    plain = courier.aiohttp.StreamReader.read

    async def counted(self: Any, n: int = -1) -> bytes:
        data: bytes = await plain(self, n)
        read.append(len(data))
        return data

    monkeypatch.setattr(courier.aiohttp.StreamReader, "read", counted)
    async with talking(head + bomb) as (_, sender):
        assert (await send(sender)).is_delivered
    assert sum(read) == len(bomb)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + 100_000 * b"a" + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + 5000 * b"X: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
    ],
)
async def test_what_is_no_success_is_a_failure_and_no_exception(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.write_eof()
        raise ConnectionError

    async with talking(serve) as (_, sender):
        sent = await send(sender)
    assert not sent.is_delivered and sent.note


@pytest.mark.parametrize("status", [300, 304, 400, 404, 410, 429, 500, 503, 599])
async def test_only_2xx_is_delivered(status: int) -> None:
    answer = b"HTTP/1.1 %d Some\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" % status
    async with talking(answer) as (_, sender):
        sent = await send(sender)
    assert (sent.status, sent.note, sent.retry_after) == (status, f"answered {status}", "7")
    assert not sent.is_delivered


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0), ("0", 0.0), (None, None), ("soon", None), ("-1", None), ("\u0663", None),
        ("99999999999999", 999999999.0), ("Fri, 27 Nov 2026 00:01:00 GMT", 60.0),
        ("Fri, 27 Nov 2020 00:00:00 GMT", 0.0), ("Fri, 27 Nov 2026 00:01:00", 60.0),
        ("Fri, 27 Nov 2026 00:01:00 +9999999999999999", None),
        ("Fri, 27 Nov 99999999999999999999 00:01:00 GMT", None),
        ("Fri, 27 Nov 2026 99999999999:01:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    now = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
    assert Sent(503, None, text).retry_after_seconds(now) == seconds


# --- TLS -----------------------------------------------------------------------------------------


def make_certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts its issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_tls_is_verified_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    server, trust = make_certificate(tmp_path, "shop.example")
    async with listening(tls=server) as receiver:
        right, wrong = (
            f"https://shop.example:{receiver.port}/",
            f"https://a.example:{receiver.port}/",
        )
        async with courier_to(right, [HERE], trust=trust) as sender:
            assert (await send(sender)).status == 204
        for url, trusted in (
            (wrong, trust),
            (f"https://{HERE}:{receiver.port}/", trust),
            (right, None),
        ):
            async with courier_to(url, [HERE], trust=trusted) as sender:
                assert await send(sender) == Sent(None, "its certificate is not trusted")
        assert len(receiver.requests) == 1
