# runs on: cpython, micropython
import asyncio

from firmware.bus import NoReply
from protocol import messages, modbus, modbus_requests, quality
from protocol.errors import BadReply
from tests.firmware.paced_line import entry, good, line, run

# ---- several entries for one instrument


def test_entries_of_one_unit_poll_at_their_own_pace():
    entries = [entry(1, 1, poll_ms=1000), entry(1, 2, poll_ms=10000, address=100), entry(2, 3)]
    board, _, store, poller = line(entries, {1: good(5), 2: good(6)})
    run(board, poller.run(), 60500)
    assert [store.of(channel, quality.OK) for channel in (1, 2, 3)] == [61, 7, 61]
    (first, second) = poller.status()
    assert first[:4] == ["rs485", 1, 68, 0] and second[:4] == ["rs485", 2, 61, 0]
    assert 25 <= first[6] <= 40  # ms of an answer of 21 bytes behind a request at 9,600 baud


def test_they_share_rest_and_loss():
    entries = [entry(1, 1, poll_ms=1000, retries=0), entry(1, 2, poll_ms=1000, retries=0, address=100)]
    board, stream, store, poller = line(entries, {})
    stream.watched = (1,)
    run(board, poller.run(), 600000)
    times = stream.asked[1]
    for before, after in zip(times, times[1:]):  # noqa: B905, RUF007 (MicroPython)
        assert after - before >= 600, "a late answer could have met the request of the other entry"
    assert len(times) <= 3 + 6 + 10
    assert [text for _, text in store.events] == ["rs485/1 lost"]
    assert store.whys() == {quality.TIMEOUT} and not store.numbers


def test_a_late_answer_never_meets_the_other_entrys_request():
    def late(stream, request):
        body = bytes([request[1], 2]) + request[2:4]  # the register holds its own address
        stream.answer(modbus.rtu(request[0], body), 550000)

    entries = [
        entry(1, 1, poll_ms=700, retries=1, count=1, address=111),
        entry(1, 2, poll_ms=700, retries=1, count=1, address=222),
    ]
    board, _, store, poller = line(entries, {1: late})
    run(board, poller.run(), 300000)
    assert quality.OK not in store.whys() and not store.numbers
    # the control: without a rest in common, the answer to one is taken for that of the other
    board, _, store, poller = line(entries, {1: late})
    poller._rested = lambda unit: True
    run(board, poller.run(), 300000)
    assert store.numbers, "the control did not show the fault"


def test_lost_and_back_are_told_once():
    instruments = {1: good()}
    board, _, store, poller = line([entry(1, 1)], instruments)
    steps = [(20000000, lambda: instruments.pop(1)), (90000000, lambda: instruments.update({1: good()}))]
    run(board, poller.run(), 240000, steps)
    assert store.events == [(messages.UNIT, "rs485/1 lost"), (messages.UNIT, "rs485/1 back")]
    requests, timeouts, bad, exceptions, _, lost = poller.status()[0][2:]
    assert (bad, exceptions, lost) == (0, 0, 0) and timeouts >= 6 and requests > 100
    assert store.last[1, quality.OK] >= 239000


def test_statistics_of_exceptions_and_bad_replies():
    def no(stream, request):
        stream.answer(modbus.rtu(request[0], bytes([request[1] | 0x80, 2])))

    def broken(stream, request):
        stream.answer(b"\x02\x03\x02\0\0\0\0")

    entries = [entry(1, 1, retries=0), entry(2, 2, retries=0)]
    board, _, _, poller = line(entries, {1: no, 2: broken})
    run(board, poller.run(), 2500)
    assert [status[2:6] for status in poller.status()] == [[3, 0, 0, 3], [3, 0, 3, 0]]
    assert [status[7] for status in poller.status()] == [0, 1]


# ---- somebody else's request


def _with_reads(entries, instruments, reads, ms):
    board, stream, store, poller = line(entries, instruments)
    stream.watched = (8, 9)
    got = []

    async def read(number, pdu, timeout_ms):
        try:
            got.append(await poller.read(number, pdu, timeout_ms))
        except (NoReply, BadReply) as error:
            got.append(type(error))

    async def main():
        for number, pdu, timeout_ms in reads:
            asyncio.create_task(read(number, pdu, timeout_ms))  # noqa: RUF006
        await poller.run()

    sleep_ms = board.sleep_ms

    async def sleep(ms):
        await asyncio.sleep(0)  # both tasks live in one moving time
        await sleep_ms(ms)

    board.sleep_ms = sleep
    run(board, main(), ms)
    return stream, store, got


def test_a_read_takes_its_turn_between_polls():
    pdu = modbus_requests.read_pdu(3, 40, 2)
    reads = [(2, pdu, 300), (1, pdu, 300), (9, pdu, 300)]
    stream, store, got = _with_reads([entry(1, 1, poll_ms=100)], {1: good(5), 2: good(6)}, reads, 20000)
    assert sorted(got, key=str) == sorted([(6, 6), (5, 5), NoReply], key=str)
    assert store.of(1, quality.OK) == store.of(1) >= 195
    assert stream.hasty == 0


# Somebody reads with less patience than the instrument needs: its answer must not become that of a poll.
def test_an_impatient_read_leaves_no_answer_for_the_next_poll():
    def late(stream, request):
        asked = request[3] == 40
        stream.answer(
            modbus.rtu(request[0], b"\3\2\xde\xad" if asked else b"\3\2\0\7"), 60000 if asked else 30000
        )

    def numbers(patience_ms):
        pdu = modbus_requests.read_pdu(3, 40, 1)
        entries = [entry(1, 1, poll_ms=20, count=1)]
        board, _, store, poller = line(entries, {1: late})
        poller._units[1].timeout_ms = patience_ms
        question = poller._question = [1, pdu, 20]
        run(board, poller.run(), 2000)
        assert isinstance(question[4], NoReply)
        return store.numbers

    assert len(numbers(300)) == 1
    # the control: rest for as long as the read was patient
    assert len(numbers(0)) == 2, "the control did not show the fault"


# ticks_ms() of a board wraps: what lies more than six days back looks as if it were to come.
def test_a_week_without_a_request_is_rest_enough():
    board, _, _, poller = line([entry(1, 1)], {})
    unit = poller._others
    unit.rest_ms = 300
    for days, rested in ((0, False), (1, True), (7, True), (12, True)):
        unit.rest_ms = 300
        board.us = days * 86400000000
        assert poller._rested(unit) == rested, days


def test_a_lost_unit_is_tried_again_when_its_line_was_away_for_a_week():
    board, _, _, poller = line([entry(1, 1)], {1: good()})
    (made,) = poller._entries
    made.unit.lost = True
    made.unit.probe_from = 0
    board.us = 7 * 86400000000
    made.schedule.restart(board.us // 1000)
    assert poller._begin(made)


def test_reads_of_unknown_units_rest_together():
    pdu = modbus_requests.read_pdu(3, 40, 2)
    stream, _, got = _with_reads([entry(1, 1)], {1: good()}, [(8, pdu, 300), (9, pdu, 300)], 20000)
    assert got == [NoReply, NoReply]
    (first,), (second,) = stream.asked[8], stream.asked[9]
    assert abs(second - first) >= 600
