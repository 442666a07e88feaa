# runs on: cpython
"""gateway/web/config_page.py on a whole gateway: checked, applied, confirmed by an administrator."""

from __future__ import annotations

import asyncio
import html
import re

from gateway.config_change import entries, kept
from gateway.people.deeds import Deed
from tests.gateway.app_rig import until
from tests.gateway.test_config_change import ready, said
from tests.gateway.test_web import answers
from tests.gateway.test_whole_door import SCRIPT, SECRETS, Said, Station, csrf_of, station

AREA = re.compile(r"<textarea[^>]*>\n(.*?)</textarea>", re.DOTALL)


def text_of(page: Said) -> str:
    return html.unescape(AREA.findall(page.text)[0])


def configured(at: Station) -> list[Deed]:
    return [one for one in at.deeds() if one.action == "configure"]


def test_an_administrator_checks_applies_and_confirms_at_the_page(tmp_path):
    async def story() -> None:
        async with station(tmp_path) as at:
            config = tmp_path / "config.toml"
            browser = await at.browser("administrator")
            page = await browser.get("/configuration")
            assert page.status == 200 and text_of(page) == config.read_text()
            browser.csrf = csrf_of(page)
            new = config.read_text().replace('symbol = "COD"', 'symbol = "TSS"')
            crlf = new.replace("\n", "\r\n")  # as browsers send it

            wrong = await browser.post(
                "/configuration/apply", {"text": crlf.replace("timeout_ms = 200", "timeout_ms = 0")}
            )
            assert (
                wrong.status == 409
                and "bus[0].timeout_ms" in wrong.text
                and "timeout_ms = 0" in text_of(wrong)
            )
            checked = await browser.post("/configuration/check", {"text": crlf})
            assert "channel TSS" in checked.text and "COD không còn được đo" in html.unescape(checked.text)
            assert text_of(checked) == new and 'formaction="/configuration/apply"' in checked.text
            assert not said(config) and config.read_text() != new

            applied = await browser.post("/configuration/apply", {"text": text_of(checked), "minutes": "5"})
            assert applied.status == 200 and "/login?next=/configuration" in applied.text
            assert "/configuration/confirm" not in applied.text, "not before it runs"
            await ready(at.gateway, 2)
            await until(lambda: answers(at.port))
            assert (await browser.get("/configuration")).to.startswith("/login"), (
                "who comes in again can confirm"
            )
            again = await at.browser("administrator")
            page = await again.get("/configuration")
            again.csrf = csrf_of(page)
            assert "/configuration/confirm" in page.text and text_of(page) == new
            assert (await again.post("/configuration/confirm")).status == 200
            assert (await again.post("/configuration/confirm")).status == 409
            assert config.read_text() == new and not kept.beside(config, kept.CHANGE).exists()
            assert [(one.what, one.who, one.at) for one in said(config)] == [
                (entries.APPLYING, "administrator", "127.0.0.1"),
                (entries.CONFIRMED, "administrator", "127.0.0.1"),
            ]  # fmt: skip
            done = configured(at)
            assert [(one.details, one.ok) for one in done] == [
                (("apply",), False), (("apply",), True), (("confirm",), True), (("confirm",), False),
            ]  # fmt: skip
            for answer in at.said:
                assert SCRIPT not in answer.text and not any(planted in answer.text for planted in SECRETS)

    asyncio.run(story())


def test_a_file_edited_by_hand_is_written_back_from_the_page(tmp_path):
    async def story() -> None:
        async with station(tmp_path) as at:
            config = tmp_path / "config.toml"
            old = config.read_text()
            config.write_text(old.replace('symbol = "COD"', 'symbol = "TSS"'))
            browser = await at.browser("administrator")
            await browser.post("/configuration/check", {"text": old})
            for bad in ("0", "61", "five", "-1"):
                assert (
                    await browser.post("/configuration/apply", {"text": "", "minutes": bad})
                ).status == 409
            assert (await browser.post("/configuration/cancel")).status == 200
            assert config.read_text() == old
            assert [one.details for one in configured(at)] == [("cancel",)]
            assert at.gateway.said.count("READY=1") == 1

    asyncio.run(story())
