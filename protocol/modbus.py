# Modbus on the wire: requests framed, replies as numbers. RTU and TCP, functions 1-6, 15 and 16. The requests
# themselves are made in modbus_requests.py.
#
# Rule 1: no I/O. The caller sends the bytes, waits, and hands over what came.
# Rule 2: a reply is accepted only when it answers this request: unit, function, length, byte count,
#         check sum or transaction, and the echo of a write. Anything else is BadReply with a sentence;
#         an exception reply is ExceptionReply(code). Hostile bytes raise nothing else.
#
# A PDU is function and data; an ADU is a PDU as it travels. The silence is that of "Modbus over Serial Line"
# V1.02, 2.5.1.1.

import struct
from array import array

from protocol._compat import const
from protocol.errors import BadReply, ConfigError, ExceptionReply

EXCEPTION_LENGTH = const(5)  # bytes of an exception reply in RTU: unit, function, code, check sum
TCP_HEAD = const(6)  # bytes before the part that the length field counts

_CRC = array("H", bytes(512))
for _i in range(256):
    _crc = _i
    for _ in range(8):
        _crc = (_crc >> 1) ^ 0xA001 if _crc & 1 else _crc >> 1
    _CRC[_i] = _crc
del _crc, _i, _


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


def rtu(unit, pdu):
    body = tcp(0, unit, pdu)[TCP_HEAD:]
    return body + struct.pack("<H", crc16(body))


def tcp(transaction, unit, pdu):
    # Units 248 to 255 are reserved, yet some sensors answer 255 when alone on the line: allowed.
    if not 0 <= unit <= 255:
        raise ConfigError(f"unit {unit} does not exist: write 1 to 247")
    return struct.pack(">HHHB", transaction & 0xFFFF, 0, len(pdu) + 1, unit) + pdu


def rtu_reply_length(request):
    # Bytes of the good answer to a PDU, check sum included. An exception takes EXCEPTION_LENGTH instead.
    function = request[0]
    count = (request[3] << 8) | request[4]
    if function > 4:
        return 8
    return 5 + (2 * count if function > 2 else (count + 7) // 8)


def tcp_rest(head):
    # The bytes still to come after the first TCP_HEAD of an answer.
    length = 0
    if len(head) == TCP_HEAD:
        _, protocol, length = struct.unpack(">HHH", bytes(head))
        if protocol:
            length = 0
    if not 2 <= length <= 254:
        raise BadReply("this header is not Modbus: is this the right port?")
    return length


def parse_rtu(adu, unit, request):
    # The answer's registers or bits as a tuple; () after a write. adu is everything that came.
    adu = bytes(adu)
    if len(adu) < EXCEPTION_LENGTH:
        raise BadReply("too short for an answer: cut, or noise")
    if crc16(adu[:-2]) != adu[-2] | (adu[-1] << 8):
        raise BadReply("wrong check sum: look at wiring, termination, baud rate and parity")
    return _numbers(adu[0], unit, adu[1:-2], request)


def parse_tcp(adu, transaction, unit, request):
    adu = bytes(adu)
    if len(adu) != TCP_HEAD + tcp_rest(adu[:TCP_HEAD]):
        raise BadReply("not as many bytes as the header says")
    if (adu[0] << 8) | adu[1] != transaction & 0xFFFF:
        raise BadReply("another transaction is answered: late")
    return _numbers(adu[6], unit, adu[7:], request)


def _same_unit(answered, unit):
    if answered != unit:
        raise BadReply("another unit answered: late, or an address twice")


def _numbers(answered, unit, pdu, request):
    function = request[0]
    _same_unit(answered, unit)
    if len(pdu) == 2 and pdu[0] == function | 0x80:
        raise ExceptionReply(pdu[1])
    size = rtu_reply_length(request) - 5
    if function > 4:
        # 5 and 6 repeat the request, 15 and 16 its address and count.
        good = pdu == bytes(request[:5])
        size = 0
    else:
        good = len(pdu) == 2 + size and pdu[0] == function and pdu[1] == size
    if not good:
        raise BadReply("this is no answer to what was asked: late, or two devices talk")
    if not size:
        return ()
    if function > 2:
        return struct.unpack(f">{size // 2}H", pdu[2:])
    count = (request[3] << 8) | request[4]
    return tuple([(pdu[2 + (i >> 3)] >> (i & 7)) & 1 for i in range(count)])
