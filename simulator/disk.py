"""A disk whose power goes: what a directory can hold after a cut at any moment of a recorded run.

    disk = Disk(files)                 # what lies there, all of it durable
    disk.do(call)                      # one of simulator.syscalls, again and again
    disk.crash(Cut.random(rng, disk))  # {name: bytes} of one state in which a cut now can leave it

Rule 1: durable is what a sync that returned 0 covered. Of the rest any 512-byte sector may be old or new or
        torn in the middle, in any order; a file may have grown or not, been cut or not; where it grew and the
        sector is lost, there are zeros, garbage or older bytes of the same file.
Rule 2: bytes that a write did not touch stay, even in a sector of which it wrote the rest (what SQLite calls
        powersafe overwrite).
Rule 3: a name that was made, removed or changed is surely so once the directory was synced; the sync of a
        file says nothing about its name, that of a directory nothing about the directory's own.
        (Stricter than ext4, as strict as POSIX.)
Rule 4: after a sync that failed, what it should have covered may never reach the disk, and no later sync
        covers it: the system takes those pages for clean. Only writing it again helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from simulator.syscalls import VOLATILE, Call, NotUnderstood

SECTOR = 512


class Change:
    """A write (data) or a new length (data None) of a file that is not durable yet."""

    __slots__ = ("data", "doomed", "number", "offset", "sure")

    def __init__(self, number: int, offset: int, data: bytes | None):
        self.number = number
        self.offset = offset
        self.data = data
        self.doomed = False  # rule 4
        self.sure = False  # durable, but made after a doomed one

    @property
    def sectors(self) -> int:
        if self.data is None:
            return 1
        return (self.offset + len(self.data) - 1) // SECTOR - self.offset // SECTOR + 1


class File:
    __slots__ = ("changes", "durable", "size")

    def __init__(self, durable: bytes = b""):
        self.durable = durable
        self.size = len(durable)  # as the running system sees it
        self.changes: list[Change] = []

    def change(self, change: Change) -> None:
        end = change.offset + len(change.data or b"")
        self.size = end if change.data is None else max(self.size, end)
        self.changes.append(change)

    def sync(self, before: int) -> None:
        for change in self.changes:
            change.sure |= change.number < before and not change.doomed
        count = 0
        while count < len(self.changes) and self.changes[count].sure:
            count += 1
        if count:
            content = bytearray(self.durable)
            for change in self.changes[:count]:
                _apply(content, change)
            self.durable = bytes(content)
            del self.changes[:count]

    def unsynced(self, before: int) -> None:
        for change in self.changes:
            change.doomed |= change.number < before and not change.sure


class Folder:
    """A directory below the one that is replayed; what it holds is known by the names of its files."""


class Renaming(NamedTuple):
    """What happened to names and is not durable yet: `old` is gone, `new` is this file ("" for neither)."""

    number: int
    old: str
    new: str
    file: File | Folder | None

    @property
    def folder(self) -> str:
        """The directory whose sync makes it durable."""
        return (self.new or self.old).rpartition("/")[0]


class Cut(NamedTuple):
    """How a cut treats what is not durable: `order` numbers come first and are kept, then chance decides."""

    rng: Random
    order: float = -1  # calls with lower numbers are kept, all of them
    keep: float = 0.0  # probability that a sector, length or name after those is kept
    tear: float = 0.0  # probability that a sector which is kept is torn
    sizes: bool = False  # whether lengths are drawn on their own
    fill: str = "zeros"  # what lies where a file grew and nothing was kept: zeros, garbage, stale

    @classmethod
    def random(cls, rng: Random, disk: Disk) -> Cut:
        first, last = disk.open_numbers()
        return cls(
            rng,
            rng.uniform(first, last + 1) if rng.random() < 0.5 else -1,
            rng.choice((0.02, 0.2, 0.5, 0.8, 0.95, 0.99)),
            rng.choice((0.0, 0.0, 0.05, 0.3)),
            rng.random() < 0.3,
            rng.choice(("zeros", "zeros", "garbage", "stale")),
        )


class Disk:
    """The files of one directory. Files with an end of `volatile` come back as anything, or not at all.

    Directories below it are files with a name that ends with "/", here and in what crash() gives.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, volatile: tuple[str, ...] = VOLATILE):
        self.volatile = volatile
        self.durable_names: dict[str, File | Folder] = {
            name.removesuffix("/"): Folder() if name.endswith("/") else File(data)
            for name, data in (files or {}).items()
        }
        self.names = dict(self.durable_names)
        self.renamings: list[Renaming] = []
        self.number = 0  # of the next call

    def do(self, call: Call) -> None:
        """Carry out one call. KeyError when it is about a file that is not there."""
        kind, name, offset, data = call
        number = self.number
        self.number += 1
        if name.endswith(self.volatile):
            return
        if kind == "write":
            file = self._file(name)
            file.change(Change(number, file.size if offset < 0 else offset, data))
        elif kind == "size":
            self._file(name).change(Change(number, offset, None))
        elif kind == "create":
            if name not in self.names:
                self._rename(Renaming(number, "", name, File()))
        elif kind == "mkdir":
            self._rename(Renaming(number, "", name, Folder()))
        elif kind == "unlink":
            self._rename(Renaming(number, name, "", None))
        elif kind == "rename":
            new = data.decode()
            if new.rpartition("/")[0] != name.rpartition("/")[0]:
                raise NotUnderstood(f"{name} is moved to another folder, as {new}")
            self._rename(Renaming(number, name, new, self._file(name)))
        elif kind in ("sync", "unsynced") and isinstance(file := self.names.get(name), File):
            file.sync(offset) if kind == "sync" else file.unsynced(offset)
        elif kind == "sync" and (name == "" or name in self.names):
            done = [r for r in self.renamings if r.number < offset and r.folder == name]
            self.renamings = [r for r in self.renamings if r not in done]
            for renaming in done:
                _move(self.durable_names, renaming)

    def _file(self, name: str) -> File:
        file = self.names[name]
        if not isinstance(file, File):
            raise NotUnderstood(f"{name} is a folder")
        return file

    def _rename(self, renaming: Renaming) -> None:
        _move(self.names, renaming)
        self.renamings.append(renaming)

    # What can be left ---------------------------------------------------------------------------------------

    def _files(self) -> list[File]:
        found = [*self.names.values(), *self.durable_names.values()]
        return list({id(file): file for file in found if isinstance(file, File)}.values())

    def open_numbers(self) -> tuple[int, int]:
        """Numbers of the first and the last call that is not durable; (0, 0) when all is."""
        numbers = [change.number for file in self._files() for change in file.changes]
        numbers += [renaming.number for renaming in self.renamings]
        return (min(numbers), max(numbers)) if numbers else (0, 0)

    def loose(self) -> int:
        """Sectors, lengths and names of which a cut now decides."""
        sectors = sum(c.sectors for file in self._files() for c in file.changes if not c.sure)
        return sectors + len(self.renamings)

    def crash(self, cut: Cut) -> dict[str, bytes]:
        """One state in which a cut at this moment can leave the files."""
        names = dict(self.durable_names)
        for renaming in self.renamings:
            if renaming.number < cut.order or cut.rng.random() < cut.keep:
                _move(names, renaming)
        there = {name: file for name, file in names.items() if _reachable(name, names)}
        files = {name: _left(file, cut) for name, file in there.items() if isinstance(file, File)}
        return files | {f"{name}/": b"" for name, file in there.items() if isinstance(file, Folder)}


