"""The gateway over HTTP: /healthz, /metrics, /api/v1/current; public.py, receipts.py, windows.py; the page.

Rule 1: what is here is read-only; what changes anything stands behind the door (door.py, actions.py).
Rule 2: a page that is asked for while the port is taken or the server fails never stops the gateway.
Rule 3: every route says who may (door.py), or the server is not made. /healthz, /metrics and what is public
        are for everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import CertificateError
from gateway.logs import get_logger
from gateway.people.accounts import People
from gateway.people.logins import Logins
from gateway.web import api_schema, login, public, receipts, windows
from gateway.web.answers import JSON
from gateway.web.door import OPEN, Door, guarded_route, plain, unguarded

if TYPE_CHECKING:
    from gateway.web.certificate import Certificate

log = get_logger("web")

METRICS = "text/plain; version=0.0.4; charset=utf-8"
RETRY_S = 30.0
"""After the port could not be taken."""


class Server:
    """Serves until cancelled.

    current: the object of /api/v1/current; problems: sentences; metrics: Prometheus text; ask: see public.py;
    ask_receipt: receipts.py; ask_windows: windows.py; pages: what people look at, and what they do there;
    door: who may (without one, everybody looks, and nobody logs in); certificate: makes that of the page
    (CertificateError), None for a page without TLS; load: reads what the pages need, in a thread (OSError).
    """

    def __init__(
        self,
        host: str,
        port: int,
        current: Callable[[], dict[str, Any]],
        problems: Callable[[], list[str]],
        metrics: Callable[[], bytes],
        ask: public.Ask = public.nothing,
        ask_receipt: receipts.Ask = receipts.nothing,
        ask_windows: windows.Ask = windows.nothing,
        pages: Sequence[Route] = (),
        door: Door | None = None,
        certificate: Callable[[], Certificate] | None = None,
        load: Callable[[], None] = lambda: None,
    ):
        self._host, self._port = host, port
        self._current, self._problems, self._metrics = current, problems, metrics
        self._encode = msgspec.json.Encoder().encode
        self._certify, self._load = certificate, load
        self.certificate: Certificate | None = None
        """The one in use, once the page is served."""
        door = door or Door(Logins(lambda: People({}), time.monotonic), _nobody, plain)
        self.routes = [
            guarded_route(Route("/healthz", self._healthz), OPEN),
            guarded_route(Route("/metrics", self._metrics_page), OPEN),
            *(guarded_route(route, OPEN) for route in public.routes(ask)),
            guarded_route(Route("/api/v1/current", self._current_page)),
            guarded_route(receipts.route(ask_receipt)),
            guarded_route(windows.route(ask_windows)),
            guarded_route(api_schema.route()),
            *login.routes(door),
            *(guarded_route(route) for route in pages),
        ]
        if forgotten := unguarded(self.routes):
            raise ValueError(f"nobody said who may: {', '.join(forgotten)}")
        self._app = door.wrap(Starlette(routes=self.routes))

    async def run(self) -> None:
        """Serve; a port that is taken, or no certificate, is a warning and another try."""
        while True:
            try:
                await self._read_files()
                await self._serve()
                return
            except CertificateError as error:
                log.error("the page has no certificate", reason=str(error), retry_s=RETRY_S)
            except SystemExit:  # uvicorn's way to say that it cannot bind
                log.warning(
                    "the status pages have no port", host=self._host, port=self._port, retry_s=RETRY_S
                )
            await asyncio.sleep(RETRY_S)

    async def _read_files(self) -> None:
        """Without them there are all the other pages."""
        try:
            await asyncio.to_thread(self._load)
        except OSError as error:
            log.error("the page's files cannot be read", reason=str(error))

    async def _serve(self) -> None:
        files: dict[str, Any] = {}
        if self._certify is not None:
            found = self.certificate = await asyncio.to_thread(self._certify)
            files = {"ssl_certfile": found.cert, "ssl_keyfile": found.key}
            log.info("the page's certificate", sha256=found.fingerprint, own=found.own)
        config = uvicorn.Config(
            self._app, self._host, self._port, log_config=None, access_log=False, lifespan="off",
            loop="none", http="h11", ws="none", proxy_headers=False,  # an address is the connection's
            timeout_graceful_shutdown=1, server_header=False, **files,
        )  # fmt: skip
        server = _Server(config)
        try:
            await server.serve()
        except asyncio.CancelledError:
            server.should_exit = True
            raise

    async def _healthz(self, request: Request) -> Response:
        problems = self._problems()
        body = self._encode({"ok": not problems, "reasons": problems})
        return Response(body, 503 if problems else 200, media_type=JSON)

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._metrics(), media_type=METRICS)

    async def _current_page(self, request: Request) -> Response:
        return Response(self._encode(self._current()), media_type=JSON, headers={"Cache-Control": "no-store"})


async def _nobody(body: bytes) -> None:
    """There is no log, and nobody who could do anything."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: SIGTERM belongs to the gateway."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield
