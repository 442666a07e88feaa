# What every real board has to do, on the fakes beside this file. Runs in MicroPython: see test_boards.py.

import asyncio
import gc
import json
import os
import sys

import machine
import micropython
import network

from firmware.boards import metal, uart
from protocol.errors import ConfigError

LOG = machine.log
ROOT = sys.argv[1] if len(sys.argv) > 1 else "/tmp"
T = 1781234567000
WIFI = {"kind": "wifi", "ssid": "bờ sông", "password": "secret", "country": "VN"}
SERIAL = {"kind": "serial", "path": "uart0 tx=0 rx=1", "baud": 115200}


def board(make, link=None, network=None, more=None):
    machine.play(make.name)
    folder = ROOT + "/board"
    for name in ("", "/state"):
        try:
            os.mkdir(folder + name)
        except OSError:
            pass
    for name in ("state/reset", "boot"):
        try:
            os.unlink(folder + "/" + name)
        except OSError:
            pass
    with open(folder + "/identity.json", "w") as file:
        json.dump({"link": link or {}, "network": network, "board": more}, file)
    return make(folder)


def raises(error, call, *arguments):
    try:
        call(*arguments)
    except error as got:
        return str(got)
    raise AssertionError("no " + error.__name__)


def kinds():
    return [entry[0] for entry in LOG]


# Lets another task have its turn as often as it can, and sees it in the log.
async def watched(work, every_ms=0):
    async def other():
        while True:
            LOG.append(("turn",))
            await asyncio.sleep_ms(every_ms)

    task = asyncio.create_task(other())
    await asyncio.sleep_ms(0)
    try:
        return await work
    finally:
        task.cancel()


def between_pin_and_pin():
    names = ["turn" if e[0] == "turn" else e[0] + str(e[2]) if e[0] == "put" else e[0] for e in LOG]
    return names[names.index("put1") : names.index("put0") + 1]


def direction_pin_goes_up_before_and_down_after_with_no_turn_between(make):
    one = board(make)

    async def main():
        line = await one.open_rtu(
            {"path": "uart1 tx=4 rx=5 de=6", "baud": 9600, "parity": "E", "stopbits": 2}
        )
        assert ("pin", 6, 1, None, 0) in LOG  # receiving from the moment it is an output
        assert ("uart", 1, 9600, 8, 0, 2, 4, 5) in LOG
        LOG.clear()
        await watched(line.write(bytes(256)))
        assert between_pin_and_pin() == ["put1", "write", "flush", "put0"], LOG
        assert "turn" in kinds()
        line._file.coming = b"answer"
        assert await line.read(100, 500) == b"answer"
        assert await line.read(100, 5) == b""
        line.close()
        assert ("deinit",) in LOG
        try:
            await line.read(1)
        except OSError:
            return
        raise AssertionError("reads after close")

    asyncio.run(main())


# The control of the one above: a write that waits by giving turns is seen.
def a_turn_between_would_be_seen(make):
    class Broken(uart.Uart):
        async def write(self, data):
            self._direction(1)
            self._file.write(data)
            await asyncio.sleep_ms(0)
            self._file.flush()
            self._direction(0)

    one = board(make)
    good, uart.Uart = uart.Uart, Broken

    async def main():
        line = await one.open_rtu({"path": "uart1 tx=4 rx=5 de=6", "baud": 9600})
        LOG.clear()
        await watched(line.write(bytes(8)))

    try:
        asyncio.run(main())
    finally:
        uart.Uart = good
    assert between_pin_and_pin() != ["put1", "write", "flush", "put0"]


def direction_pin_goes_down_when_the_uart_fails(make):
    one = board(make)

    async def main():
        line = await one.open_rtu({"path": "uart1 tx=4 rx=5 de=6", "baud": 9600})
        line._file.flush_fails = True
        try:
            await line.write(b"12345678")
        except OSError:
            return
        raise AssertionError("a failed flush went unseen")

    asyncio.run(main())
    assert LOG[-1] == ("put", 6, 0)


