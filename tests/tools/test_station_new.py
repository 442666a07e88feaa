"""`quantrac station new`: the folder that it makes, what it refuses, the keys on paper, and its questions."""

from __future__ import annotations

import codecs
import fcntl
import hashlib
import io
import json
import os
import pty
import re
import resource
import select
import stat
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from PIL import Image

from protocol import instruments
from simulator.child import dying_with_parent
from tests.firmware.bench import ROOT
from tests.tools.qr_reader import modules_of, read
from tests.tools.test_cli import quantrac
from tools.log.verify import trust_of
from tools.people import UsageError
from tools.station import build, seal_paper
from tools.station.example import TEXT
from tools.station.folder import Folder
from tools.station.site import check

BUS = ("--bus", "rs485=uart1 tx=4 rx=5 de=6")
USUAL = ("--kind", "wastewater", "--link", "usb", *BUS)
PH = ("--instrument", "supmea-sup-ph8001@rs485:1,quantities=ph+temperature")
TSS = ("--instrument", "generic-tss@rs485:2,quantities=tss")
PUBLIC = "b7" * 384
KF = "COD=rule QCVN 40:2011; column=A; kq=1; kf=1.2"


def new(folder: Path, *arguments: object) -> str:
    """What it says of a folder that it made."""
    status, out, errors = quantrac("station", "new", folder, *arguments)
    assert status == 0, errors
    return out


def refused(folder: Path, *arguments: object) -> str:
    """Why it refused, as one line of single spaces; nothing was made."""
    before = sorted(folder.parent.iterdir())
    status, out, errors = quantrac("station", "new", folder, *arguments)
    assert status == 2 and not out, (status, out, errors)
    assert sorted(folder.parent.iterdir()) == before
    assert widest(errors) < 80 or errors.count("\n") == 1
    return " ".join(errors.split())


def widest(text: str) -> int:
    """Characters of its longest line; a test's own paths are long, and not what is looked at."""
    return max((len(line) for line in text.splitlines() if "/pytest-" not in line), default=0)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# The folder


def test_a_folder_as_the_other_verbs_expect_it(tmp_path):
    (tmp_path / "update.pub").write_text(PUBLIC + "\n")
    out = new(
        tmp_path / "st-07", *USUAL, *PH, *TSS, "--limit", "pH=6..9 QCVN 40:2011 A", "--limit", "TSS=50",
        "--basis", "permit 12/GP", "--update-public", tmp_path / "update.pub", "--by", "Lan",
    )  # fmt: skip
    assert widest(out) <= 80
    folder = Folder.at(tmp_path / "st-07")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["st-07", "update.pub"]
    made = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    device = ("identity.json", "link.key", "seal.key", "station.json", "update.pub")
    assert made == {
        "site.json",
        "link.key",
        "gateway.toml",
        "records.jsonl",
        *(f"device/{n}" for n in device),
    }
    for name in ("link.key", "device/link.key", "device/seal.key"):
        assert mode(folder.path / name) == 0o600
    assert mode(folder.path) == mode(folder.path / "device") == 0o700
    assert (folder.path / "device" / "update.pub").read_text() == PUBLIC + "\n"
    assert folder.id == "st-07"  # as its folder
    key, seal = folder.key().hex(), (folder.path / "device" / "seal.key").read_text().strip()
    assert key == (folder.path / "device" / "link.key").read_text().strip() and key != seal
    kept = (folder.path / "site.json").read_text() + (folder.path / "records.jsonl").read_text()
    assert key not in kept and seal not in kept
    (record,) = folder.records("new")
    mark = hashlib.sha256(bytes.fromhex(seal)).hexdigest()[:16]
    assert (record["id"], record["by"], record["seal"]) == ("st-07", "Lan", mark) and mark in out
    files = build.files(folder.site())  # what a verb makes of site.json is what the device has
    assert files["station.json"] == (folder.path / "device" / "station.json").read_bytes()
    assert files["identity.json"] == (folder.path / "device" / "identity.json").read_bytes()
    checked = check([], folder.site())
    assert checked and [channel["name"] for channel in checked.channels] == ["ph", "temperature", "tss"]


def test_two_stations_share_no_key(tmp_path):
    keys = set()
    for name in ("a", "b"):
        new(tmp_path / name, *USUAL, *PH)
        keys |= {(tmp_path / name / "device" / file).read_text().strip() for file in ("link.key", "seal.key")}
    assert len(keys) == 4 and all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_without_a_seal(tmp_path):
    out = new(tmp_path / "s", *USUAL, *PH, "--no-seal")
    assert not (tmp_path / "s" / "device" / "seal.key").exists() and "SEAL KEY" not in out
    assert Folder.at(tmp_path / "s").records("new")[0]["seal"] is None
    assert "leave it out" in refused(
        tmp_path / "t", *USUAL, *PH, "--no-seal", "--seal-paper", tmp_path / "p.txt"
    )


