"""An emulated micro:bit: a Cortex-M0 without floating point unit, MicroPython 1.9.2, 32-bit floats, 9 KB.

QEMU runs Debian's firmware image; we speak to its REPL, in paste mode, on the serial port. The interpreter
is older than f-strings and holds little, so a module of protocol/ is taken apart, function by function, and
what people would read (messages of exceptions) is left out. The arithmetic is what arrives unchanged.
"""

from __future__ import annotations

import ast
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = Path("/usr/share/firmware-microbit-micropython/firmware.hex")
START_S = 30.0
ANSWER_S = 60.0
SLICE_BYTES = 16  # then its echo is awaited: the UART has no other flow control
BATCH_CHARS = 240  # what one exchange may hold: the parser takes ten times as much


class OnMicrobit(Exception):
    """The traceback that a piece of code ended with."""


class Microbit:
    """A running machine. `run(code)` executes and returns what it printed."""

    def __init__(self) -> None:
        qemu = shutil.which("qemu-system-arm")
        assert qemu and IMAGE.exists(), (
            "install qemu-system-arm and firmware-microbit-micropython (make servers)"
        )
        self._process = subprocess.Popen(
            [
                *(qemu, "-M", "microbit", "-device", f"loader,file={IMAGE}"),
                *("-nographic", "-serial", "stdio", "-monitor", "none"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._read(b">>> ", START_S)
        self._process.stdin.write(b"import gc\r")
        self._read(b">>> ", START_S)
        self.run(_TRY)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _read(self, end: bytes, seconds: float) -> bytes:
        out = b""
        stop = time.monotonic() + seconds
        while not out.endswith(end):
            left = stop - time.monotonic()
            assert left > 0, f"no answer from the emulated board: {out!r}"
            if select.select([self._process.stdout], [], [], left)[0]:
                data = os.read(self._process.stdout.fileno(), 4096)
                assert data, f"the emulator ended: {out!r}"
                out += data
        return out[: -len(end)]

    def run(self, code: str) -> str:
        """Execute; what was printed. OnMicrobit when it raised."""
        self._process.stdin.write(b"gc.collect()\r")
        self._read(b">>> ", ANSWER_S)
        self._process.stdin.write(b"\x05")
        self._read(b"=== ", ANSWER_S)
        for line in code.encode().splitlines():
            for i in range(0, len(line), SLICE_BYTES):
                self._process.stdin.write(line[i : i + SLICE_BYTES])
                self._read(line[i : i + SLICE_BYTES], ANSWER_S)
            self._process.stdin.write(b"\r")
            self._read(b"\r\n=== ", ANSWER_S)
        self._process.stdin.write(b"\x04")
        printed = self._read(b">>> ", ANSWER_S).decode(errors="replace").replace("\r\n", "\n").lstrip("\n")
        if "Traceback (most recent call last):" in printed:
            raise OnMicrobit(printed)
        return printed

    def load(self, module: str, *names: str) -> None:
        """The top-level statements of protocol/<module>.py; only those that define `names`, when given."""
        for piece in pieces((ROOT / "protocol" / f"{module}.py").read_text(encoding="utf-8"), names):
            self.run(piece)

    def each(self, expressions: list[str]) -> list[str]:
        """repr() of every expression, or the name of the exception, in as few exchanges as fit."""
        answers: list[str] = []
        batch: list[str] = []
        for expression in [*expressions, ""]:
            if not expression or sum(map(len, batch)) + len(expression) > BATCH_CHARS:
                lines = "".join(f"t(lambda:{e})\n" for e in batch)
                answers += self.run(lines).splitlines()
                batch = []
            batch.append(expression)
        assert len(answers) == len(expressions)
        return answers


_TRY = """def t(f):
 try: print(repr(f()))
 except Exception as e: print(repr(e).split('(')[0])
"""


class _Old(ast.NodeTransformer):
    """What MicroPython 1.9.2 does not know, or has no room for."""

    def visit_JoinedStr(self, node):  # f"a{b}" -> "a" + str(b)
        parts = [
            part if isinstance(part, ast.Constant) else ast.Call(ast.Name("str"), [part.value], [])
            for part in node.values
        ]
        text = parts[0]
        for part in parts[1:]:
            text = ast.BinOp(text, ast.Add(), part)
        return text

    def visit_Raise(self, node):
        self.generic_visit(node)
        node.cause = None
        if isinstance(node.exc, ast.Call):  # without its sentence
            node.exc = node.exc.func
        return node


def pieces(source: str, names: tuple[str, ...] = ()) -> list[str]:
    """A module as separate top-level statements, imports of our own left out."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("protocol", "binascii"):
            continue
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            continue
        if names:
            given = getattr(node, "name", None) or getattr(getattr(node, "targets", [None])[0], "id", None)
            if given is not None and given not in names:
                continue
        text = ast.unparse(ast.fix_missing_locations(_Old().visit(node)))
        found.append("\n".join(_narrow(line) for line in text.splitlines()))
    return found


def _narrow(line: str) -> str:
    """One space of indentation instead of four: the source has to fit, too."""
    rest = line.lstrip(" ")
    return " " * ((len(line) - len(rest)) // 4) + rest
