"""A scan from the command line to its result. What is printed is said in say.py.

Rule 1: whatever ends it, the port is left as it was found (wire.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.errors import ConfigError
from protocol.instruments import load, names
from protocol.profile import Profile
from tools.station.folder import Folder
from tools.station.scan.faults import Evidence, Hint, hints
from tools.station.scan.identify import Unit, identify
from tools.station.scan.plan import IDENTIFY_S, Choice, Plan, Step
from tools.station.scan.search import Search
from tools.station.scan.settings import Setting
from tools.station.scan.talk import Spot, Talk, Tally
from tools.station.scan.wire import FIXED, CannotSet, Wire

LISTEN_S = 0.5  # before the first question: does somebody else talk here?


@dataclass
class Result:
    """What a scan found. `covered`: the steps that were done; `gave_up`: settings full of rubbish."""

    port: str
    units: list[Unit] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)
    covered: list[Step] = field(default_factory=list)
    gave_up: list[Setting] = field(default_factory=list)
    requests: int = 0
    waited_s: float = 0.0
    seconds: float = 0.0
    fixed: bool = False
    refused: list[Setting] = field(default_factory=list)  # that the port cannot have
    tallies: dict[Spot, Tally] = field(default_factory=dict)


def scan(
    port: str,
    choice: Choice,
    profiles: list[Profile],
    progress: Callable[[str, float], None] = lambda what, seconds: None,
) -> Result:
    """Look at the bus on `port`. UsageError and Failure as wire.py has them.

    `progress(what, seconds)`: so many seconds of the plan are done.
    """
    began_s = time.monotonic()
    plan = Plan(choice, profiles)
    with Wire(port) as wire:
        talk = Talk(wire, profiles)
        search = Search(talk, plan, progress)
        _set_any(talk, plan.settings)
        unasked = talk.listen(LISTEN_S)
        search.run()
        units = []
        for setting in search.answered or plan.settings[:1]:
            for spot in search.again(setting):
                progress(f"{setting}, unit {spot.unit}", IDENTIFY_S)
                units.append(identify(talk, spot, profiles, search.found[spot], choice.expected.get(spot)))
        units.sort(key=lambda unit: (unit.spot.unit, unit.spot.setting))
        result = Result(port, units, [], search.covered, search.gave_up, talk.requests, wire.waited_s)
        result.fixed, result.tallies, result.refused = wire.fixed, talk.tallies, search.refused
    startups = {profile.name: profile.link.startup_ms for profile in profiles}
    missing = [
        (spot, name, _ms(startups.get(name)))
        for spot, name in choice.expected.items()
        if spot not in search.found
    ]
    result.hints = hints(
        Evidence(
            talk.tallies, talk.heard, units, unasked, frozenset(talk.strangers), tuple(search.late),
            tuple(missing),
        )
    )  # fmt: skip
    result.seconds = time.monotonic() - began_s
    return result


def _set_any(talk: Talk, settings: Sequence[Setting]) -> None:
    """The first that the port can have. CannotSet when there is none."""
    for left, setting in zip(reversed(range(len(settings))), settings, strict=True):
        try:
            talk.set(setting)
            return
        except CannotSet:
            if not left:
                raise


def expected_units(folder: Folder) -> dict[Spot, str]:
    """The units that a station's folder names: where they should answer, and the profile of each."""
    site = folder.site()
    buses = {bus.get("id"): bus for bus in _tables(site.get("buses")) if bus.get("kind", "rtu") == "rtu"}
    found: dict[Spot, str] = {}
    for unit in _tables(site.get("units")):
        bus = buses.get(unit.get("bus"))
        if bus is None:
            continue
        try:
            profile: Any = load(str(unit.get("profile")))
        except ConfigError:
            continue  # `station new` and build.py say so; a scan goes on without it
        address = unit.get("unit", profile.link.unit)
        setting = Setting(*(_first(key, unit, bus, profile) for key in ("baud", "parity", "stopbits")))
        if isinstance(address, int):
            found[Spot(setting, address)] = profile.name
    return found


def _first(key: str, unit: dict, bus: dict, profile: Profile) -> Any:
    """What is set for the bus counts for everybody on it; then the unit's own, then the factory's."""
    for table in (bus, unit):
        if table.get(key) is not None:
            return table[key]
    return getattr(profile.link, key)


def _ms(value: object) -> int:
    return value if isinstance(value, int) else 0


def _tables(value: object) -> list[dict]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def all_profiles() -> list[Profile]:
    """Every profile that comes with Quantrac."""
    return [load(name) for name in names()]


def is_fixed(port: str) -> bool:
    """Whether that port's settings cannot be made from here."""
    return port.startswith(FIXED)
