"""tools/station/folder.py and access.py: what a record survives, and what a wrong folder is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from simulator.bus import PtyPair
from tests.tools.station_folder_rig import LINK_KEY, wastewater
from tools.people import Failure, UsageError
from tools.station.access import Access, station_at
from tools.station.folder import KEY, KINDS, RECORDS, SITE, Folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path) -> Folder:
    (tmp_path / SITE).write_text(json.dumps({"id": "st-01", "buses": []}))
    (tmp_path / KEY).write_text(LINK_KEY + "\n")
    return Folder.at(tmp_path)


def test_a_folder_that_is_none_is_told_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="no station's folder: name one with --dir, or make one"):
        Folder.at(tmp_path)
    with pytest.raises(UsageError, match="--dir"):
        Access("port", tmp_path / "nowhere").folder()


def test_a_site_is_read_with_its_key(folder):
    assert folder.id == "st-01" and folder.key().hex() == LINK_KEY
    assert folder.site() == {"id": "st-01", "buses": [], "key": LINK_KEY}


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "null", "\xff", "[" * 100_000, "{}", '{"id": 5}', '{"id": ""}']
)
def test_a_damaged_site_is_a_sentence(folder, text):
    (folder.path / SITE).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="restore it from a backup"):
        _ = folder.id


@pytest.mark.parametrize("text", [None, "", "00", "zz" * 32, "é" * 64])
def test_a_damaged_key_is_a_sentence(folder, text):
    (folder.path / KEY).unlink()
    if text is not None:
        (folder.path / KEY).write_text(text)
    with pytest.raises(UsageError, match=r"link\.key"):
        folder.key()


def test_records_come_back_in_their_order(folder):
    assert folder.records() == []
    made = [
        folder.record("new", "An", id="st-01", seal=None),
        folder.record("photo", "Bình", file="đ", what="tủ"),
    ]
    assert folder.records() == made and [one["by"] for one in made] == ["An", "Bình"]
    assert folder.records("photo") == made[1:] and folder.records("new", "photo") == made
    assert made[0]["at_ms"] <= made[1]["at_ms"]
    with pytest.raises(ValueError, match="party"):
        folder.record("party", "An")
    assert len(folder.records()) == 2


def test_what_is_no_text_is_recorded_all_the_same(folder):
    """A terminal may hand over bytes of another encoding: they arrive as lone surrogates."""
    folder.record("photo", "An \udcff", what="tủ")
    assert folder.records()[0]["by"] == "An ?"


def test_a_torn_last_line_is_passed_over_and_the_next_record_stands_by_itself(folder):
    folder.record("new", "An", id="st-01", seal=None)
    whole = (folder.path / RECORDS).read_bytes()
    for cut in (1, len(whole) // 2, len(whole) - 1):
        (folder.path / RECORDS).write_bytes(whole + whole[:cut])
        assert len(folder.records()) == (2 if cut == len(whole) - 1 else 1)  # all but its line's end is whole
        folder.record("photo", "An", file="x", sha256="", what="")
        assert [one["kind"] for one in folder.records()][-1] == "photo"
        assert (folder.path / RECORDS).read_bytes().startswith(whole)


def test_what_others_wrote_is_passed_over(folder):
    folder.record("new", "An", id="st-01", seal=None)
    lines = [
        b"[]",
        b"7",
        b"null",
        b'{"kind": "party"}',
        b'{"kind": ["new"]}',
        b'{"kind": {}}',
        b"\xff\xfe",
        b"{}",
    ]
    lines += [b"[" * 50_000, b"", b"   "]
    with (folder.path / RECORDS).open("ab") as file:
        file.write(b"\n".join(lines) + b"\n")
    folder.record("tested", "An", ok=True)
    assert [one["kind"] for one in folder.records()] == ["new", "tested"]


def test_a_record_is_on_disk_before_the_verb_says_so(folder, monkeypatch):
    """fsync comes behind the whole line, and behind the file's own name when it is new."""
    seen = []
    real = os.fsync

    def watched(handle):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        seen.append((path.name, path.read_bytes() if path.is_file() else None))
        real(handle)

    monkeypatch.setattr(os, "fsync", watched)
    for kind in ("new", "photo"):
        folder.record(kind, "An")
        assert (RECORDS, (folder.path / RECORDS).read_bytes()) in seen
    assert [name for name, _ in seen] == [RECORDS, folder.path.name, RECORDS]


def test_a_record_that_cannot_be_kept_is_a_sentence(folder):
    (folder.path / RECORDS).mkdir()
    with pytest.raises(Failure, match="what was done is not recorded"):
        folder.record("new", "An")


def test_whoever_is_killed_while_recording_loses_nothing_that_was_said(folder):
    """A process records and says so, again and again, until it is killed."""
    source = (
        "import sys; from pathlib import Path; from tools.station.folder import Folder\n"
        "folder = Folder.at(Path(sys.argv[1]))\n"
        "for number in range(100_000):\n"
        "    folder.record('photo', 'An', file=str(number), what='x' * 2000)\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", source, str(folder.path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    for _ in range(30):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    said = [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    last = max([29, *said])
    found = [one["file"] for one in folder.records()]
    assert found[: last + 1] == [str(number) for number in range(last + 1)]
    folder.record("photo", "Bình", file="after", what="")
    assert folder.records()[-1]["file"] == "after" and len(folder.records()) >= last + 2


def test_the_kinds_are_those_that_the_rig_makes(tmp_path):
    """Others test with its folders: every kind of record has to be in one of them."""
    from tests.tools.station_folder_rig import ambient_air

    found = {one["kind"] for one in ambient_air(tmp_path / "kk").records()}
    assert found == set(KINDS)
    assert {one["kind"] for one in wastewater(tmp_path / "nt").records()} < set(KINDS)


def test_the_key_that_a_verb_takes(folder, tmp_path):
    assert Access("port", folder.path).link_key().hex() == LINK_KEY
    other = tmp_path / "other.key"
    other.write_text("ab" * 32)
    assert Access("port", folder.path, other).link_key() == b"\xab" * 32
    with pytest.raises(UsageError, match="--dir, or its link key with --key"):
        Access("port", tmp_path / "nowhere").link_key()
    with pytest.raises(UsageError, match="cannot be read"):
        Access("port", folder.path, tmp_path / "no.key").link_key()


def test_nobody_on_the_port_is_a_sentence(folder):
    async def main():
        cable = await PtyPair(folder.path / "a", folder.path / "b").start()
        try:
            with pytest.raises(Failure, match="nothing came"):
                async with station_at(Access(str(folder.path / "b"), folder.path), seconds=0.2):
                    pass
        finally:
            await cable.stop()

    asyncio.run(main())
