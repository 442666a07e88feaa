"""`quantrac station read`: what a station measures, live, with registers, limits and the bus's statistics.

Rule 1: it takes the gateway's place without acknowledging anything: nothing that it shows is lost to it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from tools.people import UsageError
from tools.station.access import Access, station_at
from tools.station.folder import SITE, Folder
from tools.station.link import Station, StationLink
from tools.station.live.bus import suspicions
from tools.station.live.known import Known, known
from tools.station.live.layout import screen_width, wrapped
from tools.station.live.objects import as_json
from tools.station.live.peek import Peek, check_link
from tools.station.live.sheet import Sheet, channel_cells, lines

GREETING_S = 30.0
"""A station whose gateway, or technician, has just left greets again after 22 s at the latest."""
DRAW_S = 1.0
ONCE_S = 30.0
"""How long --once waits for what is slow, before it prints what there is."""
NO_FOLDER = "Without the station's folder (--dir) there are no registers, units and limits."


@dataclass(frozen=True)
class ReadOptions:
    """What the command line said. `dir` is None when it named none."""

    port: str
    dir: Path | None = None
    key: Path | None = None
    channels: tuple[str, ...] = ()
    seconds: float | None = None
    once: bool = False
    json: bool = False

    @property
    def access(self) -> Access:
        return Access(self.port, self.dir or Path("."), self.key)


def run_read(options: ReadOptions) -> int:
    """Look until `seconds` have passed, or Ctrl-C; with `once` a single time. 0."""
    return asyncio.run(_read(options))


def folder_of(dir: Path | None) -> Known | None:
    """What the folder says; None when none was named and the place where we are is none. UsageError."""
    if dir is None and not (Path(".") / SITE).is_file():
        return None
    return known(Folder.at(dir or Path(".")))


@asynccontextmanager
async def greeted(access: Access) -> AsyncIterator[tuple[StationLink, Station]]:
    """The station once it has greeted, which is waited for long enough. Says so on a terminal."""
    if sys.stderr.isatty():
        for line in wrapped(
            f"Waiting for the station on {access.port}, up to {GREETING_S:.0f} s ...", screen_width()
        ):
            print(line.plain, file=sys.stderr, flush=True)
    async with station_at(access, GREETING_S) as (link, station):
        yield link, station


async def _read(options: ReadOptions) -> int:
    facts = folder_of(options.dir)
    async with greeted(options.access) as (link, station):
        facts, notes = fitting(facts, station, options.dir)
        names = [name for name, *_ in station.hello.channels]
        for name in options.channels:
            if name not in names:
                there = ", ".join(names) or "none"
                raise UsageError(f'There is no channel "{name}" on {station.id}; there are: {there}.')
        wanted = options.channels or names
        blocks = [block for block in facts.blocks if _wanted(facts, block, wanted)] if facts else []
        peek = Peek(link, blocks)
        sheet = Sheet(station, peek, facts, options.channels, notes)
        asking = asyncio.create_task(peek.run())
        try:
            if options.once:
                await _complete(options, link, sheet)
            else:
                await _watch(options, link, sheet, asking)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if options.once:
            await peek.look()  # what was counted since
            _print(sheet, options.json)
    return 0


def fitting(facts: Known | None, station: Station, dir: Path | None) -> tuple[Known | None, list[str]]:
    """The folder's facts, where they are of this station, and what is to be said about them."""
    if facts is None:
        return None, [NO_FOLDER]
    if facts.id != station.id:
        if dir is not None:
            raise UsageError(f"{dir} is the folder of {facts.id}, and this is {station.id}: name its own.")
        return None, [NO_FOLDER]
    if facts.is_of(station.hello):
        return facts, []
    return facts, [
        "The station runs another configuration than the folder holds: registers, ranges and units may "
        "be others. Flash it, or restore the folder from a backup."
    ]


def _wanted(facts: Known, block: Any, names: Sequence[str]) -> bool:
    return any(c.place and c.place.block == block for name, c in facts.channels.items() if name in names)


async def _complete(options: ReadOptions, link: StationLink, sheet: Sheet) -> None:
    """Wait until there is something of everything."""
    until = time.monotonic() + (ONCE_S if options.seconds is None else options.seconds)
    while time.monotonic() < until:
        follow(link, sheet)
        now = sheet.channels()
        if sheet.peek.complete and all(one.age_s is not None and not one.old for one in now):
            break
        await asyncio.sleep(0.05)


def follow(link: StationLink, sheet: Sheet) -> None:
    """A station that started anew is another object of the link."""
    check_link(link)
    if link.station is not None:
        sheet.station = link.station


def _print(sheet: Sheet, as_object: bool) -> None:
    if as_object:
        print(json.dumps(as_json(sheet), ensure_ascii=False), flush=True)
        return
    width = screen_width()
    console = Console(width=width, highlight=False)
    for line in lines(sheet, width):
        console.print(line) if console.is_terminal else print(line.plain)


async def _watch(options: ReadOptions, link: StationLink, sheet: Sheet, asking: asyncio.Task) -> None:
    if options.json:
        show: Any = _Objects(sheet)
    elif sys.stdout.isatty():
        show = _Screen(sheet)
    else:
        show = _Lines(sheet)
    until = None if options.seconds is None else time.monotonic() + options.seconds
    with show:
        while until is None or time.monotonic() < until:
            follow(link, sheet)
            if asking.done():
                asking.result()
            show.draw()
            left = DRAW_S if until is None else min(DRAW_S, max(0.0, until - time.monotonic()))
            await asyncio.sleep(left)


class _Objects:
    """One JSON object a second."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def draw(self) -> None:
        _print(self.sheet, True)


class _Screen:
    """The sheet on a terminal, drawn over itself. What is higher than the window is cut, and said so."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.console = Console(highlight=False)
        self.live = Live(console=self.console, auto_refresh=False, transient=False)

    def __enter__(self) -> None:
        self.live.start()

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def draw(self) -> None:
        width, height = self.console.size
        made = lines(self.sheet, width)
        made += wrapped("Ctrl-C ends. The station keeps every record for its gateway.", width, "dim")
        if len(made) > height - 1:
            left = len(made) - (height - 2)
            made = made[: height - 2]
            made += wrapped(f"... {left} more lines: a higher window, or --channel.", width, "dim")[:1]
        self.live.update(Group(*made), refresh=True)


class _Lines:
    """In a pipe: a line for each new reading, sentences when they change, the whole sheet at the end."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self._seen: dict[str, Any] = {}
        self._said: set[str] = set()
        self._patience = time.monotonic() + ONCE_S

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        _print(self.sheet, False)

    def draw(self) -> None:
        if not self.sheet.peek.complete and time.monotonic() < self._patience:
            return
        for one in self.sheet.channels():
            name = one.channel.name
            if one.reading is None or one.old or self._seen.get(name) == one.reading:
                continue
            self._seen[name] = one.reading
            print("  ".join(cell for cell, _ in channel_cells(one) if cell), flush=True)
        said = [one.doubt.text for one in self.sheet.channels() if one.doubt]
        said += [*suspicions(self.sheet.peek, self.sheet.known), *self.sheet.all_notes()]
        for text in said:
            key = "".join(c for c in text if not c.isdigit())  # the same with other counts is no news
            if key not in self._said:
                self._said.add(key)
                print("\n".join(line.plain for line in wrapped(text, screen_width())), flush=True)
