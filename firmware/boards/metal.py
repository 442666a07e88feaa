# What the boards with a microcontroller share: UARTs, pins, watchdog, clock. rp2.py and esp32.py add what
# differs.
#
# identity.json tells, besides the link: "network" (see net.py), and "board", a table that may hold
#   ds3231   {"i2c": 0, "sda": 20, "scl": 21}: a clock with a battery
#   vref_uv  what the ADC's full scale is, in microvolts, where it has no calibration of its own (RP2)
#
# Rule 1: an output is made inactive in the same step that makes it an output.
# Rule 2: pins and UARTs of the link, the network and the clock are taken before station.json is read; it
#         can have none of them, so that no configuration cuts the link. A pin is a number, never a name:
#         names are aliases.
# Rule 3: a link over USB takes the console: Ctrl-C is a byte like any other, and nothing is printed. The ways
#         back to the prompt are the pin of the starter's `hold` file and the authenticated command.
#
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false, reportArgumentType=false

import asyncio
import binascii
import gc
import json
import select
import sys
import time

import machine
import micropython
from micropython import const

from firmware.boards import uart as lines
from firmware.boards.common import Common
from firmware.lazy import call
from protocol.errors import ConfigError

_CONNECT_MS = const(5000)
_PINS = ("sck", "mosi", "miso", "cs", "rst", "int", "sda", "scl")

