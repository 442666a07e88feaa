# runs on: cpython, micropython
import asyncio
import json

from firmware.arbiter import Arbiter
from firmware.io import Io
from protocol import messages, quality
from protocol.reading import float_bits
from tests.firmware.wired_board import Channel, Config, Files, Kept, WiredBoard, clock_of

DAY = 86400000
NOON = 20000 * DAY + 5 * 3600000  # 12:00 in Vietnam
DOOR = ("cabinet", "door", 1, 1, "up", 50, [])
MAINS = ("mains", "mains", 2, 1, None, 50, [])
SERVICE = ("service", "maintenance", 3, 0, "up", 50, [])
BOTTLE = ("bottle", "sampler", 4, 0, "up", 10, [])
FLOAT = ("sump", "float", 5, 1, None, 50, [])
PUMP = ("pump", "relay", 10, 1, 0, 0, 0, None, 0)
VALVE = ("valve", "relay", 11, 0, 2000, 0, 0, None, 0)
DRAW = ("draw", "sampler", 12, 0, 500, 3, 60000, "bottle", 2000)
BLIND = ("draw", "sampler", 12, 1, 500, 3, 0, None, 0)
SIREN = ("siren", "alarm", 13, 1, 0, 0, 0, None, 0)


def _io(config, board=None, time_ms=None, arbiter=None):
    board = board or WiredBoard()
    store = Kept()
    clock = clock_of(board, time_ms)
    return board, store, clock, Io(board, clock, store, config, arbiter)


def _set(board, pin, level):
    return lambda: board.pins.update({pin: level})


# ---- inputs


def test_a_contact_counts_when_it_has_been_still():
    board, store, _, io = _io(Config([DOOR, FLOAT]))
    board.pins[1] = 0
    bounces = [(1000 + 7 * i, _set(board, 1, i & 1)) for i in range(10)]
    board.go(io.run(), 3000, bounces + [(2000, _set(board, 5, 1)), (2020, _set(board, 5, 0))])  # noqa: RUF005
    assert store.events == [(messages.DOOR, "cabinet open")]
    board.go(
        io.run(), 6000, [(3500, _set(board, 1, 0)), (4000, _set(board, 5, 1)), (5000, _set(board, 5, 0))]
    )
    assert store.events[1:] == [
        (messages.DOOR, "cabinet closed"),
        (messages.INPUT, "sump on"),
        (messages.INPUT, "sump off"),
    ]


def test_what_stands_at_the_start_is_told_when_it_is_unusual():
    board, store, _, io = _io(Config([DOOR, MAINS, SERVICE, FLOAT]))
    board.pins.update({1: 0, 2: 1, 3: 1, 5: 0})
    board.go(io.run(), 500)
    assert store.events == [] and io.status() == [["cabinet", 0], ["mains", 1], ["service", 0], ["sump", 0]]
    board, store, _, io = _io(Config([DOOR, MAINS, SERVICE]))
    assert io.status()[0] == ["cabinet", None]
    board.pins.update({1: 1, 2: 0, 3: 0})
    board.go(io.run(), 500)
    assert [kind for kind, _ in store.events] == [messages.DOOR, messages.MAINS_LOST, messages.MAINTENANCE]
    assert store.flushes == 1


def test_lost_mains_flush_the_store_and_their_return_is_told():
    board, store, _, io = _io(Config([MAINS]))
    board.pins[2] = 1
    board.go(io.run(), 5000, [(1000, _set(board, 2, 0)), (2000, _set(board, 2, 1))])
    assert store.events == [(messages.MAINS_LOST, "mains"), (messages.MAINS_BACK, "mains")]
    assert store.flushes == 1


# ---- maintenance


def test_maintenance_replaces_ok_and_nothing_else():
    board, store, clock, io = _io(Config([SERVICE]))
    stamp = clock.stamp()
    io.put(0, stamp, 7, quality.OK, 3)
    board.go(io.run(), 500, [(100, _set(board, 3, 0))])
    assert io.maintenance()
    for why in range(len(quality.NAMES)):
        io.put(1, stamp, 7 if quality.has_value(why) else None, why, 3)
    board.go(io.run(), 1000, [(600, _set(board, 3, 1))])
    assert not io.maintenance()
    io.put(0, stamp, 7, quality.OK, 3)
    assert store.rows[0] == store.rows[-1] == (0, stamp, 7, quality.OK, 3)
    whys = [row[3] for row in store.rows[1:-1]]
    assert whys == [quality.MAINTENANCE] + list(range(1, len(quality.NAMES)))  # noqa: RUF005
    assert store.rows[1][2] == 7 and store.rows[1][4] == 3
    assert store.events == [(messages.MAINTENANCE, "on, service"), (messages.MAINTENANCE, "off, service")]


