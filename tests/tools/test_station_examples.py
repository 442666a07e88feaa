"""The example in every `quantrac station VERB --help` is run; help and output fit 80 columns; no traceback.

A verb without an entry in CASES and WRONG fails. What stands for the silicon: the device is the firmware out
of its package on the unix port's MicroPython, a bare board is a MicroPython under Node, and each name in /dev
that an example has is a name in dev/ of the folder it is run in.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from simulator.drifting import Drift, DriftingSignal, let_drift
from simulator.mixed_ends import PtyEnd
from simulator.mixed_line import MixedLine, MixedUnit
from simulator.signals import Shape
from tests.firmware.bench import ROOT
from tests.tools.afternoon_rig import Site
from tests.tools.calibrate_hurried import TIMES
from tests.tools.repl_rig import ReplBoard
from tests.tools.station_folder_rig import photo
from tests.tools.terminal import Program
from tests.tools.test_cli import quantrac, verbs
from tools.station import build, package, packages
from tools.station.folder import Folder

pytestmark = [pytest.mark.xdist_group("station examples"), pytest.mark.timeout(300)]

CLI = "tools.cli"
WAIT_S = 200.0
BACKUP = "st-01-20260325-100000.zip"
VERBS = [" ".join(verb) for verb in verbs() if verb[0] == "station"]
STATION = """
id = "st-01"
kind = "wastewater"
link = "usb"
basis = "QCVN 40:2011 A"
update_public = "keys/update.pub"
[buses]
rs485 = "uart1 tx=4 rx=5 de=6"
[[instrument]]
profile = "supmea-sup-ph8001"
bus = "rs485"
unit = 1
quantities = ["ph", "temperature"]
poll_ms = 5000
[[instrument]]
profile = "generic-tss"
bus = "rs485"
unit = 2
quantities = ["tss"]
rename = { tss = "cod" }
symbol = { tss = "COD" }
range = { tss = [0, 500] }
poll_ms = 5000
[limits]
pH = { min = 6.0, max = 9.0 }
COD = { max = 75.0 }
"""


class Case(NamedTuple):
    """How an example is run: what is added, how fast the station's clock runs, what must not be there yet.

    `says` has to be in what it prints. The rate 0: no station is needed.
    """

    says: str
    more: tuple[str, ...] = ()
    rate: int = 0
    typed: str = ""
    absent: str = ""
    module: str = CLI


CASES = {
    "station scan": Case("generic-tss", ("--settings", "9600-8N1", "--units", "1-8")),
    "station new": Case("Made st-01", absent="st-01"),
    "station flash": Case("write main.py"),
    "station read": Case("cod", ("--once",), rate=1),
    "station test-io": Case("recorded in", ("--yes", "--seconds", "1"), rate=1),
    "station console": Case("st-01", rate=1, typed="status\nquit\n"),
    "station calibrate": Case(
        "calibration 1 is in force",
        ("--within", "150", "--serial", "A-4711", "--standard", "VMI-22/118;100;1.0;2126-05-01"),
        TIMES,
        module="tests.tools.calibrate_hurried",
    ),
    "station update": Case("0.2.0", rate=300),
    "station package keygen": Case("update.pem", absent="keys"),
    "station package make": Case("0.2.0 for rp2", absent="st-0.2.0.update"),
    "station package show": Case("0.2.0"),
    "station backup": Case("backups/st-01-", rate=1),
    "station restore": Case("st-01-again"),
    "station photo": Case("photos/"),
    "station report": Case("pdf"),
    "station profile list": Case("eh-cm44x"),
    "station profile show": Case("eh-cm44x"),
    "station profile check": Case("my-meter"),
}
NOWHERE = ("--port", "dev/nowhere")
OTHER = ("--dir", "other")
WRONG = {
    "station scan": [
        NOWHERE,
        (*OTHER, "--port", "dev/ttyUSB0"),
        ("--port", "dev/ttyUSB0", "--settings", "x"),
    ],
    "station new": [(), ("st-01", "--from", "station.toml"), ("x", "--from", "absent.toml")],
    "station flash": [("--dir", "st-01", *NOWHERE), (*OTHER, "--port", "dev/ttyACM0")],
    "station read": [("--dir", "st-01", "--once", *NOWHERE), (*OTHER, "--once", "--port", "dev/ttyUSB0")],
    "station test-io": [("--dir", "st-01", "--yes", *NOWHERE), (*OTHER, "--port", "dev/ttyUSB0")],
    "station console": [("--dir", "st-01", *NOWHERE), (*OTHER, "--port", "dev/ttyUSB0")],
    "station calibrate": [
        ("cod", "--dir", "st-01", "--by", "Lan", "--zero", "0", "--span", "100", *NOWHERE),
        ("cod", *OTHER, "--by", "Lan", "--zero", "0", "--span", "100", "--port", "dev/ttyUSB0"),
        ("cod", "--dir", "st-01", "--by", "Lan", "--zero", "0"),
    ],
    "station update": [
        ("st-01-0.2.0.update", "--dir", "st-01", "--yes", *NOWHERE),
        ("st-01-0.2.0.update", *OTHER, "--port", "dev/ttyUSB0"),
        ("absent.update", "--dir", "st-01", "--port", "dev/ttyUSB0"),
    ],
    "station package keygen": [("keys",)],
    "station package make": [
        ("--key", "absent.pem", "--version", "0.2.0", "--out", "x.update"),
        ("--key", "keys/update.pem", "--version", "0.2.0", "--out", "x.update", "--board", "pico"),
    ],
    "station package show": [("absent.update",), ("cabinet.jpg",)],
    "station backup": [OTHER, ("--dir", "st-01", *NOWHERE)],
    "station restore": [(BACKUP, "st-01"), ("absent.zip", "again"), ("cabinet.jpg", "again")],
    "station photo": [
        ("cabinet.jpg", *OTHER, "--what", "cabinet"),
        ("absent.jpg", "--dir", "st-01", "--what", "cabinet"),
    ],
    "station report": [OTHER, ("--dir", "st-01", "--lang", "fr"), ("--dir", "st-01", *NOWHERE)],
    "station profile list": [("--kind", "river")],
    "station profile show": [("no-such-meter",)],
    "station profile check": [("absent.toml",), ("cabinet.jpg",)],
}


class Done(NamedTuple):
    status: int
    out: str
    errors: str


def run(
    place: Path, *words: str, typed: str = "", module: str = CLI, hooks: dict[str, Callable] | None = None
) -> Done:
    """`quantrac ...` in this folder; `hooks`: once it has said a text, that is done and its answer typed."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=place, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    stdin, said = process.stdin, ["", ""]
    left = dict(hooks or {})

    def read(which: int, pipe: Any) -> None:
        while data := os.read(pipe.fileno(), 4096):
            said[which] += data.decode("utf-8", "replace")
            for words in [words for words in left if words in " ".join(said[which].split())]:
                stdin.write(left.pop(words)())
                stdin.flush()

    readers = [threading.Thread(target=read, args=one) for one in ((0, process.stdout), (1, process.stderr))]
    try:
        for reader in readers:
            reader.start()
        process.stdin.write(typed)
        process.stdin.flush()
        if not hooks:
            process.stdin.close()
        status = process.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        status = -1  # its test says what it had printed
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
    return Done(status, *said)


