"""What is asked of a board, and a board behind a MicroPython prompt, with mpremote's own transport.

Rule 1: every fault of line and board is a Failure with a sentence; `Lost` when the board does not answer.
Rule 2: nothing here decides anything: a write is a write, under the name that is given.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from tools.people import Failure
from tools.station.voice import harmless

BAUD = 115_200
ANSWER_S = 15.0
WRITE_BYTES = 1024
"""A piece of a file: its text, and what the board makes of it, fit the smallest heap several times."""
INTERRUPTS, INTERRUPT_S = 6, 0.25
"""Ctrl-C ends the station; a second one, within 5 s, the wait before it starts again (starter.py)."""
ARCHITECTURES = {
    3: "armv6",
    4: "armv6m",
    5: "armv7m",
    6: "armv7em",
    7: "armv7emsp",
    8: "armv7emdp",
    10: "xtensawin",
}
_ABOUT = (
    "import sys\ni=sys.implementation\n"
    "print(repr((i[0],tuple(i[1])[:3],getattr(sys,'platform',''),sys.version,"
    "getattr(i,'_mpy',0),getattr(i,'_machine',''))))"
)
_MACHINE = "try:\n import machine\n print(1)\nexcept ImportError:\n print(0)"
_REMOVE = "import os\ntry:\n os.remove({0!r})\nexcept OSError:\n os.rmdir({0!r})"


class Lost(Failure):
    """The board stopped answering, or never did."""


class NoPort(Lost):
    """The port is not there, or somebody else has it."""


@dataclass(frozen=True)
class About:
    """What the interpreter says of itself."""

    name: str
    version: tuple[int, ...]
    platform: str
    build: str  # sys.version
    mpy: int  # sys.implementation._mpy, 0 when it loads no bytecode
    machine: str
    resets: bool  # has a module `machine`, which can

    @property
    def number(self) -> str:
        return ".".join(str(part) for part in self.version)

    @property
    def bytecode(self) -> int:
        return self.mpy & 0xFF

    @property
    def arch(self) -> str:
        """As mpy-cross names it; "" when it is another one."""
        return ARCHITECTURES.get((self.mpy >> 10) & 0xF, "")


@dataclass(frozen=True)
class Package:
    """A package on the board. `whole`: its contents are what its manifest says."""

    version: str
    counter: int
    contents: str  # SHA-256
    whole: bool


@dataclass(frozen=True)
class Held:
    """What on_board.py saw. `seal`: (words, epoch, SHA-256 of the digits), None when there is no seal.key."""

    names: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str | None] = field(default_factory=dict)
    texts: dict[str, str | None] = field(default_factory=dict)
    packages: dict[str, Package] = field(default_factory=dict)
    seal: tuple[int, int, str] | None = None
    state: tuple[str, ...] = ()  # what a running station keeps, what is in a folder before the folder
    block: int = 4096
    free: int = 0

    @classmethod
    def told(cls, text: str) -> Held:
        """ValueError, KeyError, TypeError when it is not what on_board.py prints."""
        table = json.loads(text)
        packages = {}
        for slot, found in table["packages"].items():
            with contextlib.suppress(ValueError, IndexError, TypeError):
                (_, _, version, counter, _, _, contents), sha256 = found
                packages[slot] = Package(version, int(counter), sha256, contents.split(" ")[1] == sha256)
        return cls(
            tuple(table["names"]),
            dict(table["sizes"]),
            dict(table["hashes"]),
            dict(table["texts"]),
            packages,
            tuple(table["seal"]) if table["seal"] else None,
            tuple(table["state"]),
            int(table["block"]) or 4096,
            int(table["free"]),
        )


class Board(Protocol):
    """Names are those of the flash's root, without a slash in front."""

    about: About

    def look(self, wanted: list[str]) -> Held: ...
    def write(self, name: str, data: bytes, progress: Callable[[int], None]) -> None: ...
    def digest(self, name: str) -> str: ...
    def rename(self, name: str, to: str) -> None: ...
    def remove(self, name: str) -> None: ...


def source() -> str:
    """on_board.py without its comments: less to send, less for a small heap."""
    text = (Path(__file__).parent / "on_board.py").read_text(encoding="utf-8")
    return re.sub(r"(?m)^\s*#.*\n", "", text)


