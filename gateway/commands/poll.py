"""Commands over HTTPS: the station asks, since nobody can reach it behind its router.

    GET  <url>/commands?station=quantrac/LCa/DEMO/NUO001      200: one command; 204: none
    POST <url>/results                                        its answer; 2xx

Rule 1: a command stays at the server until its answer was posted: it is given again meanwhile, and gets the
        same answer (desk.py). While there are commands, the next one is asked for at once.
Rule 2: whoever the server is, its certificate decides; who commands, the signature alone.
Rule 3: a server that is away, slow, or answers nonsense is asked again after poll_s, and holds up nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from gateway import tls
from gateway.commands.message import BYTES_MAX
from gateway.errors import DestinationError, JournalError, Refused, Unreachable
from gateway.forward.files import read_secret
from gateway.logs import get_logger
from gateway.web.client import Answer, connect

log = get_logger("department")

CONNECT_S, EXCHANGE_S = 10.0, 30.0
NONE = 204
TYPE = "text/plain; charset=utf-8"
AT_ONCE_MAX = 20
"""Commands in a row; then the server is left alone for poll_s, whatever it has."""


class Server(NamedTuple):
    """Who is asked, and how."""

    url: str
    poll_s: int
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    cert_key_file: Path | None = None


class Poll:
    """`take` is Desk.take()."""

    def __init__(self, server: Server, station: str, take: Callable[[bytes, str], Awaitable[bytes | None]]):
        self._server, self._take = server, take
        self._url = server.url.rstrip("/")
        self._ask = f"{self._url}/commands?station={quote(station, safe='/')}"
        self._name = urlsplit(server.url).netloc
        self.connected = False
        self.last_error = ""
        self._down_since_s: float | None = time.monotonic()

    def down_s(self) -> float:
        """For how long no command can have come, real seconds."""
        return 0.0 if self._down_since_s is None else time.monotonic() - self._down_since_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                for _ in range(AT_ONCE_MAX):
                    if not await self.look():
                        break
                self._say("")
            except (DestinationError, JournalError) as error:
                self._say(str(error))
            await asyncio.sleep(self._server.poll_s)

    async def look(self) -> bool:
        """Ask once; whether there was a command that got its answer. DestinationError, JournalError."""
        answer = await self._exchange("GET", self._ask, b"")
        if answer.status == NONE or (answer.status == 200 and not answer.body):
            return False
        if answer.status != 200:
            raise Unreachable(f"{self._name} answers {answer.status} when it is asked for commands.")
        result = await self._take(answer.body, f"https {self._name}")
        if result is None:
            return False
        posted = await self._exchange("POST", f"{self._url}/results", result)
        if not 200 <= posted.status < 300:
            raise Unreachable(f"{self._name} answers {posted.status} to the answer of a command.")
        return True

    async def _exchange(self, method: str, url: str, body: bytes) -> Answer:
        server, headers = self._server, [("Connection", "close")]
        if server.token_file is not None:
            token = await asyncio.to_thread(read_secret, server.token_file, "token")
            if not re.fullmatch(r"[\x21-\x7e]+", token):
                raise Refused(f"{server.token_file} holds no token. Write it into the first line.")
            headers.append(("Authorization", f"Bearer {token}"))
        if body:
            headers.append(("Content-Type", TYPE))
        context = None
        if url.startswith("https:"):
            files = (server.ca_file, server.cert_file, server.cert_key_file)
            context = await asyncio.to_thread(tls.context, *files)
        connection = await connect(url, seconds=CONNECT_S, context=context, name=self._name)
        try:
            return await connection.exchange(
                method, body, headers, seconds=EXCHANGE_S, bytes_max=2 * BYTES_MAX
            )
        finally:
            connection.close()

    def _say(self, text: str) -> None:
        if not text:
            self._down_since_s = None
        elif self.connected:
            self._down_since_s = time.monotonic()
        self.connected = not text
        if text != self.last_error and text:
            log.warning("no commands can come", via=self._name, reason=text)
        elif self.last_error and not text:
            log.info("commands can come again", via=self._name)
        self.last_error = text