def assert_for_people(done: Done) -> None:
    for line in done.out.splitlines():
        assert len(line) <= 80 or line.startswith("  quantrac "), line  # a command to copy stays one line
    for line in done.errors.splitlines():  # a sentence: broken on a terminal only
        assert len(line) <= 80 or done.errors.count("\n") == 1, line
    assert "Traceback" not in done.out + done.errors


class World(NamedTuple):
    place: Path  # the prepared folder; each test has a copy
    site: Site
    board: Path
    probe: DriftingSignal


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    """A technician's folder with all that examples name, and a site; made with the verbs themselves."""
    path = tmp_path_factory.mktemp("examples")
    place, board = path / "place", path / "board"
    place.mkdir()
    (place / "station.toml").write_text(STATION)
    for words in (("package", "keygen", "keys"), ("new", "st-01", "--from", "station.toml")):
        done = run(place, "station", *words)
        assert done.status == 0, done
    done = run(place, "station", "backup", "--dir", "st-01", "--out", BACKUP)
    assert done.status == 0, done
    pem = (place / "keys" / "update.pem").read_bytes()
    new = packages.make(pem, "0.2.0", "unix", 2)
    for name in ("st-0.2.0.update", "st-01-0.2.0.update"):
        (place / name).write_bytes(new)
    (place / "cabinet.jpg").write_bytes(photo("cabinet"))
    profile = (ROOT / "protocol" / "instruments" / "supmea-sup-ph8001.toml").read_text(encoding="utf-8")
    (place / "my-meter.toml").write_text(profile.replace('"supmea-sup-ph8001"', '"my-meter"'), "utf-8")
    with Site(path) as site:
        _board(board, place, site, new, pem)
        ph = site.instrument("supmea-sup-ph8001", 1, {"ph": Shape(7.2), "temperature": Shape(27.0)}, 1)
        cod = site.instrument("generic-tss", 2, {"tss": Shape(42.0)}, 0.1)
        probe = let_drift(cod, "tss", Drift(0.9, 3.0, noise=0.05))
        site.serve([ph.device, cod.device])
        again = [
            site.instrument("supmea-sup-ph8001", 1, {}, 1).device,
            site.instrument("generic-tss", 2, {}, 1).device,
        ]
        with PtyEnd(MixedLine([MixedUnit(device) for device in again])) as end, ReplBoard() as bare:
            dev = place / "dev"
            dev.mkdir()
            (dev / "station").symlink_to(site.port)
            (dev / "bare").symlink_to(bare.port)
            (dev / "ttyUSB0").symlink_to(end.url)
            yield World(place, site, board, probe)