class ReplBoard:
    """A board whose raw prompt was reached on `port`. Lost when it cannot be."""

    def __init__(self, port: str) -> None:
        self.port = port
        self._sent = False
        with self._speaking():
            self._transport = SerialTransport(port, BAUD, timeout=ANSWER_S)
        try:
            with (
                self._speaking(),
                contextlib.redirect_stdout(io.StringIO()),
            ):  # it prints what it gets instead
                self._enter()
                told = ast.literal_eval(self._transport.exec(_ABOUT).decode().strip())
                name, version, platform, build, mpy, machine = told
                resets = self._transport.exec(_MACHINE).strip() == b"1"
        except BaseException:
            self.close()
            raise
        self.about = About(name, tuple(version), platform, build, mpy, machine, resets)

    def _enter(self) -> None:
        for _ in range(INTERRUPTS):
            self._transport.serial.write(b"\r\x03")
            time.sleep(INTERRUPT_S)
        self._transport.enter_raw_repl(soft_reset=True)

    def close(self) -> None:
        """Back to the friendly prompt, and the port is free. Never fails."""
        with contextlib.suppress(Exception):
            self._transport.exit_raw_repl()
        with contextlib.suppress(Exception):
            self._transport.close()

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except TransportExecError as error:
            last = str(error.error_output).strip().splitlines()[-1:] or ["nothing"]
            if "ENOSPC" in last[0] or last[0] == "OSError: 28":
                raise Failure("The board's flash is full.") from error
            raise Failure(f"The board says: {harmless(last[0])[:200]}.") from error
        except TransportError as error:
            if "failed to access" in str(error):
                raise NoPort(_no_port(self.port)) from error
            raise Lost(f"No MicroPython prompt answers at {self.port}.") from error
        except Exception as error:  # pyserial, termios, and whatever mpremote makes of half an answer
            raise Lost(f"The board at {self.port} stopped answering.") from error

    def _exec(self, code: str) -> str:
        with self._speaking():
            return self._transport.exec(code).decode()

    def _eval(self, call: str) -> str:
        if not self._sent:
            self._exec(source())
            self._sent = True
        return self._exec(f"print({call})").strip()

    def look(self, wanted: list[str]) -> Held:
        told = self._eval(f"look('/', {wanted!r})")
        try:
            return Held.told(told)
        except (ValueError, KeyError, TypeError) as error:
            raise Lost(f"The board at {self.port} answers something else than it was asked.") from error

    def write(self, name: str, data: bytes, progress: Callable[[int], None]) -> None:
        self._exec(f"from binascii import a2b_base64 as _b\n_f=open({'/' + name!r},'wb')\n_w=_f.write")
        for at in range(0, len(data), WRITE_BYTES):
            part = data[at : at + WRITE_BYTES]
            self._exec(f"_w(_b({base64.b64encode(part)!r}))")
            progress(at + len(part))
        self._exec("_f.close()\nimport os\ngetattr(os,'sync',int)()")

    def digest(self, name: str) -> str:
        return self._eval(f"digest({'/' + name!r})")

    def rename(self, name: str, to: str) -> None:
        self._exec(f"import os\nos.rename({'/' + name!r},{'/' + to!r})")

    def remove(self, name: str) -> None:
        self._exec(_REMOVE.format("/" + name))

    def note(self, name: str, text: str) -> None:
        """A short file, as it is."""
        self._exec(f"f=open({'/' + name!r},'w')\nf.write({text!r})\nf.close()")

    def make_folder(self, name: str) -> None:
        self._exec(f"import os\ntry:\n os.mkdir({'/' + name!r})\nexcept OSError:\n pass")

    def leave(self, code: str) -> None:
        """Code after which the board is gone: it is not waited for. The port is closed."""
        with contextlib.suppress(Failure), self._speaking():
            self._transport.exec_raw_no_follow(code)
            time.sleep(INTERRUPT_S)
        with contextlib.suppress(Exception):
            self._transport.close()

    def restart(self) -> None:
        """The board starts as with its power; where it cannot, its interpreter does. The port is closed."""
        if self.about.resets:
            self.leave("import machine\nmachine.reset()")
            return
        with contextlib.suppress(Exception):
            self._transport.exit_raw_repl()
            self._transport.serial.write(b"\x04")
            self._transport.close()


def _no_port(port: str) -> str:
    if not Path(port).exists():
        return f"There is no port {port}: `quantrac station scan` lists those that are there."
    return f"{port} cannot be opened: another program may have it (the gateway, a terminal), or you may not."
