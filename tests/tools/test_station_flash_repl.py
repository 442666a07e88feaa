"""The board of these tests (repl_rig.py): real mpremote on it, and `station flash` with the whole firmware.

The interpreter, its prompt and its files are real; what was written is then started on the unix port's VM.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import mpremote.transport_serial
import pytest
import serial

from protocol.errors import ConfigError
from tests.emulated.microbit import IMAGE
from tests.firmware.bench import until
from tests.tools import flash_rig as rig
from tests.tools.repl_rig import ROOT, ReplBoard
from tools.people import Failure, UsageError
from tools.station import package
from tools.station.flash import board, carry, reach, wanted
from tools.station.flash.run import Flash, FlashOptions, run_flash
from tools.station.folder import Folder

pytestmark = pytest.mark.timeout(300)
OLD, NEW = "0.1.0", "0.2.0"


@pytest.fixture
def repl():
    with ReplBoard() as one:
        yield one


@pytest.fixture
def unpaced(monkeypatch):
    """A pty loses nothing: mpremote's pauses for lines without flow control are left out."""

    class Time:
        monotonic = staticmethod(time.monotonic)
        sleep = staticmethod(lambda seconds: time.sleep(min(seconds, 0.0005)))

    monkeypatch.setattr(mpremote.transport_serial, "time", Time)
    monkeypatch.setattr(board, "INTERRUPT_S", 0.01)


def mpremote_says(repl, *words) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", repl.port, *words],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def quantrac(repl, path, *words, status=0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "station", "flash", "--port", repl.port, "--dir", path, *words],
        capture_output=True, text=True, timeout=200, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The whole firmware in two versions."""
    place = tmp_path_factory.mktemp("packages")
    paths = {}
    for version, counter in ((OLD, 5), (NEW, 6)):
        paths[version] = place / f"{version}.update"
        paths[version].write_bytes(rig.signed_package(version, counter))
    return paths


def test_mpremote_talks_to_it(repl, tmp_path):
    content = bytes(range(256)) * 9
    (tmp_path / "file.bin").write_bytes(content)
    mpremote_says(repl, "fs", "cp", str(tmp_path / "file.bin"), ":file.bin")
    assert "file.bin" in mpremote_says(repl, "fs", "ls")
    assert hashlib.sha256(content).hexdigest() in mpremote_says(repl, "fs", "sha256sum", ":file.bin")
    assert mpremote_says(repl, "exec", "import sys; print(sys.maxsize)").strip() == str(2**31 - 1)
    assert "file.bin" in mpremote_says(repl, "soft-reset", "fs", "ls")
    repl.power_cycle()
    assert repl.tree() == {"file.bin": content}


def test_a_bare_board_becomes_a_station(repl, tmp_path, packages):
    """By the command: shown, written, repeated; then what was written starts, and greets."""
    path = rig.folder(tmp_path / "st", seal=rig.SEAL_KEY, signed=True)
    given = ("--package", str(packages[NEW]))
    said = quantrac(repl, path, *given, "--dry-run")
    assert repl.tree() == {} and (path / "device/seal.key").exists()
    assert all(len(line) <= 80 for line in said.splitlines() if str(path) not in line)
    device = {file.name: file.read_bytes() for file in (path / "device").iterdir()}
    expected = {
        **{name: source.read_bytes() for name, source in package.NEVER_UPDATED.items()},
        **device,
        "a.pkg": packages[NEW].read_bytes(),
    }
    for name, content in expected.items():
        line = next(line for line in said.splitlines() if f"write  {name} " in line)
        assert f"{len(content):,} bytes" in line and rig.sha256(content)[:16] in line

    said = quantrac(repl, path, *given, "--by", "lan")
    assert "not signed" not in said and "quantrac station console" in said
    tree = repl.tree()
    assert {name: tree[name] for name in expected} == expected and set(tree) == {*expected, "slot"}
    assert not (path / "device/seal.key").exists() and "was written over" in said

    (record,) = Folder(path).records("flashed")
    assert record["by"] == "lan" and record["image"] is None and record["counter"] == 6
    assert record["files"] == {name: rig.sha256(tree[name]) for name in tree if name != "seal.key"}
    assert rig.SEAL_KEY not in json.dumps(record)

    said = quantrac(repl, path, *given, "--json")
    assert json.loads(said)["steps"] == 0 and repl.tree() == tree

    repl.copy_to(tmp_path / "copy")
    station = asyncio.run(rig.greets(tmp_path / "copy", path))
    assert (station.id, station.hello.firmware, station.proven) == ("st-01", f"quantrac {NEW}", True)


def test_what_a_board_loads_is_what_was_written(repl, tmp_path, unpaced, packages):
    """The board's own interpreter, of 32 bits, mounts the package as the starter does and runs code of it."""
    path = rig.folder(tmp_path / "st")
    run_flash(FlashOptions(path, repl.port, package=packages[NEW]))
    one = board.ReplBoard(repl.port)
    # It is no board: what a starter does before it mounts, the watchdog, is left out.
    said = one._exec(
        "import sys,main,starter\n"
        "pack=starter.read('/a.pkg')\n"
        "__import__('vfs').mount(main.Package('/a.pkg',pack[2],pack[3]),'/qa')\n"
        "sys.path.insert(0,'/qa')\n"
        "from protocol import cbor\n"
        "print(starter.choose('/'),pack[:2],cbor.dumps({'a':[1,2.5]}).hex(),cbor.__file__)"
    )
    one.close()
    assert said.split() == ["a", "(6,", f"'{NEW}')", "a161618201fa40200000", "/qa/protocol/cbor.mpy"]


