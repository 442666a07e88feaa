# runs on: cpython
"""gateway.web.page as it is served: every page in both languages, what is escaped, files, live parts."""

import asyncio
import gzip
import http.client
import json
import re
from html.parser import HTMLParser

import pytest

from gateway.web.page import live
from gateway.web.page.shell import NAVIGATION
from gateway.web.page.texts import TEXTS
from tests.gateway.feed_rig import config_of, written
from tests.gateway.page_rig import Page, serving
from tests.gateway.test_provincial import T0

PAGES = [path for path, _ in NAVIGATION]
EVIL = "<script>alert(1)</script>\"'&"


def station(tmp_path, case, **changes):
    async def story():
        async with written(config_of(tmp_path, "alerts")) as at, serving(at, **changes) as page:
            await case(at, page)

    asyncio.run(story())


class Shape(HTMLParser):
    """What a page is made of: addresses that it loads or leads to, labels, what was never closed."""

    VOID = frozenset(("meta", "link", "input", "br", "rect", "path", "line"))

    def __init__(self, text: str):
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.inputs = 0
        self.unlabelled: list[str] = []
        self.scripts_inside = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.addresses += [found[name] for name in ("href", "src", "action") if name in found]
        if tag in ("input", "select") and found.get("type") != "hidden" and "label" not in self.open:
            self.unlabelled.append(str(found))
        if tag == "script" and "src" not in found:
            self.scripts_inside += 1
        assert not any(name.startswith("on") for name in found), "a script in an attribute"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another element"


@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_page_is_whole_in_both_languages_and_loads_nothing_from_elsewhere(tmp_path, language):
    async def case(at, page: Page):
        await at.close(T0, {"COD": 80.0, "pH": 7.0})
        for path in PAGES:
            answer = await page.get(f"{path}?lang={language}")
            assert answer.status == 200, (path, answer.text)
            assert answer.headers["cache-control"] == "no-store"
            shape = Shape(answer.text)
            assert shape.open == [] and shape.unlabelled == [] and shape.scripts_inside == 0, path
            assert all(re.match(r"/(?!/)|\?|#", one) for one in shape.addresses), (path, shape.addresses)
            assert f'<html lang="{language}">' in answer.text

    station(tmp_path, case)


def test_vietnamese_comes_first_and_a_choice_is_kept(tmp_path):
    async def case(at, page: Page):
        assert "Hiện tại" in (await page.get("/")).text
        assert "Hiện tại" in (await page.get("/", Accept_Language="en")).text
        chosen = await page.get("/?lang=en")
        cookie = chosen.headers["set-cookie"]
        assert "Measures: yes" in chosen.text and "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        assert "Measures: yes" in (await page.get("/", Cookie=cookie.split(";")[0])).text
        assert "Hiện tại" in (await page.get("/", Cookie="lang=xx")).text
        assert "set-cookie" not in (await page.get("/?lang=xx")).headers

    station(tmp_path, case)


def test_both_languages_have_all_texts_with_the_same_holes():
    for name, (vi, en) in TEXTS.items():
        assert vi and en, name
        assert re.findall(r"{(\w+)}", vi) == re.findall(r"{(\w+)}", en), name


def test_what_others_wrote_is_shown_and_never_run(tmp_path):
    async def case(at, page: Page):
        page.current["problems"] = [EVIL]
        page.current["destinations"][0]["last_error"] = EVIL
        page.current["alerts"] = [
            {"alert": "x", "rule": EVIL, "about": EVIL, "state": "acknowledged", "since": page.current["t"],
             "basis": EVIL, "by": EVIL, "note": EVIL, "windows": []}
        ]  # fmt: skip
        await at.say(EVIL, EVIL, EVIL, {EVIL: EVIL})
        for path in [
            *PAGES,
            "/history?symbol=" + "%3Cscript%3Ealert(1)%3C/script%3E",
            "/?lang=%22%3E%3Cscript%3E",
        ]:
            answer = await page.get(path)
            assert "<script>alert" not in answer.text and answer.status == 200, path
            assert Shape(answer.text).scripts_inside == 0
        assert "&lt;script&gt;alert(1)" in (await page.get("/events")).text

    station(tmp_path, case)


def test_control_without_escaping_it_would_run(tmp_path, monkeypatch):
    import jinja2

    whole = jinja2.Environment

    def careless(**settings):
        return whole(**{**settings, "autoescape": False})

    monkeypatch.setattr(jinja2, "Environment", careless)
    with pytest.raises(AssertionError):
        test_what_others_wrote_is_shown_and_never_run(tmp_path)


def test_a_journal_that_cannot_be_read_is_a_sentence_in_the_frame(tmp_path):
    async def case(at, page: Page):
        await at.journal.close()
        for path in ("/events", "/alerts", "/instruments"):
            answer = await page.get(path)
            assert answer.status == 503 and TEXTS["unreadable"][0] in answer.text
        assert (await page.get("/")).status == 200, "what is in memory is shown all the same"
        assert (await page.get("/api/v1/chart?symbol=COD")).status == 503

    station(tmp_path, case)


