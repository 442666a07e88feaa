"""The boards that our firmware runs on, and what has to be true of one before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

from tools.people import UsageError
from tools.station.flash.board import About
from tools.station.voice import harmless


@dataclass(frozen=True)
class Kind:
    """`port`: as bytecode.py and packages name it. `oldest`: the oldest MicroPython it has run on."""

    port: str
    platforms: tuple[str, ...]
    oldest: tuple[int, int]
    image: str


KINDS = (
    Kind("rp2", ("rp2",), (1, 28), "the board's .uf2"),
    Kind("esp32", ("esp32",), (1, 28), "the board's .bin"),
    # The interpreters of the tests, with 32-bit words and with 64: no board, and the same files.
    Kind("unix", ("webassembly", "linux"), (1, 27), "none"),
)
NAMES = tuple(kind.port for kind in KINDS)


def kind_of(about: About) -> Kind:
    """UsageError when our firmware runs on no such board."""
    for kind in KINDS:
        if about.platform in kind.platforms:
            return kind
    raise UsageError(
        f"This is no board of ours: {harmless(about.machine or about.platform or 'it does not say what')}. "
        "Take an RP2040, an RP2350 or an ESP32."
    )


def check_board(about: About, wanted: str | None) -> Kind:
    """What the board is. UsageError: another interpreter, too old a one, another board than `wanted`."""
    number = harmless(about.number)
    if about.name != "micropython":
        raise UsageError(
            f"This board runs {harmless(about.name)} {number}, not MicroPython: name the image of "
            "MicroPython for it with --image."
        )
    if about.version[:2] < (1, 20):  # before it is asked what it is: old ones cannot say
        raise UsageError(_too_old(number, "1.28"))
    kind = kind_of(about)
    if wanted and wanted != kind.port:
        raise UsageError(
            f"This board is {kind.port} ({harmless(about.machine)}), not {wanted}: take the other board, "
            "or leave --board out."
        )
    if about.version[:2] < kind.oldest:
        oldest = ".".join(str(part) for part in kind.oldest)
        raise UsageError(_too_old(number, oldest))
    return kind


def _too_old(number: str, oldest: str) -> str:
    return (
        f"MicroPython {number} is too old for the firmware, which needs {oldest} or newer: name a newer "
        "image of your board, from micropython.org, with --image."
    )


def check_bytecode(about: About, files: dict[str, bytes]) -> None:
    """UsageError when the board's MicroPython does not load this bytecode."""
    versions = {content[1] for content in files.values() if content[:1] == b"M"}
    if versions != {about.bytecode}:
        made = ", ".join(str(version) for version in sorted(versions)) or "none"
        raise UsageError(
            f"The firmware is bytecode of version {made}, this MicroPython loads {about.bytecode or 'none'}: "
            "name a newer image of your board with --image."
        )
