"""A local folder as a destination, with the same rules as a server.

Delivered means: the bytes and the name are on the disk (file and folder synchronised), the size was checked,
and the final name never showed a partial file.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.answers import place
from gateway.forward.files import temporary_name
from gateway.forward.port import Confirmation, Document

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
REJECTED = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class DirectoryDestination:
    """Writes below `path`; the folder is made when it is missing."""

    in_flight_max = 1

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()  # a delivery that was cancelled still ends in its thread

    async def deliver(self, document: Document) -> Confirmation:
        """Return when the file is on the disk under its final name."""
        try:
            said = await asyncio.to_thread(self._store, document)
        except OSError as error:
            raise _told(error, self._path) from error
        path = place(str(self._path / document.folder / document.name))
        return Confirmation(path, len(document.body), said)

    def _store(self, document: Document) -> str:
        with self._lock:
            return store(self._path / document.folder, document.name, document.body)

    async def close(self) -> None:
        """Nothing is held between deliveries."""


def store(folder: Path, name: str, body: bytes) -> str:
    """Write `body` as folder/name: temporary name, fsync, size, rename, fsync of the folder. OSError.

    What the disk has then, in words.
    """
    final, part = folder / name, folder / temporary_name(name)
    if not folder.is_dir():
        _make(folder)
    if _holds(final, body):
        part.unlink(missing_ok=True)
        _sync(folder)  # an earlier try may have ended before this
        return f"there already: read back the same, size {len(body)}"
    with open(part, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    if size != len(body):
        raise OSError(errno.EIO, f"{part} has {size} bytes instead of {len(body)}")
    os.replace(part, final)
    _sync(folder)
    return f"size {size}, synchronised, renamed"


def _holds(path: Path, body: bytes) -> bool:
    try:
        return path.stat().st_size == len(body) and path.read_bytes() == body
    except FileNotFoundError:
        return False


def _make(folder: Path) -> None:
    """Make a folder and those above it, each synchronised into the one that holds it."""
    missing = [folder]
    while not missing[-1].parent.is_dir():
        missing.append(missing[-1].parent)
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        _sync(one.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _told(error: OSError, path: Path) -> DestinationError:
    what = f"The folder {path} cannot take the file: {error.strerror or error}."
    if error.errno in REFUSED:
        return Refused(f"{what} Make it a folder that the gateway's user may write to.")
    if error.errno in REJECTED:
        return Rejected(f"{what} The file's name does not fit this disk.")
    return Unreachable(f"{what} Look after the disk; it is tried again.")
