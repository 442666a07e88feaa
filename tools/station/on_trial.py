"""What becomes of a change that a device tries: kept after ten healthy minutes, or what was before is back.

Rule 1: the device decides (firmware/trial.py, starter.py), and its status says so: what is on trial, what
        went back and why. Its events say the same, but to its gateway: behind records that nobody
        acknowledges here, none of a new start is sent.
Rule 2: a firmware that does not tell it yet is judged by what it runs, since when, and how often it failed
        meanwhile: a start that lived ten minutes without a fault has confirmed.
Rule 3: what cannot be known is not said: of two versions that greet alike, nobody sees which one runs.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protocol.messages import Hello
from tools.people import Failure
from tools.station.steady import SteadyLink
from tools.station.voice import harmless

HEALTHY_MS = 600_000
"""As in firmware/trial.py: station time without a fault."""
SETTLE_S = 5.0
"""Beyond it, for the device's own look at its clock (once a second) and its flash."""
POLL_S = 2.0
ANSWER_S = 10.0
OVERDUE_S = 60.0
"""More than enough to write one small file."""
SILENT_S = 120.0
"""Two failed starts take less; a station that is silent for longer needs a person."""
FIRMWARE, CONFIGURATION = "firmware", "configuration"


@dataclass(frozen=True)
class Change:
    """A change that was, or will be, applied. `boot`: the start before it.

    `name`: as the device's events call it: a version, or the hash of a configuration. `before` and `after`:
    what its HELLO tells of either, `counter` is of a package.
    """

    what: str
    name: str
    before: str
    after: str
    boot: int
    sha256: str
    counter: int | None = None

    @property
    def told_apart(self) -> bool:
        return self.before != self.after

    def of(self, hello: Hello) -> str:
        """What runs, in the words of `before` and `after`."""
        return hello.firmware if self.what == FIRMWARE else hello.config_hash.hex()

    def runs(self, hello: Hello) -> bool:
        """Whether the device has started with it."""
        return hello.boot > self.boot and self.of(hello) == self.after


@dataclass(frozen=True)
class Verdict:
    """confirmed: None where it cannot be told. `why`: what is known of the reason, a sentence or "" """

    confirmed: bool | None
    why: str = ""


class NeverApplied(Failure):
    """The device started anew, and knows nothing of the change."""

    def __init__(self) -> None:
        super().__init__(
            "The station started anew before it took the change, and runs what it ran. Say the same again."
        )


@dataclass
class _Health:
    """How long one start has been without a fault, as its status tells."""

    boot: int = 0
    since_ms: int = 0
    crashes: int = 0

    def left_ms(self, status: dict[str, Any]) -> int:
        """Station time until it has been ten minutes."""
        boot, up_ms, crashes = status["boot"], status["up_ms"], status["crashes"]
        if boot != self.boot:
            self.boot, self.since_ms, self.crashes = boot, 0, 0
        if crashes != self.crashes:
            self.since_ms, self.crashes = up_ms, crashes
        return self.since_ms + HEALTHY_MS - up_ms


async def verdict(line: SteadyLink, change: Change, show: Callable[[int, dict], object]) -> Verdict:
    """Wait until the device has decided. show(ms that are left, its status) is called every 2 s.

    Failure with what to do when the station stays silent; NeverApplied.
    """
    health = _Health()
    heard = time.monotonic()
    settled = 0.0
    while True:
        try:
            status = await status_of(line, ANSWER_S)
        except Failure as failure:
            if time.monotonic() - heard > SILENT_S:
                raise Failure(_silent(change)) from failure
            continue
        heard = time.monotonic()
        why = _back(status, change)
        if why == "" and "trial" in status:
            raise NeverApplied
        if why is not None:
            return await gone(line, change)
        left_ms = health.left_ms(status)
        show(max(0, left_ms), status)
        if left_ms <= 0 and status.get("trial") == "":
            return Verdict(True)
        settled = 0.0 if left_ms > 0 else settled or heard
        if settled and heard - settled >= (OVERDUE_S if "trial" in status else SETTLE_S):
            return _overdue() if "trial" in status else _lived(change)
        boot = status["boot"]
        await line.until(lambda station, boot=boot: station.hello.boot > boot, POLL_S)


