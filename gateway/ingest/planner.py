"""Which requests a line needs, and what their answers mean. Pure: channels in, plan out.

Rule 1: a poll is everything of one instrument that is due at the same instants: (unit, poll_ms, phase_ms).
Rule 2: within a poll, neighbouring registers share a request: at most 125, holes of at most `gap` read along.
Rule 3: an instrument that answers single values only opts out: `merge = false` on any of its channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.ingest.decoding import BIT_TABLES, Decoder, Row, Value, compile_decoder, size
from protocol.modbus_requests import READ_REGISTERS_MAX, TABLES
from protocol.plan import GAP_REGISTERS, plan
from protocol.profile import ratio


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """One request, and what its answer holds. Every block is itself only: two are never equal."""

    unit: int
    function: int  # Modbus function that reads the table
    address: int
    count: int  # registers, or bits
    answer_bytes: int  # data bytes of the right answer
    channels: tuple[int, ...]
    decode: Decoder

    def without_value(self, time_ms: int, quality: int) -> list[Row]:
        """The rows for an answer that never came, or was none."""
        return [(channel, time_ms, None, quality) for channel in self.channels]


class Poll(NamedTuple):
    """The requests of one instrument that are due together."""

    unit: int
    poll_ms: int
    phase_ms: int  # 0 <= phase_ms < poll_ms
    blocks: tuple[Block, ...]
    channels: tuple[int, ...]


def plan_line(
    channels: Iterable[tuple[int, Any]], *, gap: int = GAP_REGISTERS, max_block: int = READ_REGISTERS_MAX
) -> list[Poll]:
    """The polls of a line, ordered by unit and period.

    `channels` are (index into config.channel, BusSource). `gap` counts registers, as does `max_block`.
    Raises protocol.errors.ConfigError for a value that no request can hold.
    """
    chosen: dict[tuple[int, int, int], list[tuple[int, Any]]] = {}
    single_units = set()
    for index, source in channels:
        poll = (source.unit, source.poll_ms, source.phase_ms % source.poll_ms)
        chosen.setdefault(poll, []).append((index, source))
        if not getattr(source, "merge", True):
            single_units.add(source.unit)
    polls = []
    for (unit, poll_ms, phase_ms), members in sorted(chosen.items()):
        blocks = tuple(_blocks(unit, members, max_block, gap, merge=unit not in single_units))
        polls.append(Poll(unit, poll_ms, phase_ms, blocks, tuple(index for index, _ in members)))
    return polls


def _blocks(
    unit: int, members: list[tuple[int, Any]], max_block: int, gap: int, merge: bool
) -> Iterator[Block]:
    items = [(s.table, s.register, size(s.table, s.type)) for _, s in members]
    for table, address, count, chosen in plan(items, max_block, gap, merge):
        values = [_value(*members[i]) for i in chosen]
        answer_bytes = (count + 7) // 8 if table in BIT_TABLES else 2 * count
        yield Block(
            unit,
            TABLES[table],
            address,
            count,
            answer_bytes,
            tuple(v.channel for v in values),
            compile_decoder(table, address, values),
        )


def _value(index: int, source: Any) -> Value:
    return Value(index, source.register, source.type, source.word_order, *ratio(source.scale), source.offset)
