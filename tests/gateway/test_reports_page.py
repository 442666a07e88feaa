# runs on: cpython
"""/reports: a real report by a real child, its downloads, and who may what; on a whole gateway, too."""

from __future__ import annotations

import ast
import asyncio
import html
import re
import sys
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway import report_child, report_jobs
from gateway.config import load
from gateway.errors import JournalError
from gateway.page_reads import PageReads
from gateway.people.may import EVERYBODY, may
from gateway.report_jobs import KEPT_MAX, ReportJobs
from gateway.reports.period import period
from gateway.web.page.reports import SHUT_IN, Reports, choices
from gateway.web.page.said import in_vietnamese
from gateway.web.page.shell import Shell
from gateway.zone import HOUR_MS
from tests.gateway.app_rig import until
from tests.gateway.door_rig import Browser, Rig, serving
from tests.gateway.feed_rig import config_of, written
from tests.gateway.period_rig import records, site
from tests.gateway.test_page_problems import text_of
from tests.gateway.test_page_sentences import spoken
from tests.gateway.test_provincial import T0
from tests.gateway.test_report_jobs import alive
from tests.gateway.test_whole_door import csrf_of, station

DAY = period("2026-03-25")
NOW_MS = DAY.to_ms + 10 * HOUR_MS
ASKED = {"period": "2026-03-25", "other": "", "lang": "vi"}
FILES = [
    ("report.html", "inline", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
    ("report.pdf", "attachment", "application/pdf", b"%PDF-"),
    ("report.xlsx", "attachment",
     "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
    ("hours.csv", "attachment", "text/csv; charset=utf-8", b""),
]  # fmt: skip

Case = Callable[[Rig, ReportJobs], Awaitable[None]]


def reporting(folder: Path, case: Case, first_ms: int | None = DAY.from_ms, works: bool = True) -> None:
    """The page over a station that measured for one day, with the command line's own report."""
    path = site(folder, records(DAY, 8, margin=0))
    config = load(path)

    def execute(name: str, language: str, out: Path) -> list[str]:
        command = [sys.executable, "-m", "tools.cli", "report", str(path), "--period", name]
        return [*command, "--out", str(out), "--lang", language]

    async def first() -> int | None:
        if first_ms == 0:
            raise JournalError("It cannot be read.")
        return first_ms

    shell = Shell(config)
    jobs = ReportJobs(folder, execute, lambda: NOW_MS)
    page = Reports(shell, jobs, first, lambda: NOW_MS, KEPT_MAX)

    async def begun(rig: Rig) -> None:
        task = asyncio.create_task(jobs.run() if works else asyncio.sleep(600))
        try:
            await case(rig, jobs)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    serving(begun, routes=lambda rig: page.routes(), page=shell.page)


async def inside(rig: Rig, role: str = "operator") -> Browser:
    browser = rig.browser()
    await browser.log_in(role)
    rig.told.clear()
    return browser


class Needs(HTMLParser):
    """What a report needs from elsewhere, or to be allowed to do."""

    def __init__(self, text: str):
        super().__init__()
        self.found: set[str] = set()
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ("script", "link", "iframe", "object", "embed", "form", "img", "image", "base", "use"):
            self.found.add(tag)
        self.found |= {name for name, value in attrs if name.startswith("on") or name in ("src", "srcset")}
        self.found |= {"url" for name, value in attrs if name == "style" and "url(" in (value or "")}
        assert not any(name == "href" and not (value or "").startswith("#") for name, value in attrs)

    def handle_data(self, data):
        if self.lasttag == "style" and ("url(" in data or "@import" in data):
            self.found.add("url")


def test_a_report_is_asked_for_made_listed_and_taken_along(tmp_path):
    async def case(rig, jobs):
        browser = await inside(rig)
        page = await browser.get("/reports")
        assert "Chưa có báo cáo nào." in page.text and "http-equiv" not in page.text
        assert csrf_of(page) == browser.csrf and '<option value="2026-03-25">' in page.text
        said = await browser.post("/do/report", ASKED)
        assert (said.status, said.to) == (303, "/reports")
        (deed,) = rig.told
        assert deed[:5] == ("operator", "operator", "127.0.0.1", "report",
                            ("period=2026-03-25", "lang=vi"))  # fmt: skip
        assert deed.ok and deed.said.startswith("The report 2026-03-25 (vi) is being made")
        page = await browser.get("/reports")
        assert "Báo cáo 2026-03-25 (vi) đang được lập" in page.text  # the answer, once,
        assert "ngày 25/03/2026, Tiếng Việt (theo operator)" in page.text.replace("Ngày", "ngày")
        assert '<meta http-equiv="refresh" content="5">' in page.text
        await until(lambda: jobs.at_work is None and not jobs.waiting, 120)
        assert [one.said for one in jobs.failed] == []
        page = await browser.get("/reports?lang=en")
        assert "http-equiv" not in page.text and "Vietnamese" in page.text
        links = re.findall(r'href="(/reports/[^"]+)"', page.text)
        assert {f"/reports/2026-03-25-vi/{name}" for name, *_ in FILES} <= set(links) and len(links) >= 7
        for name, how, kind, begins in FILES:
            said = await browser.get(f"/reports/2026-03-25-vi/{name}")
            whole = (tmp_path / "reports" / "2026-03-25-vi" / name).read_bytes()
            assert (said.status, said.body, said.headers["content-type"]) == (200, whole, kind), name
            assert whole.startswith(begins) and len(whole) > 100
            assert said.headers["content-disposition"].startswith(f"{how}; filename*=UTF-8''2026-03-25-vi")
            assert said.headers["cache-control"] == "no-store"
            assert (said.headers["content-security-policy"] == SHUT_IN) == (name == "report.html")
            head = await browser.ask("HEAD", f"/reports/2026-03-25-vi/{name}")
            assert (head.status, head.headers["content-length"]) == (200, str(len(whole)))
        needs = Needs((tmp_path / "reports/2026-03-25-vi/report.html").read_text())
        assert needs.found == set() and {"style", "svg", "table"} <= needs.tags, (
            "SHUT_IN takes nothing off it"
        )

    reporting(tmp_path, case)


def test_control_what_a_page_needs_is_found():
    assert Needs('<script>1</script><img src="a"><p onclick="b" style="background:url(c)">').found == {
        "script", "img", "src", "onclick", "url"
    }  # fmt: skip
    assert Needs("<style>@import 'x';</style>").found == {"url"}


def test_each_role_looks_and_has_reports_made_as_the_table_says(tmp_path):
    async def case(rig, jobs):
        for role in EVERYBODY:
            browser = await inside(rig, role)
            page = await browser.get("/reports")
            assert page.status == 200 and ("/do/report" in page.text) == may(role, "report"), role
            jobs.waiting.clear()
            said = await browser.post("/do/report", ASKED)
            assert (said.status, len(jobs.waiting)) == ((303, 1) if may(role, "report") else (403, 0)), role
            assert [deed.ok for deed in rig.told] == [may(role, "report")]
        anybody = rig.browser()
        assert (await anybody.get("/reports")).status == 200
        assert "/do/report" not in (await anybody.get("/reports")).text
        assert (await anybody.post("/do/report", ASKED)).status in (303, 401)
        assert len(jobs.waiting) == 1

    reporting(tmp_path, case, works=False)


WRONG = [
    ({"other": "2026-H3"}, "'2026-H3' is no period: write"), ({"period": ""}, "No period is named."),
    ({"other": "../../keys"}, "'../../keys' is no period"), ({"other": "2027"}, "has not begun"),
    ({"lang": "fr"}, "'lang' is one of vi, en."), ({"other": "x" * 900}, "is shorter"),
    ({"other": "2026-02-30"}, "no such day"), ({"other": "2026-13"}, "no month 13"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "says"), WRONG)
def test_what_cannot_be_made_is_a_sentence_and_an_entry(tmp_path, wrong, says):
    async def case(rig, jobs):
        browser = await inside(rig)
        said = await browser.post("/do/report", ASKED | wrong)
        assert (said.status, said.to) == (303, "/reports") and not jobs.waiting
        (deed,) = rig.told
        assert not deed.ok and says in deed.said
        english = html.unescape((await browser.get("/reports?lang=en")).text)
        assert deed.said in english and 'class="flash bad"' in english
        await browser.post("/do/report", ASKED | wrong)
        assert deed.said not in html.unescape((await browser.get("/reports?lang=vi")).text), "in Vietnamese"

    reporting(tmp_path, case, works=False)


def test_what_failed_stands_there_in_both_languages_and_too_many_are_refused(tmp_path):
    async def case(rig, jobs):
        browser = await inside(rig)
        await browser.post("/do/report", ASKED | {"other": "2026-02"})
        await until(lambda: jobs.failed, 60)
        page = html.unescape((await browser.get("/reports?lang=en")).text)
        assert "Could not be made" in page and "The journal holds no windows from 2026-02-01" in page
        assert "Nhật ký không có kết quả quan trắc từ" in (await browser.get("/reports?lang=vi")).text
        jobs.ask("2026-01", "vi", "x")
        await until(lambda: jobs.at_work)
        for month in ("2025-01", "2025-02", "2025-03", "2025-04"):
            jobs.ask(month, "vi", "x")
        await browser.post("/do/report", ASKED)
        assert "4 reports wait already" in rig.told[-1].said and not rig.told[-1].ok

    reporting(tmp_path, case)


TRAVERSALS = [
    "/reports/2026-03-25-vi/..%2f..%2fconfig.toml", "/reports/..%2f/config.toml", "/reports/../config.toml",
    "/reports/%2e%2e/config.toml", "/reports/2026-03-25-vi/%2e%2e%2f%2e%2e%2fconfig.toml",
    "/reports/.making-ab/report.html", "/reports/2026-03-25-vi/", "/reports/2026-03-25-vi/..%5cconfig.toml",
    "/reports/2026-03-25-vi/report.html%00.pdf", "/reports//config.toml", "/reports/2026-03-25-vi/a/b",
    "/reports/2026-03-25-vi%0d%0aX:%20planted/report.html", "/reports/%2fetc/passwd",
]  # fmt: skip


def test_no_path_leads_out_of_the_folder(tmp_path):
    folder = tmp_path / "reports" / "2026-03-25-vi"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("whole")
    (folder / "other.html").write_text("<script>")
    (tmp_path / "reports" / ".making-ab").mkdir()
    (tmp_path / "reports" / ".making-ab" / "report.html").write_text("half [station]")

    async def case(rig, jobs):
        browser = await inside(rig, "viewer")
        assert (await browser.get("/reports/2026-03-25-vi/report.html")).body == b"whole"
        for path in TRAVERSALS:
            said = await browser.get(path)
            assert said.status in (404, 307) and "[station]" not in said.text, path
            assert "planted" not in said.headers.as_string(), path
        other = await browser.get("/reports/2026-03-25-vi/other.html")
        assert other.headers["content-type"] == "application/octet-stream", "only the report opens here"
        assert other.headers["content-disposition"].startswith("attachment")

    reporting(tmp_path, case, works=False)


def test_a_journal_or_a_folder_that_cannot_be_read_takes_nothing_else_off_the_page(tmp_path, monkeypatch):
    async def case(rig, jobs):
        browser = await inside(rig)
        page = await browser.get("/reports")
        assert page.status == 200 and '<option value="2026-03">' in page.text

        def broken(*asked):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(jobs, "listed", broken)
        monkeypatch.setattr(jobs, "open", broken)
        page = await browser.get("/reports")
        assert page.status == 200 and "Không đọc được thư mục báo cáo" in page.text
        assert "/do/report" in page.text
        assert (await browser.get("/reports/2026-03-25-vi/report.html")).status == 503

    reporting(tmp_path, case, first_ms=0, works=False)


def named(now: str, first_ms: int | None) -> list[str]:
    return [one.name for one in choices(period(now).from_ms + HOUR_MS, first_ms)]


def test_the_periods_to_choose_are_those_that_the_journal_reaches():
    always = ["2026-03-25", "2026-03", "2026-02", "2025-Q4"]
    assert named("2026-03-26", None) == [*always, "2026-H1", "2026"]  # nothing measured: those that run
    assert named("2026-03-26", period("2025-08-09").from_ms) == [
        *always, "2026-H1", "2025-H2", "2026", "2025"
    ]  # fmt: skip
    # the half-year ends as July begins
    assert "2025-H1" in named("2026-03-26", period("2025-07-01").from_ms - 1)
    assert "2025-H1" not in named("2026-03-26", period("2025-07-01").from_ms)
    assert named("2026-01-01", None)[:4] == ["2025-12-31", "2026-01", "2025-12", "2025-Q4"]
    assert named("2026-10-05", None)[:4] == ["2026-10-04", "2026-10", "2026-09", "2026-Q3"]
    assert len(named("2026-03-26", 0)) == 4 + 23 + 12  # of YEARS_MAX; the second half is not begun
    assert choices(0, None) == []  # a clock that was never set


def test_how_far_back_the_journal_reaches(tmp_path):
    async def story():
        async with written(config_of(tmp_path, "alerts")) as at:
            reads = PageReads(at.journal, at.state_dir, at.config.channel)
            assert await reads.first_ms() is None
            await at.close(T0, {"COD": 80.0, "pH": 7.0})
            await at.close(T0 + 300_000, {"COD": 80.0, "pH": 7.0})
            assert await reads.first_ms() == T0

    asyncio.run(story())


def sentences() -> list[str]:
    """What these modules say, with 7 wherever something is filled in."""
    sources = [Path(module.__file__).read_text(encoding="utf-8") for module in (report_jobs, report_child)]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    said = [node.value for node in nodes if isinstance(node, ast.Return)]
    texts = [text for one in said if one is not None and (text := text_of(one)) and " " in text]
    return [text.replace("{}", "7") for text in (*texts, *spoken("report_jobs.py", "ValueError"))]


def test_whatever_it_says_has_its_vietnamese():
    assert len(sentences()) >= 10
    assert [text for text in sentences() if in_vietnamese(text) == text] == []


def test_control_a_sentence_that_nobody_translated_is_found(monkeypatch):
    monkeypatch.setattr("tests.gateway.test_reports_page.in_vietnamese", lambda text: text)
    with pytest.raises(AssertionError):
        test_whatever_it_says_has_its_vietnamese()


# A whole gateway --------------------------------------------------------------------------------------------


def child_of(pid: int) -> int | None:
    """The process that makes a report for this gateway."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            try:
                if b"--period" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                    return int(child)
            except FileNotFoundError:
                continue
    return None


def test_a_gateway_makes_reports_and_ends_the_one_under_way_when_it_stops(tmp_path):
    async def story():
        async with station(tmp_path) as at:
            browser = await at.browser("inspector")
            pid = at.gateway.process.pid
            await browser.post("/do/report", {"other": "2026-01", "lang": "en"})
            await until(lambda: "failed=" in at.gateway.log.split("a report", 1)[-1] or None, 60)
            page = await until(lambda: failed(browser), 60)
            assert "The journal holds no windows from 2026-01-01T00:00:00+07:00" in page
            (deed,) = [one for one in at.deeds() if one.action == "report"]
            assert (deed.who, deed.ok, deed.details) == ("inspector", True, ("period=2026-01", "lang=en"))
            await browser.post("/do/report", {"other": "2026-02", "lang": "en"})
            child = await until(lambda: child_of(pid))
            assert await at.gateway.stop() == 0
            await until(lambda: not alive(child), 3)
            assert list((tmp_path / "gateway" / "reports").iterdir()) == []

    async def failed(browser):
        text = html.unescape((await browser.get("/reports?lang=en")).text)
        return text if "Could not be made" in text else None

    asyncio.run(story())
