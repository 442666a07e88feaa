"""The starter picks a slot, counts its starts on trial and goes back; the same for a configuration."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from firmware import starter, trial, update
from firmware.files import Files
from tests.firmware import update_rig as rig
from tests.firmware.test_runtimes import NOT_ON_A_DEVICE
from tests.protocol.test_runtimes import ROOT, interpreter
from tools.station import build, package

CONFIRMED, NEW = [4, "0.1.0", True], [5, "0.2.0", False]
STATE = {"slot": "b", "old": "a", "version": "0.2.0", "counter": 5, "highest": 5, "trying": True, "tries": 0}


def device(tmp_path, state=None, a=None, b=None):
    """The root of a device with these complete slots."""
    for slot, mark in (("a", a), ("b", b)):
        (tmp_path / slot).mkdir(exist_ok=True)
        if mark is not None:
            (tmp_path / slot / "complete").write_text(mark if isinstance(mark, str) else json.dumps(mark))
    if state is not None:
        (tmp_path / "slot").write_text(state if isinstance(state, str) else json.dumps(state))
    return f"{tmp_path}/"


def state_of(tmp_path):
    return json.loads((tmp_path / "slot").read_text())


def test_a_slot_on_trial_gets_two_starts_and_then_the_former_is_back(tmp_path):
    root = device(tmp_path, STATE, CONFIRMED, NEW)
    assert starter.choose(root) == "b" and state_of(tmp_path)["tries"] == 1
    assert starter.choose(root) == "b" and state_of(tmp_path)["tries"] == 2
    for _ in range(4):
        assert starter.choose(root) == "a"
        state = state_of(tmp_path)
        assert state["reverted"] == ["0.2.0", "did not live ten minutes, 2 times"]
        assert (state["version"], state["counter"], state["highest"]) == ("0.1.0", 4, 5)
        assert not state["trying"] and state["tries"] == 0


def test_a_confirmed_slot_is_started_for_ever_and_costs_no_flash(tmp_path):
    root = device(tmp_path, {**STATE, "trying": False}, CONFIRMED, [5, "0.2.0", True])
    before = (tmp_path / "slot").stat().st_mtime_ns
    assert [starter.choose(root) for _ in range(9)] == ["b"] * 9
    assert (tmp_path / "slot").stat().st_mtime_ns == before


def test_with_nowhere_to_go_back_to_it_goes_on_trying(tmp_path):
    root = device(tmp_path, {**STATE, "old": None}, None, NEW)
    assert [starter.choose(root) for _ in range(9)] == ["b"] * 9
    root = device(tmp_path, STATE, None, NEW)  # the former is not complete any more
    assert [starter.choose(root) for _ in range(9)] == ["b"] * 9


def test_back_to_the_files_beside(tmp_path):
    root = device(tmp_path, {**STATE, "slot": "a", "old": "", "tries": 2}, NEW)
    assert starter.choose(root) == "" and state_of(tmp_path)["reverted"][0] == "0.2.0"
    assert starter.choose(root) == ""


@pytest.mark.parametrize(
    "torn", [None, "", "{", '"b"', "[]", "{}", '{"slot": "c"}', '{"slot": ["a"]}', "\0" * 99]
)
def test_without_a_state_the_confirmed_slot_runs_then_the_newest(tmp_path, torn):
    for a, b, best in (
        (CONFIRMED, NEW, "a"),
        (NEW, CONFIRMED, "b"),
        (CONFIRMED, [5, "0.2.0", True], "b"),
        (NEW, [6, "0.3.0", False], "b"),
        (None, NEW, "b"),
        (CONFIRMED, None, "a"),
        (CONFIRMED, "{", "a"),
        ("[9, 1]", NEW, "b"),
        (None, None, ""),
    ):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        root = device(tmp_path, torn, a, b)
        assert [starter.choose(root) for _ in range(3)] == [best] * 3, (a, b)
        if best:
            assert state_of(tmp_path)["highest"] == max(m[0] for m in (a, b) if isinstance(m, list))


def test_any_single_field_of_the_state_missing_or_wrong_still_starts_a_whole_slot(tmp_path):
    for name, value in itertools.product(STATE, (..., None, "x", [], -1, 10**20)):
        state = {key: old for key, old in STATE.items() if key != name}
        if value is not ...:
            state[name] = value
        root = device(tmp_path, state, CONFIRMED, NEW)
        for _ in range(4):
            assert starter.choose(root) in ("a", "b"), (name, value)


def test_a_start_that_cannot_be_counted_is_not_made(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(28, "ENOSPC")

    root = device(tmp_path, STATE, CONFIRMED, NEW)
    monkeypatch.setattr(starter.os, "rename", fails)
    assert starter.choose(root) == "a" and state_of(tmp_path) == STATE


def test_control_a_start_that_is_not_counted_is_caught(tmp_path):
    careless = rig.broken(
        "starter", ('            state["tries"] += 1\n            save(root, state)\n', "            pass\n")
    )
    root = device(tmp_path, STATE, CONFIRMED, NEW)
    assert [careless.choose(root) for _ in range(9)] == ["b"] * 9  # for ever: what the first test is against


# ---- a configuration on trial


def configured(tmp_path):
    files = Files(str(tmp_path))
    files.replace("station.json", b"one")
    return files


def test_a_configuration_that_lives_is_confirmed(tmp_path):
    files = configured(tmp_path)
    trial.begin(files, b"two")
    assert trial.started(files) == [] and files.read("station.json") == b"two"
    assert trial.confirm(files) == [(trial.CONFIGURED, f"accepted, {trial._hash(b'two')}")]
    assert trial.confirm(files) == [] and trial.started(files) == []
    assert files.read("station.json") == b"two" and files.read("station.old") == b"one"


def test_one_that_dies_twice_is_back_and_told_until_ten_healthy_minutes(tmp_path):
    files = configured(tmp_path)
    trial.begin(files, b"two")
    for _ in range(2):
        assert trial.started(files) == [] and files.read("station.json") == b"two"
        assert trial.failed(files, "task poller is silent")
    told = [(trial.CONFIGURED, f"refused, {trial._hash(b'two')}, task poller is silent")]
    for _ in range(3):
        assert trial.started(files) == told and files.read("station.json") == b"one"
    assert trial.confirm(files) == [] and trial.started(files) == []
    assert not trial.failed(files, "later")


def test_one_that_cannot_be_read_goes_back_at_once(tmp_path):
    files = configured(tmp_path)
    trial.begin(files, b"two")
    assert trial.started(files) == []
    trial.failed(files, "units: write a list", True)
    assert "units: write a list" in trial.started(files)[0][1] and files.read("station.json") == b"one"


def test_a_second_one_while_the_first_is_tried_goes_back_to_what_was_confirmed(tmp_path):
    files = configured(tmp_path)
    trial.begin(files, b"two")
    trial.started(files)
    trial.begin(files, b"three")
    for _ in range(2):
        trial.started(files)
        assert files.read("station.json") == b"three"
    trial.started(files)
    assert files.read("station.json") == b"one"


def test_a_read_error_does_not_cost_the_confirmed_one(tmp_path, monkeypatch):
    files = configured(tmp_path)

    def fails(name):
        raise OSError(5, "EIO")

    with monkeypatch.context() as broken:
        broken.setattr(files, "read", fails)
        with pytest.raises(OSError):
            trial.begin(files, b"two")
    assert files.read("station.json") == b"one" and not (tmp_path / "station.old").exists()


# ---- the real thing: processes of MicroPython's unix port, started again as a watchdog would

APP = """
import asyncio, json, os, sys, time
from firmware import trial, update
from firmware.files import Files
VERSION = {version!r}
def main():
    files = Files(sys.argv[1])
    {fault}
    def say(events):
        for kind, text in events:
            print(kind, text)
    print("up", VERSION, trial.slot())
    say(trial.started(files))
    began = time.ticks_ms()
    healthy = int(os.getenv("HEALTHY_MS"))
    while True:
        time.sleep_ms(5)
        if time.ticks_diff(time.ticks_ms(), began) > healthy:
            say(trial.confirm(files))
            print("healthy")
            healthy = 1 << 40
        if files.names("inbox"):
            files.rename("inbox/package", "stage")
            print(asyncio.run(update.install(files, "unix")))
            sys.exit(75)
        if os.getenv("STOP") == "healthy" and healthy == 1 << 40:
            return