async def glance(line: SteadyLink, change: Change) -> Verdict | None:
    """What can be said at once, without waiting; None: it is on trial, or was never applied."""
    status = await status_of(line, line.patience_s)
    if why := _back(status, change):
        return Verdict(False, why)
    if status["boot"] <= change.boot or not change.told_apart or _runs(status, change) != change.after:
        return None
    if "trial" in status:
        return None if status["trial"] else _lived(change)
    long_ago = status["up_ms"] > HEALTHY_MS + SETTLE_S * 1000 and not status["crashes"]
    return _lived(change) if long_ago else None


async def status_of(line: SteadyLink, seconds: float) -> dict[str, Any]:
    """The device's status. Failure when none comes, or something else."""
    result = await line.command("status", seconds=seconds)
    data = result.data
    if not result.ok or not isinstance(data, dict):
        raise Failure(f"The station does not tell its status: {harmless(result.text)}.")
    for name in ("boot", "up_ms", "crashes"):
        if not isinstance(data.get(name), int):
            raise Failure(f"The station's status does not tell {name}: look at it with `station console`.")
    return {**data, "text": result.text}


def _runs(status: dict[str, Any], change: Change) -> str:
    if change.what == FIRMWARE:
        return str(status.get("firmware"))
    told = status.get("config")
    return told.hex() if isinstance(told, bytes) else ""


def _lived(change: Change) -> Verdict:
    if change.told_apart:
        return Verdict(True)
    return Verdict(
        None,
        f"both versions greet as {change.after}, so only the station's events, which its gateway gets, say "
        "which of them runs",
    )


def _overdue() -> Verdict:
    return Verdict(
        None,
        "it still calls itself on trial, so its flash may not take what it writes: look at its events",
    )


def _back(status: dict[str, Any], change: Change) -> str | None:
    """Why the device says that it went back; "" when only what it runs shows it, None when it did not."""
    _, found, why = str(status.get("text")).partition(f", back from {change.name}: ")
    if status["boot"] <= change.boot:
        return None
    if found:
        return harmless(why.partition(", back from ")[0]) or "no reason is known"
    return "" if change.told_apart and _runs(status, change) != change.after else None


async def gone(line: SteadyLink, change: Change) -> Verdict:
    """That it went back, and why: as the device tells, else by a crash report of the starts since; "" when
    neither is to be had."""
    try:
        if why := _back(await status_of(line, ANSWER_S), change):
            return Verdict(False, why)
        result = await line.command("log", seconds=ANSWER_S)
    except Failure:
        return Verdict(False)
    data = result.data
    boot = data.get("boot") if result.ok and isinstance(data, dict) else None
    told = isinstance(boot, int) and boot > change.boot
    return Verdict(False, harmless(str(data["text"])) if told else "")


def _silent(change: Change) -> str:
    back = "the old version" if change.what == FIRMWARE else "the former configuration"
    return (
        f"The station has not answered for {SILENT_S:.0f} s. Check the cable. If it stays silent, switch it "
        f"off and on three times, within ten minutes: after two starts without ten healthy minutes {back} "
        "is back. Then look with `station update` without a package."
    )


def as_table(change: Change) -> dict[str, Any]:
    return dataclasses.asdict(change)


def from_table(table: object) -> Change | None:
    """None for what as_table() did not make."""
    names = {field.name for field in dataclasses.fields(Change)}
    if not isinstance(table, dict) or set(table) != names or not isinstance(table["boot"], int):
        return None
    change = Change(**table)
    return change if change.what in (FIRMWARE, CONFIGURATION) else None
