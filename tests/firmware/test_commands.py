# runs on CPython, and on MicroPython by test_safe_mode.py, which gives it a larger heap
import asyncio
import binascii
import hashlib
import json

from firmware import calibrations, commands, trial
from protocol import cbor, framing, messages
from protocol.cose import Mac0
from tests.firmware.memory_files import MemoryFiles

KEY = bytes(range(32))
SEAL_KEY = bytes(range(100, 132))
KEY_TEXT = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
T = 1760000000000
STATION = {
    "buses": [],
    "units": [],
    "channels": [
        {"name": "ph", "calibration": 3, "points": []},
        {"name": "cod", "calibration": 0, "points": []},
    ],
    "memory_records": 0,
    "inputs": [],
    "outputs": [],
    "analogs": [],
    "counters": [],
    "alarms": [],
    "store": {"thin_at": 0.5, "hold_ms": 2400},
}


class Channel:
    def __init__(self, name, calibration, points):
        self.name = name
        self.calibration = calibration
        self.points = points


class Thing:
    pass


class Board:
    name = "unix"
    reset_reason = "power"
    longest_feed_ms = 1000
    missed_feeds = 0

    def __init__(self):
        self.files = MemoryFiles()
        self.files.content["link.key"] = KEY_TEXT
        self.files.content["seal.key"] = binascii.hexlify(SEAL_KEY)
        self.files.content["identity.json"] = b'{"id": "st-01", "link": {"kind": "usb"}}'
        self.files.content["station.json"] = json.dumps(STATION).encode()

    def station_ticks(self):
        return 5000

    def heap(self):
        return 50000, 60000

    async def sleep_ms(self, ms):
        await asyncio.sleep(0)


class Clock:
    told = 0
    time_ms = 5000

    def now(self):
        return self.time_ms


class Arbiter:
    async def flash(self, work):
        return work()


class Io:
    def __init__(self):
        self.asked = []

    def relay(self, name, on, pulse_ms):
        self.asked.append((name, on, pulse_ms))
        return name == "pump", "as asked"

    def sample(self, reason):
        self.asked.append(reason)
        return True, "started"

    def status(self):
        return [["door", 0]]


class Poller:
    def __init__(self):
        self.line = Thing()
        self.line.id = "rs485"
        self.asked = []

    async def read(self, number, pdu, timeout_ms):
        self.asked.append((number, pdu, timeout_ms))
        return (1, 2, 3)

    def status(self):
        return [["rs485", number, 1000000, 1000, 10, 0, 35, 0] for number in range(1, 60)]


class App:
    FIRMWARE = "quantrac test"

    def __init__(self):
        self.board = Board()
        self.clock = Clock()
        self.arbiter = Arbiter()
        self.io = Io()
        self.boot = 7
        self.answered = None
        self.counter = None
        self.left = []
        self.events = []
        self.greeted = 0
        self.told = []
        self.fitting = True
        self.pollers = [Poller()]
        self.config = Thing()
        self.config.channels = [Channel("ph", 3, []), Channel("cod", 0, [])]
        self.watch = Thing()
        self.watch.safe = ""
        self.watch.headroom = 40000
        self.watch.crashes = 0
        self.store = Thing()
        self.store.emitted = self.store.acked = self.store.held = self.store.discarded = 9
        self.store.flushed = self.store.thinned = 0
        self.store.event = lambda kind, text: self.events.append((kind, text))
        self.uplink = Thing()
        self.uplink.losses = self.uplink.bad_frames = self.uplink.noise = 0
        self.uplink.greet_again = self.greet_again
        self.uplink.tell = lambda *told: self.told.append(told)
        self.next = T

    def greet_again(self):
        self.greeted += 1

    def fits(self):
        return self.fitting

    def leave(self, reason):
        self.left.append(reason)

    def hello(self):
        channels = [
            (channel.name, 1000, channel.calibration, channel.points) for channel in self.config.channels
        ]
        return messages.Hello(
            1, self.FIRMWARE, "st-01", 7, bytes(8), bytes(8), channels, 7, 1, 0, 5000, "power"
        )

    # A command with the next counter; its answer, which has to fit a frame.
    def ask(self, name, given=None, counter=None, number=1):
        self.next += 1
        command = messages.Command(self.next if counter is None else counter, number, name, given)
        # as it came over the link
        command = messages.decode(messages.encode(command))
        answer = asyncio.run(commands.run(self, command))
        framing.encode(Mac0("x" * 32, KEY).seal(messages.encode(messages.Result(number, *answer))))
        return answer

    # Everything that differs from a new App, but for the counter.
    def state(self):
        content = dict(self.board.files.content)
        content.pop("state/counter", None)
        channels = [(channel.name, channel.calibration, channel.points) for channel in self.config.channels]
        return content, channels, self.left, self.io.asked, self.pollers[0].asked, self.told, self.greeted