def a_link_without_direction_pin_never_waits_inside_a_write(make):
    one = board(make, SERIAL)

    async def main():
        line = await one.open_link(SERIAL)
        LOG.clear()
        await watched(line.write(bytes(range(256)) * 4))

    asyncio.run(main())
    assert b"".join([e[1] for e in LOG if e[0] == "write"]) == bytes(range(256)) * 4
    assert kinds().count("turn") > 8 and "flush" not in kinds()


def a_wrong_line_is_an_os_error(make):
    one = board(make)
    for path in ("", "/dev/ttyS0", "uart", "uart7 tx=0", "uart1 tx=5 rx=4", "uart1 tx=a", "uart1 rts=3"):
        raises(OSError, asyncio.run, one.open_rtu({"path": path, "baud": 9600}))
    raises(OSError, asyncio.run, one.open_rtu({"path": "uart1 tx=4", "baud": 9600, "parity": "M"}))


def relays_are_off_from_the_first_moment(make):
    one = board(make)
    high, low = one.output(10), one.output(11, 0)
    assert LOG == [("pin", 10, 1, None, 0), ("pin", 11, 1, None, 1)]
    LOG.clear()
    for want in (True, False):
        high(want)
        low(want)
    assert LOG == [("put", 10, 1), ("put", 11, 0), ("put", 10, 0), ("put", 11, 1)]


def inputs_and_pulls(make):
    one = board(make)
    door = one.input(12, "up")
    assert LOG == [("pin", 12, 0, 1, None)] and door() == 0
    machine.Pin.levels[12] = 1
    assert door() == 1


def no_configuration_gets_the_pins_of_the_link(make):
    more = {"ds3231": {"i2c": 0, "sda": 20, "scl": 21}}
    lan = {"kind": "w5500", "spi": 0, "sck": 18, "mosi": 19, "miso": 16, "cs": 17, "rst": 22, "int": 2}
    one = board(make, dict(SERIAL, path="uart0 tx=0 rx=1 de=3"), lan, more)
    LOG.clear()
    for pin in (0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, "GP0", None, 99, -1, 1.0):
        for call in (one.input, one.output, one.adc_uv, one.counter):
            raises(ConfigError, call, pin)
    assert LOG == []
    for path in ("uart0 tx=12 rx=13", "uart1 tx=4 rx=1", "uart1 tx=4 rx=5 de=17"):
        raises(OSError, asyncio.run, one.open_rtu({"path": path, "baud": 9600}))
    assert LOG == []
    asyncio.run(one.open_rtu({"path": "uart1 tx=4 rx=5 de=6", "baud": 9600}))


def an_identity_that_is_no_json_still_makes_a_board(make):
    board(make)
    for text in ("", "[]", "{", "null", '{"link": null, "board": 3}', '{"link": {"kind": "serial"}}'):
        with open(ROOT + "/board/identity.json", "w") as file:
            file.write(text)
        one = make(ROOT + "/board")
        assert one.identity == "e6616408"


def pulses_are_counted_and_bounces_are_not(make):
    one = board(make)
    now = [1000]
    good = metal.time

    class Time:
        ticks_add = staticmethod(good.ticks_add)
        ticks_diff = staticmethod(good.ticks_diff)

        @staticmethod
        def ticks_ms():
            return now[0]

    metal.time = Time
    try:
        pulses = one.counter(15)
        edge = machine.Pin.handlers[15]
        assert pulses() == 0
        edge(None)
        assert pulses() == 1  # the first one, too
        for step in (1, 1, 1, 50, 2, 1):  # three bounces, a pulse, a pulse, a bounce
            now[0] += step
            edge(None)
        assert pulses() == 3
        now[0] -= 7000  # seven days later, as ticks_diff sees it on a board
        edge(None)
        assert pulses() == 4
    finally:
        metal.time = good


def an_interrupt_allocates_nothing(make):
    one = board(make)
    pulses = metal.Metal.counter(one, 15, "up", 0)
    edge = machine.Pin.handlers[15]
    failed = None
    micropython.heap_lock()  # as a hard interrupt finds it
    try:
        edge(None)
        edge(None)
    except MemoryError as error:
        failed = error
    micropython.heap_unlock()
    assert failed is None, failed
    assert pulses() == 2