def _reachable(name: str, names: Mapping[str, File | Folder]) -> bool:
    folder = name.rpartition("/")[0]
    return not folder or (folder in names and _reachable(folder, names))


def _move(names: dict[str, File | Folder], renaming: Renaming) -> None:
    if renaming.old:
        names.pop(renaming.old, None)
    if renaming.new and renaming.file is not None:
        names[renaming.new] = renaming.file


def _apply(content: bytearray, change: Change) -> None:
    offset, data = change.offset, change.data
    if data is None:
        if offset < len(content):
            del content[offset:]
        content.extend(bytes(offset - len(content)))
    else:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


def _left(file: File, cut: Cut) -> bytes:
    if not file.changes:
        return file.durable
    content = bytearray(file.durable)
    lengths = [len(content)]  # that it may have, when lengths are drawn on their own
    for change in file.changes:
        whole = change.sure or (change.number < cut.order and not change.doomed)
        if whole or (change.data is None and cut.rng.random() < cut.keep):
            _apply(content, change)
            lengths = [len(content)]
        elif change.data is not None:
            if cut.keep:
                _keep_some(content, file, change.offset, change.data, cut)
            lengths.append(max(lengths[-1], change.offset + len(change.data)))
    if cut.sizes:
        length = cut.rng.choice(lengths)
        _grow(content, length, file, cut)
        del content[length:]
    return bytes(content)


def _keep_some(content: bytearray, file: File, offset: int, data: bytes, cut: Cut) -> None:
    """Sector by sector, as chance will have it."""
    rng, start = cut.rng, 0
    while start < len(data):
        end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
        if rng.random() < cut.keep:
            first, last = start, end
            if rng.random() < cut.tear:
                middle = (start + end) // 2
                first, last = (start, middle) if rng.random() < 0.5 else (middle, end)
            _grow(content, offset + first, file, cut)
            content[offset + first : offset + last] = data[first:last]
        start = end


def _grow(content: bytearray, length: int, file: File, cut: Cut) -> None:
    missing = length - len(content)
    if missing <= 0:
        return
    if cut.fill == "zeros":
        content.extend(bytes(missing))
    elif cut.fill == "garbage":
        content.extend(cut.rng.randbytes(missing))
    else:
        old = file.durable[len(content) : length] or file.durable[:missing]
        content.extend(old + bytes(missing - len(old)))
