# runs on: cpython
"""A whole gateway as a process: every route for every role, and what must be in no page, log or entry."""

from __future__ import annotations

import asyncio
import contextlib
import html
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import pytest

from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import load
from gateway.journal.kinds import EVENT
from gateway.journal.reader import reading
from gateway.people import accounts, deeds
from gateway.people.deeds import Deed
from gateway.people.may import ACTIONS, EVERYBODY
from gateway.web import door
from gateway.web.door import OPEN, action_of
from protocol import cbor
from tests.gateway.app_rig import (
    KEY,
    bus,
    bus_channel,
    device,
    device_channel,
    directory,
    mqtt,
    running,
    secret,
    until,
    write_config,
)
from tests.gateway.door_rig import EVERY_ROLE, RIGHT, Browser, Said
from tests.gateway.test_people import KEPT
from tests.gateway.test_web import answers
from tests.servers.process import free_port

SCRIPT = "<script>alert(1)</script>"
"""A channel is called so, and people write it wherever they can."""
SECRETS = ("planted-broker-password", KEY.hex(), KEPT[0], KEPT[0].rpartition("$")[2], RIGHT)
OPEN_PATHS = {"/healthz", "/metrics", "/public.json", "/public.csv", "/login", "/static/{name}"}
FILLED = {"symbol": "COD", "stamp": "20260325100000", "name": "page.css", "digest": "0" * 64,
          "report": "2026-H1-vi", "file": "report.pdf"}  # fmt: skip


class Station(NamedTuple):
    """A running gateway, and where its things lie."""

    folder: Path
    port: int
    gateway: object
    said: list[Said]  # whatever any browser got

    async def browser(self, role: str = "", password: str = RIGHT, source: str = "127.0.0.1") -> Browser:
        """One that is logged in; its csrf is that of the pages it sees."""
        made = _Noting(self.port, source=source)
        made.said = self.said
        if role:
            await until(lambda: _inside(made, role, password))  # it may have to wait for somebody's errors
        return made

    def deeds(self) -> list[Deed]:
        with reading(self.folder / "gateway" / "journal.db") as reader:
            found = [deeds.parse(entry.body) for entry in reader.entries(kinds=(EVENT,))]
        return [one for one in found if one is not None]


async def _inside(browser: Browser, name: str, password: str) -> bool:
    return (await browser.log_in(name, password)).status == 303


class _Noting(Browser):
    said: list[Said]

    def _ask(self, *given):
        said = super()._ask(*given)
        self.said.append(said)
        return said

    async def log_in(self, name: str, password: str = RIGHT, back: str = "/") -> Said:
        said = await self.post("/login", {"name": name, "password": password, "next": back})
        if said.status == 303:
            self.csrf = csrf_of(await self.get("/health"))
        return said


def csrf_of(page: Said) -> str:
    return html.unescape(re.findall(r'name="csrf" value="([^"]+)"', page.text)[0])


def config_in(folder: Path, anonymous: str = "nobody") -> Path:
    web = {"host": "127.0.0.1", "anonymous": anonymous, "port": free_port()}
    password = secret(folder, "broker.password", SECRETS[0])
    return write_config(
        folder, bus("tank", f"modbus-tcp://127.0.0.1:{free_port()}"),
        device(folder, "st-01", f"tcp-listen://127.0.0.1:{free_port()}"),
        bus_channel("COD", "tank", 0), device_channel(SCRIPT, "st-01", "ph"), directory(),
        mqtt(free_port(), user="station", password_file=password), web=web,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def station(folder: Path, anonymous: str = "nobody") -> AsyncIterator[Station]:
    config = config_in(folder, anonymous)
    path = accounts.path_of(folder / "gateway")
    path.parent.mkdir(parents=True)
    accounts.save(path, EVERY_ROLE)
    port = load(config).gateway.web.port
    async with running(config) as gateway:
        await until(lambda: answers(port))
        await until(lambda: "role=administrator" in gateway.log and "role=viewer" in gateway.log)
        await asyncio.sleep(0.1)
        yield Station(folder, port, gateway, [])


def routes_in(folder: Path) -> list:
    """Of a gateway as app.py wires it."""

    async def made():
        gateway = Gateway(load(config_in(folder)), Clock())
        gateway.journal.start()
        await gateway.journal.close()
        return gateway.server.routes

    return asyncio.run(made())


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: FILLED[name[1]], path)