def a_counter_goes_on_when_its_cell_wraps(make):
    one = board(make)
    one.COUNT = 63
    pulses = one.counter(15, "up", 0) if make.name == "rp2" else metal.Metal.counter(one, 15, "up", 0)
    edge = machine.Pin.handlers[15]
    for n in range(1, 301):
        edge(None)
        if n % 50 == 0:
            assert pulses() == n


def the_watchdog_is_fed_and_counted(make):
    one = board(make)
    one.feed()  # before it is armed: nothing
    assert "feed" not in kinds()
    one.watchdog(60000)
    limit = 8388 if make.name == "rp2" else 60000
    assert ("wdt", limit) in LOG
    one._fed_at = one.ticks_ms() - limit - 5
    one.feed()
    one.feed()
    assert kinds().count("feed") == 2
    assert one.missed_feeds == 1 and one.longest_feed_ms >= limit


def a_reset_tells_the_next_start_why(make):
    one = board(make)
    assert one.reset_reason == "power" and not one.repl
    one.reset("task uplink silent")
    assert LOG[-1] == ("reset",)
    machine.cause = machine.WDT_RESET
    assert make(ROOT + "/board").reset_reason == "task uplink silent"
    assert make(ROOT + "/board").reset_reason == "watchdog"
    one.enter_repl()
    assert make(ROOT + "/board").repl
    assert not make(ROOT + "/board").repl


def a_clock_that_nobody_set_shows_nothing(make):
    one = board(make)
    assert one.rtc() is None
    one.set_rtc(T)
    assert machine.clock[:7] == [2026, 6, 12, 4, 3, 22, 47]
    assert one.rtc() == T


def a_battery_clock(make):
    machine.play(make.name)
    one = board(make, more={"ds3231": {"i2c": 0, "sda": 20, "scl": 21}})
    assert one.rtc() is None  # it is not there
    one.set_rtc(T)  # and that is no reason to fall over
    machine.chips[0x68] = bytearray(19)
    machine.chips[0x68][0x0F] = 0x88
    assert one.rtc() is None  # it had stopped
    one.set_rtc(T)
    assert bytes(machine.chips[0x68][:7]) == b"\x47\x22\x03\x05\x12\x06\x26"
    assert machine.chips[0x68][0x0F] == 0x08
    machine.clock[0] = 2021
    assert one.rtc() == T and machine.clock[:3] == [2026, 6, 12]  # the one inside is set, for TLS
    machine.chips[0x68][5] = 0x33
    assert one.rtc() is None


def wifi_comes_up_without_holding_anybody(make):
    one = board(make, network=WIFI)
    one.watchdog(8000)
    LOG.clear()
    network.answers[:] = [False, False, False, True]

    async def main():
        began = one.ticks_ms()
        await watched(one._net.up(), 5)
        assert one.ticks_diff(one.ticks_ms(), began) < 3000
        LOG.append(("again",))
        await one._net.up()
        assert LOG[-1] == ("again",)

    asyncio.run(main())
    calls = [entry for entry in LOG if entry[0] != "turn"]
    assert calls[:3] == [("feed",), ("country", "VN"), ("wlan", 0)]
    assert ("active", True) in calls and ("connect", "bờ sông", "secret") in calls
    assert kinds().count("connect") == 1
    assert kinds().count("turn") > 10


def a_network_that_stays_away_is_an_os_error_and_switched_off_now_and_then(make):
    one = board(make, network=WIFI)
    network.answers[:] = [False]
    from firmware.boards import net

    now = [0]

    async def sleep_ms(ms):
        now[0] += ms
        await asyncio.sleep_ms(0)

    one._net._board = quick = make(ROOT + "/board")
    quick.sleep_ms = sleep_ms
    quick.ticks_ms = lambda: now[0]
    for _ in range(4):
        raises(OSError, asyncio.run, one.open_tcp("10.0.0.1", 7310))
    assert one._net.failures == 4 and one._net.restarts == 1
    assert now[0] < 4 * 16000
    assert kinds().count("connect") == 4 and kinds().count("disconnect") == 4
    assert ("active", False) in LOG
    assert net is not None


