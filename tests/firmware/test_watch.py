# runs on: cpython, micropython
import asyncio
import json

from firmware import crashes
from firmware.watch import REASON_MAX, Watch
from protocol import messages
from tests.firmware.memory_files import MemoryFiles

TEN_MIN = crashes.TEN_MIN


class Reset(BaseException):
    pass


# Time moves when the watch sleeps; reset() ends it, as on a board.
class Board:
    def __init__(self):
        self.files = MemoryFiles()
        self.now_ms = 0
        self.free = 50000
        self.fed = []
        self.shown = []
        self.reason = None
        self.on_sleep = None
        self.limit_ms = None

    def station_ticks(self):
        return self.now_ms

    def watchdog(self, limit_ms):
        self.limit_ms = limit_ms

    def feed(self):
        self.fed.append(self.now_ms)

    def idle(self):
        pass

    def heap(self):
        return self.free, 1000

    def crash(self, error):
        self.shown.append(error)

    async def sleep_ms(self, ms):
        self.now_ms += ms
        if self.on_sleep:
            self.on_sleep()
        await asyncio.sleep(0)

    def reset(self, reason):
        self.reason = reason
        raise Reset


class Store:
    def __init__(self):
        self.boot = 7
        self.acked = 0
        self.emitted = 0
        self.held = 0
        self.flash_faults = 0
        self.events = []
        self.saves = lambda: None

    def save(self):
        self.saves()

    def event(self, kind, detail):
        self.emitted += 1
        self.events.append((kind, detail))


def _watch(safe="", once=False):
    board, store = Board(), Store()
    return board, store, Watch(board, store, safe, board.reset if once else None)


# Runs the watch until the board is reset, or for so many turns.
def _run(board, watch, turns=None, each=None):
    left = [turns]

    class Enough(Exception):
        pass

    def count():
        if each:
            each()
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Enough

    board.on_sleep = count
    try:
        asyncio.run(watch.run())
    except (Reset, Enough):
        pass
    board.on_sleep = None


def _kept(board):
    return crashes.load(board.files)


def test_fed_while_all_report():
    board, store, watch = _watch()
    alive = [watch.add(name, 3000) for name in ("a", "b")]
    _run(board, watch, 100, lambda: [one() for one in alive])
    assert board.reason is None and len(board.fed) == 101 and board.limit_ms == 8000
    assert [b - a for a, b in zip(board.fed, board.fed[1:])] == [1000] * 100  # noqa: B905
    assert store.events == [] and _kept(board)["reports"] == []


def test_one_silent_task_is_named_and_the_dog_is_not_fed_for_it():
    board, _, watch = _watch()
    good = watch.add("good", 3000)
    watch.add("poller rs485", 5000)
    _run(board, watch, 100, good)
    assert board.reason == "crash: poller rs485" and len(board.reason) <= REASON_MAX
    assert board.fed[-1] == 4000  # five turns after its last word
    ((boot, up_ms, text, sent),) = _kept(board)["reports"]
    assert (boot, up_ms, sent) == (7, 5000, False) and "poller rs485 is silent" in text
    assert _kept(board)["noted"] and _kept(board)["streak"] == [[2, 5000]]


def test_what_memory_holds_is_saved_before_the_reset_if_that_can_be():
    board, store, watch = _watch()
    watch.add("a", 3000)
    saved = []

    def fails():
        saved.append(board.reason)
        raise OSError(5)

    store.saves = fails
    _run(board, watch, 10)
    assert saved == [None] and board.reason == "crash: a"


def test_a_process_that_stood_still_as_a_whole_blames_nobody():
    board, _, watch = _watch()
    alive = watch.add("a", 3000)

    def each():
        alive()
        if board.now_ms == 5000:
            board.now_ms += 3600000

    _run(board, watch, 50, each)
    assert board.reason is None


def test_even_without_flash_or_memory_it_resets():
    board, _, watch = _watch()
    watch.add("a", 2000)
    board.files.full = True
    _run(board, watch, 100)
    assert board.reason == "crash: a" and len(board.shown) == 1 and board.files.content == {}
    # and the next start knows from the reset's reason
    board.files.full = False
    safe, events = crashes.begin(board.files, 8, board.reason)
    assert safe == "" and events == [(messages.CRASH, "crash: a")]