def refused(said: Said, role: str) -> bool:
    """Whether it was the role that was refused (and not what was in the form), or a stranger."""
    if said.status == 401 or (said.status == 303 and said.to.startswith("/login")):
        return True
    return said.status == 403 and (f"Vai trò {role} " in said.text or f"The role {role} may not" in said.text)


# Every route ------------------------------------------------------------------------------------------------


def test_every_route_says_who_may_and_only_these_are_open(tmp_path):
    found = [(route.path, sorted(route.methods), action_of(route)) for route in routes_in(tmp_path)]
    assert len(found) > 20
    assert {path for path, _, action in found if action == OPEN} <= OPEN_PATHS
    assert all(action in ACTIONS or action == OPEN for _, _, action in found)
    assert all(action not in ("look", OPEN) for path, methods, action in found
               if "POST" in methods and path not in ("/login", "/logout"))  # fmt: skip


def test_control_a_route_that_somebody_forgot_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(door, "action_of", lambda route: "look" if "receipt" not in route.path else None)
    monkeypatch.setattr(door, "guard", lambda action, endpoint: endpoint)
    with pytest.raises(ValueError, match="nobody said who may"):
        routes_in(tmp_path)


@pytest.mark.parametrize("anonymous", ["nobody", "viewer"])
def test_every_route_for_every_role_and_for_nobody(tmp_path, anonymous):
    """By the table: whoever may gets something else than a refusal, whoever may not gets nothing."""
    routes = routes_in(tmp_path / "wired")

    async def story():
        async with station(tmp_path / "station", anonymous) as at:
            browsers = {role: await at.browser(role) for role in EVERYBODY}
            browsers[""] = await at.browser()
            asked = 0
            for route in routes:
                action, path = action_of(route), filled(route.path)
                posts = "POST" in route.methods
                if posts and path in ("/logout", "/login", "/password"):
                    continue  # these end sessions, and wait: test_door.py, test_people_page.py
                for role, browser in browsers.items():
                    said = await (browser.post(path) if posts else browser.get(path))
                    looks = anonymous == "viewer" and action == "look" and not role
                    allowed = action == OPEN or role in ACTIONS.get(str(action), ()) or looks
                    assert refused(said, role) != allowed, (path, role, said.status, said.text[:200])
                    assert said.status < 500 or path == "/healthz", (path, role, said.text[:200])
                    asked += 1
            assert asked > 100

    asyncio.run(story())


# A whole run ------------------------------------------------------------------------------------------------


