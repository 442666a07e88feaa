"""One HTTP request, bounded in time and in bytes.

Rule 1: whatever the other side does, exchange() returns its answer or raises Unreachable, within `seconds`
        altogether: a server that sends a byte now and then does not hold it up.
Rule 2: an answer larger than `bytes_max` is no answer.
Rule 3: nothing is followed, kept or tried again: that is the caller's.

h11, which the server side has loaded anyway, and no client library: httpx would cost 5 MiB of memory, urllib
a thread that nobody can cancel.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from gateway.errors import Unreachable

HEADERS_BYTES_MAX = 16_384
_CHUNK = 65_536


class Answer(NamedTuple):
    """Of HTTP; content_type without parameters, in small letters."""

    status: int
    content_type: str
    body: bytes


async def exchange(
    method: str, url: str, body: bytes = b"", *, seconds: float = 15.0, bytes_max: int = 65_536
) -> Answer:
    """The answer to one request. `url` is http or https; https checks the server's certificate."""
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(method, url, body, bytes_max)
    except TimeoutError:
        raise Unreachable(f"It did not answer within {seconds:g} s.") from None
    except h11.RemoteProtocolError as error:
        raise Unreachable(f"What it answers is not HTTP ({error}).") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: no name that a name server could know
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreachable(f"It cannot be reached: {reason}.") from error


async def _exchange(method: str, url: str, body: bytes, bytes_max: int) -> Answer:
    place = urlsplit(url)
    secure = place.scheme == "https"
    reader, writer = await asyncio.open_connection(
        place.hostname,
        place.port or (443 if secure else 80),
        ssl=ssl.create_default_context() if secure else None,
    )
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS_BYTES_MAX)
        headers = [
            ("Host", place.netloc), ("Connection", "close"), ("Accept", "*/*"),
            ("Content-Length", str(len(body))),
        ]  # fmt: skip
        for event in (
            h11.Request(method=method, target=place.path or "/", headers=headers),
            *([h11.Data(data=body)] if body else []),
            h11.EndOfMessage(),
        ):
            writer.write(connection.send(event) or b"")
        return await _answer(connection, reader, bytes_max)
    finally:
        writer.transport.abort()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader, bytes_max: int) -> Answer:
    status, content_type, body = 0, "", b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_CHUNK)
            if not data and not status:
                raise Unreachable("It closed the connection before it answered.")
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            found = dict(event.headers).get(b"content-type", b"")
            content_type = found.decode("latin-1").partition(";")[0].strip().lower()
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > bytes_max:
                raise Unreachable(f"Its answer is larger than {bytes_max} bytes.")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, content_type, body)
        elif not isinstance(event, h11.InformationalResponse):
            raise Unreachable("It closed the connection before its answer was complete.")
