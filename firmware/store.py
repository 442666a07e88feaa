# Records that the gateway has not acknowledged yet: in memory, and on flash when it is silent.
#
# Rule 1: a record gets the next number of this boot when it is put, from 1, without a hole.
# Rule 2: nothing is freed before release(), except when there is no room: then the oldest goes, is counted,
#         and a DISCARDED event names it at the next release(). Before a segment is deleted unsent, GONE_FILE
#         says so, until the event is acknowledged: a power cut at the wrong moment makes the event come
#         twice, never not at all. What cannot be read back from flash is treated in the same way.
# Rule 3: batch() never mixes clock states, and ends where time runs backwards: an offset is never negative.
# Rule 4: what is in memory only, a power cut takes: while the gateway is silent that is what was put in the
#         last AGE_MS (twice that when acknowledgements trickle); fewer after BATCH records or half of the
#         memory; and the minute under way while thinning. flush_soon() shortens it to the next idle gap of
#         the bus.
# Rule 5: records of former boots come first, then those of this boot on flash, then those in memory: the
#         order of their names. A boot number that is on flash is never used again: ours is above them all.
# Rule 6: flash is written and deleted in run() only, through the arbiter. When it fails, memory goes on alone
#         and the flash is tried again, at distances that double up to RETRY_MS_MAX.
# Rule 7: what was put stays as it was put. A text for which there is no room any more is left out as its
#         event is put. Where there is a sealer, the first record of each boot is a SEAL, and one stands
#         before and behind DISCARDED events, so that they are proved whatever went before, or comes after.
#
# It is the store that protocol/session.py asks: first, batch, release. The ring is allocated once at start,
# in pieces, so that no single large block is asked of a heap that compiling has left in holes.

import json
import struct
import sys

from firmware.lazy import call
from firmware.pack import EVENT, NO_RAW, QUALITY, SPAN, SUMMARY, TOLD
from firmware.segments import BATCH, Segments
from protocol import messages
from protocol._compat import const
from protocol.quality import has_value

ROWS_MAX = const(48)  # a row takes at most 18 bytes of a frame of 1,024: see uplink.py, rule 7
OFFSET_MAX_MS = const(0x3FFFFFFF)  # a small int on every runtime
DETAILS_MAX = const(4096)  # bytes of event texts in memory; what is beyond is left out, never the events
_NEEDED = (messages.START, messages.DISCARDED, messages.CLOCK_SET)  # few, short, and read by the gateway
RESERVE = const(147456)  # bytes of flash: a package that is being received, 128 KB, and 16 KB for small files

SILENT_MS = const(10000)  # the oldest record waits so long for its acknowledgement, which takes 8 s at work
AGE_MS = const(12000)  # (uplink.py, session.py): full batches go to flash then; after so long all there is
THIN_SILENT_MS = const(60000)  # no thinning before the link was silent for so long
RETRY_MS_MAX = const(600000)
GONE_FILE = (
    "state/gone"  # [boot, number up to which all is gone, ranges, ranges told, boot, first, last event]
)
_TICK_MS = const(250)
_FLUSH = const(1)
_REMOVE = const(2)
_NOTE = const(3)
_RANGES = const(8)

# A record: channel or event kind, flags, calibration, raw bits, time in ms (pack.py).
_RECORD = "<BBHIQ"
_SIZE = struct.calcsize(_RECORD)
_RUNNING_BYTES = const(1024)  # a frame, the longest single thing that is ever made
# Pieces that running needs at least: tasks, answers, frames in their stages; and with all that is loaded
# later, an update that is checked meanwhile, and room between fragments. Half of them on 32 bits.
_RUNNING_PIECES = 32 if sys.maxsize >> 31 else 16
_ROOM_PIECES = 80 if sys.maxsize >> 31 else 40
_SEAL = ">II32s32s"  # protocol.seal.BODY, which only a device with a seal key loads
_PIECE = const(16)  # records in one bytearray: 256 bytes fit the holes that large allocations leave


# Memory for so many records, as pieces; for fewer, but not for fewer than `least`, when running would
# otherwise be short of memory; None when there is not even that. What is free in a heap that holds live code
# says little: it is scattered, so it is found out by trying, with the blocks that running needs held
# meanwhile.
def pieces(records, least):
    running = []
    found = []
    try:
        for _ in range(_ROOM_PIECES):
            running.append(bytearray(_RUNNING_BYTES))
    except MemoryError:
        records = least
    while len(found) * _PIECE < records:
        try:
            found.append(bytearray(_PIECE * _SIZE))
        except MemoryError:
            if len(found) * _PIECE >= least or len(running) <= _RUNNING_PIECES:
                break
            running.pop()
    if len(found) * _PIECE >= least and found:
        return found
    return None


