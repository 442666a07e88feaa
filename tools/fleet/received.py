"""What a province's servers received, set against what its gateways sent."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from gateway.forward.port import Document
from tools.bench.broker import TOPIC, subscribed
from tools.fleet.light_gateway import LightGateway


class _Named(msgspec.Struct):
    id: str


class Listener:
    """A subscriber of the department: counts every message by its id and the digest of its bytes."""

    def __init__(self, port: int, topic: str = TOPIC):
        self.seen: Counter[tuple[str, bytes]] = Counter()
        self._decode = msgspec.json.Decoder(_Named).decode
        self._client = subscribed(
            port, "department", [topic], lambda _, __, message: self._take(bytes(message.payload))
        )

    def _take(self, payload: bytes) -> None:
        try:
            name = self._decode(payload).id
        except msgspec.MsgspecError:
            name = ""
        self.seen[name, digest(payload)] += 1

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def named(body: bytes) -> tuple[str, bytes]:
    """What a listener counts a message by."""
    return msgspec.json.decode(body, type=_Named).id, digest(body)


@dataclass
class Received:
    """Documents at one receiver, counted."""

    attempts: int = 0
    """Documents that were to be sent."""
    acknowledged: int = 0
    """Of which the sender had the receiver's confirmation."""
    ok: int = 0
    """There, byte for byte."""
    lost: int = 0
    """Confirmed, and not there."""
    unexpected: int = 0
    """There, and never sent: other bytes, or an unknown name."""
    duplicated: int = 0
    """There once more than once."""

    @property
    def holds(self) -> bool:
        return not (self.lost or self.unexpected or self.duplicated)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def messages(gateways: Sequence[LightGateway], seen: Counter[tuple[str, bytes]]) -> Received:
    """What the broker passed on. A message that came twice is one too many: its id tells."""
    left = Counter(seen)
    found = Received()
    for document, confirmed in _sent(gateways, "national"):
        times = left.pop(named(document.body), 0)
        _count(found, confirmed, times)
    found.unexpected = sum(left.values())
    return found


def files(gateways: Sequence[LightGateway], root: Path) -> Received:
    """What lies in the department's folder."""
    left = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    found = Received()
    for document, confirmed in _sent(gateways, "province"):
        name = f"{document.folder}/{document.name}"
        there = name in left and (root / name).read_bytes() == document.body
        if there:
            left.remove(name)
        _count(found, confirmed, int(there))
    found.unexpected = len(left)
    return found


def _sent(gateways: Sequence[LightGateway], destination: str) -> Iterable[tuple[Document, bool]]:
    for gateway in gateways:
        for document in gateway.sent:
            if document.destination == destination:
                yield document, document.id in gateway.outbox.confirmed


def _count(found: Received, confirmed: bool, times: int) -> None:
    found.attempts += 1
    found.acknowledged += confirmed
    found.ok += times > 0
    found.lost += confirmed and not times
    found.duplicated += max(times - 1, 0)