# Collected early, long-lived objects stay together: a small heap falls apart otherwise. Seldom where there is
# room: 16 KB between two collections cost an RP2040 a tenth of its time.
gc.threshold(max(16384, gc.mem_free() // 4 - 16384))


class Metal(Common):
    FEED_MAX_MS = 0  # the longest the watchdog can wait, 0: no limit
    COUNT = 0x1FFFFFFF  # within a small whole number: an interrupt cannot allocate a larger one
    HARD = False  # whether Pin.irq can call within the interrupt

    def __init__(self, directory):
        super().__init__(directory)
        self._dog = None
        self._ticks = 0
        self._late = time.ticks_ms()
        self._adc = {}
        self._net = None
        self.identity = binascii.hexlify(machine.unique_id()).decode()
        if self.reset_reason is None:
            self.reset_reason = self._cause()
        given = None
        try:
            given = json.loads(self.files.read("identity.json"))
        except (OSError, ValueError):
            pass  # who has no identity is told so by identity.py
        given = _table(given)
        link, network = _table(given.get("link")), _table(given.get("network"))
        self._given = _table(given.get("board"))
        self._usb = link.get("kind") == "usb"
        self._taken = taken = set(self.taken(network))
        if self._usb:
            micropython.kbd_intr(-1)
        elif link.get("kind") == "serial":
            try:
                number, pins = lines.parse(link["path"])
                taken.add(f"uart{number}")
                taken.update(pins.values())
            except (KeyError, ValueError, AttributeError):
                pass
        self._battery = _table(self._given.get("ds3231"))
        for table in (network, self._battery):
            taken.update([table[name] for name in _PINS if isinstance(table.get(name), int)])
        if network:
            from firmware.boards.net import Net

            self._net = Net(self, network)

    # Pins that no configuration may have, whatever identity.json says.
    def taken(self, network):
        return ()

    def _cause(self):
        cause = machine.reset_cause()
        for name, text in (
            ("WDT_RESET", "watchdog"),
            ("PWRON_RESET", "power"),
            ("HARD_RESET", "reset by software"),  # ESP32: a panic, too
            ("SOFT_RESET", "soft reset"),
        ):
            if cause == getattr(machine, name, None):
                return text
        return f"unknown ({cause})"

    # ---- time

    ticks_ms = staticmethod(time.ticks_ms)
    ticks_us = staticmethod(time.ticks_us)
    ticks_diff = staticmethod(time.ticks_diff)
    sleep_ms = staticmethod(asyncio.sleep_ms)

    # ticks_ms wraps every 12 days: somebody has to ask more often
    def station_ticks(self):
        now = time.ticks_ms()
        self._ticks += time.ticks_diff(now, self._late)
        self._late = now
        return self._ticks

    def station_speed(self):
        return 1

    def real_ms(self, station_ms):
        return station_ms

    def rtc(self):
        return call("firmware.boards.rtc", "read", self._battery)

    def set_rtc(self, time_ms):
        call("firmware.boards.rtc", "write", self._battery, time_ms)

    # ---- this machine

    idle = staticmethod(gc.collect)

    def heap(self):
        return gc.mem_free(), gc.mem_alloc()

    def watchdog(self, limit_ms):
        if self.FEED_MAX_MS:
            limit_ms = min(limit_ms, self.FEED_MAX_MS)
        super().watchdog(limit_ms)
        self._dog = machine.WDT(timeout=limit_ms)

    def feed(self):
        super().feed()
        if self._dog:
            self._dog.feed()

    def _restart(self):
        machine.reset()

    # ---- pins

    def _pin(self, pin, *mode, **more):
        if not isinstance(pin, int) or pin in self._taken:
            raise ConfigError(f"pin {pin} is not free: write the number of one that nothing else uses")
        try:
            return machine.Pin(pin, *mode, **more)
        except ValueError as error:
            raise ConfigError(f"pin {pin}: {error}")  # noqa: B904 (MicroPython cannot chain)

    def input(self, pin, pull=None):
        return self._pin(pin, machine.Pin.IN, _pull(pull))

    def output(self, pin, active=1):
        on, off = (1, 0) if active else (0, 1)
        out = self._pin(pin, machine.Pin.OUT, value=off)
        return lambda want: out(on if want else off)

    def adc_uv(self, pin):
        adc = self._adc.get(pin)
        if adc is None:
            adc = self._adc[pin] = self.analog(self._pin(pin))
        return self.microvolts(adc)

    # Pulses since now. An edge less than gap_ms after another one is a contact that bounces.
    def counter(self, pin, pull="up", gap_ms=2):
        Pin = machine.Pin
        source = self._pin(pin, Pin.IN, _pull(pull))
        cell = [0, time.ticks_add(time.ticks_ms(), -gap_ms)]
        total = [0, 0]
        mask = self.COUNT

        # In an interrupt, where nothing may be allocated: calling a closure is free up to four variables.
        def edge(_):
            now = time.ticks_ms()
            since = time.ticks_diff(now, cell[1])
            cell[1] = now
            if since >= gap_ms or since < 0:  # below zero: after six days without rain
                cell[0] = (cell[0] + 1) & mask

        def pulses():
            count = cell[0]
            total[0] += (count - total[1]) & mask
            total[1] = count
            return total[0]

        trigger = Pin.IRQ_RISING if pull == "down" else Pin.IRQ_FALLING
        more = {"hard": True} if self.HARD else {}
        source.irq(handler=edge, trigger=trigger, **more)
        return pulses

    # ---- streams

    async def open_rtu(self, bus):
        return lines.open_line(bus, 512, self._taken)

    async def open_tcp(self, host, port):
        if self._net is None:
            raise OSError("identity.json names no network")
        await self._net.up()
        return await call("firmware.boards.connect", "open_tcp", host, port, _CONNECT_MS)

    async def open_link(self, link):
        kind = link["kind"]
        if kind == "tcp":
            return await self.open_tcp(link["host"], link["port"])
        if kind == "tls":
            return await self._secure(link)
        return lines.Usb() if kind == "usb" else lines.open_line(link, 1024, ())

    # A clock that nobody has set fails every certificate. For the handshake it shows link["since"], when the
    # device was provisioned (Unix s): too early to find an expired certificate, but after its beginning.
    async def _secure(self, link):
        unset = None
        if "since" in link and self.rtc() is None:
            unset = machine.RTC().datetime()
            call("firmware.boards.rtc", "show", link["since"] * 1000)
        try:
            return await call("firmware.boards.tls", "open_tls", self, link)
        finally:
            if unset:
                machine.RTC().datetime(unset)

    # ---- the console: nobody types here

    async def command(self):
        while True:
            await asyncio.sleep_ms(3600000)

    def report(self, text):
        poller = select.poll()
        poller.register(sys.stdout, select.POLLOUT)
        for at in range(0, 0 if self._usb else len(text), 64):
            if not poller.poll(2):
                return
            sys.stdout.write(text[at : at + 64])
        if not self._usb:
            sys.stdout.write("\n")

    def crash(self, error):
        if not self._usb:
            sys.print_exception(error)


def _pull(name):
    return {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN}.get(name)


def _table(given):
    return given if isinstance(given, dict) else {}
