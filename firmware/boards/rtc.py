# The clocks of a board: the one inside of the chip, and perhaps a DS3231 on I2C, which has a battery and is
# good to 2 ppm. Loaded through lazy.call for each use.
#
# table: None, or {"i2c": 0, "sda": 20, "scl": 21}, where the DS3231 is; where there is one, it alone counts.
#
# Rule 1: the clock inside counts only from YEAR on: before, nobody has set it.
# Rule 2: a DS3231 that stopped (its flag OSF says so), does not answer, or shows what is no time, shows none.
# Rule 3: a DS3231 holds UTC, 24 hours, years from 2000. Writing a time clears the flag.
# Rule 4: whatever is known is shown by the clock inside, too: TLS compares certificates with it.
#
# pyright: reportArgumentType=false

import time

import machine
from micropython import const

YEAR = const(2026)  # when this was written
_ADDRESS = const(0x68)
_STATUS = const(0x0F)
_OSF = const(0x80)  # the oscillator stopped

EPOCH_S = 946684800 if time.gmtime(0)[0] == 2000 else 0  # Unix time of the port's own zero


def _bus(table):
    Pin = machine.Pin
    return machine.I2C(table["i2c"], sda=Pin(table["sda"]), scl=Pin(table["scl"]), freq=100000)


def _unix_ms(year, month, day, hour, minute, second):
    return (int(time.mktime((year, month, day, hour, minute, second, 0, 0))) + EPOCH_S) * 1000


# Unix ms, or None
def read(table):
    if not table:
        t = machine.RTC().datetime()
        if t[0] < YEAR:
            return None
        return _unix_ms(t[0], t[1], t[2], t[4], t[5], t[6]) + t[7] // 1000
    try:
        bus = _bus(table)
        if bus.readfrom_mem(_ADDRESS, _STATUS, 1)[0] & _OSF:
            return None
        shown = bus.readfrom_mem(_ADDRESS, 0, 7)
    except (OSError, ValueError, KeyError):
        return None
    second, minute, hour, _, day, month, year = [(b >> 4) * 10 + (b & 15) for b in shown]
    month %= 80  # the century's bit
    year += 2000
    if year < YEAR or not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and max(minute, second) < 60):
        return None
    time_ms = _unix_ms(year, month, day, hour, minute, second)
    show(time_ms)
    return time_ms


def write(table, time_ms):
    show(time_ms)
    if not table:
        return
    t = time.gmtime(time_ms // 1000 - EPOCH_S)
    fields = [n // 10 << 4 | n % 10 for n in (t[5], t[4], t[3], t[6] + 1, t[2], t[1], t[0] - 2000)]
    try:
        bus = _bus(table)
        bus.writeto_mem(_ADDRESS, 0, bytes(fields))
        status = bus.readfrom_mem(_ADDRESS, _STATUS, 1)[0]
        bus.writeto_mem(_ADDRESS, _STATUS, bytes([status & ~_OSF]))
    except (OSError, ValueError, KeyError):
        pass  # it will be tried again within the hour


# Sets the clock inside.
def show(time_ms):
    t = time.gmtime(time_ms // 1000 - EPOCH_S)
    machine.RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], time_ms % 1000 * 1000))
