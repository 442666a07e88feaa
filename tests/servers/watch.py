"""What happens in some folders, told by the kernel (inotify), in order and without looking away."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE, OVERFLOW = 0x2, 0x40, 0x80, 0x100, 0x200, 0x4000
HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows

libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """`fd` is readable when something happened; `take()` gives (mask, name) of all of it."""

    def __init__(self, folders: Iterable[Path]):
        self.fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = MODIFY | MOVED_FROM | MOVED_TO | CREATE | DELETE
        for folder in folders:
            if libc.inotify_add_watch(self.fd, os.fsencode(folder), mask) < 0:
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
