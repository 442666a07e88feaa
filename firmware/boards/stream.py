# Streams of MicroPython's asyncio: what the unix port and the real boards share. Runs on MicroPython only.
#
# Rule 1: nothing blocks the interpreter: a file is read and written after poll() has said so, and in slices
#         that always fit then.
# Rule 2: a tty with VMIN = VTIME = 0 and a UART read empty when nothing is there; whether a tty hung up,
#         poll() tells. On a socket an empty read is the end, and None means nothing yet.
# Rule 3: closing a stream wakes who waits for it; to them, and ever after, it is an OSError.
#
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false

import asyncio
import select
from asyncio import core
from errno import EBADF, EIO

from micropython import const

_SLICE = const(
    256
)  # the kernel frees a pty's buffer in pieces of so many bytes: a slice never waits for a second


def readable(file):
    yield core._io_queue.queue_read(file)


def writable(file):
    yield core._io_queue.queue_write(file)


class Stream:
    slice = _SLICE

    # out: where to write, when that is another object
    def __init__(self, file, out=None):
        self._file = file
        self._out = out or file
        self._poller = select.poll()
        self._poller.register(file, select.POLLIN)

    async def read(self, n, timeout_ms=None):
        if timeout_ms is None:
            while True:
                await readable(self._open())
                data = self._take(n)
                if data:
                    return data
        try:
            await asyncio.wait_for_ms(readable(self._open()), timeout_ms)
        except asyncio.TimeoutError:  # noqa: UP041 (there is no other here)
            return b""
        return self._take(n)

    def read_now(self):
        return self._take(256)

    def _open(self):
        if self._file is None:
            raise OSError(EBADF)
        return self._file

    def _take(self, n):
        data = self._open().read(n)
        if not data:
            for _, events in self._poller.poll(0):
                if events & (select.POLLHUP | select.POLLERR):
                    raise OSError(EIO)
            if data is not None and self._at_end():
                raise OSError(EIO)
        return data or b""

    def _at_end(self):
        return False

    async def write(self, data):
        view = memoryview(data)
        at = 0
        while at < len(view):
            await writable(self._out)
            self._open()
            at += self._out.write(view[at : at + self.slice]) or 0

    def close(self):
        file = self._file
        if file is None:
            return
        self._file = None
        entry = core._io_queue.map.pop(id(file), None)
        if entry:
            core._io_queue.poller.unregister(file)
            for task in entry[:2]:
                if task is not None:
                    core._task_queue.push(task)
        try:
            self._shut(file)
        except OSError:
            pass

    def _shut(self, file):
        file.close()


class Socket(Stream):
    def _at_end(self):
        return True
