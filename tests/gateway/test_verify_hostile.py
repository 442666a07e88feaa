"""Bundles made by an enemy: one sentence, whatever is in them, and little memory."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gateway import verify_bundle
from gateway.journal import leaf as leaves
from gateway.journal.kinds import CONFIGURATION, EVENT, FRAME, HELLO, POLL, WINDOW
from gateway.verify import Trust, verify
from gateway.verify_bundle import entry_name, proof_name
from gateway.verify_places import opened
from protocol import cbor
from protocol.merkle import EvidenceError
from protocol.note import COSIGNATURE, verifier_of
from tests.gateway.bundle_rig import Memory, forged, simple, wrong
from tests.gateway.evidence_rig import Story

MEMORY_MAX = 200_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Story, Memory]:
    return simple(tmp_path_factory.mktemp("hostile"), 3)


@pytest.fixture(scope="module")
def bundle(made) -> Memory:
    return made[1]


def said(path: Path) -> str:
    """What verify() says of a bundle on disk; "" for nothing wrong."""
    try:
        found = opened(path)
        try:
            list(verify(found, Trust()))
        finally:
            found.close()
    except EvidenceError as error:
        return str(error)
    return ""


def test_each_file_missing_empty_or_garbage(bundle):
    for name in bundle.files:
        assert wrong(bundle.but({name: None})) == f"{name} is missing"
        for garbage in (b"", b"\0", b"\xff" * 100, b"{}", b"[" * 100_000, b"9" * 5000 + b"\n"):
            assert wrong(bundle.but({name: garbage})), name


@pytest.mark.parametrize(
    "name", ["first", "last", "windows", "others", "files", "from", "to", "readme", "format"]
)
def test_words_of_the_list(bundle, name):
    true = json.loads(bundle.files["bundle.json"])
    for value in (
        -1, 1 << 62, 1 << 63, 10**400, 1.5, True, None, "", "x" * 10_000, [], [[]], {}, [1 << 62], [-1],
        [0.5],
        ["../x.txt"], ["a/../../x.txt"], ["x.txt"], list(range(60_000)), "9999-12-31T23:59:59+07:00",
        "0001-01-01T00:00:00+07:00", "2026-03-25", "NaN",
    ):  # fmt: skip
        if value == true[name]:
            continue
        try:
            data = json.dumps({**true, name: value}, indent=1).encode() + b"\n"
        except ValueError:
            continue
        assert wrong(bundle.but({"bundle.json": data})), value
    data = json.dumps({key: value for key, value in true.items() if key != name}, indent=1).encode() + b"\n"
    assert wrong(bundle.but({"bundle.json": data}))
    assert wrong(bundle.but({"bundle.json": bundle.files["bundle.json"].replace(b"0", b"1e999999999")}))


def test_receipts_of_a_wrong_length(bundle):
    for index in (0, 5, bundle.manifest.last):
        head, _, note = bundle.files[proof_name(index)].partition(b"\n\n")
        lines = head.split(b"\n")
        for changed in (lines[:-1], [*lines, lines[-1]], lines + [lines[-1]] * 100, lines[:2], lines[:1]):
            assert wrong(bundle.but({proof_name(index): b"\n".join(changed) + b"\n\n" + note}))
        extra = b"\n".join([lines[0], b"extra AAAA", *lines[1:]]) + b"\n\n" + note
        assert wrong(bundle.but({proof_name(index): extra}))


def test_a_checkpoint_with_two_signatures_of_one_key(bundle):
    note = bundle.files["checkpoint"]
    twice = note + note.rpartition(b"\n\n")[2]
    assert "has signed the note twice" in wrong(bundle.but({"checkpoint": twice}))


def test_a_witness_that_did_not_cosign(bundle):
    assert "no key of a witness" in wrong(bundle, log=bundle.key, witnesses=(bundle.key,))
    other = verifier_of("witness", bytes(32), COSIGNATURE)
    assert "the checkpoint: 0 of the witnesses have signed" in wrong(
        bundle, log=bundle.key, witnesses=(other,)
    )


def bodies(chance: random.Random) -> bytes:
    """A body that is not what its kind says, or has impossible numbers in it."""
    number = chance.choice(
        [0, -1, 1, 2, 1 << 31, 1 << 53, (1 << 63) - 1, -(1 << 63), 0.0, 1e300, None, "x", b"", []]
    )
    things = [
        number, [number], ["placed", "st-01", 1, number], ["gap", "gateway", 0, number],
        ["gap", "gateway", number],
        ["located", "st-01", number, 0, 1 << 62], ["table", "st-01", number, bytes(8)], [number] * 16,
        ["COD", "mg/l", number, number, 1, 1.0, 0, "00", 1, 1, 1.0, None, None, "", None, number],
        {"boot": 1, "settings": [number], "channels": []},
        {"boot": number, "settings": [], "channels": [[number]]},
        {"boot": 1, "settings": [300000, number], "channels": [["COD", "", "bus/tank", "COD", number]]},
        {"boot": 1, "settings": [], "channels": [["COD", "", "bus/tank", "", None, 0, 1, number, number]]},
        [3, 1, 1, number, 1, [[0, 0, number, 0, 0]]], {"boot": 1, "settings": [1], "channels": []},
    ]  # fmt: skip
    return cbor.dumps(chance.choice(things))


@pytest.mark.parametrize("seed", range(4))
def test_entries_of_a_key_holder_who_writes_anything(bundle, seed):
    chance = random.Random(seed)
    true = bundle.entries()
    found = 0
    for _ in range(150):
        entries = list(true)
        for _ in range(chance.choice((1, 1, 3))):
            place = chance.randrange(len(entries))
            kind = chance.choice([0, FRAME, POLL, WINDOW, EVENT, CONFIGURATION, HELLO, 7, 1 << 60])
            source = chance.choice(["gateway", "device/st-01", "bus/tank", "", "x" * 1000, "\0"])
            arrived, mono = (chance.choice([0, -1, 1 << 62, 1_774_397_200_000]) for _ in range(2))
            entry = leaves.leaf_bytes(kind, source, arrived, mono, bodies(chance))
            if chance.random() < 0.2:
                entry = chance.randbytes(50)
            entries[place : place + chance.randrange(2)] = [entry]
        found += bool(wrong(forged(bundle, entries)))
    assert found > 50, "most of it is found; none of it is more than a sentence"


def test_a_control_that_something_else_than_a_sentence_fails(bundle, monkeypatch):
    """An exception that is no EvidenceError ends the test above: it is not swallowed anywhere."""

    def broken(data):
        raise ZeroDivisionError

    monkeypatch.setattr(verify_bundle.json, "loads", broken)
    with pytest.raises(ZeroDivisionError):
        wrong(bundle)


# On disk ----------------------------------------------------------------------------------------------------


def test_what_is_no_plain_file(bundle, tmp_path):
    for number, (name, make) in enumerate(
        [
            ("entries/3.bin", lambda path: path.symlink_to("/dev/zero")),
            ("proofs/3.tlog-proof", lambda path: os.mkfifo(path)),
            ("checkpoint", lambda path: path.mkdir()),
            ("log.vkey", lambda path: path.symlink_to(path)),
            ("bundle.json", lambda path: path.write_bytes(b"") or os.truncate(path, 1 << 40)),
            ("entries/2.bin", lambda path: path.write_bytes(b"") or os.truncate(path, 1 << 40)),
        ]
    ):
        folder = bundle.put(tmp_path / str(number))
        (folder / name).unlink()
        make(folder / name)
        assert name in said(folder), name
    folder = bundle.put(tmp_path / "names")
    (folder / "entries").rename(folder / "elsewhere")
    (folder / "entries").symlink_to("elsewhere")
    assert said(folder)
    folder = bundle.put(tmp_path / "bytes")
    Path(os.fsdecode(os.fsencode(folder) + b"/entries/\xff\n\x1b[31m")).write_bytes(b"")
    assert "does not belong" in said(folder) and "\x1b" not in said(folder)


def zipped(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def test_zips(bundle, tmp_path):
    good = zipped(tmp_path / "good.zip", bundle.files)
    assert said(good) == ""
    assert "does not belong" in said(zipped(tmp_path / "slip.zip", {**bundle.files, "../../x": b""}))
    bomb = zipped(tmp_path / "bomb.zip", {**bundle.files, "entries/3.bin": bytes(300_000_000)})
    assert "entries/3.bin has 300000000 bytes" in said(bomb)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as file:
        for name in [*bundle.files, "checkpoint"]:
            file.writestr(name, bundle.files[name])
    assert "two files of one name" in said(tmp_path / "twice.zip")
    data, chance = good.read_bytes(), random.Random(2)
    for cut in (0, 1, 21, 22, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.zip").write_bytes(data[:cut])
        assert said(tmp_path / "cut.zip")
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(3):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        (tmp_path / "changed.zip").write_bytes(changed)
        said(tmp_path / "changed.zip")
    end = bytearray(data)
    end[-10:-6] = (1 << 31).to_bytes(4, "little")
    (tmp_path / "long.zip").write_bytes(end)
    assert "table of contents" in said(tmp_path / "long.zip")


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))


@pytest.mark.parametrize("what", ["cells", "channels", "frames", "nested"])
def test_memory_stays_small(bundle, tmp_path, what):
    """A forged bundle that asks for a lot; the whole command, as a person runs it."""
    true = bundle.entries()
    arrived = leaves.parse(true[-1]).arrived_ms
    if what == "cells":
        rows = [[0, i * 30_000_000 % (1 << 31), cbor.Float32(0), 0, 0] for i in range(64)]
        data = cbor.dumps([3, 1, 1, arrived - (1 << 31), 1, rows])
        more = [leaves.leaf_bytes(POLL, "bus/tank", arrived + n * 7, 0, data) for n in range(3000)]
    elif what == "channels":
        rows = [[f"c{n}", "", "device/st-01", "cod"] for n in range(8000)]
        data = cbor.dumps({"boot": 9, "settings": [60_000], "channels": rows})
        more = [leaves.leaf_bytes(CONFIGURATION, "gateway", arrived, 0, data)] * 20
    elif what == "frames":
        more = [leaves.leaf_bytes(EVENT, "gateway", arrived, n, b"\x82\x60\x60") for n in range(20_000)]
    else:
        data = b"\x9a\x00\x03\xf0\x00" + b"\x80" * 0x3F000
        more = [leaves.leaf_bytes(EVENT, "gateway", arrived, n, data) for n in range(20)]
    folder = forged(bundle, [*true, *more]).put(tmp_path / "b")
    code = (
        "from tools.log.verify import *; from pathlib import Path\n"
        f"status = print_verify(Path({str(folder)!r}), Trust(), False)\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"  # ru_maxrss knows the parent's memory
        "print(status, [line.split()[1] for line in lines if line.startswith('VmHWM')][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limited)
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
    status, kib = map(int, done.stdout.split()[-2:])
    assert status == 1 and kib * 1024 < MEMORY_MAX, done.stdout


def test_an_entry_that_is_not_there_when_it_is_needed(bundle):
    """Names of entries far away, which no file has."""
    assert wrong(bundle.saying(last=bundle.manifest.last + 400_000)).startswith("bundle.json names entry")
    assert wrong(bundle.saying(others=(1 << 62,))).startswith("bundle.json names entry")
    assert wrong(bundle.but({entry_name(1): b"x" * 300_000})).startswith("entries/1.bin has 300000")
