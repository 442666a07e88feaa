"""/reports: what was made, what is being made, and a form to have one made; the files to take along.

Rule 1: what somebody asked for is an entry of the log before the answer goes out, as all that people do.
Rule 2: a file is one of those that lie there (gateway/report_jobs.py), whatever the path says; the report to
        be read opens where it can do nothing: no script, no form, nothing from elsewhere.
Rule 3: a journal or a folder that cannot be read takes nothing else off the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.errors import JournalError
from gateway.logs import get_logger
from gateway.reports import period_words
from gateway.reports.period import Period, period
from gateway.web.answers import FRESH, sentence
from gateway.web.door import guard, tell
from gateway.web.page.shell import Shell
from gateway.web.page.words import LANGUAGES, Words
from gateway.zone import DAY_MS, date_of

log = get_logger("web")

WHERE = "/reports"
REFRESH_S = 5
YEARS_MAX = 12
PART_BYTES = 262_144
TO_READ = "report.html"
SHUT_IN = "; ".join(
    (
        "sandbox",
        "default-src 'none'",
        "style-src 'unsafe-inline'",  # the report's own <style>
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
KINDS = {
    "html": "text/html; charset=utf-8", "pdf": "application/pdf", "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
ANY_KIND = "application/octet-stream"


class Jobs(Protocol):
    """gateway/report_jobs.py."""

    at_work: Any
    waiting: Any
    failed: Any

    def ask(self, name: str, language: str, who: str) -> str: ...
    def listed(self) -> Sequence[Any]: ...
    def open(self, report: str, file: str) -> tuple[BinaryIO, int] | None: ...


class Choice(NamedTuple):
    """A period to choose."""

    name: str
    said: str


def choices(now_ms: int, first_ms: int | None) -> list[Period]:
    """What people ask for mostly: yesterday, this and the last month, the last quarter; half-years and years
    that a journal reaches whose oldest window begins at first_ms, the newest first. Pure.
    """
    today = date_of(now_ms)
    year, month = today.year, today.month
    quarter = (month - 1) // 3  # the last one; 0 is the fourth of the year before
    some = [
        str(date_of(now_ms - DAY_MS)),
        f"{year}-{month:02}",
        f"{year}-{month - 1:02}" if month > 1 else f"{year - 1}-12",
        f"{year}-Q{quarter}" if quarter else f"{year - 1}-Q4",
    ]
    years = range(year, year - YEARS_MAX, -1)
    halves = [f"{each}-H{half}" for each in years for half in (2, 1)]
    found = [one for name in (*some, *halves, *map(str, years)) if (one := _known(name)) is not None]
    reached = now_ms if first_ms is None else first_ms
    return [one for one in found if one.name in some or (one.to_ms > reached and one.from_ms <= now_ms)]


def _known(name: str) -> Period | None:
    """None where a clock that was never set says it is 1970."""
    try:
        return period(name)
    except ValueError:
        return None


class Reports:
    """Of one station. `first_ms()`: the oldest window's beginning, None for no window (JournalError)."""

    def __init__(
        self, shell: Shell, jobs: Jobs, first_ms: Callable[[], Awaitable[int | None]],
        now_ms: Callable[[], int], kept_max: int,
    ):  # fmt: skip
        self._shell, self._jobs, self._first_ms, self._now_ms = shell, jobs, first_ms, now_ms
        self._kept_max = kept_max

    def routes(self) -> list[Route]:
        """To look, and to have one made."""
        return [
            Route(WHERE, guard("look", self._show)),
            Route(f"{WHERE}/{{report}}/{{file}}", guard("look", self._file)),
            Route("/do/report", guard("report", self._ask), methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        t, jobs = self._shell.words(request), self._jobs
        try:
            first_ms = await self._first_ms()
        except JournalError:
            first_ms = None
        try:
            made, readable = await asyncio.to_thread(jobs.listed), True
        except OSError as error:
            log.warning("the folder of the reports cannot be read", reason=str(error))
            made, readable = (), False
        return self._shell.page(
            request, "reports.html", kept_max=self._kept_max, refresh_s=REFRESH_S, readable=readable,
            at_work=_job(jobs.at_work, t) if jobs.at_work else "",
            waiting=[_job(one, t) for one in jobs.waiting],
            failed=[{"job": _job(one.job, t), "at": t.moment(one.at_ms), "said": t.said(one.said)}
                    for one in jobs.failed],
            made=[_made(one, t) for one in made], languages=LANGUAGES,
            choices=[Choice(one.name, _called(one, t)) for one in choices(self._now_ms(), first_ms)],
        )  # fmt: skip

    async def _ask(self, request: Request) -> Response:
        who, form = request.state.who, request.state.form
        name, language = form.line("other") or form.line("period"), form.line("lang")
        try:
            said, ok = self._jobs.ask(name, language, who.name), True
        except ValueError as error:
            said, ok = str(error), False
        await tell(request, "report", (f"period={name}", f"lang={language}"), ok, said)
        request.state.session.say(said, ok)
        return RedirectResponse(WHERE, 303)

    async def _file(self, request: Request) -> Response:
        report, file = request.path_params["report"], request.path_params["file"]
        try:
            found = await asyncio.to_thread(self._jobs.open, report, file)
        except OSError as error:
            log.warning("a report cannot be read", reason=str(error))
            return sentence(503, "The report cannot be read just now. Ask again later.", 60)
        if found is None:
            return sentence(404, "There is no such report here.")
        stream, size = found
        read = file == TO_READ
        named = quote(f"{report}.html" if read else f"{report}-{file}", safe="")
        headers = {
            **FRESH, "Content-Length": str(size),
            "Content-Disposition": f"{'inline' if read else 'attachment'}; filename*=UTF-8''{named}",
        }  # fmt: skip
        if read:
            headers["Content-Security-Policy"] = SHUT_IN
        kind = KINDS.get(file.rpartition(".")[2], ANY_KIND) if read or not file.endswith("html") else ANY_KIND
        return StreamingResponse(_parts(stream), media_type=kind, headers=headers)


async def _parts(stream: BinaryIO) -> AsyncIterator[bytes]:
    with stream:
        while part := await asyncio.to_thread(stream.read, PART_BYTES):
            yield part


def _called(one: Period, t: Words) -> str:
    """As the report itself calls its period."""
    return period_words.Words(t.language).period(one)


def _job(job: Any, t: Words) -> str:
    return t("report_by", period=_called(job.period, t), language=t(f"report_{job.language}"), who=job.who)


def _made(made: Any, t: Words) -> dict[str, Any]:
    files = [
        {"name": name, "size": t.bytes(size), "at": f"{WHERE}/{made.name}/{quote(name, safe='')}",
         "read": name == TO_READ}
        for name, size in sorted(made.files, key=lambda one: (not one[0].startswith("report."), one[0]))
    ]  # fmt: skip
    return {
        "period": _called(made.period, t), "language": t(f"report_{made.language}"),
        "at": t.moment(made.made_ms), "files": files,
    }  # fmt: skip
