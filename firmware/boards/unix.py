# The unix board: a laptop, a Pi, a test. A serial port is a tty or a pty, flash is a directory, the console
# is stdin and stdout. The same firmware files run here on MicroPython and on CPython; what differs between
# the two is in posix_micropython.py and posix_cpython.py.
#
# With QUANTRAC_TIMELINE in the environment (the path of a timeline, see protocol/timeline.py) the station's
# time runs as it says. Time-outs stay in real milliseconds.

import json
import sys

from protocol.errors import ConfigError
from protocol.timeline import Timeline

if sys.implementation.name == "micropython":
    from firmware.boards import posix_micropython as posix
else:
    from firmware.boards import posix_cpython as posix

CONNECT_MS = 5000
BOOT_FILE = "boot"


class Board:
    name = "unix"
    reset_reason = "process started"

    def __init__(self, directory):
        self._directory = directory
        self._commands = posix.Input()
        self._speed = 1
        self._timeline = None
        path = posix.getenv("QUANTRAC_TIMELINE")
        if path:
            self._timeline = Timeline(json.loads(posix.read_file(path))["segments"])
        self._began = self._station(posix.ticks_ms())

    # ---- time

    ticks_ms = staticmethod(posix.ticks_ms)
    ticks_diff = staticmethod(posix.ticks_diff)
    sleep_ms = staticmethod(posix.sleep_ms)  # pyright: ignore[reportArgumentType]

    def _station(self, mono_ms):
        return self._timeline.at(mono_ms) if self._timeline else mono_ms

    def station_ticks(self):
        return self._station(posix.ticks_ms()) - self._began  # pyright: ignore[reportOperatorIssue]

    def station_speed(self):
        return self._timeline.speed_at(posix.ticks_ms()) if self._timeline else 1

    def real_ms(self, station_ms):
        if not self._timeline:
            return station_ms
        mono_ms = posix.ticks_ms()
        end_ms = self._timeline.when(self._timeline.at(mono_ms) + station_ms)
        return int(end_ms - mono_ms) + 1  # pyright: ignore[reportOperatorIssue]

    # ---- this machine

    def idle(self):
        posix.collect()

    def random_bytes(self, n):
        return posix.random_bytes(n)

    def read_file(self, name):
        return posix.read_file(self._path(name))

    # Replaces the file, or leaves the old one: never half of it.
    def write_file(self, name, data):
        posix.write_file(self._path(name + ".new"), data)
        posix.rename(self._path(name + ".new"), self._path(name))

    def _path(self, name):
        return self._directory.rstrip("/") + "/" + name

    # The number of this start, kept before anything else is done: see board.py.
    def next_boot(self, above=0):
        text = None
        try:
            text = self.read_file(BOOT_FILE)
        except OSError:
            pass
        if text is None:  # the first start, as far as anybody here knows
            boot = int.from_bytes(self.random_bytes(3), "big")
        else:
            try:
                boot = int(text)
            except ValueError:
                boot = -1
        if boot < 0:
            raise ConfigError(
                f"{self._path(BOOT_FILE)} holds no number: write one above all that the gateway has seen"
            )
        boot = max(boot, above) + 1
        self.write_file(BOOT_FILE, f"{boot}\n".encode())
        return boot

    # ---- streams

    async def open_rtu(self, bus):
        return posix.open_serial(bus["path"], bus["baud"], bus["parity"], bus["stopbits"])

    async def open_tcp(self, host, port):
        return await posix.open_tcp(host, port, CONNECT_MS)

    async def open_link(self, link):
        if link["kind"] == "tcp":
            return await self.open_tcp(link["host"], link["port"])
        return await self.open_rtu(link)

    # ---- the person at the console

    async def command(self):
        return await self._commands.line()

    def report(self, text):
        posix.report(text)

    def crash(self, error):
        posix.crash(error)
