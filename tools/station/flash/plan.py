"""From what is on a board to what is to be on it: steps, in an order that may end anywhere.

Rule 1: a file that is there with the right hash is left alone: a repeated flash does only what is missing.
Rule 2: what starts comes last. On a new board that is main.py: until it is there, nothing of ours starts. On
        one that runs, a package goes into the slot that does not run, and `slot` names it once it is whole:
        until then the former firmware starts, and from then on it is the way back.
Rule 3: a board of another station is left alone, unless --replace was said. Then its main.py goes first, its
        records and keys after it, and identity.json last: whoever is interrupted finds out whose it was.
Rule 4: of a station.json that is replaced a copy stays as station.old, which the firmware starts with when it
        cannot use the new one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tools.people import UsageError
from tools.station.flash import hand_over
from tools.station.flash.board import Held
from tools.station.flash.wanted import IDENTITY, LINK_KEY, STATION, Firmware
from tools.station.package import NEVER_UPDATED, PUBLIC_FILE
from tools.station.voice import harmless

PART = ".flash"
"""Behind a name: a file that is being written."""
SLOT, STATION_OLD, TRIAL, MAIN = "slot", "station.old", "state/trial", "main.py"
SPARE_BLOCKS = 4  # littlefs takes blocks for names, too
ASKED = (
    *(IDENTITY, LINK_KEY, STATION, SLOT, PUBLIC_FILE, hand_over.FILE, *NEVER_UPDATED),
    *("boot", "stage", "a.pkg", "b.pkg"),
)
"""Names whose hashes a board is asked for."""


@dataclass(frozen=True)
class Step:
    """Write `data` as `name`, or, where it is None, remove the file or the empty folder."""

    name: str
    data: bytes | None
    why: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data or b"").hexdigest()


@dataclass
class Plan:
    """`files`: every file that the board holds in the end, by name: its SHA-256."""

    steps: list[Step] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    counter: int = 0
    package: bytes = b""
    need: int = 0  # bytes of flash, at the step where it is most

    @property
    def size(self) -> int:
        return sum(len(step.data) for step in self.steps if step.data is not None)


def owner(held: Held) -> str | None:
    """The id of the station that the board is; "" when that cannot be read; None when it is none."""
    if IDENTITY not in held.names:
        return "" if hand_over.seals(held.seal) else None
    id = _table(held.texts.get(IDENTITY)).get("id")
    return id if isinstance(id, str) else ""


def check_owner(held: Held, id: str, replace: bool) -> None:
    """UsageError when the board is another station, and nobody said that it may be replaced."""
    whose = owner(held)
    if whose in (None, id) or replace:
        return
    more = " It seals with a key of its own, which would be lost." if hand_over.seals(held.seal) else ""
    raise UsageError(
        f"This board is {_named(whose)}, not {id}: nothing was written.{more} Name that station's folder "
        f"with --dir, or say --replace to make the board {id}."
    )


def _named(whose: str | None) -> str:
    return f"station {harmless(whose)}" if whose else "a station whose identity cannot be read"


def plan(held: Held, station: dict[str, bytes], firmware: Firmware, replace: bool) -> Plan:
    """The steps. UsageError when the board belongs to another station, or has too little room."""
    made = Plan()
    id = json.loads(station[IDENTITY])["id"]
    check_owner(held, id, replace)
    whose = owner(held)
    if whose is not None and whose != id:
        _clear(made, held, whose)
        held = _cleared(held, made)
    for name in held.names:
        if name.endswith(PART):
            made.steps.append(Step(name, None, "of a flash that was interrupted"))
    _firmware(made, held, firmware)
    for name in (PUBLIC_FILE, IDENTITY, LINK_KEY):
        if name in station:
            _put(made, held, name, station[name])
    if hand_over.FILE in station:
        _seal(made, held, station[hand_over.FILE])
    elif held.seal is not None:
        made.there.append(hand_over.FILE)
    _station(made, held, station[STATION])
    _put(made, held, MAIN, NEVER_UPDATED[MAIN].read_bytes())
    if "firmware" in held.names:
        made.notes.append("The folder `firmware` on the board is left alone; nothing of it starts any more.")
    _make_room(made, held)
    return made


def _table(text: str | None) -> dict[str, Any]:
    try:
        table = json.loads(text or "")
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def _put(made: Plan, held: Held, name: str, data: bytes, why: str = "") -> None:
    step = Step(name, data, why)
    made.files[name] = step.sha256
    if held.hashes.get(name) == step.sha256:
        made.there.append(name)
    else:
        made.steps.append(step)


def _clear(made: Plan, held: Held, whose: str) -> None:
    gone = [
        *held.state,
        "boot",
        "stage",
        hand_over.FILE,
        STATION_OLD,
        PUBLIC_FILE,
        LINK_KEY,
        STATION,
        IDENTITY,
    ]
    for name in (MAIN, *gone):
        if name in held.names or name in held.state:
            made.steps.append(Step(name, None, f"of {_named(whose)}"))


def _cleared(held: Held, made: Plan) -> Held:
    gone = {step.name for step in made.steps}
    return Held(
        tuple(name for name in held.names if name not in gone),
        held.sizes,
        {name: value for name, value in held.hashes.items() if name not in gone},
        {name: value for name, value in held.texts.items() if name not in gone},
        held.packages,
        None,
        (),
        held.block,
        held.free + sum(_room(held, held.sizes.get(name, 0)) for name in gone),
    )


def running(held: Held) -> tuple[str, dict[str, Any]]:
    """The slot that the starter starts, "" for none, and the state; of one on trial, the way back."""
    state = _table(held.texts.get(SLOT))
    whole = {slot: one for slot, one in held.packages.items() if one.whole}
    slot = str(state.get("slot"))
    if slot in whole and whole[slot].counter == state.get("counter"):
        back = str(state.get("old"))
        return (back if state.get("trying") and back in whole else slot), state
    return (max(whole, key=lambda slot: whole[slot].counter) if whole else ""), state


def _firmware(made: Plan, held: Held, firmware: Firmware) -> None:
    slot, state = running(held)
    other = "b" if slot == "a" else "a"
    counters = [one.counter for one in held.packages.values() if one.whole]
    known = state.get("highest")
    highest = max([known if isinstance(known, int) else 0, *counters])
    target = slot if slot and _is(held, slot, firmware) else other
    name = f"{target}.pkg"
    if _is(held, target, firmware):
        made.counter = held.packages[target].counter
        made.files[name] = str(held.hashes[name])
        made.there.append(name)
    else:
        made.package = firmware.package(highest + 1)
        made.counter = int(made.package[10:].split(b"\n", 4)[3])
        _put(made, held, name, made.package, f"firmware {firmware.version}")
    _put(made, held, "starter.py", NEVER_UPDATED["starter.py"].read_bytes())
    settled = state.get("slot") == target and state.get("trying") is False
    if settled and name in made.there and state.get("counter") == made.counter:
        made.there.append(SLOT)
        return
    back = slot if slot != target else other
    after = {
        "slot": target,
        "old": back if back in held.packages and held.packages[back].whole else None,
        "version": firmware.version,
        "counter": made.counter,
        "highest": max(highest, made.counter),
        "trying": False,  # who flashes waits for its greeting; where it cannot be loaded, `old` is back
        "tries": 0,
    }
    _put(made, held, SLOT, json.dumps(after).encode(), f"starts {name}")


def _is(held: Held, slot: str, firmware: Firmware) -> bool:
    """Whether this slot holds the wanted firmware: where a package was named this one, else what is in it."""
    there = held.packages.get(slot)
    if there is None or not there.whole:
        return False
    if firmware.exact:
        return held.hashes.get(f"{slot}.pkg") == hashlib.sha256(firmware.package(0)).hexdigest()
    return (there.version, there.contents) == (firmware.version, firmware.contents)


def _seal(made: Plan, held: Held, data: bytes) -> None:
    if hand_over.is_there(held.seal, data):
        made.there.append(hand_over.FILE)
    else:
        made.steps.append(Step(hand_over.FILE, data, "handed over"))


def _station(made: Plan, held: Held, data: bytes) -> None:
    before = held.texts.get(STATION)
    changed = held.hashes.get(STATION) != hashlib.sha256(data).hexdigest()
    if changed and before is not None:
        if TRIAL in held.state:
            made.steps.append(Step(TRIAL, None, "a configuration was on trial"))
        _put(made, held, STATION_OLD, before.encode(), "the way back")
        made.files.pop(STATION_OLD)
        made.notes.append("The board measures by another station.json: it stays there as station.old.")
    _put(made, held, STATION, data)


# Room


def _room(held: Held, size: int) -> int:
    return -(-size // held.block) * held.block


def _most(made: Plan, held: Held) -> int:
    """Bytes of flash that the steps need beyond what is taken now, at the step where it is most."""
    sizes = dict(held.sizes)
    used = most = 0
    for step in made.steps:
        old = _room(held, sizes.pop(step.name, 0))
        if step.data is not None:
            used += _room(held, len(step.data))
            most = max(most, used)
            sizes[step.name] = len(step.data)
        used -= old
    return most


def _make_room(made: Plan, held: Held) -> None:
    """Where it is short, the package that does not run goes first. UsageError when that is not enough."""
    spare = SPARE_BLOCKS * held.block
    made.need = _most(made, held)
    for slot in ("a", "b"):
        name = f"{slot}.pkg"
        at = next((i for i, step in enumerate(made.steps) if step.name == name), None)
        if made.need + spare > held.free and at is not None and name in held.names:
            made.steps.insert(at, Step(name, None, "makes room; it does not run"))
            made.need = _most(made, held)
    if made.need and made.need + spare > held.free:
        raise UsageError(
            f"The board has {held.free // 1024:,} KB of flash free and {(made.need + spare) // 1024:,} KB "
            "are needed: nothing was written. Let the gateway take its records, remove what is not ours, "
            "or take a board with more flash."
        )
