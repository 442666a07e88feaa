"""What is wrong with the station itself, by name: what somebody is called for beside values. Pure.

Rule 1: a condition is found once, by whoever knows of it: status.py (devices, buses, clock, disk, log), and
        here: contacts by their newest reading, calibrations by their entries. Interruptions of channels and
        destinations are alerts of their own (interruptions.py) and are not found again.
Rule 2: what comes and goes by itself within a moment calls nobody: a condition is raised when it has lasted
        RAISE_S, and has ended when it was away for CLEAR_S. A door and the mains are raised at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from gateway.config_model import Channel
from protocol import quality as q

NO_DATA = "no data"
CLOCK = "clock untrusted"
DISK = "disk short"
LOG = "log refused"
CALIBRATION = "calibration overdue"
DOOR, MAINS = "door open", "mains lost"
CONTACTS = {"door": DOOR, "mains": MAINS}
RULES = (NO_DATA, CLOCK, DISK, LOG, CALIBRATION, DOOR, MAINS)
"""Their alerts' rules: conditions without one are problems in the status, and nobody is called."""
GATEWAY = "gateway"
DAY_MS = 86_400_000
ON = 0.5
"""A contact reads 0 or 1."""
RAISE_S = {NO_DATA: 120.0, DOOR: 0.0, MAINS: 0.0}
"""A device reconnects within seconds. For the others:"""
RAISE_OTHERS_S = 30.0
CLEAR_S = 60.0


class Condition(NamedTuple):
    """A sentence for people; `rule` and `about` where it is one of RULES."""

    text: str
    rule: str = ""
    about: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Of its alert."""
        return self.rule, self.about


def contacts(
    channels: Iterable[Channel], value: Callable[[str], tuple[float | None, int]]
) -> Iterator[Condition]:
    """Contacts that are on. `value(symbol)`: newest value and quality."""
    for channel in channels:
        if channel.contact:
            newest, quality = value(channel.symbol)
            if quality == q.OK and newest is not None and newest > ON:
                rule = CONTACTS[channel.contact]
                yield Condition(f"{channel.symbol} says: {rule}.", rule, channel.symbol)


def unknown(
    channels: Iterable[Channel], value: Callable[[str], tuple[float | None, int]]
) -> set[tuple[str, str]]:
    """Alerts of contacts that cannot be read at the moment: they stand as they are."""
    return {
        (CONTACTS[channel.contact], channel.symbol)
        for channel in channels
        if channel.contact and value(channel.symbol)[1] != q.OK
    }


def overdue(
    channels: Iterable[Channel], known: Callable[[Channel], int | None], first_ms: int, now_ms: int
) -> Iterator[Condition]:
    """Channels whose last calibration is older than `calibrate_days`. `known(channel)`: when the newest one
    was; where there is none it counts from first_ms, when the journal began.
    """
    for channel in channels:
        if channel.calibrate_days is None or hasattr(channel.source, "derived"):
            continue
        last_ms = known(channel)
        age_days = (now_ms - (first_ms if last_ms is None else last_ms)) / DAY_MS
        if age_days > channel.calibrate_days:
            was = "has no calibration in this journal, begun" if last_ms is None else "was calibrated"
            text = f"{channel.symbol} {was} {age_days:.0f} days ago: {channel.calibrate_days} are allowed."
            yield Condition(text, CALIBRATION, channel.symbol)


class Lasting:
    """Which conditions have lasted long enough, and which are over (rule 2). `mono_s` of a clock that never
    steps.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        self._away: dict[tuple[str, str], float] = {}

    def begun(self, found: Iterable[Condition], mono_s: float) -> list[Condition]:
        """Those that have lasted."""
        now = {condition.key: condition for condition in found if condition.rule}
        self._since = {key: self._since.get(key, mono_s) for key in now}
        return [
            condition
            for key, condition in now.items()
            if mono_s - self._since[key] >= RAISE_S.get(condition.rule, RAISE_OTHERS_S)
        ]

    def over(self, standing: Iterable[tuple[str, str]], mono_s: float) -> list[tuple[str, str]]:
        """Of what stands, what is away for CLEAR_S. Call it behind begun()."""
        missing = [key for key in standing if key not in self._since]
        self._away = {key: self._away.get(key, mono_s) for key in missing}
        return [key for key in missing if mono_s - self._away[key] >= CLEAR_S]
