"""`quantrac gateway install`: the list of steps that make a service of a configuration, and doing them.

Rule 1: what is to be done is a list, made before anything is done: --dry-run prints it.
Rule 2: nothing of the configuration is written: only its owner and its mode are set.
Rule 3: the mount options of the disk, swap and the like are told, never changed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.doctor.disk import device_of, mount_findings, swap_findings
from tools.doctor.findings import GOOD
from tools.people import UsageError
from tools.service import texts, versions
from tools.service.place import (
    BACKUPS,
    COMMAND,
    CREDENTIALS,
    CURRENT,
    OPT,
    PLACE_FILE,
    STATE,
    UNIT,
    UNIT_FILE,
    USER,
    Place,
)
from tools.service.steps import Command, Done, File, Folder, Link, Own, Step
from tools.service.texts import Port
from tools.service.trust import is_writable
from tools.service.unit import unit
from tools.service.wanted import Wanted

OLDEST_SYSTEMD = 252
RESTART = ("systemctl", "restart", UNIT)
RESTARTED_FOR = {str(UNIT_FILE), str(CURRENT)}
"""Without a change of these a gateway that runs is left alone."""


class Choices(NamedTuple):
    """What whoever installs chose."""

    ports: list[Port]
    time_servers: list[str]
    packages: bool  # chrony may be installed
    start: bool


def systemd_version() -> int:
    """Of this machine; OLDEST_SYSTEMD where it does not say."""
    program = shutil.which("systemctl")
    if program is None:
        return OLDEST_SYSTEMD
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    found = re.match(r"systemd (\d+)", done.stdout)
    return int(found[1]) if found else OLDEST_SYSTEMD


def steps(wanted: Wanted, choices: Choices, systemd: int) -> list[Step]:
    """All of them, in order; the version itself is made before (versions.py)."""
    return [*_account(), *_files(wanted, choices), *_machine(wanted, choices, systemd), *_start(choices)]


def _account() -> Iterator[Step]:
    yield File(texts.SYSUSERS_FILE, texts.SYSUSERS)
    yield Command(("systemd-sysusers", texts.SYSUSERS_FILE.name), "the gateway's own account")


def _files(wanted: Wanted, choices: Choices) -> Iterator[Step]:
    """Who owns what; with what `install` has to remember."""
    if is_writable(wanted.config):
        # Sticky: what is not the gateway's own it can neither remove nor take the place of.
        yield Own(wanted.config.parent, "root", USER, 0o1770, alone=True)
        yield Own(wanted.config, USER, USER, 0o750, 0o640)
    else:
        yield Own(wanted.config, "root", USER, 0o750, 0o640)
    yield Folder(wanted.state_dir, 0o700)
    yield Own(wanted.state_dir, USER, USER)
    for path in wanted.writes:
        yield Folder(path, 0o750, others=True)
        yield Own(path, USER, USER, 0o750, 0o640, alone=True)
    for path in wanted.secrets:
        if not path.is_relative_to(wanted.state_dir):
            yield Own(path, USER, USER)
    if wanted.credentials:
        yield Own(CREDENTIALS, "root", "root")
    yield Folder(BACKUPS, 0o700)
    yield Own(BACKUPS, USER, USER)
    yield File(PLACE_FILE, f"{wanted.config}\n")
    yield Link(COMMAND, CURRENT / "bin/quantrac")


def _machine(wanted: Wanted, choices: Choices, systemd: int) -> Iterator[Step]:
    yield File(texts.UDEV_FILE, texts.udev(choices.ports))
    if wanted.serial:
        yield File(texts.MODULES_FILE, texts.MODULES)
        yield Command(
            ("systemctl", "restart", "systemd-modules-load.service"), "drivers of serial ports", must=False
        )
    yield Command(("udevadm", "control", "--reload"), "the names of serial ports", must=False)
    yield Command(("udevadm", "trigger", "--subsystem-match=tty"), "the names of serial ports", must=False)
    if choices.packages:
        yield Command(
            ("apt-get", "install", "-y", "-q", "--no-install-recommends", "chrony"),
            "keeps the clock right",
            needed=lambda: shutil.which("chronyd", path="/usr/sbin:/sbin:/usr/bin") is None,
            must=False,
        )
    yield File(texts.CHRONY_FILE, texts.CHRONY)
    if choices.time_servers:
        yield File(texts.SOURCES_FILE, texts.sources(choices.time_servers))
    yield Command(("systemctl", "try-restart", "chrony.service"), "it reads its settings", must=False)
    yield File(texts.JOURNALD_FILE, texts.JOURNALD)
    yield Command(("systemctl", "try-restart", "systemd-journald.service"), "it reads its limits", must=False)
    yield File(UNIT_FILE, unit(wanted, systemd))


def _start(choices: Choices) -> Iterator[Step]:
    yield Command(("systemctl", "daemon-reload"), "systemd reads the unit")
    yield Command(("systemctl", "enable", UNIT), "it starts by itself")
    if choices.start:
        yield Command(RESTART, "it runs, as it is now")


def below(step: Step, place: Place) -> Step:
    """A step's form for another root: what can be done there, without systemd running there."""
    if place.live or not isinstance(step, Command):
        return step
    if step.argv[0] == "systemd-sysusers":
        return step._replace(below_root=("systemd-sysusers", f"--root={place.root}", step.argv[1]))
    if step.argv[:2] == ("systemctl", "enable"):
        return step._replace(below_root=("systemctl", f"--root={place.root}", "enable", UNIT))
    return step


