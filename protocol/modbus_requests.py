# Modbus requests as PDUs: function and data, functions 1-6, 15 and 16. They are made once, from a
# configuration or for a command, and sent many times: the device loads this when it reads its configuration,
# and forgets it.
#
# Rule 1: addresses are those on the wire, from 0. What a manual prints (40001) is a profile's business.
# Rule 2: a request that no instrument could answer is never built: ConfigError. A quantity of zero has to
#         be asked for (zero=True); some sensors take it as "start measuring" though the standard forbids it.
#
# Limits are those of the Modbus Application Protocol Specification V1.1b3.

import struct

from protocol.errors import ConfigError

TABLES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}  # table -> the function that reads it

READ_REGISTERS_MAX = 125
READ_BITS_MAX = 2000
WRITE_REGISTERS_MAX = 123
WRITE_COILS_MAX = 1968


def _range(address, count, count_max, zero=False):
    if not 0 <= address <= 0xFFFF:
        raise ConfigError(f"address {address} is not on the wire: write 0 to 65535")
    if count == 0 and zero:
        return
    if not 1 <= count <= count_max:
        raise ConfigError(f"{count} values in one request: write 1 to {count_max}")
    if address + count > 0x10000:
        raise ConfigError(f"{count} values from address {address} end beyond 65535")


def _word(value):
    if not 0 <= value <= 0xFFFF:
        raise ConfigError(f"{value} does not fit a register: write 0 to 65535")
    return value


def read_pdu(function, address, count, zero=False):
    # function 1-4. zero=True allows a quantity of 0, which some sensors need as a start command.
    if function not in (1, 2, 3, 4):
        raise ConfigError(f"function {function} does not read: write 1, 2, 3 or 4")
    _range(address, count, READ_BITS_MAX if function < 3 else READ_REGISTERS_MAX, zero)
    return struct.pack(">BHH", function, address, count)


def write_coil_pdu(address, on):
    _range(address, 1, 1)
    return struct.pack(">BHH", 5, address, 0xFF00 if on else 0)


def write_register_pdu(address, word):
    _range(address, 1, 1)
    return struct.pack(">BHH", 6, address, _word(word))


def write_coils_pdu(address, bits):
    _range(address, len(bits), WRITE_COILS_MAX)
    packed = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        if bit:
            packed[i >> 3] |= 1 << (i & 7)
    return struct.pack(">BHHB", 15, address, len(bits), len(packed)) + bytes(packed)


def write_registers_pdu(address, words, zero=False):
    _range(address, len(words), WRITE_REGISTERS_MAX, zero)
    head = struct.pack(">BHHB", 16, address, len(words), 2 * len(words))
    return head + b"".join([struct.pack(">H", _word(word)) for word in words])


def start_pdu(function, address, words):
    # The request of a profile's [[start]] entry. Functions 3, 4 and 16 may carry no word at all.
    if function in (1, 2, 3, 4):
        return read_pdu(function, address, words[0] if words else 0, zero=True)
    if function == 16:
        return write_registers_pdu(address, words, zero=True)
    if function == 15:
        return write_coils_pdu(address, words)
    if function in (5, 6) and len(words) == 1:
        return write_register_pdu(address, words[0]) if function == 6 else write_coil_pdu(address, words[0])
    raise ConfigError(f"function {function} with {len(words)} words starts nothing: write 6 with one, or 16")
