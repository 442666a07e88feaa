"""What has arrived at the broker, reading by reading: which of those that were made, how often, and when.

Rule 1: a reading is known by its value alone (instruments.py). It is `wrong` when its name is another
        instrument's or quantity's, or the value is no whole number.
Rule 2: `arrived` counts readings that came at least once, `twice` every time that one came again.
Rule 3: what the broker hands to us again, after its own restart, is the broker's doing and is not counted.
Rule 4: a reading without a value (an instrument that did not answer) is none.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec
import paho.mqtt.client as paho

from tests.bench.peers.instruments import parts
from tools.bench.broker import subscribed

OURS, THEIRS = "quantrac/", "v1/gateway/telemetry"
TOPICS = (OURS + "#", THEIRS)
AGAIN_MAX = 5000
"""Messages back among which one that the broker repeats is looked for."""


class _Reading(msgspec.Struct):
    """Of the raw feed of Quantrac: rows of (symbol, Unix ms, value, status)."""

    rows: list[tuple[str, int, float | None, str]] = []  # other messages of the topic have none


class _Telemetry(msgspec.Struct):
    """Of ThingsBoard's gateway API: readings of one time."""

    ts: int
    values: dict[str, float | None]


_ours = msgspec.json.Decoder(_Reading).decode
_theirs = msgspec.json.Decoder(dict[str, list[_Telemetry]]).decode


def ours_in(payload: bytes) -> Iterator[tuple[int, int, float]]:
    """(instrument, quantity, value) of every reading: symbols are I<instrument>Q<quantity>."""
    for symbol, _, held, _ in _ours(payload).rows:
        if held is not None:
            instrument, _, quantity = symbol[1:].partition("Q")
            yield int(instrument), int(quantity), held


def theirs_in(payload: bytes) -> Iterator[tuple[int, int, float]]:
    """The same of telemetry: devices are I<instrument>, keys end in _<register address>."""
    for device, told in _theirs(payload).items():
        instrument = int(device[1:])
        for one in told:
            for key, held in one.values.items():
                if held is not None:
                    yield instrument, int(key.rpartition("_")[2]) // 2, held


class Count:
    """Takes messages as (topic, payload)."""

    def __init__(self) -> None:
        self.arrived = self.twice = self.wrong = self.messages = 0
        self._seen = bytearray(1 << 24)

    def take(self, topic: str, payload: bytes) -> int:
        """Readings in one message that had not come before."""
        self.messages += 1
        before, seen = self.arrived, self._seen
        for instrument, quantity, held in (theirs_in if topic == THEIRS else ours_in)(payload):
            whole = int(held)
            if whole != held or not 0 <= whole < 1 << 24 or parts(whole)[1:] != (instrument, quantity):
                self.wrong += 1
            elif seen[whole]:
                self.twice += 1
            else:
                seen[whole] = 1
                self.arrived += 1
        return self.arrived - before


class Subscriber:
    """A QoS 1 session that outlives the broker's restart. It only keeps messages, and looks at them when
    asked: what counting costs does not fall into the time that is measured.
    """

    def __init__(self, port: int):
        self.count = Count()
        self.arrivals: list[tuple[float, int]] = []
        """(monotonic seconds, new readings) of every message looked at so far."""
        self.payloads: list[bytes] = []
        self._waiting: deque[tuple[float, paho.MQTTMessage]] = deque()
        self._client = subscribed(port, "peers-subscriber", TOPICS, self._message)

    def _message(self, client: object, data: object, received: paho.MQTTMessage) -> None:
        self._waiting.append((time.monotonic(), received))

    def look(self) -> Count:
        """Count what has come since this was last asked."""
        while self._waiting:
            at, message = self._waiting.popleft()
            payload = bytes(message.payload)
            if message.dup and payload in self.payloads[-AGAIN_MAX:]:
                continue  # rule 3
            self.arrivals.append((at, self.count.take(message.topic, payload)))
            self.payloads.append(payload)
        return self.count

    def between(self, began: float, ended: float) -> int:
        """New readings that came in that time, of those looked at."""
        return between(self.arrivals, began, ended)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def between(arrivals: Iterable[tuple[float, int]], began: float, ended: float) -> int:
    return sum(new for at, new in arrivals if began <= at < ended)
