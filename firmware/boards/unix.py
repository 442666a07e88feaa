# The unix board: a laptop, a Pi, a test. A serial port is a tty or a pty, flash is a directory, the console
# is stdin and stdout. The same firmware files run here on MicroPython and on CPython; what differs between
# the two is in posix_micropython.py and posix_cpython.py.
#
# A reset ends the process with RESET_STATUS; whoever runs it starts it again. Nothing is unwound on
# CPython; on MicroPython a SystemExit leaves asyncio.run.
#
# A pin is a file in DIR/io: see unix_io.py.
#
# With QUANTRAC_TIMELINE in the environment (the path of a timeline, see protocol/timeline.py) the station's
# time runs as it says. Time-outs stay in real milliseconds.

import sys

from firmware.boards.common import Common
from firmware.lazy import call

if sys.implementation.name == "micropython":
    from firmware.boards import posix_micropython as posix
else:
    from firmware.boards import posix_cpython as posix

CONNECT_MS = 5000
RESET_STATUS = 75
_IO = "firmware.boards.unix_io"


class Board(Common):
    name = "unix"
    flash_stops_uart = False

    def __init__(self, directory):
        super().__init__(directory)
        if self.reset_reason is None:
            self.reset_reason = "power"
        self.repl = False  # there is none; who asks for it gets a restart
        self.identity = call(_IO, "identity", self.files)
        self._adc = {}
        self._commands = posix.Input()
        self._timeline = None
        path = posix.getenv("QUANTRAC_TIMELINE")
        if path:
            import json

            from protocol.timeline import Timeline

            with open(path) as file:
                self._timeline = Timeline(json.load(file)["segments"])
        self._began = self._station(posix.ticks_ms())

    # ---- time

    ticks_ms = staticmethod(posix.ticks_ms)
    ticks_us = staticmethod(posix.ticks_us)
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

    def rtc(self):
        return call(_IO, "rtc", self.files, self._station(posix.ticks_ms()))

    def set_rtc(self, time_ms):
        call(_IO, "set_rtc", self.files, time_ms, self._station(posix.ticks_ms()))

    # ---- this machine

    idle = staticmethod(posix.collect)
    heap = staticmethod(posix.heap)

    def _restart(self):
        posix.end(RESET_STATUS)

    # ---- pins

    def input(self, pin, pull=None):
        return call(_IO, "level", self.files, pin, pull)

    def output(self, pin, active=1):
        return call(_IO, "output", self.files, pin, active)

    def counter(self, pin, pull="up", gap_ms=2):
        return call(_IO, "number", self.files, pin)

    def adc_uv(self, pin):
        read = self._adc.get(pin)
        if read is None:
            read = self._adc[pin] = self.counter(pin)
        return read()

    # ---- streams

    async def open_rtu(self, bus):
        return posix.open_serial(bus["path"], bus["baud"], bus.get("parity", "N"), bus.get("stopbits", 1))

    async def open_tcp(self, host, port):
        return await posix.open_tcp(host, port, CONNECT_MS)

    async def open_link(self, link):
        kind = link["kind"]
        if kind == "tcp":
            return await self.open_tcp(link["host"], link["port"])
        if kind == "tls":
            return await call(posix.TLS, "open_tls", self, link)
        if kind != "serial":
            raise OSError(f'no link of the kind "{kind}" here')
        return await self.open_rtu(link)

    # ---- the person at the console

    async def command(self):
        return await self._commands.line()

    report = staticmethod(posix.report)
    crash = staticmethod(posix.crash)
