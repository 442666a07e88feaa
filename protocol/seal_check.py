# Whether the records of a journal are those that the device sealed (seal.py). No device loads this.
#
#   for verdict in check(messages, device, key):    messages: what its frames hold, decoded, in the journal's
#       ...                                         order; key: of epoch 0, as the inspector kept it
#
# Rule 1: SEALED says that the records of this stretch are exactly those that the device emitted, in this
#         order. Whatever else is said of records, nothing proves them.
# Rule 2: WRONG is what an honest device and an honest gateway never come to. What the chain cannot tell apart
#         is named together: between two seals something was changed, added or put elsewhere.
# Rule 3: where records are missing, the others of their stretch are LOST: they cannot be proved. A DISCARDED
#         event under a good seal accounts for missing ones, for as many as it says; they are WRONG else.
# Rule 4: UNSEALED are records behind a boot's last seal (the power went), of a boot that sealed nothing, and
#         before the first seal that was given. How many, the caller judges: a device seals every five
#         minutes.
# Rule 5: a break ends with the next good seal: each says where the chain stands.
#
# Verdicts come in the order of the journal, but what is only known at the end comes at the end.

import struct
from binascii import unhexlify
from collections import namedtuple

from protocol import cbor
from protocol._compat import bytes_of, compare_digest
from protocol.errors import ConfigError
from protocol.messages import DISCARDED, Event, Readings, Seal, Summary
from protocol.seal import BODY, Chain, next_key, tag
from protocol.session import span

SEALED = "SEALED"
UNSEALED = "UNSEALED"
LOST = "LOST"
WRONG = "WRONG"

EPOCHS_MAX = 200000  # keys are made one by one: 500 years of days
_REMEMBERED = 10000  # seals that the next boot may go on behind: a month of them

# first, last: names (boot, sequence) as the journal has them, of the first record and of the seal that ends
# the stretch, or of the last record where there is none. records: how many there are besides the seal;
# readings among them; text: a sentence. epoch and time_ms: of the seal, None where there is none.
Verdict = namedtuple("Verdict", "kind first last records readings epoch time_ms text")


