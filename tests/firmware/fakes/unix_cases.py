# What the unix board does beside streams, on both runtimes: see test_unix_board.py. DIR CASE [what it needs]

import asyncio
import json
import os
import sys

from firmware.board import open_board
from protocol.errors import ConfigError

ROOT, CASE = sys.argv[1:3]


def put(pin, text):
    with open(ROOT + "/io/" + pin, "w") as file:
        file.write(text)


def get(name):
    with open(ROOT + "/" + name) as file:
        return file.read()


def refused(call, *arguments):
    try:
        call(*arguments)
    except ConfigError:
        return True
    return False


def pins(board):
    relay, lamp = board.output("relay"), board.output(7, 0)
    assert get("io/relay") == "0" and get("io/7") == "1"  # off from the first moment
    relay(True)
    lamp(1)
    assert get("io/relay") == "1" and get("io/7") == "0"
    relay(False)
    assert get("io/relay") == "0"
    door, float_switch = board.input("door", "up"), board.input("float")
    assert door() == 1 and float_switch() == 0
    for level in (0, 1):
        put("door", f"{level}\n")
        put("float", str(level))
        assert door() == float_switch() == level
    assert board.adc_uv("loop") == 0
    put("loop", "1234567\n")
    assert board.adc_uv("loop") == 1234567
    pulses = board.counter("rain")
    assert pulses() == 0
    put("rain", "41")
    assert pulses() == 41
    put("rain", "torn")
    assert pulses() == 0


def no_pin_is_a_way_out(board):
    for pin in ("", "../link.key", "a/b", "rtc", "identity", "..", "boot.new", "a b", None.__class__):
        for call in (board.input, board.output, board.adc_uv, board.counter):
            assert refused(call, pin), pin
    assert not [name for name in os.listdir(ROOT) if name not in ("io", "state")]


def clocks(board):
    assert board.rtc() is None
    board.set_rtc(1780000000000)  # there is none: nothing happens
    assert board.rtc() is None
    board.files.make("io")
    put("rtc", "nonsense")
    assert board.rtc() is None
    put("rtc", "1780000000000")
    first = board.rtc()
    assert 1780000000000 <= first < 1780000060000
    before = board.ticks_ms()
    while board.ticks_diff(board.ticks_ms(), before) < 30:
        pass
    assert board.rtc() >= first + 30
    board.set_rtc(1790000000000)
    again = open_board(ROOT).rtc()  # it runs on through a restart
    assert 1790000000000 <= again < 1790000060000


def feeding(board):
    board.feed()  # not armed
    assert (board.missed_feeds, board.longest_feed_ms) == (0, 0)
    board.watchdog(40)
    for _ in range(3):
        board.feed()
    assert board.missed_feeds == 0
    before = board.ticks_ms()
    while board.ticks_diff(board.ticks_ms(), before) < 50:
        pass
    board.feed()
    board.feed()
    assert board.missed_feeds == 1 and board.longest_feed_ms >= 50


def itself(board):
    assert board.name == "unix" and not board.repl and board.flash_stops_uart is False
    int(board.identity, 16)
    assert len(board.identity) == 16 and open_board(ROOT).identity == board.identity
    board.files.make("io")
    put("identity", "0011aabb\n")
    assert open_board(ROOT).identity == "0011aabb"
    free, used = board.heap()
    assert (
        (free > 1000 and used > 1000) if sys.implementation.name == "micropython" else (free, used) == (0, 0)
    )
    boot = board.next_boot()
    assert board.next_boot() == boot + 1 and board.next_boot(boot + 100) == boot + 101
    for junk in (b"", b"x", b"-5", b"\xff\xff"):  # what a bad flash leaves is as none
        board.write_file("boot", junk)
        boot = board.next_boot()
        assert 0 < boot <= 1 << 24 and board.next_boot() == boot + 1
    os.mkdir(ROOT + "/boot.new")  # nothing can be kept
    others = [board.next_boot() for _ in range(20)]
    assert min(others) > boot and len(set(others)) > 10
    board.write_file("x", b"1")
    assert board.read_file("x") == b"1"


def links_that_are_not_there(board):
    for link in (
        {"kind": "usb"},
        {"kind": "pigeon"},
        {"kind": "serial", "path": ROOT + "/none", "baud": 9600},
    ):
        try:
            asyncio.run(board.open_link(link))
        except OSError:
            continue
        raise AssertionError(link)


# Says why it started, then ends as told, from within a task, while others run and somebody guards them.
def ends(board):
    how = sys.argv[3]

    async def guard(work):
        while True:
            try:
                await work()
            except Exception as error:
                print("caught", error)
            await board.sleep_ms(1)

    async def leave():
        await board.sleep_ms(20)
        if how == "repl":
            board.enter_repl()
        board.reset(how)

    async def stay():
        while True:
            try:
                await board.sleep_ms(5)
            except asyncio.CancelledError:
                pass  # a task that will not go

    async def main():
        asyncio.create_task(guard(stay))  # noqa: RUF006
        await asyncio.wait_for(guard(leave), 20)

    print(json.dumps({"reason": board.reset_reason, "repl": board.repl}))
    asyncio.run(main())


globals()[CASE](open_board(ROOT))
