# On an ESP32, whose time begins with 2000.

import asyncio

import machine
import network

from firmware.boards import rtc
from firmware.boards.esp32 import Board
from tests.firmware.fakes import cases

LAN = {"kind": "w5500", "spi": 1, "sck": 18, "mosi": 23, "miso": 19, "cs": 5, "int": 4}


def the_adc_is_calibrated_by_the_chip(make):
    assert cases.board(make).adc_uv(34) == 1234567


def pulses_that_do_not_bounce_are_counted_by_hardware(make):
    one = cases.board(make)
    pulses = one.counter(15, "up", 0)
    one.counter(16, "down", 0)
    assert pulses() == 77
    assert [e for e in machine.log if e[0] == "counter"] == [("counter", 0, 15, 2), ("counter", 1, 16, 1)]
    assert "irq" not in cases.kinds()
    one.counter(17)
    assert ("irq", 17, machine.Pin.IRQ_FALLING, {}) in machine.log


def a_w5500(make):
    one = cases.board(make, network=LAN)
    network.answers[:] = [False, True]
    asyncio.run(one._net.up())
    assert ("spi", 1, 18, 23, 19) in machine.log and ("lan", 102, 5, 4) in machine.log


def the_console_uart_belongs_to_a_usb_link(make):
    one = cases.board(make, {"kind": "usb"})
    cases.raises(OSError, asyncio.run, one.open_rtu({"path": "uart0 tx=4 rx=5", "baud": 9600}))
    cases.raises(cases.ConfigError, one.output, 1)


def its_zero_is_another_one(make):
    one = cases.board(make)
    assert (one.name, one.flash_stops_uart, rtc.EPOCH_S) == ("esp32", False, 946684800)
    one.set_rtc(cases.T + 250)
    assert one.rtc() == cases.T + 250  # it keeps parts of a second


CASES = cases.EVERY + [  # noqa: RUF005 (MicroPython unpacks into no list)
    the_adc_is_calibrated_by_the_chip,
    pulses_that_do_not_bounce_are_counted_by_hardware,
    a_w5500,
    the_console_uart_belongs_to_a_usb_link,
    its_zero_is_another_one,
]

if __name__ == "__main__":
    cases.run(CASES, Board)
