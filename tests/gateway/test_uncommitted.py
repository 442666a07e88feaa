"""gateway/journal/uncommitted.py: a gateway that is killed loses nothing of what its own instruments said."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from pathlib import Path
from random import Random
from zlib import crc32

import msgspec
import pytest

from gateway.errors import JournalError
from gateway.ingest.intake import Intake
from gateway.journal import uncommitted
from gateway.journal.journal import Journal
from gateway.journal.kinds import POLL
from gateway.journal.reader import Reader
from gateway.journal.uncommitted import MEMORY, Uncommitted, folder_for
from gateway.journal.writer import Entry, Job
from gateway.windows import Channel, Settings
from protocol.reading import float_bits
from tests.bench.peers.instruments import Instruments
from tests.gateway import app_rig as rig
from tests.gateway import test_raw as raw
from tests.gateway.intake_rig import START, Rig
from tests.promises.counted import counted

INSTRUMENTS, QUANTITIES = 2, 3
KILLS = 40 if os.environ.get("QUANTRAC_LONG") else 4
BUS = "bus/tank"


# The whole gateway, killed ----------------------------------------------------------------------------------


async def killed(folder: Path, module: str, kills: int, seed: int) -> tuple[int, int, Path]:
    """Polling every 50 ms, killed again and again -> (readings in the instruments' answers, of these in the
    journal, the journal). Fails when one is there twice.
    """
    random = Random(seed)
    broker = await rig_broker(folder)
    instruments = Instruments(INSTRUMENTS, QUANTITIES)
    journal = folder / "gateway" / "journal.db"
    try:
        config = write_config(folder, instruments.ports, broker.port)
        for _ in range(kills):
            async with rig.running(config, None, module) as gateway:
                made = instruments.made()
                more = random.randrange(20, 60) * INSTRUMENTS * QUANTITIES
                await rig.until(lambda made=made, more=more: instruments.made() >= made + more)
                await gateway.kill()
        made = instruments.made()
        async with rig.running(config, None, module) as gateway:
            await rig.until(lambda: instruments.made() > made + 100)
            instruments.silence()
            assert await gateway.stop() == 0
            made = instruments.made()
        held = raw.polled(journal)
        async with rig.running(config, None, module) as gateway:
            await rig.until(lambda: raw.all_sent(gateway))
            assert await gateway.stop() == 0
    finally:
        instruments.silence()
        await broker.stop()
    values = Counter(value for (_, _, value, _), n in held.items() for _ in range(n) if value is not None)
    assert max(values.values()) == 1, "a reading is in the journal twice"
    rows, _ = raw.arrived(folder / "n.jsonl")
    assert not held - rows, "something is in the journal that did not arrive"
    return made, len(values), journal


async def rig_broker(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    return await raw.MqttReceiver("127.0.0.1", 0, folder / "n.jsonl").start()


def write_config(folder: Path, ports: list[int], broker: int) -> Path:
    parts = [rig.mqtt(broker, "readings")]
    for i, port in enumerate(ports):
        # An answer that comes too late on a busy machine would be lost as well.
        parts.append(rig.bus(f"b{i}", f"modbus-tcp://127.0.0.1:{port}", timeout_ms=10_000))
        parts += [rig.bus_channel(f"I{i}Q{n}", f"b{i}", 2 * n, poll_ms=50) for n in range(QUANTITIES)]
    return rig.write_config(folder, *parts)


@pytest.mark.timeout(3600 if KILLS > 10 else 300)
def test_a_gateway_that_is_killed_has_what_its_instruments_said(tmp_path):
    """All but the answers that were under way when it was killed: one of each instrument at most."""
    made, held, journal = asyncio.run(killed(tmp_path, "tools.cli", KILLS, 20261201))
    under_way = (KILLS + 1) * INSTRUMENTS * QUANTITIES  # and when the instruments were switched off
    assert made - under_way <= held <= made
    boots = Counter(boot for boot, _ in stored(journal))
    assert len(boots) >= KILLS + 1
    assert not (place(journal.parent, MEMORY) / "0").exists(), "it ended well, and left something behind"
    counted("kills of wired readings", KILLS)


@pytest.mark.timeout(300)
def test_control_without_it_a_kill_takes_up_to_two_seconds(tmp_path):
    kills = 3
    made, held, _ = asyncio.run(killed(tmp_path, "tests.gateway.forgetful", kills, 20261201))
    assert made - held > (kills + 1) * INSTRUMENTS * QUANTITIES


# What goes back into the journal ----------------------------------------------------------------------------


def poll(seq: int, boot: int = 1, source: int = 2, rows: int = 5) -> Entry:
    return Entry(POLL, source, boot, seq, seq + rows - 1, START + seq, seq, START, START, b"\xa0%d" % seq)


def opened(path: Path) -> Journal:
    journal = Journal(path)
    journal.open(["gateway", BUS])
    return journal


async def closed(journal: Journal) -> None:
    journal.start()
    await journal.close()


def stored(path: Path) -> list[tuple[int, int]]:
    """(boot, first sequence number) of every entry of a bus."""
    reader = Reader(path)
    try:
        return reader.rows("SELECT boot, first_seq FROM entry WHERE kind = ? ORDER BY idx", POLL)
    finally:
        reader.close()


def test_what_the_journal_has_is_not_stored_twice_and_what_it_lacks_once(tmp_path):
    async def main():
        journal = opened(tmp_path / "journal.db")
        source = journal.source(BUS)
        journal.start()
        await journal.commit(entries=[poll(1, source=source)])
        await journal.close()
        journal = opened(tmp_path / "journal.db")
        kept = [poll(1, source=source), poll(6, source=source), poll(11, source=source)]
        assert journal.adopt([Job([entry]) for entry in kept], 1) == 2
        assert journal.adopt([Job([entry]) for entry in kept], 1) == 0
        assert journal.submitted == journal.size == 3
        assert journal.position(BUS) == (1, 15)
        journal.start()
        await journal.commit(entries=[poll(16, source=source)])
        await journal.close()
        assert stored(tmp_path / "journal.db") == [(1, 1), (1, 6), (1, 11), (1, 16)]

    asyncio.run(main())


@pytest.mark.parametrize(
    "other", [{"boot": 2}, {"source": 99}], ids=["of a start that is not in the journal", "of nobody"]
)
def test_what_belongs_to_another_journal_is_left_out(tmp_path, other):
    """As after a backup was put back."""
    journal = opened(tmp_path / "journal.db")
    assert journal.adopt([Job([poll(1, **other)])], 1) == 0
    asyncio.run(closed(journal))


def test_an_intake_takes_up_what_is_its_own_and_tells_of_what_is_not(tmp_path, caplog):
    """With `strange` readings of a boot that this journal never had, as after a backup was put back."""
    flow = Channel("Flow", "m3/h", BUS, "Flow", 1000)

    async def main():
        left, boot, strange = tmp_path / "r", 0, 7
        for turn in range(2):
            rig = Rig(tmp_path / "unused.db")
            one = Uncommitted(left)
            intake = Intake(
                Journal(tmp_path / "journal.db"), [flow], Settings(), {}, rig.moment, uncommitted=one
            )
            intake.open()
            assert one.left() == []
            intake.journal.start()
            await intake.begin()
            assert intake.poll("tank", [(0, START, float_bits(1.0 + turn), 0)]) is None
            await intake.journal.close()
            boot += 1
            one.keep([poll(50, boot, intake.journal.source(BUS)), poll(1, strange)])
            one.keep([poll(60, boot, intake.journal.source(BUS))])
        return boot

    assert asyncio.run(main()) == 2
    assert stored(tmp_path / "journal.db") == [(1, 1), (1, 60), (2, 1)]
    assert "belong to another journal" in caplog.text and "are stored now" in caplog.text


def test_documents_go_into_the_outbox_with_their_readings(tmp_path):
    journal = opened(tmp_path / "journal.db")
    document = ("national", "readings/1", "readings", "n", "", START, b"{}")
    journal.adopt([Job([poll(1, source=journal.source(BUS))], drafts=[document], now_ms=START)], 1)
    reader = Reader(tmp_path / "journal.db")
    assert reader.rows("SELECT key, body FROM outbox") == [("readings/1", b"{}")]
    reader.close()
    asyncio.run(closed(journal))


def test_a_disk_that_refuses_leaves_it_for_the_next_start(tmp_path):
    journal = opened(tmp_path / "journal.db")
    journal._writer.connection.execute("PRAGMA query_only = 1")
    with pytest.raises(JournalError, match="before a kill cannot be written"):
        journal.adopt([Job([poll(1, source=journal.source(BUS))])], 1)
    asyncio.run(closed(journal))
    assert stored(tmp_path / "journal.db") == []


# The file ---------------------------------------------------------------------------------------------------


def keeping(folder: Path) -> Uncommitted:
    one = Uncommitted(folder)
    one.begin()
    return one


def left(folder: Path) -> list[int]:
    return [entries[0].first_seq for entries, _ in Uncommitted(folder).left()]


def test_what_was_not_released_is_left_in_its_order(tmp_path):
    one = keeping(tmp_path / "r")
    document = ("national", "k", "readings", "n", "", START, b"\x00\xff")
    one.keep([poll(1), poll(6)], [document])
    kept = one.keep([poll(11)])
    assert Uncommitted(tmp_path / "r").left() == [([poll(1), poll(6)], [document]), ([poll(11)], [])]
    one.release(kept)
    assert left(tmp_path / "r") == [1, 11], "a file is emptied only when all of it is committed"


def test_two_files_take_turns_and_stay_small(tmp_path):
    """Committed some time behind, for ever: nothing is lost, and no file grows on."""
    one, waiting, largest = keeping(tmp_path / "r"), [], 0
    for seq in range(1, 20_001):
        waiting.append((seq, one.keep([poll(seq, rows=1)])))
        if len(waiting) > 50:
            one.release(waiting.pop(0)[1])
        if not seq % 997:
            assert {n for n, _ in waiting} <= set(left(tmp_path / "r"))
            assert left(tmp_path / "r") == sorted(left(tmp_path / "r"))
        largest = max(largest, sum(file.stat().st_size for file in (tmp_path / "r").iterdir()))
    assert largest < 2 * uncommitted.TURN_BYTES + 64 * 1024
    for _, kept in waiting:
        one.release(kept)
    assert left(tmp_path / "r") == []


def test_a_record_that_was_cut_or_damaged_is_no_record(tmp_path):
    one = keeping(tmp_path / "r")
    one.keep([poll(1)])
    whole = (tmp_path / "r" / "0").read_bytes()
    one.keep([poll(2)])
    both = (tmp_path / "r" / "0").read_bytes()
    for end in range(len(whole), len(both)):
        (tmp_path / "r" / "0").write_bytes(both[:end])
        assert left(tmp_path / "r") == [1]
    for at in range(len(whole), len(both)):
        (tmp_path / "r" / "0").write_bytes(both[:at] + bytes([both[at] ^ 1]) + both[at + 1 :])
        assert left(tmp_path / "r") == [1]
    (tmp_path / "r" / "0").write_bytes(both)
    assert left(tmp_path / "r") == [1, 2]


def test_what_another_version_wrote_is_no_record(tmp_path):
    (tmp_path / "r").mkdir()
    for body in ((0, [(1, 2, 3)], []), (0, [], [("too", "short")]), {"number": 0}, 5):
        packed = msgspec.msgpack.encode(body)
        record = len(packed).to_bytes(4, "big") + crc32(packed).to_bytes(4, "big") + packed
        (tmp_path / "r" / "0").write_bytes(record)
        assert left(tmp_path / "r") == []
    (tmp_path / "r" / "0").write_bytes(bytes(8) + b"\xff" * 20)
    assert left(tmp_path / "r") == []


def test_no_memory_left_says_so_and_stands_in_nobodys_way(tmp_path, monkeypatch):
    one = keeping(tmp_path / "r")
    first = one.keep([poll(1)])
    honest = os.write
    monkeypatch.setattr(uncommitted.os, "write", lambda handle, data: honest(handle, data[:10]))
    assert one.keep([poll(2)]) == -1
    monkeypatch.undo()
    assert left(tmp_path / "r") == [1]
    assert "no memory is left" in one.problems()[0]
    one.release(first)
    one.release(-1)
    assert one.keep([poll(3)]) == -1
    one.close()


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "r").write_text("a file")
    one = keeping(tmp_path / "r")
    assert os.strerror(errno.EEXIST) in one.problems()[0]
    assert one.keep([poll(1)]) == -1 and one.left() == []


def test_nobody_wants_it(tmp_path):
    one = Uncommitted(None)
    one.begin()
    assert (one.left(), one.keep([poll(1)]), one.problems()) == ([], -1, [])
    one.close()


def test_closed_with_something_left_it_stays_for_the_next_and_else_nothing_does(tmp_path):
    one = keeping(tmp_path / "r")
    kept = one.keep([poll(1)])
    one.close()
    assert left(tmp_path / "r") == [1]
    one = keeping(tmp_path / "r")
    kept = one.keep([poll(1)])
    one.release(kept)
    one.close()
    assert not (tmp_path / "r").exists()


def place(state_dir: Path, memory: Path) -> Path:
    folder = folder_for(state_dir, {}, memory)
    assert folder is not None
    return folder


# Its place --------------------------------------------------------------------------------------------------


def test_where_systemd_says_else_in_memory(tmp_path):
    state_dir, memory, run = (tmp_path / name for name in ("state", "shm", "run"))
    assert folder_for(state_dir, {}, memory) is None
    for folder in (state_dir, memory, run):
        folder.mkdir(mode=0o700)
    here = folder_for(state_dir, {}, memory)
    assert here is not None and here.parent == memory / f"quantrac-{os.geteuid()}"
    assert here.parent.stat().st_mode & 0o777 == 0o700
    assert folder_for(state_dir, {"RUNTIME_DIRECTORY": f"{run}:/other"}, memory) == run / here.name
    assert folder_for(tmp_path / "state" / ".." / "state", {}, memory) == here


def test_a_folder_that_others_may_write_is_not_ours(tmp_path):
    state_dir, base = tmp_path / "state", tmp_path / f"quantrac-{os.geteuid()}"
    state_dir.mkdir()
    base.mkdir()
    base.chmod(0o777)
    assert folder_for(state_dir, {}, tmp_path) is None
    base.rmdir()
    base.symlink_to(state_dir)
    assert folder_for(state_dir, {}, tmp_path) is None
    base.unlink()
    base.write_text("")
    assert folder_for(state_dir, {}, tmp_path) is None


def test_what_is_of_a_state_dir_that_is_gone_goes(tmp_path):
    here, gone = tmp_path / "here", tmp_path / "gone"
    here.mkdir()
    gone.mkdir()
    kept, old = place(here, tmp_path), place(gone, tmp_path)
    assert kept.is_dir() and old.is_dir()
    gone.rmdir()
    (old / "state_dir").write_bytes(b"\xff\xfe/nowhere")
    folder_for(here, {}, tmp_path)
    assert kept.is_dir() and not old.exists()