def _stage(app, name, data, size=200):
    digest = hashlib.sha256(data).digest()
    ok, _, at = app.ask("stage", {"name": name, "size": len(data), "sha256": digest})
    assert ok
    while at < len(data):
        ok, text, at = app.ask("chunk", {"at": at, "data": data[at : at + size]})
        assert ok, text


# ---- once, and never again


def test_a_counter_is_used_once():
    app = App()
    assert app.ask("relay", {"id": "pump", "on": True}, T)[0]
    assert app.board.files.content["state/counter"] == str(T).encode()
    for counter in (T, T - 1, 0):
        ok, text, needed = app.ask("relay", {"id": "pump", "on": True}, counter, 2)
        assert not ok and needed == T + 1 and str(T + 1) in text
    assert len(app.io.asked) == 1
    assert app.ask("relay", {"id": "pump", "on": False}, needed, 3)[0] and len(app.io.asked) == 2


def test_the_same_command_again_gets_the_same_answer_and_does_nothing():
    app = App()
    first = app.ask("relay", {"id": "pump", "on": True}, T, 5)
    before = app.state()
    assert app.ask("relay", {"id": "pump", "on": True}, T, 5) == first
    assert app.ask("sample", None, T, 5) == first  # counter and id name the answer, whatever is asked now
    assert app.state() == before and len(app.io.asked) == 1


def test_the_counter_is_kept_before_anything_is_done():
    app = App()

    def relay(name, on, pulse_ms):
        assert app.board.files.content["state/counter"] == str(T).encode()
        raise SystemExit  # the power goes

    app.io.relay = relay
    try:
        app.ask("relay", {"id": "pump", "on": True}, T)
    except SystemExit:
        pass
    again = App()
    again.board.files = app.board.files
    assert not again.ask("relay", {"id": "pump", "on": True}, T)[0] and again.io.asked == []


def test_without_a_kept_counter_nothing_is_done():
    app = App()
    app.board.files.full = True
    ok, text, _ = app.ask("relay", {"id": "pump", "on": True}, T)
    assert not ok and "counter" in text and app.io.asked == []
    app.board.files.full = False
    assert app.ask("relay", {"id": "pump", "on": True}, T)[0]  # it was not used up


def test_a_counter_that_was_lost():
    for content in (None, b"", b"\xff", b"x"):
        app = App()
        if content is not None:
            app.board.files.content["state/counter"] = content
        app.clock.told = 1
        app.clock.time_ms = T
        ok, _, needed = app.ask("reboot", None, T - 3600000)  # recorded an hour ago
        assert not ok and app.left == [] and needed < T
        assert app.ask("reboot", None, needed, 2)[0] and app.left == ["reset asked"]


def test_a_command_that_was_held_up():
    """Its tag is right and its counter new: somebody kept it on the way, for a better moment."""
    app = App()
    app.clock.told = 1
    app.clock.time_ms = T + 3600000
    ok, text, needed = app.ask("relay", {"id": "pump", "on": True}, T)
    assert not ok and "is old" in text and app.io.asked == [] and needed == T + 3000000
    assert "state/counter" not in app.board.files.content
    assert app.ask("relay", {"id": "pump", "on": True}, needed, 2)[0] and len(app.io.asked) == 1
    # a device that does not know the time can only count
    app = App()
    assert app.ask("relay", {"id": "pump", "on": True}, T)[0]


def test_looking_writes_nothing():
    app = App()
    for name in commands.QUIET:
        app.ask(name)
    app.ask("no such command")
    assert app.board.files.writes == 0 and app.events == []
    assert not app.ask("status", None, T)[0]  # and yet their counters rise


# ---- what each does


