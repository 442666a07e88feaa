# What the unix board needs of MicroPython's unix port. The same names as in posix_cpython.py.
#
# Rule 1: nothing blocks the interpreter: a write goes out in slices that always fit once poll() says so.
# Rule 2: a tty with VMIN = VTIME = 0 reads empty both when nothing is there and when the line hung up; poll()
#         tells.
#
# open() has no O_NOCTTY here: in a process that leads its session, the first tty becomes its controlling
# terminal, and a hang-up of that line then ends the process (SIGHUP). Start the firmware from a shell or a
# service wrapper, not as session leader, or with SIGHUP ignored (nohup).
#
# pyright: reportGeneralTypeIssues=false

import asyncio
import gc
import os
import select
import socket
import sys
import termios
import time
from asyncio import core  # pyright: ignore[reportAttributeAccessIssue]

from firmware.boards.posix import CONTROL, FRAME_BITS, SPEEDS

ticks_ms = time.ticks_ms
ticks_diff = time.ticks_diff
sleep_ms = asyncio.sleep_ms
getenv = os.getenv
rename = os.rename
random_bytes = os.urandom
collect = gc.collect

gc.threshold(16384)  # collected early, long-lived objects stay together: a small heap falls apart otherwise

_GONE = select.POLLHUP | select.POLLERR
_SLICE = 256  # the kernel frees a pty's buffer in pieces of so many bytes: a slice never waits for a second
_EIO = 5
_ETIMEDOUT = 110
_EINPROGRESS = 115


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def write_file(path, data):
    with open(path, "wb") as file:
        file.write(data)


def report(text):
    poller = select.poll()
    poller.register(sys.stdout, select.POLLOUT)
    if poller.poll(0):  # somebody may have started us and not be reading
        try:
            print(text)
        except OSError:
            pass


def crash(error):
    sys.print_exception(error, sys.stderr)  # pyright: ignore[reportArgumentType]


def _readable(file):
    yield core._io_queue.queue_read(file)


def _writable(file):
    yield core._io_queue.queue_write(file)


class Stream:
    def __init__(self, file):
        self._file = file
        self._poller = select.poll()
        self._poller.register(file, select.POLLIN)

    async def read(self, n, timeout_ms=None):
        if timeout_ms is None:
            while True:
                await _readable(self._file)
                data = self._take(n)
                if data:
                    return data
        try:
            await asyncio.wait_for_ms(_readable(self._file), timeout_ms)
        except asyncio.TimeoutError:  # noqa: UP041 (there is no other here)
            return b""
        return self._take(n)

    def read_now(self):
        return self._take(256)

    def _take(self, n):
        data = self._file.read(n)
        if not data:
            for _, events in self._poller.poll(0):
                if events & _GONE:
                    raise OSError(_EIO)
            if data is not None and self._at_end(data):
                raise OSError(_EIO)
        return data or b""

    def _at_end(self, data):
        return False

    async def write(self, data):
        view = memoryview(data)
        at = 0
        while at < len(view):
            await _writable(self._file)
            sent = self._file.write(view[at : at + _SLICE])
            at += sent or 0

    def close(self):
        try:
            core._io_queue.remove(self._file)
            self._file.close()
        except OSError:
            pass


# On a socket an empty read is the end, and None means nothing yet.
class Socket(Stream):
    def _at_end(self, data):
        return True


def open_serial(path, baud, parity, stopbits):
    file = open(path, "r+b")  # noqa: SIM115 (the stream keeps it)
    try:
        fd = file.fileno()
        termios.setraw(fd)
        modes = termios.tcgetattr(fd)
        modes[2] = modes[2] & ~FRAME_BITS | CONTROL[parity, stopbits]
        if baud in SPEEDS:
            modes[4] = modes[5] = SPEEDS[baud]
        modes[6][5] = modes[6][6] = 0  # VTIME, VMIN
        termios.tcsetattr(fd, termios.TCSANOW, modes)
    except OSError:
        file.close()
        raise
    stream = Stream(file)
    stream.read_now()
    return stream


async def open_tcp(host, port, timeout_ms):
    address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1]
    link = socket.socket()
    link.setblocking(False)
    failed = None
    try:
        link.connect(address)
    except OSError as error:
        if error.errno != _EINPROGRESS:
            failed = error
    stream = Socket(link)
    if failed is None:
        try:
            await asyncio.wait_for_ms(_writable(link), timeout_ms)
            stream.read_now()  # raises what the attempt came to
        except asyncio.TimeoutError:  # noqa: UP041 (there is no other here)
            failed = OSError(_ETIMEDOUT)
        except OSError as error:
            failed = error
    if failed is not None:
        stream.close()
        raise failed
    return stream


# Lines from stdin; None at its end. What is no text is skipped.
class Input:
    def __init__(self):
        self._file = sys.stdin.buffer

    async def line(self):
        line = b""
        while True:
            try:
                await _readable(self._file)
                byte = self._file.read(1)
            except OSError:
                byte = b""
            if not byte:
                return None
            if byte != b"\n":
                line = (line + byte)[-80:]
                continue
            try:
                return line.decode().strip()
            except UnicodeError:
                line = b""
