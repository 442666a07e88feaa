# A reading, as it is kept from the instrument to the proof; and the two ways between a number and float32
# bits.
#
# Rule 1: raw_bits are the IEEE 754 binary32 bits of what the instrument indicates, an int 0..2**32-1, or None
#         where the quality says that there is no value (quality.has_value). Never altered, NaN patterns
#         included.
# Rule 2: time_ms is an integer: Unix ms, or ms since boot while nobody has told the device the time.
# Rule 3: calibration is the id of the calibration that applies. The engineering value is computed later, from
#         both, and never kept here.

import struct
from collections import namedtuple

Reading = namedtuple("Reading", ("channel", "time_ms", "raw_bits", "quality", "calibration"))

NAN_BITS = 0x7FC00000


# The bits of x rounded to float32. Beyond the range: infinity. Any NaN: 0x7FC00000, so that the runtimes
# agree; what came as bits must not take this way.
def float_bits(x):
    if x != x:
        return NAN_BITS
    try:
        return struct.unpack("<I", struct.pack("<f", x))[0]
    except OverflowError:  # CPython refuses what MicroPython turns into infinity
        return 0x7F800000 if x > 0 else 0xFF800000


# The number that the bits stand for. A signalling NaN may come back as a quiet one: keep the bits, not this.
def bits_float(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]
