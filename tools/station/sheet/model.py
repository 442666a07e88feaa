"""What a commissioning sheet is made from: facts of a station's folder, in no language yet. Pure.

Rule 1: no key is ever part of it: of keys it has fingerprints, and `secrets`, only so that whoever writes it
        down can keep them out of texts that others typed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.limits.choose import Figure
from protocol.profile import Profile

MISSING, CHANGED, THERE, OUTSIDE = "missing", "changed", "there", "outside"

RS485, TCP, LOOP, COUNTER = "rs485", "tcp", "loop", "counter"


class File(NamedTuple):
    """A file that is named somewhere: `sha256` as it is now ("" when it is not there)."""

    name: str
    sha256: str
    state: str  # MISSING, CHANGED (not what was noted), THERE, OUTSIDE (of the folder: not looked at)


class Line(NamedTuple):
    """A bus. For TCP `path` is host:port, and the other three are empty."""

    id: str
    kind: str
    path: str
    baud: str
    parity: str
    stopbits: str

    @property
    def settings(self) -> str:
        """9600 8N1"""
        return f"{self.baud} 8{self.parity}{self.stopbits}" if self.baud else ""


class Instrument(NamedTuple):
    """A unit on a bus, with what its profile says of itself."""

    bus: str
    address: int | None
    profile: Profile
    channels: tuple[str, ...]
    answers: str = ""  # to what its profile asks


class Pin(NamedTuple):
    """Something that is wired to the device itself: `group` is inputs, outputs, analogs or counters."""

    group: str
    name: str
    kind: str  # door, relay, ...; empty for loops and counters
    pin: str
    row: dict[str, Any]


class Target(NamedTuple):
    """A [[channel]] of the gateway that takes a channel of the device."""

    symbol: str
    unit: str
    decimals: int
    limits: tuple[Figure, ...]
    rule: str  # the rule it names, where its figures could not be found
    calibrate_days: int | None


class Channel(NamedTuple):
    """What the device measures."""

    name: str
    source: str  # id of the bus and address, or the pin: for people
    kind: str  # RS485, TCP, LOOP or COUNTER
    unit: str
    low: float | None
    high: float | None
    poll_ms: int | None
    decimals: int | None
    mark: str  # of the profile; empty without one
    targets: tuple[Target, ...]


class Live(NamedTuple):
    """What the device itself said, asked with --port. `problem`: why nothing is known."""

    port: str
    problem: str = ""
    id: str = ""
    firmware: str = ""
    config: str = ""  # hex
    board: str = ""
    boot: int | None = None
    reset: str = ""
    safe: str = ""
    trial: str = ""  # a version, or a configuration's hash, that it has not confirmed
    up_ms: int | None = None
    told: bool | None = None
    calibrations: dict[str, tuple[int, int]] = {}  # noqa: RUF012 (never changed): number, points, by channel
    inputs: tuple[tuple[str, str], ...] = ()
    units: tuple[tuple[str, ...], ...] = ()  # bus, address, counts of the poller, whether it is lost


class Sheet(NamedTuple):
    """Everything. Times are Unix ms."""

    id: str
    made_ms: int
    kind: str  # wastewater, ... as `new` was told; "" when it was not
    link: dict[str, Any]
    gateway_link: str  # the same, as the gateway has it
    link_key: str  # fingerprint, "" when there is no key
    seal: str  # fingerprint as `new` recorded it
    seal_key_here: bool  # device/seal.key is still on this machine
    update_key: File
    config: File  # device/station.json
    config_differs: bool  # it is not what site.json compiles to
    faults: tuple[str, ...]  # of site.json and gateway.toml
    lines: tuple[Line, ...]
    instruments: tuple[Instrument, ...]
    pins: tuple[Pin, ...]
    alarms: tuple[dict[str, Any], ...]
    channels: tuple[Channel, ...]
    gateway_there: bool
    records: tuple[dict[str, Any], ...]  # oldest first
    unreadable: tuple[int, int]  # lines of records.jsonl: all of them, and those behind the newest test
    files: dict[str, File]  # that records name
    pictures: dict[str, bytes]  # small JPEGs of photographs, by their file's name
    live: Live | None
    secrets: tuple[str, ...]

    def newest(self, kind: str) -> dict[str, Any]:
        """The last record of a kind; {} when there is none."""
        return next((one for one in reversed(self.records) if one["kind"] == kind), {})

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.records if one["kind"] == kind]

    def calibration(self, channel: str) -> dict[str, Any]:
        """The newest of a channel; {} when it was never calibrated."""
        found = [one for one in self.all("calibrated") if one.get("channel") == channel]
        return found[-1] if found else {}
