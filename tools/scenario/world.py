"""A scenario's world in one event loop: the real gateway, its destinations, its devices, the wires between.

Rule 1: the gateway is gateway.app.Gateway with its real journal, made and run as gateway/process.py does. It
        gets a clock, a journal that is stepped (stepped.py), a disk, a folder for what outlives a kill
        (gateway/journal/uncommitted.py) and a seeded source for its pauses from here, and nothing else.
Rule 2: it is started again a moment after it ended by itself, as by systemd; a kill is one of everything that
        is its own: tasks, timers, sockets, the journal's thread.
Rule 3: a wire that a fault is about has a proxy on it. The ledger hears of readings from the devices, and of
        documents from whoever received them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random

from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config_change.begin import begin
from gateway.errors import JournalError
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.uncommitted import Uncommitted
from gateway.logs import get_logger
from simulator.ledger import Ledger
from simulator.network import TcpProxy
from simulator.plant import Plant
from simulator.receivers import MqttReceiver, SftpReceiver
from simulator.sampler import ModbusSampler
from simulator.scenario import Scenario
from simulator.witness import Witness
from simulator.witness_server import WitnessServer
from tools.demo.site import HOST, free_port
from tools.scenario.department import DepartmentSide
from tools.scenario.devices import LightDevice
from tools.scenario.disk import Disk
from tools.scenario.firmware import MICROPYTHON, FirmwareDevice
from tools.scenario.notes import Note, died
from tools.scenario.polled import Polled
from tools.scenario.site import (
    NATIONAL,
    PASSWORD,
    PROVINCE,
    SAMPLER_UNIT,
    USER,
    WITNESS_NAME,
    Ports,
    Site,
    symbol_of,
)
from tools.scenario.stepped import SteppedJournal
from tools.scenario.virtual import BEGIN_S, Part, VirtualLoop, bury

log = get_logger("scenario")

SLACK_S = 20.0
"""By how much the gateway may be late: what it looks at every 0.2 to 5 s it looks at every 20 s. No story
turns on so little, and a day takes a third of the time."""
FILL_S = 8.0
"""After so long a bottle of the sampler is full."""
RESTART_S = 5.0
"""systemd's RestartSec for the gateway."""
TURNS_MAX = 60
"""Turns of the loop between the beginning of an upload and a kill, at the most."""
KILL_WAIT_S = 400.0
"""How long a kill waits for something to break off: a window closes every 300 s."""
LINK, WITNESS, BUS, DEPARTMENT = "link", "witness", "bus.gateway", "department"
"""Wires, beside those to the destinations."""


class WorldClock(Clock):
    """The gateway's clock: the world's time, and how wrong it is."""

    def __init__(self, true_ms: Callable[[], int], loop: VirtualLoop) -> None:
        super().__init__()
        self.simulated = True
        self.offset_ms = 0
        self._true_ms, self._loop = true_ms, loop

    def now_ms(self) -> int:
        return self._true_ms() + self.offset_ms

    def mono_ns(self) -> int:
        return int(self._loop.time() * 1e9)


class Province(SftpReceiver):
    """Tells the ledger; with `lose_reply` a connection breaks when a file has arrived, so often."""

    ledger: Ledger
    random: Random
    lose_reply = 0.0

    def arrived(self, path: str, size: int, renamed: bool) -> None:
        super().arrived(path, size, renamed)
        digest = hashlib.sha256((self.root / path.lstrip("/")).read_bytes()).hexdigest()
        self.ledger.arrived(PROVINCE, path.rsplit("/", 1)[-1], digest, self.now_ms())
        if self.lose_reply and self.random.random() < self.lose_reply:
            for connection in list(self._connections):
                connection.abort()


class National(MqttReceiver):
    """Tells the ledger."""

    ledger: Ledger

    def _message(self, topic: str, payload: bytes, dup: bool) -> None:
        super()._message(topic, payload, dup)
        digest = hashlib.sha256(payload).hexdigest()
        self.ledger.arrived(NATIONAL, str(json.loads(payload).get("id")), digest, self.now_ms())


