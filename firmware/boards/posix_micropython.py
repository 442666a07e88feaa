# What the unix board needs of MicroPython's unix port. The same names as in posix_cpython.py.
#
# pyright: reportGeneralTypeIssues=false

import asyncio
import gc
import os
import select
import sys
import time

from firmware.boards import stream
from firmware.lazy import call

sys.modules["io"] = __import__("uio")  # not DIR/io, where the pins are, when that is where imports begin

TLS = "firmware.boards.tls"
ticks_ms = time.ticks_ms
ticks_us = time.ticks_us
ticks_diff = time.ticks_diff
sleep_ms = asyncio.sleep_ms
getenv = os.getenv
random_bytes = os.urandom
collect = gc.collect
end = sys.exit  # a SystemExit leaves asyncio.run through every task, as no Exception does

gc.threshold(16384)  # collected early, long-lived objects stay together: a small heap falls apart otherwise


def heap():
    return gc.mem_free(), gc.mem_alloc()


def open_serial(path, baud, parity, stopbits):
    return call("firmware.boards.posix_tty", "open_serial", path, baud, parity, stopbits)


def open_tcp(host, port, timeout_ms):
    return call("firmware.boards.connect", "open_tcp", host, port, timeout_ms)


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


# Lines from stdin; None at its end. What is no text is skipped.
class Input:
    async def line(self):
        file = sys.stdin.buffer
        line = b""
        while True:
            try:
                await stream.readable(file)
                byte = file.read(1)
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
