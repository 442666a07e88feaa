"""The demo's screen: a live table on a terminal, nothing but a few lines in a pipe."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from rich.console import Console
from rich.live import Live

from tools.demo.site import HOST, PERSON, Site
from tools.demo.table import fetch_current, render


class Screen:
    """Shows the gateway's own view of itself. `quiet` shows nothing at all; `password` is PERSON's."""

    def __init__(self, site: Site, web_port: int, quiet: bool, password: str):
        self.page = f"http://{HOST}:{web_port}/"
        self._site = site
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._login = f"log in there as {PERSON}, password {password}"
        self._note = ""
        self._live: Live | None = None
        if not quiet and self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=False)
            self._live.start()
        elif not quiet:
            print(
                f"demo in {site.dir}: files appear in {site.province}, page at {self.page}", file=sys.stderr
            )
            print(self._login, file=sys.stderr)

    async def fetch(self) -> dict[str, Any] | None:
        """The gateway's /api/v1/current, None while it does not answer."""
        return await asyncio.to_thread(fetch_current, self.page + "api/v1/current")

    def note(self, text: str) -> None:
        """A line about what is going on."""
        self._note = text
        if self._live is not None:
            self._live.update(text)

    async def show(self, received: dict[str, int], passed_s: float, seconds: float | None) -> None:
        """Draw the state of things, on a terminal."""
        if self._live is None:
            return
        left = f"{passed_s:.0f} s" if seconds is None else f"{passed_s:.0f} of {seconds:.0f} s"
        note = f"{left} · {self._login} · files in {self._site.province} · Ctrl-C stops"
        self._live.update(render(await self.fetch(), received, self.page, note))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