def _board(board: Path, place: Path, site: Site, new: bytes, pem: bytes) -> None:
    """What lies on the running device: the files of the folder, ptys for its UARTs, firmware 0.1.0."""
    wired = Folder.at(place / "st-01").site()
    wired["link"] = {"kind": "serial", "path": str(site.link), "baud": 115200}
    wired["buses"][0]["path"] = str(site.bus)
    board.mkdir()
    build.write(board, wired)
    now = package.read(new, None)
    name = "firmware/station.mpy"
    files = {**now.files, name: now.files[name].replace(b"quantrac 0.2.0", b"quantrac 0.1.0")}
    times = {"created_ms": now.created_ms, "expires_ms": now.expires_ms}
    old = package.make(files, pem, version="0.1.0", counter=1, ports=["unix"], **times)
    for file, data in package.layout(old, package.public_text(pem)).items():
        (board / file).write_bytes(data)


@pytest.fixture
def place(world, tmp_path) -> Path:
    return Path(shutil.copytree(world.place, tmp_path / "place", symlinks=True))


def test_every_verb_is_here():
    assert set(CASES) == set(WRONG) == set(VERBS)


def example_of(verb: str) -> list[str]:
    """The words of the example in its help, which fits 80 columns."""
    done = Done(*quantrac(*verb.split(), "--help"))
    assert done.status == 0
    assert_for_people(done)
    text = re.search(r"Example: quantrac (.*?)\n\s*\n", done.out, re.DOTALL)
    assert text, done.out
    return shlex.split(" ".join(text[1].split()))


@pytest.mark.parametrize("verb", VERBS)
def test_its_example_is_run(world, place, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    case = CASES[verb]
    words = [word.replace("/dev/", "dev/") for word in example_of(verb)]
    assert words[: len(verb.split())] == verb.split()
    (place / "dev" / "ttyACM0").symlink_to("bare" if verb == "station flash" else "station")
    if case.absent:
        gone = place / case.absent
        assert gone.exists()  # else the name in the example has changed
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    if case.rate:
        world.site.power(world.board, case.rate)
    hooks = {}
    if verb == "station calibrate":

        def into(standard: float | None) -> Callable[[], str]:
            return lambda: world.probe.move(world.site.clock.now_ms(), standard) or "\n"

        hooks = {
            "standard of 0 mg/l": into(0.0),
            "standard of 100 mg/l": into(100.0),
            "Write it to the station?": lambda: "y\n",
            "Put the probe back": into(None),
        }
    done = run(place, *words, *case.more, typed=case.typed, module=case.module, hooks=hooks)
    assert done.status == 0, done.out + done.errors
    assert_for_people(done)
    assert case.says in " ".join((done.out + done.errors).split()), done.out


@pytest.mark.parametrize("verb", VERBS)
def test_used_wrongly_it_says_a_sentence(world, place, verb, monkeypatch):
    monkeypatch.chdir(place)
    (place / "dev" / "ttyACM0").symlink_to("bare")
    for words in WRONG[verb]:
        status, out, errors = quantrac(*verb.split(), *words)
        said = errors or out  # `profile check` prints what it found
        assert status in (1, 2) and said.strip(), (words, out, errors)
        assert len(said.splitlines()) <= 4 and "Quantrac made a mistake" not in said, (words, said)


@pytest.mark.parametrize("verb", ["station read", "station package keygen", "station scan"])
def test_on_a_terminal_a_sentence_is_broken_between_words(world, place, verb):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", CLI, *verb.split(), *WRONG[verb][0]]
    with Program(command, place, environment) as program:
        status = program.ended()
    lines = program.said.splitlines()
    assert status in (1, 2) and len(lines) > 1 and max(map(len, lines)) <= 80, lines


BROKEN = {
    "flash": ("--port", "dev/bare"),
    "console": ("--port", "dev/station", "--seconds", "1"),
    "photo": ("cabinet.jpg", "--what", "cabinet"),
    "backup": (),
    "report": (),
}


@pytest.mark.parametrize("verb", BROKEN)
def test_a_mistake_of_ours_is_a_sentence_and_a_traceback_only_with_debug(place, verb):
    words = ("station", verb, *BROKEN[verb], "--dir", "st-01")
    done = run(place, *words, module="tests.tools.station_broken")
    assert done.status == 1 and "ZeroDivisionError" in done.errors and "--debug" in done.errors
    assert_for_people(done)
    for line in (("--debug", *words), (*words, "--debug")):
        done = run(place, *line, module="tests.tools.station_broken")
        assert done.status == 1 and "Traceback" in done.errors and "station_broken.py" in done.errors


def test_the_recorded_afternoon_is_fit_to_be_shown():
    shown = ROOT / "tools" / "station"
    text = (shown / "afternoon.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80 and "Traceback" not in text and "/dev/shm/0" not in text
    assert not re.search(r"([0-9a-f]{4} ){4}", text)  # the seal key's digits
    typed = re.findall(r"^\$ quantrac (station (?:package \w+|[\w-]+))", text, re.MULTILINE)
    left_out = {"station restore", "station console", "station package show"}
    assert set(typed) == {verb for verb in VERBS if "profile" not in verb} - left_out
    for name in ("certificate.pdf", "commissioning-sheet.pdf"):
        data = (shown / "shown" / name).read_bytes()
        assert data.startswith(b"%PDF") and len(data) < 300_000
