# Frames on a byte stream: COBS(body || CRC-32(body), little-endian) || 0x00
#
# Rule 1: a zero byte occurs nowhere but at the end of a frame, so a receiver finds its feet at the next one.
# Rule 2: the decoder is fed any slices of the stream, and yields whole bodies whose CRC-32 is right. How the
#         stream was sliced changes neither the bodies nor, once a zero has passed, the counters.
# Rule 3: it never holds more than one longest frame. What is no frame is counted (noise, noise_bytes), never
#         fatal. Zeros in a row are no noise: a sender may begin with one, to end whatever stands before it.
# Rule 4: one body has one encoding; the decoder refuses any other (COBS as by Cheshire and Baker, 1999, where
#         a last block of 254 bytes is not followed by an empty one).
#
# encode, end and feed raise CodecError for a body that no frame can carry, and nothing else.

from binascii import crc32

from protocol._compat import const
from protocol.errors import CodecError

MAX_FRAME = const(1024)  # bytes of an encoded frame without its zero: what a device can hold twice
MAX_BODY = const(1015)  # the longest body that always fits: 1015 + 4 of CRC + 5 of COBS

_RESIDUE = const(0x2144DF1C)  # CRC-32 over any data followed by its own CRC-32, little-endian


def encode(body):
    if not body:
        raise CodecError("a frame needs a body of at least one byte")
    data = bytearray()
    begin(data)
    data += body
    end(data)
    return bytes(data)


# The same in a bytearray that is used again and again: begin(data), append the body, end(data).
def begin(data):
    data[:] = b"\0"


def end(data):
    data += crc32(memoryview(data)[1:]).to_bytes(4, "little")
    data.append(0)
    if len(data) > MAX_FRAME + 1:
        raise CodecError(f"a body of {len(data) - 6} bytes does not fit a frame: keep it to {MAX_BODY}")
    # Each zero becomes the distance to the next one, as long as that is a byte.
    last = len(data) - 1
    code = 0
    while code != last:
        zero = data.find(b"\0", code + 1)
        if zero - code > 254:
            _end_long(data, code)
            return
        data[code] = zero - code
        code = zero


# The rest of end, from that code on, where a stretch of 254 bytes or more without a zero takes codes 255.
def _end_long(data, code):
    out = data[:code]
    last = len(data) - 1
    while code != last:
        zero = data.find(b"\0", code + 1)
        at = code + 1
        while zero - at >= 254:
            out.append(255)
            out += data[at : at + 254]
            at += 254
        if at != last or zero - code <= 254:
            out.append(zero - at + 1)
            out += data[at:zero]
        code = zero
    out.append(0)
    if len(out) > MAX_FRAME + 1:
        raise CodecError(f"a body of {last - 5} bytes does not fit a frame: keep it to {MAX_BODY}")
    data[:] = out


# One frame without its zero -> body, or None when it is none.
def _decode(frame):
    data = bytearray(frame)
    length = len(data)
    at = 0
    full = None  # places of the codes that stand for no zero, because the block before was full
    while at < length:
        code = data[at]
        data[at] = 0
        at += code
        if code == 255 and at < length:
            if data[at] == 1 and at + 1 == length:
                return None  # an empty block after a full one: the other encoding of the same data
            if full is None:
                full = [0]
            full.append(at)
    if at != length or length < 6:
        return None
    if full is None:
        data = data[1:]
    else:
        full.append(length)
        data = b"".join([data[full[i] + 1 : full[i + 1]] for i in range(len(full) - 1)])
    if crc32(data) != _RESIDUE:
        return None
    return bytes(data[:-4])


class Decoder:
    def __init__(self):
        self.frames = 0  # bodies yielded
        self.noise = 0  # stretches between zeros that were no frame
        self.noise_bytes = 0  # bytes in them
        self._held = b""
        self._drowned = False  # what is held became too long: drop everything up to the next zero

    # Bytes as they came -> list of the bodies that they complete.
    def feed(self, data):
        parts = bytes(data).split(b"\0")
        if self._drowned:
            if len(parts) == 1:
                self.noise_bytes += len(data)
                return []
            self.noise_bytes += len(parts[0])
            parts[0] = b""
            self._drowned = False
        elif self._held:
            parts[0] = self._held + parts[0]
        self._held = parts.pop()
        if len(self._held) > MAX_FRAME:
            self._drowned = True
            self.noise += 1
            self.noise_bytes += len(self._held)
            self._held = b""
        bodies = []
        for part in parts:
            if part:
                body = _decode(part) if len(part) <= MAX_FRAME else None
                if body is None:
                    self.noise += 1
                    self.noise_bytes += len(part)
                else:
                    bodies.append(body)
        self.frames += len(bodies)
        return bodies