def test_what_people_do_is_in_the_journal_and_no_secret_is_anywhere(tmp_path):
    """Everybody does everything, well and badly; then every page, every header, the log and the journal are
    looked through for what was planted: passwords, what is kept of them, the link key, the broker's password,
    the tokens of all sessions, the door's secret.
    """

    async def story():
        async with station(tmp_path) as at:
            tokens: list[str] = []
            for role in EVERYBODY:
                browser = await at.browser(role)
                tokens += [value for name, value in browser.cookies.items() if name == "quantrac"]
                form = {"channel": "COD", "mark": "maintenance", "minutes": "5", "reason": SCRIPT}
                assert (await browser.post("/do/mark", form | {"back": "/instruments"})).status in (303, 403)
                await browser.post("/do/mark", form | {"channel": "*", "mark": "calibrating"})
                await browser.post("/do/acknowledge", {"alert": SCRIPT, "note": SCRIPT})
                await browser.post("/do/release", {"destination": SCRIPT, "reason": SCRIPT})
                for page in ("/", "/history", "/alerts", "/destinations", "/instruments", "/evidence",
                             "/events", "/reports", "/health", "/people", "/password", "/login",
                             "/nowhere"):  # fmt: skip
                    for lang in ("vi", "en"):
                        said = await browser.get(f"{page}?lang={lang}")
                        assert SCRIPT not in said.text, page
            for number, name in enumerate(("administrator", RIGHT, SCRIPT)):
                wrong = await at.browser(source=f"127.0.0.{66 + number}")
                assert (await wrong.log_in(name, "my own planted password")).status == 403
            admin = await at.browser("administrator")
            once = re.findall(r'id="once">([^<]+)<', (
                await admin.post("/people/add", {"name": "lan", "role": "viewer"})
            ).text)  # fmt: skip
            assert len(once) == 1
            at.said.pop()  # where it is shown, once
            lan = await at.browser("lan", once[0])
            await lan.post(
                "/password", {"old": once[0], "new": "mười hai con vịt", "again": "mười hai con vịt"}
            )
            await lan.get("/")
            await admin.post("/people/remove", {"name": "lan"})
            assert (await lan.get("/")).status == 303
            done = at.deeds()
            log, journal = at.gateway.log, b""
        for path in sorted((tmp_path / "gateway").glob("journal.db*")):
            journal += path.read_bytes()
        planted = [*SECRETS, *tokens, *once, "my own planted password", "mười hai con vịt"]
        planted.append((tmp_path / "gateway" / "keys" / "door.key").read_bytes().hex())
        assert len(set(tokens)) == len(EVERYBODY) and "Traceback" not in log
        for text in planted:
            assert text not in log and text.encode() not in journal, text
            for said in at.said:
                told = said.text + "".join(
                    value for name, value in said.headers.items() if name.lower() != "set-cookie"
                )
                assert text not in told, (text, told[:300])
        assert bytes.fromhex(planted[-1]) not in journal
        return done

    done = asyncio.run(story())
    told = {(deed.who, deed.action, deed.ok) for deed in done}
    for role in EVERYBODY:
        assert (role, "log in", True) in told
        assert (role, "mark", role in ACTIONS["mark"]) in told
        assert (role, "acknowledge", False) in told, "there is no such alert, or the role may not"
    assert ("administrator", "people", True) in told and ("lan", "own password", True) in told
    assert ("", "log in", False) in told and ("administrator", "log in", False) in told
    assert all(deed.address == "127.0.0.1" or not deed.ok for deed in done)
    marks = [deed for deed in done if deed.action == "mark" and deed.ok]
    assert f"reason={SCRIPT}" in marks[0].details and "COD: maintenance until" in marks[0].said
    assert any(SCRIPT in deed.said for deed in marks), "the whole station's, with the channel of that name"


def test_control_a_password_in_an_entry_is_noticed(tmp_path, monkeypatch):
    """What the run above looks through does hold what is put there."""

    async def story():
        async with station(tmp_path) as at:
            browser = await at.browser("technician")
            form = {"channel": "COD", "mark": "maintenance", "minutes": "5", "reason": RIGHT}
            assert (await browser.post("/do/mark", form)).status == 303
            assert RIGHT in (await browser.get("/instruments")).text
        found = b"".join(path.read_bytes() for path in (tmp_path / "gateway").glob("journal.db*"))
        assert cbor.dumps(RIGHT) in found

    asyncio.run(story())


