"""How a serial line is set, and in which order settings are worth a try.

Rule 1: what the profiles of our instruments state comes first, the most stated before the others; then what
        is usual elsewhere. The profiles say what an instrument has when it leaves the factory.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from protocol.modbus import silence_us
from protocol.profile import BAUDS, Profile
from tools.people import UsageError

BITS = 8
PARITIES = ("N", "E", "O")


class Setting(NamedTuple):
    """Speed, parity (N, E, O) and stop bits; always eight data bits, as Modbus RTU has them."""

    baud: int
    parity: str
    stopbits: int

    def __str__(self) -> str:
        return f"{self.baud}-{BITS}{self.parity}{self.stopbits}"

    @property
    def char_s(self) -> float:
        """The time of one byte on the line."""
        return (1 + BITS + (self.parity != "N") + self.stopbits) / self.baud

    @property
    def silence_s(self) -> float:
        """The quiet time that ends a frame."""
        return silence_us(self.baud) / 1e6


COMMON = (
    Setting(9600, "N", 1),
    Setting(19200, "E", 1),  # what "Modbus over Serial Line" V1.02, 2.3.1, demands as the default
    Setting(9600, "E", 1),
    Setting(19200, "N", 1),
)
"""Where every address is asked, whether or not anybody has answered there."""

UNCOMMON = (
    (4800, "N", 1), (38400, "N", 1), (57600, "N", 1), (115200, "N", 1), (115200, "E", 1), (38400, "E", 1),
    (4800, "E", 1), (19200, "O", 1), (9600, "O", 1), (9600, "N", 2), (19200, "N", 2), (2400, "N", 1),
)  # fmt: skip


def usual(profiles: list[Profile]) -> list[Setting]:
    """The settings that are tried unless somebody says otherwise, likely ones first."""
    stated = Counter(
        Setting(p.link.baud, p.link.parity, p.link.stopbits)
        for p in profiles
        if {"baud", "parity", "stopbits"} <= set(p.link.stated) and p.link.baud in BAUDS
    )
    ordered = [setting for setting, _ in stated.most_common()]
    return list(dict.fromkeys([*ordered, *COMMON, *(Setting(*one) for one in UNCOMMON)]))


def every() -> list[Setting]:
    """All that Modbus RTU instruments are set to, in the order of their speed."""
    ways = (("N", 1), ("E", 1), ("O", 1), ("N", 2))
    return [Setting(baud, *way) for baud in BAUDS for way in ways]


def parse(text: str) -> list[Setting]:
    """Settings as a person writes them: 9600-8N1,19200-8E1. UsageError naming the one that is none."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)[-/ ]?8([NEO])([12])", part.strip().upper())
        if not match or not 300 <= int(match[1]) <= 4_000_000:
            raise UsageError(f'"{part.strip()}" is no setting of a serial line: write 9600-8N1,19200-8E1.')
        found.append(Setting(int(match[1]), match[2], int(match[3])))
    return list(dict.fromkeys(found))


def parse_units(text: str) -> list[int]:
    """Addresses as a person writes them: 1-32,247. UsageError naming the part that is none."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= 247:
            raise UsageError(f'"{part.strip()}" are no addresses of units: write 1-32,247 (1 to 247).')
        found += range(low, high + 1)
    return sorted(set(found))


def spans(units: list[int]) -> str:
    """Addresses for people: 1-32, 247."""
    parts: list[list[int]] = []
    for unit in sorted(set(units)):
        if parts and parts[-1][1] == unit - 1:
            parts[-1][1] = unit
        else:
            parts.append([unit, unit])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
