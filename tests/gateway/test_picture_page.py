"""/api/v1/pictures and /api/v1/picture/<sha256>: what is there, what is not, and that no path leads out."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from gateway import pictures
from gateway.camera import store
from gateway.camera.picture import Taken
from gateway.errors import JournalError
from gateway.journal.kinds import EVENT
from gateway.journal.writer import Entry
from gateway.picture_page import LISTED_MAX, PicturePage
from gateway.web import pictures as web
from protocol import cbor
from tests.gateway.calibration_rig import picture
from tests.gateway.configured import configured
from tests.gateway.feed_rig import Written
from tests.gateway.test_provincial import T0
from tests.gateway.watch_rig import watched

MINUTE = 60_000
PHOTOS = [picture(size=(20, 20 + n)) for n in range(4)]


async def ask(app: Starlette, path: str, query: str = "") -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body), over ASGI, with the path exactly as it is."""
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b""}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": [], "root_path": "", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip
    assert Request(scope).url
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])


class Site:
    def __init__(self, at: Written):
        self.at, self.state_dir = at, at.config.gateway.state_dir
        page = PicturePage(at.config, at.journal)
        self.app = Starlette(routes=web.routes(page.ask_list, page.ask_one))

    async def took(self, minute: int, data: bytes, camera: str = "gate", **more) -> str:
        """A picture, told in the log."""
        t_ms = T0 + minute * MINUTE
        digest = store.write(self.state_dir, camera, t_ms, data)
        taken = Taken(camera, t_ms, bytes.fromhex(digest), len(data), "time")._replace(**more)
        await self.tell(t_ms, taken.event())
        return digest

    async def tell(self, t_ms: int, *bodies: bytes) -> None:
        source = self.at.journal.source("gateway")
        entries = [Entry(EVENT, source, 0, 0, 0, t_ms, 5, None, None, body) for body in bodies]
        await self.at.journal.commit(entries=entries, now_ms=t_ms)

    async def listed(self, query: str = "") -> list[dict]:
        status, _, body = await ask(self.app, "/api/v1/pictures", query)
        assert status == 200, body
        return json.loads(body)["pictures"]

    async def one(self, digest: str) -> tuple[int, dict[str, str], bytes]:
        return await ask(self.app, f"/api/v1/picture/{digest}")


def site(tmp_path: Path, case) -> None:
    config = configured(tmp_path)

    async def main() -> None:
        async with watched(config) as at:
            await case(Site(at.at))

    asyncio.run(main())


def test_the_newest_first_with_what_they_were_taken_for(tmp_path):
    async def case(at: Site) -> None:
        about = ("limit/COD/20260325000500",)
        first = await at.took(0, PHOTOS[0], why="alert", about=about)
        second = await at.took(5, PHOTOS[1], camera="pond")
        await at.tell(T0 + 6 * MINUTE, cbor.dumps(["mark", "COD", 1]), cbor.dumps(["picture", "of later"]))
        newest, oldest = await at.listed()
        shown = (newest["sha256"], newest["camera"], newest["why"], newest["there"])
        assert shown == (
            second,
            "pond",
            "time",
            True,
        )
        assert oldest == {
            "t": "2026-03-25T00:00:00+07:00", "camera": "gate", "sha256": first, "bytes": len(PHOTOS[0]),
            "why": "alert", "about": list(about), "entry": oldest["entry"], "there": True,
        }  # fmt: skip
        assert [row["camera"] for row in await at.listed("camera=gate")] == ["gate"]
        assert await at.listed("from=2026-03-25T00:01&to=2026-03-25T00:05") == []
        assert len(await at.listed("from=2026-03-25T00:00&to=2026-03-25T00:05:01")) == 2
        store.place(at.state_dir, "pond", T0 + 5 * MINUTE, second).unlink()
        assert [row["there"] for row in await at.listed()] == [False, True]

    site(tmp_path, case)


