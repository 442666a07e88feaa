"""What a real device says on its link and what it is told, as the ledger hears of it.

Rule 1: a reading was made when its frame left the device for the first time: bytes are looked at before the
        wire, so that nothing of what the wire does to them shows here. What a device kept to itself and lost
        with its power is not known here; what its instruments had answered is (Answers, in polled.py).
Rule 2: it truly was when an instrument answered so: the next answer of its channel with the same bits. Of a
        reading without a value only the device knows; while it has not been told the time, nobody.
Rule 3: a value that no instrument has answered is a note, and so is a record that is left out, is sent again
        with another content, or sums up readings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protocol import framing, messages
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from protocol.messages import Ack, Hello, Readings, Summary, Welcome
from protocol.reading import bits_float
from protocol.session import span
from simulator.ledger import UNPLACED_MS, Ledger
from tools.scenario.notes import STRANGE, Note
from tools.scenario.polled import Answers

_Record = tuple[int, int | None] | None
"""(number of the channel, bits of its value) of a reading; None: of anything else."""


class Heard:
    """`symbols`: what the gateway calls a quantity of the device; `answers`: of its instruments, by that."""

    def __init__(
        self,
        name: str,
        key: bytes,
        ledger: Ledger,
        symbols: Mapping[str, str],
        answers: Mapping[str, Answers],
        true_ms: Callable[[], int],
        note: Callable[[Note], None],
    ) -> None:
        self._name, self._ledger, self._symbols, self._answers = name, ledger, symbols, answers
        self._true_ms, self._note = true_ms, note
        self._mac = Mac0(name, key)
        self._made: dict[int, list[_Record]] = {}  # boot -> records by sequence - 1
        self._names: list[str] = []  # the channels of the newest greeting
        self._places = dict.fromkeys(answers, 0)  # of the next answer that may be a reading
        self.connected()

    def connected(self) -> None:
        """The device has opened its link anew."""
        self._up, self._down = framing.Decoder(), framing.Decoder()

    def said(self, data: bytes) -> None:
        """Bytes from the device."""
        for body in self._up.feed(data):
            message = messages.decode(self._mac.open(body))
            if isinstance(message, Hello):
                self._names = [self._symbols.get(str(one[0]), str(one[0])) for one in message.channels]
            elif (named := span(message)) is not None:
                self._take(message, *named)

    def told(self, data: bytes) -> None:
        """Bytes to the device; what it does not accept it was not told."""
        for body in self._down.feed(data):
            try:
                message = messages.decode(self._mac.open(body), True)
            except ProtocolError:
                continue
            if isinstance(message, Ack | Welcome) and message.boot in self._made:
                self._ledger.acknowledged(self._name, message.boot, message.seq)

    def _take(self, message: Any, boot: int, first: int, last: int) -> None:
        made = self._made.setdefault(boot, [])
        if isinstance(message, Summary):
            self._strange(f"sums up readings from {first} to {last} of boot {boot}")
        if first > len(made) + 1:
            self._strange(f"leaves out records {len(made) + 1} to {first - 1} of boot {boot}")
        while len(made) < first - 1:
            self._made_one(boot, None, UNPLACED_MS)
        for place in range(last + 1 - first):
            record, said_ms = None, UNPLACED_MS
            if isinstance(message, Readings):
                number, offset_ms, bits, _, _ = message.rows[place]
                record = number, bits
                said_ms = message.base_ms + offset_ms if message.clock else UNPLACED_MS
            if first + place > len(made):
                self._made_one(boot, record, said_ms)
            elif made[first + place - 1] != record:
                self._strange(f"sends record {first + place} of boot {boot} again, and it is another")

    def _made_one(self, boot: int, record: _Record, said_ms: int) -> None:
        made = self._made[boot]
        made.append(record)
        if record is None:
            self._ledger.passed(self._name, boot, len(made))
            return
        symbol, bits = self._names[record[0]], record[1]
        at_ms = said_ms if bits is None else self._answered(symbol, bits)
        value = None if bits is None else bits_float(bits)
        self._ledger.emitted(self._name, boot, len(made), at_ms, symbol, value)

    def _answered(self, symbol: str, bits: int) -> int:
        """When an instrument did (rule 2)."""
        answers = self._answers[symbol]
        for place in range(self._places[symbol], len(answers.times)):
            if answers.bits[place] == bits:
                self._places[symbol] = place + 1
                return answers.times[place]
        self._strange(f"reads {bits_float(bits)} of {symbol}, which no instrument has answered")
        return self._true_ms()

    def _strange(self, what: str) -> None:
        self._note(Note(STRANGE, f"{self._name} {what}"))
