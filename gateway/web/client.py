"""HTTP requests, each bounded in time and in bytes, over a connection that may stay open.

Rule 1: whatever the other side does, a request returns its answer or raises Unreachable (Refused when TLS
        says that a person has to act), within `seconds` altogether: a server that sends a byte now and then
        does not hold it up.
Rule 2: an answer larger than `bytes_max`, or cut before its end, is no answer.
Rule 3: nothing is followed, kept or tried again: that is the caller's.
Rule 4: a connection is used again only when it is certain that nothing of an earlier answer is left in it,
        and that nothing came unasked: one answer must never be taken for that to the next request.

h11, which the server side has loaded anyway, and no client library: httpx would cost 5 MiB of memory, urllib
a thread that nobody can cancel. No streams of asyncio: they drop what came before a reset, which may be the
answer, and hide what came unasked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import h11

from gateway import tls
from gateway.errors import Unreachable

HEADERS_BYTES_MAX = 16_384
RECEIVED_BYTES_MAX = 262_144  # not looked at yet; then the other side has to wait
NEXT_ADDRESS_S = (
    0.25  # until a name's next address is tried beside the first: IPv6 that leads nowhere (RFC 8305)
)


class Answer(NamedTuple):
    """Of HTTP; content_type without parameters, in small letters; names of headers in small letters."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str]
    reason: str = ""  # the word behind the status, of the server's choice


async def exchange(
    method: str, url: str, body: bytes = b"", *, seconds: float = 15.0, bytes_max: int = 65_536
) -> Answer:
    """The answer to one request. `url` is http or https; https checks the server's certificate."""
    async with _bounded("It", seconds):
        connection = await _connect(url, None, "It")
        try:
            return await connection.request(method, body, (("Connection", "close"),), bytes_max)
        finally:
            connection.close()


async def connect(
    url: str, *, seconds: float, context: ssl.SSLContext | None = None, name: str = "It"
) -> Connection:
    """A connection to the server of `url`, whom sentences call `name`."""
    async with _bounded(name, seconds):
        return await _connect(url, context, name)


class Connection:
    """One connection, for one request after the other to one address."""

    def __init__(self, url: str, line: _Line, name: str):
        place = urlsplit(url)
        self._host = place.netloc
        self._target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        self._line = line
        self._name = name
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS_BYTES_MAX)

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent over it (rule 4)."""
        line = self._line
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            if self._http.trailing_data != (b"", False) or line.transport.get_write_buffer_size():
                return False
            self._http.start_next_cycle()
        return self._http.our_state is h11.IDLE and not line.received and not line.ended

    async def exchange(
        self,
        method: str,
        body: bytes,
        headers: Iterable[tuple[str, str]] = (),
        *,
        seconds: float,
        bytes_max: int = 65_536,
    ) -> Answer:
        """The answer to one request; after an error the connection is of no use any more."""
        try:
            async with _bounded(self._name, seconds):
                return await self.request(method, body, headers, bytes_max)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop it. Never raises."""
        self._line.transport.abort()

    async def request(
        self, method: str, body: bytes, headers: Iterable[tuple[str, str]], bytes_max: int
    ) -> Answer:
        """As exchange(), unbounded in time; raises what happens."""
        head = [("Host", self._host), ("Accept", "*/*"), ("Content-Length", str(len(body))), *headers]
        for event in (
            h11.Request(method=method, target=self._target, headers=head),
            *([h11.Data(data=body)] if body else []),
            h11.EndOfMessage(),
        ):
            self._line.transport.write(self._http.send(event) or b"")
        return await self._answer(bytes_max)

    async def _answer(self, bytes_max: int) -> Answer:
        head: h11.Response | None = None
        body, ended = bytearray(), False
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                if not ended:
                    raise
                raise Unreachable(
                    f"{self._name} closed the connection before its answer was complete."
                ) from None
            if event is h11.NEED_DATA:
                data = await self._line.read()
                ended = not data
                if ended and head is None:
                    raise Unreachable(f"{self._name} closed the connection before it answered.")
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > bytes_max:
                    raise Unreachable(f"{self._name} gave an answer larger than {bytes_max} bytes.")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                found: dict[str, str] = {}
                for key, value in head.headers:  # several of one name mean the same as one with commas
                    name, text = key.decode("latin-1"), value.decode("latin-1")
                    found[name] = f"{found[name]}, {text}" if name in found else text
                kind = found.get("content-type", "").partition(";")[0].strip().lower()
                return Answer(head.status_code, kind, bytes(body), found, head.reason.decode("latin-1"))
            elif not isinstance(event, h11.InformationalResponse):
                raise Unreachable(f"{self._name} closed the connection before its answer was complete.")


class _Line(asyncio.Protocol):
    """What has come over a connection and was not looked at, and whether more can come."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self._broken: Exception | None = None
        self._news = asyncio.Event()

    async def read(self) -> bytes:
        """What has come, waiting for it; b"" at the end. Raises what the connection broke of."""
        while not self.received and not self.ended:
            self._news.clear()
            await self._news.wait()
        if self.received:
            data = bytes(self.received)
            self.received.clear()
            if not self.ended:
                self.transport.resume_reading()
            return data
        if self._broken is not None:
            raise self._broken
        return b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > RECEIVED_BYTES_MAX:
            self.transport.pause_reading()
        self._news.set()

    def eof_received(self) -> None:
        self.ended = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._broken = exc
        self._news.set()


async def _connect(url: str, context: ssl.SSLContext | None, name: str) -> Connection:
    place = urlsplit(url)
    secure = place.scheme == "https"
    if secure and context is None:
        context = await asyncio.to_thread(tls.context)
    _, line = await asyncio.get_running_loop().create_connection(
        _Line,
        place.hostname or "",
        place.port or (443 if secure else 80),
        ssl=context if secure else None,
        happy_eyeballs_delay=NEXT_ADDRESS_S,
    )
    return Connection(url, line, name)


@asynccontextmanager
async def _bounded(name: str, seconds: float) -> AsyncIterator[None]:
    """Rule 1: time, and errors of the network as ours."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unreachable(f"{name} did not answer in time ({seconds:g} s).") from None
    except h11.RemoteProtocolError as error:
        raise Unreachable(f"{name} answers what is not HTTP ({str(error)[:100]}).") from error
    except ssl.SSLError as error:
        raise tls.told(error, name) from error
    except (OSError, UnicodeError) as error:  # UnicodeError: no name that a name server could know
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreachable(f"{name} cannot be reached: {reason}.") from error
