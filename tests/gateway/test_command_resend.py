"""A range once more: the same bytes, the oldest first, the sums hold, and what nobody will read is said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.commands import resend as resend_module
from gateway.commands.resend import Range, Resend, summary
from gateway.counters import Counters
from gateway.documents import documents
from gateway.forward.directory import DirectoryDestination
from gateway.forward.make import make
from gateway.forward.worker import Worker
from gateway.journal.bodies import event
from gateway.journal.kinds import EVENT
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import Reader, reading
from tests.gateway.feed_rig import LENGTH_MS, Written, config_of, window, written
from tests.gateway.test_provincial import T0

COUNT = 6


class At:
    """Windows of COD and pH from T0 on, whose documents are delivered to "local" and "police"."""

    def __init__(self, journal: Written):
        self.written, self.config = journal, journal.config
        self.counters = Counters()
        self.outbox = JournalOutbox(journal.journal, lambda: journal.now_ms, self.counters)
        self.resend = Resend(self.config, ("local", "police"), self.outbox, {}, journal.journal)

    async def close(self, count: int = COUNT) -> None:
        for number in range(count):
            start_ms = T0 + number * LENGTH_MS
            rows = [window("COD", start_ms, 10.0 + number), window("pH", start_ms, 7.0)]
            await self.written.closed(rows)
            await self.outbox.queue(documents(self.config, rows))

    async def deliver(self, destination: str) -> list[bytes]:
        """What a worker would deliver now, and marks."""
        found = await self.outbox.pending(destination, 0, 1000)
        await self.outbox.delivered([one.id for one in found])
        return [one.body for one in found]

    def range(self, first: int, last: int, *symbols: str, what: str = "windows") -> Range:
        """Windows of these numbers, by the stamps of their ends."""
        return Range(T0 + (first + 1) * LENGTH_MS, T0 + (last + 1) * LENGTH_MS, symbols, what)

    async def ask(self, asked: Range) -> dict[str, dict[str, int]]:
        return await self.resend.send(asked, "department", "command 1")

    async def balanced(self) -> None:
        """In memory and after a restart."""
        again = JournalOutbox(self.written.journal, lambda: 0, counters := Counters())
        await again.load()
        for id in ("local", "police"):
            for counted in (self.counters.destination(id), counters.destination(id)):
                assert counted.queued == counted.delivered + counted.parked + counted.waiting
            now, later = self.counters.destination(id), counters.destination(id)
            assert (now.queued, now.delivered) == (later.queued, later.delivered)


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[At]:
    async with written(config_of(folder, "windows")) as journal:
        at = At(journal)
        await at.outbox.load()
        yield at


def run(folder: Path, case) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), started(folder) as at:
            await case(at)

    asyncio.run(main())


def test_the_same_bytes_again_the_oldest_first_and_before_what_is_new(tmp_path):
    async def case(at: At) -> None:
        await at.close()
        first = await at.deliver("police")
        await at.deliver("local")
        rows = [window("COD", T0 + COUNT * LENGTH_MS, 1.0), window("pH", T0 + COUNT * LENGTH_MS, 7.0)]
        await at.outbox.queue(documents(at.config, rows))
        told = await at.ask(at.range(1, 3))
        assert told["police"] == {
            "sent_again": 3, "made_again": 0, "waiting_already": 0, "left_out": 0, "not_read_by_itself": 0
        }  # fmt: skip
        # of files: the newest that was delivered is number 5's, so the software skips all three
        assert told["local"]["sent_again"] == 3 == told["local"]["not_read_by_itself"]
        await at.balanced()
        again = await at.deliver("police")
        assert again[:3] == first[1:4] and len(again) == 4
        await at.balanced()
        assert (await at.ask(at.range(1, 3)))["police"]["sent_again"] == 3  # and once more

    run(tmp_path, case)
    with reading(tmp_path / "gateway" / "journal.db") as reader:
        said = [event(entry.body) for entry in reader.entries(kinds=(EVENT,))]
    keys = [f"window/NUO001/202603250{minutes}/1" for minutes in ("01000", "01500", "02000")]
    assert [details for name, details in said if name == "resent"][:1] == [["department", "command 1", keys]]


def test_the_control_without_the_tally_the_sums_do_not_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.parked._TALLY", "UPDATE meta SET value = value WHERE name = ?")
    with pytest.raises(AssertionError):
        test_the_same_bytes_again_the_oldest_first_and_before_what_is_new(tmp_path)


def test_only_what_holds_the_symbols_and_only_that_kind(tmp_path):
    async def case(at: At) -> None:
        await at.close()
        await at.deliver("police")
        await at.deliver("local")
        for symbols, count in (
            (("COD",), 6),
            (("Temp",), 0),
            (("Temp", "pH"), 6),
            (("CO",), 0),
            (("OD",), 0),
        ):
            told = await at.ask(at.range(0, 9, *symbols))
            assert (told["police"]["sent_again"], told["local"]["sent_again"]) == (count, count), symbols
            await at.deliver("police")
            await at.deliver("local")
        assert (await at.ask(at.range(0, 9, what="alerts")))["police"]["sent_again"] == 0

    run(tmp_path, case)


def test_what_waits_already_is_left_and_what_is_parked_stays(tmp_path):
    async def case(at: At) -> None:
        await at.close()
        (one, *_) = await at.outbox.pending("police", 0, 1)
        await at.outbox.failed(one.id, "no", park=True)
        told = await at.ask(at.range(0, 9))
        assert told["police"]["waiting_already"] == 6 and told["police"]["sent_again"] == 0
        assert at.counters.destination("police").parked == 1
        await at.balanced()

    run(tmp_path, case)


def test_what_the_outbox_forgot_is_made_again_byte_for_byte(tmp_path):
    async def case(at: At) -> None:
        await at.close()
        first = await at.deliver("local")
        await at.deliver("police")
        mark = [("DELETE FROM outbox WHERE id = ?", [(number,) for number in range(1, 5)])]
        await at.written.journal.commit(marks=mark)  # as retention does; numbers 0 and 1 of both
        told = await at.ask(at.range(0, 2))
        assert (told["local"]["made_again"], told["local"]["sent_again"]) == (2, 1)
        assert told["local"]["not_read_by_itself"] == 3
        assert sorted(await at.deliver("local")) == sorted(first[:3])
        # what a message was made of is the same; the checkpoint in it is today's
        assert told["police"]["made_again"] == 2

    run(tmp_path, case)


def test_a_command_has_a_measure(tmp_path, monkeypatch):
    monkeypatch.setattr(resend_module, "RESEND_MAX", 4)

    async def case(at: At) -> None:
        await at.close()
        await at.deliver("police")
        await at.deliver("local")
        told = await at.ask(at.range(0, 9))
        assert told["police"]["sent_again"] == 4 and told["police"]["left_out"] == 2
        said = summary(told)
        assert "police: 4 documents wait to be sent again, 2 more do not fit one command" in said
        assert "local: 4 documents" in said and "4 are older than what lies there" in said

    run(tmp_path, case)


def test_a_real_worker_puts_a_lost_file_back_and_leaves_the_others_alone(tmp_path):
    async def case(at: At) -> None:
        settings = next(one for one in at.config.destination if one.id == "local")
        destination = make(at.config, settings)
        assert isinstance(destination, DirectoryDestination)
        worker = Worker("local", destination, at.outbox)
        at.resend = Resend(at.config, ("local",), at.outbox, {"local": worker}, at.written.journal)
        await at.close()
        task = asyncio.create_task(worker.run())
        counted = at.counters.destination("local")
        while counted.delivered < COUNT:
            await asyncio.sleep(0.01)
        files = sorted((tmp_path / "sent").rglob("*.txt"))
        kept = [path.read_bytes() for path in files]
        untouched = files[1].stat().st_mtime_ns
        files[2].unlink()
        await at.ask(at.range(1, 3))
        while counted.delivered < COUNT + 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [path.read_bytes() for path in sorted((tmp_path / "sent").rglob("*.txt"))] == kept
        assert files[1].stat().st_mtime_ns == untouched  # it lay there whole
        assert (await at.written.journal.read(Reader.outbox))["local"]["pending"] == 0

    run(tmp_path, case)
