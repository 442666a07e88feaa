"""What root may do at the word of a configuration that the gateway itself may have written.

Rule 1: the gateway applies configurations (gateway/config_change/), so its folder is its to write into. A
        gateway that somebody took over could name any file of the machine there, and `install` gives what is
        named to the gateway's account: so only what is that account's already is taken without asking.
Rule 2: a configuration of root's is believed: an administrator wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.people import UsageError
from tools.service.place import ETC, USER, Place
from tools.service.steps import ids_of
from tools.service.wanted import Wanted


def is_writable(config: Path) -> bool:
    """Whether the gateway may write beside it: only into the folder that is nothing else's."""
    return config.parent == ETC


def check(wanted: Wanted, place: Place) -> None:
    """UsageError: it names what is not the gateway's (rule 1)."""
    ids = ids_of(place, USER, USER)
    if ids is None or _owner(place.real(wanted.config)) != ids[0]:
        return
    named = [wanted.state_dir, *wanted.writes, *wanted.secrets]
    others = foreign([place.real(path) for path in named], ids[0])
    if others:
        path = place.target(others[0])
        raise UsageError(
            f"{wanted.config} may have been changed from the gateway's page, and it names {path}, which is "
            f"not the gateway's. If that is meant: sudo chown {USER}:{USER} {path} (make it first if it is "
            "missing), then say this again."
        )


def foreign(paths: Iterable[Path], uid: int) -> list[Path]:
    """Those that are not this user's, or not there: what is reached through a link of his is not."""
    return [path for path in paths if _owner(path) != uid or path.resolve() != path.absolute()]


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None
