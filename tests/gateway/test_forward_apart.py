"""One destination down or slow never delays another; a thousand documents, a dead server and a full disk."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

from gateway.config import Config
from gateway.counters import Counters
from gateway.forward import worker as worker_module
from gateway.forward.make import make
from gateway.forward.worker import Backoff, Worker
from gateway.journal import database
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.process import THREADS_MAX
from tests.gateway.configured import HOST_KEY, channel, configured
from tests.gateway.forward_rig import AsyncSshRig, document
from tests.gateway.journal_rig import with_journal

NOW = 1_774_397_400_000
DOCUMENTS = 40


def draft(destination: str, i: int) -> tuple:
    one = document(i)
    return (destination, one.key, one.kind, one.name, one.folder, one.at_ms, one.body)


# Apart ------------------------------------------------------------------------------------------------------

HANGING = 10  # FTP servers, each of which holds a thread: more than Python would make for two processors


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


def sick_and_well(folder: Path, port: int) -> Config:
    """Every kind at a server that is silent, some at a port where nobody is, and a folder of this machine."""
    (folder / "password").write_text("right\n")
    (folder / "password").chmod(0o600)
    (folder / "hostkey").write_text(HOST_KEY)
    user = 'user = "station"\npassword_file = "password"\n'
    patience = "connect_timeout_s = 300.0\ntimeout_s = 300.0\n"
    kinds = [("sftp", f'{user}host_key_file = "hostkey"\n'), ("mqtt", ""), *[("ftp", user)] * HANGING]
    text = ""
    for i, (kind, more) in enumerate(kinds):
        address = f'host = "127.0.0.1"\nport = {port}\n'
        text += f'[[destination]]\nid = "sick{i}"\nkind = "{kind}"\n{address}{more}{patience}'
    text += f'[[destination]]\nid = "post"\nkind = "https"\nurl = "http://127.0.0.1:{port}/"\n{patience}'
    text += f'[[destination]]\nid = "nobody"\nkind = "mqtt"\nhost = "127.0.0.1"\nport = 1\n{patience}'
    text += f'[[destination]]\nid = "well"\nkind = "directory"\npath = "{folder}/sent"\n'
    return configured(folder, channel("COD", "mg/l"), text)


def what_the_well_one_gets(folder: Path, threads: int, seconds: float) -> tuple[int, int]:
    """Documents delivered to the healthy destination, and to all others, while these hang."""

    async def use(journal):
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
        counters = Counters()
        outbox = JournalOutbox(journal, lambda: NOW, counters)
        random = Random(1)
        workers = [
            Worker(one.id, make(config, one), outbox, random=random, backoff=Backoff(random, 0.01, 0.05))
            for one in config.destination
        ]
        sick = [one for one in workers if one.id != "well"]
        tasks = [asyncio.create_task(one.run()) for one in workers]
        await outbox.queue([draft(one.id, 0) for one in sick])
        async with asyncio.timeout(60):  # each is in its first attempt before the healthy one has anything
            while not all(one.counters.attempts for one in sick):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        for i in range(DOCUMENTS):
            await outbox.queue([draft(one.id, i) for one in workers])
        well = counters.destination("well")
        try:
            async with asyncio.timeout(seconds):
                while well.waiting:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pass
        found = well.delivered, sum(one.counters.delivered for one in sick)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    with silent() as port:
        config = sick_and_well(folder, port)
        return with_journal(folder / "journal.db", use)


def test_one_that_hangs_or_is_not_there_never_delays_another(tmp_path):
    """All time-outs are five minutes: whatever waited for one of the others would get nothing."""
    assert what_the_well_one_gets(tmp_path, THREADS_MAX, 60) == (DOCUMENTS, 0)


def test_control_with_as_few_threads_as_python_makes_it_waits_for_them(tmp_path):
    assert what_the_well_one_gets(tmp_path, 6, 2) == (0, 0)


# A thousand, a dead server, a full disk ---------------------------------------------------------------------

COUNT, AT_ONCE = 1000, 10
PAGES = 1500
"""Of 512 bytes: room for about half of the documents."""


async def a_thousand(folder: Path) -> tuple[list[str], list[str], Counters]:
    """(names as they were queued, as they appeared at the server, counters) after all of it."""
    (folder / "rig").mkdir()
    rig = AsyncSshRig(folder / "rig")
    await rig.start()
    await rig.server_down()
    pages = [PAGES]

    def connect(name: str):
        connection = database.connect(name)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    journal = Journal(folder / "journal.db", connect)
    journal.open(["gateway"])
    journal.start()
    counters = Counters()
    counted = counters.destination("d")
    outbox = JournalOutbox(journal, lambda: NOW, counters)
    random = Random(2)
    quick = Backoff(random, 0.01, 0.05)
    one = Worker("d", rig.destination(), outbox, random=random, backoff=quick)
    task = asyncio.create_task(one.run())
    drafts = [draft("d", i) for i in range(COUNT)]
    done = []
    try:
        async with asyncio.timeout(100):
            for first in range(0, COUNT, AT_ONCE):
                journal.submit(drafts=drafts[first : first + AT_ONCE], now_ms=NOW, done=done.append)
                await asyncio.sleep(0.001)
            while not journal.status:
                await asyncio.sleep(0.01)
            # A clear state: it says so, the numbers balance, and nobody has died of it.
            assert "full" in journal.status and not journal.stopped and not task.done()
            assert 0 < counted.queued < COUNT and counted.queued == AT_ONCE * len(done)
            assert counted.queued == counted.delivered + counted.parked + counted.waiting
            assert one.counters.last_error
            pages[0] = 1_000_000
            while len(done) < COUNT // AT_ONCE:
                await asyncio.sleep(0.01)
            assert journal.status == "" and counted.queued == COUNT
            assert all(job.error is None for job in done)
            await rig.server_up()
            while counted.waiting:
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.close()
        await rig.stop()
    return [name for _, _, _, name, *_ in drafts], rig.server.renamed, counters


def test_a_thousand_documents_a_dead_server_and_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.writer.RETRY_S", (0.02,))
    queued, appeared, counters = asyncio.run(a_thousand(tmp_path))
    assert appeared == queued
    counted = counters.destination("d")
    assert (counted.queued, counted.delivered, counted.parked) == (COUNT, COUNT, 0)


def test_control_who_gives_up_a_document_for_a_dead_server_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.writer.RETRY_S", (0.02,))
    monkeypatch.setattr(worker_module, "_hopeless", lambda document, error: True)
    queued, appeared, counters = asyncio.run(a_thousand(tmp_path))
    assert appeared != queued and counters.destination("d").parked
