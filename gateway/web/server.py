"""What the gateway says about itself over HTTP: /healthz, /metrics, /api/v1/current; see also public.py and
receipts.py.

Rule 1: read-only; nothing here can change what is measured, stored or sent.
Rule 2: a page that is asked for while the port is taken or the server fails never stops the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.logs import get_logger
from gateway.web import public, receipts
from gateway.web.answers import JSON

log = get_logger("web")

METRICS = "text/plain; version=0.0.4; charset=utf-8"
RETRY_S = 30.0
"""After the port could not be taken."""


class Server:
    """Serves until cancelled.

    current: the object of /api/v1/current; problems: sentences; metrics: Prometheus text; ask: see public.py;
    ask_receipt: receipts.py.
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
    ):
        self._host, self._port = host, port
        self._current, self._problems, self._metrics = current, problems, metrics
        self._encode = msgspec.json.Encoder().encode
        self._app = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics_page),
                Route("/api/v1/current", self._current_page),
                receipts.route(ask_receipt),
                *public.routes(ask),
            ]
        )

    async def run(self) -> None:
        """Serve; a port that is taken is a warning and another try."""
        while True:
            config = uvicorn.Config(
                self._app, self._host, self._port, log_config=None, access_log=False, lifespan="off",
                loop="none", http="h11", ws="none",
                timeout_graceful_shutdown=1, server_header=False,
            )  # fmt: skip
            server = _Server(config)
            try:
                await server.serve()
                return
            except SystemExit:  # uvicorn's way to say that it cannot bind
                log.warning(
                    "the status pages have no port", host=self._host, port=self._port, retry_s=RETRY_S
                )
            except asyncio.CancelledError:
                server.should_exit = True
                raise
            await asyncio.sleep(RETRY_S)

    async def _healthz(self, request: Request) -> Response:
        problems = self._problems()
        body = self._encode({"ok": not problems, "reasons": problems})
        return Response(body, 503 if problems else 200, media_type=JSON)

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._metrics(), media_type=METRICS)

    async def _current_page(self, request: Request) -> Response:
        return Response(self._encode(self._current()), media_type=JSON, headers={"Cache-Control": "no-store"})


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: SIGTERM belongs to the gateway."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield
