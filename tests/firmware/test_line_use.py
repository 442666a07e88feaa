"""How much of a line the poller uses, and how long units wait for one another, in exact time.

test_bus_physics.py measures the same with the whole firmware inside MicroPython.
"""

import itertools

from protocol import quality
from tests.firmware.paced_line import entry, good, line, run

BAUDS = (9600, 19200, 115200)


# ---- how much of the line is used


def _share(baud, dead=0, count=8, seconds=60):
    instruments = {number: good() for number in range(1, 9 - dead)}
    entries = [entry(number, number, poll_ms=10, count=count, timeout_ms=300) for number in range(1, 9)]
    board, stream, _, poller = line(entries, instruments, baud)
    run(board, poller.run(), 1000 * seconds)
    assert stream.hasty == 0, "a request came before the line was silent for 3.5 characters"
    return stream.busy_us / board.us, poller


def test_nine_tenths_of_the_line_are_used():
    for baud in BAUDS:
        for count in (2, 8, 40):
            share, _ = _share(baud, count=count, seconds=5)
            assert share >= 0.9, (baud, count, share)


def test_a_dead_unit_costs_a_time_out_a_minute():
    for baud in BAUDS:
        share, poller = _share(baud, dead=1, seconds=300)
        dead = poller.status()[-1]
        # three polls until it counts as lost, five tries at growing distances, then one a minute
        assert dead[1] == 8 and dead[7] == 1 and dead[3] <= 3 + 5 + 5, dead
        assert share >= 0.88, (baud, share)


def test_once_lost_it_is_tried_once_a_minute_at_most():
    for poll_ms in (100, 1000, 7000, 50000, 60000, 300000):
        entries = [entry(1, 1), entry(2, 2, poll_ms=poll_ms)]
        board, stream, store, poller = line(entries, {1: good()})
        stream.watched = (2,)
        run(board, poller.run(), 3000000)
        tries = [ms for ms in stream.asked[2] if ms > 1200000]
        assert 5 <= len(tries) <= 30
        for before, after in itertools.pairwise(tries):
            assert after - before >= 59900, (poll_ms, before, after)
        assert store.of(2) == store.of(2, quality.TIMEOUT) >= 0.98 * 3000000 // poll_ms - 1


# ---- nobody waits for long


def _babbler(stream, request):
    stream.answer(bytes([0x55, 0xAA, 0x13] * 90))  # for 280 ms at 9,600 baud


def test_neither_a_dead_nor_a_babbling_unit_keeps_the_others_waiting():
    for instrument in (None, _babbler):
        entries = [entry(1, 1, poll_ms=1000), entry(2, 2, poll_ms=1000, timeout_ms=300), entry(3, 3)]
        instruments = {1: good(), 3: good()}
        if instrument:
            instruments[2] = instrument
        board, stream, _, poller = line(entries, instruments)
        stream.watched = (1, 3)
        run(board, poller.run(), 120000)
        for times in (stream.asked[1], stream.asked[3]):
            assert len(times) >= 118
            # its time-out and the other one's transaction
            assert max([ms % 1000 for ms in times]) <= 300 + 60
        statuses = {status[1]: status for status in poller.status()}
        assert statuses[2][7] == 1 and not statuses[1][7] and not statuses[3][7]


def test_a_line_that_never_falls_silent_gives_reasons_not_numbers():
    board, stream, store, poller = line([entry(1, 1), entry(2, 2)], {1: good(), 2: good()})
    stream.noise(b"\x55" * 1170, 10000, 3000)
    run(board, poller.run(), 3400)
    assert store.whys() <= {quality.BAD_REPLY, quality.TIMEOUT} and not store.numbers
    assert store.of(1) >= 2 and store.of(2) >= 2
    run(board, poller.run(), 10000)
    assert store.events == []  # nobody was asked, so nobody is lost
    assert store.first[1, quality.OK] <= 4100 and store.first[2, quality.OK] <= 4100
