"""The port between what is to be sent and whoever receives it.

Rule 1: a document is delivered when the destination's own confirmation was read (a verified size and
        a rename, a PUBACK, a 2xx), never because it was handed to a socket.
Rule 2: delivering the same document again is harmless: same name, same bytes, visible once.
Rule 3: only the outbox knows what is still to be sent; a destination keeps no state that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Document(NamedTuple):
    """One thing to send to one destination, exactly as it will be sent."""

    id: int  # outbox order: a larger id was queued later
    destination: str  # config.destination[i].id
    key: str  # permanent: "window/NUO001/20260325000000/1"
    kind: str  # "windows" | "readings" | ...
    name: str  # file name, topic, or (https) the message's id
    folder: str  # relative to the destination's path; "" for messages
    at_ms: int  # station time it belongs to, Unix ms
    body: bytes
    attempts: int


class Confirmation(NamedTuple):
    """That a destination has a document, in its own words. They stand in the journal for ever: no credentials
    (gateway.forward.answers).
    """

    remote: str  # where it has it: the file's whole path as the server takes it, the topic, the URL
    size: int  # bytes, as the destination counts them where it says so, else as they were sent
    answer: str  # what it said, one line


class Outbox(Protocol):
    """The durable queue, as the forwarder sees it (the journal implements it)."""

    async def pending(self, destination: str, after_id: int, limit: int) -> list[Document]:
        """Up to `limit` documents neither delivered nor parked, and due, with id > after_id, oldest first."""
        ...

    async def delivered(self, confirmed: Mapping[int, Confirmation]) -> None:
        """Mark these (by id) as delivered; durable when this returns."""
        ...

    async def failed(self, id: int, reason: str, park: bool) -> None:
        """Count an attempt that failed; with `park` the document waits for a person."""
        ...

    def event(self, destination: str) -> asyncio.Event:
        """Set whenever documents for `destination` were queued, or have become due."""
        ...


class Destination(Protocol):
    """Somewhere documents go. Raises only gateway.errors.DestinationError leaves."""

    in_flight_max: int  # documents that may be unconfirmed at once; 1 = strictly one after the other

    async def deliver(self, document: Document) -> Confirmation:
        """Return once the destination itself has confirmed it. After an error close() comes first."""
        ...

    async def close(self) -> None:
        """Drop the connection and everything unconfirmed; a later deliver() starts afresh. Never raises."""
        ...
