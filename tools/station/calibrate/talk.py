"""What the technician types and sees: questions, and one line that shows how far the instrument is.

Rule 1: the end of the input, or a q, stops at every question (Stopped): nobody there means no.
Rule 2: on a terminal what was typed before a question was asked answers none: a second Enter must not pass
        over a standard. In a pipe every line is an answer.
Rule 3: the live line is for a terminal; a pipe stays quiet until something is settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import textwrap
from typing import TextIO

from tools.people import UsageError
from tools.station.calibrate.settle import Look, Sample

WIDTH = 79
BAR = 12
STOP = ("q", "quit", "stop")


class Stopped(Exception):
    """The person wants no more of it; its text says how that was said."""


class Talk:
    """Use as an async context manager. `typed` and `out` are a terminal, or anything else."""

    def __init__(self, typed: TextIO, out: TextIO) -> None:
        self._typed, self._out = typed, out
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._held = b""
        self._is_terminal = typed.isatty()
        self._live = out.isatty()
        self._showing = False
        self._watched = False

    async def __aenter__(self) -> Talk:
        try:
            fd = self._typed.fileno()
        except OSError:  # nobody can type
            self._take(b"")
            return self
        try:
            asyncio.get_running_loop().add_reader(fd, self._readable, fd)
            self._watched = True
        except OSError:  # a file, which is always ready
            while data := os.read(fd, 4096):
                self._take(data)
            self._take(b"")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watched:
            asyncio.get_running_loop().remove_reader(self._typed.fileno())
            self._watched = False
        self.show("")

    def _readable(self, fd: int) -> None:
        try:
            data = os.read(fd, 4096)
        except OSError:  # the terminal has gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            self._watched = False
        self._take(data)

    def _take(self, data: bytes) -> None:
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._lines.put_nowait(line.decode("utf-8", "replace").strip())
        if not data:
            self._lines.put_nowait(None)

    def say(self, text: str = "") -> None:
        """A line, or several; long ones are wrapped."""
        self.show("")
        with contextlib.suppress(BrokenPipeError):
            print(wrapped(text), file=self._out, flush=True)

    async def ask(self, question: str) -> str:
        """The answer, a line without blanks around it. Stopped by rule 1."""
        if self._is_terminal:
            with contextlib.suppress(termios.error):
                termios.tcflush(self._typed.fileno(), termios.TCIFLUSH)
            while not self._lines.empty():
                if self._lines.get_nowait() is None:
                    raise Stopped("the input has ended")
        self.show("")
        print(f"{question} ", end="" if self._live else "\n", file=self._out, flush=True)
        line = await self._lines.get()
        if line is None:
            self._lines.put_nowait(None)
            raise Stopped("the input has ended")
        if line.lower() in STOP:
            raise Stopped("as you said")
        return line

    async def number(self, question: str, default: float | None = None) -> float:
        """A number; asked again until it is one."""
        while True:
            text = await self.ask(question)
            if not text and default is not None:
                return default
            try:
                return number(text)
            except UsageError as error:
                self.say(str(error))

    async def yes(self, question: str, default: bool) -> bool:
        """Yes or no; Enter is the default."""
        while True:
            text = (await self.ask(f"{question} [{'Y/n' if default else 'y/N'}]")).lower()
            if text in ("y", "yes", "n", "no", ""):
                return default if not text else text[0] == "y"

    def show(self, text: str) -> None:
        """The live line of a terminal, in the place of the one before; "" takes it away."""
        if not self._live or (not text and not self._showing):
            return
        self._showing = bool(text)
        print(
            f"\r{text[:WIDTH]:{WIDTH}}\r" if not text else f"\r{text[:WIDTH]:{WIDTH}}", end="", file=self._out
        )
        self._out.flush()


def wrapped(text: str) -> str:
    """Lines that fit; what is indented (a command to type, a table) stays as it is."""
    return "\n".join(
        line
        if line.startswith(" ") or len(line) <= WIDTH
        else textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )


def number(text: str) -> float:
    """A number as people write it. UsageError with what to write."""
    try:
        found = float(text.replace(",", "."))
    except ValueError:
        found = float("nan")
    if not abs(found) < 1e12:
        raise UsageError(f"{text!r} is no number: write it as 12.5.")
    return found


def progress(channel: str, look: Look, before: Sample | None = None) -> str:
    """How far it is, in a line; `before`: the newest reading, which may be too early to count."""
    if look.newest is None:
        raw = f"raw {before.raw:>9.5g}, " if before and before.raw is not None else ""
        return f"{channel} {raw}waiting for the first reading that counts"
    raw = "-" if look.newest.raw is None else f"{look.newest.raw:.5g}"
    done = BAR * look.covered_ms // max(1, look.within_ms)
    scatter = "-" if look.deviation is None else f"{look.deviation:.2g}"
    return (
        f"{channel} raw {raw:>9} [{'#' * done:{BAR}}] {look.readings:>3} readings, "
        f"scatter {scatter}/{look.limit:.2g}: {look.why or 'settled'}"
    )


def on(out: TextIO | None = None) -> Talk:
    """With whoever started this process."""
    return Talk(sys.stdin, out or sys.stdout)