def test_a_station_is_never_overwritten(tmp_path):
    new(tmp_path / "s", *USUAL, *PH)
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    assert "--again" in refused(tmp_path / "s", *USUAL, *PH)
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()} == before
    (tmp_path / "diary").write_text("mine")
    assert "name a new folder" in refused(tmp_path / "diary", *USUAL, *PH)
    (tmp_path / "empty").mkdir()
    new(tmp_path / "empty", *USUAL, *PH)
    status, _, errors = quantrac("station", "new", tmp_path / "nowhere" / "s", *USUAL, *PH)
    assert status == 2 and "make it first" in errors


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path):
    """Every file may have 1,000 bytes; the seal key's has 1,100, and is not the first."""

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [sys.executable, "-m", "tools.cli", "station", "new", str(tmp_path / "s"), *USUAL, *PH]
    paper = ["--seal-paper", str(tmp_path / "p.txt")]
    done = subprocess.run([*command, *paper], cwd=ROOT, capture_output=True, text=True, preexec_fn=small)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == [] and done.stdout == ""
    assert subprocess.run([*command, *paper], cwd=ROOT, capture_output=True).returncode == 0  # control


def test_json(tmp_path):
    made = json.loads(new(tmp_path / "s", *USUAL, *PH, "--limit", "pH=6..9 X", "--json"))
    assert made["id"] == "s" and [one["symbol"] for one in made["channels"]] == ["pH", "Temp"]
    assert seal_paper.fingerprint(made["seal_key"]) == made["seal"]
    paper = tmp_path / "p.txt"
    made = json.loads(new(tmp_path / "t", *USUAL, *PH, "--json", "--seal-paper", paper))
    assert made["seal_key"] is None and made["seal_paper"] == str(paper)


# The seal key


def key_of(folder: Path) -> str:
    return (folder / "device" / "seal.key").read_text().strip()


def test_what_is_shown_is_what_verify_takes(tmp_path):
    """As text, typed in whole or in part, and as the QR code: each is the key that the device seals with."""
    out = new(tmp_path / "s", *USUAL, *PH)
    key = key_of(tmp_path / "s")
    assert out.count("SEAL KEY") == 1 and key not in out
    typed = tmp_path / "typed"
    copied = [line.strip() for line in out.splitlines() if re.fullmatch(r"\s+[1-4](\s+[0-9a-f]{4}){5}", line)]
    assert len(copied) == 4
    for text in (
        out,  # the whole screen
        "\n".join(copied),
        "\n".join(copied).upper(),
        "\n".join(line.split(maxsplit=1)[1] for line in copied),  # without numbers
        "\n".join(line.split(maxsplit=1)[1].rsplit(maxsplit=1)[0] for line in copied),  # nor checks
        key,
    ):
        typed.write_text(text)
        trust = trust_of(None, [], [], str(typed))
        assert trust.seal_key is not None and bytes.fromhex(trust.seal_key.decode()).hex() == key
    drawn = [line[4:] for line in out.splitlines() if len(line) > 40 and not set(line[4:]) - set("█▀▄ ")]
    typed.write_text(read(modules_of(drawn)))
    trust = trust_of(None, [], [], str(typed))
    assert trust.seal_key is not None and bytes.fromhex(trust.seal_key.decode()).hex() == key


def test_a_mistake_in_copying_is_found():
    key = hashlib.sha256(b"a key").hexdigest()
    lines = seal_paper.lines(key)
    assert seal_paper.digits("\n".join(lines)) == key
    for number, line in enumerate(lines, 1):
        places = [at for at, letter in enumerate(line) if at > 1 and letter != " "]
        for at in places:  # any other digit in any place; two neighbours that changed places
            others = [line[:at] + other + line[at + 1 :] for other in "0123456789abcdef" if other != line[at]]
            swapped = list(line)
            after = places[places.index(at) + 1] if at != places[-1] else at
            swapped[at], swapped[after] = line[after], line[at]
            for wrong in (*others, *(["".join(swapped)] if "".join(swapped) != line else [])):
                text = "\n".join([*lines[: number - 1], wrong, *lines[number:]])
                with pytest.raises(ValueError, match=f"line {number} is not as on the paper"):
                    seal_paper.digits(text)
    bare = [line.split(maxsplit=1)[1] for line in lines]
    for order in ((1, 0, 2, 3), (0, 1, 3, 2), (0, 0, 2, 3)):  # also without their numbers
        with pytest.raises(ValueError, match="line"):
            seal_paper.digits("\n".join(bare[i] for i in order))
        with pytest.raises(ValueError, match="line"):
            seal_paper.digits("\n".join(lines[i] for i in order))
    for text in ("", "no key", "\n".join(lines[:3]), "\n".join(lines + bare[:1]), key[:-1], "x" * 64):
        with pytest.raises(ValueError):
            seal_paper.digits(text)


