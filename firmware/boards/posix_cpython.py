# What the unix board needs of CPython. The same names as in posix_micropython.py.
#
# Rule 1: nothing blocks the event loop: every descriptor is non-blocking and waited for through the loop.
# Rule 2: every wait gives the other tasks a turn, even when bytes are there at once.

import asyncio
import os
import select
import socket
import sys
import termios
import time
import traceback

from firmware.boards.posix import CONTROL, FRAME_BITS, SPEEDS

TLS = "firmware.boards.tls_cpython"
getenv = os.getenv
random_bytes = os.urandom


def ticks_ms():
    return time.monotonic_ns() // 1000000


def ticks_us():
    return time.monotonic_ns() // 1000


def ticks_diff(a, b):
    return a - b


async def sleep_ms(ms):
    await asyncio.sleep(ms / 1000)


def collect():
    pass  # the interpreter does it when it likes


def heap():
    return 0, 0  # not known


# At once: nothing is unwound, as on a board.
def end(status):
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def report(text):
    try:
        if select.select([], [sys.stdout.fileno()], [], 0)[
            1
        ]:  # somebody may have started us and not be reading
            os.write(sys.stdout.fileno(), (text + "\n").encode())
    except (OSError, ValueError):
        pass


def crash(error):
    traceback.print_exception(error)


class Stream:
    def __init__(self, fd, owner=None):
        self._fd = fd
        self._owner = owner  # the socket that closes the descriptor
        self._loop = asyncio.get_running_loop()
        self._waiters = []

    async def read(self, n, timeout_ms=None):
        end = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        await asyncio.sleep(0)
        while True:
            data = self._take(n)
            if data:
                return data
            left = None if end is None else end - time.monotonic()
            if (left is not None and left <= 0) or not await self._wait(False, left):
                return b""

    def read_now(self):
        return self._take(256)

    def _take(self, n):
        if self._fd is None:
            raise OSError(9, "closed")
        try:
            data = os.read(self._fd, n)
        except BlockingIOError:
            return b""
        if not data:
            raise OSError(5, "the other side has gone")
        return data

    async def write(self, data):
        view = memoryview(bytes(data))  # a bytearray that is looked at cannot be made longer
        while view:
            if self._fd is None:
                raise OSError(9, "closed")
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await self._wait(True, None)

    # False when the time is up first.
    async def _wait(self, for_room, seconds):
        loop, fd = self._loop, self._fd
        if fd is None:
            raise OSError(9, "closed")
        ready = loop.create_future()
        self._waiters.append(ready)
        add, remove = (
            (loop.add_writer, loop.remove_writer) if for_room else (loop.add_reader, loop.remove_reader)
        )
        add(fd, _done, ready, True)
        timer = None if seconds is None else loop.call_later(seconds, _done, ready, False)
        try:
            return await ready
        finally:
            self._waiters.remove(ready)
            if self._fd is not None:
                remove(fd)
            if timer:
                timer.cancel()

    # The socket, which somebody else closes now.
    def detach(self):
        self._fd = None
        return self._owner

    def close(self):
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        for ready in self._waiters:
            _done(ready, True)  # whoever waits finds out that it is closed
        if self._owner:
            self._owner.close()
        else:
            os.close(fd)


def _done(future, result):
    if not future.done():
        future.set_result(result)


def open_serial(path, baud, parity, stopbits):
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        modes = termios.tcgetattr(fd)
        modes[0] = modes[1] = modes[3] = 0  # no translation, no echo, no signals
        modes[2] = modes[2] & ~FRAME_BITS | CONTROL[parity, stopbits]
        if baud in SPEEDS:
            modes[4] = modes[5] = SPEEDS[baud]
        modes[6][termios.VMIN] = 1  # so that an empty read means a hang-up
        modes[6][termios.VTIME] = 0
        termios.tcsetattr(fd, termios.TCSANOW, modes)
        termios.tcflush(fd, termios.TCIFLUSH)
    except termios.error as error:
        os.close(fd)
        raise OSError(*error.args) from error
    return Stream(fd)


async def open_tcp(host, port, timeout_ms):
    link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    link.setblocking(False)
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_connect(link, (host, port)), timeout_ms / 1000)
    except TimeoutError as error:
        link.close()
        raise OSError(110, "no answer") from error
    except BaseException:
        link.close()
        raise
    return Stream(link.fileno(), link)


# Lines from stdin; None at its end.
class Input:
    def __init__(self):
        self._held = b""

    async def line(self):
        loop = asyncio.get_running_loop()
        while b"\n" not in self._held:
            ready = loop.create_future()
            try:
                loop.add_reader(0, _done, ready, True)
            except OSError:
                pass  # a file or /dev/null, which is always ready
            else:
                try:
                    await ready
                finally:
                    loop.remove_reader(0)
            try:
                data = os.read(0, 256)
            except OSError:
                data = b""
            if not data:
                return None
            self._held = (self._held + data)[-256:]
        line, self._held = self._held.split(b"\n", 1)
        return line.decode(errors="replace").strip()