class World:
    """start() it inside a VirtualLoop, stop() it at the end; faults.py and acts.py work on it in between.

    `make`: who makes the gateway (a test's control); `proxied`: which wires need a proxy; `prelude`: how a
    test breaks the firmware of devices that are real.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        directory: Path,
        proxied: frozenset[str] = frozenset((LINK, PROVINCE, NATIONAL, WITNESS, BUS, DEPARTMENT)),
        make: Callable[..., Gateway] = Gateway,
        prelude: str = "",
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop, self.scenario, self.seed = loop, scenario, seed
        self.notes: list[Note] = []
        self.site = Site(directory, scenario, self.random("keys"))
        self.ledger = Ledger()
        self.plants = [Plant(scenario, seed, number) for number in range(scenario.station.stations)]
        self.clock = WorldClock(self.true_ms, loop)
        self.disk = Disk()
        self.gateway: Gateway | None = None
        self.wanted = False  # that the gateway runs
        self.kills = 0
        self.starts = 0
        self.proxies: dict[str, list[TcpProxy]] = {}
        self.devices: list[LightDevice | FirmwareDevice] = []
        self.polled: list[Polled] = []  # the gateway's own instruments, by station
        self._proxied, self._make, self._prelude = proxied, make, prelude
        self._part: Part | None = None
        self._dead: list[Part] = []
        self._running: asyncio.Task[None] | None = None
        self._restarting: asyncio.TimerHandle | None = None
        self._tidy: list[Callable[[], None]] = []

    def true_ms(self) -> int:
        """The world's time, Unix ms."""
        return self.scenario.station.begins_ms + round((self.loop.now_s - BEGIN_S) * 1000)

    def random(self, part: str) -> Random:
        """A source of its own for each part (the same run for the same seed)."""
        return Random(f"{self.seed}/{self.scenario.name}/{part}")

    async def until(self, true_ms: int) -> None:
        """Return at that moment of the world."""
        await asyncio.sleep(max(0.0, (true_ms - self.true_ms()) / 1000))

    # ---- beginning and end

    async def start(self) -> None:
        """Everything is up; time has not passed."""
        site, station = self.site, self.scenario.station
        self.province = Province(site.province, HOST, 0, USER, PASSWORD, site.host_key, self.true_ms)
        self.province.ledger, self.province.random = self.ledger, self.random("replies")
        await self.province.start()
        self.national: National | None = None
        if station.national:
            self.national = National(HOST, 0, site.national, USER, PASSWORD, self.true_ms)
            self.national.ledger = self.ledger
            await self.national.start()
        self.witness: WitnessServer | None = None
        if station.witness:
            keeper = Witness(
                site.witness, WITNESS_NAME, [site.state_dir / "log.vkey"], lambda: self.true_ms() // 1000
            )
            self.witness = await WitnessServer(keeper).start()
        for number, plant in enumerate(self.plants if site.polled else ()):
            random = self.random(f"bus {number}")
            name = partial(symbol_of, number=number)
            sampler = None
            if station.sampler and number == 0:
                sampler = ModbusSampler(SAMPLER_UNIT, FILL_S, now_s=lambda: self.true_ms() / 1000)
            self.polled.append(await Polled(site.polled, plant, self.true_ms, random, name, sampler).start())
        self.department: DepartmentSide | None = None
        if station.department:
            self.department = DepartmentSide(
                site.log_name, site.state_dir / "log.vkey", self.true_ms, station.begins_ms,
                self.random("department"), self.notes.append,
            )  # fmt: skip
            await self.department.start()
        device_ports = tuple(free_port() for _ in site.devices)
        ports = Ports(
            free_port(), device_ports,
            await self._wire(PROVINCE, self.province.port),
            await self._wire(NATIONAL, self.national.port) if self.national else 0,
            await self._wire(WITNESS, self.witness.port) if self.witness else 0,
            tuple([await self._wire(BUS, one.port) for one in self.polled]),
            await self._wire(DEPARTMENT, self.department.port) if self.department else 0,
        )  # fmt: skip
        site.write_config(
            ports, self.province.public_line, self.witness_vkey,
            self.department.department.vkey if self.department else "",
        )  # fmt: skip
        for number, name in enumerate(site.devices):
            self.devices.append(self._device(number, name, await self._wire(LINK, device_ports[number])))
        self.gateway_on()
        for device in self.devices:
            device.power_on()

    def _device(self, number: int, name: str, port: int) -> LightDevice | FirmwareDevice:
        site, station = self.site, self.scenario.station
        plant, random = self.plants[number], self.random(name)
        if station.firmware == MICROPYTHON:
            note, prelude = self.notes.append, self._prelude
            return FirmwareDevice(site, number, port, plant, self.ledger, random, note, prelude)
        return LightDevice(
            name, site.keys[name], port, plant, self.ledger, site.quantities(number), station.poll_s * 1000,
            self.true_ms, random, lambda part, error: self.notes.append(died(part, error)),
        )  # fmt: skip

    @property
    def witness_vkey(self) -> str:
        return self.witness.witness.vkey if self.witness else ""

    async def _wire(self, name: str, port: int) -> int:
        """The port to use for this one: a proxy's, where one is needed."""
        if name not in self._proxied:
            return port
        seed = self.random(f"wire {name} {len(self.proxies.get(name, ()))}").getrandbits(32)
        proxy = await TcpProxy(HOST, port, seed=seed).start()
        self.proxies.setdefault(name, []).append(proxy)
        return proxy.port

    async def stop(self) -> None:
        """SIGTERM to the gateway; then the rest."""
        for device in self.devices:
            await device.finish()
        self.wanted = False
        if self._restarting is not None:
            self._restarting.cancel()
        if self.gateway is not None and self._running is not None:
            self.gateway._end()
            await asyncio.wait([self._running])
        for device in self.devices:
            await device.power_off()
        for proxies in self.proxies.values():
            for proxy in proxies:
                await proxy.stop()
        for receiver in (self.province, self.national, self.witness, self.department, *self.polled):
            if receiver is not None:
                await receiver.stop()

    async def bury(self) -> None:
        """At the very end, when nobody looks at the folder any more."""
        self._close_old()
        for part in self._dead:
            await bury(part)

    # ---- the gateway's power

    def gateway_on(self) -> None:
        """It starts, and is started again whenever it ends."""
        self.wanted = True
        if self._running is None:
            self._start()

    def _start(self) -> None:
        self.starts += 1
        part = self._part = Part(f"gateway {self.starts}", SLACK_S, ("Line.run", "Sampler.run"))
        try:
            self.gateway = part.call(self._made)
        except JournalError as error:
            log.error("the gateway does not start", reason=str(error))
            self._again(part)
            return
        self._close_old()
        self._running = part.create_task(self.gateway.run(lambda text: None))
        self._running.add_done_callback(lambda task: self._ended(part, task))

    def _made(self) -> Gateway:
        begun = begin(self.site.config, self.clock.now_ms())

        def journal(path: Path, checkpoints: Checkpoints | None = None) -> SteppedJournal:
            return SteppedJournal(path, self.disk.connect, checkpoints).in_loop(self.loop)

        memory = Uncommitted(self.site.memory) if begun.config.bus else None
        random = self.random(f"gateway {self.starts}")
        return self._make(begun.config, self.clock, begun, journal, memory, random)

    def _ended(self, part: Part, task: asyncio.Task[None]) -> None:
        if task.cancelled() or part.dead:
            return
        error = task.exception()
        if error is not None:
            log.error("the gateway has ended", reason=repr(error))
            self.notes.append(died("The gateway", error))
        elif self.wanted and self.gateway is not None and not self.gateway.again:
            self.notes.append(died("The gateway", "nobody had told it to."))
        self._again(part)

    def _again(self, part: Part) -> None:
        self.gateway = self._running = None
        self.loop.kill(part)  # whatever is left of the process goes with it
        if self.wanted:
            self._restarting = self.loop.call_later(RESTART_S, self._start)

    def gateway_off(self, power: bool = False) -> None:
        """Its power is cut, which empties the memory, or it is killed."""
        self.wanted = False
        if power:
            shutil.rmtree(self.site.memory, ignore_errors=True)
        if self._restarting is not None:
            self._restarting.cancel()
        part, gateway = self._part, self.gateway
        if gateway is None or part is None:
            return
        self.kills += 1
        self.loop.kill(part)
        assert isinstance(gateway.journal, SteppedJournal)
        self._tidy.append(gateway.journal.kill())
        self._dead.append(part)
        self.gateway = self._running = None

    async def in_the_middle(self, random: Random) -> None:
        """Return when the gateway is in the middle of an upload, if there is one soon."""
        before, until_s = self.province_bytes(), self.loop.now_s + KILL_WAIT_S
        while self.province_bytes() == before and self.loop.now_s < until_s:
            await asyncio.sleep(0 if self.loop.busy else 0.5)
        for _ in range(random.randrange(TURNS_MAX)):
            await asyncio.sleep(0)

    def province_bytes(self) -> int:
        """What has gone to the province so far."""
        return sum(proxy.bytes_up for proxy in self.proxies.get(PROVINCE, ()))

    def _close_old(self) -> None:
        for close in self._tidy:
            close()
        self._tidy = []

    # ---- what is left to do

    def backlog(self) -> Mapping[str, int]:
        """What waits, by whom: devices' readings older than a minute, documents of a destination; {} when
        there is none. A gateway that is away has some.
        """
        if self.gateway is None:
            return {"gateway": 1}
        found = {}
        for device in self.devices:
            if waiting := device.waiting():
                found[device.name] = waiting
        for id, counted in self.gateway.counters.destinations.items():
            if counted.waiting:
                found[id] = counted.waiting
        return found