"""
NEEDED = (
    "firmware/__init__", "firmware/trial", "firmware/update", "firmware/files", "protocol/__init__",
    "protocol/_compat", "protocol/cbor", "protocol/errors", "protocol/messages", "protocol/reading",
    "protocol/calibration", "protocol/quality", "protocol/cose",
)  # fmt: skip


def firmware(version, fault="", first=""):
    """Bytecode of the real update code, under a small application."""
    sources = {
        f"{name}.mpy": (ROOT / f"{name}.py").read_text() for name in NEEDED if (ROOT / f"{name}.py").exists()
    }
    return {**sources, "firmware/app.mpy": first + APP.format(version=version, fault=fault or "pass")}


class Board:
    """A device's directory, and whoever resets it: the runner and the watchdog of a real one."""

    def __init__(self, tmp_path):
        self.directory = tmp_path / "device"
        self.files = rig.device(self.directory)
        self.files.make("inbox")
        shutil.copy(ROOT / "firmware" / "starter.py", self.directory / "main.py")

    def provision(self, tmp_path, slot, sources, mark):
        rig.compile_to(self.directory / slot, sources)
        (self.directory / slot / "complete").write_text(json.dumps(mark))

    def send(self, tmp_path, version, counter, sources):
        folder = tmp_path / version
        rig.compile_to(folder, sources)
        self.files.replace("inbox/package", rig.make(folder, version=version, counter=counter))

    def run(self, healthy_ms=50, stop="", hangs=0):
        """One start: (exit status, None when the watchdog had to end it; lines of the console).

        hangs: the watchdog ends it some time after this try was counted.
        """
        done = subprocess.Popen(
            [interpreter(), "-X", "heapsize=128k", "main.py"],
            cwd=self.directory,
            env={**os.environ, "MICROPYPATH": "", "HEALTHY_MS": str(healthy_ms), "STOP": stop},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while hangs and trial.load(self.files, "slot")["tries"] < hangs and done.poll() is None:
            time.sleep(0.01)
        try:
            out, _ = done.communicate(timeout=0.3 if hangs else 30)
            return done.returncode, out.splitlines()
        except subprocess.TimeoutExpired:
            done.kill()
            return None, done.communicate()[0].splitlines()


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path)
    board.provision(tmp_path, "a", firmware("0.1.0"), [1, "0.1.0", True])
    return board


