"""`quantrac station console`: what a station says of itself, live, and commands typed to it.

It stands in for the gateway without acknowledging anything, so nothing that it shows is lost to the real one.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from rich.text import Text

from protocol import messages
from protocol.errors import ProtocolError
from protocol.messages import Event, Hello, Now, Readings, Result
from tools.people import Failure
from tools.station.folder import Folder
from tools.station.link import Reading, Station, StationLink, read_key
from tools.station.live.known import Known, known
from tools.station.live.layout import Cell, Column, screen_width, table, wrapped
from tools.station.live.sheet import shown, units_of
from tools.station.live.status import status_words

SHOW_S = 2.0
"""How often the readings are shown in the plain view, when there are new ones."""
GREETING_S = 30.0
"""How long nothing at all may come before that is said: after a gateway left, 22 s pass at most."""
HELP = """Type a command and its arguments as name=value:
status                                    how it is: bus, inputs, memory
log, log last=1                           its crash reports, the newest first
read bus=rs485 unit=2 function=3 address=0 count=2   registers, asked once
relay id=pump on=True pulse_ms=500        switch a relay, here for half a second
sample reason=test                        draw a sample
time                                      tell it the time of this machine
safe, reboot                              end safe mode; start it anew
quit                                      end, as Ctrl-C does"""


READINGS = (
    Column("time", keep=1),
    Column("channel", least=8, most=32),
    Column("value", right=True),
    Column("", most=10),
    Column("quality"),
)


@dataclasses.dataclass(frozen=True)
class ConsoleOptions:
    """What the command line said."""

    port: str
    key: Path | None = None
    id: str | None = None
    seconds: float | None = None
    json: bool = False
    dir: Path | None = None


def run_console(options: ConsoleOptions) -> int:
    """Run until `seconds` have passed, the input's end, or Ctrl-C. 0; Failure when no station was heard."""
    return asyncio.run(_console(options, sys.stdin, sys.stdout))


def parse_command(line: str) -> tuple[str, dict | None]:
    """A typed line as (name, arguments): `read unit=2 count=1` -> ("read", {"unit": 2, "count": 1}).

    Values are Python literals, anything else is a text. ValueError with what to write.
    """
    name, *words = line.split()
    args = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ValueError(f'"{word}": write name=value')
        try:
            args[key] = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # no literal of any kind
            args[key] = text
    if name == "time" and not args:
        args["time_ms"] = time.time_ns() // 1_000_000
    return name, args or None


async def _console(options: ConsoleOptions, typed: TextIO, out: TextIO) -> int:
    facts, key = _named(options)
    view = View(options.json, out, facts)
    async with StationLink(options.port, key, options.id, view.message, view.note) as link:
        view.link = link
        if key is None:
            view.note("without --dir or --key only the greeting is seen, and nothing is proven")
        greet = asyncio.create_task(_greet(link, view))
        end = asyncio.create_task(asyncio.Event().wait() if key is None else _commands(link, view, typed))
        shown = asyncio.create_task(view.show_readings())
        waiting = {greet, end}
        until = None if options.seconds is None else time.monotonic() + options.seconds
        try:
            while end in waiting:
                left = None if until is None else max(0, until - time.monotonic())
                done, waiting = await asyncio.wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
                for task in done:
                    task.result()
                if not done:  # the time is up
                    break
        finally:
            for task in (greet, end, shown):
                task.cancel()
            await asyncio.gather(greet, end, shown, return_exceptions=True)
        if link.station is None:
            raise Failure(f"No station was heard on {options.port}.")
    return 0


def _named(options: ConsoleOptions) -> tuple[Known | None, bytes | None]:
    """What the station's folder says, and the key: its own, or another one that was named."""
    folder = None if options.dir is None else Folder.at(options.dir)
    if folder is None:
        return None, None if options.key is None else read_key(options.key)
    return known(folder), folder.key() if options.key is None else read_key(options.key)


async def _greet(link: StationLink, view: View) -> None:
    """Say who is there, and ask for its status: a reason for safe mode may be behind a long backlog."""
    station = await link.greeted(GREETING_S)
    if station.proven:
        with contextlib.suppress(Failure):
            view.result("status", await link.command("status"))


async def _commands(link: StationLink, view: View, typed: TextIO) -> None:
    """Commands as they are typed, one at a time."""
    async for line in _lines(typed):
        if line in ("quit", "exit"):
            break
        if line in ("help", "?"):
            view.note(HELP)
            continue
        try:
            name, args = parse_command(line)
        except ValueError as error:
            view.note(str(error))
            continue
        try:
            view.result(name, await link.command(name, args))
        except Failure as failure:
            view.note(str(failure))
        except ProtocolError as error:  # a set, a number without end, more than fits a frame
            view.note(f"{name} cannot be sent: {error}")
    else:
        if not typed.isatty():  # nobody types: look on until the time is up
            await asyncio.Event().wait()


async def _lines(typed: TextIO) -> AsyncIterator[str]:
    """Lines that are not empty, as they come."""
    loop = asyncio.get_running_loop()
    fd = typed.fileno()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def readable() -> None:
        try:
            data = os.read(fd, 4096)
        except OSError:  # the terminal has gone
            data = b""
        pieces.put_nowait(data)
        if not data:
            loop.remove_reader(fd)

    try:
        loop.add_reader(fd, readable)
    except OSError:  # a file or /dev/null, which is always ready
        while data := os.read(fd, 4096):
            pieces.put_nowait(data)
        pieces.put_nowait(b"")
    held = b""
    try:
        while held is not None:
            data = await pieces.get()
            *lines, rest = (held + data).split(b"\n")
            if not data:
                lines, rest = [rest], None
            held = rest
            for line in lines:
                if text := line.decode("utf-8", "replace").strip():
                    yield text
    finally:
        loop.remove_reader(fd)