# key: 32 bytes, or 64 hexadecimal digits as the inspector's file has them. -> 32 bytes; ConfigError
def key_of(text):
    try:
        key = text if len(text) == 32 else unhexlify(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError("the seal key is not 64 hexadecimal digits: take the file that the inspector kept")
    return key


def check(messages, device, key):
    checker = _Checker(device, key_of(key))
    for message in messages:
        yield from checker.take(message)
    yield from checker.end()


# A message's records, as (sequence, first byte, channel, calibration, raw bits, time, what else, readings).
def _records(message):
    told = 0x80 if message.clock else 0
    kind = type(message)
    if kind is Readings:
        for i, (channel, offset_ms, raw, quality, calibration) in enumerate(message.rows):
            flags = told | quality | (0x20 if raw is None else 0)
            time_ms = message.base_ms + offset_ms
            yield message.first_seq + i, flags, channel, calibration, raw or 0, time_ms, b"", 1
    elif kind is Summary:
        for i, (channel, mean, low, high, count, quality, calibration) in enumerate(message.rows):
            more = struct.pack(">IIIH", low or 0, high or 0, count, message.span_ms)
            flags = told | quality | 0x60
            yield message.first_seq + i, flags, channel, calibration, mean or 0, message.time_ms, more, count
    elif kind is Event:
        yield message.seq, told | 0x40, message.kind, 0, 0, message.time_ms, cbor.dumps(message.detail), 0
    else:
        more = struct.pack(BODY, message.life, message.epoch, message.chain, message.tag)
        yield message.seq, told | 0x40, 0, 0, 0, message.time_ms, more, 0


# Records between two seals.
class _Stretch:
    def __init__(self, boot, first, chain, kind, why):
        self.first = boot, first
        self.last = boot, first - 1
        self.records = self.readings = 0
        self.chain = chain  # None: nobody knows where it stands ...
        self.kind = kind  # ... and this is the verdict then,
        self.why = why  # ... with this sentence
        self.told = []  # what its DISCARDED events say

    def verdict(self, kind, text, seal=None):
        last, epoch, time_ms = self.last, None, None
        if seal:
            last, epoch, time_ms = (seal.boot, seal.seq), seal.epoch, seal.time_ms
        return Verdict(kind, self.first, last, self.records, self.readings, epoch, time_ms, text)


# Records that are not here: from first to last, names (boot, sequence), both included. count: how many; None
# where nobody knows, because it is a boot's end, or whole boots.
class _Missing:
    def __init__(self, first, last, count):
        self.first = first
        self.last = last
        self.count = count

    # How many of the n records that were discarded between two names are these.
    def explained(self, n, low, high):
        if self.count is None:
            return 1 if low <= self.last and high >= self.first and self._no_gap(low) else 0
        if low[0] <= self.first[0] <= high[0]:
            low = max(low, self.first)
            high = min(high, self.last)
            return max(0, min(n, high[1] - low[1] + 1))
        return 0

    def _no_gap(self, low):
        return low <= self.first or low[0] > self.first[0]


class _Checker:
    def __init__(self, device, key):
        self._device = bytes_of(device)
        self._keys = [key]  # by epoch
        self._epoch = 0
        self._at = (0, 0)  # the newest record
        self._now = _Stretch(0, 1, None, UNSEALED, "")
        self._tails = []  # what boots ended with
        self._ends = {bytes(32): 0}  # where the chain stands behind a seal -> which one it was
        self._newest = 0
        self._tags = set()  # of first seals
        self._lives = {}  # boot -> the number that it began with
        self._missing = []

    def take(self, message):
        kind = type(message)
        names = span(message)
        if names is None:
            return
        boot, first, last = names
        if (boot, first) <= self._at:
            text = f"record {first} of boot {boot} stands behind record {self._at[1]} of boot {self._at[0]}"
            n = last - first + 1
            yield Verdict(WRONG, (boot, first), (boot, last), n, 0, None, None, text + ": doubled, or moved")
            return
        before = self._at
        if boot != before[0]:
            self._begin(boot, first, kind is Seal)
        elif first != before[1] + 1:
            self._lack((boot, before[1] + 1), (boot, first - 1))
        self._at = boot, last
        if kind is Seal:
            yield self._seal(message, before)
        elif kind is Event and message.kind == DISCARDED:
            self._now.told.append(message.detail)
        self._count(message, kind is Seal)

    def _count(self, message, seal):
        now = self._now
        for seq, flags, channel, calibration, raw, time_ms, more, readings in _records(message):
            if now.chain:
                now.chain.add(seq, channel, flags, calibration, raw, time_ms, more)
            if not seal:
                now.records += 1
                now.readings += readings
                now.last = message.boot, seq
        if seal and now.chain:
            self._newest += 1
            self._ends[now.chain.value] = self._newest
            if len(self._ends) > _REMEMBERED:
                del self._ends[next(iter(self._ends))]

    # The first record of a boot that is here.
    def _begin(self, boot, first, seal):
        start = self._at == (0, 0)
        if not start:
            self._tails.append(self._now)
        for tail in reversed(self._tails):  # the rest of a boot that got another number meanwhile
            if first > 1 and tail.last[1] == first - 1:
                self._tails.remove(tail)
                self._now = tail
                return
        self._now = _Stretch(boot, first, None, UNSEALED, "before the first seal that is here")
        if first > 1 and not start:
            self._lack((boot, 1), (boot, first - 1))
        elif first == 1 and not seal:
            self._now.kind = WRONG
            self._now.why = f"boot {boot} does not begin with a seal"

    def _lack(self, first, last):
        self._missing.append(_Missing(first, last, last[1] - first[1] + 1))
        self._now.chain = None
        self._now.kind = LOST
        self._now.why = f"{_names(first, last)} missing"

    # A seal, and what stands between it and the one before.
    def _seal(self, seal, before):
        now = self._now
        where = f"seal {seal.seq} of boot {seal.boot}"
        wrong = self._forged(seal)
        if wrong:
            self._now = _Stretch(seal.boot, seal.seq + 1, None, UNSEALED, f"{where} is wrong")
            return now.verdict(WRONG, f"{where}: {wrong}", seal)
        self._epoch = seal.epoch
        self._lives[seal.boot] = seal.life
        self._now = _Stretch(seal.boot, seal.seq + 1, Chain(seal.chain), UNSEALED, "")
        if seal.seq == 1:
            return self._first(seal, now, before)
        if now.chain is None:
            return now.verdict(
                now.kind, f"{where} is good, but {now.why}: what else is before it is not proved", seal
            )
        if now.chain.value != seal.chain:
            what = "not what was sealed: changed, added, left out or swapped"
            which = f"{_names(now.first, now.last)} {what}" if now.records else what
            return now.verdict(WRONG, f"{where}: {which}", seal)
        for text in now.told:
            self._explain(text)
        return now.verdict(SEALED, f"{where} is good", seal)

    # What is wrong with the seal itself, or "".
    def _forged(self, seal):
        if seal.epoch > EPOCHS_MAX:
            return f"its epoch is {seal.epoch}, which no device comes to"
        while len(self._keys) <= seal.epoch:
            self._keys.append(next_key(self._keys[-1]))
        expected = tag(
            self._keys[seal.epoch],
            self._device,
            seal.epoch,
            seal.seq,
            seal.life,
            seal.time_ms,
            seal.clock,
            seal.chain,
        )
        if not compare_digest(expected, seal.tag):
            return "not made with this device's key, or changed"
        if seal.epoch < self._epoch:
            return f"its epoch goes back from {self._epoch} to {seal.epoch}: the key of then was to be erased"
        if seal.life > seal.boot:
            return f"made in boot {seal.life}, which is later"
        return ""

    # A boot's first record says behind which seal it goes on.
    def _first(self, seal, now, before):
        if seal.tag in self._tags:
            self._now.chain = None
            self._now.why = f"boot {seal.boot} repeats another"
            return now.verdict(WRONG, f"boot {seal.boot} repeats boot {seal.life}: copied", seal)
        self._tags.add(seal.tag)
        place = self._ends.get(seal.chain)
        text = f"boot {seal.boot} goes on behind the newest seal"
        if place is None and not self._newest:
            text = f"boot {seal.boot} goes on behind a seal from before what is here"
        elif place is None:
            text = f"boot {seal.boot} goes on behind a seal that is not here"
            self._missing.append(_Missing((before[0], before[1] + 1), (seal.boot, 0), None))
            return now.verdict(LOST, text, seal)
        elif place != self._newest:
            text = f"boot {seal.boot} goes on behind an earlier seal: the power went before the last was safe"
        return now.verdict(SEALED, text, seal)

    # A DISCARDED event under a good seal.
    def _explain(self, text):
        try:
            n, low, high = _told(text)
        except (ValueError, AttributeError, IndexError):
            return
        for one in self._missing:
            part = one.explained(n, low, high)
            its_boot = one.first[0]
            life = self._lives.get(its_boot, its_boot)
            if not part and one.count and life != its_boot:  # told before it got another number
                part = _Missing((life, one.first[1]), (life, one.last[1]), one.count).explained(n, low, high)
            if one.count is not None:
                part = min(part, one.count)
                n -= part
                one.count -= part
            elif part:
                one.count = 0
        self._missing = [one for one in self._missing if one.count != 0]

    def end(self):
        for tail in self._tails + [self._now]:  # noqa: RUF005 (MicroPython)
            if tail.records:
                text = f"{_names(tail.first, tail.last)} not sealed: {tail.why or 'no seal follows'}"
                yield tail.verdict(UNSEALED, text)
        for one in self._missing:
            first, last = one.first, one.last
            if one.count is None:
                text = f"what came behind record {first[1] - 1} of boot {first[0]}"
                text += f" and before boot {last[0]} is missing"
            else:
                text = f"{_names(first, last)} missing"
            text += ", and no sealed event of the device says that it discarded them"
            yield Verdict(WRONG, first, last, 0, 0, None, None, text)


# "8 records, 5 to 12 of boot 7" or "10 records, 5 of boot 7 to 7 of boot 8" -> count, first name, last name
def _told(text):
    n, _, names = text.partition(" records, ")
    low, high = names.split(" to ")
    last, boot = high.split(" of boot ")
    first, _, since = low.partition(" of boot ")
    return int(n), (int(since or boot), int(first)), (int(boot), int(last))


def _names(first, last):
    if first == last:
        return f"record {first[1]} of boot {first[0]} is"
    since = f" of boot {first[0]}" if first[0] != last[0] else ""
    return f"records {first[1]}{since} to {last[1]} of boot {last[0]} are"
