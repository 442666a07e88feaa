"""A station device of a story that is the real firmware, in the real MicroPython, in stepped time.

Rule 1: the device's process (simulator/stepped.py) follows the story's loop, PACE_S behind at most, and what
        comes for it is delivered at the instant at which the loop had it. So it sends up to PACE_S late, as
        over a slow line, and is told nothing late.
Rule 2: its link is a TCP connection of its own to the gateway's listener; its instruments are the scene's, on
        an RS-485 line at 9600 baud, and show what the plant says.
Rule 3: a power cut kills the process between two of its instants. Its folder stays, and nothing else.
Rule 4: the firmware is as it is in this checkout. What it shows of itself that no device may (a traceback, a
        bite of the watchdog, a reset) is a note, and so is what heard.py finds strange.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from simulator.ledger import Ledger
from simulator.plant import Plant
from simulator.scene import BAUD
from simulator.station import HEAP, find_micropython
from simulator.stepped import Died, Port, Stepped
from simulator.stepped_units import UnitsLine
from tools.demo.site import HOST
from tools.people import UsageError
from tools.scenario.devices import WAITS_MS, Trouble
from tools.scenario.heard import Heard
from tools.scenario.notes import STRANGE, Note, died
from tools.scenario.polled import Answers, PlantInstrument
from tools.scenario.site import Site
from tools.scenario.virtual import BEGIN_S
from tools.station.build import write

PACE_S = 0.5
FINISH_S_MAX = 60.0
"""The firmware drains for ten seconds when it is told to end."""
LINE = "rs485"
MICROPYTHON = "micropython"
"""What [station] firmware says for such a device."""


def interpreter() -> str:
    """Where MicroPython is; UsageError when nowhere."""
    try:
        found = find_micropython()
    except FileNotFoundError as error:
        raise UsageError(f"{error}.") from None
    if found is None:
        raise UsageError(
            "This story's devices run in MicroPython, and there is none: put micropython into PATH, or its "
            "place into $MICROPYTHON."
        )
    return str(found)


class FirmwareDevice:
    """As LightDevice, with the same words: device `number` of the site, in a folder of its own there, which
    finds the gateway at `port`. `prelude`: Python that breaks the firmware, for a test.
    """

    def __init__(
        self,
        site: Site,
        number: int,
        port: int,
        plant: Plant,
        ledger: Ledger,
        random: Random,
        note: Callable[[Note], None],
        prelude: str = "",
    ) -> None:
        self.name, self.port = site.devices[number], port
        self.trouble = Trouble()
        self.measuring = True  # it goes on to the end: finish()
        self.cpu_s = 0.0
        self._note = note
        self._begins_ms = site.scenario.station.begins_ms
        self._task: asyncio.Task[None] | None = None
        self._empty_us = 0  # when it last held nothing
        self._may_end = self.died = False
        poll_ms = site.scenario.station.poll_s * 1000
        wired = {place: unit for place, unit in enumerate(site.scene.units) if unit not in site.polled}
        units = tuple(replace(unit, poll_ms=poll_ms, phase_ms=poll_ms // 2) for unit in wired.values())
        key, link = site.keys[self.name], {"kind": "tcp", "host": HOST, "port": port}
        directory = site.dir / self.name
        directory.mkdir()
        write(directory, replace(site.scene, units=units).site(self.name, key.hex(), link, LINE))
        self.world = Stepped(interpreter(), directory, HEAP, seed=random.getrandbits(30), prelude=prelude)
        by_channel = {channel.symbol: Answers() for unit in units for channel in unit.channels}
        quantities = site.quantities(number)
        self.answers = {one.symbol: by_channel[one.channel] for one in quantities}
        instruments = [PlantInstrument(unit, plant, self.true_ms, by_channel) for unit in units]
        line = _Line(self.world, instruments, BAUD, {"silent": 0.0, "flip": 0.0}, random.getrandbits(30))
        line.trouble, line.places = self.trouble, {unit.unit: place for place, unit in wired.items()}
        symbols = {one.id: one.symbol for one in quantities}
        self._heard = Heard(self.name, key, ledger, symbols, self.answers, self.true_ms, note)
        self.world.peers = {LINE: line, f"{HOST}:{port}": _Link(self, self._heard)}
        self.world.on_report = self._report

    def true_ms(self) -> int:
        """The device's instant, Unix ms."""
        return self._begins_ms + self.world.now_us // 1000

    def waiting(self) -> int:
        """How many records wait for the gateway, when some have for longer than WAITS_MS; else 0, and when it
        has died.
        """
        if self.died:
            return 0
        held = self.world.last.get("held", 0)
        return held if held and self.world.now_us - self._empty_us > WAITS_MS * 1000 else 0

    def _report(self, line: dict[str, Any]) -> None:
        if not line["held"]:
            self._empty_us = self.world.now_us

    # ---- power

    def power_on(self) -> None:
        self.go_on()
        self.world.start()
        self._task = asyncio.create_task(self._run(), name=f"{self.name} runs")

    async def power_off(self) -> None:
        """In the middle of whatever it does."""
        if self._task is not None:
            self.go_on()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self.world.kill()

    async def finish(self) -> None:
        """What it holds goes out, and the firmware ends by itself, while the gateway still listens."""
        self.go_on()
        if self.world.running:
            self._may_end = True
            self.world.say("stop")
            until_s = _now_s() + FINISH_S_MAX
            while not self.world.ended and _now_s() < until_s:
                await asyncio.sleep(PACE_S)
            if not self.world.ended:
                self._note(died(self.name, "it was told to stop, and never did."))
        strange = [*self.world.crashes, *(f"asked for a reset: {reason}" for reason in self.world.resets)]
        strange += ["was bitten by its watchdog"] if self.world.bites else []
        for one in strange:
            self._note(Note(STRANGE, f"{self.name} {one}"))
        self.world.close()
        self.cpu_s = self.world.cpu_s

    # ---- time

    async def _run(self) -> None:
        while not self.world.ended:
            await asyncio.sleep(PACE_S)
            self.go_on()

    def go_on(self) -> None:
        """Up to the loop's own instant."""
        had_ended = self.world.ended
        try:
            self.world.run(now_us())
        except Died as error:
            self.died = True
            self._note(died(self.name, error))
        if self.world.ended and not (had_ended or self._may_end):
            self.died = True
            self._note(died(self.name, "nobody had told it to."))


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def now_us() -> int:
    """The loop's instant, as the device counts."""
    return round((_now_s() - BEGIN_S) * 1e6)


