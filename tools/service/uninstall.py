"""`quantrac gateway uninstall`: the service goes, the data stay; with --purge they go as well.

Rule 1: without --purge nothing of what was measured, signed or configured is touched.
Rule 2: --purge asks for the station's code, typed by a person: the journal may be the only copy of what the
        law asks for. The configuration stays even then: others may have files in its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tools.people import UsageError
from tools.service import texts
from tools.service.place import COMMAND, OPT, UNIT, UNIT_FILE, USER, Place
from tools.service.steps import Command, Done, remove
from tools.service.wanted import Wanted

FILES = (
    UNIT_FILE,
    texts.UDEV_FILE,
    texts.MODULES_FILE,
    texts.JOURNALD_FILE,
    texts.CHRONY_FILE,
    texts.SOURCES_FILE,
    texts.SYSUSERS_FILE,
    COMMAND,
)


def confirmed(wanted: Wanted, typed: str) -> None:
    """UsageError unless somebody typed the station's code."""
    if typed.strip() != wanted.station:
        raise UsageError(f"'{typed.strip()}' is not this station's code: nothing was removed.")


def purged(wanted: Wanted) -> tuple[Path, ...]:
    """What --purge removes."""
    return (wanted.state_dir,)


def uninstall(place: Place, wanted: Wanted | None, purge: bool) -> Iterator[Done]:
    """Remove the service; each thing told as it goes. wanted: None where the configuration is gone."""
    below = ("systemctl", f"--root={place.root}", "disable", UNIT)
    yield Command(("systemctl", "disable", "--now", UNIT), "it stops", below, must=False).do(place)
    for path in FILES:
        if (done := remove(place, path)) is not None:
            yield done
    yield Command(("systemctl", "daemon-reload"), "systemd forgets the unit", must=False).do(place)
    yield Command(("udevadm", "control", "--reload"), "the names of serial ports", must=False).do(place)
    if (done := remove(place, OPT)) is not None:
        yield done
    if purge and wanted is not None:
        for path in purged(wanted):
            if (done := remove(place, path)) is not None:
                yield done
        yield Command(("userdel", USER), "its account", must=False).do(place)