def test_control_without_its_check_a_mistake_is_not_found():
    key = hashlib.sha256(b"a key").hexdigest()
    bare = [line[4:23] for line in seal_paper.lines(key)]
    wrong = ("0" if bare[0][0] != "0" else "1") + bare[0][1:]
    assert seal_paper.digits("\n".join([wrong, *bare[1:]])) != key


def test_a_key_that_was_typed_wrongly_is_a_sentence_of_verify(tmp_path):
    lines = seal_paper.lines("ab" * 32)
    typed = tmp_path / "typed"
    typed.write_text("\n".join([*lines[:2], lines[2].replace("abab", "abad", 1), lines[3]]))
    with pytest.raises(UsageError, match="line 3 is not as on the paper"):
        trust_of(None, [], [], f"st-01={typed}")


@pytest.mark.parametrize("suffix", ["svg", "png", "txt"])
def test_a_seal_key_on_its_way_to_paper_is_not_shown(tmp_path, suffix):
    paper = tmp_path / f"paper.{suffix}"
    out = new(tmp_path / "s", *USUAL, *PH, "--seal-paper", paper)
    key = key_of(tmp_path / "s")
    assert mode(paper) == 0o600 and str(paper) in " ".join(out.split())
    assert key[:4] not in out and seal_paper.lines(key)[0] not in out and "█" not in out
    content = paper.read_bytes()
    if suffix == "txt":
        assert seal_paper.digits(content.decode()) == key
    elif suffix == "png":
        image = Image.open(io.BytesIO(content))
        size, left, top = 41 * 20, (1240 - 41 * 20) // 2, 60
        pixel = image.load()
        assert pixel is not None
        rows = [
            [int(pixel[left + x + 10, top + y + 10] == 0) for x in range(0, size, 20)]  # type: ignore[operator]
            for y in range(0, size, 20)
        ]
        assert read(rows) == key.upper()
    else:
        module = 80 / 41
        rows = [[0] * 41 for _ in range(41)]
        for x, y in re.findall(rb"M([0-9.]+) ([0-9.]+)h", content):
            rows[round((float(y) - 5) / module)][round((float(x) - 12.5) / module)] = 1
        assert read(rows) == key.upper()
        text = re.sub(r"<[^>]*>", "\n", content.decode())
        assert seal_paper.digits(text) == key


def test_paper_goes_nowhere_wrong(tmp_path):
    folder, there = tmp_path / "s", tmp_path / "there.png"
    there.write_bytes(b"another station's")
    for path, why in (
        (tmp_path / "s" / "p.png", "outside of"),
        (tmp_path / "s" / "device" / ".." / "p.svg", "outside of"),
        (tmp_path / "p.pdf", "ends in"),
        (tmp_path / "none" / "p.txt", "no folder"),
        (there, "exists already"),
    ):
        assert why in refused(folder, *USUAL, *PH, "--seal-paper", path)
    assert there.read_bytes() == b"another station's"


# What does not fit


def test_all_faults_at_once_each_with_what_to_write(tmp_path):
    said = refused(
        tmp_path / "s", "--kind", "sewer", "--link", "uart1 tx=4 rx=7",
        "--bus", "rs485=uart1 tx=4 rx=5 de=6", "--bus", "two=uart2 tx=9", "--bus", "lan=tcp plant:502",
        "--id", "St",
        "--instrument", "supmea-sup-ph8001@rs485:2,quantities=ph",
        "--instrument", "generic-tss@rs485:2,quantities=tss,baud=19200",
        "--instrument", "generic-water@rs485:3,quantities=ph,rename.ph=ph-2",
        "--instrument", "generic-tss@rs485:4,quantities=tss+x",
        "--instrument", "tss@rs485:5",
        "--instrument", "generic-flow@rs485:300,quantities=flow,speed=1",
        "--limit", "TSS=50", "--limit", "COD=75 A", "--limit", "pH=9..6 QCVN",
    )  # fmt: skip
    for words in (
        'kind "sewer": write --kind with one of wastewater, stack',
        "bus rs485: the link has uart1, write another UART",
        "bus rs485: the link has pin 4, write another",
        "bus two: rx= is missing",
        "bus lan: write tcp ADDRESS:PORT with an IPv4 address",
        "id = 'St': write small letters",
        "(generic-tss@rs485:2).unit = 2: instrument 1 (supmea-sup-ph8001@rs485:2) has this address",
        "talks with baud 19200, bus rs485 with 9600",
        'generic-tss has no "x", write one of tss, temperature',
        'channel "tss" exists already',
        'no profile is called "tss": write one of',
        'unknown "speed", write one of poll_ms',
        "unit = 300: write a whole number from 1 to 247",
        "limit of TSS: on what is it based?",
        "limit of COD: no such channel, write one of pH, TSS",
        "channel ph-2.symbol: 'pH' is already the symbol of channel ph",
    ):
        assert words in said, (words, said)
    assert int(re.findall(r"(\d+) faults", said)[0]) >= 16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bus", "rs485=COM3"), "write"),
        (("--bus", "rs485=uart1 tx=4 rx=4"), "pin 4 stands twice"),
        (("--bus", "rs485=uart1 tx=4 rx=5 dx=6"), '"dx=6" is no pin'),
        (("--bus", "rs485=/dev/ttyUSB0 baud=fast"), "baud is a number"),
        (("--bus", "rs485=/dev/ttyUSB0 baud=9601"), "write one of 1200"),
        (("--bus", "rs485=/dev/ttyUSB0 parity=X"), "write one of N, E, O"),
        (("--bus", "uart1 tx=4 rx=5"), "write ID=PATH"),
        (("--link", "tcp gateway.local:7311"), "IPv4 address"),
        (("--link", "wire"), "write"),
        (("--gateway-link", "serial:ttyACM0"), "is not the path of a serial port"),
        (("--update-public", "/dev/null"), "holds no public key"),
        (("--limit", "pH"), "write SYMBOL=FIGURE BASIS"),
        (("--limit", "pH=high QCVN"), "write SYMBOL=FIGURE BASIS"),
        (("--limit", "pH=rule QCVN 1:1999"), "there is no rule"),
        (("--limit", "pH=rule QCVN 40:2011"), "has columns"),
        (("--limit", "pH=6..9 QCVN 40:2011 A\x07"), "basis"),
        (("--instrument", "generic-tss@rs485"), "has this address"),
        (("--instrument", "generic-tss@rs485:4,range=0..9,quantities=tss+temperature"), "range= of which"),
        (("--instrument", "generic-tss@rs485:4,range.tss=9..0"), "is no range"),
        (("--instrument", "generic-tss@rs485:4,quantities=tss,range.x=0..9"), "not a chosen quantity"),
        (("--instrument", "generic-tss@rs485:4,quantities=tss,symbol.x=T"), "is no chosen quantity"),
        (("--instrument", "generic-tss@rs485:4,quantities=tss,symbol.tss=T S"), "'T S' cannot stand"),
        (("--instrument", "generic-tss@rs485:4,quantities=tss,poll_ms=1"), "from 10 to 86400000"),
        (("--instrument", "hach-tss-sc@rs485:4"), "answers.order: open, write one of ABCD, CDAB, BADC, DCBA"),
        (("--instrument", "hach-tss-sc@rs485:4,ask.order=AABB"), "answers.order = 'AABB': write one of"),
        (("--instrument", "generic-tss@rs485:4,ask.order=ABCD"), "answers.order: no such question"),
    ],
)  # fmt: skip
def test_a_fault_says_what_to_write(tmp_path, arguments, words):
    base = ("--kind", "wastewater", *(() if "--link" in arguments else ("--link", "usb")))
    base += () if "--bus" in arguments else BUS
    assert words in refused(
        tmp_path / "s", *base, "--instrument", "supmea-sup-ph8001@rs485:1,quantities=ph", *arguments
    )


def test_control_what_those_faults_are_compared_with_is_good(tmp_path):
    new(tmp_path / "s", *USUAL, "--instrument", "supmea-sup-ph8001@rs485:1,quantities=ph")


@pytest.mark.parametrize(
    ("instrument", "limit", "said"),
    [
        ("generic-tss@rs485:2,quantities=tss,range=0..150", "TSS=50 X", None),
        ("generic-tss@rs485:2,quantities=tss,range=0..149", "TSS=50 X", "149 mg/l (as you wrote it)"),
        ("generic-tss@rs485:2,quantities=tss", "TSS=666 X", None),
        ("generic-tss@rs485:2,quantities=tss", "TSS=667 X", "its profile's, no range= was written)"),
        ("generic-tss@rs485:2,quantities=tss,range=0..3000", "TSS=667 X", None),  # wider than plausible
        ("hach-codmax2@rs485:2,range=0..300", KF, None),
        ("hach-codmax2@rs485:2,range=0..200", KF, "which is 270"),
        ("generic-tss@rs485:2,quantities=temperature", "Temp=40 X", None),  # 3 x 40 oC means nothing
        ("generic-water@rs485:2,quantities=do,range=0..20", "DO=2..8 X", None),  # nor of a scale
    ],
)  # fmt: skip
def test_the_measuring_range_reaches_three_times_the_limit(tmp_path, instrument, limit, said):
    arguments = (*USUAL, "--instrument", instrument, "--limit", limit)
    if said is None:
        new(tmp_path / "s", *arguments)
    else:
        found = refused(tmp_path / "s", *arguments)
        assert said in found and "Điều 35" in found and "range.QUANTITY=0.." in found


def test_a_range_is_what_the_device_and_the_gateway_believe(tmp_path):
    new(tmp_path / "s", *USUAL, "--instrument", "generic-tss@rs485:2,quantities=tss,range=0..3000")
    station = json.loads((tmp_path / "s" / "device" / "station.json").read_text())
    (value,) = station["units"][0]["values"]
    assert (value["min"], value["max"]) == (0.0, 3000.0)
    assert "plausible = [0.0, 3000.0]" in (tmp_path / "s" / "gateway.toml").read_text()


def test_a_profile_of_another_kind_of_station_is_a_note(tmp_path):
    out = new(tmp_path / "s", *USUAL, "--instrument", "sick-visic100sf@rs485:1,quantities=dust")
    assert "its profile is for stack, not for wastewater" in " ".join(out.split())


def test_what_a_profile_asks_is_answered_and_kept(tmp_path):
    """The word order of an instrument whose document leaves it open."""
    for order in ("ABCD", "CDAB"):
        new(tmp_path / order, *USUAL, "--instrument", f"hach-tss-sc@rs485:4,ask.order={order.lower()}")
        site = Folder.at(tmp_path / order).site()
        assert site["units"][0]["answers"] == {"order": order}
        station = json.loads((tmp_path / order / "device" / "station.json").read_text())
        assert {value["order"] for value in station["units"][0]["values"]} == {order}
    new(tmp_path / "CDAB", "--again", "--limit", "TSS=50 X")  # answers are among what stays
    assert Folder.at(tmp_path / "CDAB").site()["units"][0]["answers"] == {"order": "CDAB"}


def test_a_number_is_asked_for_as_a_number(tmp_path):
    asks = {ask.id: ask.kind for ask in instruments.load("siemens-hydroranger").asks}
    assert asks["span"] == "number"
    unit = "siemens-hydroranger@rs485:1,ask.order=ABCD,ask.base=40001,ask.span=2.5,ask.total=1"
    new(tmp_path / "s", *USUAL, "--instrument", unit)
    answers = Folder.at(tmp_path / "s").site()["units"][0]["answers"]
    assert answers == {"order": "ABCD", "base": 40001, "span": 2.5, "total": 1}


# A file of choices


def test_the_example_fits_as_it_is(tmp_path):
    status, out, _ = quantrac("station", "new", "--example")
    assert status == 0 and out == TEXT
    (tmp_path / "e.toml").write_text(out)
    new(tmp_path / "s", "--from", tmp_path / "e.toml")
    assert Folder.at(tmp_path / "s").id == "st-01"
    out = new(tmp_path / "t", "--from", tmp_path / "e.toml", "--id", "kr-02", "--limit", "pH=none")
    assert Folder.at(tmp_path / "t").id == "kr-02" and "at least 6" not in out and "at most 50" in out


def test_every_line_of_the_example_that_is_not_in_force_is_a_choice(tmp_path):
    """Uncommented, all keys are known; what is still refused has nothing to do with their names."""
    text = re.sub(r"(?m)^# (?=[\w.]+ = |\[)", "", TEXT)
    text = re.sub(r"(?m)^(link|gateway_link|update_public|seal|answers|rename|COD) = .*", lambda m: (
        'link = "uart0 tx=0 rx=1"' if m[1] == "link" else ""), text)  # fmt: skip
    text = text.replace('symbol = "Level"', 'symbol = "Level"\nsent = false')
    (tmp_path / "e.toml").write_text(text)
    status, _, errors = quantrac("station", "new", tmp_path / "s", "--from", tmp_path / "e.toml")
    assert status == 0, errors
    site = Folder.at(tmp_path / "s").site()
    assert site["network"]["kind"] == "w5500" and site["analogs"][0]["channel"] == "level"
    identity = json.loads((tmp_path / "s" / "device" / "identity.json").read_text())
    assert identity["network"]["cs"] == 17
    for name in ("site.json", "device/identity.json"):  # a network's password may stand there
        assert mode(tmp_path / "s" / name) == 0o600


def test_faults_in_a_file(tmp_path):
    (tmp_path / "bad.toml").write_text(
        'id = 5\nlink = "wire"\ncolour = "red"\n[buses]\na = "x"\n'
        '[[instrument]]\nprofil = "y"\n[limits]\npH = 9\n'
    )
    said = refused(tmp_path / "s", "--from", tmp_path / "bad.toml")
    for words in ("id = 5", 'link "wire"', "colour: unknown", "bus a: write", "profil: unknown", "limits.pH"):
        assert words in said
    (tmp_path / "no.toml").write_text("id = ")
    assert "is no TOML" in refused(tmp_path / "s", "--from", tmp_path / "no.toml")
    assert "--example" in refused(tmp_path / "s", "--from", tmp_path / "absent.toml")


# Again