def test_a_package_that_works_is_tried_and_confirmed_on_the_unix_port(board, tmp_path):
    status, lines = board.run(stop="healthy")
    assert (status, lines) == (0, ["up 0.1.0 a", "healthy"])
    board.send(tmp_path, "0.2.0", 2, firmware("0.2.0"))
    status, lines = board.run(healthy_ms=10**9)
    assert status == 75 and "(True, '0.2.0 is installed" in lines[1]
    status, lines = board.run(stop="healthy")
    assert (status, lines) == (
        0,
        ["up 0.2.0 b", "19 tried, 0.2.0, start 1 of 2", "19 confirmed, 0.2.0", "healthy"],
    )
    status, lines = board.run(stop="healthy")
    assert (status, lines) == (0, ["up 0.2.0 b", "healthy"])
    # and the next one goes into the other slot
    board.send(tmp_path, "0.3.0", 3, firmware("0.3.0"))
    assert board.run(healthy_ms=10**9)[0] == 75
    assert board.run(stop="healthy")[1][0] == "up 0.3.0 a"
    assert json.loads(board.files.read("b/complete")) == [2, "0.2.0", True]


FAULTS = {
    "crashes when it is imported": ({"first": "raise ImportError('nothing')\n"}, 75, "ImportError: nothing"),
    "is damaged bytecode": ({}, 75, "ValueError: incompatible .mpy"),
    "crashes when it starts": ({"fault": "1 // 0"}, 75, "ZeroDivisionError"),
    "gives up": ({"fault": "sys.exit(2)"}, 75, "ended with status 2"),
    "hangs when it is imported": ({"first": "while True: pass\n"}, None, "did not live ten minutes"),
    "hangs when it starts": ({"fault": "while True: pass"}, None, "did not live ten minutes"),
    "eats all memory": ({"fault": "x = []\n    while True: x.append(bytes(999))"}, 75, "MemoryError"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_does_not_live_is_reverted_by_itself_with_the_reason(board, tmp_path, fault):
    how, ends, reason = FAULTS[fault]
    board.send(tmp_path, "0.2.0", 2, firmware("0.2.0", **how))
    if not how:
        folder = tmp_path / "0.2.0"
        (folder / "firmware" / "app.mpy").write_bytes(
            b"M\x05" + (folder / "firmware" / "app.mpy").read_bytes()[2:]
        )
        board.files.replace("inbox/package", rig.make(folder, version="0.2.0", counter=2))
    before = rig.tree(board.directory / "a")
    assert board.run(healthy_ms=10**9)[0] == 75
    starts = 0
    while True:
        status, lines = board.run(stop="healthy", hangs=starts + 1 if ends is None and starts < 2 else 0)
        if status != ends:
            break
        starts += 1
        assert "up 0.1.0 a" not in lines and starts < 9
    assert starts == 2 and status == 0, lines
    assert lines[0] == "up 0.1.0 a" and lines[1].startswith(f"19 reverted, 0.2.0, {reason}"), lines
    assert lines[-1] == "healthy" and rig.tree(board.directory / "a") == before
    assert board.run(stop="healthy")[1] == ["up 0.1.0 a", "healthy"]  # heard, and no longer told
    board.send(tmp_path, "0.2.0", 2, firmware("0.2.0"))
    assert "not above 2" in board.run(healthy_ms=10**9)[1][-1]


def test_a_confirmed_firmware_whose_flash_went_bad_gives_way_to_the_former(board, tmp_path):
    board.send(tmp_path, "0.2.0", 2, firmware("0.2.0"))
    board.run(healthy_ms=10**9)
    assert "19 confirmed, 0.2.0" in board.run(stop="healthy")[1]
    (board.directory / "b" / "firmware" / "app.mpy").write_bytes(b"M")
    for _ in range(2):
        assert board.run()[0] == 75
    lines = board.run(stop="healthy")[1]
    assert lines[0] == "up 0.1.0 a" and lines[1].startswith("19 reverted, 0.2.0, ")


def test_the_whole_firmware_starts_from_a_slot(tmp_path):
    """A package of all of today's firmware, as bytecode: it starts and stops when asked."""
    board = Board(tmp_path)
    sources = {
        path.replace(".py", ".mpy"): data.decode()
        for path, data in package.collect(ROOT).items()
        if path not in NOT_ON_A_DEVICE
    }
    rig.compile_to(tmp_path / "all", sources)
    site = {
        "id": "st-01",
        "key": "11" * 32,
        "link": {"kind": "tcp", "host": "127.0.0.1", "port": 9},
        "buses": [{"id": "line", "kind": "rtu", "path": str(tmp_path / "nothing")}],
        "units": [{"bus": "line", "unit": 2, "profile": "aqualabo-ntu", "poll_ms": 10000}],
    }
    for name, data in build.files(site).items():
        board.files.replace(name, data)
    ok, text, _ = rig.install(update, board.files, rig.make(tmp_path / "all", counter=1))
    assert ok, text
    done = subprocess.run(
        [interpreter(), "-X", "heapsize=256k", "main.py"],
        cwd=board.directory,
        env={**os.environ, "MICROPYPATH": ""},
        input="stop\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["final"] is True
    state = trial.load(board.files, "slot")
    assert (state["slot"], state["trying"], state["tries"]) == ("a", True, 1)


def test_a_pin_keeps_the_prompt_free(board):
    (board.directory / "hold").write_text("15\n")
    (board.directory / "io").mkdir()
    for level, expected in (("0", "nothing is started"), ("1\n", "up 0.1.0 a")):
        (board.directory / "io" / "15").write_text(level)
        assert expected in board.run(stop="healthy")[1][0]


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_without_slots_it_runs_the_files_beside(tmp_path, runtime):
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "__init__.py").write_text("")
    (tmp_path / "firmware" / "app.py").write_text(
        "import sys\ndef main():\n print('here', sys.argv[1])\n sys.exit(3)\n"
    )
    shutil.copy(ROOT / "firmware" / "starter.py", tmp_path / "main.py")
    command = interpreter() if runtime == "micropython" else sys.executable
    done = subprocess.run([command, str(tmp_path / "main.py")], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (3, f"here {tmp_path}\n"), done.stderr
