"""nginx as a national system's TLS front, and behind it a small store of documents.

nginx is the one that speaks TLS, checks client certificates and limits sizes. The store takes each
Idempotency-Key once (201, then 409 for the same bytes, 422 for others), and does what a test tells it to.
"""

from __future__ import annotations

import asyncio
import getpass
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.servers.certificates import Authority
from tests.servers.process import Server, free_port, program


class Store:
    """A server of documents on plain HTTP. `answer` (status, headers) replaces its own while it is set."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}  # in the order in which they came first
        self.posts: list[tuple[str, bytes]] = []  # every one that was read whole: (key, body)
        self.token = "right"
        self.answer: tuple[int, str] | None = None
        self.stored: Callable[[], Awaitable[None]] | None = None  # awaited between storing and answering
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = {
                    key.lower(): value for key, value in re.findall(r"^([\w-]+): (.*)\r$", head, re.MULTILINE)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                status, more = self._take(headers, body)
                if self.stored is not None:
                    await self.stored()
                said = b"" if status < 300 else b"because of a test"
                kind = f"Content-Length: {len(said)}\r\nContent-Type: text/plain\r\n{more}\r\n"
                writer.write(f"HTTP/1.1 {status} x\r\n{kind}".encode() + said)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    def _take(self, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        key = headers.get("idempotency-key", "")
        if self.answer is not None:
            return self.answer
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            return 401, "WWW-Authenticate: Bearer\r\n"
        if not key or headers.get("content-type") != "application/json":
            return 400, ""
        self.posts.append((key, body))
        if key in self.documents:
            return (409 if self.documents[key] == body else 422), ""
        self.documents[key] = body
        return 201, ""


class Nginx:
    """One nginx below `folder` before a store at `upstream`; `clients` signs client certificates."""

    def __init__(self, folder: Path, upstream: int, clients: Authority | None = None, more: str = ""):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.upstream = upstream
        self.port = free_port()
        self.authority = Authority(folder)
        self.cert_file, self.key_file = self.authority.issue("server")
        self.clients = clients
        self.more = more  # directives of the server block
        self.user = getpass.getuser()

    def start(self) -> None:
        temporary = "\n".join(
            f"    {kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        checked = (
            f"ssl_verify_client on; ssl_client_certificate {self.clients.ca_file};" if self.clients else ""
        )
        settings = self.folder / "nginx.conf"
        settings.write_text(
            f"""daemon off;
worker_processes 1;
user {self.user};
pid {self.folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 200; }}
http {{
{temporary}
    access_log {self.folder}/access.log;
    server {{
        listen 127.0.0.1:{self.port} ssl;
        ssl_certificate {self.cert_file};
        ssl_certificate_key {self.key_file};
        {checked}
        {self.more}
        client_max_body_size 2m;
        location / {{ proxy_pass http://127.0.0.1:{self.upstream}; proxy_next_upstream off; }}
    }}
}}
"""
        )
        command = [program("nginx", "nginx"), "-p", str(self.folder), "-c", str(settings), "-e", "stderr"]
        self._server = Server(command, self.port, self.folder / "nginx.log")
        self._server.start()

    def stop(self) -> None:
        self._server.stop()