def without_a_network_there_is_no_tcp(make):
    one = board(make)
    raises(OSError, asyncio.run, one.open_tcp("10.0.0.1", 7310))
    raises(OSError, asyncio.run, one.open_link({"kind": "tcp", "host": "10.0.0.1", "port": 7310}))


def a_wrong_network_is_an_os_error(make):
    for settings in ({"kind": "wifi"}, {"kind": "w5500"}, {"kind": "pigeon"}, {}):
        one = board(make, network=settings or {"kind": 5})
        network.answers[:] = [False]
        raises(OSError, asyncio.run, one.open_tcp("10.0.0.1", 7310))


def tls_borrows_a_time_and_gives_it_back(make):
    one = board(make, network=WIFI)
    good = metal.call
    seen = []

    async def open_tls(board, link):
        seen.append(machine.clock[:3])
        raise OSError("no gateway")

    def stub(module, name, *arguments):
        return open_tls(*arguments) if name == "open_tls" else good(module, name, *arguments)

    metal.call = stub
    try:
        link = {"kind": "tls", "host": "10.0.0.1", "port": 7310, "ca": "ca.pem", "since": T // 1000}
        before = machine.clock[0]
        raises(OSError, asyncio.run, one.open_link(link))
        assert seen == [[2026, 6, 12]] and machine.clock[0] == before
        assert one.rtc() is None
        one.set_rtc(T + 86400000)
        raises(OSError, asyncio.run, one.open_link(link))
        assert seen[1] == [2026, 6, 13] and one.rtc() >= T + 86400000
    finally:
        metal.call = good


def a_usb_link_takes_the_console(make):
    told = []
    good = metal.micropython

    class Micropython:
        kbd_intr = staticmethod(told.append)

    metal.micropython = Micropython
    try:
        one = board(make, {"kind": "usb"})
        assert told == [-1]
        board(make, SERIAL)
        assert told == [-1]
    finally:
        metal.micropython = good
    one.report("nobody may hear this " * 20)
    one.crash(ValueError("nor this"))
    stream = asyncio.run(one.open_link({"kind": "usb"}))
    stream.close()
    raises(OSError, stream.read_now)


def time_never_runs_backwards(make):
    one = board(make)
    last = one.station_ticks()
    assert 0 <= last < 1000
    one._late = one._late - 500
    assert one.station_ticks() >= last + 500
    assert one.station_speed() == 1 and one.real_ms(7) == 7
    assert one.heap()[0] > 0 and len(one.random_bytes(5)) == 5 and one.next_boot() < one.next_boot()


EVERY = [
    direction_pin_goes_up_before_and_down_after_with_no_turn_between,
    a_turn_between_would_be_seen,
    direction_pin_goes_down_when_the_uart_fails,
    a_link_without_direction_pin_never_waits_inside_a_write,
    a_wrong_line_is_an_os_error,
    relays_are_off_from_the_first_moment,
    inputs_and_pulls,
    no_configuration_gets_the_pins_of_the_link,
    an_identity_that_is_no_json_still_makes_a_board,
    pulses_are_counted_and_bounces_are_not,
    an_interrupt_allocates_nothing,
    a_counter_goes_on_when_its_cell_wraps,
    the_watchdog_is_fed_and_counted,
    a_reset_tells_the_next_start_why,
    a_clock_that_nobody_set_shows_nothing,
    a_battery_clock,
    wifi_comes_up_without_holding_anybody,
    a_network_that_stays_away_is_an_os_error_and_switched_off_now_and_then,
    without_a_network_there_is_no_tcp,
    a_wrong_network_is_an_os_error,
    tls_borrows_a_time_and_gives_it_back,
    a_usb_link_takes_the_console,
    time_never_runs_backwards,
]


# Every case, one line each, and a line of JSON.
def run(all_cases, make):
    failed = []
    for case in all_cases:
        gc.collect()
        try:
            case(make)
        except Exception as error:
            failed.append(case.__name__)
            print("FAILED", case.__name__)
            sys.print_exception(error)
        else:
            print("passed", case.__name__)
    print(json.dumps({"passed": len(all_cases) - len(failed), "failed": failed}))