def test_time():
    app = App()
    assert app.ask("time", {"time_ms": T})[0] and app.told == [(T, True, 0)]
    for wrong in (None, True, 5, "x", 1 << 50, -T, 1.5):
        assert not app.ask("time", {"time_ms": wrong})[0]
    assert len(app.told) == 1
    assert app.events[0] == (messages.COMMAND, f"time, {T + 1}, ok")


def test_relay_and_sample():
    app = App()
    assert app.ask("relay", {"id": "pump", "on": True, "pulse_ms": 500}) == (True, "as asked", None)
    assert not app.ask("relay", {"id": "else", "on": False})[0]
    assert app.ask("sample", {"reason": "alarm"})[0] and app.ask("sample")[0]
    assert app.io.asked == [("pump", True, 500), ("else", False, 0), "alarm", "command"]
    for wrong in ({"on": 1}, {"pulse_ms": -1}, {"pulse_ms": True}, {"on": None}):
        given = {"id": "pump", "on": True}
        given.update(wrong)
        assert not app.ask("relay", given)[0]
    app.io = None  # safe mode
    for name in ("relay", "sample"):
        ok, text, _ = app.ask(name, {"id": "pump", "on": True})
        assert not ok and "safe mode" in text


def test_restarts():
    app = App()
    assert app.ask("reboot")[0] and app.ask("repl")[0]
    assert app.left == ["reset asked", "repl asked"]
    assert not app.ask("safe")[0] and len(app.left) == 2
    app.watch.safe = "3 crashes"
    app.board.files.content["state/crash"] = b'{"safe": "3 crashes", "streak": [[2, 0]]}'
    assert app.ask("safe")[0] and app.left[-1] == "reset asked"
    left = json.loads(app.board.files.content["state/crash"])
    assert left["safe"] == "" and left["streak"] == []


def test_status_fits_whatever_there_is():
    app = App()
    app.watch.safe = "x" * 400
    ok, text, data = app.ask("status")
    assert ok and "safe mode" in text and data["boot"] == 7 and data["safe"] == "x" * 160
    assert 5 < len(data["units"]) < 59 and data["heap"] == [50000, 40000]
    app.io.status = lambda: [[f"a-contact-with-a-long-name-{i}", None] for i in range(26)]
    ok, _, data = app.ask("status")
    assert ok and data["boot"] == 7 and 2 < len(data["inputs"]) < 26 and data["units"] == []


def test_log():
    app = App()
    assert app.ask("log") == (True, "no crash is known", None)
    reports = [[5, 1000, "first " + "x" * 390, True], [6, 62000, "second", False]]
    app.board.files.content["state/crash"] = json.dumps({"reports": reports}).encode()
    ok, text, data = app.ask("log")
    assert ok and data == {"boot": 6, "up_ms": 62000, "reports": 2, "text": "second"} and "62 s" in text
    assert app.ask("log", {"last": 1})[2]["text"].startswith("first")
    for wrong in (2, -1, "x", True, 1.0):
        assert not app.ask("log", {"last": wrong})[0]


def test_read():
    app = App()
    given = {"bus": "rs485", "unit": 2, "function": 3, "address": 10, "count": 3}
    assert app.ask("read", given) == (True, "3 values", [1, 2, 3])
    assert app.pollers[0].asked == [(2, b"\x03\x00\x0a\x00\x03", 1000)]
    for wrong in (
        {"bus": "x"},
        {"unit": 0},
        {"unit": 248},
        {"function": 16},
        {"function": 6},
        {"count": 126},
        {"count": 0},
        {"address": 70000},
        {"timeout_ms": 5},
        {"address": None},
        {"bus": None},
    ):
        bad = dict(given)
        bad.update(wrong)
        assert not app.ask("read", bad)[0], wrong
    assert len(app.pollers[0].asked) == 1