def test_again_keeps_identity_and_keys_and_says_what_changed(tmp_path):
    folder = tmp_path / "s"
    new(folder, *USUAL, *PH, *TSS, "--limit", "TSS=50 X", "--limit", "pH=6..9 X", "--by", "Lan")
    keys = {path: path.read_bytes() for path in folder.rglob("*.key")}
    mark = Folder.at(folder).records("new")[0]["seal"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "nothing was changed" in new(folder, "--again")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    out = new(folder, "--again", "--limit", "TSS=60 permit", "--link", "/dev/ttyS0", "--by", "Minh")
    assert (
        '~ channel tss: limits {"max": 50.0, "basis": "X"} -> {"max": 60.0, "basis": "permit"}'
        in " ".join(out.split())
    )
    assert "~ device/identity.json" in out and "~ gateway.toml" in out and "station.json" not in out
    assert "SEAL KEY" not in out
    assert {path: path.read_bytes() for path in folder.rglob("*.key")} == keys
    first, second = Folder.at(folder).records("new")
    assert (second["seal"], second["again"], second["by"]) == (mark, True, "Minh") and "again" not in first
    assert any("identity.json" in line for line in second["changed"])

    out = " ".join(new(folder, "--again", *TSS).split())
    for words in (
        "- instrument supmea-sup-ph8001@rs485:1",
        "- channel ph",
        "! limits of ph, which is no more",
        "~ device/station.json",
    ):
        assert words in out
    station = json.loads((folder / "device" / "station.json").read_text())
    assert [channel["name"] for channel in station["channels"]] == ["tss"]
    assert (
        "60.0" in (folder / "gateway.toml").read_text() and "pH" not in (folder / "gateway.toml").read_text()
    )


def test_again_after_the_device_has_its_seal_key(tmp_path):
    """`flash` has handed it over: it is not made anew, and not asked for."""
    folder = tmp_path / "s"
    new(folder, *USUAL, *PH)
    (folder / "device" / "seal.key").unlink()
    new(folder, "--again", "--instrument", "supmea-sup-ph8001@rs485:3,quantities=ph")
    assert not (folder / "device" / "seal.key").exists()
    assert Folder.at(folder).records("new")[-1]["seal"] is not None


def test_again_keeps_what_other_verbs_wrote(tmp_path):
    """Calibrations in site.json stay with their channels."""
    folder = tmp_path / "s"
    new(folder, *USUAL, *PH, *TSS)
    path = folder / "site.json"
    site = json.loads(path.read_text())
    site["calibrations"] = {"ph": {"id": 3, "points": [[0.0, 0.5], [10.0, 10.25]]}}
    path.write_text(json.dumps(site))
    new(folder, "--again", "--limit", "TSS=50 X")
    assert json.loads(path.read_text())["calibrations"]["ph"]["id"] == 3
    out = new(folder, "--again", *TSS)
    assert "! calibration of ph, which is no more" in out


def test_again_refuses_another_identity(tmp_path):
    folder = tmp_path / "s"
    new(folder, *USUAL, *PH)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "--again keeps the id s" in refused(folder, "--again", "--id", "t")
    assert "keeps the seal key" in refused(folder, "--again", "--no-seal")
    assert "has this address" in refused(
        folder, "--again", *PH, "--instrument", "generic-tss@rs485:1,quantities=tss"
    )
    assert "no station's folder" in refused(tmp_path / "x", "--again")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# Questions, on a real terminal


class Terminal:
    """The command on a pty of 80 columns. `seen` is all that it showed."""

    def __init__(self, *arguments: object) -> None:
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._new = ""
        self._fd, user = pty.openpty()
        die_with_us = dying_with_parent()

        def prepare() -> None:
            die_with_us()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C goes to whoever has the terminal

        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "station", "new", *map(str, arguments)],
            stdin=user, stdout=user, stderr=user, cwd=ROOT, start_new_session=True,
            env={**os.environ, "COLUMNS": "80"}, preexec_fn=prepare,
        )  # fmt: skip
        os.close(user)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def until(self, words: str) -> str:
        """What is shown up to these words, which come."""
        end = time.monotonic() + 60
        while words not in self._new:
            assert time.monotonic() < end, f"never shown: {words}\n{self.seen}"
            assert self._read(), f"ended before: {words}\n{self.seen}"
        found, self._new = self._new.split(words, 1)
        return found + words

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], 0.5)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # its other side is closed
            return False
        text = self._decoder.decode(data).replace("\r", "")  # a letter may come in two pieces
        self.seen, self._new = self.seen + text, self._new + text
        return bool(data)

    def answer(self, question: str, text: str = "") -> None:
        """Wait for the question, whole, and answer it."""
        self.until(question)
        self.until(": ")
        os.write(self._fd, text.encode() + b"\n")

    def press(self, key: bytes) -> None:
        os.write(self._fd, key)

    def ended(self, again: bytes = b"") -> int:
        """Its exit status. `again`: a key that is pressed once more when nothing comes of it for a while: a
        signal that falls between two steps of Python and its reading is only noticed with the next one.
        """
        end, press = time.monotonic() + 60, time.monotonic() + 10
        while self._read():
            assert time.monotonic() < end, self.seen
            if again and time.monotonic() > press:
                self.press(again)
                press += 10
        return self.process.wait(60)


