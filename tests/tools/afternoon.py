"""The technician's afternoon, recorded: every step with the real command, against the simulator.

    python -m tests.tools.afternoon OUT

OUT/afternoon.txt is what was typed and seen on a terminal of 80x30; OUT/certificate.pdf and
OUT/commissioning-sheet.pdf are what came of it. It takes about ten minutes. Names in /dev/shm stand for the
serial ports, as long as the names in /dev that the recording shows for them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.instruments import load
from simulator.drifting import Drift, let_drift
from simulator.mixed_ends import Rfc2217End
from simulator.mixed_line import MixedFaults, MixedLine, MixedUnit, reordered
from simulator.signals import Shape
from tests.firmware.bench import ROOT
from tests.tools.afternoon_rig import Site
from tests.tools.repl_rig import ReplBoard
from tests.tools.station_folder_rig import photo
from tests.tools.terminal import Program

SHM = Path("/dev/shm")
ACM, S0, S1 = SHM / "ACM", SHM / "0", SHM / "1"
SHOWN = {ACM: "/dev/ttyACM0", S0: "/dev/ttyS0", S1: "/dev/ttyS1"}
DOOR, PUMP = 10, 20
HURRY = 60
HEADER = """\
The technician's afternoon, recorded against the simulator

Made by `python -m tests.tools.afternoon OUT`: every command is the real one, on
a terminal of 80x30. Lines that begin with "$ " were typed at the prompt; what
was typed to a question stands behind it. Lines that begin with "# " are remarks
of the recording. A bar or a table that is drawn over itself stands here once,
as it stood last; a bar that goes when it is done does not stand here.

What is not as at a site:
- The instruments are simulated ones, on ptys. Each serial port is a pty, shown
  by the name that it would have: /dev/ttyACM0 the laptop's cable to the board,
  /dev/ttyS0 and /dev/ttyS1 the device's own two ports. The adapter of the scan
  is a serial server (RFC 2217) on this machine, since a pty has no parity.
- `flash` writes onto a MicroPython of 32 bits under Node, through its REPL.
  What is then on that board is taken off it, byte by byte, and started on
  MicroPython's unix port. Both call themselves "unix", so the packages are made
  for that; on a Pico they are made with --board rp2, which is the default.
- Where the device is started anew (before each verb that needs it) it greets at
  once; a technician waits up to 22 s for that. The update's ten healthy minutes
  pass {hurry} times as fast. All else is real time, and no gateway runs.
- The digits of the seal key, and its QR code, are left out. The two PDFs have
  the ptys' own names, in /dev/shm.
"""


class Recording:
    """`text` grows; a command that ends otherwise than expected ends the afternoon."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.text = HEADER.format(hurry=HURRY)

    def remark(self, text: str) -> None:
        self.text += "\n" + textwrap.fill(text, 78, initial_indent="# ", subsequent_indent="# ") + "\n"

    def shows(self, name: str) -> None:
        """`cat` of a file."""
        self.text += f"\n$ cat {name}\n{(self._place / name).read_text(encoding='utf-8').rstrip()}\n"

    @contextmanager
    def typed(self, line: str, status: int | None = 0) -> Iterator[Program]:
        """`quantrac station ...` as it is typed; the body is who answers."""
        words = _words(line)
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        environment["PYTHONPATH"] = str(ROOT)
        with Program([sys.executable, "-m", "tools.cli", *words], self._place, environment) as program:
            yield program
            ended = program.ended(900)
        assert status in (None, ended), f"{line}: {ended}\n{program.screen.text()}"
        said = program.screen.text()
        assert "Traceback" not in said, said
        for row in said.splitlines():
            assert len(row) <= 80, row
        self.text += f"\n{_prompt(line)}\n{_shown(said)}\n"
        if ended:
            self.remark(f"exit status {ended}")

    def runs(self, line: str, status: int | None = 0) -> None:
        """One that asks nothing."""
        with self.typed(line, status):
            pass


def _prompt(line: str) -> str:
    """As it is typed, over several lines where it is long."""
    given = re.sub(r'"([^"]*)"', lambda quoted: quoted[0].replace(" ", "\0"), f"$ quantrac {line}")
    lines = textwrap.wrap(given, 78, break_long_words=False, break_on_hyphens=False, subsequent_indent="    ")
    return " \\\n".join(lines).replace("\0", " ")


def _words(line: str) -> list[str]:
    for path, name in SHOWN.items():
        line = line.replace(name, str(path))
    return shlex.split(line)