class _Line(UnitsLine):
    """With what is wrong with the wires at the moment; `places`: of its units in the scene."""

    trouble: Trouble
    places: dict[int, int]

    def answer(self, request: bytes, n: int) -> bytes | None:
        if self.places[request[0]] in self.trouble.silent_units:
            return None
        self.chances = {"silent": self.trouble.no_answer, "flip": self.trouble.damaged}
        return super().answer(request, n)


class _Link:
    """A peer of the stepped device: its end of the connection, one at a time."""

    def __init__(self, device: FirmwareDevice, heard: Heard) -> None:
        self._device, self._heard = device, heard
        self._open: _Connection | None = None

    def opened(self, port: Port) -> bool:
        connection = socket.socket()
        try:
            connection.connect((HOST, self._device.port))  # over loopback it is decided at once
        except OSError:
            connection.close()
            return False
        connection.setblocking(False)
        self._heard.connected()
        self._open = _Connection(port, connection, self._heard)
        return True

    def received(self, port: Port, data: bytes) -> None:
        self._heard.said(data)
        if self._open is not None and self._open.port is port:
            self._open.write(data)

    def closed(self, port: Port) -> None:
        if self._open is not None and self._open.port is port:
            self._open.close()
            self._open = None

    def flashed(self) -> None:
        """A TCP stream loses nothing meanwhile."""


class _Connection(asyncio.Protocol):
    """A TCP connection of the loop's; what is written before it is known there waits."""

    def __init__(self, port: Port, connection: socket.socket, heard: Heard) -> None:
        self.port = port
        self._heard = heard
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._closed = False
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(loop.create_connection(lambda: self, sock=connection))

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._waiting.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.writelines(self._waiting)
        if self._closed:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self.port.world.at(now_us(), lambda: self._deliver(data))

    def _deliver(self, data: bytes) -> None:
        if self.port.alive:
            self._heard.told(data)
            self.port.send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.port.world.at(now_us(), self.port.hang_up)