def test_a_switch_of_some_channels_leaves_the_others():
    other = ("other", "maintenance", 6, 1, None, 0, [2, 3])
    board, store, clock, io = _io(Config([("one", "maintenance", 3, 1, None, 0, [1]), other]))
    board.pins.update({3: 1, 6: 1})
    board.go(io.run(), 500)
    for channel in range(4):
        io.put(channel, clock.stamp(), 7, quality.OK, 0)
    assert [row[3] for row in store.rows] == [quality.OK] + [quality.MAINTENANCE] * 3
    board.go(io.run(), 1000, [(600, _set(board, 3, 0))])
    for channel in range(4):
        io.put(channel, clock.stamp(), 7, quality.OK, 0)
    expected = [quality.OK, quality.OK, quality.MAINTENANCE, quality.MAINTENANCE]
    assert [row[3] for row in store.rows[4:]] == expected


# ---- relays


def test_outputs_are_off_at_the_start_and_at_the_end():
    board, _, _, io = _io(Config(outputs=[PUMP, VALVE, SIREN]))
    assert board.levels == {10: 0, 11: 1, 13: 0}
    board.go(io.run(), 1000, [(500, lambda: (io.relay("pump", True), io.relay("valve", True)))])
    assert [pin for _, pin, on in board.moves if on] == [10, 11]
    assert board.levels == {10: 0, 11: 1, 13: 0}
    io.relay("pump", True)
    io.close()
    assert board.levels[10] == 0


def test_a_relay_by_name_for_a_time():
    board, _, _, io = _io(Config(outputs=[PUMP, VALVE]))
    said = []
    steps = [
        (1000, lambda: said.append(io.relay("pump", True, 300))),
        (2000, lambda: said.append(io.relay("valve", True))),  # never longer than its own 2 s
        (5000, lambda: said.append(io.relay("valve", True, 9000))),
        (5500, lambda: said.append(io.relay("valve", False))),
        (6000, lambda: said.append(io.relay("pump", True))),
        (6100, lambda: said.append(io.relay("fan", True))),
    ]
    board.go(io.run(), 10000, steps)
    assert said == [
        (True, "pump on for 300 ms"),
        (True, "valve on for 2000 ms"),
        (True, "valve on for 2000 ms"),
        (True, "valve off"),
        (True, "pump on"),
        (False, "no such relay: write one of pump, valve"),
    ]
    pump = [(at, on) for at, pin, on in board.moves if pin == 10]
    assert pump[0] == (1000, True) and 1300 <= pump[1][0] <= 1340 and pump[2] == (6000, True)
    valve = [(at, on) for at, pin, on in board.moves if pin == 11]
    assert valve[0] == (2000, True) and 4000 <= valve[1][0] <= 4040 and valve[3] == (5500, False)


def test_only_relays_are_at_the_command_of_others():
    _, _, _, io = _io(Config([BOTTLE], [PUMP, DRAW, SIREN]))
    assert not io.relay("draw", True)[0] and not io.relay("siren", True)[0]


# ---- the sampler


def _draw(board, io, at, said):
    return (at, lambda: said.append(io.sample("high pH")))


def test_a_sample_with_its_feedback():
    board, store, _, io = _io(Config([BOTTLE], [DRAW]), time_ms=NOON)
    board.pins[4] = 1
    said = []
    steps = [_draw(board, io, 1000, said), (2000, _set(board, 4, 0)), (3000, _set(board, 4, 1))]
    board.go(io.run(), 5000, steps)
    assert said == [(True, "started")]
    assert store.events == [
        (messages.SAMPLER, "started, high pH"),
        (messages.SAMPLER, "done, high pH"),
        (messages.INPUT, "bottle off"),
    ]
    (began, pin, _), (ended, _, _) = board.moves
    assert pin == 12 and 500 <= ended - began <= 540
    day, count, at = json.loads(board.files.content["state/sampler"])["draw"]
    assert (day, count) == (20000, 1) and NOON + 1000 <= at <= NOON + 1040


def test_a_sample_without_its_feedback():
    board, store, _, io = _io(Config([BOTTLE], [DRAW]))
    board.go(io.run(), 5000, [_draw(board, io, 1000, [])])
    assert store.texts(messages.SAMPLER) == ["started, high pH", "no feedback, high pH"]
    # a contact that stands on from before is no feedback, and one out of turn is an input like any other
    board, store, _, io = _io(Config([BOTTLE], [DRAW]))
    board.pins[4] = 0
    board.go(io.run(), 5000, [_draw(board, io, 1000, [])])
    assert store.events[0] == (messages.INPUT, "bottle on")
    assert store.texts(messages.SAMPLER) == ["started, high pH", "no feedback, high pH"]