class Store:
    # ring: of pieces(). thin_at: percent of the flash from which on readings are thinned; 100: never
    # sealer: a Sealer, or None: nothing is sealed
    def __init__(self, boot, ring, clock, files=None, arbiter=None, reserve=RESERVE, thin_at=50, sealer=None):
        self.boot = boot  # raised when flash holds it already: whoever gave it takes this one
        self.capacity = len(ring) * _PIECE
        self.acked = 0  # highest number of this boot that the gateway holds
        self.discarded = 0
        self.flushed = 0  # records on flash that the gateway does not hold
        self.flash_faults = 0
        self.thinned = 0
        self.newest_event = 0, ""  # kind, detail
        self.on_put = None  # called after every record, with whether it is urgent: it wakes the uplink
        self.sealer = sealer
        self._clock = clock
        self._pieces = ring
        self._files = files
        self._arbiter = arbiter
        self._thin_at = thin_at
        self._oldest = 1  # in memory
        self._next = 1
        self._details = {}  # number of an event -> detail
        self._spans = {}  # number of a summary -> the rest of it
        self._done = 0, 0  # on flash up to here nothing is to be sent any more
        self._gone = []  # [records, boot, number, to boot, number] discarded and not yet reported
        self._told = []  # the same, reported by events that are not acknowledged ...
        self._told_at = 0, 0, 0  # ... (boot, number of the first, of the last)
        self._noted = False  # they stand in GONE_FILE, ...
        self._stale = False  # ... or did
        self._mark = 0  # the newest record ...
        self._mark_at = 0  # ... at this moment
        self._silent_ms = 0  # since the gateway was heard
        self._urgent = False
        self._wait_ms = 0  # after an error: how long the flash is left alone ...
        self._wait_at = 0  # ... from here
        self._job = 0
        self._thin = None
        self._segments = None
        fault = None
        if files:
            try:
                segments = Segments(files)
                call("firmware.moving", "start", self, segments, files, reserve)
                self._segments = segments
                self._count()
            except OSError as error:
                fault = error
        if sealer:
            self.seal()
        if fault:
            self._fault(fault)
            call("firmware.moving", "apart", files, 0, 0)

    @property
    def emitted(self):
        return self._next - 1

    @property
    def held(self):
        return self.flushed + self._next - self._oldest

    @property
    def flash_bytes(self):
        return self._segments.used if self._segments else 0

    # A reading. stamp is Clock.stamp() of the moment its answer came; raw_bits None where there is no value.
    def put(self, channel, stamp, raw_bits, quality, calibration):
        flags = quality if raw_bits is not None else quality | NO_RAW
        if self._thin is None or not self._thin.put(channel, stamp, raw_bits or 0, flags, calibration):
            self._append(channel, flags, calibration, raw_bits or 0, stamp)

    # Something that happened, now. detail: text, or what else CBOR carries.
    def event(self, kind, detail):
        if isinstance(detail, str) and len(detail.encode()) > messages.TEXT_MAX:
            data = detail.encode()[: messages.TEXT_MAX]
            while data[-1] & 0xC0 == 0x80:  # not through a letter
                data = data[:-1]
            detail = (data[:-1] if data[-1] & 0x80 else data).decode()
        self.newest_event = kind, detail
        if detail and (kind in _NEEDED or self._room(64 + len(detail.encode()))):
            self._details[self._next] = detail
        self._append(kind, EVENT, 0, 0, self._clock.stamp())

    # Whether memory has room for an event that says so many bytes.
    def _room(self, size):
        for kept in self._details.values():
            size += 64 + len(kept if isinstance(kept, bytes) else str(kept).encode())
        return size <= DETAILS_MAX

    # A SEAL over all records so far: an event of kind 0, as far as memory and flash are concerned.
    def seal(self, needed=False):
        if needed or self._room(messages.TEXT_MAX):  # else later, over more
            stamp = self._clock.stamp()
            self._details[self._next] = self.sealer.make(self.boot, self._next, stamp, self._clock.ticks())
            self._append(0, EVENT, 0, 0, stamp)

    # The same when there is anything new, before an end that one sees coming.
    def seal_rest(self, needed=False):
        if self.sealer and self.sealer.newest < self._next - 1:
            self.seal(needed)

    def _append(self, channel, flags, calibration, raw, stamp, more=None):
        if self._next - self._oldest == self.capacity:
            self._lose(self.boot, self._oldest, self._oldest)
            self._free(self._oldest)
        time_ms, told = stamp
        if told:
            flags |= TOLD
        if more:
            self._spans[self._next] = more
            self.thinned += struct.unpack(SPAN, more)[2]
        piece, at = self._place(self._next)
        struct.pack_into(_RECORD, piece, at, channel, flags, calibration, raw, time_ms)
        if self.sealer:
            more = more or self._details.get(self._next, "" if flags & EVENT else None)
            self.sealer.add(self._next, channel, flags, calibration, raw, time_ms, more)
        self._next += 1
        if self.on_put:
            self.on_put(flags & SUMMARY == EVENT and channel)  # a SEAL, of kind 0, has time

    def _place(self, number):
        record = (number - 1) % self.capacity
        return self._pieces[record // _PIECE], record % _PIECE * _SIZE

    # A record in memory, as pack.py describes it.
    def _ring(self, number):
        record = struct.unpack_from(_RECORD, *self._place(number))
        kind = record[1] & SUMMARY
        more = None
        if kind == EVENT:
            more = self._details.get(number, "")
        elif kind == SUMMARY:
            more = self._spans[number]
        return record + (more,)  # noqa: RUF005 (cheaper)

    # Out of memory, up to there.
    def _free(self, number):
        while self._oldest <= number:
            self._details.pop(self._oldest, None)
            self._spans.pop(self._oldest, None)
            self._oldest += 1

    # These are gone without having been sent.
    def _lose(self, boot, first, last):
        n = last - first + 1
        self.discarded += n
        its_boot, its_first, its_last = self._told_at
        if self._told and its_boot == boot and first <= its_last and last >= its_first:  # what tells goes too
            self._gone = self._told + self._gone
            self._told = []
        gone = self._gone
        if gone and (len(gone) == _RANGES or gone[-1][3:] == [boot, first - 1]):
            gone[-1][0] += n
            gone[-1][3:] = [boot, last]
        else:
            gone.append([n, boot, first, boot, last])

    # What is still to be sent of an entry of the flash: from this number on.
    def _from(self, entry):
        boot, first, last, _ = entry
        if boot != self._done[0]:
            return first if boot > self._done[0] else last + 1
        return max(first, min(self._done[1], last) + 1)

    def _count(self):
        self.flushed = 0
        if self._segments:
            self.flushed = sum([entry[2] + 1 - self._from(entry) for entry in self._segments.entries])

    # ---- what the session asks

    # (boot, number) of the oldest record held; of the next one when none is held
    def first(self):
        if self._segments and self.flushed:
            for entry in self._segments.entries:
                number = self._from(entry)
                boot, _, last, _ = entry
                if number > last:
                    continue
                at = self._segments.find(boot, number)
                if at is not None and at > number:
                    self._lose(boot, number, at - 1)
                    self._done = boot, at - 1
                    self._stale = True
                    self._count()
                if at is None or at <= last:
                    return boot, at or number
        return self.boot, self._oldest

    def _get(self, boot, number):
        if boot == self.boot and number >= self._oldest:
            return self._ring(number) if number < self._next else None
        if self._segments and (boot, number) > self._done:
            return self._segments.get(boot, number)
        return None

    # The message that begins with exactly this record, or None when it is not held.
    def batch(self, boot, sequence):
        record = self._get(boot, sequence)
        if record is None:
            return None
        _, begun, _, _, base_ms, more = record
        clock = 1 if begun & TOLD else 0
        kind = begun & SUMMARY
        if kind == EVENT:
            if not record[0]:
                return messages.Seal(boot, sequence, base_ms, clock, *struct.unpack(_SEAL, more))
            return messages.Event(boot, sequence, base_ms, clock, record[0], more)
        last_ms = base_ms
        at = sequence
        if kind == SUMMARY:
            rows = []
            span_ms = struct.unpack(SPAN, more)[3]
            while record and len(rows) < messages.SUMMARIES_MAX:
                channel, flags, calibration, raw, time_ms, more = record
                if (flags ^ begun) & TOLD or flags & SUMMARY != SUMMARY or time_ms != base_ms:
                    break
                minimum, maximum, count, its_ms = struct.unpack(SPAN, more)
                if its_ms != span_ms:
                    break
                flags &= QUALITY
                if not has_value(flags):
                    raw = minimum = maximum = None
                rows.append((channel, raw, minimum, maximum, count, flags, calibration))
                at += 1
                record = self._get(boot, at)
            return messages.Summary(boot, sequence, base_ms, clock, span_ms, rows)
        # As long as it can become, before its rows fill the heap's holes: one that grows wants larger ones.
        rows = [record] * (ROWS_MAX if boot != self.boot else min(ROWS_MAX, self._next - sequence))
        while record and at - sequence < len(rows):
            channel, flags, calibration, raw, time_ms, _ = record
            if (flags ^ begun) & TOLD or flags & SUMMARY not in (0, NO_RAW):
                break
            if time_ms < last_ms or time_ms - base_ms > OFFSET_MAX_MS:
                break
            last_ms = time_ms
            raw = None if flags & NO_RAW else raw
            rows[at - sequence] = channel, time_ms - base_ms, raw, flags & QUALITY, calibration
            at += 1
            record = self._get(boot, at)
        del rows[at - sequence :]
        return messages.Readings(boot, sequence, base_ms, clock, rows)

    # The gateway holds everything up to here.
    def release(self, boot, sequence):
        if boot > self.boot or (boot == self.boot and sequence >= self._next):
            return
        if (boot, sequence) > self._done:
            if self._files and not self._segments and boot < self.boot:
                call("firmware.moving", "apart", self._files, boot, sequence)
            self._done = boot, sequence
            self._silent_ms = 0
            self._count()
        if boot == self.boot:
            self.acked = max(self.acked, sequence)
            self._free(sequence)
        if self._told and (boot, sequence) >= (self._told_at[0], self._told_at[2]):
            self._told = []
            self._stale = self._noted
        if self._gone and not self._told and self._next - self._oldest < self.capacity:
            self.seal_rest(True)
            first = self._next
            self._told = self._gone
            self._told_at = self.boot, first, first + len(self._gone) - 1
            self._gone = []
            for n, boot, number, to_boot, to in self._told:
                since = f" of boot {boot}" if boot != to_boot else ""
                self.event(messages.DISCARDED, f"{n} records, {number}{since} to {to} of boot {to_boot}")
            self.seal_rest(True)
            self._told_at = self.boot, first, self._next - 1
            self._stale = self._noted

    # The newest reading of each channel, as far as memory has it: (base time, clock, rows) of a Now, or None.
    def recent(self):
        rows = []
        seen = []
        base_ms = told = 0
        for number in range(self._next - 1, max(0, self._next - 1 - min(self.capacity, 64)), -1):
            piece, at = self._place(number)
            channel, flags, calibration, raw, time_ms = struct.unpack_from(_RECORD, piece, at)
            if flags & EVENT or channel in seen or len(rows) == ROWS_MAX:
                continue
            if not rows:
                base_ms, told = time_ms, flags & TOLD
            if flags & TOLD == told and 0 <= base_ms - time_ms <= OFFSET_MAX_MS:
                seen.append(channel)
                raw = None if flags & NO_RAW else raw
                rows.append((channel, time_ms - base_ms, raw, flags & QUALITY, calibration))
        return (base_ms, 1 if told else 0, rows) if rows else None

    # What is stored makes the firmware fail: out of the way, for somebody to look at.
    def set_aside(self):
        if self._segments:
            for entry in self._segments.entries:
                number = self._from(entry)
                if number <= entry[2]:
                    self._lose(entry[0], number, entry[2])
            self._segments = None
            self._count()
            call("firmware.crashes", "set_aside", self._files, self.boot, True)
            self.event(
                messages.FLASH_FAULT,
                f"stored records make the firmware fail: set aside as log.{self.boot:08x}",
            )

    # Acknowledgements come: the link is there.
    def link_heard(self):
        self._silent_ms = 0

    # The mains have gone, or a planned restart is near.
    def flush_soon(self):
        self.seal_rest()
        self._urgent = True

    # The board is about to be reset: everything to flash now, whoever waits for the bus, as far as it goes.
    def save(self):
        self.seal_rest()
        for _ in range(self.capacity):  # of batches to write or segments to drop
            if not self._segments or self._wait_ms or self._oldest == self._next:
                break
            self._job = _FLUSH
            self._work()

    # The gateway holds records of that boot, which we have not reached: moving.py. Whoever keeps boot numbers
    # takes self.boot afterwards, not before.
    def renumber(self, above):
        try:
            call("firmware.moving", "renumber", self, self._segments, self._files, above)
        except OSError as error:
            self._segments = None
            self._fault(error)
            call("firmware.moving", "apart", self._files, 0, 0)
        self._count()

    # ---- the task

    async def run(self, alive):
        board = self._clock._board
        while True:
            alive()
            await board.sleep_ms(_TICK_MS)
            self._silent_ms += _TICK_MS
            if self.sealer:
                await self.sealer.run(self.seal, self._arbiter, self._clock.ticks(), self._oldest)
            if not self._segments:
                continue
            self._thinning()
            for _ in range(self.capacity):
                now = board.ticks_ms()
                if self._wait_ms and board.ticks_diff(now, self._wait_at) < self._wait_ms:
                    break
                self._job = self._due(board, now)
                if not self._job:
                    break
                alive()
                if self._arbiter:
                    await self._arbiter.flash(self._work)
                else:
                    self._work()

    # What is to be done on flash now, or 0.
    def _due(self, board, now):
        held = self._next - self._oldest
        if self._oldest > self._mark:
            self._mark = self._next - 1
            self._mark_at = now
        age_ms = board.ticks_diff(now, self._mark_at)
        if not held:
            self._urgent = False
        elif self._urgent or held * 2 >= self.capacity or age_ms >= (SILENT_MS if held >= BATCH else AGE_MS):
            return _FLUSH
        entries = self._segments.entries
        done = entries and self._from(entries[0]) > entries[0][2]
        if self._stale and not (done and self._wait_ms):  # before what it tells of is deleted, if that can be
            return _NOTE
        return _REMOVE if done else 0

    def _work(self):
        segments = self._segments
        try:
            if self._job == _REMOVE:
                segments.remove_oldest()
            elif self._job == _NOTE:
                self._note()
            elif self._oldest == self._next:  # acknowledged while we waited
                pass
            elif segments.full(self.boot, self._oldest):
                self._drop()
            else:
                n = segments.write(self.boot, self._oldest, self._ring, self._next - self._oldest)
                self._free(self._oldest + n - 1)
            if self._wait_ms:
                self._wait_ms = 0
                self.event(messages.FLASH_FAULT, "works again")
        except OSError as error:
            # full earlier than we thought: drop one, again
            if error.errno != 28 or self._job != _FLUSH or not segments.shrink():
                self._fault(error)
        self._count()

    # The oldest segment goes, sent or not.
    def _drop(self):
        entry = self._segments.entries[0]
        boot, _, last, _ = entry
        number = self._from(entry)
        noted = number > last
        if not noted:
            self._lose(boot, number, last)
            self._done = boot, last
            try:
                self._note()
                noted = True
            except OSError:  # not even room for this: at once behind it, then
                pass
        self._segments.remove_oldest()
        if not noted:
            self._note()

    # What is gone and not known to the gateway, on flash.
    def _note(self):
        if self._gone or self._told:
            note = [self._done[0], self._done[1], self._gone, self._told]
            self._files.replace(GONE_FILE, json.dumps(note + list(self._told_at)).encode())
            self._noted = True
        else:
            self._files.remove(GONE_FILE)
            self._noted = False
        self._stale = False

    def _fault(self, error):
        self.flash_faults += 1
        if not self._wait_ms:
            self.event(messages.FLASH_FAULT, str(error))
        self._wait_ms = min(max(2 * self._wait_ms, 1000), RETRY_MS_MAX)
        self._wait_at = self._clock._board.ticks_ms()
        self._urgent = False

    def _thinning(self):
        thin = self._thin
        segments = self._segments
        if thin is None:
            full = segments.used * 100 > self._thin_at * segments.budget and self._thin_at < 100
            if full and self._silent_ms >= THIN_SILENT_MS and not self._wait_ms:
                self.event(messages.THINNING, "begun")
                self._thin = call("firmware.thin", "Thin", self._append)
        elif self._wait_ms or self._silent_ms < THIN_SILENT_MS:
            thin.finish()
            self._thin = None
            self.event(messages.THINNING, "ended")
        else:
            thin.finish(None if self._urgent else self._clock.now())
