"""What a person sees of a program: it runs on a pty of 80x30, and what it draws is kept as the lines it left.

    with Program(["quantrac", "station", "read", ...], cwd) as one:
        one.answer("Write it?", "y\\n")     wait until it says this, behind what was seen; then type
        status = one.ended()
    one.screen.text()

A bar or a table that is drawn over itself stands there once, as it stood last. What is typed is echoed by the
pty, as in front of a person.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

COLUMNS, ROWS = 80, 30
WAIT_S = 120.0
SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[=>78]|\x1b\][^\x07]*\x07")


class Screen:
    """Lines without end, and the sequences that rich and readline use. What scrolled away stays."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0
        self._held = b""

    def feed(self, data: bytes) -> None:
        self._held += data
        text = self._held.decode("utf-8", "ignore" if len(self._held) > 4096 else "surrogateescape")
        cut = re.search(r"\x1b(\[[0-9;?]*)?$|[\udc80-\udcff]+$", text)  # the rest of it is still to come
        whole = text[: cut.start()] if cut else text
        self._held = text[len(whole) :].encode("utf-8", "surrogateescape")
        at = 0
        for found in SEQUENCE.finditer(whole):
            self._plain(whole[at : found.start()])
            self._move(found[1] or "", found[2] or "")
            at = found.end()
        self._plain(whole[at:])

    def _plain(self, text: str) -> None:
        for sign in text:
            if sign == "\n":
                self._row += 1
                while len(self._lines) <= self._row:
                    self._lines.append([])
            elif sign == "\r":
                self._column = 0
            elif sign == "\b":
                self._column = max(0, self._column - 1)
            elif sign >= " ":
                if self._column >= COLUMNS:
                    self._plain("\r\n")
                line = self._lines[self._row]
                line += " " * (self._column + 1 - len(line))
                line[self._column] = sign
                self._column += 1

    def _move(self, numbers: str, kind: str) -> None:
        first = int(numbers) if numbers.isdigit() else 0
        top = max(0, len(self._lines) - ROWS)
        if kind == "A":
            self._row = max(0, self._row - max(1, first))
        elif kind == "B":
            self._row = min(len(self._lines) - 1, self._row + max(1, first))
        elif kind == "C":
            self._column += max(1, first)
        elif kind == "D":
            self._column = max(0, self._column - max(1, first))
        elif kind == "G":
            self._column = max(0, first - 1)
        elif kind == "H":
            self._row, self._column = top, 0
        elif kind == "K":
            line = self._lines[self._row]
            if first == 2:
                line.clear()
            elif first == 0:
                del line[self._column :]
        elif kind == "J":
            if first == 0:
                del self._lines[self._row][self._column :]
                del self._lines[self._row + 1 :]
            else:
                del self._lines[top:]
                self._lines += [[] for _ in range(self._row + 1 - len(self._lines))]

    def text(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip("\n")


class Program:
    """A program with somebody in front of it."""

    def __init__(self, command: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self.screen = Screen()
        self.said = ""
        self._seen = 0
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command, cwd=cwd, env={**environment, "TERM": "xterm"}, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def _fetch(self) -> bool:
        """Take what is there, for a moment; whether there may be more."""
        if not select.select([self._ours], [], [], 0.05)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # its end
            return False
        self.screen.feed(data)
        self.said += SEQUENCE.sub("", data.decode("utf-8", "replace"))
        return bool(data)

    def see(self, words: str, seconds: float = WAIT_S) -> None:
        """Wait until it says this; breaks of lines are spaces. AssertionError with what it said instead."""
        end = time.monotonic() + seconds
        pattern = re.compile(r"\s+".join(re.escape(word) for word in words.split()))
        while not (found := pattern.search(self.said, self._seen)):
            alive = self._fetch()
            assert alive and time.monotonic() < end, f"never said {words!r}:\n{self.screen.text()}"
        self._seen = found.end()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def answer(self, words: str, text: str, seconds: float = WAIT_S) -> None:
        self.see(words, seconds)
        self.type(text)

    def ended(self, seconds: float = WAIT_S) -> int:
        """Its exit status."""
        end = time.monotonic() + seconds
        while self._fetch():
            assert time.monotonic() < end, f"never ended:\n{self.screen.text()}"
        return self.process.wait(10)