class Pulled:
    """A board behind a cable that is pulled before its n-th operation."""

    def __init__(self, inner, at, files):
        self._inner, self._at, self._files = inner, at, files
        self.about = inner.about

    def __getattr__(self, name):
        if name in ("write", "rename", "remove"):
            self._files.append(name)
            if len(self._files) > self._at:
                self._inner._transport.serial.close()
        return getattr(self._inner, name)


@pytest.mark.parametrize("at", [0, 1, 3, 5, 6])
def test_the_cable_is_pulled_from_a_station_that_runs(repl, tmp_path, unpaced, packages, monkeypatch, at):
    """New firmware and another station.json: at each of these steps a whole device starts, old or new."""
    path = rig.folder(tmp_path / "st", poll_ms=5000)
    before = tmp_path / "before"
    before.mkdir()
    old = rig.laid_out(packages[OLD].read_bytes(), path)
    for name, content in old.items():
        (before / name).write_bytes(content)
    repl.load(before)
    rig.folder(path, poll_ms=10000)
    options = FlashOptions(path, repl.port, package=packages[NEW])

    operations: list[str] = []

    def pulled(one) -> Any:
        return Pulled(one, at, operations)

    made = carry.Carrier.__init__
    monkeypatch.setattr(carry.Carrier, "__init__", lambda self, one, bars: made(self, pulled(one), bars))
    with pytest.raises(Failure, match=r"stopped answering\. \d of 4 steps are done, .* Say the same again"):
        run_flash(options)
    monkeypatch.setattr(carry.Carrier, "__init__", made)
    repl.copy_to(tmp_path / "cut")
    greeted = asyncio.run(rig.greets(tmp_path / "cut", path)).hello.firmware
    assert greeted == f"quantrac {NEW if at > 3 else OLD}"
    assert Folder(path).records("flashed") == []

    assert run_flash(options) == 0
    tree = repl.tree()
    device = path / "device"
    assert tree["station.json"] == (device / "station.json").read_bytes()
    assert tree["station.old"] == old["station.json"] and tree["b.pkg"] == packages[NEW].read_bytes()
    assert not [name for name in tree if name.endswith(".flash")]
    if at == 3:
        repl.copy_to(tmp_path / "after")
        greeted = asyncio.run(rig.greets(tmp_path / "after", path)).hello.firmware
        assert greeted == f"quantrac {NEW}"


def test_killed_in_the_middle(repl, tmp_path, packages):
    """SIGKILL while the package is being written; the same command again completes it."""
    path = rig.folder(tmp_path / "st")
    given = ["--port", repl.port, "--dir", str(path), "--package", str(packages[OLD])]
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "station", "flash", *given], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    end = time.monotonic() + rig.WAIT_S
    while repl.files().get("a.pkg.flash", 0) < 20_000:
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert set(repl.files()) == {"a.pkg.flash"}
    repl.power_cycle()
    quantrac(repl, path, "--package", str(packages[OLD]))
    assert repl.tree()["a.pkg"] == packages[OLD].read_bytes() and "a.pkg.flash" not in repl.files()