def test_calibrate():
    app = App()
    points = [[0.0, 0.1], [4.0, 4.25], [10.0, 9.5]]
    ok, text, _ = app.ask("calibrate", {"channel": "ph", "id": 4, "points": points})
    assert ok, text
    ph = app.config.channels[0]
    assert (ph.calibration, len(ph.points), app.greeted) == (4, 3, 1)
    assert app.events == [
        (messages.CALIBRATION_ENDED, "ph, 4"),
        (messages.COMMAND, f"calibrate, {T + 1}, ok"),
    ]
    # after a restart it is there again, the same to the bit
    channels = [Channel("ph", 3, []), Channel("cod", 0, [])]
    calibrations.apply(app.board.files, channels)
    assert (channels[0].calibration, channels[0].points) == (4, ph.points) and channels[1].calibration == 0
    # a newer one in station.json wins, an older one does not
    for number, wins in ((4, 4), (5, 5), (2, 4)):
        channels = [Channel("ph", number, [])]
        calibrations.apply(app.board.files, channels)
        assert channels[0].calibration == wins
    for wrong in (
        {"channel": "x"},
        {"id": 4},
        {"id": 70000},
        {"id": True},
        {"points": [[1.0, 1.0], [1.0, 2.0]]},
        {"points": None},
        {"points": [[1.0]]},
        {"points": ["ab"]},
        {"points": [[0.0, 1e39]]},
        {"points": [[1.0 * i, 0.0] for i in range(6)]},
    ):
        given = {"channel": "ph", "id": 9, "points": points}
        given.update(wrong)
        before = app.state()
        assert not app.ask("calibrate", given)[0], wrong
        assert app.state() == before
    app.fitting = False
    assert not app.ask("calibrate", {"channel": "ph", "id": 9, "points": points})[0]
    assert app.config.channels[0].calibration == 4


def test_a_corrupt_calibration_file_changes_nothing():
    files = MemoryFiles()
    for junk in (
        b"",
        b"[]",
        b"{",
        b'{"ph": 1}',
        b'{"ph": [5, [[1, 2], [1, 2]]]}',
        b'{"ph": ["5", []]}',
        b'{"ph": [99999, []]}',
        b'{"ph": [5, [["a", 2]]]}',
        b'{"ph": [5, [[-1, 2]]]}',
        b'{"ph": [5, [[2143289344, 2]]]}',  # a NaN
    ):
        files.content["state/calibration"] = junk
        channels = [Channel("ph", 3, [])]
        calibrations.apply(files, channels)
        assert channels[0].calibration == 3, junk


# ---- what comes in pieces


def test_a_configuration_is_tried():
    app = App()
    old = app.board.files.content["station.json"]
    new = dict(STATION)
    new["memory_records"] = 500
    data = json.dumps(new).encode()
    _stage(app, "station.json", data)
    ok, text, _ = app.ask("config")
    assert ok, text
    content = app.board.files.content
    assert content["station.json"] == data and content["station.old"] == old and "stage" not in content
    assert app.left == ["new configuration asked"]
    assert app.events[-2][0] == messages.CONFIGURED and app.events[-2][1].startswith("tried, ")
    # two starts without ten healthy minutes: the old one is back
    for _ in range(trial.TRIES):
        trial.started(app.board.files)
        assert content["station.json"] == data
    assert "refused" in trial.started(app.board.files)[0][1] and content["station.json"] == old


def test_a_wrong_configuration_is_refused_with_its_faults():
    app = App()
    old = dict(app.board.files.content)
    new = dict(STATION)
    new["memory_records"] = -1
    new["alarms"] = 5
    _stage(app, "station.json", json.dumps(new).encode())
    ok, text, _ = app.ask("config")
    assert not ok and "memory_records" in text and app.left == []
    kind, told = app.events[-2]
    assert kind == messages.CONFIGURED and "refused" in told and "alarms" in told
    assert app.board.files.content["station.json"] == old["station.json"]
    assert "station.old" not in app.board.files.content
    for junk in (b"x", b"null", b"\xff\xfe" * 100):
        _stage(app, "station.json", junk)
        assert not app.ask("apply")[0]
    assert app.board.files.content["station.json"] == old["station.json"] and app.left == []


def test_a_transfer_goes_on_after_a_restart():
    app = App()
    data = bytes([i % 251 for i in range(1000)])
    begin = {"name": "station.json", "size": 1000, "sha256": hashlib.sha256(data).digest()}
    assert app.ask("stage", begin) == (True, "ready", 0)
    for at in (0, 300):
        assert app.ask("chunk", {"at": at, "data": data[at : at + 300]})[2] == at + 300
    again = App()
    again.board.files = app.board.files
    again.next = app.next
    assert again.ask("stage", begin)[2] == 600
    # a piece that is there, one too far, one that does not fit: the device says where to go on
    for at, size in ((300, 300), (700, 100), (600, 401), (-1, 1), (None, 1)):
        ok, _, offset = again.ask("chunk", {"at": at, "data": data[:size]})
        assert not ok and offset == 600
    assert not again.ask("apply")[0]  # not whole
    assert again.ask("chunk", {"at": 600, "data": data[600:]})[2] == 1000
    assert again.board.files.content["stage"] == data
    # something else is announced: begins anew
    begin["size"] = 999
    assert again.ask("stage", begin)[2] == 0 and "stage" not in again.board.files.content