def _shown(said: str) -> str:
    said = said.replace(str(ACM), SHOWN[ACM])
    said = re.sub(r"/dev/shm/([01])\b", r"/dev/ttyS\1", said)
    said = re.sub(
        r"(?m)^( +[1-4]   )[0-9a-f]{4}( [0-9a-f]{4}){3} +[0-9a-f]{4}$", r"\1(its digits, left out)", said
    )
    lines = said.splitlines()
    code = [i for i, line in enumerate(lines) if re.search("[█▀▄]{4}", line) and "seal" not in line]
    if len(code) > 15:
        lines[code[0] : code[-1] + 1] = ["    (its QR code, left out)"]
    return "\n".join(lines)


# ---- the steps


def scan(record: Recording, site: Site) -> None:
    record.remark("The bus, before anything else. Somebody has wired A and B the wrong way round.")
    line = MixedLine(_units(site, "CDAB"), MixedFaults(swapped=True))
    with Rfc2217End(line) as end:
        record.runs(f"station scan --port {end.url}", status=1)
        record.remark("A and B exchanged at the adapter; nothing else was touched.")
        line.faults.swapped = False
        record.runs(f"station scan --port {end.url}", status=None)


def scan_again(record: Recording, site: Site) -> None:
    record.remark('The sensor for solids is set from "CDAB" to "ABCD"; now the station\'s folder knows more.')
    with Rfc2217End(MixedLine(_units(site, "ABCD"))) as end:
        record.runs(f"station scan --port {end.url} --dir st-01 --by Lan")


