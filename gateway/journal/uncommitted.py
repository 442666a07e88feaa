"""Readings of the gateway's own instruments between their answer and the COMMIT: nobody else keeps them, and
a commit waits up to 2 s for company. Until then they lie in a file in memory (tmpfs), too, which outlives
the process: a gateway that is killed loses none of what it had taken; only the power's end does.

Rule 1: keep() returns when the record is in the system's memory; release() when it is committed. What was not
        released is what left() gives after the next start, in the order in which it was kept.
Rule 2: a record that was cut short or damaged, or that another version wrote, is no record, and ends what is
        read of its file.
Rule 3: it never stands in the way: where no memory is left, `fault` says so and readings are as safe as
        without it.
Rule 4: two files take turns, so that one of them can be emptied while more comes; together they hold no more
        than the journal's queue does (journal.py, rule 3), and usually 64 KiB.
Rule 5: the folder is the user's own (0700) and carries the name of the state_dir; what killed gateways left
        whose state_dir is gone, is removed by the next one.

A file: records of length (4 bytes, big-endian), CRC-32, MessagePack of [number, entries, documents].
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from struct import Struct
from zlib import crc32

import msgspec

from gateway.journal.writer import Entry

TURN_BYTES = 64 * 1024
"""Size from which the other file takes over, once all of it is committed."""
MEMORY = Path("/dev/shm")
_HEAD = Struct(">II")
_FILES = ("0", "1")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
_OWNER = "state_dir"
"""Name of the file that says whose folder it is."""
_Numbers = tuple[int, int, int, int, int, int, int, int | None, int | None, bytes]
_Document = tuple[str, str, str, str, str, int, bytes]
_decode = msgspec.msgpack.Decoder(tuple[int, list[_Numbers], list[_Document]]).decode
"""(number, entries as writer.Entry, documents as writer.Job has them)"""


class _File:
    def __init__(self, path: Path):
        self.handle = os.open(path, _FLAGS, 0o600)
        self.bytes = 0
        self.waiting = 0  # records that are not committed yet

    def append(self, record: bytes) -> None:
        if os.write(self.handle, record) != len(record):
            os.ftruncate(self.handle, self.bytes)  # the next one must not stand behind half of this one
            raise OSError("no memory is left")
        self.bytes += len(record)
        self.waiting += 1

    def release(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            os.ftruncate(self.handle, 0)
            self.bytes = 0


class Uncommitted:
    """In `folder`, which is made when it is not there; None: nothing is kept. First left(), then begin()."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._files: list[_File] = []
        self._turn = 0
        self._number = 0
        self.fault = ""
        """Why nothing is kept any more; "" while it is, or where nobody wanted it."""

    def problems(self) -> list[str]:
        """What a person should know."""
        if not self.fault:
            return []
        return [
            "Were the gateway's process killed, up to two seconds of its own instruments' readings would be "
            f"lost: {self.fault}. Free memory, then restart the gateway."
        ]

    def left(self) -> list[tuple[list[Entry], list[tuple]]]:
        """(entries, documents) of each record that a process before kept and did not release."""
        found: list[tuple[int, list[_Numbers], list[_Document]]] = []
        paths = [] if self._folder is None else [self._folder / name for name in _FILES]
        for path in paths:
            try:
                found += _records(path.read_bytes())
            except OSError:
                continue  # it is not there: there was none before us, or it ended well
        found.sort(key=lambda record: record[0])
        return [([Entry(*entry) for entry in entries], [*documents]) for _, entries, documents in found]

    def begin(self) -> None:
        """Forget what was left, and keep what comes."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._files = [_File(self._folder / name) for name in _FILES]
        except OSError as error:
            self._stop(error)

    def keep(self, entries: Sequence[tuple], documents: Sequence[tuple] = ()) -> int:
        """A record, before it is submitted. Returns what release() has to be told."""
        if self.fault or not self._files:
            return -1
        body = msgspec.msgpack.encode((self._number, entries, documents))
        self._number += 1
        file, other = self._files[self._turn], self._files[1 - self._turn]
        if file.bytes >= TURN_BYTES and not other.waiting:
            self._turn, file = 1 - self._turn, other
        try:
            file.append(_HEAD.pack(len(body), crc32(body)) + body)
        except OSError as error:
            self._stop(error)
            return -1
        return self._turn

    def release(self, kept: int) -> None:
        """What keep() returned this for is committed."""
        if kept < 0 or not self._files:
            return
        try:
            self._files[kept].release()
        except OSError as error:
            self._stop(error)

    def close(self) -> None:
        """The end of a gateway. What was not released stays for the next one; otherwise nothing does."""
        done = not any(file.waiting for file in self._files)
        self._close()
        if done and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _stop(self, error: OSError) -> None:
        self.fault = f"{self._folder} cannot be written ({error.strerror or error})"
        self._close()

    def _close(self) -> None:
        for file in self._files:
            os.close(file.handle)
        self._files = []


def _records(data: bytes) -> list:
    """Rule 2."""
    found, at = [], 0
    while at + _HEAD.size <= len(data):
        length, check = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(body) != length or crc32(body) != check:
            break
        try:
            found.append(_decode(body))
        except msgspec.MsgspecError:
            break
        at += _HEAD.size + length
    return found


def folder_for(
    state_dir: Path, environment: Mapping[str, str] = os.environ, memory: Path = MEMORY
) -> Path | None:
    """Where the gateway of this state_dir keeps them: in systemd's RuntimeDirectory=, else in /dev/shm. None
    where there is neither, or another user's folder has our name.
    """
    given = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    base = Path(given) if given else memory / f"quantrac-{os.geteuid()}"
    owner = str(state_dir.resolve())
    folder = base / hashlib.sha256(owner.encode()).hexdigest()[:16]
    try:
        if not given and not memory.is_dir():
            return None
        base.mkdir(mode=0o700, exist_ok=True)
        found = base.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / _OWNER).write_text(owner, encoding="utf-8")
        _tidy(base)
    except OSError:
        return None
    return folder


def _tidy(base: Path) -> None:
    """Rule 5."""
    for said in base.glob(f"*/{_OWNER}"):
        if not Path(said.read_text(encoding="utf-8", errors="replace")).is_dir():
            shutil.rmtree(said.parent, ignore_errors=True)