def test_what_was_not_announced_is_not_used():
    app = App()
    data = json.dumps(STATION).encode()
    _stage(app, "station.json", data)
    app.board.files.content["stage"] = data[:-2] + b" }"
    ok, text, _ = app.ask("apply")
    assert not ok and "announced" in text and "stage" not in app.board.files.content
    for name in ("config", "apply", "chunk"):
        assert not App().ask(name, {"at": 0, "data": b"x"})[0]
    _stage(app, "update", b"no package at all")
    assert not app.ask("config")[0]
    ok, text, _ = app.ask("apply")
    assert not ok and "package" in text and app.left == []
    (told,) = [text for kind, text in app.events if kind == messages.UPDATE]
    assert told.startswith("refused")


def test_a_full_flash_takes_nothing():
    app = App()
    app.board.files.free = lambda: 20000
    digest = bytes(32)
    assert app.ask("stage", {"name": "update", "size": 3000, "sha256": digest})[0]
    assert "free" in app.ask("stage", {"name": "update", "size": 5000, "sha256": digest})[1]
    for wrong in ({"size": 0}, {"size": 2000000}, {"size": True}, {"sha256": b"x"}, {"sha256": "00" * 32}):
        given = {"name": "update", "size": 3000, "sha256": digest}
        given.update(wrong)
        assert not app.ask("stage", given)[0]


# ---- nothing to be had for an attacker


HOSTILE = (
    "link.key",
    "../link.key",
    "/link.key",
    "seal.key",
    "identity.json",
    "./link.key",
    "state/../link.key",
    "link.key\x00",
    "stage/../../link.key",
    "firmware.identity",
    "__import__",
    "",
)


def _arguments(word):
    yield word
    yield [word]
    yield {
        "name": word,
        "id": word,
        "channel": word,
        "bus": word,
        "last": word,
        "reason": word,
        "on": True,
        "at": word,
        "data": word,
        "size": 10,
        "sha256": bytes(32),
        "points": word,
        "time_ms": word,
        "unit": 1,
        "function": 3,
        "address": 0,
        "count": 1,
    }
    yield {"name": "update", "id": word, "at": 0, "data": word.encode(), "size": 64, "sha256": bytes(32)}


def _leaks(answer):
    text = repr(answer).lower()
    data = cbor.dumps([answer[1], answer[2]])
    for key in (KEY, SEAL_KEY):
        if key[4:16] in data or binascii.hexlify(key[4:16]).decode() in text:
            return True
        if repr(key[4:16])[2:-1].lower() in text:
            return True
    return False


def test_no_command_reveals_or_changes_a_key():
    names = commands._HERE + tuple(commands._ELSEWHERE) + HOSTILE
    for name in names:
        for word in HOSTILE if name not in HOSTILE else HOSTILE[:1]:
            app = App()
            secrets = dict(app.board.files.content)
            for given in _arguments(word):
                if not 1 <= len(name) <= 32:
                    continue
                answer = app.ask(name, given)
                assert not _leaks(answer), (name, given, answer)
                assert not [1 for event in app.events if _leaks((1, event[1], None))]
            for file in ("link.key", "seal.key", "identity.json"):
                assert app.board.files.content[file] == secrets[file], (name, word)


def test_control_a_leak_would_be_seen():
    assert (
        _leaks((True, "", KEY)) and _leaks((True, KEY_TEXT.decode(), None)) and not _leaks((True, "x", b"y"))
    )


def test_whatever_is_asked_there_is_an_answer():
    for name in commands._HERE + tuple(commands._ELSEWHERE) + ("x", "run", "_act", "dumps"):
        app = App()
        for given in (None, 5, "x", b"x", [], {}, [[]], {"id": None}, {1: 2}, True, {"at": -5, "data": b""}):
            ok, text, _ = app.ask(name, given)
            assert isinstance(ok, bool) and isinstance(text, str)
            assert ok or text