PIECES = (
    *("", "COD", "20260325100000", "0", "-1", "1e9", "9" * 40, "2026-03-25", "2026-13-45T99:99", "nan", "*"),
    *("%", "%00", "%ff%fe", "%0d%0a", "..", "/", "\\", "'", '"', "' OR 1=1 --", "${7*7}", "{{7*7}}", "<b>"),
    *(
        "ếa\u0300",
        "x" * 2000,
        "1_000",
        "+07:00",
        "true",
        "null",
        "[]",
        "newest",
        "all",
        "vi",
        "now",
        "\u202e",
    ),
    *(";ls", "|id", "@", "?", "&a=b"),
)
NAMES = (
    *("from", "to", "symbol", "revisions", "revision", "days", "part", "lang", "before", "next", "name"),
    *("password", "channel", "mark", "minutes", "reason", "alert", "note", "destination", "id", "back"),
    *("csrf", "role", "old", "new", "range", "window"),
)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_sent_is_answered_and_nothing_breaks(tmp_path, seed):
    """Every route, with what people who look for holes send: an answer below 500 (503 says itself why), with
    the headers of every answer, and no traceback in the log.
    """
    chance = random.Random(seed)
    routes = routes_in(tmp_path / "wired")

    def some(count: int) -> list[tuple[str, str]]:
        return [(chance.choice(NAMES), chance.choice(PIECES)) for _ in range(chance.randrange(count))]

    async def story():
        async with station(tmp_path / "station") as at:
            browser = await at.browser("administrator")
            for route in routes * 4:
                if route.path in ("/logout", "/login", "/api/v1/live"):
                    continue  # the first two end the session; the third goes on for ever
                path = re.sub(r"\{\w+\}", lambda _: quote(chance.choice(PIECES), safe="%"), route.path)
                asked = path + "?" + urlencode(some(5))
                if chance.random() < 0.2:
                    asked = (
                        path + "?" + "&".join(f"{k}={v}" for k, v in some(5) if v.isascii() and " " not in v)
                    )
                fields = dict(some(8)) | {"csrf": browser.csrf}
                if path.startswith("/people"):
                    fields.pop("name", None)  # nobody of those who ask goes
                said = await (
                    browser.post(asked, fields)
                    if "POST" in route.methods
                    else browser.ask(chance.choice(("GET", "GET", "HEAD", "PUT", "BREW")), asked)
                )
                assert said.status < 500 or said.status == 503, (asked, fields, said.status, said.text[:300])
                assert "content-security-policy" in said.headers or said.status == 400, asked
            assert (await browser.get("/people")).status == 200
            assert "Traceback" not in at.gateway.log, at.gateway.log[-2000:]

    asyncio.run(story())


TRAVERSALS = [
    "/static/../../../gateway/keys/people.json", "/static/%2e%2e/%2e%2e/app.py", "/static/..%2f..%2fapp.py",
    "/static/%2e%2e%2fshell.py", "/static//etc/passwd", "/static/....//page.css", "/static/..\\..\\app.py",
    "/static/page.css%00.js", "/static/", "/../gateway/keys/people.json", "//etc/passwd",
    "/api/v1/receipt/..%2f..%2fkeys/people.json", "/api/v1/receipt/%2e%2e/%2e%2e",
]  # fmt: skip


def test_no_path_leads_out_of_the_page(tmp_path):
    async def story():
        async with station(tmp_path, "viewer") as at:
            browser = await at.browser()
            assert (await browser.get("/static/page.css")).status == 200
            for path in TRAVERSALS:
                said = await browser.get(path)
                assert said.status in (400, 404, 422), path
                assert "argon2" not in said.text and "root:" not in said.text and "import" not in said.text

    asyncio.run(story())


def test_headers_cannot_be_put_into_answers(tmp_path):
    """CR and LF, in every place that comes back in an answer's head."""

    async def story():
        async with station(tmp_path, "viewer") as at:
            browser = await at.browser("technician")
            cut = "%0d%0aSet-Cookie:%20planted=1%0d%0a%0d%0a<script>"
            receipt, windows = f"/api/v1/receipt/COD{cut}/20260325100000", f"/api/v1/windows?symbol=COD{cut}"
            pages = [f"/login?next=/x{cut}", f"/?lang=vi{cut}", f"/history{cut}", f"/nowhere{cut}"]
            for path in [*pages, receipt, windows]:
                said = await browser.get(path)
                assert "planted" not in str(said.headers) and "<script>" not in said.headers.as_string()
            form = {
                "channel": "COD",
                "mark": "over",
                "reason": "a\r\nSet-Cookie: planted=1",
                "back": "/x\r\nX: y",
            }
            said = await browser.post("/do/mark", form)
            assert (said.to, said.headers.get("x")) == ("/", None) and "planted" not in browser.cookies

    asyncio.run(story())
