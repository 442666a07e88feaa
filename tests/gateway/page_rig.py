"""The page served by the real web server, over a journal of one's choice."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from gateway.chart_page import ChartPage
from gateway.config import Config
from gateway.page_reads import PageReads
from gateway.report_jobs import KEPT_MAX, ReportJobs
from gateway.web.page.reports import Reports
from gateway.web.page.shell import Shell
from gateway.web.page.views import Views
from gateway.web.server import Server
from tests.gateway.app_rig import until
from tests.gateway.feed_rig import Written
from tests.gateway.test_provincial import T0
from tests.gateway.test_web import answers
from tests.servers.process import free_port

T = "2026-03-25T10:00:30.000+07:00"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def current_of(config: Config, **changes: Any) -> dict[str, Any]:
    """As /api/v1/current tells of a station where all is well."""
    channels = [
        {"symbol": one.symbol, "unit": one.unit, "decimals": one.decimals, "value": 7.0, "quality": "OK",
         "t": T, "window": None, "readings": dict.fromkeys(
            ("read", "journaled", "windowed", "open", "late", "unplaced"), 1)}
        for one in config.channel
    ]  # fmt: skip
    destinations = [
        {"id": one.id, "connected": True, "queued": 1, "delivered": 1, "parked": 0, "backlog": 0,
         "attempts": 1,
         "oldest_unsent_s": None, "rate_per_s": None, "eta_s": None, "retry_in_s": 0.0, "refused": False,
         "paused": False, "last_error": ""}
        for one in config.destination
    ]  # fmt: skip
    return {
        "t": T, "simulated_clock": False, "problems": [], "alerts": [], "channels": channels,
        "devices": {}, "buses": {}, "witnesses": [], "destinations": destinations,
        "journal": {"status": "", "entries": 10},
        "clock": {"trusted": True, "synchronized": None, "error_s": None}, "disk": {"retention_days": 400},
    } | changes  # fmt: skip


class Page:
    """`get(path)` asks; `current` may be changed."""

    def __init__(self, port: int, current: dict[str, Any]):
        self.port = port
        self.current = current

    async def get(self, path: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(self._get, path, named)

    def _get(self, path: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path, headers=headers)
            found = connection.getresponse()
            told = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, told, found.read())
        finally:
            connection.close()


@asynccontextmanager
async def serving(at: Written, **changes: Any) -> AsyncIterator[Page]:
    """The page over this journal."""
    config, port = at.config, free_port()
    page = Page(port, current_of(config, **changes))
    reads, chart = PageReads(at.journal, at.state_dir, config.channel), ChartPage(config, at.journal)
    views = Views(config, Shell(config), lambda: page.current, reads, chart.ask)
    views.load()
    jobs = ReportJobs(at.state_dir, lambda *_: ["false"], lambda: T0)
    reports = Reports(Shell(config), jobs, reads.first_ms, lambda: T0, KEPT_MAX)
    routes = [*views.routes(), views.files.route(), *reports.routes()]
    task = asyncio.create_task(Server("127.0.0.1", port, dict, list, bytes, pages=routes).run())
    try:
        await until(lambda: answers(port))
        yield page
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
