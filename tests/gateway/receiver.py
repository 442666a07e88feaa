"""A port of what the department's receiving software does, by the pitfalls the format page describes.

It splits at white space, looks fields up by position, and compares symbols exactly. That is why a line of
ours must never have an empty field it does not expect, a space in a symbol, a comma, NaN or a BOM.
"""

from __future__ import annotations

from typing import NamedTuple


class Received(NamedTuple):
    value: float
    error: bool  # status 02
    stamp: str


class Receiver:
    """Takes files; `values` holds what it stored, (stamp, symbol) -> value."""

    def __init__(self, station: str, symbols: set[str]):
        self.station = station
        self.symbols = symbols
        self.newest = ""
        self.values: dict[tuple[str, str], Received] = {}

    def poll(self, files: dict[str, bytes]) -> list[str]:
        """One round over a folder: what it took. A name at or before the newest is never looked at."""
        taken = []
        for name in sorted(files):
            if f"_{self.station}_" in name and name > self.newest:
                self.newest = name
                taken.append(name)
                for symbol, received in self.read(files[name]):
                    self.values[received.stamp, symbol] = received
        return taken

    def read(self, data: bytes) -> list[tuple[str, Received]]:
        rows = []
        for line in data.decode("utf-8").splitlines():
            fields = line.split()
            if len(fields) < 3 or fields[0] not in self.symbols:
                continue
            stamp = next((field for field in fields if len(field) == 14 and field.isdigit()), "")
            status = fields[4] if len(fields) > 4 else "00"
            try:
                value = float(fields[1])
            except ValueError:
                value = 0.0
            rows.append((fields[0], Received(0.0 if status == "02" else value, status == "02", stamp)))
        return rows
