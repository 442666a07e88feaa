"""Another version runs: forwards with a way back, and back.

Rule 1: before anything is switched the new version is whole, takes the configuration, and a backup is there.
Rule 2: a new version that is not healthy in time is switched back by itself, if the older one can read the
        journal. One that cannot (the schema is newer) is never given it: then the new one stays, and what
        to do is told. No record is thrown away by a program on its own.
Rule 3: the journal and the keys stay where they are, whatever runs.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

from tools.people import Failure, UsageError
from tools.service import health, versions
from tools.service.place import BACKUPS, CREDENTIALS, OPT, UNIT, USER, Place
from tools.service.steps import Own, run
from tools.service.versions import Build, Sources
from tools.service.wanted import Wanted

CHECK_S_MAX = 300.0
BACKUP_S_MAX = 3600.0
_ASK_SCHEMA = "from gateway.journal.database import VERSION; print(VERSION)"

Say = Callable[[str], None]


class Service(Protocol):
    """How the gateway is started and stopped."""

    def restart(self) -> None:
        """Failure when it cannot be."""
        ...

    def stop(self) -> None: ...


class Systemd:
    """As systemd's unit."""

    def restart(self) -> None:
        run(["systemctl", "reset-failed", UNIT], "it may start at once", must=False)
        # Not waited for: a version that never gets ready must not hold this up.
        run(["systemctl", "restart", "--no-block", UNIT], "the version that is current now")

    def stop(self) -> None:
        run(["systemctl", "stop", UNIT], "nothing runs meanwhile")


