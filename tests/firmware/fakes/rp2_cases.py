# On a Pico.

import asyncio

import machine
import network

from firmware.boards import rtc
from firmware.boards.rp2 import Board
from tests.firmware.fakes import cases

LAN = {"kind": "w5500", "spi": 0, "sck": 18, "mosi": 19, "miso": 16, "cs": 17, "rst": 20}


def the_adc_is_averaged_and_scaled(make):
    assert cases.board(make).adc_uv(26) == 32768 * 3300000 // 65535
    assert cases.board(make, more={"vref_uv": 3000000}).adc_uv(26) == 32768 * 3000000 // 65535


def the_radio_of_a_pico_w_is_out_of_reach(make):
    one = cases.board(make, network=cases.WIFI)
    for pin in (23, 24, 25, 29):
        cases.raises(cases.ConfigError, one.output, pin)
    cases.board(make).output(25)  # without Wi-Fi it is the lamp


def pulses_are_caught_in_the_interrupt(make):
    cases.board(make).counter(15, "down")
    assert ("irq", 15, machine.Pin.IRQ_RISING, {"hard": True}) in machine.log


def a_w5500_gets_its_address_without_waiting(make):
    one = cases.board(make, network=LAN)
    network.answers[:] = [False, True]
    asyncio.run(one._net.up())
    assert ("spi", 0, 18, 19, 16) in machine.log and ("wiznet", 17, 20) in machine.log
    assert ("ipconfig", {"dhcp4": True}) in machine.log
    one = cases.board(make, network=dict(LAN, address=["10.0.0.7", "255.255.255.0", "10.0.0.1", "10.0.0.1"]))
    asyncio.run(one._net.up())
    assert ("ifconfig", ("10.0.0.7", "255.255.255.0", "10.0.0.1", "10.0.0.1")) in machine.log
    assert "ipconfig" not in cases.kinds()


def it_is_an_rp2(make):
    one = cases.board(make)
    assert (one.name, one.flash_stops_uart, rtc.EPOCH_S) == ("rp2", True, 0)


CASES = cases.EVERY + [  # noqa: RUF005 (MicroPython unpacks into no list)
    the_adc_is_averaged_and_scaled,
    the_radio_of_a_pico_w_is_out_of_reach,
    pulses_are_caught_in_the_interrupt,
    a_w5500_gets_its_address_without_waiting,
    it_is_an_rp2,
]

if __name__ == "__main__":
    cases.run(CASES, Board)