def through(terminal: Terminal) -> None:
    """Every answer until the summary: one instrument with a limit."""
    for question, text in (
        ("Name of the station", ""), ("What it watches", ""), ("How it reaches", ""), ("How the gateway", ""),
        ("Line 1", ""), ("Line 2", ""), ("Instrument 1", "codmax"), ("address", "5"), ("Speed", ""),
        ("Asked every", ""), ("Instrument 2", ""), ("Limit of COD", "75"), ("based", "QCVN 40:2011 A"),
        ("Range", "0..300"), ("seal key", ""), ("update.pub", ""),
    ):  # fmt: skip
        terminal.answer(question, text)


def test_a_technician_is_asked_goes_back_and_gets_help(tmp_path):
    with Terminal(tmp_path / "kr-01", "--by", "Lan") as terminal:
        terminal.answer("Name of the station [kr-01]", "<")
        terminal.until("This is the first question.")
        terminal.answer("Name of the station [kr-01]", "?")
        terminal.until("It stays for the station's")
        terminal.answer("Name of the station", "KR 01")
        terminal.until("small letters")
        terminal.answer("Name of the station", "kr-1")
        terminal.answer("What it watches", "7")
        terminal.until("Write a number from 1 to 6")
        terminal.answer("What it watches", "waste")
        terminal.answer("How it reaches its gateway [usb]", "<")  # corrects what was said before
        terminal.answer("What it watches [wastewater]", "<")
        terminal.answer("Name of the station [kr-1]", "kr-02")
        terminal.answer("What it watches [wastewater]", "")
        terminal.answer("How it reaches", "uart0 tx=0 rx=1")
        terminal.answer("How the gateway reaches it [serial:/dev/ttyUSB0?baud=115200]", "ttyUSB0")
        terminal.until("is not a link")
        terminal.answer("How the gateway", "")
        terminal.answer("Line 1", "rs485=uart1 tx=4")
        terminal.until("rx= is missing")
        terminal.answer("Line 1", "rs485=uart1 tx=4 rx=5 de=6 baud=9600")
        terminal.answer("Line 2", "")
        terminal.answer("Instrument 1", "cod")
        assert "eh-ca80-cod" in terminal.until("hach-codmax2")
        terminal.answer("Instrument 1", "hach-codmax2")
        terminal.answer("address on rs485", "5")
        terminal.answer("Speed", "19200 N 1")
        terminal.until("has baud 9600")
        terminal.answer("Speed", "9600 N 1")
        terminal.answer("Asked every", "30")
        terminal.answer("Instrument 2", "hach-tss-sc")
        terminal.answer("address on rs485", "5")
        terminal.until("hach-codmax2 has address 5")
        terminal.answer("address on rs485", "6")
        terminal.answer("Speed", "")
        terminal.answer("DCBA)", "?")  # what its profile asks
        terminal.until("leaves this open")
        terminal.answer("DCBA)", "cdab")
        terminal.answer("What of it is taken", "tss")
        terminal.answer("Asked every", "")
        terminal.answer("Instrument 3", "")
        terminal.answer("Limit of COD", "rule QCVN 40:2011")
        terminal.until("has columns")
        terminal.answer("Limit of COD", "75")
        terminal.answer("based", "QCVN 40:2011 A")
        terminal.answer("Range that the instrument is set to [0..1000]", "0..100")
        terminal.until("below 3 times the limit, 225")
        terminal.answer("Range", "0..300")
        terminal.answer("Limit of TSS", "50")
        terminal.answer("based [QCVN 40:2011 A]", "")
        terminal.answer("Range", "")
        terminal.answer("seal key", "")
        terminal.answer("update.pub", "")
        shown = terminal.until("Write it to")
        assert "hach-codmax2 at rs485:5, every 30 s" in shown and "at most 75, QCVN 40:2011 A" in shown
        assert not (tmp_path / "kr-01").exists()  # nothing before the last word
        terminal.until(": ")
        terminal.press(b"\n")
        assert terminal.ended() == 0, terminal.seen
    folder = Folder.at(tmp_path / "kr-01")
    site = folder.site()
    assert folder.id == "kr-02" and site["link"] == {"kind": "serial", "path": "uart0 tx=0 rx=1"}
    assert site["units"][1]["answers"] == {"order": "CDAB"}
    assert site["units"][0]["ranges"] == {"cod": [0.0, 300.0]}
    assert folder.records("new")[0]["by"] == "Lan"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.seen)
    assert widest("\n".join(line for line in plain.splitlines() if "]: " not in line)) <= 80  # what is typed
    assert "Traceback" not in plain
    assert seal_paper.digits(plain) == key_of(tmp_path / "kr-01")
    drawn = [line[4:] for line in plain.splitlines() if len(line) > 40 and not set(line[4:]) - set("█▀▄ ")]
    assert read(modules_of(drawn)) == key_of(tmp_path / "kr-01").upper()


