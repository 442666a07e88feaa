"""How a verb comes to its station: --port, --dir and --key, and a station that has greeted.

A link takes the gateway's place: on a serial line that the gateway has open, stop the gateway first. The
device keeps every record meanwhile (link.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.people import UsageError
from tools.station.folder import Folder
from tools.station.link import Station, StationLink, read_key

GREETING_S = 30.0
"""A device that nobody answered greets every 8 s; one whose gateway has just gone, within 22 s."""


@dataclass(frozen=True)
class Access:
    """What the command line said of the way to a station. Without `key`, the folder's."""

    port: str
    dir: Path = Path(".")
    key: Path | None = None
    by: str = ""

    def folder(self) -> Folder:
        """The station's folder. UsageError when `dir` is none."""
        return Folder.at(self.dir)

    def link_key(self) -> bytes:
        """32 bytes. UsageError with what to write when there is none."""
        if self.key is not None:
            return read_key(self.key)
        if not (self.dir / "link.key").exists():
            raise UsageError("Name the station's folder with --dir, or its link key with --key FILE.")
        return read_key(self.dir / "link.key")


@asynccontextmanager
async def station_at(
    access: Access, seconds: float = GREETING_S
) -> AsyncIterator[tuple[StationLink, Station]]:
    """The link, and the station once it has greeted. Failure with what to look at when it does not."""
    async with StationLink(access.port, access.link_key()) as link:
        yield link, await link.greeted(seconds)
