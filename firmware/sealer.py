# The seal over what was measured (protocol/seal.py): the chain that every record goes into, and today's key.
#
# Rule 1: without seal.key there is none of this. The inspector writes it at provisioning, 64 hexadecimal
#         digits; the device makes of it the epoch, how many seals it has made with this key, the key, and
#         where the chain stands, in hexadecimal digits, replaced as a whole (identity.py reads it).
# Rule 2: the chain is kept only as of a seal that no power cut can take any more, being with the gateway or
#         on flash. So the next life never goes on behind a seal that nobody has.
# Rule 3: a key is on flash before it seals, and nowhere else than there and here: the epoch never goes back.
# Rule 4: flash that cannot be written stops no seal: the key and the place of the chain stay as they were.
# Rule 5: littlefs never writes over what was: it takes the next free block, and erases it then. So the file
#         is long enough for a block of its own, and after a key has turned it is written twice as often as
#         there are free blocks, one a second: by then none holds a former key. See README.md, "The seal".

import struct
from binascii import hexlify

from firmware.pack import EVENT, SPAN, SUMMARY
from protocol import cbor
from protocol._compat import bytes_of, const
from protocol.seal import BODY, INTERVAL_MS, KEY_SEALS, Chain, next_key, tag

FILE = "seal.key"  # as in identity.py
_AGAIN_MS = const(60000)  # after an error of the flash
_LENGTH = const(1100)  # too long for littlefs to keep it among the names
_BLOCK = const(4096)
WIPES_MAX = 1024  # 2 MB of free blocks
_WIPE_MS = const(1000)


class Sealer:
    # state: of identity.seal()
    def __init__(self, files, device, state):
        self.epoch, self._count, self._key, self._kept = state
        self.newest = 0  # sequence of the newest seal, 0 before the first of this life
        self._files = files
        self._device = bytes_of(device)
        self._chain = Chain(self._kept)
        self._life = 0
        self._ahead = 0, b""  # the newest seal that is not kept yet, and the chain behind it
        self._wipes = 0  # free blocks that may hold a former key
        self._at = 0  # ticks of the newest seal ...
        self._again = 0  # ... and before which flash is left alone

    # A record has been put into the store, which describes it as pack.py does.
    def add(self, seq, channel, flags, calibration, raw, time_ms, more):
        kind = flags & SUMMARY
        if kind == SUMMARY:
            more = struct.pack(">IIIH", *struct.unpack(SPAN, more))
        elif kind == EVENT and channel:
            more = cbor.dumps(more)
        self._chain.add(seq, channel, flags, calibration, raw, time_ms, more)
        if seq == self.newest:
            self._ahead = seq, self._chain.value

    # What the SEAL of that number says: BODY. ticks: station time since the start, in ms
    def make(self, boot, seq, stamp, ticks):
        self._life = self._life or boot
        self._at = ticks
        self._count += 1
        self.newest = seq
        chain = self._chain.value
        time_ms, told = stamp
        its_tag = tag(self._key, self._device, self.epoch, seq, self._life, time_ms, told, chain)
        return struct.pack(BODY, self._life, self.epoch, chain, its_tag)

    # Called several times a second. seal(): puts a SEAL. oldest: sequence of the oldest record in memory.
    async def run(self, seal, arbiter, ticks, oldest):
        if ticks - self._at >= INTERVAL_MS:
            seal()
        if ticks >= self._again and (self._wipes or self._count >= KEY_SEALS or 0 < self._ahead[0] < oldest):

            def work():
                self._keep(ticks, oldest)

            if arbiter:
                await arbiter.flash(work)
            else:
                work()

    # To flash: where the chain stands, and the next key when it is time.
    def _keep(self, ticks, oldest):
        epoch, count, key, chain = self.epoch, self._count, self._key, self._kept
        if 0 < self._ahead[0] < oldest:
            chain = self._ahead[1]
        if count >= KEY_SEALS:
            epoch += 1
            count = 0
            key = next_key(key)
        text = b"%d %d %s %s" % (epoch, count, hexlify(key), hexlify(chain))
        try:
            self._files.replace(FILE, text + b" " * (_LENGTH - len(text)))
            if count < self._count:
                self._wipes = min(self._files.free() * 2 // _BLOCK, WIPES_MAX)
            elif self._wipes:
                self._wipes -= 1
                self._again = ticks + _WIPE_MS
        except OSError:
            self._again = ticks + _AGAIN_MS
            return
        if chain is not self._kept:
            self._ahead = 0, b""
        self.epoch, self._count, self._key, self._kept = epoch, count, key, chain