def test_a_sampler_without_a_contact_is_done_when_its_pulse_is():
    board, store, _, io = _io(Config(outputs=[BLIND]))
    board.go(io.run(), 3000, [_draw(board, io, 1000, [])])
    assert store.texts(messages.SAMPLER) == ["started, high pH", "done, high pH"]
    assert _io(Config(outputs=[PUMP]))[3].sample("x") == (False, "no sampler is configured")


def test_lock_and_number_of_a_day():
    board, store, _, io = _io(Config([BOTTLE], [DRAW]), time_ms=NOON)
    said = []
    steps = [
        _draw(board, io, at, said) for at in (1000, 1100, 30000, 62000, 123000, 184000, 43100000, 43201000)
    ]
    board.go(io.run(), 43300000, steps, 100000)
    assert [ok for ok, _ in said] == [True, False, False, True, True, False, False, True]
    assert said[1][1] == "the sampler is at work" and said[2][1].startswith("locked for another 3")
    assert said[5][1] == "3 samples have been drawn today, which is all"
    assert said[6][1] == said[5][1]  # 23:58:20; the last one is after midnight in Vietnam
    assert len(store.texts(messages.SAMPLER)) == 12
    assert [text for text in store.texts(messages.SAMPLER) if text.startswith("refused, high pH: locked")]


def test_the_count_outlives_restarts():
    files = Files()
    for start in range(5):
        board, _, _, io = _io(Config([BOTTLE], [DRAW]), WiredBoard(files=files), NOON + 100000 * start)
        said = []
        board.go(io.run(), 5000, [_draw(board, io, 1000, said)])
        assert said[0][0] == (start < 3), (start, said)
    # the lock does, too, where the time is known
    files = Files()
    _, _, _, io = _io(Config([BOTTLE], [DRAW]), WiredBoard(files=files), NOON)
    io._board.go(io.run(), 5000, [_draw(io._board, io, 1000, [])])
    _, _, _, io = _io(Config([BOTTLE], [DRAW]), WiredBoard(files=files), NOON + 30000)
    assert io.sample("x")[1].startswith("locked for another 3")


def test_without_a_clock_a_day_is_24_hours_of_running():
    files = Files()
    board, _, _, io = _io(Config(outputs=[BLIND]), WiredBoard(files=files))
    said = []
    times = (1000, 2000, 3000, 4000, DAY - 1000, DAY + 1000, DAY + 2000, DAY + 3000, DAY + 4000)
    board.go(io.run(), DAY + 5000, [_draw(board, io, at, said) for at in times], 100000)
    assert [ok for ok, _ in said] == [True, True, True, False, False, True, True, True, False]
    # a restart does not begin a new day, and neither does the first known time
    board, _, _, io = _io(Config(outputs=[BLIND]), WiredBoard(files=files))
    assert not io.sample("x")[0]
    board, _, _, io = _io(Config(outputs=[BLIND]), WiredBoard(files=files), NOON)
    assert not io.sample("x")[0]
    # the lock begins anew
    files.content["state/sampler"] = b'{"draw": [0, 1, 0]}'
    board, _, _, io = _io(Config([BOTTLE], [DRAW]), WiredBoard(files=files))
    said = []
    board.go(io.run(), 70000, [_draw(board, io, 1000, said), _draw(board, io, 61000, said)])
    assert [ok for ok, _ in said] == [False, True]


def test_a_time_from_the_future_does_not_lock_for_years():
    files = Files()
    files.content["state/sampler"] = json.dumps({"draw": [30000, 1, NOON + 9000 * DAY]}).encode()
    board, _, _, io = _io(Config([BOTTLE], [DRAW]), WiredBoard(files=files), NOON)
    said = []
    board.go(io.run(), 70000, [_draw(board, io, 1000, said), _draw(board, io, 61000, said)])
    assert [ok for ok, _ in said] == [False, True]


def test_no_pulse_without_a_kept_count():
    files = Files()
    files.broken = True
    board, store, _, io = _io(Config(outputs=[BLIND]), WiredBoard(files=files))
    board.go(io.run(), 3000, [_draw(board, io, 1000, [])])
    assert board.moves == [] and store.texts(messages.SAMPLER)[0].startswith(
        "refused, high pH: the count cannot"
    )
    for content in (b"", b"{", b"[]", b"7"):
        files.content["state/sampler"] = content
        assert _io(Config(outputs=[BLIND]), WiredBoard(files=files))[3].sample("x")[0]


