"""What breaks, and mends: each (where, how) of a scenario as a beginning and an end, by simulator's parts.

Rule 1: a fault that is not in FAULTS, two of one kind at once, or one on a part that the station does not
        have, is an error of the scenario, said before anything runs.
Rule 2: the ledger is told of each beginning and end, after it.
Rule 3: after each end it is measured how long it takes until nothing waits any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import NamedTuple

from simulator.network import TcpProxy
from simulator.scenario import Fault, Scenario, ScenarioError
from simulator.scenario_times import begin as moment_of
from simulator.scene import load_scene
from tools.scenario.devices import LightDevice, Trouble
from tools.scenario.firmware import MICROPYTHON
from tools.scenario.site import NATIONAL, PASSWORD, PROVINCE
from tools.scenario.world import BUS, DEPARTMENT, LINK, WITNESS, World

LOOK_S = 5.0
KILLED_S = 5.0
"""How long systemd lets a gateway rest that was killed."""
BYTES = 1024
"""Of which a probability of `flip` speaks."""

Do = Callable[[World, Fault, Random], Awaitable[None] | None]


class Kind(NamedTuple):
    """A fault; `end` is None for what happens at once."""

    begin: Do
    end: Do | None


def _wires(where: str, change: Callable[[TcpProxy, Fault], None]) -> Do:
    def do(world: World, fault: Fault, random: Random) -> None:
        for proxy in world.proxies[where]:
            change(proxy, fault)

    return do


def _every(where: str, name: str) -> Do:
    """cut() and restore() of its proxies."""

    async def do(world: World, fault: Fault, random: Random) -> None:
        for proxy in world.proxies[where]:
            await getattr(proxy, name)()

    return do


def _set(name: str, value: Callable[[Fault], object]) -> Callable[[TcpProxy, Fault], None]:
    return lambda proxy, fault: setattr(proxy, name, value(fault))


def _wire(where: str, name: str, value: Callable[[Fault], object], rest: object) -> Kind:
    return Kind(_wires(where, _set(name, value)), _wires(where, _set(name, lambda fault: rest)))


def _on_wire(where: str) -> dict[str, Kind]:
    return {
        "cut": Kind(_every(where, "cut"), _every(where, "restore")),
        "silent": _wire(where, "blackhole", lambda fault: True, False),
        "slow": _wire(where, "rate_bytes_s", lambda fault: fault.number("rate_bytes_s"), None),
        "latency": _wire(where, "latency_s", lambda fault: fault.number("latency_s"), 0.0),
        "flip": _wire(where, "flip_probability", lambda fault: fault.number("probability") / BYTES, 0.0),
        "half-open": Kind(_wires(where, lambda proxy, fault: proxy.deafen()), None),
    }


def _receiver(where: str, name: str) -> Do:
    """cut() and restore() of the server itself."""

    async def do(world: World, fault: Fault, random: Random) -> None:
        await getattr(getattr(world, where), name)()

    return do


def _password(where: str, password: str) -> Do:
    async def do(world: World, fault: Fault, random: Random) -> None:
        server = world.province if where == PROVINCE else world.national and world.national.broker
        assert server is not None
        server.set_password(password)
        for proxy in world.proxies[where]:  # who is logged in would not notice
            await proxy.drop()

    return do


def _troubled(change: Callable[[Trouble, World, Fault], None]) -> Do:
    def do(world: World, fault: Fault, random: Random) -> None:
        for device in world.devices:
            change(device.trouble, world, fault)

    return do


def _trouble(name: str) -> Kind:
    def of(trouble: Trouble, world: World, fault: Fault) -> None:
        setattr(trouble, name, fault.number("probability"))

    return Kind(_troubled(of), _troubled(lambda trouble, world, fault: setattr(trouble, name, 0.0)))


def _silent_unit(trouble: Trouble, world: World, fault: Fault) -> None:
    trouble.silent_units.add(world.site.unit_of(fault.text("channel")))


def _answering_unit(trouble: Trouble, world: World, fault: Fault) -> None:
    trouble.silent_units.discard(world.site.unit_of(fault.text("channel")))


def _polled(what: Callable[[Fault], tuple[str, object]], rest: object) -> Kind:
    """Of the gateway's own instrument that measures the fault's channel."""

    def say(value: Callable[[Fault], object]) -> Do:
        def do(world: World, fault: Fault, random: Random) -> None:
            for one in world.polled:
                setattr(one.trouble(fault.text("channel")), what(fault)[0], value(fault))

        return do

    return Kind(say(lambda fault: what(fault)[1]), say(lambda fault: rest))


def _wrong(probability: Callable[[Fault], float]) -> Do:
    def do(world: World, fault: Fault, random: Random) -> None:
        for one in world.polled:
            one.wrong = probability(fault)

    return do


def _desk(broken: bool) -> Do:
    return lambda world, fault, random: setattr(world.department, "broken", broken)


def _contact(how: str) -> Do:
    return lambda world, fault, random: setattr(world.polled[0].sampler, "contact", how)


async def _devices_off(world: World, fault: Fault, random: Random) -> None:
    for device in world.devices:
        await device.power_off()


def _devices_on(world: World, fault: Fault, random: Random) -> None:
    for device in world.devices:
        device.power_on()


async def _gateway_off(world: World, fault: Fault, random: Random) -> None:
    await world.in_the_middle(random)
    world.gateway_off(power=True)


def _gateway_on(world: World, fault: Fault, random: Random) -> None:
    world.gateway_on()


async def _killed(world: World, fault: Fault, random: Random) -> None:
    await world.in_the_middle(random)
    world.gateway_off()
    await asyncio.sleep(KILLED_S)
    world.gateway_on()


def _disk(fault: str) -> Kind:
    def say(to: str) -> Do:
        return lambda world, _, random: setattr(world.disk, "fault", to)

    return Kind(say(fault), say(""))


def _jump(world: World, fault: Fault, random: Random) -> None:
    world.clock.offset_ms += round(fault.number("by"))


def _device_jump(world: World, fault: Fault, random: Random) -> None:
    for device in world.devices:
        assert isinstance(device, LightDevice), "check() refuses it for others"
        device.clock_offset_ms += round(fault.number("by"))


async def _asleep(world: World, fault: Fault, random: Random) -> None:
    """The board had no power for a moment, has no battery, and nobody who tells it the time."""
    world.gateway_off(power=True)
    world.clock.offset_ms = moment_of(fault.text("as")) - world.true_ms()
    world.gateway_on()


def _told(world: World, fault: Fault, random: Random) -> None:
    world.clock.offset_ms = 0


def _replies(probability: Callable[[Fault], float]) -> Do:
    return lambda world, fault, random: setattr(world.province, "lose_reply", probability(fault))


def _full(full: bool) -> Do:
    return lambda world, fault, random: setattr(world.province, "full", full)


def _servers(where: str) -> dict[str, Kind]:
    return {
        **_on_wire(where),
        "refuse": Kind(_receiver(where, "cut"), _receiver(where, "restore")),
        "wrong-password": Kind(_password(where, "another"), _password(where, PASSWORD)),
    }


_EVERY: dict[str, dict[str, Kind]] = {
    PROVINCE: {
        **_servers(PROVINCE),
        "full": Kind(_full(True), _full(False)),
        "lose-reply": Kind(_replies(lambda fault: fault.number("probability")), _replies(lambda fault: 0.0)),
    },
    NATIONAL: _servers(NATIONAL),
    WITNESS: {**_on_wire(WITNESS), "refuse": Kind(_receiver(WITNESS, "cut"), _receiver(WITNESS, "restore"))},
    LINK: {**_on_wire(LINK), "lose": _trouble("lost"), "duplicate": _trouble("doubled")},
    "bus": {
        "silent": Kind(_troubled(_silent_unit), _troubled(_answering_unit)),
        "lose": _trouble("no_answer"),
        "flip": _trouble("damaged"),
    },
    BUS: {
        "cut": Kind(_every(BUS, "cut"), _every(BUS, "restore")),
        "silent": _wire(BUS, "blackhole", lambda fault: True, False),
        "half-open": Kind(_wires(BUS, lambda proxy, fault: proxy.deafen()), None),
        "mute": _polled(lambda fault: ("mute", True), False),
        "refuse": _polled(lambda fault: ("refuses", True), False),
        "slow": _polled(lambda fault: ("latency_s", fault.number("latency_s")), 0.0),
        "wrong": Kind(_wrong(lambda fault: fault.number("probability")), _wrong(lambda fault: 0.0)),
    },
    DEPARTMENT: {**_on_wire(DEPARTMENT), "refuse": Kind(_desk(True), _desk(False))},
    "sampler": {"blind": Kind(_contact("open"), _contact("good"))},
    "device": {"power": Kind(_devices_off, _devices_on)},
    "gateway": {"power": Kind(_gateway_off, _gateway_on), "kill": Kind(_killed, None)},
    "disk": {name: _disk(name) for name in ("full", "read-only", "io-error")},
    "clock.gateway": {"jump": Kind(_jump, None), "wakes": Kind(_asleep, _told)},
    "clock.device": {"jump": Kind(_device_jump, None)},
}
FAULTS = {(where, how): kind for where, kinds in _EVERY.items() for how, kind in kinds.items()}
_NEEDS = {
    WITNESS: "witness",
    NATIONAL: "national",
    BUS: "polled",
    DEPARTMENT: "department",
    "sampler": "sampler",
}
"""What [station] has to have for a fault."""
_LIGHT_ONLY = {(LINK, "lose"), (LINK, "duplicate"), ("clock.device", "jump")}
"""What light devices do to themselves. Real firmware has only what its wires and its power do to it."""
READERS = {"bus": "device", BUS: "gateway"}
"""Who reads the instruments of a bus."""
_OF_THE_GATEWAY = {("gateway", "power"), ("gateway", "kill"), ("clock.gateway", "wakes")}


def check(scenario: Scenario) -> None:
    """Rule 1. ScenarioError, with all that is wrong."""
    wrong = []
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for number, fault in enumerate(scenario.faults, 1):
        name = f"fault {number}, {fault.where} {fault.how}"
        kind = FAULTS.get((fault.where, fault.how))
        if kind is None:
            wrong.append(f"{name}: the engine cannot do that. It knows {_known(fault.where)}.")
            continue
        if kind.end is not None and not fault.for_ms:
            wrong.append(f'{name}: write how long it lasts, such as for = "2h".')
        if kind.end is None and fault.for_ms:
            wrong.append(f"{name}: it happens at once, leave `for` out.")
        if scenario.station.firmware == MICROPYTHON and (fault.where, fault.how) in _LIGHT_ONLY:
            wrong.append(f"{name}: only light devices do that, leave firmware = {MICROPYTHON!r} out.")
        needs = _NEEDS.get(fault.where, "")
        if needs and not getattr(scenario.station, needs):
            wrong.append(f"{name}: this station has none, write {needs} = true below [station].")
        elif fault.where in READERS and "channel" in fault.given:
            wrong += [f"{name}: {told}" for told in _asked_elsewhere(scenario, fault)]
        of = ("gateway", "") if (fault.where, fault.how) in _OF_THE_GATEWAY else (fault.where, fault.how)
        spans.setdefault(of, []).extend(fault.spans(scenario.station.length_ms))
    for (where, how), those in spans.items():
        those.sort()
        if any(later[0] < earlier[1] for earlier, later in pairwise(those)):
            wrong.append(f"{where} {how}: two of them at once: let one end before the other begins.")
    if wrong:
        raise ScenarioError(scenario.name, wrong)


def _asked_elsewhere(scenario: Scenario, fault: Fault) -> list[str]:
    """Rule 1, of a channel that is not read on this bus."""
    units = load_scene(scenario.station.kind).units
    (unit,) = [unit for unit in units if fault.text("channel") in [one.symbol for one in unit.channels]]
    reader = unit.reader if scenario.station.polled else "device"
    if READERS[fault.where] == reader:
        return []
    there = next(where for where, of in READERS.items() if of == reader)
    return [f'{fault.text("channel")} is read by the {reader}: write where = "{there}", or another channel.']


def _known(where: str) -> str:
    hows = [how for place, how in FAULTS if place == where]
    return f"{where} {', '.join(hows)}" if hows else f"faults of {', '.join(_EVERY)}"


def proxied(scenario: Scenario) -> frozenset[str]:
    """Which wires need a proxy. That to the province has one where the gateway is killed in an upload."""
    places = {fault.where for fault in scenario.faults}
    found = places & {LINK, PROVINCE, NATIONAL, WITNESS, BUS, DEPARTMENT}
    return frozenset(found | ({PROVINCE} if "gateway" in places else set()))


class Faults:
    """run() it beside the world; `drained_ms` is what came of rule 3, by index of the fault (the longest)."""

    def __init__(self, world: World) -> None:
        self.drained_ms: dict[int, int | None] = {}
        self._world = world

    async def run(self) -> None:
        """Until all of them are over."""
        scenario = self._world.scenario
        async with asyncio.TaskGroup() as tasks:
            for index, fault in enumerate(scenario.faults):
                for from_ms, to_ms in fault.spans(scenario.station.length_ms):
                    tasks.create_task(self._happen(index, fault, from_ms, to_ms))

    async def _happen(self, index: int, fault: Fault, from_ms: int, to_ms: int) -> None:
        world, kind = self._world, FAULTS[fault.where, fault.how]
        begins_ms = world.scenario.station.begins_ms
        random = world.random(f"fault {index} {from_ms}")
        await world.until(begins_ms + from_ms)
        await _do(kind.begin, world, fault, random)
        world.ledger.edge()
        if kind.end is not None:
            await world.until(begins_ms + to_ms)
            await _do(kind.end, world, fault, random)
            world.ledger.edge()
        await self._drain(index)

    async def _drain(self, index: int) -> None:
        world, ended_s = self._world, self._world.loop.now_s
        self.drained_ms.setdefault(index, None)
        while world.backlog():
            await asyncio.sleep(LOOK_S)
        took_ms = round((world.loop.now_s - ended_s) * 1000)
        self.drained_ms[index] = max(took_ms, self.drained_ms[index] or 0)


async def _do(what: Do, world: World, fault: Fault, random: Random) -> None:
    waits = what(world, fault, random)
    if waits is not None:
        await waits
