"""/public.json and /public.csv over HTTP from a real journal: who may read what, how late, at what cost."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway import public, public_pages
from gateway.config import Config
from gateway.errors import JournalError
from gateway.journal import database
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from gateway.public_pages import PublicPages, day, newest_windows
from gateway.web import public as web
from gateway.web.server import Server
from tests.gateway.app_rig import until
from tests.gateway.journal_rig import opened
from tests.gateway.public_rig import FIVE_MIN_MS, PUBLIC, group, public_config
from tests.gateway.test_journal import window_entry
from tests.gateway.test_provincial import T0
from tests.gateway.test_web import answers
from tests.servers.process import free_port

DAY = 288  # windows


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Station:
    """A journal, its public pages, and a clock that a test moves."""

    def __init__(self, journal: Journal, config: Config):
        self.journal, self.config = journal, config
        self.now_ms = T0
        self.seconds = 0.0
        self.port = free_port()
        self.pages = PublicPages(config, journal, lambda: self.now_ms, lambda: self.seconds)

    async def close_windows(self, *numbers: int, cod: float = 16.25, revision: int = 1) -> None:
        """All channels' windows of these numbers, on disk; the clock stands at the last one's end."""
        rows = [one for i in numbers for one in group(i, cod=cod, revision=revision)]
        made = [window_entry(self.journal, one) for one in rows]
        await self.journal.commit(windows=made, now_ms=T0)
        self.now_ms = max(self.now_ms, *(one.end_ms for one in rows))
        self.seconds += public_pages.FRESH_S

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return await asyncio.to_thread(ask, self.port, path, method, headers)


def ask(port: int, path: str, method: str, headers: dict[str, str]) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def serving(folder: Path, case: Callable[[Station], Any], more: str = PUBLIC) -> None:
    """Run `await case(station)` while its pages are served."""

    async def main() -> None:
        config = public_config(folder, more)
        station = Station(opened(folder / "gateway" / "journal.db"), config)
        station.journal.start()
        server = Server("127.0.0.1", station.port, dict, list, bytes, station.pages.ask)
        task = asyncio.create_task(server.run())
        try:
            await until(lambda: answers(station.port))
            await case(station)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await station.journal.close(timeout_s=2.0)

    asyncio.run(main())


def rows(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))


# What is there ----------------------------------------------------------------------------------------------


def test_both_pages_show_the_agreed_channels_and_nothing_else(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(*range(-4, 1))
        found = await station.get("/public.json")
        assert (found.status, found.headers["content-type"]) == (200, web.FORMS["json"])
        assert set(found.json["channels"]) == {"COD", "pH"} and b"Cyanide" not in found.body
        assert found.json["t"] == "2026-03-25T00:00:00+07:00" and len(found.json["windows"]["t"]) == 5
        assert found.json["channels"]["COD"]["value"] == 16.25 and b"0.666" not in found.body
        table = await station.get("/public.csv")
        assert (table.status, table.headers["content-type"]) == (200, web.FORMS["csv"])
        assert [row["symbol"] for row in rows(table)] == ["COD", "pH"] * 5 and b"Cyanide" not in table.body

    serving(tmp_path, case)


def test_control_pages_that_show_every_channel_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(public, "channels", lambda config: {one.symbol: one for one in config.channel})
    with pytest.raises(AssertionError):
        test_both_pages_show_the_agreed_channels_and_nothing_else(tmp_path)


def test_where_nothing_is_public_there_is_a_sentence(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(0)
        for path in ("/public.json", "/public.csv", "/public.csv?days=31"):
            answer = await station.get(path)
            assert answer.status == 404 and answer.json == {"error": web.NOT_PUBLIC}
            assert answer.headers["cache-control"] == "no-store"

    serving(tmp_path, case, more="")


def test_a_new_window_and_a_revision_are_seen(tmp_path):
    async def case(station: Station) -> None:
        assert (await station.get("/public.json")).json["t"] is None
        await station.close_windows(0)
        first = await station.get("/public.json")
        await station.close_windows(1)
        await station.close_windows(0, cod=17.0, revision=2)
        second = await station.get("/public.json")
        assert first.json["windows"]["values"]["COD"] == [16.25]
        assert second.json["windows"]["values"]["COD"] == [17.0, 16.25]
        assert first.headers["etag"] != second.headers["etag"]

    serving(tmp_path, case)


@pytest.mark.parametrize("days", [1, 2, 3, 31])
def test_so_many_days_back_from_the_newest_window(tmp_path, days):
    async def case(station: Station) -> None:
        await station.close_windows(*range(-3 * DAY, 1, 24))
        station.now_ms += 5 * FIVE_MIN_MS  # the last day of data, not of the clock
        path = f"?days={days}"
        times = (await station.get("/public.json" + path)).json["windows"]["t"]
        assert len(times) == min(days * 12, 37) and times == sorted(times)
        station.seconds += 1e6
        table = rows(await station.get("/public.csv" + path))
        assert [row["time"] for row in table] == [t for t in times for _ in range(2)]

    serving(tmp_path, case)


def test_nothing_is_shown_before_it_is_as_old_as_was_agreed(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(*range(20))
        for late_ms, newest in ((0, 7), (FIVE_MIN_MS - 1, 7), (FIVE_MIN_MS, 8)):
            station.now_ms = T0 + 19 * FIVE_MIN_MS + late_ms
            station.seconds += public_pages.FRESH_S
            found = (await station.get("/public.json")).json
            ends = [T0 + i * FIVE_MIN_MS for i in range(newest + 1)]
            assert found["windows"]["t"] == [public.rfc3339(ms) for ms in ends]
            assert found["t"] == found["windows"]["t"][-1] == found["channels"]["COD"]["t"]
            table = rows(await station.get("/public.csv"))
            assert table[-1]["time"] == found["t"]

    serving(tmp_path, case, more=PUBLIC + "delay_min = 60\n")


def test_control_pages_that_forget_the_delay_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(public, "ended_before_ms", lambda config, now_ms: now_ms)
    with pytest.raises(AssertionError):
        test_nothing_is_shown_before_it_is_as_old_as_was_agreed(tmp_path)


def test_a_station_that_has_stood_still_shows_its_last_day(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(0, 1)
        station.now_ms += 90 * 86_400_000
        found = (await station.get("/public.json")).json
        assert found["t"] == "2026-03-25T00:05:00+07:00" and len(found["windows"]["t"]) == 2

    serving(tmp_path, case)


# As HTTP ----------------------------------------------------------------------------------------------------


def test_who_has_it_already_gets_304(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(0)
        for path in ("/public.json", "/public.csv"):
            first = await station.get(path)
            tag = first.headers["etag"]
            assert first.headers["cache-control"] == "public, max-age=60"
            for held in (tag, "W/" + tag, f'"other", {tag}', "*"):
                again = await station.get(path, If_None_Match=held)
                assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
            assert (await station.get(path, If_None_Match='"other"')).body == first.body
            station.seconds += 100  # made anew, and the same
            assert (await station.get(path, If_None_Match=tag)).status == 304

    serving(tmp_path, case)


def test_anybodys_page_may_read_these_two_and_no_other(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(0)
        tag = (await station.get("/public.json")).headers["etag"]
        for path in ("/public.json", "/public.csv", "/public.json?days=0", "/public.csv?days=9"):
            assert (await station.get(path)).headers["access-control-allow-origin"] == "*"
        assert (await station.get("/public.json", If_None_Match=tag)).headers[
            "access-control-allow-origin"
        ] == "*"
        for path in ("/healthz", "/metrics", "/api/v1/current", "/", "/public"):
            assert (await station.get(path)).headers["access-control-allow-origin"] is None

    serving(tmp_path, case)


@pytest.mark.parametrize(
    "days", ["0", "32", "-1", "1.5", "", "x", "1e1", "99999999999999", "0099", "+3", "%D9%A3"]
)
def test_what_is_no_number_of_days_is_a_sentence(tmp_path, days):
    async def case(station: Station) -> None:
        answer = await station.get(f"/public.csv?days={days}")
        assert answer.status == 400 and answer.json == {"error": "days is a whole number from 1 to 31."}

    serving(tmp_path, case)


def test_nothing_can_be_changed(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(0)
        body = (await station.get("/public.json")).body
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await station.get("/public.json", method)).status == 405
        head = await station.get("/public.json", "HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(body)))

    serving(tmp_path, case)


def test_a_journal_that_cannot_be_read_is_a_sentence_and_the_next_try_works(tmp_path, monkeypatch):
    async def case(station: Station) -> None:
        await station.close_windows(0)
        with monkeypatch.context() as broken:
            broken.setattr(station.journal, "read", fails)
            for path in ("/public.json", "/public.csv?days=3"):
                answer = await station.get(path)
                assert (answer.status, answer.headers["retry-after"]) == (503, "30")
                assert "disk" not in answer.json["error"], "what is wrong inside is nobody's business"
        assert (await station.get("/public.json")).status == 200

    async def fails(*arguments: object) -> None:
        raise JournalError("The journal cannot be read: check the disk.")

    serving(tmp_path, case)


def test_a_large_answer_arrives_whole_and_a_slow_reader_holds_little(tmp_path):
    async def case(station: Station) -> None:
        await station.close_windows(*range(-DAY * 2, 1))
        fast = await station.get("/public.csv?days=3")
        assert len(rows(fast)) == 2 * (2 * DAY + 1) and len(fast.body) > web.PIECE_BYTES
        reader, writer = await asyncio.open_connection("127.0.0.1", station.port, limit=1024)
        writer.write(b"GET /public.csv?days=3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        whole = b""
        while data := await reader.read(1000):
            whole += data
            await asyncio.sleep(0)
        writer.close()
        assert fast.body == unchunked(whole)

    serving(tmp_path, case)


def unchunked(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower() and b"content-length" in head.lower()
    return body


# What it costs ----------------------------------------------------------------------------------------------


def test_however_many_ask_it_is_made_once(tmp_path, monkeypatch):
    reads: list[str] = []

    async def case(station: Station) -> None:
        await station.close_windows(0)
        real = station.journal.read

        async def counted(function, *arguments):
            reads.append(function.__name__)
            return await real(function, *arguments)

        monkeypatch.setattr(station.journal, "read", counted)
        found = await asyncio.gather(*(station.get("/public.json") for _ in range(20)))
        assert {answer.status for answer in found} == {200} and len({answer.body for answer in found}) == 1
        assert reads == ["newest_windows", "_add", "_made"]
        station.seconds += public_pages.FRESH_S
        await station.get("/public.json")
        assert len(reads) == 6

    serving(tmp_path, case)


def test_many_days_take_a_tenth_of_the_time_at_most(tmp_path, monkeypatch):
    async def case(station: Station) -> None:
        await station.close_windows(0)
        real, took_s = station.journal.read, 1.0

        async def slow(function, *arguments):
            station.seconds += took_s / 9  # newest_windows, seven days and the hash
            return await real(function, *arguments)

        monkeypatch.setattr(station.journal, "read", slow)
        assert (await station.get("/public.csv?days=7")).status == 200
        busy = await station.get("/public.csv?days=8")
        assert (busy.status, busy.headers["retry-after"]) == (503, "9") and "days=1" in busy.json["error"]
        assert (await station.get("/public.csv?days=7")).status == 200, "it is there"
        assert (await station.get("/public.csv")).status == 200, "a day is for everybody"
        station.seconds += 9
        assert (await station.get("/public.csv?days=8")).status == 200

    serving(tmp_path, case)


def test_only_one_long_answer_is_made_and_kept(tmp_path, monkeypatch):
    async def case(station: Station) -> None:
        await station.close_windows(0)
        found = await asyncio.gather(*(station.get(f"/public.json?days={n}") for n in range(2, 12)))
        assert sorted({answer.status for answer in found}) == [200, 503]
        monkeypatch.setattr(public_pages, "REST", 0)
        station.seconds += 1e6
        for n in (2, 3, 4):
            assert (await station.get(f"/public.json?days={n}")).status == 200
        assert [key for key in station.pages._made if key[1] > 1] == [("json", 4)]

    serving(tmp_path, case)


BY_INDEX = "SEARCH window USING PRIMARY KEY (start_ms"
SYMBOLS = ("COD", "pH", "Cyanide")


@pytest.fixture(scope="module")
def year(tmp_path_factory) -> Path:
    """A journal with the windows of a year, and nothing else."""
    return filled(tmp_path_factory.mktemp("year"), 365 * DAY)


def filled(folder: Path, count: int) -> Path:
    path = folder / "journal.db"
    opened(path)._writer.stop()
    with closing(database.connect(str(path))) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO window VALUES (?, ?, 1, ?, ?, ?, 1.5, 0, '00', 12, 12, 1.0, 1.0, 2.0, '', 1.5, "
            "NULL, '', '', NULL, NULL, NULL)",
            (
                (start_ms, symbol, i, start_ms + FIVE_MIN_MS, "" if symbol == "pH" else "mg/l")
                for i, start_ms in enumerate(range(T0, T0 - count * FIVE_MIN_MS, -FIVE_MIN_MS))
                for symbol in SYMBOLS
            ),
        )
        connection.execute("COMMIT")
    return path


@contextmanager
def watched(path: Path) -> Iterator[tuple[Reader, list[str]]]:
    """A Reader, and every statement it makes SQLite run."""
    reader, said = Reader(path), []
    reader._connection.set_trace_callback(said.append)
    try:
        yield reader, said
    finally:
        reader._connection.set_trace_callback(None)
        reader.close()


def plans(path: Path, statements: list[str]) -> list[str]:
    """How SQLite gets at the windows in each of them."""
    with closing(database.connect_to_read(path)) as connection:
        found = [row[3] for sql in statements for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    return [plan for plan in found if "window" in plan]


def test_a_page_finds_its_windows_by_the_index_among_those_of_a_year(tmp_path, year):
    config = public_config(tmp_path)
    with watched(year) as (reader, said):
        newest = newest_windows(reader, config, T0 + FIVE_MIN_MS)
        assert set(newest) == {"COD", "pH"} and newest["COD"].start_ms == T0
        found = day(reader, config, T0 + 1 - public.DAY_MS, T0 + FIVE_MIN_MS)
        assert len(found) == 2 * DAY
    used = plans(year, said)
    assert len(used) >= 3
    assert all(plan.startswith(BY_INDEX) for plan in used), used


def test_control_a_question_that_looks_at_all_windows_is_found(year):
    for whole in ("SELECT MAX(idx) FROM window", "SELECT start_ms FROM window WHERE symbol = 'COD'"):
        assert not any(plan.startswith(BY_INDEX) for plan in plans(year, [whole])), whole


def test_a_page_costs_as_much_after_a_year_as_after_two_days(tmp_path, year):
    """Counted in steps of SQLite's machine, which no other load of the computer changes."""

    def steps(path: Path) -> int:
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        config = public_config(tmp_path / "config")
        with closing(Reader(path)) as reader:
            reader._connection.set_progress_handler(step, 100)
            newest_windows(reader, config, T0 + FIVE_MIN_MS)
            day(reader, config, T0 + 1 - public.DAY_MS, T0 + FIVE_MIN_MS)
        return taken

    short = filled(tmp_path, 2 * DAY)
    assert steps(year) == steps(short) > 0