class Upgrade(NamedTuple):
    """What an upgrade or a rollback works with."""

    place: Place
    wanted: Wanted
    service: Service
    say: Say
    minutes: float  # for the new one to become healthy

    # The two verbs -----------------------------------------------------------------------------------------

    def forward(self, sources: Sources, python: str, build: Build, backup_name: str) -> bool:
        """Whether the new version runs, and is healthy. Failure, UsageError: nothing was changed."""
        was = versions.current(self.place)
        if was is None:
            raise UsageError("Nothing is installed here yet: quantrac gateway install CONFIG.")
        if was == sources.version:
            self.say(f"{was} runs already: nothing to do.")
            return True
        self.say(versions.make(self.place, sources, python, build).what + " is there.")
        self.check(sources.version)
        backup = self.backup(was, backup_name)
        before, entries, schema = self.seen(), self.entries(), self.schema()
        versions.switch(self.place, sources.version)
        self.say(f"{sources.version} is current now, instead of {was}.")
        lacking = self.started(before, entries)
        if not lacking:
            self.say(
                f"It is healthy. Back again, if need be: quantrac gateway rollback. The backup: {backup}"
            )
            if gone := versions.prune(self.place):
                self.say(f"Older versions were removed: {', '.join(gone)}.")
            return True
        self.say(f"It did not become healthy within {self.minutes:g} minutes: {lacking}")
        if self.schema() != schema:
            self.say(self.stuck(was, backup))
            return False
        versions.switch(self.place, was)
        lacking = self.started(before, entries)
        self.say(f"{was} runs again." if not lacking else f"{was} was started again, and {lacking}")
        return False

    def back(self) -> bool:
        """Whether the previous version runs again, healthy. Failure, UsageError: nothing was changed."""
        was, to = versions.current(self.place), versions.previous(self.place)
        if was is None or to is None or was == to:
            raise UsageError(f"There is no version before {was or 'this one'}: look into {OPT}.")
        there, known = self.schema(), self.known(to)
        if there > known:
            first = (
                f"{to} knows journals up to schema {known}, and this one has {there}. Nothing was changed."
            )
            raise Failure(self.stuck(to, self.newest_backup(), first))
        self.check(to)
        before, entries = self.seen(), self.entries()
        versions.switch(self.place, to)
        self.say(f"{to} is current now, instead of {was}.")
        lacking = self.started(before, entries)
        self.say("It is healthy." if not lacking else f"It is not healthy: {lacking}")
        return not lacking

    # What they consist of ----------------------------------------------------------------------------------

    def started(self, before: health.Seen | None, entries: int) -> str:
        """Start what is current; what it lacks after the time it has, "" for nothing."""
        Own(self.wanted.state_dir, USER, USER).do(self.place)  # what root has looked at stays the gateway's
        try:
            self.service.restart()
        except Failure as error:
            return str(error)
        station = self.wanted.station
        return health.wait(lambda: health.lacks(self.seen(), before, station, entries), self.minutes * 60)

    def seen(self) -> health.Seen | None:
        return health.seen(self.wanted.web)

    def command(self, version: str, *arguments: str) -> list[str]:
        """A command of that version."""
        return [str(self.place.real(OPT / version) / "bin/quantrac"), *arguments]

    @property
    def config(self) -> str:
        return str(self.place.real(self.wanted.config))

    def check(self, version: str) -> None:
        """Failure unless that version takes the configuration."""
        done = _run(self.command(version, "gateway", "check", self.config), CHECK_S_MAX, self.place)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise Failure(f"{version} does not take the configuration, so nothing was changed:\n{said}")

    def backup(self, version: str, name: str) -> Path | None:
        """By the version that runs: it knows its journal. None where there is no journal yet. Failure."""
        if not self.journal.exists():
            return None
        out = BACKUPS / name
        real = self.place.real(out)
        real.parent.mkdir(parents=True, exist_ok=True)
        command = self.command(version, "gateway", "backup", self.config, "--out", str(real))
        done = _run(command, BACKUP_S_MAX, self.place)
        if done.returncode != 0:
            raise Failure(f"No backup could be made, so nothing was changed: {done.stderr.strip()}")
        self.say(f"A backup is in {out}: it holds keys. Keep it on another disk.")
        return out

    def newest_backup(self) -> Path | None:
        folder = self.place.real(BACKUPS)
        found = sorted(path.name for path in folder.glob("*") if path.is_dir()) if folder.exists() else []
        return BACKUPS / found[-1] if found else None

    @property
    def journal(self) -> Path:
        return self.place.real(self.wanted.state_dir) / "journal.db"

    def schema(self) -> int:
        """Of the journal; 0 where there is none. Read only."""
        return self._asked("PRAGMA user_version")

    def entries(self) -> int:
        return self._asked("SELECT COALESCE(MAX(idx) + 1, 0) FROM entry")

    def _asked(self, sql: str) -> int:
        if not self.journal.exists():
            return 0
        connection = sqlite3.connect(f"{self.journal.as_uri()}?mode=ro", uri=True)
        try:
            with closing(connection):
                return connection.execute(sql).fetchone()[0]
        except sqlite3.Error as error:
            raise Failure(f"{self.journal} cannot be read ({error}): quantrac gateway doctor.") from None

    def known(self, version: str) -> int:
        """The newest schema that a version knows."""
        python = self.place.real(OPT / version) / "bin/python"
        done = _run([str(python), "-c", _ASK_SCHEMA], CHECK_S_MAX, self.place)
        if done.returncode != 0 or not done.stdout.strip().isdigit():
            raise Failure(
                f"{OPT / version} is damaged: install it again with quantrac gateway upgrade --from FOLDER."
            )
        return int(done.stdout)

    def stuck(self, older: str, backup: Path | None, first: str = "") -> str:
        """What a person has to do to go back behind a change of the journal's schema."""
        first = first or f"The journal has a newer schema now, and {older} cannot read it: the new one stays."
        config, state = self.wanted.config, self.wanted.state_dir
        return (
            f"{first}\n"
            "Ask for a corrected version first: nothing is lost while this one runs. To go back all the "
            "same, and lose what was recorded since the backup:\n"
            f"  systemctl stop {UNIT}\n"
            f"  mkdir {state}/newer && mv {state}/journal.db* {state}/newer/\n"
            f"  ln -sfn {older} {OPT}/current\n"
            f'  quantrac gateway restore {backup or "BACKUP"} {config} --new-epoch "went back to {older}"\n'
            f"  quantrac gateway install {config}\n"
            f"Keep {state}/newer: it holds what the department may ask for."
        )


def _run(command: list[str], seconds: float, place: Place) -> subprocess.CompletedProcess[str]:
    """With the service's credentials, as far as there are some."""
    lent = {"CREDENTIALS_DIRECTORY": str(place.real(CREDENTIALS)), **os.environ}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=lent)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"`{' '.join(command)}` did not work: {error}.") from None
