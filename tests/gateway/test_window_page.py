"""/api/v1/windows over HTTP, of a real journal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import quote, urlencode

import pytest

from gateway import window_page
from gateway.errors import JournalError
from gateway.web import turns
from gateway.web import windows as web
from gateway.web.server import Server
from gateway.window_page import WindowPage
from gateway.zone import DAY_MS, GMT7_MS, date_of, day_of, moment_ms
from protocol import quality as q
from tests.gateway.app_rig import until
from tests.gateway.feed_rig import LENGTH_MS, Written, config_of, written
from tests.gateway.test_provincial import T0
from tests.gateway.test_public_pages import Answer, ask
from tests.gateway.test_web import answers
from tests.servers.process import free_port


@asynccontextmanager
async def serving(asked: web.Ask):
    port = free_port()
    task = asyncio.create_task(Server("127.0.0.1", port, dict, list, bytes, ask_windows=asked).run())

    def get(**query) -> Answer:
        path = "/api/v1/windows" + ("?" + urlencode(query) if query else "")
        return ask(port, path, "GET", {})

    try:
        await until(lambda: answers(port))
        yield lambda **query: asyncio.to_thread(get, **query)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def station(tmp_path, case: Callable) -> None:
    """Run `await case(at, get)` while the windows of a journal are served."""

    async def story():
        config = config_of(tmp_path, "alerts")
        async with written(config) as at, serving(WindowPage(config, at.journal).ask) as get:
            await case(at, get)

    asyncio.run(story())


def found(answer: Answer) -> list[tuple[str, int, float | None, int]]:
    """(symbol, number of the window behind T0, value, revision) of each."""
    assert answer.status == 200, answer.body
    rows = json.loads(answer.body)["windows"]
    return [
        (row["symbol"], (moment_ms(row["start"]) - T0) // LENGTH_MS, row["value"], row["revision"])
        for row in rows
    ]


def test_windows_between_two_moments_by_start_and_symbol_the_newest_of_each(tmp_path):
    async def case(at: Written, get) -> None:
        for n in range(4):
            await at.close(T0 + n * LENGTH_MS, {"COD": 10.0 + n, "pH": 7.0})
        await at.close(T0 + LENGTH_MS, {"COD": 55.5}, revision=2)
        first, end = (
            datetime.fromtimestamp((T0 + n * LENGTH_MS) / 1000).astimezone().isoformat() for n in (1, 3)
        )
        asked = {"from": first, "to": end}
        newest = [("COD", 1, 55.5, 2), ("pH", 1, 7.0, 1), ("COD", 2, 12.0, 1), ("pH", 2, 7.0, 1)]
        assert found(await get(**asked)) == newest
        assert found(await get(**asked, symbol="COD")) == [row for row in newest if row[0] == "COD"]
        assert found(await get(**asked, symbol="COD", revisions="all"))[:2] == [
            ("COD", 1, 11.0, 1), ("COD", 1, 55.5, 2)
        ]  # fmt: skip
        assert found(await get(**{"from": end, "to": first.replace("2026", "2027")}))[0][1] == 3

    station(tmp_path, case)


def test_what_a_row_says(tmp_path):
    async def case(at: Written, get) -> None:
        await at.close(T0, {"COD": 80.12649, "pH": None}, quality=q.OK)
        answer = await get()
        assert answer.headers["cache-control"] == "no-store"
        said = json.loads(answer.body)
        assert said["station"] == "LCa/DEMO/NUO001"
        cod, ph = said["windows"]
        assert (cod["value"], cod["unit"], cod["status"], cod["quality"]) == (80.13, "mg/l", "00", "OK")
        assert moment_ms(cod["t"]) == moment_ms(cod["end"]) == T0 + LENGTH_MS
        assert ph["value"] is None and ph["symbol"] == "pH"

    station(tmp_path, case)


def test_without_times_the_newest_day(tmp_path):
    async def case(at: Written, get) -> None:
        assert found(await get()) == [], "an empty journal"
        last = DAY_MS // LENGTH_MS + 5
        for n in (0, 4, 5, 6, last):
            await at.close(T0 + n * LENGTH_MS, {"COD": float(n)})
        assert [row[1] for row in found(await get())] == [6, last], "24 hours up to the newest, it included"
        day = str(date_of(day_of(T0)))
        assert [row[1] for row in found(await get(**{"from": day}))] == [0, 4, 5, 6], "a day from there"
        assert found(await get(to=day)) == []
        assert [row[1] for row in found(await get(**{"from": "1970-01-01", "to": "2100-01-01"}))] == [
            0, 4, 5, 6, last
        ]  # fmt: skip

    assert (T0 + GMT7_MS) % DAY_MS == 0, "the first window begins with a day"
    station(tmp_path, case)


def test_too_much_is_refused_with_a_way_out(tmp_path, monkeypatch):
    async def case(at: Written, get) -> None:
        for n in range(4):
            await at.close(T0 + n * LENGTH_MS, {"COD": 1.0, "pH": 7.0})
        assert len(found(await get())) == 8
        monkeypatch.setattr(window_page, "ROWS_MAX", 7)
        answer = await get()
        assert answer.status == 400 and b"for one symbol" in answer.body
        assert len(found(await get(symbol="COD"))) == 4

    station(tmp_path, case)


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"}, {"to": "2026-13-01"}, {"from": "20269999999999"}, {"from": "٢٠٢٦٠١٠١٠٠٠٠٠٠"},
        {"from": "2026-03-26", "to": "2026-03-25"}, {"from": "2026-03-25", "to": "2026-03-25"},
        {"revisions": "some"}, {"to": "9999-12-31T23:59:59-23:59"}, {"from": "1" * 4000},
    ],
)  # fmt: skip
def test_bad_questions_get_a_sentence(tmp_path, query):
    async def case(at: Written, get) -> None:
        answer = await get(**query)
        assert answer.status == 400 and json.loads(answer.body)["error"].endswith((".", ")."))

    station(tmp_path, case)


def test_another_channel_is_named_and_known_ones_are_told(tmp_path):
    async def case(at: Written, get) -> None:
        answer = await get(symbol="XYZ'; DROP TABLE window --")
        assert answer.status == 404 and b"COD, pH" in answer.body
        assert found(await get(symbol="COD")) == []

    station(tmp_path, case)


def test_a_journal_that_cannot_be_read_and_a_crowd_are_asked_to_come_again():
    async def story():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * turns.WAITING_MAX))
        free = asyncio.Event()

        async def slow(from_ms, to_ms, symbol, all_revisions) -> bytes:
            await free.wait()
            raise JournalError("the disk")

        async with serving(slow) as get:
            crowd = [asyncio.create_task(get()) for _ in range(turns.WAITING_MAX + 3)]
            sent_away = 0
            while sent_away < 3:  # all of them are there by then
                done, waiting = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
                crowd, sent_away = list(waiting), sent_away + len(done)
                found = [task.result() for task in done]
                assert all(answer.status == 503 and b"Too many" in answer.body for answer in found)
            free.set()
            last = await asyncio.gather(*crowd)
            assert all(answer.status == 503 and b"cannot read" in answer.body for answer in last)

    asyncio.run(story())


def test_a_plus_that_became_a_space_is_explained(tmp_path):
    async def case(at: Written, get) -> None:
        answer = await get(**{"from": "2026-03-25T10:00:00 07:00"})
        assert answer.status == 400 and b"%2B" in answer.body
        assert quote("+") == "%2B"

    station(tmp_path, case)