class View:
    """Prints what happens: sentences, or with `as_json` one object a line with "what" as its kind."""

    def __init__(self, as_json: bool, out: TextIO, known: Known | None = None) -> None:
        self.link: StationLink | None = None
        self._known = known
        self._json = as_json
        self._out = out
        self._shown: dict[str, Any] = {}
        self._events: set[tuple[int, int]] = set()

    def note(self, text: str) -> None:
        self._say("note", {"text": text}, text)

    def message(self, message: Any) -> None:
        """What the link has believed."""
        station = self.link.station if self.link else None
        if isinstance(message, Hello):
            self._hello(message, station)
        elif isinstance(message, Event) and (message.boot, message.seq) not in self._events:
            self._events.add((message.boot, message.seq))
            kinds = messages.EVENT_NAMES
            kind = kinds[message.kind] if message.kind < len(kinds) else str(message.kind)
            when = _when(message.time_ms, bool(message.clock))
            fields = {"kind": kind, "detail": _plain(message.detail), "boot": message.boot, "t": when}
            self._say("event", fields, f"{when}  {kind}  {message.detail}")
        elif isinstance(message, Readings | Now) and self._json and station:
            self._readings(station)

    async def show_readings(self) -> None:
        """The plain view shows them now and then, not with every frame."""
        while True:
            await asyncio.sleep(SHOW_S)
            if self.link and self.link.station:
                self._readings(self.link.station)

    def result(self, name: str, result: Result) -> None:
        data = _plain(result.data)
        fields = {"name": name, "ok": result.ok, "text": result.text, "data": data}
        text = f"{name}: {'' if result.ok else 'refused: '}{result.text}"
        if name == "status" and isinstance(data, dict):
            text += "".join(f"\n  {line}" for line in status_words(data))
        elif isinstance(data, dict):
            text += "".join(f"\n  {key:10} {value}" for key, value in data.items())
        elif name == "read" and isinstance(data, list) and all(isinstance(word, int) for word in data):
            text += "\n  " + " ".join(f"{word:04X}" for word in data) + f"  ({', '.join(map(str, data))})"
        elif data is not None:
            text += f"\n  {data}"
        self._say("result", fields, text)
        if name == "status" and isinstance(data, dict):
            self._lines(units_of(data, self._known_here(), screen_width()))
            safe = str(data.get("safe") or "")
            if safe:
                full = (self.link.station.safe_mode if self.link and self.link.station else None) or safe
                self._say("safe", {"reason": full}, f"SAFE MODE: {full}")

    def _hello(self, hello: Hello, station: Station | None) -> None:
        fields = {
            "id": hello.device,
            "firmware": hello.firmware,
            "boot": hello.boot,
            "reset": hello.reset,
            "config": hello.config_hash.hex(),
            "channels": [name for name, _, _, _ in hello.channels],
            "proven": bool(station and station.proven),
        }
        if self._shown.get("hello") == fields:
            return
        self._shown["hello"] = fields
        proven = "" if fields["proven"] else " (not proven: no key)"
        self._say(
            "station",
            fields,
            f"{hello.device}{proven}: {hello.firmware}, boot {hello.boot} after {hello.reset}, "
            f"channels: {', '.join(fields['channels']) or 'none'}",
        )

    def _readings(self, station: Station) -> None:
        new = []
        for name, reading in station.readings.items():
            if self._shown.get(name) == reading:
                continue
            self._shown[name] = reading
            new.append((name, reading))
            fields = {"channel": name, "t": _when(reading.time_ms, reading.told)}
            fields |= {"raw": _plain(reading.raw), "value": _plain(reading.value), "quality": reading.quality}
            if self._json:
                self._say("reading", fields, "")
        if new:
            self._lines(table(READINGS, [self._cells(*one) for one in new], screen_width()))

    def _cells(self, name: str, reading: Reading) -> list[Cell]:
        facts = self._known_here()
        channel = facts.channels.get(name) if facts else None
        value = shown(reading.value, channel.decimals if channel else None)
        unit = channel.unit if channel else ""
        when = _when(reading.time_ms, reading.told)
        return [(when, ""), (name, ""), (value, ""), (unit, ""), (reading.quality, "")]

    def _known_here(self) -> Known | None:
        """The folder's facts, where they are of this very station."""
        station = self.link.station if self.link else None
        return self._known if self._known and station and self._known.id == station.id else None

    def _lines(self, lines: list[Text]) -> None:
        """Of a table, which objects have no need of."""
        if not self._json:
            for line in lines:
                print(line.plain, file=self._out, flush=True)

    def _say(self, what: str, fields: dict[str, Any], text: str) -> None:
        if self._json:
            print(json.dumps({"what": what, **fields}, ensure_ascii=False), file=self._out, flush=True)
        else:
            self._lines(wrapped(text, screen_width(), indent="    "))


def _when(time_ms: int, told: bool) -> str:
    if not told:
        return f"+{time_ms / 1000:.1f} s"
    try:
        then = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a device may believe anything of its clock
        return f"{time_ms} ms"
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(data: Any) -> Any:
    """As JSON has it: bytes as hex, null for what is no number."""
    if isinstance(data, bytes):
        return data.hex()
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    return data