def test_the_count_is_on_flash_before_the_pulse_and_waits_for_the_bus():
    async def main():
        arbiter = Arbiter()
        board, _, _, io = _io(Config(outputs=[BLIND]), arbiter=arbiter)

        async def sleep_ms(ms):
            board.now_ms += ms
            await asyncio.sleep(0)

        board.sleep_ms = sleep_ms
        board.files.replace = lambda name, data: board.moves.append((board.now_ms, "file", True))
        await arbiter.bus()
        task = asyncio.create_task(io.run())
        io.sample("x")
        for _ in range(50):
            await asyncio.sleep(0)
        assert board.moves == []  # a transaction is under way
        arbiter.done()
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert [pin for _, pin, _ in board.moves][:2] == ["file", 12]
        assert board.levels[12] == 0

    asyncio.run(main())


# ---- alarms


def _alarm(*alarms, points=()):
    board, store, clock, io = _io(Config(outputs=[SIREN], alarms=alarms, channels=[Channel("pH", points)]))

    def reading(at, value, why=quality.OK):
        return (at, lambda: io.put(0, clock.stamp(), float_bits(value), why, 0))

    return board, store, io, reading


def test_an_alarm_at_a_limit():
    board, store, io, reading = _alarm(("siren", 0, 6.0, 9.0, 0.5, 0, 0))
    values = (7.0, 9.0, 9.5, 8.75, 9.25, 8.5, 5.5, 6.25, 6.5)
    board.go(io.run(), 20000, [reading(1000 * i + 1000, value) for i, value in enumerate(values)])
    assert store.texts(messages.ALARM) == ["on, pH, 9.5", "off, pH, 8.5", "on, pH, 5.5", "off, pH, 6.5"]
    moves = [(at // 1000, on) for at, _, on in board.moves]
    assert moves == [(3, True), (6, False), (7, True), (9, False)]
    assert len(store.rows) == len(values)


def test_an_alarm_waits_and_stays():
    board, _, io, reading = _alarm(("siren", 0, None, 9.0, 0, 5000, 10000))
    values = (10.0, 10.0, 8.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 8.0, 8.0, 8.0)
    steps = [reading(1000 * i + 1000, value) for i, value in enumerate(values)]
    board.go(io.run(), 40000, steps + [reading(18500, 8.0), reading(19500, 8.0)])  # noqa: RUF005
    (on_at, _, _), (off_at, _, _) = board.moves
    assert 9000 <= on_at <= 9040 and 19500 <= off_at <= 19540


def test_only_good_readings_count_and_they_count_calibrated():
    board, store, io, reading = _alarm(("siren", 0, None, 9.0, 0, 0, 0), points=((0.0, 0.0), (10.0, 5.0)))
    whys = [quality.FAULT, quality.OUT_OF_RANGE, quality.CALIBRATING, quality.MAINTENANCE]
    steps = [reading(100 * i + 100, 50.0, why) for i, why in enumerate(whys)]
    board.go(io.run(), 3000, steps + [reading(1000, 17.0), reading(2000, 19.0)])  # noqa: RUF005
    assert store.texts(messages.ALARM) == ["on, pH, 9.5"]


def test_alarms_share_an_output_and_need_none():
    first = ("siren", 0, None, 9.0, 0, 0, 0)
    board, store, io, reading = _alarm(first, ("siren", 0, None, 8.0, 0, 0, 0), (None, 0, 3.0, None, 0, 0, 0))
    values = (7.0, 8.5, 9.5, 8.5, 7.0, 2.0)
    board.go(io.run(), 9000, [reading(1000 * i + 1000, value) for i, value in enumerate(values)])
    assert [(at // 1000, on) for at, _, on in board.moves] == [(2, True), (5, False)]
    assert len(store.texts(messages.ALARM)) == 5


# ---- the rest


def test_it_reports_at_every_turn_and_sleeps_long_with_nothing_wired():
    calls = []
    board, _, _, io = _io(Config())
    board.go(io.run(lambda: calls.append(board.now_ms)), 10000)
    assert len(calls) == 20
    board, _, _, io = _io(Config([DOOR]))
    calls.clear()
    board.go(io.run(lambda: calls.append(board.now_ms)), 10000)
    assert len(calls) == 500


# The control: a sampler that keeps its count only in memory draws more than its number through restarts.
def test_control_a_forgotten_count_is_seen():
    drawn = 0
    for _ in range(5):
        board, _, _, io = _io(Config(outputs=[BLIND]), WiredBoard(files=Files()), NOON)
        said = []
        board.go(io.run(), 3000, [_draw(board, io, 1000, said)])
        drawn += said[0][0]
    assert drawn == 5 > BLIND[5]
