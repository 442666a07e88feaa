"""Where a bundle lies: a folder, or a .zip.

Rule: it may come from an enemy. Every read has a limit, nothing but plain files of the bundle is opened, and
whatever is there, reading it raises EvidenceError or returns.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from protocol.merkle import EvidenceError

ZIP_MEMBERS_MAX = 65_535
"""Files in a .zip (more need another format of it); larger bundles are folders."""
ZIP_DIRECTORY_MAX = 6_000_000
"""Bytes of its table of contents, which is read at one go."""
READ_FIRST, READ_MORE = 4096, 65_536
_NAME = attrgetter("name")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class Bundle(Protocol):
    is_shared: bool
    """Whether two processes may read it at one time."""

    def read(self, name: str, most: int) -> bytes:
        """A file of the bundle. EvidenceError when it is not there, no plain file, or longer than `most`."""
        ...

    def names(self) -> Iterator[str]:
        """Of all its files; a folder ends with "/" and may be left out."""
        ...


class Folder:
    """A bundle that is a directory."""

    is_shared = True

    def __init__(self, path: Path):
        self._path = path
        self._open = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self._folders: dict[str, int] = {"": self._open}

    def close(self) -> None:
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders = {}

    def read(self, name: str, most: int) -> bytes:
        """See Bundle. A link is not followed, a pipe not waited for; what is no plain file reads as
        empty, or as something that nobody signed.
        """
        folder, _, file = name.rpartition("/")
        try:
            below = self._folders.get(folder)
            if below is None:
                below = self._folders[folder] = os.open(folder, _READ | os.O_DIRECTORY, dir_fd=self._open)
            descriptor = os.open(file, _READ, dir_fd=below)
            try:
                data = os.read(descriptor, READ_FIRST)
                if len(data) == READ_FIRST:
                    data += self._rest(descriptor, most + 1 - READ_FIRST)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise EvidenceError(f"{name} is missing") from None
        except OSError as error:
            raise EvidenceError(f"{name} cannot be read: {error.strerror}") from None
        if len(data) > most:
            raise EvidenceError(f"{name} has more than {most} bytes")
        return data

    @staticmethod
    def _rest(descriptor: int, most: int) -> bytes:
        parts = []
        while most > 0 and (part := os.read(descriptor, min(most, READ_MORE))):
            parts.append(part)
            most -= len(part)
        return b"".join(parts)

    def names(self) -> Iterator[str]:
        yield from self._names("")

    def _names(self, below: str) -> Iterator[str]:
        try:
            with os.scandir(self._path / below) as found:
                if below:  # where there may be very many
                    yield from map(below.__add__, map(_NAME, found))
                    return
                for item in found:
                    if item.is_dir(follow_symlinks=False):
                        yield item.name + "/"
                        yield from self._names(item.name + "/")
                    else:
                        yield item.name
        except OSError as error:
            raise EvidenceError(f"{below or 'the bundle'} cannot be read: {error.strerror}") from None


class Zip:
    """A bundle that is a .zip."""

    is_shared = False  # one file, one place in it

    def __init__(self, path: Path):
        with path.open("rb") as file:
            _check_end(file)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            raise EvidenceError(f"this is no .zip that can be read: {error}") from None
        if len(set(self._zip.namelist())) != len(self._zip.namelist()):
            raise EvidenceError("the .zip holds two files of one name")

    def close(self) -> None:
        self._zip.close()

    def read(self, name: str, most: int) -> bytes:
        try:
            found = self._zip.getinfo(name)
            if found.file_size > most:
                raise EvidenceError(f"{name} has {found.file_size} bytes, and {most} are the most")
            with self._zip.open(found) as file:
                data = file.read(most + 1)
        except KeyError:
            raise EvidenceError(f"{name} is missing") from None
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, zlib.error) as error:
            raise EvidenceError(f"{name} cannot be unpacked: {error}") from None
        if len(data) > most:
            raise EvidenceError(f"{name} has more than {most} bytes")
        return data

    def names(self) -> Iterator[str]:
        return iter(self._zip.namelist())


def _check_end(file: Any) -> None:
    """What a .zip says of its table of contents, before it is read (APPNOTE.TXT 4.3.16)."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65_557))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise EvidenceError("this is neither a folder nor a .zip")
    members, length = int.from_bytes(tail[at + 10 : at + 12], "little"), tail[at + 12 : at + 16]
    if tail[max(0, at - 20) :].startswith(b"PK\x06\x07") or members > ZIP_MEMBERS_MAX - 1:
        raise EvidenceError(f"a .zip of {ZIP_MEMBERS_MAX} files and more is not read: unpack it first")
    if int.from_bytes(length, "little") > ZIP_DIRECTORY_MAX:
        raise EvidenceError("the table of contents of the .zip is too long: unpack it first")


def opened(path: Path) -> Folder | Zip:
    """The bundle at `path`. EvidenceError; OSError when it is not there."""
    return Folder(path) if path.is_dir() else Zip(path)