def test_ctrl_c_says_what_stands(repl, tmp_path, unpaced, packages, monkeypatch, capsys):
    path = rig.folder(tmp_path / "st", seal=rig.SEAL_KEY)
    done = board.ReplBoard.rename

    def rename(self, name, to):
        if to == "station.json":
            raise KeyboardInterrupt
        done(self, name, to)

    monkeypatch.setattr(board.ReplBoard, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        run_flash(FlashOptions(path, repl.port, package=packages[OLD]))
    said = " ".join(capsys.readouterr().out.split())
    assert "6 of 8 steps are done, and no file is half. Say the same again" in said
    assert (path / "device/seal.key").exists() and "main.py" not in repl.files()


def test_refused_before_anything_is_written(repl, tmp_path, unpaced, packages):
    mine = rig.folder(tmp_path / "mine", seal="11" * 32)
    given = {"port": repl.port, "package": packages[OLD]}
    repl.has_free(60_000)
    with pytest.raises(UsageError, match=r"KB of flash free and .* nothing was written"):
        run_flash(FlashOptions(mine, **given))
    repl.has_free(1 << 20)
    with pytest.raises(UsageError, match=r"This board is unix .*, not rp2"):
        run_flash(FlashOptions(mine, **given, board="rp2"))
    assert repl.files() == {}

    place = tmp_path / "place"
    place.mkdir()
    (place / "identity.json").write_text('{"id": "st-07"}')
    (place / "seal.key").write_text(f"3 17 {'ab' * 32} {'00' * 32}")
    repl.load(place)
    before = repl.tree()
    with pytest.raises(UsageError, match="station st-07, not st-01: nothing was written"):
        run_flash(FlashOptions(mine, **given))
    (place / "identity.json").write_text('{"id": "st-01"}')
    repl.load(place)
    with pytest.raises(UsageError, match="seals already, with another key"):
        run_flash(FlashOptions(mine, **given))
    assert {**repl.tree(), "identity.json": b""} == {**before, "identity.json": b""}
    assert (mine / "device/seal.key").exists()


def test_lines_that_lead_nowhere(repl, tmp_path, unpaced):
    path = rig.folder(tmp_path / "st")
    with (
        serial.Serial(repl.port, exclusive=True),
        pytest.raises(Failure, match="another program may have it"),
    ):
        run_flash(FlashOptions(path, repl.port))
    with pytest.raises(Failure, match=r"There is no port .*nowhere: `quantrac station scan`"):
        run_flash(FlashOptions(path, str(tmp_path / "nowhere")))
    with pytest.raises(UsageError, match='No board is called "pico"'):
        run_flash(FlashOptions(path, "x", board="pico"))
    (path / "device/station.json").unlink()
    with pytest.raises(UsageError, match=r"station\.json cannot be read .* `station new`"):
        Flash(FlashOptions(path, "x"))


def test_this_checkout_unsigned(repl, tmp_path, unpaced):
    """Without --package it is compiled here; no device would take the unsigned package as an update."""
    path = rig.folder(tmp_path / "st", signed=True)
    assert run_flash(FlashOptions(path, repl.port)) == 0
    data = repl.tree()["a.pkg"]
    read = package.read(data, None)
    assert (read.counter, read.ports, read.version) == (1, ("unix",), wanted.checkout_version())
    with pytest.raises(ConfigError, match="signature"):
        package.read(data, (path / "device/update.pub").read_bytes())
    (kept,) = (path / "backups").iterdir()
    assert kept.read_bytes() == data


def test_signed_with_a_key(repl, tmp_path, unpaced, monkeypatch):
    """The package is kept, so that a repeat finds the same to the byte; a key that is not the station's."""
    path = rig.folder(tmp_path / "st", signed=True)
    key = tmp_path / "update.pem"
    key.write_bytes(rig.update_rig.key(0))
    counters = iter(range(7, 20))
    monkeypatch.setattr(wanted.packages, "make", lambda *_: rig.signed_package(OLD, next(counters)))
    options = FlashOptions(path, repl.port, update_key=key)
    assert run_flash(options) == 0
    data = repl.tree()["a.pkg"]
    assert package.read(data, (path / "device/update.pub").read_bytes()).counter == 7
    assert run_flash(options) == 0 and "b.pkg" not in repl.files()
    repl.load(path / "device")
    assert run_flash(options) == 0 and repl.tree()["a.pkg"] == data
    key.write_bytes(rig.update_rig.key(1))
    with pytest.raises(UsageError, match="not the public half"):
        run_flash(options)


def test_a_station_frees_its_prompt_when_its_link_asks(tmp_path):
    """Where the link is the port, Ctrl-C is a byte like any other: the real firmware, on its command."""

    async def main():
        path = rig.folder(tmp_path / "st")
        cable = await rig.PtyPair(path / "link", path / "port").start()
        device = await rig.StationProcess(path / "device").start()
        try:
            await reach._ask_for_prompt(str(path / "port"), bytes.fromhex(rig.LINK_KEY))
            await until(lambda: device.restarts == 1, "it starts anew, without a prompt on this port")
        finally:
            await device.kill()
            await cable.stop()

    asyncio.run(main())


def test_a_station_that_should_greet_by_this_port_and_does_not(
    repl, tmp_path, unpaced, monkeypatch, packages
):
    """Its link is USB: the flash is not done before it greets; a clear next step, and status 1."""
    path = rig.folder(tmp_path / "st")
    identity = json.loads((path / "device/identity.json").read_bytes())
    (path / "device/identity.json").write_text(json.dumps({**identity, "link": {"kind": "usb"}}))
    monkeypatch.setattr(reach, "GREETING_S", 0.5)
    with pytest.raises(Failure, match=r"All files are there, but .* Unplug it and plug it in again"):
        run_flash(FlashOptions(path, repl.port, package=packages[OLD]))
    assert len(Folder(path).records("flashed")) == 1


def test_an_old_micropython_is_told_so(tmp_path):
    """A real one: 1.9.2 on the emulated micro:bit, by the command."""
    qemu = shutil.which("qemu-system-arm")
    assert qemu and IMAGE.exists(), "install qemu-system-arm and firmware-microbit-micropython (make servers)"
    machine = ["-M", "microbit", "-device", f"loader,file={IMAGE}", "-nographic", "-monitor", "none"]
    process = subprocess.Popen(
        [qemu, *machine, "-serial", "pty"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout
        port = re.search(r"/dev/\S+", process.stdout.readline())
        assert port
        path = rig.folder(tmp_path / "st")
        done = subprocess.run(
            [sys.executable, "-m", "tools.cli", "station", "flash", "--port", port[0], "--dir", path],
            capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 2 and "MicroPython 1.9.2 is too old" in done.stderr, done.stderr
        assert "--image" in done.stderr and "Traceback" not in done.stderr
    finally:
        process.kill()
        process.communicate()


MACHINE = """import sys
def reset():
    sys.exit()
def bootloader():
    open('/in-boot-loader', 'w').close()
    sys.exit()
"""


def test_the_watchdog_is_left_out_before_writing(repl, tmp_path, unpaced, packages, monkeypatch):
    """A `machine` on the board: it is reset with the note that keeps the starter from arming the watchdog.
    The note does not outlive the flash."""
    path = rig.folder(tmp_path / "st")
    place = tmp_path / "place"
    place.mkdir()
    for name, content in rig.laid_out(packages[OLD].read_bytes(), path).items():
        (place / name).write_bytes(content)
    (place / "machine.py").write_text(MACHINE)
    repl.load(place)
    noted = []
    again = reach.again
    monkeypatch.setattr(
        reach, "again", lambda *given: (noted.append(repl.tree().get(reach.NOTE)), again(*given))[1]
    )
    assert run_flash(FlashOptions(path, repl.port, package=packages[NEW])) == 0
    assert noted == [reach.ASKED.encode()] and reach.NOTE not in repl.files()
    assert repl.tree()["b.pkg"] == packages[NEW].read_bytes()


def test_a_greeting_by_this_port(tmp_path):
    """What is waited for where the port is the link, too."""

    async def main():
        path = rig.folder(tmp_path / "st")
        cable = await rig.PtyPair(path / "link", path / "port").start()
        device = await rig.StationProcess(path / "device").start()
        try:
            key = bytes.fromhex(rig.LINK_KEY)
            station = await asyncio.to_thread(reach.greeting, str(path / "port"), key, rig.WAIT_S)
            assert station is not None and station.id == "st-01"
        finally:
            await device.kill()
            await cable.stop()
        assert await asyncio.to_thread(reach.greeting, str(tmp_path / "nowhere"), key, 0.2) is None

    asyncio.run(main())
