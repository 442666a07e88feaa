"""What truly happened, noted where it did: readings made, acknowledged, visible. From it the seven numbers.

    attempts      readings made
    acknowledged  of these, those that the device was told are on disk
    ok            of these, those that are in the journal once, with the value that was measured
    lost          of these, those that are not there
    unexpected    there and never measured: an unknown number, another channel, another value
    duplicated    there twice; or a document twice at a destination
    recovered     waited for an acknowledgement when a fault began or ended, and are there

Rule 1: it is told by whoever makes a reading and by whoever receives a document, never by the gateway.
Rule 2: a reading is (device, boot, sequence), as on the wire: sequences of a boot are 1, 2, 3 ... Real
        firmware numbers its events among them: such a record has a place here, and is not counted.
Rule 3: values are compared as float32 bits, for such is the wire.
Rule 4: a destination that delivers at least once (a broker) may get the same bytes under the same id again;
        other bytes under that id are a double everywhere.

tools/demo/ledger.py is another idea: lines on disk by which a demo that was killed counts what its earlier
runs did, of counters that the parts give. This one is in memory and knows every single reading.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from protocol.reading import float_bits

Boot = tuple[str, int]
"""(device, boot)"""


class Row(NamedTuple):
    """A reading as a journal holds it; `value` is None where it is only a reason."""

    device: str
    boot: int
    sequence: int
    t_ms: int
    channel: str
    value: float | None


UNPLACED_MS = -1
"""Time of a row that nobody could place in time yet."""


NO_READING = 0xFFFF
"""In the place of a channel: a record that is something else."""


class Arrival(NamedTuple):
    """A document that became visible at a destination."""

    destination: str
    id: str  # a file's name, a message's id
    digest: str
    t_ms: int


@dataclass(frozen=True)
class Numbers:
    """The seven; `examples` are a few sentences about those that must be 0."""

    attempts: int = 0
    acknowledged: int = 0
    ok: int = 0
    lost: int = 0
    unexpected: int = 0
    duplicated: int = 0
    recovered: int = 0
    examples: tuple[str, ...] = ()


class _Made:
    """The readings of a boot, by sequence - 1."""

    def __init__(self) -> None:
        self.times = array("q")
        self.channels = array("H")
        self.bits = array("q")  # -1: no value
        self.acknowledged = 0


EXAMPLES_MAX = 10


class Ledger:
    """`at_least_once`: the destinations of rule 4."""

    def __init__(self, at_least_once: Iterable[str] = ("national",)) -> None:
        self.arrivals: list[Arrival] = []
        self._at_least_once = frozenset(at_least_once)
        self._made: dict[Boot, _Made] = {}
        self._channels: dict[str, int] = {}
        self._waiting: dict[Boot, list[tuple[int, int]]] = {}  # (first, last) at the edges of faults

    # ---- what is told

    def emitted(
        self, device: str, boot: int, sequence: int, t_ms: int, channel: str, value: float | None
    ) -> None:
        """A device made this reading; `t_ms`: when it truly was. ValueError for a sequence out of order."""
        number = self._channels.setdefault(channel, len(self._channels))
        self._note(device, boot, sequence, t_ms, number, -1 if value is None else float_bits(value))

    def passed(self, device: str, boot: int, sequence: int) -> None:
        """A device made a record of this number that is no reading. ValueError as emitted()."""
        self._note(device, boot, sequence, UNPLACED_MS, NO_READING, -1)

    def _note(self, device: str, boot: int, sequence: int, t_ms: int, channel: int, bits: int) -> None:
        made = self._made.setdefault((device, boot), _Made())
        if sequence != len(made.times) + 1:
            raise ValueError(f"{device}, boot {boot}: reading {sequence} comes after {len(made.times)}")
        made.times.append(t_ms)
        made.channels.append(channel)
        made.bits.append(bits)

    def acknowledged(self, device: str, boot: int, up_to: int) -> None:
        """The device was told that all up to here are on disk, and all of the boots before."""
        for (name, number), made in self._made.items():
            if name == device and number < boot:
                made.acknowledged = len(made.times)
        made = self._made.setdefault((device, boot), _Made())
        made.acknowledged = max(made.acknowledged, up_to)

    def edge(self) -> None:
        """A fault begins or ends now: what is not acknowledged at this moment waits for it."""
        for boot, made in self._made.items():
            if made.acknowledged < len(made.times):
                self._waiting.setdefault(boot, []).append((made.acknowledged + 1, len(made.times)))

    def arrived(self, destination: str, id: str, digest: str, t_ms: int) -> None:
        """A document is visible there now."""
        self.arrivals.append(Arrival(destination, id, digest, t_ms))

    # ---- what is asked

    def readings(self, device: str | None = None) -> Iterator[Row]:
        """All that were made (of a device), boot by boot; without their values."""
        names = list(self._channels)
        for (name, boot), made in self._made.items():
            if device in (None, name):
                for place, t_ms in enumerate(made.times):
                    if made.channels[place] != NO_READING:
                        yield Row(name, boot, place + 1, t_ms, names[made.channels[place]], None)

    def missing(self, rows: Iterable[Row]) -> int:
        """How many that were made are not among these rows, acknowledged or not."""
        held = {(row.device, row.boot, row.sequence) for row in rows}
        return sum((row.device, row.boot, row.sequence) not in held for row in self.readings())

    def astray(self, rows: Iterable[Row], within_ms: int) -> list[Row]:
        """Rows whose time is further than this from when they truly were measured."""
        found = []
        for row in rows:
            made, place = self._made.get((row.device, row.boot)), row.sequence - 1
            if (
                made is None
                or not 0 <= place < len(made.times)
                or UNPLACED_MS in (row.t_ms, made.times[place])
            ):
                continue
            if abs(made.times[place] - row.t_ms) > within_ms:
                found.append(row)
        return found

    def numbers(self, rows: Iterable[Row]) -> Numbers:
        """The seven, of what the journal holds now and what has arrived."""
        counts = {boot: bytearray(len(made.times)) for boot, made in self._made.items()}
        wrong, doubled, examples = 0, 0, []
        good = {boot: bytearray(len(made.times)) for boot, made in self._made.items()}
        for row in rows:
            found = counts.get((row.device, row.boot))
            place = row.sequence - 1
            if found is None or not 0 <= place < len(found):
                wrong += 1
                examples.append(f"{_named(row)} was never made")
                continue
            doubled += found[place] > 0
            if found[place]:
                examples.append(f"{_named(row)} is in the journal twice")
            found[place] = min(255, found[place] + 1)
            if self._is(row):
                good[row.device, row.boot][place] = 1
            else:
                wrong += 1
                examples.append(f"{_named(row)} was not {row.channel} {row.value}")
        lost = ok = acknowledged = 0
        for boot, made in self._made.items():
            upto = min(made.acknowledged, len(made.times))
            acknowledged += made.acknowledged - made.channels[:upto].count(NO_READING)
            there = counts[boot]
            gone = [p for p in range(upto) if not there[p] and made.channels[p] != NO_READING]
            lost += len(gone) + made.acknowledged - upto
            examples += [f"{boot[0]}, boot {boot[1]}, reading {place + 1} is lost" for place in gone[:3]]
            ok += sum(there[place] == 1 and good[boot][place] for place in range(upto))
        twice = self._doubled()
        examples += twice
        return Numbers(
            attempts=sum(len(made.times) - made.channels.count(NO_READING) for made in self._made.values()),
            acknowledged=acknowledged,
            ok=ok,
            lost=lost,
            unexpected=wrong,
            duplicated=doubled + len(twice),
            recovered=self._recovered(counts),
            examples=tuple(examples[:EXAMPLES_MAX]),
        )

    def _is(self, row: Row) -> bool:
        """Whether it is what was measured."""
        made, place = self._made[row.device, row.boot], row.sequence - 1
        bits = -1 if row.value is None else float_bits(row.value)
        return made.channels[place] == self._channels.get(row.channel) and made.bits[place] == bits

    def _doubled(self) -> list[str]:
        """A sentence for each document that became visible again, but for what rule 4 allows."""
        seen: dict[tuple[str, str], str] = {}
        found = []
        for one in self.arrivals:
            key = (one.destination, one.id)
            if key not in seen:
                seen[key] = one.digest
            elif seen[key] != one.digest:
                found.append(f"{one.id} came to {one.destination} again, with other bytes")
            elif one.destination not in self._at_least_once:
                found.append(f"{one.id} came to {one.destination} again")
        return found

    def _recovered(self, counts: dict[Boot, bytearray]) -> int:
        found = 0
        for boot, spans in self._waiting.items():
            places = {place for first, last in spans for place in range(first - 1, last)}
            found += sum(counts[boot][place] > 0 for place in places)
        return found


def _named(row: Row) -> str:
    return f"{row.device}, boot {row.boot}, reading {row.sequence}"