def test_what_is_asked_for_wrongly_is_a_sentence(tmp_path):
    async def case(at: Site) -> None:
        for query, sentence in (
            ("from=yesterday", "from is no time"),
            ("from=2026-03-26&to=2026-03-25", "from is not before to."),
        ):
            status, _, body = await ask(at.app, "/api/v1/pictures", query)
            assert status == 400 and sentence in json.loads(body)["error"]
        taken = Taken("gate", T0, bytes(32), 7, "time")
        await at.tell(T0, *[taken._replace(t_ms=T0 + n).event() for n in range(LISTED_MAX + 1)])
        status, _, body = await ask(at.app, "/api/v1/pictures", "from=2026-03-25&to=2026-03-26")
        assert status == 400 and "ask for a shorter time" in json.loads(body)["error"]
        assert len(await at.listed("from=2026-03-25T00:00:00&to=2026-03-25T00:00:01")) == 1000

    site(tmp_path, case)


def test_a_picture_by_its_hash(tmp_path):
    async def case(at: Site) -> None:
        digest = await at.took(0, PHOTOS[0])
        status, headers, body = await at.one(digest)
        assert (status, body, headers["content-type"]) == (200, PHOTOS[0], "image/jpeg")
        assert (
            headers["cache-control"].startswith("private") and headers["x-content-type-options"] == "nosniff"
        )
        png = pictures.keep(at.state_dir, picture("PNG"))
        status, headers, body = await at.one(png)
        assert (status, body, headers["content-type"]) == (200, picture("PNG"), "image/png")
        status, _, body = await at.one("0" * 64)
        assert status == 404 and "kept for a time" in json.loads(body)["error"]

    site(tmp_path, case)


OUTSIDE = [
    "../../journal.db", "..%2f..%2fjournal.db", "....//journal.db", "%2e%2e/journal.db", "/etc/passwd", ".",
    "..", "0" * 63, "0" * 65, "A" * 64, "*" * 64, "0" * 64 + "\n", "0" * 64 + "/", "0" * 60 + "/../", "keys",
]  # fmt: skip


@pytest.mark.parametrize("digest", OUTSIDE)
def test_no_path_leads_out(tmp_path, digest):
    async def case(at: Site) -> None:
        await at.took(0, PHOTOS[0])
        status, headers, body = await at.one(digest)
        assert status in (400, 404, 307) and b"SQLite" not in body
        assert status != 307 or headers["location"] == f"http://127.0.0.1/api/v1/picture/{'0' * 64}"

    site(tmp_path, case)


def test_control_by_a_name_the_journal_itself_is_handed_out(tmp_path, monkeypatch):
    """A page that joins what it is given to the folder: what the tests above would see."""

    async def trusting(digest: str) -> tuple[str, bytes]:
        return "image/jpeg", (tmp_path / "gateway" / "pictures" / digest).read_bytes()

    async def case(at: Site) -> None:
        await at.took(0, PHOTOS[0])
        at.app = Starlette(routes=web.routes(web.no_list, trusting))
        monkeypatch.setattr(web, "DIGEST", type("Any", (), {"fullmatch": staticmethod(lambda text: True)}))
        at.app.routes[1].path_regex = re.compile(r"^/api/v1/picture/(?P<digest>.*)$")
        status, _, body = await at.one("../journal.db")
        assert status == 200 and b"SQLite" in body

    site(tmp_path, case)


def test_a_journal_that_cannot_be_read_and_none_at_all(tmp_path):
    async def broken(*asked):
        raise JournalError("no")

    async def main() -> None:
        app = Starlette(routes=web.routes(broken, broken))
        assert (await ask(app, "/api/v1/pictures"))[0] == 503
        assert (await ask(app, f"/api/v1/picture/{'0' * 64}"))[0] == 503
        app = Starlette(routes=web.routes(web.no_list, web.no_picture))
        assert (await ask(app, "/api/v1/pictures"))[0] == 404
        assert (await ask(app, f"/api/v1/picture/{'0' * 64}"))[0] == 404

    asyncio.run(main())
