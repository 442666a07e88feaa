"""The gateway's start: which configuration it runs with, and what becomes of a change that was under way.

Rule 1: a change that nobody confirmed in time, that cannot be used, or with which the gateway ended
        STARTS_MAX times, is put back here: before anything of it is believed.
Rule 2: a file with faults does not keep a gateway from running that ran before: it runs with what ran last,
        and says so (keeper.py). Without such a one there is none to run with.
Rule 3: a clock that woke up in the past gives a change its minutes once more, and no longer.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gateway import config_apart as configuration
from gateway.config_change import kept
from gateway.config_change.difference import fingerprint
from gateway.config_change.kept import BACK, OVERTAKEN, TRYING, Change
from gateway.config_model import Config
from gateway.errors import ConfigFaults
from gateway.logs import get_logger

log = get_logger("configuration")

STARTS_MAX = 5
"""Of a gateway that ends by itself before anybody confirms."""
WHY_MAX = 1000


class Begun(NamedTuple):
    """What a gateway runs with."""

    config: Config
    data: bytes  # that it was made of
    change: Change | None

    @property
    def is_tried(self) -> bool:
        """Whether nobody confirmed it yet."""
        return self.change is not None and self.change.phase == TRYING


def begin(path: Path, now_ms: int) -> Begun:
    """now_ms: the system's clock. ConfigFaults: there is no configuration that can be used."""
    change = kept.read(path)
    if change is not None:
        change = _settled(path, change, now_ms)
    config, data, faults = _parsed(path)
    if faults and change is not None and change.phase == TRYING:
        change = _back(path, change, f"it cannot be used: {faults[0]}"[:WHY_MAX])
        config, data, faults = _parsed(path)
    if config is None:
        data = kept.in_place(kept.beside(path, kept.RUNNING)) or b""
        config, _ = configuration.parse(path, data)
        if config is None:
            raise ConfigFaults(path, faults)
        log.error("the file has faults: what ran last goes on", faults=len(faults), first=str(faults[0]))
    return Begun(config, data, change)


def as_it_is(config: Config) -> Begun:
    """A configuration that was loaded without begin(): nothing is under way."""
    return Begun(config, kept.in_place(Path(config.path)) or b"", None)


def _parsed(path: Path) -> tuple[Config | None, bytes, list]:
    config, faults = configuration.read(path)
    if config is None:
        return None, b"", faults
    data = path.read_bytes()
    if fingerprint(data) != config.fingerprint:  # it was changed this very moment
        config, faults = configuration.parse(path, data)
    return config, data, faults


def _settled(path: Path, change: Change, now_ms: int) -> Change:
    """What the change is by now."""
    data = kept.in_place(path)
    here = "" if data is None else fingerprint(data)
    if change.phase == BACK and here == change.new != change.old:
        return kept.put_back(path, change, change.why)  # it ended between the word and the deed
    if change.phase != TRYING:
        return change
    if here == change.old != change.new:
        return _written(path, change._replace(phase=BACK, why="the gateway ended before it was in place"))
    if here != change.new:
        return _written(path, change._replace(phase=OVERTAKEN, why="the file was changed by hand meanwhile"))
    if now_ms >= change.until_ms:
        return _back(path, change, f"nobody confirmed it within {change.minutes:g} minutes")
    if change.starts >= STARTS_MAX:
        return _back(path, change, f"the gateway ended {change.starts} times with it")
    until_ms = min(change.until_ms, now_ms + round(change.minutes * 60_000))  # rule 3
    return _written(path, change._replace(starts=change.starts + 1, until_ms=until_ms))


def _written(path: Path, change: Change) -> Change:
    kept.write(path, change)
    return change


def _back(path: Path, change: Change, why: str) -> Change:
    log.error("the configuration of before is put back", reason=why, who=change.who)
    return kept.put_back(path, change, why)


def back_after(begun: Begun, error: Exception) -> bool:
    """Whether the gateway died with a configuration that is only tried: then that of before is in place."""
    if not begun.is_tried or begun.change is None:
        return False
    _back(Path(begun.config.path), begun.change, f"the gateway ended with it: {error!r}"[:WHY_MAX])
    return True
