# runs on: cpython, micropython
# Rows that are read by their usual lengths are read as strictly as any others.

from protocol import messages
from protocol.errors import CodecError
from protocol.messages import Readings
from tests.protocol._check import raises

LAST = (1, 5, 0x41C80000, 0, 0)
SHORTEST = {0: b"\x00", 23: b"\x17", 24: b"\x18\x18", 255: b"\x18\xff", 256: b"\x19\x01\x00"}
LONGER = {0: b"\x18\x00", 23: b"\x18\x17", 24: b"\x19\x00\x18", 255: b"\x19\x00\xff"}


# A READINGS whose first row has this offset, which is followed by one more, so that it is no end of data.
def _payload(offset_ms, written):
    sent = messages.encode(Readings(7, 1, 1700000000000, 1, ((0, offset_ms, 0x41C80000, 0, 0), LAST)))
    place = sent.index(b"\x85\x00" + SHORTEST[offset_ms] + b"\xfa") + 2
    return sent[:place] + written + sent[place + len(SHORTEST[offset_ms]) :]


def test_an_offset_is_written_in_the_shortest_way_and_no_other():
    for offset_ms, written in SHORTEST.items():
        assert messages.decode(_payload(offset_ms, written)).rows[0][1] == offset_ms
    for offset_ms, written in LONGER.items():
        raises(CodecError, messages.decode, _payload(offset_ms, written))


def test_numbers_of_channels_likewise():
    for channel, written in ((0, b"\x00"), (23, b"\x17"), (24, b"\x18\x18")):
        rows = ((channel, 300, 0x41C80000, 0, 0), LAST)
        sent = messages.encode(Readings(7, 1, 1700000000000, 1, rows))
        assert messages.decode(sent).rows == rows
        place = sent.index(b"\x85" + written + b"\x19\x01\x2c") + 1
        if channel < 24:
            longer = sent[:place] + b"\x18" + bytes([channel]) + sent[place + 1 :]
            raises(CodecError, messages.decode, longer)