@pytest.mark.parametrize(
    "query", ["before=-1", "before=x", "before=" + "9" * 30, "before=%00", "before=" + "%D9%A3", "before="]
)
def test_a_page_number_that_is_none_is_the_first_page(tmp_path, query):
    async def case(at, page: Page):
        await at.say("meter", "COD", "went back")
        assert "went back" in (await page.get(f"/events?{query}")).text

    station(tmp_path, case)


def test_a_chart_is_asked_for_as_windows_are(tmp_path):
    async def case(at, page: Page):
        await at.close(T0, {"COD": 10.0})
        assert json.loads((await page.get("/api/v1/chart?symbol=COD")).body)["value"] == [10.0]
        assert (await page.get("/api/v1/chart?symbol=XYZ")).status == 404
        for wrong in ("symbol=COD&from=x", "symbol=COD&from=2026-01-02&to=2026-01-01"):
            assert (await page.get(f"/api/v1/chart?{wrong}")).status == 400

    station(tmp_path, case)


# Files ------------------------------------------------------------------------------------------------------


def test_files_come_once_and_compressed_and_nothing_else_comes(tmp_path):
    async def case(at, page: Page):
        plain = await page.get("/static/page.js")
        packed = await page.get("/static/page.js", Accept_Encoding="gzip, br")
        assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
        again = await page.get("/static/page.js", If_None_Match=plain.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert b"plotly.js v" in (await page.get("/static/plotly.min.js")).body[:200]
        for path in ("/static/", "/static/..%2fshell.py", "/static/../shell.py", "/static/%2e%2e/shell.py",
                     "/static/shell.py", "/static/page.js%00", "/static//etc/passwd"):  # fmt: skip
            assert (await page.get(path)).status == 404, path

    station(tmp_path, case)


# Live parts -------------------------------------------------------------------------------------------------


class Looker:
    """A browser that looks at a part."""

    def __init__(self, port: int, query: str = "part=now&lang=vi"):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._connection.request("GET", f"/api/v1/live?{query}")
        self.answer = self._connection.getresponse()

    def next(self) -> str:
        """The next part that comes."""
        while True:
            line = self.answer.readline()
            assert line, "the line ended"
            if line.startswith(b"data: "):
                return json.loads(line[6:])["html"]

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


def test_a_part_comes_when_it_changes_to_all_who_look_in_their_language(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "EVERY_S", 0.05)

    async def case(at, page: Page):
        lookers = [
            await asyncio.to_thread(Looker, page.port, f"part=now&lang={one}") for one in ("vi", "en", "vi")
        ]
        first = [await asyncio.to_thread(looker.next) for looker in lookers]
        assert "Đo: tốt" in first[0] and "Measures: yes" in first[1] and first[0] == first[2]
        page.current["channels"][0]["value"] = 33.21
        second = [await asyncio.to_thread(looker.next) for looker in lookers]
        assert "33,21" in second[0] and "33.21" in second[1] and second[0] == second[2]
        for looker in lookers:
            looker.close()

    station(tmp_path, case)


def test_nothing_is_made_while_nobody_looks_and_a_mistake_of_ours_ends_no_line(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "EVERY_S", 0.02)
    made = []

    async def story():
        async with written(config_of(tmp_path, "alerts")) as at, serving(at) as page:
            whole, clock = page.current, dict(page.current)

            class Counted(dict):
                def __getitem__(self, name):
                    if name == "t":
                        made.append(1)
                    return clock[name]

            page.current = Counted(whole)
            await asyncio.sleep(0.2)
            assert made == []
            looker = await asyncio.to_thread(Looker, page.port)
            await asyncio.to_thread(looker.next)
            page.current = {}  # nothing can be made of it
            await asyncio.sleep(0.2)
            page.current = whole | {"problems": ["at last"]}
            assert "at last" in await asyncio.to_thread(looker.next)
            looker.close()
            await asyncio.sleep(0.3)
            page.current = Counted(whole)
            count = len(made)
            await asyncio.sleep(0.3)
            assert len(made) == count, "it goes on for nobody"

    asyncio.run(story())


def test_more_than_may_look_are_asked_to_come_again(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "LOOKING_MAX", 2)

    async def case(at, page: Page):
        lookers = [await asyncio.to_thread(Looker, page.port) for _ in range(2)]
        for looker in lookers:
            await asyncio.to_thread(looker.next)
        assert (await page.get("/api/v1/live?part=now&lang=vi")).status == 503
        for looker in lookers:
            looker.close()
        for wrong in ("part=people&lang=vi", "part=now&lang=xx", "part=now", ""):
            assert (await page.get(f"/api/v1/live?{wrong}")).status == 400

    station(tmp_path, case)
