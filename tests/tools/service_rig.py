"""A machine below a folder: versions that are made at once, and a service that is a real process of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from simulator.child import dying_with_parent
from tests.gateway.app_rig import write_config
from tools.people import Failure
from tools.service import health
from tools.service.place import CURRENT, OPT, Place
from tools.service.upgrade import Upgrade
from tools.service.versions import FINISHED, Sources
from tools.service.wanted import wanted

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = """#!/bin/sh
export PYTHONPATH={checkout}
exec {python} -m {module} "$@"
"""
BROKEN = """#!/bin/sh
if [ "$2" = run ]; then echo "it breaks at once" >&2; exit 1; fi
export PYTHONPATH={checkout}
exec {python} -m {module} "$@"
"""
NEWER = """#!/bin/sh
export PYTHONPATH={checkout}
if [ "$2" = run ]; then
  {python} -c "import sqlite3; sqlite3.connect('{journal}').execute('PRAGMA user_version = 99')"
  exit 1
fi
exec {python} -m {module} "$@"
"""
"""A version that brings the journal to a schema of its own, and then does not get well."""


def version(place: Place, name: str, script: str = SCRIPT, known: int | None = None) -> str:
    """Make a finished version; `known` replaces the newest schema that it says it knows."""
    folder = place.real(OPT / name)
    (folder / "bin").mkdir(parents=True)
    journal = place.root / "etc/quantrac/gateway/journal.db"
    text = script.format(checkout=CHECKOUT, python=sys.executable, module="tools.cli", journal=journal)
    _program(folder / "bin/quantrac", text)
    asks = f"echo {known}" if known is not None else f'PYTHONPATH={CHECKOUT} exec {sys.executable} "$@"'
    _program(folder / "bin/python", f"#!/bin/sh\n{asks}\n")
    (folder / FINISHED).touch()
    return name


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def build(script: str = SCRIPT):
    """What makes a version in the place of an environment with pip."""

    def made(sources: Path, folder: Path, python: str) -> None:
        (folder / "bin").mkdir(parents=True)
        root = folder.parents[2]
        journal = root / "etc/quantrac/gateway/journal.db"
        text = script.format(checkout=CHECKOUT, python=sys.executable, module="tools.cli", journal=journal)
        _program(folder / "bin/quantrac", text)
        _program(folder / "bin/python", f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} "$@"\n')

    return made


class ProcessService:
    """Runs what is current, as systemd would; one that ends is not started again."""

    def __init__(self, place: Place, config: Path):
        self._command = [str(place.real(CURRENT) / "bin/quantrac"), "gateway", "run", str(config)]
        self._log = place.root / "service.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts: list[str] = []
        self._current = place.real(CURRENT)

    def restart(self) -> None:
        self.stop()
        self.starts.append(os.readlink(self._current))
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                preexec_fn=dying_with_parent(),
            )  # fmt: skip

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failure("it did not stop in time") from None

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""


class Machine:
    """A machine with one version installed, whose gateway runs."""

    def __init__(self, root: Path, *parts: str, minutes: float = 0.5):
        self.place = Place(root)
        self.config = write_config(root / "etc/quantrac", *parts)
        self.wanted = wanted(self.config, self.place)
        self.service = ProcessService(self.place, self.config)
        self.said: list[str] = []
        self.upgrade = Upgrade(self.place, self.wanted, self.service, self.said.append, minutes)

    def begin(self, name: str) -> Machine:
        """Let that version run until it is healthy."""
        self.place.real(OPT).mkdir(parents=True, exist_ok=True)
        if not self.place.real(OPT / name).exists():
            version(self.place, name)
        CURRENT_LINK = self.place.real(CURRENT)
        CURRENT_LINK.unlink(missing_ok=True)
        CURRENT_LINK.symlink_to(name)
        self.service.restart()
        lacking = health.wait(self.lacks, 30)
        assert not lacking, lacking + self.service.log
        return self

    def lacks(self) -> str:
        seen = health.seen(self.wanted.web)
        there = frozenset({"bus tank"})
        before = health.Seen("", 0, "", there) if seen is not None else None
        return health.lacks(seen, before, self.wanted.station, 0)

    def sources(self, name: str) -> Sources:
        return Sources(self.place.root, name)
