"""What happens in one folder, told by the kernel (inotify), in order and without looking away."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE, OVERFLOW = 0x2, 0x40, 0x80, 0x100, 0x200, 0x4000
HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows

libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """`fd` is readable when something happened; `take()` gives (mask, name) of all of it."""

    def __init__(self, folder: Path):
        self.fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = MODIFY | MOVED_FROM | MOVED_TO | CREATE | DELETE
        if self.fd < 0 or libc.inotify_add_watch(self.fd, os.fsencode(folder), mask) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {folder}")

    def take(self) -> list[tuple[int, str]]:
        events: list[tuple[int, str]] = []
        while data := self._read():
            at = 0
            while at < len(data):
                _, mask, _, length = HEADER.unpack_from(data, at)
                at += HEADER.size + length
                assert not mask & OVERFLOW, "more happened than the kernel keeps"
                events.append((mask, data[at - length : at].rstrip(b"\0").decode()))
        return events

    def close(self) -> None:
        os.close(self.fd)

    def _read(self) -> bytes:
        try:
            return os.read(self.fd, 65_536)
        except BlockingIOError:
            return b""


class Appearances:
    """Holds a receiver's folder against `wanted` (name -> bytes): what its software would have seen.

    `names` in the order in which they appeared; `wrong` says what must never be seen; `again` counts names
    that were put there once more with the same bytes.
    """

    def __init__(self, folder: Path, wanted: dict[str, bytes], is_final: Callable[[str], bool]):
        self.names: list[str] = []
        self.wrong: list[str] = []
        self.again = 0
        self.watch = Watch(folder)
        self._folder, self._wanted, self._is_final = folder, wanted, is_final

    def look(self) -> None:
        """Take in what happened; call it as soon as the watch is readable."""
        for mask, name in self.watch.take():
            if not self._is_final(name):
                continue
            if mask & MODIFY:
                self.wrong.append(f"{name} is written under its final name")
            elif mask & (MOVED_FROM | DELETE):
                self.wrong.append(f"{name} was visible and is gone")
            elif name not in self._wanted:
                self.wrong.append(f"{name} was never queued")
            else:
                self._appeared(name)

    def _appeared(self, name: str) -> None:
        try:
            if (self._folder / name).read_bytes() != self._wanted[name]:
                self.wrong.append(f"{name} is visible with other bytes")
        except FileNotFoundError:
            pass  # that it is gone again comes next
        if name in self.names:
            self.again += 1
        else:
            self.names.append(name)
