"""Pseudo terminals with a name: one end of a simulated serial cable.

Rule 1: both ends stay open in here. A program that opens the name, closes it and opens it again finds the
        same line, and nobody ever sees the EIO of a line whose other end has gone.
Rule 2: writing never waits. What the reader does not take in time is lost and counted, as on a UART
        without flow control; a device's polling must not stand still because nobody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path

READ_BYTES = 4096  # the kernel's own line buffer
BACKLOG_BYTES = 16 * 1024  # kept for a reader that is behind; two full windows of the device link


class Pty:
    """A raw pty whose user side is reachable under `path`.

    Needs a running event loop. `on_data(bytes)` is called with what the user of `path` writes.
    `lost_bytes` counts what the user did not read in time.
    """

    def __init__(self, path: Path | str, on_data: Callable[[bytes], None]) -> None:
        self.path = Path(path)
        self.lost_bytes = 0
        self._on_data = on_data
        self._backlog = bytearray()
        self._loop = asyncio.get_running_loop()
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs, termios.TCSANOW)
        os.set_blocking(self._ours, False)
        link = self.path.with_name(self.path.name + ".part")
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._theirs))
        link.replace(self.path)  # replaces the stale name an earlier run left behind
        self._loop.add_reader(self._ours, self._readable)

    def write(self, data: bytes) -> None:
        """Send to the user of `path`, now or as soon as there is room."""
        if self._ours < 0:
            return
        if not self._backlog:
            data = data[self._try(data) :]
        if data:
            room = BACKLOG_BYTES - len(self._backlog)
            self.lost_bytes += max(0, len(data) - room)
            if not self._backlog:
                self._loop.add_writer(self._ours, self._writable)
            self._backlog += data[:room]

    def discard(self) -> None:
        """Forget what has not been read yet, in both directions."""
        self._backlog.clear()
        self._loop.remove_writer(self._ours)
        termios.tcflush(self._theirs, termios.TCIOFLUSH)

    def close(self) -> None:
        """Take the line away; its name goes too, unless another line has it by now."""
        if self._ours < 0:
            return
        self._loop.remove_reader(self._ours)
        self._loop.remove_writer(self._ours)
        with contextlib.suppress(OSError):
            if os.readlink(self.path) == os.ttyname(self._theirs):
                self.path.unlink()
        os.close(self._ours)
        os.close(self._theirs)
        self._ours = -1

    def _try(self, data: bytes) -> int:
        try:
            return os.write(self._ours, data)
        except BlockingIOError:
            return 0

    def _writable(self) -> None:
        del self._backlog[: self._try(bytes(self._backlog))]
        if not self._backlog:
            self._loop.remove_writer(self._ours)

    def _readable(self) -> None:
        try:
            data = os.read(self._ours, READ_BYTES)
        except BlockingIOError:
            return
        self._on_data(data)
