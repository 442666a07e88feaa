# runs on: cpython
"""A report in a real browser, shut in as the page hands it out: whole, in its own style, able to nothing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.web.page import reports
from tests.gateway.app_rig import until
from tests.gateway.test_reports_page import ASKED, inside, reporting
from tests.system.browser import chromium, tab

pytestmark = pytest.mark.timeout(180)
WHERE = "/reports/2026-03-25-vi/report.html"
LOOKS = """() => {
    const heading = getComputedStyle(document.querySelector("h2"));
    const chart = document.querySelector("svg").getBoundingClientRect();
    return [heading.color, chart.width > 300 && chart.height > 50, window.origin];
}"""


def looked_at(folder) -> None:
    async def case(rig, jobs):
        browser = await inside(rig)
        await browser.post("/do/report", ASKED)
        await until(lambda: jobs.at_work is None and not jobs.waiting, 120)
        cookies = [
            {"name": name, "value": value, "url": f"http://127.0.0.1:{rig.port}"}
            for name, value in browser.cookies.items()
        ]

        def look():
            with chromium() as program, tab(program) as page:
                page.context.add_cookies(cookies)
                page.goto(f"http://127.0.0.1:{rig.port}{WHERE}")
                colour, drawn, origin = page.evaluate(LOOKS)
                assert page.locator("h1").inner_text() == "BÁO CÁO KẾT QUẢ QUAN TRẮC TỰ ĐỘNG, LIÊN TỤC"
                assert colour == "rgb(11, 91, 138)" and drawn, "as period_html.py's style says"
                assert origin == "null", "it is nobody's page: no cookie, no form, nothing of the station's"

        await asyncio.to_thread(look)

    reporting(folder, case)


def test_a_report_looks_as_it_was_made_and_may_do_nothing(tmp_path):
    looked_at(tmp_path)


@pytest.mark.parametrize("part", ["style-src 'unsafe-inline'", "sandbox"])
def test_control_a_policy_that_takes_too_much_or_too_little_is_noticed(tmp_path, monkeypatch, part):
    monkeypatch.setattr(reports, "SHUT_IN", reports.SHUT_IN.replace(part, "media-src 'none'"))
    with pytest.raises(AssertionError):
        looked_at(tmp_path)