def test_what_does_not_fit_at_the_end_is_corrected_by_going_back(tmp_path):
    with Terminal(tmp_path / "s") as terminal:
        for question, text in (
            ("Name", ""), ("watches", ""), ("How it reaches", "uart1 tx=8 rx=9"), ("How the gateway", ""),
            ("Line 1", ""), ("Line 2", ""), ("Instrument 1", "codmax"), ("address", "5"), ("Speed", ""),
            ("Asked", ""), ("Instrument 2", ""), ("Limit", ""), ("seal key", "no"), ("update.pub", ""),
        ):  # fmt: skip
            terminal.answer(question, text)
        terminal.until("the link has uart1")
        terminal.answer("goes back", "<")
        for question in (
            "update.pub", "seal key", "Limit", "Instrument 2", "Asked", "Speed", "address", "Instrument 1",
            "Line 2", "Line 1", "How the gateway",
        ):  # fmt: skip
            terminal.answer(question, "<")
        terminal.answer("How it reaches its gateway [uart1 tx=8 rx=9]", "usb")
        terminal.answer("How the gateway reaches it [serial:/dev/ttyUSB0?baud=115200]", "serial:/dev/ttyACM0")
        for question in (
            "Line 1", "Line 2", "Instrument 1: its profile [codmax]", "address on rs485 [5]", "Speed",
            "Asked", "Instrument 2", "Limit", "seal key, which the inspector keeps [no]",
            "update.pub", "Write it to",
        ):  # fmt: skip
            terminal.answer(question, "")  # what was answered before is offered again
        assert terminal.ended() == 0, terminal.seen
    assert Folder.at(tmp_path / "s").site()["units"][0]["unit"] == 5
    assert not (tmp_path / "s" / "device" / "seal.key").exists()


@pytest.mark.parametrize(
    ("at", "key"),
    [("first", b"\x03"), ("middle", b"\x03"), ("middle", b"\x04"), ("last", b"\x03"), ("last", b"no\n")],
    ids=repr,
)
def test_giving_up_leaves_nothing_behind(tmp_path, at, key):
    with Terminal(tmp_path / "s", "--seal-paper", tmp_path / "p.txt") as terminal:
        if at == "first":
            terminal.until("Name of the station")
        elif at == "middle":
            terminal.answer("Name of the station", "")
            terminal.until("What it watches")
        else:
            through(terminal)
            terminal.until("Write it to")
        terminal.until(": ")
        terminal.press(key)
        assert terminal.ended(key if key == b"\x03" else b"") == 130, terminal.seen
        assert "Nothing was written." in terminal.seen and "Traceback" not in terminal.seen
    assert list(tmp_path.iterdir()) == []


def test_what_a_scan_found_is_offered(tmp_path):
    scan = {
        "kind": "scanned", "at_ms": 1, "by": "", "port": "/dev/ttyUSB0", "hints": [],
        "units": [
            {"unit": unit, "baud": 19200, "parity": "E", "stopbits": 1, "profile": profile, "hints": ["look"],
             "word_order": "CDAB"}
            for unit, profile in ((7, "hach-tss-sc"), (9, None))
        ],
    }  # fmt: skip
    (tmp_path / "records.jsonl").write_text(json.dumps({"kind": "new"}) + "\n" + json.dumps(scan) + "\n{cut")
    (tmp_path / "scan.json").write_text(json.dumps(scan, indent=1))
    for n, where in enumerate((tmp_path, tmp_path / "scan.json")):
        with Terminal(tmp_path / f"s{n}", "--scan", where) as terminal:
            for question in ("Name", "watches", "How it reaches", "How the gateway", "Line 1", "Line 2"):
                terminal.answer(question, "")
            for question in (
                "Instrument 1: its profile [hach-tss-sc]", "rs485 [7]", "[19200 E 1]", "DCBA) [CDAB]",
                "What of it", "Asked",
            ):  # fmt: skip
                terminal.answer(question, "")
            terminal.answer("Instrument 2", "-")
            for question in ("Limit", "Limit", "seal key", "update.pub", "Write it to"):
                terminal.answer(question, "")
            assert terminal.ended() == 0, terminal.seen
        (unit,) = Folder.at(tmp_path / f"s{n}").site()["units"]
        assert (unit["unit"], unit["baud"], unit["parity"]) == (7, 19200, "E")
        assert unit["answers"] == {"order": "CDAB"} and "look" in terminal.seen
    with Terminal(tmp_path / "s", "--scan", tmp_path / "s0") as terminal:
        assert terminal.ended() == 2 and "holds no scan" in terminal.seen
