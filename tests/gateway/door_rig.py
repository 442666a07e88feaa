"""A real page on loopback with its door, people who may come in, and browsers that keep cookies."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.people import deeds
from gateway.people.accounts import People
from gateway.people.deeds import Deed
from gateway.people.logins import Logins
from gateway.people.may import EVERYBODY
from gateway.web.door import Door, Settings, guard, plain
from gateway.web.server import Server
from tests.gateway.app_rig import until
from tests.gateway.test_people import KEPT, people, person
from tests.gateway.test_web import answers
from tests.servers.process import free_port

RIGHT = "a sentence number 0"
EVERY_ROLE = people(*[person(role, role, KEPT[0]) for role in EVERYBODY])
"""One of each role, called as it is; the password of all is RIGHT."""


class Said(NamedTuple):
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def to(self) -> str:
        """Where it sends the browser; "" for nowhere."""
        return self.headers.get("location", "")


class Browser:
    """Keeps cookies, and knows the csrf of its pages as a page's form would carry it."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, source: str = "127.0.0.1"):
        self.port, self._context, self._source = port, context, source
        self.cookies: dict[str, str] = {}
        self.set: list[str] = []  # Set-Cookie lines, as they came
        self.csrf = ""

    async def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Said:
        return await asyncio.to_thread(self._ask, method, path, body, headers or {})

    async def get(self, path: str, **headers: str) -> Said:
        return await self.ask("GET", path, None, {"Accept": "text/html", **headers})

    async def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> Said:
        """A form of its own page."""
        body = urlencode({"csrf": self.csrf} | (fields or {}), doseq=True)
        given = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        return await self.ask("POST", path, body, {**given, **headers})

    async def log_in(self, name: str, password: str = RIGHT, back: str = "/") -> Said:
        said = await self.post("/login", {"name": name, "password": password, "next": back})
        self.csrf = await self.read_csrf() if said.status == 303 else self.csrf
        return said

    async def read_csrf(self) -> str:
        """As WHO says it: see serving()."""
        who = await self.ask("GET", WHO)
        return who.headers.get("csrf", "")

    def _ask(self, method: str, path: str, body: bytes | str | None, headers: dict[str, str]) -> Said:
        kind = http.client.HTTPSConnection if self._context else http.client.HTTPConnection
        more: dict[str, Any] = {"context": self._context} if self._context else {}
        line = kind("127.0.0.1", self.port, timeout=20, source_address=(self._source, 0), **more)
        with contextlib.closing(line):
            if self.cookies:
                headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), **headers}
            line.request(method, path, body, headers)
            answer = line.getresponse()
            said = Said(answer.status, answer.headers, answer.read())
        for one in said.headers.get_all("set-cookie") or ():
            self.set.append(one)
            for key, morsel in SimpleCookie(one).items():
                if morsel.value and morsel["max-age"] != "0":
                    self.cookies[key] = morsel.value
                else:
                    self.cookies.pop(key, None)
        return said


WHO = "/who"


async def _who(request: Request) -> Response:
    who = request.state.who
    return JSONResponse(
        {"who": who[:2], "flash": request.state.flash, "form": dict(request.state.form)},
        headers={"csrf": who.csrf},
    )


class Rig:
    """The page; what it tells the log stands in `told`."""

    def __init__(self, settings: Settings, some: People, routes: Callable[[Rig], list[Route]], page: Any):
        self.people, self.time_s, self.port = some, 0.0, free_port()
        self.told: list[Deed] = []
        self.gate, self.asked = asyncio.Event(), asyncio.Event()  # entries are written while it is open
        self.gate.set()
        self.refuses: Exception | None = None  # the log,
        self.unwritable: Exception | None = None  # the list of people
        self.logins = Logins(lambda: self.people, lambda: self.time_s)
        self.door = Door(self.logins, self._tell, page, settings)
        own = [
            Route(WHO, guard("look", _who)),
            Route("/change", guard("mark", _who), methods=["POST"]),
            Route("/api/v1/change", guard("mark", _who), methods=["POST"]),
            Route("/admin", guard("people", _who)),
            Route("/api/v1/admin", guard("people", _who)),
        ]
        self.server = Server(
            "127.0.0.1", self.port, lambda: {"station": {}}, list, lambda: b"quantrac_x 1.0\n",
            pages=[*own, *routes(self)], door=self.door,
        )  # fmt: skip

    async def _tell(self, body: bytes) -> None:
        self.asked.set()
        await self.gate.wait()
        if self.refuses:
            raise self.refuses
        found = deeds.parse(body)
        assert found is not None
        self.told.append(found)

    def browser(self, source: str = "127.0.0.1") -> Browser:
        return Browser(self.port, source=source)


def serving(
    case: Callable[[Rig], Awaitable[None]], settings: Settings | None = None, some: People = EVERY_ROLE,
    routes: Callable[[Rig], list[Route]] = lambda rig: [], page: Any = plain,
) -> None:  # fmt: skip
    """Run the case while the page is served."""

    async def main() -> None:
        rig = Rig(settings or Settings(), some, routes, page)
        task = asyncio.create_task(rig.server.run())
        try:
            await until(lambda: answers(rig.port))
            await case(rig)
        finally:
            rig.gate.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
