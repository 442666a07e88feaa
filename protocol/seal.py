# The device's seal: a chain over its records, and a tag under a key that the gateway never has.
#
#   chain   h = SHA-256(h || record), over every record that the device emits, SEALs among them, from 32 zero
#           bytes on. A SEAL carries h of all records before it.
#   tag     HMAC-SHA-256(K, epoch, sequence, life, time, clock, h, device id)
#   key     the next one is SHA-256("seal" || K); the one before is erased
#
# Rule 1: what is chained is what a record says, not how it travels: a verifier finds the same bytes in the
#         journal's frames, however they were batched, sent again, or kept on flash meanwhile. Big-endian:
#           kind and quality 1 | channel, or kind of event 1 | calibration 2 | raw bits 4 |
#           sequence modulo 2**32 4 | time in ms 8 | what else it says
#         Of the first byte bits 0-4 are the quality, bit 5 says that there is no value, bit 6 that it is an
#         event, bits 5 and 6 that it is a summary (raw bits: the mean), bit 7 that the clock was told. What
#         else: of a summary minimum, maximum, count, span (4, 4, 4, 2); of an event its detail as CBOR; of a
#         SEAL, which is the event 0, BODY.
# Rule 2: no boot number is chained: a gateway that is ahead makes a device renumber what it holds. The first
#         record of each boot is a SEAL, whose h is where the chain stood behind the last seal that was safe:
#         so boots cannot be left out or change places. `life` is the number that the boot began with; it
#         makes seals of two boots differ, whatever their clocks say.
# Rule 3: all that a SEAL says is under its tag. Fixed widths come first, the device id last.
# Rule 4: KEY_SEALS seals are made with one key, a day of them at one in INTERVAL_MS. No clock has a part in
#         it: none that is wrong, or set by somebody, turns the key too early or never.
#
# seal_check.py verifies; no device loads it.

import struct
from hashlib import sha256

from protocol._compat import const, keyed_sha256

INTERVAL_MS = const(300000)
KEY_SEALS = const(288)
BODY = ">II32s32s"  # life, epoch, h, tag

_RECORD = ">BBHIIQ"
_TAG = ">IQIQB"
_SIZE = const(52)  # with h it fits one block of SHA-256


class Chain:
    def __init__(self, value):
        self._block = bytearray(_SIZE)
        self._block[:32] = value

    @property
    def value(self):
        return bytes(self._block[:32])

    # more: bytes, as by rule 1
    def add(self, seq, channel, flags, calibration, raw, time_ms, more):
        block = self._block
        struct.pack_into(_RECORD, block, 32, flags, channel, calibration, raw, seq & 0xFFFFFFFF, time_ms)
        digest = sha256(block)
        if more:
            digest.update(more)
        block[:32] = digest.digest()


# device: bytes
def tag(key, device, epoch, seq, life, time_ms, clock, chain):
    pad = key + bytes(32)
    inner = keyed_sha256(bytes([b ^ 0x36 for b in pad]))
    outer = keyed_sha256(bytes([b ^ 0x5C for b in pad]))
    return outer(inner(struct.pack(_TAG, epoch, seq, life, time_ms, clock) + chain + device))


def next_key(key):
    return sha256(b"seal" + key).digest()
