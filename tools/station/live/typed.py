"""What a person types: single keys while something is drawn, lines when something is asked.

Rule 1: the terminal is left as it was found, however it ends. Ctrl-C stays what it is.
Rule 2: the end of the input is an answer, too: nobody is there. It is None.
"""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Typed:
    """Of `file`, usually stdin: a terminal or a pipe. Use as an async context manager."""

    def __init__(self, file: TextIO) -> None:
        self.terminal = file.isatty()
        try:
            self._fd = file.fileno()
        except (OSError, ValueError):  # nothing that a person could type into
            self._fd = -1
        self._held = b""
        self._ended = False
        self._came = asyncio.Event()

    async def __aenter__(self) -> Typed:
        if self._fd < 0:
            self._ended = True
            return self
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(self._fd, self._readable)
        except OSError:  # a file or /dev/null, which is always ready
            while data := os.read(self._fd, 4096):
                self._held += data
            self._ended = True
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except OSError:  # the terminal has gone
            data = b""
        self._held += data
        if not data:
            self._ended = True
            asyncio.get_running_loop().remove_reader(self._fd)
        self._came.set()

    @property
    def ended(self) -> bool:
        """Nobody will type any more; what was typed may still be here."""
        return self._ended

    async def line(self) -> str | None:
        """The next line, without blanks around it; None at the end."""
        while b"\n" not in self._held and not self._ended:
            self._came.clear()
            await self._came.wait()
        if not self._held:
            return None
        text, _, self._held = self._held.partition(b"\n")
        return text.decode("utf-8", "replace").strip()

    def pressed(self, key: str) -> bool:
        """Whether that key is the next. Others are forgotten on a terminal; a script means them for later."""
        self._held = self._held.lstrip()
        if self._held[:1].lower() == key.encode():
            self._held = self._held[1:]
            return True
        self.forget()
        return False

    def forget(self) -> None:
        """What was typed before a question is no answer to it: on a terminal only, a script types ahead."""
        if self.terminal:
            self._held = b""

    @contextmanager
    def keys(self) -> Iterator[None]:
        """Single keys come at once and are not shown, on a terminal."""
        if not self.terminal:
            yield
            return
        before = termios.tcgetattr(self._fd)
        modes = termios.tcgetattr(self._fd)
        modes[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(self._fd, termios.TCSANOW, modes)
        try:
            yield
        finally:
            termios.tcsetattr(self._fd, termios.TCSANOW, before)
