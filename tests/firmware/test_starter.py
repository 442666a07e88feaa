"""The starter picks a package, counts its starts on trial and goes back; the same for a configuration."""

import functools
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from firmware import starter, trial
from firmware.files import Files
from tests.firmware import update_rig as rig
from tests.protocol.test_runtimes import HEAP, ROOT, interpreter
from tools.station import package

CONFIRMED, NEW = 4, 5  # the counters of two packages
STATE = {"slot": "b", "old": "a", "version": "5", "counter": 5, "highest": 5, "trying": True, "tries": 0}


@functools.cache
def package_of(counter):
    return rig.make(rig.firmware(f"{counter:03}"), counter=counter, version=str(counter))


def damaged(counter, at=-9):
    data = bytearray(package_of(counter))
    data[at] ^= 1
    return bytes(data)


def device(tmp_path, state=None, a=None, b=None):
    """The root of a device with these packages: a counter, or what is in the file instead."""
    tmp_path.mkdir(exist_ok=True)
    for name in ("a.pkg", "b.pkg", "slot"):
        (tmp_path / name).unlink(missing_ok=True)
    for slot, data in (("a", a), ("b", b)):
        if data is not None:
            (tmp_path / f"{slot}.pkg").write_bytes(package_of(data) if isinstance(data, int) else data)
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
        assert state["reverted"] == ["5", "did not live ten minutes, 2 times"]
        assert (state["version"], state["counter"], state["highest"]) == ("4", 4, 5)
        assert not state["trying"] and state["tries"] == 0


def test_a_confirmed_slot_is_started_for_ever_and_costs_no_flash(tmp_path):
    root = device(tmp_path, {**STATE, "trying": False}, CONFIRMED, NEW)
    before = (tmp_path / "slot").stat().st_mtime_ns
    assert [starter.choose(root) for _ in range(9)] == ["b"] * 9
    assert (tmp_path / "slot").stat().st_mtime_ns == before


def test_with_nowhere_to_go_back_to_it_goes_on_trying(tmp_path):
    root = device(tmp_path, {**STATE, "old": None}, None, NEW)
    assert [starter.choose(root) for _ in range(9)] == ["b"] * 9
    for former in (None, damaged(CONFIRMED), b""):  # gone, or no package any more
        root = device(tmp_path, STATE, former, NEW)
        assert [starter.choose(root) for _ in range(9)] == ["b"] * 9


def test_back_to_the_files_beside(tmp_path):
    root = device(tmp_path, {**STATE, "slot": "a", "old": "", "tries": 2}, NEW)
    assert starter.choose(root) == "" and state_of(tmp_path)["reverted"][0] == "5"
    assert starter.choose(root) == ""


@pytest.mark.parametrize(
    "torn", [None, "", "{", '"b"', "[]", "{}", '{"slot": "c"}', '{"slot": ["a"]}', "\0" * 99]
)
def test_without_a_state_the_newest_whole_package_is_tried(tmp_path, torn):
    for a, b, starts in (
        (CONFIRMED, NEW, "bbaaa"),  # nothing says that it lives: two starts, then the other one
        (NEW, CONFIRMED, "aabbb"),
        (NEW, 6, "bbaaa"),
        (None, NEW, "bbbbb"),  # nowhere to go back to
        (CONFIRMED, None, "aaaaa"),
        (CONFIRMED, damaged(NEW), "aaaaa"),
        (damaged(CONFIRMED), NEW, "bbbbb"),
        (CONFIRMED, package_of(NEW)[:-1], "aaaaa"),
        (CONFIRMED, package_of(NEW) + b"\0", "aaaaa"),
        (b"[9, 1]", NEW, "bbbbb"),
        (None, None, ["", "", ""]),
    ):
        root = device(tmp_path, torn, a, b)
        assert [starter.choose(root) for _ in starts] == list(starts), (a, b)
        whole = [counter for counter in (a, b) if isinstance(counter, int)]
        if whole:
            assert state_of(tmp_path)["highest"] == max(whole)


def test_a_file_that_is_damaged_is_left_for_the_other_one_and_told(tmp_path):
    for trying in (True, False):
        root = device(tmp_path, {**STATE, "trying": trying, "old": "a"}, CONFIRMED, damaged(NEW))
        assert [starter.choose(root) for _ in range(3)] == ["a"] * 3
        state = state_of(tmp_path)
        assert state["reverted"] == ["5", "its file is damaged"]
        assert (state["version"], state["highest"], state["trying"]) == ("4", 5, False)
    root = device(tmp_path, {**STATE, "trying": False, "old": None}, CONFIRMED, None)  # gone
    assert starter.choose(root) == "a" and state_of(tmp_path)["reverted"][1] == "its file is damaged"


