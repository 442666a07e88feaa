# A raw value, as it is kept from the instrument to the proof: float32 bits, and the two ways between them and
# a number.
#
# Rule 1: raw bits are the IEEE 754 binary32 bits of what the instrument indicates, an int 0..2**32-1, or None
#         where the quality says that there is no value (quality.has_value). Never altered, NaN patterns
#         included.
# Rule 2: the engineering value is computed from them and the calibration when somebody wants it
#         (calibration.py), and never kept instead.

import struct

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
