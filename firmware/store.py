# Records that the gateway has not acknowledged yet: a ring of packed records, allocated once at start, in
# pieces, so that no single large block is asked of a heap that compiling has left in holes.
#
# Rule 1: a record gets the next sequence number of this boot when it is put, from 1, without a hole.
# Rule 2: nothing is freed before release(), except when the ring is full: then the oldest record goes and is
#         counted, and the next release() that makes room puts a DISCARDED event that names the numbers that
#         are gone.
# Rule 3: batch() never mixes clock states, and ends where time runs backwards: an offset is never negative.
#
# It is the store that protocol/session.py asks: first, batch, release. The memory is lost at a reset; what
# outlives one is the business of issue 4, behind the same three functions.

import struct

from protocol import messages

ROWS_MAX = 24  # a row takes at most 18 bytes of a 1,024-byte frame that also holds 100 bytes of head and tag
OFFSET_MAX_MS = 0x3FFFFFFF  # a small int on every runtime
DETAILS_MAX = 64  # event texts; beyond it the oldest text is dropped, never the event
DETAIL_CHARS_MAX = 160  # must fit a frame, whatever letters it is made of

# A record: channel or event kind, quality and flags, calibration, raw bits, time in ms.
_RECORD = "<BBHIQ"
_SIZE = struct.calcsize(_RECORD)
_RUNNING_BYTES = 1024  # a frame, the longest single thing that is ever made
_RUNNING_PIECES = (
    32  # tasks, a bus's answers, a frame in its four stages: 30 KB on a 64-bit machine, half on a board
)
_PIECE = 16  # records in one bytearray: 256 bytes fit the holes that large allocations leave
_QUALITY = 0x1F
_NO_RAW = 0x20
_EVENT = 0x40
_TOLD = 0x80


# Memory for so many records, as pieces; for fewer, but not for fewer than `least`, when running would
# otherwise be short of memory; None when there is not even that. What is free in a heap that holds live code
# says little: it is scattered, so it is found out by trying, with the blocks that running needs held
# meanwhile.
def pieces(records, least):
    running = []
    found = []
    try:
        for _ in range(_RUNNING_PIECES):
            running.append(bytearray(_RUNNING_BYTES))
    except MemoryError:
        pass
    try:
        while len(found) * _PIECE < records:
            found.append(bytearray(_PIECE * _SIZE))
    except MemoryError:
        pass
    running = None
    if len(found) * _PIECE >= least and found:
        return found
    return None


class Store:
    # ring: of pieces()
    def __init__(self, boot, ring, clock):
        self.boot = boot
        self.capacity = len(ring) * _PIECE
        self.acked = 0  # highest sequence number the gateway holds
        self.discarded = 0
        self.newest_event = 0, ""  # kind, detail
        self.on_put = None  # called after every record: the uplink sleeps until then
        self._clock = clock
        self._pieces = ring
        self._oldest = 1
        self._next = 1
        self._details = {}  # sequence -> text
        self._gone = None  # [first, last] discarded and not yet reported

    @property
    def emitted(self):
        return self._next - 1

    @property
    def held(self):
        return self._next - self._oldest

    # A reading. stamp is Clock.stamp() of the moment its answer came; raw_bits None where there is no value.
    def put(self, channel, stamp, raw_bits, quality, calibration):
        flags = quality if raw_bits is not None else quality | _NO_RAW
        self._append(channel, flags, calibration, raw_bits or 0, stamp)

    # Something that happened, now.
    def event(self, kind, detail):
        if len(self._details) >= DETAILS_MAX:
            del self._details[min(self._details)]
        detail = detail[:DETAIL_CHARS_MAX]
        self.newest_event = kind, detail
        if detail:
            self._details[self._next] = detail
        self._append(kind, _EVENT, 0, 0, self._clock.stamp())

    def _append(self, channel, flags, calibration, raw, stamp):
        if self.held == self.capacity:
            self._discard()
        time_ms, told = stamp
        if told:
            flags |= _TOLD
        piece, at = self._place(self._next)
        struct.pack_into(_RECORD, piece, at, channel, flags, calibration, raw, time_ms)
        self._next += 1
        if self.on_put:
            self.on_put()

    def _place(self, sequence):
        record = (sequence - 1) % self.capacity
        return self._pieces[record // _PIECE], record % _PIECE * _SIZE

    def _record(self, sequence):
        return struct.unpack_from(_RECORD, *self._place(sequence))

    def _discard(self):
        self._details.pop(self._oldest, None)
        if self._gone is None:
            self._gone = [self._oldest, self._oldest]
        else:
            self._gone[1] = self._oldest
        self.discarded += 1
        self._oldest += 1

    # (boot, sequence) of the oldest record held; of the next one when none is held
    def first(self):
        return self.boot, self._oldest

    # The message that begins with exactly this record, or None when it is not held.
    def batch(self, boot, sequence):
        if boot != self.boot or not self._oldest <= sequence < self._next:
            return None
        channel, flags, calibration, raw, base_ms = self._record(sequence)
        told = flags & _TOLD
        if flags & _EVENT:
            detail = self._details.get(sequence, "")
            return messages.Event(boot, sequence, base_ms, 1 if told else 0, channel, detail)
        rows = []
        at = sequence
        last_ms = base_ms
        time_ms = base_ms
        while True:
            rows.append(
                (channel, time_ms - base_ms, None if flags & _NO_RAW else raw, flags & _QUALITY, calibration)
            )
            last_ms = time_ms
            at += 1
            if at == self._next or len(rows) == ROWS_MAX:
                break
            channel, flags, calibration, raw, time_ms = self._record(at)
            if flags & (_EVENT | _TOLD) != told:  # an event, or the other clock state
                break
            if time_ms < last_ms or time_ms - base_ms > OFFSET_MAX_MS:
                break
        return messages.Readings(boot, sequence, base_ms, 1 if told else 0, rows)

    # The gateway holds everything up to here.
    def release(self, boot, sequence):
        if boot != self.boot or sequence >= self._next:
            return
        if sequence > self.acked:
            self.acked = sequence
        while self._oldest <= sequence:
            self._details.pop(self._oldest, None)
            self._oldest += 1
        if self._gone is not None and self.held < self.capacity:
            first, last = self._gone
            self._gone = None
            self.event(messages.DISCARDED, f"{last - first + 1} records, {first} to {last}")
