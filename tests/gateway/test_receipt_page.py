"""/api/v1/receipt over HTTP: what an alert links to proves its very figures to who holds the log's key."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from gateway.feed_entries import AlertSource
from gateway.journal.leaf import parse as parse_leaf
from gateway.receipt_page import ReceiptPage
from gateway.web import receipts as web
from gateway.web import turns
from gateway.web.server import Server
from gateway.windows import Window, parse_body
from protocol import receipt as receipts
from protocol.merkle import EvidenceError
from protocol.note import parse_vkey
from tests.gateway.app_rig import until
from tests.gateway.feed_rig import LENGTH_MS, Written, all_of, config_of, written
from tests.gateway.test_provincial import T0
from tests.gateway.test_public_pages import Answer, ask
from tests.gateway.test_web import answers
from tests.servers.process import free_port

ENDS = "20260325000500"  # of the window from T0 on
PATH = "/api/v1/receipt/COD/" + ENDS


def get(port: int, path: str) -> Answer:
    return ask(port, path, "GET", {})


@asynccontextmanager
async def serving(asked: web.Ask):
    port = free_port()
    task = asyncio.create_task(Server("127.0.0.1", port, dict, list, bytes, ask_receipt=asked).run())
    try:
        await until(lambda: answers(port))
        yield lambda path: asyncio.to_thread(get, port, path)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def station(tmp_path, case: Callable, label: str = "") -> None:
    """Run `await case(at, get)` while the page of a journal is served."""

    async def story():
        config = config_of(tmp_path, "alerts")
        if label:
            config = config.model_copy(update={"gateway": config.gateway.model_copy(update={"label": label})})
        async with written(config) as at, serving(ReceiptPage(config, at.journal).ask) as asked:
            await case(at, asked)

    asyncio.run(story())


def proved(at: Written, answer: Answer) -> Window:
    """The window that a receipt shows, for whoever has the log's key and nothing else of ours."""
    assert answer.status == 200
    found = receipts.parse(answer.body)
    assert found.extra is not None
    receipts.check(found, found.extra, parse_vkey((at.state_dir / "log.vkey").read_text().strip()))
    return parse_body(parse_leaf(found.extra).body)[0]


def test_what_an_alert_links_to_proves_its_figures(tmp_path):
    async def case(at: Written, get) -> None:
        feed = at.feed(AlertSource)
        await at.close(T0, {"COD": 80.126, "pH": 7.0})
        await feed.look()
        await all_of(feed)
        (alert,) = at.messages()
        (cause,) = alert["windows"]
        await at.close(T0 + LENGTH_MS, {"COD": 1.0})
        await at.close(T0, {"COD": 71.5}, revision=2)
        answer = await get(cause["receipt"])
        window = proved(at, answer)
        assert (window.symbol, window.start_ms, window.revision) == ("COD", cause["start_ms"], 1)
        assert round(window.value or 0.0, 2) == cause["value"], "of the revision that raised it"
        assert proved(at, await get(PATH)).value == 71.5, "else the newest"
        assert answer.headers["content-disposition"] == f'attachment; filename="COD-{ENDS}.tlog-proof"'
        changed = bytearray(answer.body)
        changed[len(changed) // 2] ^= 1
        with pytest.raises((EvidenceError, AssertionError)):
            proved(at, answer._replace(body=bytes(changed)))

    station(tmp_path, case)


def test_a_stamp_is_the_files_own(tmp_path):
    """label = "start": the file of a window has the time of its beginning."""

    async def case(at: Written, get) -> None:
        await at.close(T0, {"COD": 1.0})
        await at.close(T0 + LENGTH_MS, {"COD": 2.0})
        assert proved(at, await get(PATH)).start_ms == T0 + LENGTH_MS

    station(tmp_path, case, "start")


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/v1/receipt/NH4/" + ENDS, 404, "has no window of NH4"),
        ("/api/v1/receipt/COD/20260325001000", 404, "has no window of COD that ends"),
        (PATH + "?revision=2", 404, "has no window of COD, revision 2, that starts"),
        (PATH + "?revision=-1", 400, "revision is a whole number from 1 on"),
        ("/api/v1/receipt/COD/20260230000500", 400, "Write it as in the file's name"),
        ("/api/v1/receipt/COD/now", 400, "'now' is not a stamp yyyyMMddHHmmss"),
        ("/api/v1/receipt/%F0%9F%98%80%0d%0a/" + ENDS, 404, "has no window"),
    ],
)
def test_what_is_not_there_is_a_sentence(tmp_path, path, status, says):
    async def case(at: Written, get) -> None:
        await at.close(T0, {"COD": 1.0})
        answer = await get(path)
        assert answer.status == status and says in answer.json["error"]

    station(tmp_path, case)


def test_nothing_signed_yet_and_a_journal_that_cannot_be_read(tmp_path, monkeypatch):
    async def case(at: Written, get) -> None:
        await at.close(T0, {"COD": 1.0})
        with sqlite3.connect(at.journal.path) as connection:
            connection.execute("DELETE FROM checkpoint")
        connection.close()
        answer = await get(PATH)
        assert answer.status == 404 and "one is signed with every window" in answer.json["error"]
        monkeypatch.setattr("gateway.receipts.newest_checkpoint", _broken)
        answer = await get(PATH)
        assert answer.status == 503 and answer.headers["retry-after"] == "5"

    station(tmp_path, case)


def _broken(*_):
    raise sqlite3.OperationalError("disk I/O error")


def test_a_crowd_waits_or_is_sent_away():
    made, gate = [], asyncio.Event()

    async def slow(symbol: str, stamp: str, revision: int | None) -> bytes:
        made.append(stamp)
        before = len(made)
        await gate.wait()
        await asyncio.sleep(0.01)
        assert len(made) == before, "one at a time"
        return b"a receipt"

    async def story():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(turns.WAITING_MAX + 4))
        async with serving(slow) as get:
            crowd = [asyncio.create_task(get(PATH)) for _ in range(turns.WAITING_MAX + 4)]
            sent_away = 0
            while sent_away < 4:
                done, _ = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
                crowd = [task for task in crowd if task not in done]
                sent_away += len(done)
                assert all(task.result().status == 503 for task in done)
            gate.set()
            assert all([(await task).status == 200 for task in crowd])
            assert len(made) == turns.WAITING_MAX
            assert (await get(PATH)).status == 200, "and afterwards it is there again"

    asyncio.run(story())


def test_without_a_journal_there_are_none():
    async def story():
        async with serving(web.nothing) as get:
            answer = await get(PATH)
            assert answer.status == 404 and json.loads(answer.body)["error"]

    asyncio.run(story())
