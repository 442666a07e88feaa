"""How updates and backups say things: within 80 columns, without harm, and nothing beside JSON."""

from __future__ import annotations

import getpass
import sys
import textwrap
from datetime import datetime

import typer

from gateway.zone import GMT7
from tools.people import UsageError

WIDTH = 79


def harmless(text: str) -> str:
    """Without what a terminal would act on: a device, or whoever says to be one, may send any text."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


class Voice:
    """Says sentences, wrapped; with `quiet` none (then JSON is printed instead)."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def say(self, text: str = "", indent: str = "") -> None:
        if not self.quiet:
            print(_wrapped(text, indent), flush=True)

    def hint(self, text: str) -> None:
        """What somebody who looks on wants to know, and a pipe does not."""
        if sys.stdout.isatty():
            self.say(text)

    def command(self, text: str) -> None:
        """A command line, in one piece: it is meant to be copied."""
        if not self.quiet:
            print(f"  {text}", flush=True)

    def rows(self, lines: list[str], most: int = 24) -> None:
        """A list, cut where it gets too long to read."""
        for line in lines[:most]:
            self.say(line, "  ")
        if len(lines) > most:
            self.say(f"... and {len(lines) - most} more", "  ")


def _wrapped(text: str, indent: str) -> str:
    """Lines of at most WIDTH; paths and hashes stay whole."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
        replace_whitespace=False,
    )


def agreed(question: str, yes: bool) -> bool:
    """Whether a person says yes; `yes`: said on the command line. UsageError when nobody can be asked."""
    if yes:
        return True
    try:
        return typer.confirm(question)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        print()
        raise UsageError("Nobody is there to be asked, and nothing was changed: say --yes.") from None


def whoever(by: str) -> str:
    """Who does it: as said, else this machine's user."""
    return by or getpass.getuser()


def date(time_ms: int) -> str:
    """Unix ms as a date and a minute, GMT+7, as everywhere that people read."""
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, GMT7):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"


def minutes(ms: int) -> str:
    """4:07"""
    seconds = -(-ms // 1000)
    return f"{seconds // 60}:{seconds % 60:02}"
