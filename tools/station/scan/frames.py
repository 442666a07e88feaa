"""Answers of Modbus RTU units, found in what came; everything else is noise. No I/O.

Rule 1: a frame is what has a right check sum. Pauses between bytes say nothing: an adapter has its own.
Rule 2: whoever answered is told by the frame itself, so an answer that comes late is not lost.
Rule 3: our own request, heard again, is an echo and neither noise nor an answer.
"""

from __future__ import annotations

from typing import NamedTuple

from protocol.modbus import EXCEPTION_LENGTH, crc16

FRAME_BYTES_MAX = 256
READS = (1, 2, 3, 4)


class Answer(NamedTuple):
    """One unit's answer: the bytes of its registers or bits, or the code of its exception."""

    unit: int
    function: int
    data: bytes
    exception: int | None = None

    @property
    def words(self) -> tuple[int, ...]:
        """16-bit registers, as they stand on the wire."""
        return tuple(self.data[i] << 8 | self.data[i + 1] for i in range(0, len(self.data) - 1, 2))


class Frames:
    """Feed it what came; `echoes` counts our own requests among it."""

    def __init__(self) -> None:
        self.echoes = 0
        self._sent: list[bytes] = []
        self._held = b""

    def sent(self, request: bytes) -> None:
        """This goes out now, and may be heard again."""
        self._sent = [*self._sent[-3:], request]

    def feed(self, data: bytes) -> tuple[list[Answer], int]:
        """The whole answers so far, and the bytes of noise that stood before them."""
        self._held += data
        answers, noise, at = [], 0, 0
        while at < len(self._held):
            size, answer = self._frame(at)
            if not size:
                at += 1
                continue
            noise += at
            if answer is not None:
                answers.append(answer)
            self._held, at = self._held[at + size :], 0
        if len(self._held) > 2 * FRAME_BYTES_MAX:
            noise += len(self._held) - FRAME_BYTES_MAX
            self._held = self._held[-FRAME_BYTES_MAX:]
        return answers, noise

    def rest(self) -> int:
        """The line is silent: what is held is the rest of nothing. Its bytes."""
        size, self._held = len(self._held), b""
        return size

    @property
    def held(self) -> bytes:
        """What may be the begin of an answer."""
        return self._held

    def _frame(self, at: int) -> tuple[int, Answer | None]:
        """(bytes, answer) of a frame that begins there; (0, None) when none does."""
        held = self._held
        for request in self._sent:
            if held.startswith(request, at):
                self.echoes += 1
                return len(request), None
        if len(held) - at < EXCEPTION_LENGTH:
            return 0, None
        function = held[at + 1]
        if function & 0x7F not in READS:
            return 0, None
        size = EXCEPTION_LENGTH if function & 0x80 else EXCEPTION_LENGTH + held[at + 2]
        frame = held[at : at + size]
        if len(frame) < size or crc16(frame[:-2]) != frame[-2] | frame[-1] << 8:
            return 0, None
        if function & 0x80:
            return size, Answer(frame[0], function & 0x7F, b"", frame[2])
        return size, Answer(frame[0], function, frame[3:-2])
