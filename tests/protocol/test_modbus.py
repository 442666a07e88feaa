# runs on: cpython, micropython

import binascii

from protocol import modbus, modbus_requests
from protocol.errors import BadReply, ConfigError, ExceptionReply, ProtocolError
from tests.protocol._check import raises, vectors


def unhex(text):
    return binascii.unhexlify(text)


def bits(text):
    return [int(digit) for digit in text]


def request(function, address, argument):
    if function <= 4:
        return modbus_requests.read_pdu(function, address, argument)
    if function == 15:
        argument = bits(argument)
    build = {
        5: modbus_requests.write_coil_pdu,
        6: modbus_requests.write_register_pdu,
        15: modbus_requests.write_coils_pdu,
        16: modbus_requests.write_registers_pdu,
    }
    return build[function](address, argument)


def test_rtu_exchanges():
    seen = 0
    for kind, *case in vectors("modbus"):
        if kind == "rtu":
            unit, function, address, argument, asked, answered, values = case
            pdu = request(function, address, argument)
            assert modbus.rtu(unit, pdu) == unhex(asked), case[:4]
            assert modbus.rtu_reply_length(pdu) == len(unhex(answered))
            assert modbus.parse_rtu(unhex(answered), unit, pdu) == tuple(bits(values))
            assert modbus.parse_rtu(bytearray(unhex(answered)), unit, pdu) == tuple(bits(values))
            seen += 1
    assert seen >= 20


def test_tcp_exchanges():
    seen = 0
    for kind, *case in vectors("modbus"):
        if kind == "tcp":
            unit, transaction, function, address, argument, asked, answered, values = case
            pdu = request(function, address, argument)
            answered = unhex(answered)
            assert modbus.tcp(transaction, unit, pdu) == unhex(asked)
            assert modbus.tcp_rest(answered[: modbus.TCP_HEAD]) == len(answered) - modbus.TCP_HEAD
            assert modbus.parse_tcp(answered, transaction, unit, pdu) == tuple(bits(values))
            seen += 1
    assert seen >= 20


def test_replies_that_do_not_answer_are_refused():
    seen = set()
    for kind, *case in vectors("modbus"):
        if kind == "bad rtu":
            what, unit, function, address, argument, answered = case
            pdu = request(function, address, argument)
            error = raises(BadReply, modbus.parse_rtu, unhex(answered), unit, pdu)
        elif kind == "bad tcp":
            what, unit, transaction, function, address, argument, answered = case
            pdu = request(function, address, argument)
            error = raises(BadReply, modbus.parse_tcp, unhex(answered), transaction, unit, pdu)
        else:
            continue
        assert len(str(error)) > 20
        seen.add((kind, what))
    assert len(seen) >= 19


def test_exceptions_carry_their_code():
    for kind, *case in vectors("modbus"):
        if kind == "exception rtu":
            unit, function, address, argument, answered, code = case
            answered = unhex(answered)
            assert len(answered) == modbus.EXCEPTION_LENGTH
            pdu = request(function, address, argument)
            assert raises(ExceptionReply, modbus.parse_rtu, answered, unit, pdu).code == code
            raises(BadReply, modbus.parse_rtu, answered, unit ^ 1, pdu)
        elif kind == "exception tcp":
            unit, transaction, function, address, argument, answered, code = case
            pdu = request(function, address, argument)
            assert (
                raises(ExceptionReply, modbus.parse_tcp, unhex(answered), transaction, unit, pdu).code == code
            )


def test_check_sums():
    for kind, *case in vectors("modbus"):
        if kind == "crc":
            assert modbus.crc16(unhex(case[0])) == case[1]


def test_every_cut_and_every_flipped_bit_of_a_reply_is_refused():
    pdu = modbus_requests.read_pdu(3, 0x2600, 4)
    body = bytes((1, 3, 8)) + bytes(range(8))
    crc = modbus.crc16(body)
    good = body + bytes((crc & 0xFF, crc >> 8))
    assert modbus.parse_rtu(good, 1, pdu) == (0x0001, 0x0203, 0x0405, 0x0607)
    for length in range(len(good)):
        raises(BadReply, modbus.parse_rtu, good[:length], 1, pdu)
    for i in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[i >> 3] ^= 1 << (i & 7)
        raises(ProtocolError, modbus.parse_rtu, flipped, 1, pdu)


def test_a_quantity_of_zero_has_to_be_asked_for():
    raises(ConfigError, modbus_requests.read_pdu, 3, 0x2500, 0)
    raises(ConfigError, modbus_requests.write_registers_pdu, 0x1C00, [])
    assert modbus_requests.read_pdu(3, 0x2500, 0, zero=True) == b"\x03\x25\x00\x00\x00"
    assert modbus_requests.start_pdu(3, 0x2500, []) == b"\x03\x25\x00\x00\x00"
    assert modbus_requests.start_pdu(16, 0x1C00, []) == b"\x10\x1c\x00\x00\x00\x00"
    pdu = modbus_requests.start_pdu(3, 0x2500, [])
    body = b"\x01\x03\x00"
    crc = modbus.crc16(body)
    assert modbus.rtu_reply_length(pdu) == 5
    assert modbus.parse_rtu(body + bytes((crc & 0xFF, crc >> 8)), 1, pdu) == ()


def test_start_commands():
    assert modbus_requests.start_pdu(16, 1, [31]) == b"\x10\x00\x01\x00\x01\x02\x00\x1f"
    assert modbus_requests.start_pdu(6, 1, [31]) == b"\x06\x00\x01\x00\x1f"
    assert modbus_requests.start_pdu(5, 1, [1]) == b"\x05\x00\x01\xff\x00"
    assert modbus_requests.start_pdu(15, 1, [1, 0, 1]) == b"\x0f\x00\x01\x00\x03\x01\x05"
    for function, words in ((6, []), (5, [1, 2]), (7, [1]), (15, [])):
        raises(ConfigError, modbus_requests.start_pdu, function, 1, words)


def test_requests_that_cannot_be_answered_are_not_built():
    for function, address, count in (
        (3, 0, 126),
        (4, 0, -1),
        (1, 0, 2001),
        (3, 65535, 2),
        (3, -1, 1),
        (3, 65536, 1),
        (5, 0, 1),
    ):
        raises(ConfigError, modbus_requests.read_pdu, function, address, count)
    raises(ConfigError, modbus_requests.write_register_pdu, 0, 65536)
    raises(ConfigError, modbus_requests.write_registers_pdu, 0, [-1])
    raises(ConfigError, modbus_requests.write_registers_pdu, 0, [0] * 124)
    raises(ConfigError, modbus.rtu, 256, b"\x03\x00\x00\x00\x01")


def test_silence_between_frames():
    # 3.5 characters of 11 bits; "Modbus over Serial Line" V1.02 fixes 1,750 us above 19,200 baud.
    assert modbus.silence_us(9600) == 4011
    assert modbus.silence_us(4800) == 8021
    assert modbus.silence_us(19200) == 2006
    assert modbus.silence_us(38400) == 1750
    assert modbus.silence_us(115200) == 1750
    raises(ConfigError, modbus.silence_us, 0)
