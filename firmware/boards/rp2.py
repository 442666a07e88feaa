# Pico, Pico W, Pico 2 W, W5500-EVB-Pico: what differs from other boards.
#
# Rule 1: the watchdog of the RP2040 counts to 8,388 ms, once started for ever.
# Rule 2: writing flash stops interrupts, and bytes on a UART are lost meanwhile (arbiter.py waits for the
#         bus).
# Rule 3: the clock begins with 2021 at every start, and a deliberate reset looks like the watchdog's: the
#         note that reset() left tells them apart.
#
# pyright: reportAttributeAccessIssue=false

import machine
from micropython import const

from firmware.boards.metal import Metal

_READS = const(16)  # averaged: the converter is noisy by some steps of 12 bits


class Board(Metal):
    name = "rp2"
    flash_stops_uart = True
    FEED_MAX_MS = 8388
    HARD = True

    def taken(self, network):
        return (23, 24, 25, 29) if network.get("kind") == "wifi" else ()  # the radio of a Pico W

    def analog(self, pin):
        return machine.ADC(pin)

    def microvolts(self, adc):
        total = 0
        for _ in range(_READS):
            total += adc.read_u16()
        return total * self._given.get("vref_uv", 3300000) // (65535 * _READS)

    def wired(self, settings):
        import network

        Pin = machine.Pin
        spi = machine.SPI(
            settings["spi"],
            baudrate=20000000,
            sck=Pin(settings["sck"]),
            mosi=Pin(settings["mosi"]),
            miso=Pin(settings["miso"]),
        )
        return network.WIZNET5K(spi, Pin(settings["cs"]), Pin(settings["rst"]))
