"""Steps of an installation: each says what it would do, does it, and says whether it changed anything.

Rule 1: a step that was done before does nothing and says "same": the whole may be repeated at any time.
Rule 2: a file is replaced whole or not at all.
Rule 3: below another root nothing of this machine is touched: a command that cannot work there is told.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from gateway.journal import durable
from tools.people import Failure
from tools.service.place import Place

MADE, CHANGED, SAME, RAN, TOLD, REMOVED = "made", "changed", "same", "ran", "told", "removed"
COMMAND_S_MAX = 1800.0
"""apt-get and pip over a poor line."""


class Done(NamedTuple):
    """What a step came to."""

    state: str  # MADE ... REMOVED
    what: str  # a path of the machine, or a command
    why: str = ""


class File(NamedTuple):
    """A file with this content. owner: "user:group", "" for root."""

    path: Path
    text: str
    mode: int = 0o644
    owner: str = ""

    def shown(self) -> str:
        body = "".join(f"    {line}\n" for line in self.text.splitlines())
        return f"file {self.path} (mode {self.mode:04o}):\n{body}"

    def do(self, place: Place) -> Done:
        real = place.real(self.path)
        before = real.read_bytes() if real.is_file() and not real.is_symlink() else None
        same = before == self.text.encode() and stat.S_IMODE(real.stat().st_mode) == self.mode
        if same:
            return Done(SAME, str(self.path))
        real.parent.mkdir(parents=True, exist_ok=True)
        part = real.with_name(f".{real.name}.part")
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, self.mode)
            file.write(self.text.encode())
            file.flush()
            os.fsync(handle)
        os.replace(part, real)
        durable.sync_folder(real.parent)
        return Done(MADE if before is None else CHANGED, str(self.path))


class Folder(NamedTuple):
    """A folder; one that is there keeps its content."""

    path: Path
    mode: int = 0o755
    others: bool = False  # others may have made it, for their own use: then its mode is theirs

    def shown(self) -> str:
        return f"folder {self.path} (mode {self.mode:04o}{', where it is missing' if self.others else ''})\n"

    def do(self, place: Place) -> Done:
        real = place.real(self.path)
        if real.is_dir():
            if self.others or stat.S_IMODE(real.stat().st_mode) == self.mode:
                return Done(SAME, str(self.path))
            real.chmod(self.mode)
            return Done(CHANGED, str(self.path))
        real.mkdir(parents=True, exist_ok=True)
        real.chmod(self.mode)
        return Done(MADE, str(self.path))


class Link(NamedTuple):
    """A symbolic link, switched in one moment."""

    path: Path
    to: Path

    def shown(self) -> str:
        return f"link {self.path} -> {self.to}\n"

    def do(self, place: Place) -> Done:
        real = place.real(self.path)
        there = real.is_symlink() or real.exists()
        if there and real.is_symlink() and os.readlink(real) == str(self.to):
            return Done(SAME, str(self.path))
        if there and not real.is_symlink():
            raise Failure(f"{self.path} is there, and no link: move it away first.")
        real.parent.mkdir(parents=True, exist_ok=True)
        part = real.with_name(f".{real.name}.part")
        part.unlink(missing_ok=True)
        part.symlink_to(self.to)
        os.replace(part, real)
        durable.sync_folder(real.parent)
        return Done(CHANGED if there else MADE, str(self.path))


class Own(NamedTuple):
    """Files (and all in folders) belong to a user and to nobody else. Only root can do that."""

    path: Path
    user: str
    group: str
    folder_mode: int = 0o700
    file_mode: int = 0o600
    alone: bool = False  # not what lies in it

    def shown(self) -> str:
        modes = f"folders {self.folder_mode:04o}, files {self.file_mode:04o}"
        return f"owner of {self.path}: {self.user}:{self.group} ({'it alone' if self.alone else modes})\n"

    def do(self, place: Place) -> Done:
        real = place.real(self.path)
        if os.geteuid() != 0:
            return Done(TOLD, str(self.path), f"give it to {self.user}: only root can")
        ids = ids_of(place, self.user, self.group)
        if ids is None:
            return Done(TOLD, str(self.path), f"give it to {self.user}, who is not there yet")
        changed = False
        for path in [real, *(real.rglob("*") if real.is_dir() and not self.alone else ())]:
            changed |= self._one(path, ids)
        return Done(CHANGED if changed else SAME, str(self.path), f"belongs to {self.user}")

    def _one(self, path: Path, ids: tuple[int, int]) -> bool:
        """Never through a link: whoever owns the folder could put one there to be given another's file."""
        if path.is_symlink():
            return False
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False  # a socket, or gone meanwhile
        try:
            found = os.fstat(handle)
            mode = self.folder_mode if stat.S_ISDIR(found.st_mode) else self.file_mode
            if (found.st_uid, found.st_gid) == ids and stat.S_IMODE(found.st_mode) == mode:
                return False
            os.fchown(handle, *ids)
            os.fchmod(handle, mode)
            return True
        finally:
            os.close(handle)


class Command(NamedTuple):
    """A command. below_root: its form for another root, None where it has none."""

    argv: tuple[str, ...]
    why: str
    below_root: tuple[str, ...] | None = None
    needed: Callable[[], bool] = lambda: True
    must: bool = True  # a failure ends the installation

    def shown(self) -> str:
        return f"command {' '.join(self.argv)}    ({self.why})\n"

    def do(self, place: Place) -> Done:
        argv = self.argv if place.live else self.below_root
        if argv is None:
            return Done(TOLD, " ".join(self.argv), f"on the machine itself: {self.why}")
        if not self.needed():
            return Done(SAME, " ".join(argv), self.why)
        return run(argv, self.why, self.must)


def run(argv: Iterable[str], why: str, must: bool = True) -> Done:
    """Run it. Failure with its last words when it must not fail."""
    command = list(argv)
    if shutil.which(command[0]) is None:
        if must:
            raise Failure(f"{command[0]} is not on this machine: {why}. Is it Debian or Raspberry Pi OS?")
        return Done(TOLD, " ".join(command), f"{command[0]} is not here")
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S_MAX)
    if done.returncode == 0:
        return Done(RAN, " ".join(command), why)
    last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
    if must:
        raise Failure(
            f"`{' '.join(command)}` failed ({last}). Correct that, then say it again: it goes on from there."
        )
    return Done(TOLD, " ".join(command), f"failed: {last}")


Step = File | Folder | Link | Own | Command


def remove(place: Place, path: Path) -> Done | None:
    """Remove a file, a link or a folder with all in it; None where there is nothing."""
    real = place.real(path)
    if real.is_dir() and not real.is_symlink():
        shutil.rmtree(real)
    elif real.exists() or real.is_symlink():
        real.unlink()
    else:
        return None
    return Done(REMOVED, str(path))


def ids_of(place: Place, user: str, group: str) -> tuple[int, int] | None:
    """Numbers of a user and a group of that machine, by its own files."""
    uid = _number(place.real(Path("/etc/passwd")), user)
    gid = _number(place.real(Path("/etc/group")), group)
    return None if uid is None or gid is None else (uid, gid)


def _number(path: Path, name: str) -> int | None:
    if name == "root":
        return 0
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2])
    return None