def test_an_exception_is_reported_and_the_task_goes_on():
    board, store, watch = _watch()
    runs = []

    async def task():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("of no use")
        board.reset("done")

    async def main():
        try:
            await watch.guard("poller", task)
        except Reset:
            pass

    asyncio.run(main())
    assert len(runs) == 2 and watch.crashes == 1 and len(board.shown) == 1
    ((kind, text),) = store.events
    assert kind == messages.CRASH and text.startswith("task poller ended | ValueError: of no use | ")
    assert "test_watch.py" in text
    assert (
        _kept(board)["streak"] == [] and not _kept(board)["noted"]
    )  # no reset, so nothing towards safe mode


def test_a_task_that_always_fails_resets_the_board_but_not_in_safe_mode():
    def fail(safe):
        board, store, watch = _watch(safe)
        runs = []

        async def task():
            runs.append(1)
            if len(runs) == 20:
                board.reset("enough seen")
            raise ValueError("again")

        async def main():
            try:
                await watch.guard("x", task)
            except Reset:
                pass

        asyncio.run(main())
        return board, store, len(runs)

    board, store, runs = fail("")
    assert (board.reason, runs, len(store.events)) == ("crash: x", 5, 1)
    assert board.files.writes == 2  # the first of its kind and the last: flash is not worn by repeating
    board, store, runs = fail("three crashes")
    assert (board.reason, runs, len(store.events)) == ("enough seen", 20, 1)


def test_reports_are_sent_until_the_gateway_holds_them():
    board, store, watch = _watch()
    crashes.record(board.files, 6, 100, "task a is silent", None, True)
    for cause in (
        "crash: a",
        "power",
    ):  # after a start in which nobody acknowledges anything it is told again
        safe, events = crashes.begin(board.files, 7, cause)
        crashes.up(board.files)
        assert safe == "" and events == [(messages.CRASH, "task a is silent")]
    store.event(*events[0])
    watch.told_before()
    _run(board, watch, 10)
    assert crashes.begin(board.files, 8, "asked: reboot")[1] == events
    store.acked = store.emitted
    _run(board, watch, 3)
    assert crashes.begin(board.files, 9, "asked: reboot")[1] == []
    assert len(_kept(board)["reports"]) == 1  # kept for the log


def test_heap_headroom_is_the_lowest():
    board, _, watch = _watch()

    def each():
        board.free = 20000 if 20000 < board.now_ms < 30001 else 50000

    _run(board, watch, 60, each)
    assert watch.headroom == 20000


def test_a_start_counts_until_it_is_up():
    board, _, watch = _watch()
    crashes.begin(board.files, 1, "power")
    assert _kept(board)["starting"]
    _run(board, watch, 3)
    assert _kept(board)["starting"]
    _run(board, watch, 3)
    assert not _kept(board)["starting"]


# Starts, each (uptime in ms or None when it did not come up, how it ended), then one more: why that is safe.
def _story(files, *starts):
    cause = "power"
    boot = crashes.load(files)["boot"]
    for up_ms, end in starts:
        boot += 1
        crashes.begin(files, boot, cause)
        if up_ms is not None:
            crashes.up(files)
            if up_ms >= TEN_MIN:
                crashes.healthy(files)
        if end.startswith("crash"):
            crashes.record(files, boot, up_ms or 0, "task a is silent", None, True)
        cause = end
    return crashes.begin(files, boot + 1, cause)[0]


CRASH = (60000, "crash: a")


def test_three_crashes_in_ten_minutes_of_uptime():
    assert _story(MemoryFiles(), CRASH, CRASH) == ""
    assert "3 crashes" in _story(MemoryFiles(), CRASH, CRASH, CRASH)
    assert "3 crashes" in _story(MemoryFiles(), CRASH, (1000, "power"), CRASH, (1000, "reset asked"), CRASH)
    # uptime counts, from the first crash to the third
    slow = (300000, "crash: a")
    assert _story(MemoryFiles(), slow, slow, slow) == ""
    assert "3 crashes" in _story(MemoryFiles(), slow, (299999, "crash: a"), slow)
    # ten healthy minutes between: forgotten
    assert _story(MemoryFiles(), CRASH, CRASH, (TEN_MIN, "crash: a")) == ""


def test_the_watchdog_of_the_board_counts():
    bitten = (5000, "watchdog")
    assert _story(MemoryFiles(), bitten, bitten) == ""
    assert "watchdog" in _story(MemoryFiles(), bitten, bitten, bitten)
    # a reset that the watch wrote down itself, and that the board calls a watchdog's, is one crash
    files = MemoryFiles()
    crashes.begin(files, 1, "power")
    crashes.record(files, 1, 5000, "task a is silent", None, True)
    crashes.begin(files, 2, "watchdog")
    assert len(crashes.load(files)["streak"]) == len(crashes.load(files)["reports"]) == 1


