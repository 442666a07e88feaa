# Records on flash: files log/<boot>-<number of the first record>, each a row of batches with a check sum.
#
# Rule 1: what counts is what can be read back: a batch is used only with the right CRC-32. At the end of a
#         segment a torn one is as if it had never been; in the middle the readable rest is found again.
# Rule 2: numbers are kept relative to the file's name, so that a segment gets another boot number by being
#         renamed, which no power cut can do by halves.
# Rule 3: a segment is appended to only in the life that began it, and only while nothing went wrong with it.
#         After an error the same records go into a new one; where two overlap, the later one counts.
# Rule 4: reading goes on where it stopped: one batch is in memory, and each is read once as long as its
#         records are asked for in order. Going back costs one pass over one segment.
# Rule 5: one short entry of memory for each segment; some 64 fill the flash, whatever its size.
#
# A batch: mark, count of records, bytes, number of the first less the segment's first, CRC-32 of all this and
# of the packed records (pack.py). The mark says whether it can be read without those before it, as the first
# of each file can, and one about every 512 records.
#
# All functions raise OSError when the flash does, but find() and get(), which try again when asked again, and
# give a segment up after TRIES.

import struct
from binascii import crc32

from firmware.pack import RECORD_MAX, Pack
from protocol._compat import const

BATCH = const(128)  # records
FOLDER = "log"
_HEAD = "<BBHHI"
_HEAD_SIZE = const(10)
_ALONE = const(0xA6)
_MORE = const(0xA5)
_BODY = const(1024)  # a batch is closed when it has so many bytes
_ALONE_EVERY = const(512)
_NUMBERS = const(60000)  # records of a segment: their numbers have 16 bits
_BLOCK = const(4096)
_SEGMENTS_MAX = const(160)  # many short lives leave many short segments
_TRIES = const(5)


def name_of(boot, first):
    return f"{FOLDER}/{boot:08x}-{first:010x}"


class Segments:
    def __init__(self, files):
        self.entries = []  # (boot, first, last, bytes), oldest first: moving.py looks what there is
        self.budget = 0  # bytes of flash for all
        self.size = 0  # bytes of one
        self._files = files
        self._writer = Pack()
        self._since = None  # records since one that can be read alone; None: the last file is not ours
        self._reader = Pack()
        self._tries = 0
        self.close()

    # What is known of the segment that is being read is no longer true.
    def close(self):
        self._open = None  # (boot, first) of it

    # Bytes of flash.
    @property
    def used(self):
        return sum([(entry[3] + _BLOCK - 1) // _BLOCK * _BLOCK for entry in self.entries])

    # Whether something must go before the record of that number can be written.
    def full(self, boot, number):
        if not self._begins(boot, number):
            return False
        return len(self.entries) >= _SEGMENTS_MAX or (
            bool(self.entries) and self.used + self.size > self.budget
        )

    # The flash was full before our budget was: make do with less. Whether there is anything to gain.
    def shrink(self):
        self.budget = self.used
        return len(self.entries) > 1

    def _begins(self, boot, number):
        if self._since is None or not self.entries:
            return True
        its_boot, first, last, size = self.entries[-1]
        return (
            its_boot != boot
            or last + 1 != number
            or size > self.size - RECORD_MAX
            or number - first > _NUMBERS
        )

    # Writes records from `number` on, at most n of them: get(number) -> record. Returns how many.
    def write(self, boot, number, get, n):
        begins = self._begins(boot, number)
        alone = begins or self._since > _ALONE_EVERY
        if alone:
            self._writer.begin()
        first, size = (number, 0) if begins else (self.entries[-1][1], self.entries[-1][3])
        since = 0 if alone else self._since
        self._since = None  # until this has worked, nobody knows what the file holds
        out = bytearray(_HEAD_SIZE)
        count = 0
        while count < min(n, BATCH) and len(out) < _BODY:
            self._writer.add(out, *get(number + count))
            count += 1
        struct.pack_into(
            _HEAD, out, 0, _ALONE if alone else _MORE, count, len(out) - _HEAD_SIZE, number - first, 0
        )
        struct.pack_into("<I", out, 6, crc32(memoryview(out)[_HEAD_SIZE:], crc32(out[:6])))
        self._files.append(name_of(boot, first), out, "wb" if begins else "ab")
        self._since = since + count
        if not begins:
            self.entries.pop()
        self.entries.append((boot, first, number + count - 1, size + len(out)))
        return count

    def remove_oldest(self):
        boot, first, _, _ = self.entries[0]
        self._files.remove(name_of(boot, first))
        self.entries.pop(0)

    # ---- reading

    # The next good batch at that place or behind: (alone, count, number, body, place behind it), or None.
    def batch(self, file, at):
        while True:
            file.seek(at)
            head = file.read(_HEAD_SIZE)
            if len(head) < _HEAD_SIZE:
                return None
            mark, count, n, number, crc = struct.unpack(_HEAD, head)
            if mark & 0xFC == 0xA4 and count and n < _BODY + RECORD_MAX:
                body = file.read(n)
                if crc32(body, crc32(head[:6])) == crc:
                    return mark == _ALONE, count, number, body, at + _HEAD_SIZE + n
            at += 1
            file.seek(at)
            head = file.read(256)
            places = [head.find(b"\xa5"), head.find(b"\xa6")]
            at += min([len(head) if place < 0 else place for place in places])

    # To the place in a segment from which the record can be read.
    def _seek(self, boot, first, number):
        self._open = boot, first
        self._at = self._left = 0
        self._number = self._expected = first - 1
        at = 0
        with open(self._files.path(name_of(boot, first)), "rb") as file:
            while True:
                batch = self.batch(file, at)
                if batch is None or first + batch[2] > number:
                    return
                if batch[0]:
                    self._at = at
                at = batch[4]

    # To the next record that can be read. False at the end.
    def _advance(self):
        while not self._left:
            with open(self._files.path(name_of(*self._open)), "rb") as file:
                batch = self.batch(file, self._at)
            if batch is None:
                return False
            alone, count, number, self._body, self._at = batch
            number += self._open[1]
            if alone:
                self._reader.begin()
            elif number != self._expected:
                continue  # it builds on one that is lost
            self._expected = number + count
            self._number = number - 1
            self._left = count
            self._place = 0
        self._record = self._reader.take(self._body, self._place)
        self._place = self._record[6]
        self._left -= 1
        self._number += 1
        if not self._left:
            self._body = b""  # it may be the last for months
        return True

    # The first number from this one on that can be read in the segment that has it; one above its last when
    # there is none; None when there is no such segment, or the flash does not answer.
    def find(self, boot, number):
        for its_boot, first, last, _ in self.entries:
            if its_boot != boot or not first <= number <= last:
                continue
            try:
                if self._open != (boot, first) or number < self._number or self._number < first:
                    self._seek(boot, first, number)
                while self._number < number:
                    if not self._advance():
                        return last + 1
            except MemoryError:  # no fault of the segment
                self._open = None
                raise
            except Exception:  # of the flash, or a batch of another firmware: CRC right, content strange
                self._open = None
                self._tries += 1
                if self._tries < _TRIES:
                    return None
                self._tries = 0
                return last + 1
            self._tries = 0
            return min(self._number, last + 1)
        return None

    # The record of that number, as pack.py describes it, or None.
    def get(self, boot, number):
        return self._record[:6] if self.find(boot, number) == number else None
