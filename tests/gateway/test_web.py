"""gateway/web/server.py: the pages over HTTP, on a real port; no page ever harms the gateway."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from typing import Any

import pytest

from gateway.web import server as module
from gateway.web.server import Server
from tests.gateway.app_rig import until
from tests.servers.process import free_port


class Told:
    """What the pages show."""

    def __init__(self):
        self.problems: list[str] = []
        self.current: dict[str, Any] = {"station": {"name": "Trạm"}, "channels": [{"value": None}]}
        self.broken = False
        self.port = 0

    def server(self, port: int) -> Server:
        return Server("127.0.0.1", port, self._current, lambda: self.problems, lambda: b"quantrac_x 1.0\n")

    def _current(self) -> dict[str, Any]:
        if self.broken:
            raise KeyError("a mistake of ours")
        return self.current


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    """(status, content type, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type", ""), answer.read()
    finally:
        connection.close()


def serving(case) -> None:
    """Run `await case(get, told, task)` while the pages are served."""
    told, port = Told(), free_port()
    told.port = port

    async def get(path: str, method: str = "GET"):
        return await asyncio.to_thread(ask, port, path, method)

    async def main():
        task = asyncio.create_task(told.server(port).run())
        await until(lambda: answers(port))
        try:
            await case(get, told, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_healthz_says_why_and_how():
    async def case(get, told, task):
        assert await get("/healthz") == (200, module.JSON, b'{"ok":true,"reasons":[]}')
        told.problems = ["The bus tank is down: nobody answers."]
        status, _, body = await get("/healthz")
        assert status == 503 and json.loads(body) == {"ok": False, "reasons": told.problems}

    serving(case)


def test_metrics_and_current():
    async def case(get, told, task):
        assert await get("/metrics") == (200, module.METRICS, b"quantrac_x 1.0\n")
        status, kind, body = await get("/api/v1/current")
        assert (status, kind, json.loads(body)) == (200, module.JSON, told.current)

    serving(case)


def test_nothing_can_be_changed_and_nothing_else_is_there():
    async def case(get, told, task):
        for path in ("/healthz", "/metrics", "/api/v1/current"):
            for method in ("POST", "PUT", "DELETE"):
                assert (await get(path, method))[0] == 405
        assert (await get("/etc/passwd"))[0] == 404

    serving(case)


def test_a_page_of_ours_that_fails_is_a_500_and_the_others_go_on():
    async def case(get, told, task):
        told.broken = True
        assert (await get("/api/v1/current"))[0] == 500
        assert (await get("/healthz"))[0] == 200
        told.broken = False
        assert (await get("/api/v1/current"))[0] == 200 and not task.done()

    serving(case)


def test_a_port_that_is_taken_is_tried_again(monkeypatch, caplog):
    monkeypatch.setattr(module, "RETRY_S", 0.05)

    async def main():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            task = asyncio.create_task(Told().server(port).run())
            await until(lambda: caplog.text.count("the status pages have no port") >= 2)
            assert not task.done()
        await until(lambda: answers(port))
        assert (await asyncio.to_thread(ask, port, "/healthz"))[0] == 200
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_garbage_on_the_port_harms_nobody():
    async def case(get, told, task):
        for data in (b"\x00\xff" * 5000, b"GET / HTTP/9.9\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost"):
            _, writer = await asyncio.open_connection("127.0.0.1", told.port)
            writer.write(data)
            await writer.drain()
            writer.close()
        assert (await get("/healthz"))[0] == 200 and not task.done()

    serving(case)