def test_with_nothing_whole_it_starts_what_is_damaged(tmp_path):
    """A flash that loses bits may have lost them in what is never used."""
    for state in (STATE, {**STATE, "trying": False}, None, "{"):
        root = device(tmp_path, state, damaged(CONFIRMED), damaged(NEW))
        assert starter.choose(root) == ("b" if isinstance(state, dict) else "a")
        root = device(tmp_path, state, b"", damaged(NEW))
        assert [starter.choose(root) for _ in range(5)] == ["b"] * 5
        root = device(tmp_path, state, b"QTUPDATE", package_of(NEW)[:2000])
        assert starter.choose(root) == ""


def test_every_byte_of_a_package_that_is_started_counts(tmp_path):
    data = package_of(NEW)
    length = int.from_bytes(data[8:10], "big")
    digest = data.index(hashlib.sha256(data[10 + length + 384 :]).hexdigest().encode())
    path = tmp_path / "one"
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :])
        must_be_seen = at < 10 or digest <= at < digest + 64 or at >= 10 + length + 384
        assert starter.read(path) is None or not must_be_seen, at
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert starter.read(path) is None and starter.read(path, False) is None, length


def test_a_state_about_another_package_is_none(tmp_path):
    """The power went between the two steps of an installation over a state that could not be kept before."""
    root = device(tmp_path, {**STATE, "trying": False, "counter": 3}, CONFIRMED, NEW)
    assert starter.choose(root) == "b"
    state = state_of(tmp_path)
    assert (state["trying"], state["tries"], state["old"], state["version"]) == (True, 1, "a", "5")


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
    with monkeypatch.context() as worn:
        worn.setattr(starter.os, "rename", fails)
        assert starter.choose(root) == "a" and state_of(tmp_path) == STATE
        device(tmp_path, {**STATE, "trying": False}, damaged(CONFIRMED), NEW)
        assert starter.choose(root) == "b"
        device(tmp_path, None, CONFIRMED, NEW)
        assert starter.choose(root) == "a"  # the older one lived once
        device(tmp_path, STATE, damaged(CONFIRMED), NEW)
        assert starter.choose(root) == "b"  # uncounted, but the only one


def test_control_a_start_that_is_not_counted_is_caught(tmp_path):
    careless = rig.broken(
        "starter",
        (
            '                state["tries"] += 1\n                _save(root, state)\n',
            "                pass\n",
        ),
    )
    root = device(tmp_path, STATE, CONFIRMED, NEW)
    assert [careless.choose(root) for _ in range(9)] == ["b"] * 9  # for ever: what the first test is against


def test_control_contents_that_nobody_looks_at_are_caught(tmp_path):
    careless = rig.broken("starter", ("binascii.hexlify(sha.digest()) != digest", "False"))
    path = tmp_path / "one"
    path.write_bytes(damaged(NEW))
    assert careless.read(path) is not None  # what three tests above are against


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

    def provision(self, tmp_path, sources):
        rig.compile_to(tmp_path / "provisioned", sources)
        data = rig.make(tmp_path / "provisioned", version="0.1.0", counter=1)
        for name, content in package.layout(data, package.public_text(rig.key(0))).items():
            self.files.replace(name, content)

    def send(self, tmp_path, version, counter, sources, **more):
        folder = tmp_path / version
        rig.compile_to(folder, sources)
        files = {**package.collect(folder), **more}
        self.files.replace("inbox/package", rig.make(files, version=version, counter=counter))

    def run(self, healthy_ms=50, stop="", hangs=0):
        """One start: (exit status, None when the watchdog had to end it; lines of the console).

        hangs: the watchdog ends it some time after this try was counted.
        """
        done = subprocess.Popen(
            [interpreter(), "-X", f"heapsize={HEAP}", "main.py"],
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
    board.provision(tmp_path, firmware("0.1.0"))
    return board


def test_a_package_that_works_is_tried_and_confirmed_on_the_unix_port(board, tmp_path):
    assert set(os.listdir(board.directory)) == {
        *("main.py", "starter.py", "a.pkg", "slot", "update.pub", "state", "inbox")
    }
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
    assert sorted(name for name in os.listdir(board.directory) if "py" in name) == ["main.py", "starter.py"]


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
    more = {} if how else {"firmware/app.mpy": b"M\x05" + bytes(99)}
    board.send(tmp_path, "0.2.0", 2, firmware("0.2.0", **how), **more)
    before = board.files.read("a.pkg")
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
    assert lines[-1] == "healthy" and board.files.read("a.pkg") == before
    assert board.run(stop="healthy")[1] == ["up 0.1.0 a", "healthy"]  # heard, and no longer told
    board.send(tmp_path, "0.2.0", 2, firmware("0.2.0"))
    assert "not above 2" in board.run(healthy_ms=10**9)[1][-1]


def test_a_confirmed_firmware_whose_flash_went_bad_gives_way_to_the_former(board, tmp_path):
    board.send(tmp_path, "0.2.0", 2, firmware("0.2.0"))
    board.run(healthy_ms=10**9)
    assert "19 confirmed, 0.2.0" in board.run(stop="healthy")[1]
    with open(board.directory / "b.pkg", "r+b") as file:
        file.seek(-100, 2)
        file.write(b"?")
    lines = board.run(stop="healthy")[1]
    assert lines[:2] == ["up 0.1.0 a", "19 reverted, 0.2.0, its file is damaged"]
    assert board.run(stop="healthy")[1] == ["up 0.1.0 a", "healthy"]


def test_a_package_is_a_file_system_for_import(tmp_path):
    """What import asks for: packages with and without __init__, what is not there, frozen and built-in."""
    sources = {
        "firmware/__init__.mpy": (ROOT / "firmware/__init__.py").read_text() + "A = 1\n",
        "firmware/app.mpy": """
import sys, os, json, asyncio
import firmware.inner.deep.leaf as leaf
from firmware.bare import thing
from firmware.lazy import call
import protocol.big
def fails(work, *given):
    try:
        work(*given)
    except (ImportError, OSError) as error:
        return type(error).__name__
def main():
    import firmware
    print(firmware.A, leaf.N, thing.T, protocol.big.LAST, "firmware.app" in sys.modules)
    print([fails(__import__, name) for name in (
        "firmware.missing", "firmware.inn", "firmware.bare.nothing", "missing", "firmware.ap", "a")])
    print([fails(open, "/qa/" + name) for name in (
        "firmware/app", "firmware", "firmware/app.py", "firmware/missing.mpy", "../slot", "")])
    print([os.stat("/qa/" + name)[0] for name in ("firmware/app.mpy", "firmware", "firmware/inner/deep")])
    add = "firmware.late", "add"
    print(call(*add, 2, 3), "firmware.late" in sys.modules, call(*add, 4, 5))
    print(__file__, leaf.__file__)
    leaf.crash()
""",
        "firmware/bare/thing.mpy": "T = 'thing'\n",
        "firmware/inner/__init__.mpy": "",
        "firmware/inner/deep/__init__.mpy": "from firmware.inner.deep.leaf import N\n",
        "firmware/inner/deep/leaf.mpy": "N = 7\n\n\ndef crash():\n    1 // 0\n",
        "firmware/late.mpy": "def add(x, y):\n    return x + y\n",
        "firmware/lazy.mpy": (ROOT / "firmware/lazy.py").read_text(),
        "protocol/big.mpy": "".join(f"x{i} = 'text {i}'\n" for i in range(300)) + "LAST = x299\n",
    }
    board = Board(tmp_path)
    board.provision(tmp_path, sources)
    status, lines = board.run()
    assert lines[:6] == [
        "1 7 thing text 299 True",
        str(["ImportError"] * 6),
        str(["OSError"] * 6),
        str([0x8000, 0x4000, 0x4000]),
        "5 False 9",
        "/qa/firmware/app.mpy /qa/firmware/inner/deep/leaf.mpy",
    ], lines
    # confirmed, and there is nowhere to go: what ended it is shown, and the process ends with it
    assert status == 1 and lines[-1] == "ZeroDivisionError: divide by zero"
    assert '  File "firmware/inner/deep/leaf.mpy", line 5, in crash' in lines


def test_a_pin_keeps_the_prompt_free(board):
    (board.directory / "hold").write_text("15\n")
    (board.directory / "io").mkdir()
    for level, expected in (("0", "nothing is started"), ("1\n", "up 0.1.0 a")):
        (board.directory / "io" / "15").write_text(level)
        assert expected in board.run(stop="healthy")[1][0]


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_without_packages_it_runs_the_files_beside(tmp_path, runtime):
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "__init__.py").write_text("")
    (tmp_path / "firmware" / "app.py").write_text(
        "import sys\ndef main():\n print('here', sys.argv[1])\n sys.exit(3)\n"
    )
    for name, path in package.NEVER_UPDATED.items():
        shutil.copy(path, tmp_path / name)
    command = interpreter() if runtime == "micropython" else sys.executable
    run = functools.partial(subprocess.run, capture_output=True, text=True, cwd=ROOT)
    done = run([command, str(tmp_path / "main.py")])
    assert (done.returncode, done.stdout, done.stderr) == (3, f"here {tmp_path}\n", ""), done.stderr
    if runtime == "cpython":  # cannot mount one, and says so
        (tmp_path / "a.pkg").write_bytes(package_of(NEW))
        done = run([command, str(tmp_path / "main.py")])
        assert (done.returncode, done.stdout) == (3, f"here {tmp_path}\n")
        assert "MicroPython only" in done.stderr