def do(place: Place, planned: list[Step], changed: set[str]) -> Iterator[Done]:
    """Do them, each told as it is done. Failure, OSError.

    systemd and its like are only asked to read again what has changed. `changed`: paths that did before.
    """
    for step in planned:
        if isinstance(step, Command) and step.argv == RESTART and not changed & RESTARTED_FOR:
            step = step._replace(argv=("systemctl", "start", UNIT), why="it runs")
        if isinstance(step, Command) and not _due(step, changed):
            yield Done("same", " ".join(step.argv))
            continue
        done = below(step, place).do(place)
        if done.state in ("made", "changed"):
            changed.add(done.what)
        yield done


_AFTER = {  # the end of a command -> files after a change of which it is due
    "chrony.service": (texts.CHRONY_FILE, texts.SOURCES_FILE),
    "systemd-journald.service": (texts.JOURNALD_FILE,),
    "systemd-modules-load.service": (texts.MODULES_FILE,),
    "--reload": (texts.UDEV_FILE,),
    "--subsystem-match=tty": (texts.UDEV_FILE,),
    "daemon-reload": (UNIT_FILE,),
}


def _due(step: Command, changed: set[str]) -> bool:
    files = _AFTER.get(step.argv[-1])
    return files is None or any(str(path) in changed for path in files)


def check_choices(
    place: Place, given: list[str], time_servers: list[str], packages: bool, start: bool
) -> Choices:
    """What was given on the command line, with the names of ports that were given at an earlier time."""
    rules = place.real(texts.UDEV_FILE)
    known = {port.name: port for port in texts.ports_in(rules.read_text("utf-8"))} if rules.exists() else {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            raise UsageError(f"--port is NAME=/dev/ttyUSB0, and not '{text}'.")
        known[name] = texts.port_named(name, properties(path))
    texts.sources(time_servers)
    return Choices(list(known.values()), time_servers, packages, start)


def properties(path: str) -> dict[str, str]:
    """What udev knows of a port. UsageError."""
    try:
        done = subprocess.run(
            ["udevadm", "info", "--query=property", f"--name={path}"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except OSError:
        raise UsageError("udevadm is not on this machine: leave --port out.") from None
    if done.returncode != 0:
        raise UsageError(f"udev does not know {path}: is it plugged in? `ls /dev/ttyUSB* /dev/ttyACM*`")
    return {name: value for name, _, value in (line.partition("=") for line in done.stdout.splitlines())}


def advice(place: Place, wanted: Wanted) -> list[str]:
    """What would be good for a memory card, and is nobody's to change but the owner's."""
    found = []
    state_dir = place.real(wanted.state_dir)
    while not state_dir.exists():
        state_dir = state_dir.parent
    if place.live:
        device = device_of(state_dir)
        swaps = Path("/proc/swaps").read_text() if Path("/proc/swaps").exists() else ""
        found += [
            one.text
            for one in (*mount_findings(device), *swap_findings(swaps))
            if one.level != GOOD or "noatime" in one.text
        ]
    if not wanted.state_dir.is_relative_to(STATE):
        found.append(
            f"state_dir is {wanted.state_dir}; {STATE} is where others look for it, and for backups of it."
        )
    return found


def version_steps(place: Place, sources: versions.Sources | None) -> str:
    """Which version is to run. UsageError when there is none."""
    if sources is not None:
        return sources.version
    there = versions.current(place)
    if there is None:
        raise UsageError(f"Nothing is installed below {OPT} yet: name a release's folder with --from.")
    return there
