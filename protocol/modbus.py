# Modbus requests as bytes, replies as numbers. RTU and TCP, functions 1-6, 15 and 16.
#
# Rule 1: no I/O. The caller sends the bytes, waits, and hands over what came.
# Rule 2: a reply is accepted only when it answers this request: unit, function, length, byte count,
#         check sum or transaction, and the echo of a write. Anything else is BadReply with a sentence;
#         an exception reply is ExceptionReply(code). Hostile bytes raise nothing else.
# Rule 3: addresses are those on the wire, from 0. What a manual prints (40001) is a profile's business.
# Rule 4: a request that no instrument could answer is never built: ConfigError. A quantity of zero has to
#         be asked for (zero=True); some sensors take it as "start measuring" though the standard forbids it.
#
# A PDU is function and data; an ADU is a PDU as it travels. Limits are those of the Modbus Application
# Protocol Specification V1.1b3; the silence is that of "Modbus over Serial Line" V1.02, 2.5.1.1.

import struct
from array import array

from protocol.errors import BadReply, ConfigError, ExceptionReply

TABLES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}  # table -> the function that reads it

READ_REGISTERS_MAX = 125
READ_BITS_MAX = 2000
WRITE_REGISTERS_MAX = 123
WRITE_COILS_MAX = 1968
UNIT_MAX = 247  # 248-255 are reserved, yet some sensors answer 255 when alone on the line: allowed
EXCEPTION_LENGTH = 5  # bytes of an exception reply in RTU: unit, function, code, check sum
TCP_HEAD = 6  # bytes before the part that the length field counts


def _crc_table():
    table = array("H", bytes(512))
    for i in range(256):
        crc = i
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table[i] = crc
    return table


_CRC = _crc_table()


def crc16(data):
    # CRC-16/MODBUS of bytes. On the wire the low byte goes first.
    table = _CRC
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def silence_us(baud):
    # The quiet time that ends an RTU frame: 3.5 characters of 11 bits, fixed at 1,750 us above 19,200 baud.
    if baud < 1:
        raise ConfigError(f"a baud rate of {baud} is not possible: write 9600, for example")
    if baud > 19200:
        return 1750
    return -(-38500000 // baud)


# Requests


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


def rtu(unit, pdu):
    body = bytes((_unit(unit),)) + pdu
    return body + struct.pack("<H", crc16(body))


def tcp(transaction, unit, pdu):
    return struct.pack(">HHHB", transaction & 0xFFFF, 0, len(pdu) + 1, _unit(unit)) + pdu


def _unit(unit):
    if not 0 <= unit <= 255:
        raise ConfigError(f"unit {unit} does not exist: write 1 to {UNIT_MAX}")
    return unit


# Replies


def _data_bytes(request_pdu):
    # Data bytes in the answer to a read request.
    count = (request_pdu[3] << 8) | request_pdu[4]
    return (count + 7) // 8 if request_pdu[0] < 3 else 2 * count


def rtu_reply_length(request_pdu):
    # Bytes of the good answer, check sum included. An exception takes EXCEPTION_LENGTH instead.
    return 5 + _data_bytes(request_pdu) if request_pdu[0] <= 4 else 8


def tcp_rest(head):
    # The bytes still to come after the first TCP_HEAD of an answer.
    if len(head) != TCP_HEAD:
        raise BadReply(f"{len(head)} bytes of header instead of {TCP_HEAD}")
    _, protocol, length = struct.unpack(">HHH", bytes(head))
    if protocol != 0:
        raise BadReply(f"protocol {protocol} in the header is not Modbus: is this the right port?")
    if not 2 <= length <= 254:
        raise BadReply(f"a length of {length} in the header is not possible: close the connection")
    return length


def parse_rtu(adu, unit, request_pdu):
    # The answer's registers or bits as a tuple; () after a write. adu is everything that came.
    adu = bytes(adu)
    if len(adu) < EXCEPTION_LENGTH:
        raise BadReply(f"{len(adu)} bytes are no answer: the frame was cut, or this is noise")
    if crc16(adu[:-2]) != adu[-2] | (adu[-1] << 8):
        raise BadReply("the check sum is wrong: look at wiring, termination, baud rate and parity")
    _same_unit(adu[0], unit)
    return _parse_pdu(adu[1:-2], request_pdu)


def parse_tcp(adu, transaction, unit, request_pdu):
    adu = bytes(adu)
    length = tcp_rest(adu[:TCP_HEAD])
    if len(adu) != TCP_HEAD + length:
        raise BadReply(f"{len(adu)} bytes came where the header says {TCP_HEAD + length}")
    answered = (adu[0] << 8) | adu[1]
    if answered != transaction & 0xFFFF:
        raise BadReply(f"this answers transaction {answered}, not {transaction & 0xFFFF}: a late answer")
    _same_unit(adu[6], unit)
    return _parse_pdu(adu[7:], request_pdu)


def _same_unit(answered, unit):
    if answered != unit:
        raise BadReply(f"unit {answered} answered, unit {unit} was asked: a late answer or a double address")


def _parse_pdu(pdu, request):
    function = request[0]
    if not pdu:
        raise BadReply("the answer holds no function")
    if pdu[0] == function | 0x80:
        if len(pdu) != 2:
            raise BadReply(f"an exception of {len(pdu)} bytes instead of 2")
        raise ExceptionReply(pdu[1])
    if pdu[0] != function:
        raise BadReply(f"function {pdu[0]} answered, {function} was asked: a late answer")
    if function > 4:
        return _parse_echo(pdu, request)
    size = _data_bytes(request)
    if len(pdu) != 2 + size:
        raise BadReply(
            f"{len(pdu)} bytes came, {2 + size} were asked for: a late answer, or two devices talk"
        )
    if pdu[1] != size:
        raise BadReply(f"the byte count says {pdu[1]}, {size} were asked for")
    if function > 2:
        return struct.unpack(f">{size // 2}H", pdu[2:]) if size else ()
    count = (request[3] << 8) | request[4]
    return tuple([(pdu[2 + (i >> 3)] >> (i & 7)) & 1 for i in range(count)])


def _parse_echo(pdu, request):
    # Functions 5 and 6 repeat the request, 15 and 16 its address and count.
    if pdu != bytes(request[:5]):
        raise BadReply("the write was not confirmed: the answer names another address or value")
    return ()