def _at(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _units(site: Site, order: str) -> list[MixedUnit]:
    ph, cod, nh4, _ = _instruments(site)
    tss = site.instrument(reordered(load("aqualabo-ntu"), order), 4, {"tss": Shape(31.0)}, 1)
    return [
        MixedUnit(one.device, quiet=quiet)
        for one, quiet in ((ph, False), (cod, True), (nh4, True), (tss, True))
    ]


def _instruments(site: Site):
    return (
        site.instrument(
            "supmea-sup-ph8001", 1, {"ph": Shape(7.2, noise=0.01), "temperature": Shape(27.4)}, 1
        ),
        site.instrument("yosemitech-y550", 2, {"cod": Shape(41.0, turbulence=0.5)}, 2),
        site.instrument("yosemitech-y560", 3, {"nh4": Shape(2.1, turbulence=0.05)}, 20),
        site.instrument("aqualabo-ntu", 4, {"tss": Shape(31.0, turbulence=0.5)}, 1),
    )


STATION = """\
id = "st-01"
kind = "wastewater"
link = "/dev/ttyS0 baud=115200"
gateway_link = "serial:/dev/ttyACM0?baud=115200"
basis = "QCVN 40:2011 A"
update_public = "keys/update.pub"

[buses]
rs485 = "/dev/ttyS1"

[[instrument]]
profile = "supmea-sup-ph8001"
bus = "rs485"
unit = 1
quantities = ["ph", "temperature"]
poll_ms = 5000

[[instrument]]
profile = "yosemitech-y550"
bus = "rs485"
unit = 2
quantities = ["cod"]
range = { cod = [0, 500] }
poll_ms = 5000

[[instrument]]
profile = "yosemitech-y560"
bus = "rs485"
unit = 3
quantities = ["nh4"]
range = { nh4 = [0, 50] }
poll_ms = 5000

[[instrument]]
profile = "aqualabo-ntu"
bus = "rs485"
unit = 4
quantities = ["tss"]
range = { tss = [0, 500] }
poll_ms = 5000

[limits]
pH = { min = 6.0, max = 9.0 }
COD = { max = 75.0 }
NH4 = { max = 5.0 }
TSS = { max = 50.0 }

[[inputs]]
id = "door"
kind = "door"
pin = 10

[[outputs]]
id = "pump"
kind = "relay"
pin = 20
"""


def new(record: Recording, place: Path) -> None:
    record.remark("The keys of updates, once for all stations; then this station's choices and its folder.")
    record.runs("station package keygen keys")
    text = STATION
    (place / "station.toml").write_text(text)
    record.shows("station.toml")
    for path in (S0, S1):
        text = text.replace(SHOWN[path], str(path))
    (place / "station.toml").write_text(text)
    record.runs("station new st-01 --from station.toml --by Lan")


def flash(record: Recording, place: Path, path: Path) -> Path:
    record.remark("The firmware as a signed package, and a bare board with MicroPython.")
    record.runs(
        "station package make --key keys/update.pem --version 0.1.0 --board unix --out st-0.1.0.update"
    )
    with ReplBoard() as bare:
        _at(ACM, bare.port)
        line = "station flash --dir st-01 --port /dev/ttyACM0 --package st-0.1.0.update"
        record.runs(f"{line} --dry-run")
        record.runs(f"{line} --by Lan")
        board = path / "board"
        board.mkdir()
        bare.copy_to(board)
    ACM.unlink()
    return board


def look(record: Recording) -> None:
    record.remark("The board runs, with its instruments.")
    record.runs("station read --port /dev/ttyACM0 --dir st-01 --once")


def pin(board: Path, number: int, level: int) -> None:
    part = board / "io" / f"{number}.part"
    part.parent.mkdir(exist_ok=True)
    part.write_text(str(level))
    part.replace(board / "io" / str(number))


def test_io(record: Recording, board: Path) -> None:
    record.remark("Somebody works the door of the cabinet, watches the relay, and reads the displays.")
    with record.typed("station test-io --port /dev/ttyACM0 --dir st-01 --by Lan") as lan:
        lan.see("leaves door out")
        time.sleep(2)
        pin(board, DOOR, 1)
        lan.answer("switch it on for 2 s? y/n/s", "y\n")
        lan.see("pump is off again")
        lan.answer("y/n", "y\n")
        for _ in ("cod", "nh4", "tss"):  # no maker vouches for their maps
            lan.answer("display show the same? [y/n/s] >", "y\n")


def calibrate(record: Recording, move: Callable[[float | None], None]) -> None:
    record.remark("COD reads too low: the sensor has drifted. It is calibrated with two standards.")
    with record.typed(
        "station calibrate cod --port /dev/ttyACM0 --dir st-01 --by Lan --zero 0 --span 100 "
        '--standard "VMI-26/118;100;1.0;2027-05-01" --serial A-4711'
    ) as lan:
        for standard in (0.0, 100.0):
            lan.see(f"standard of {standard:g} mg/l")
            move(standard)
            lan.type("\n")
        lan.answer("Write it to the station?", "y\n", 300)
        lan.see("Put the probe back")
        move(None)
        lan.type("\n")


def finish(record: Recording, place: Path, site: Site, board: Path) -> None:
    record.remark("A new firmware. The device's clock runs faster while it proves itself.")
    record.runs(
        "station package make --key keys/update.pem --version 0.2.0 --board unix --dir st-01 "
        "--out st-0.2.0.update"
    )
    site.power(board, HURRY)
    with record.typed("station update st-0.2.0.update --port /dev/ttyACM0 --dir st-01 --by Lan") as lan:
        lan.answer("[y/N]", "y\n")
    site.power(board)
    record.remark("What a replacement needs, a photograph, and the commissioning sheet.")
    record.runs("station backup --dir st-01 --port /dev/ttyACM0 --by Lan")
    (place / "cabinet.jpg").write_bytes(photo("cabinet, open"))
    record.runs('station photo cabinet.jpg --dir st-01 --what "cabinet, open" --by Lan')


def report(record: Recording, site: Site, board: Path) -> None:
    site.power(board)
    record.runs("station report --dir st-01 --port /dev/ttyACM0 --check", status=1)


def afternoon(out: Path) -> None:
    """The whole of it. AssertionError with what was seen instead."""
    out.mkdir(parents=True, exist_ok=True)
    for path in SHOWN:
        assert not os.path.lexists(path), f"{path} is there: another recording runs, or remove it"
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary)
        place = path / "place"
        place.mkdir()
        record = Recording(place)
        try:
            with Site(path, S1, S0, ACM) as site:
                _steps(record, site, place, path)
            (certificate,) = (place / "st-01" / "certificates").glob("*.pdf")
            shutil.copy(certificate, out / "certificate.pdf")
            sheet = sorted((place / "st-01").glob("*.pdf"))
            shutil.copy(sheet[0], out / "commissioning-sheet.pdf")
        finally:
            (out / "afternoon.txt").write_text(record.text, encoding="utf-8")
            for port in SHOWN:
                port.unlink(missing_ok=True)


def _steps(record: Recording, site: Site, place: Path, path: Path) -> None:
    scan(record, site)
    new(record, place)
    scan_again(record, site)
    board = flash(record, place, path)
    instruments = _instruments(site)
    probe = let_drift(instruments[1], "cod", Drift(0.88, 2.0, noise=0.1, response_s=2.0))
    site.serve([one.device for one in instruments])
    pin(board, DOOR, 0)
    site.power(board)
    look(record)
    site.power(board)
    test_io(record, board)
    site.power(board)
    calibrate(record, lambda standard: probe.move(site.clock.now_ms(), standard))
    finish(record, place, site, board)
    report(record, site, board)


if __name__ == "__main__":
    afternoon(Path(sys.argv[1]))