def test_starts_that_die():
    died = (None, "software")
    assert _story(MemoryFiles(), died, died) == ""
    assert "before its tasks ran" in _story(MemoryFiles(), died, died, died)
    # somebody asked for each of these restarts
    assert _story(MemoryFiles(), *[(None, "reset asked")] * 10) == ""
    # power that goes during starts weighs half
    cut = (None, "power")
    assert _story(MemoryFiles(), *[cut] * 5) == ""
    assert "want of power" in _story(MemoryFiles(), *[cut] * 6)
    # and power that goes later weighs nothing
    assert _story(MemoryFiles(), *[(6000, "power")] * 20) == ""


def test_safe_mode_lasts_until_health_or_a_command():
    files = MemoryFiles()
    assert _story(files, CRASH, CRASH, CRASH, (6000, "power"), (6000, "power"))
    crashes.healthy(files)
    assert crashes.begin(files, 9, "power")[0] == ""
    assert _story(files, CRASH, CRASH, CRASH)
    safe, events = crashes.begin(files, 20, "power")
    assert events[-1] == (messages.SAFE_MODE, safe)
    assert [kind for kind, _ in events[:-1]] == [messages.CRASH] * crashes.REPORTS_MAX


def test_ten_healthy_minutes_end_it():
    board, store, watch = _watch("3 crashes", True)
    _story(board.files, CRASH, CRASH, CRASH)
    assert _kept(board)["safe"]
    store.held = 5  # there is always something, where instruments are asked often
    _run(board, watch, 700)
    assert board.reason == "asked: safe mode is over" and _kept(board)["safe"] == ""
    # what flash cannot keep has to be at the gateway first
    board, store, watch = _watch("3 crashes", True)
    store.held = 5
    store.flash_faults = 1
    _run(board, watch, 700)
    assert board.reason is None
    store.held = 0
    _run(board, watch, 3 + TEN_MIN // 1000)
    assert board.reason == "asked: safe mode is over"
    # safe mode of another reason has no end of its own
    board, store, watch = _watch("station.json is wrong")
    _run(board, watch, 700)
    assert board.reason is None


def test_a_fault_begins_the_ten_minutes_anew():
    board, _, watch = _watch("3 crashes", True)

    def each():
        if board.now_ms == 400000:
            watch.report("something", ValueError("x"))

    _run(board, watch, 610, each)
    assert board.reason is None
    _run(board, watch, 500, each)
    assert board.reason == "asked: safe mode is over" and board.now_ms >= 1000000


# ---- the file is the only memory: whatever it holds, a start goes on


def test_a_corrupt_file_is_an_empty_one():
    good = MemoryFiles()
    _story(good, CRASH, CRASH, CRASH)
    data = good.content["state/crash"]
    safe = json.loads(data)["safe"]
    for at in range(len(data)):
        for piece in (b"", b"\xff", b"9", b"null", b"[]"):
            files = MemoryFiles()
            files.content["state/crash"] = data[:at] + piece + (data[at + 1 :] if piece else b"")
            reason, events = crashes.begin(files, 9, "power")
            assert isinstance(reason, str) and isinstance(events, list)
            crashes.record(files, 9, 1, "x", None, False)
    files = MemoryFiles()
    files.content["state/crash"] = data[:-1]
    assert crashes.begin(files, 9, "power") == ("", [])
    files.content["state/crash"] = data
    assert crashes.begin(files, 9, "power")[0] == safe  # control
    for junk in (b"", b"[]", b"null", b"1", b'{"streak": [1, 2]}', b'{"reports": [[1, 2, 3]], "boot": "x"}'):
        files.content["state/crash"] = junk
        assert crashes.begin(files, 9, "power")[0] == ""


def test_flash_that_cannot_be_written_keeps_nobody_from_starting():
    files = MemoryFiles()
    files.full = True
    assert crashes.begin(files, 1, "power") == ("", [])


def test_decide_is_a_function_of_the_table():
    table = {"safe": "", "streak": [[2, 0]] * 3, "reports": [[1, 0, "last words", True]]}
    before = json.dumps(table)
    assert "last words" in crashes.decide(table) and json.dumps(table) == before
    assert crashes.decide({"safe": "", "streak": [[2, 0]] * 2, "reports": []}) == ""
    assert crashes.decide({"safe": "because", "streak": [], "reports": []}) == "because"
    # only what lies between the first and the last of them counts
    assert crashes.decide({"safe": "", "streak": [[2, TEN_MIN], [2, 0], [2, TEN_MIN - 1]], "reports": []})
    assert not crashes.decide({"safe": "", "streak": [[2, 0], [2, 1], [2, TEN_MIN - 1]], "reports": []})
