"""The gateway's end of a device's link in virtual time: it journals, acknowledges, goes away and comes back.

Rule 1: what it acknowledges it holds: per boot it knows the numbers that are here, and `doubled` counts what
        it was handed twice.
Rule 2: a serial cable that is cut swallows bytes and says nothing; a connection that is hung up says so, and
        refuses until it is `up` again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import framing, messages
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from protocol.gateway_session import ACCEPT, GAP, GREET, REPEAT, GatewaySession
from simulator.stepped import Port, Stepped

BITS_PER_BYTE = 10
COMMIT_US = 20_000  # from the last byte to the acknowledgement: a group commit


class GatewayEnd:
    """A gateway that holds nothing yet. `on_message(message)` is called for each that is accepted.

    `state`: "up"; "cut" (bytes vanish, both ways); "gone" (hangs up, refuses); "paused" (takes bytes, no
    answer). `trusted` and `now_ms` are what it says of the time.
    """

    def __init__(
        self,
        world: Stepped,
        device: str,
        key: bytes,
        epoch_ms: int,
        baud: int = 115200,
        on_message: Callable[[Any], None] | None = None,
    ) -> None:
        self.trusted = True
        self.step_ms = 0  # added to the time it tells
        self.records = self.readings = self.doubled = self.broken = self.lost_bytes = 0
        self.hellos: list[messages.Hello] = []
        self.results: list[messages.Result] = []
        self.events: list[messages.Event] = []
        self.held: dict[int, list[list[int]]] = {}  # boot -> [[first, last], ...] of the records here
        self.frames: list[bytes] = []  # the newest frames sent to the device
        self.state = "up"
        self._world, self._device, self._key = world, device, key
        self._epoch_ms, self._byte_us = epoch_ms, BITS_PER_BYTE * 1_000_000 / baud
        self.on_message = on_message
        self._port: Port | None = None
        self._free_us = 0.0
        self._heard_us = 0.0
        self.forget(0, 0)

    def now_ms(self) -> int:
        """What its clock shows, if it is right."""
        return self._epoch_ms + self._world.now_us // 1000

    def forget(self, boot: int, seq: int) -> None:
        """As after a restart of the gateway on a journal that ends at (boot, seq)."""
        self.session = GatewaySession(self._device, boot, seq)
        self._decoder = framing.Decoder()
        self._mac = Mac0(self._device, self._key)

    def set_state(self, state: str) -> None:
        self.state = state
        if state == "gone" and self._port is not None:
            self._port.hang_up()
            self._port = None

    # ---- as a peer of the device

    def opened(self, port: Port) -> bool:
        if self.state == "gone":
            return False
        self._port = port
        return True

    def closed(self, port: Port) -> None:
        if self._port is port:
            self._port = None

    def received(self, port: Port, data: bytes) -> None:
        if self.state == "cut" or port is not self._port:
            self.lost_bytes += len(data)
            return
        self._heard_us = max(self._heard_us, self._world.now_us) + len(data) * self._byte_us
        self._world.at(round(self._heard_us), lambda: self._take(port, data))

    def flashed(self) -> None:
        pass  # the link survives lost bytes: they are asked for again

    def _take(self, port: Port, data: bytes) -> None:
        if self.state != "up" or port is not self._port:
            self.lost_bytes += len(data)
            return
        for body in self._decoder.feed(data):
            try:
                message = messages.decode(self._mac.open(body))
            except ProtocolError:
                self.broken += 1
                continue
            self._receive(message)

    def _receive(self, message: Any) -> None:
        session = self.session
        verdict = session.receive(message)
        if verdict == GREET:
            self.hellos.append(message)
            self.send(session.welcome(self.now_ms() + self.step_ms, self.trusted))
        elif verdict == ACCEPT:
            self._journal(message)
            position = session.pending
            self._world.after(COMMIT_US, lambda: self._committed(session, position))
        elif verdict in (REPEAT, GAP):
            self.send(session.ack(self.now_ms() + self.step_ms, self.trusted))
        elif isinstance(message, messages.Result):
            self.results.append(message)

    def _committed(self, session: GatewaySession, position: tuple[int, int]) -> None:
        if session is self.session:
            session.committed(*position)
            self.send(session.ack(self.now_ms() + self.step_ms, self.trusted))

    def _journal(self, message: Any) -> None:
        if isinstance(message, messages.Seal):
            first = last = message.seq
        elif isinstance(message, messages.Event):
            first = last = message.seq
            self.events.append(message)
        else:
            first, last = message.first_seq, message.first_seq + len(message.rows) - 1
            self.readings += len(message.rows)
        ranges = self.held.setdefault(message.boot, [])
        if ranges and first <= ranges[-1][1]:
            self.doubled += min(last, ranges[-1][1]) - first + 1
        if ranges and first == ranges[-1][1] + 1:
            ranges[-1][1] = last
        else:
            ranges.append([first, last])
        self.records += last - first + 1
        if self.on_message is not None:
            self.on_message(message)

    def missing(self) -> int:
        """Records that are not here, though later ones of the same boot are."""
        return sum(
            after[0] - before[1] - 1
            for ranges in self.held.values()
            for before, after in zip([[0, 0], *ranges], ranges, strict=False)
        )

    def send(self, message: Any) -> None:
        self.send_frame(framing.encode(self._mac.seal(messages.encode(message))))

    def send_frame(self, frame: bytes) -> None:
        """Bytes to the device, at the speed of the line."""
        self.frames = [*self.frames[-7:], frame]
        port = self._port
        if port is None or self.state != "up":
            return
        self._free_us = max(self._free_us, self._world.now_us) + len(frame) * self._byte_us
        self._world.at(round(self._free_us), lambda: self._arrive(port, frame))

    def _arrive(self, port: Port, frame: bytes) -> None:
        if self.state == "up" or self.state == "paused":
            port.send(frame)
