"""protocol/modbus.py against pymodbus: requests both ways, replies, check sums, and hostile bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu import bit_message as bits
from pymodbus.pdu import register_message as regs

from protocol import modbus, modbus_requests
from protocol.errors import BadReply, ExceptionReply, ProtocolError

units = st.integers(1, 247)
addresses = st.integers(0, 0xFFFF)
words = st.integers(0, 0xFFFF)
RESPONSES = {3: regs.ReadHoldingRegistersResponse, 4: regs.ReadInputRegistersResponse}
BIT_RESPONSES = {1: bits.ReadCoilsResponse, 2: bits.ReadDiscreteInputsResponse}


@st.composite
def requests(draw):
    """(request PDU of ours, pymodbus' own bytes for it)."""
    function = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16]))
    if function <= 4:
        count = draw(st.integers(1, 2000 if function < 3 else 125))
        address = draw(st.integers(0, 0x10000 - count))
        theirs = {
            1: bits.ReadCoilsRequest,
            2: bits.ReadDiscreteInputsRequest,
            3: regs.ReadHoldingRegistersRequest,
            4: regs.ReadInputRegistersRequest,
        }[function](address=address, count=count)
        ours = modbus_requests.read_pdu(function, address, count)
    elif function == 5:
        address, on = draw(addresses), draw(st.booleans())
        theirs, ours = (
            bits.WriteSingleCoilRequest(address=address, bits=[on]),
            modbus_requests.write_coil_pdu(address, on),
        )
    elif function == 6:
        address, word = draw(addresses), draw(words)
        theirs = regs.WriteSingleRegisterRequest(address=address, registers=[word])
        ours = modbus_requests.write_register_pdu(address, word)
    elif function == 15:
        values = draw(st.lists(st.booleans(), min_size=1, max_size=1968))
        address = draw(st.integers(0, 0x10000 - len(values)))
        theirs = bits.WriteMultipleCoilsRequest(address=address, bits=values)
        ours = modbus_requests.write_coils_pdu(address, values)
    else:
        values = draw(st.lists(words, min_size=1, max_size=123))
        address = draw(st.integers(0, 0x10000 - len(values)))
        theirs = regs.WriteMultipleRegistersRequest(address=address, registers=values)
        ours = modbus_requests.write_registers_pdu(address, values)
    return ours, bytes([function]) + theirs.encode()


@given(requests(), units, st.integers(0, 0xFFFF))
def test_requests_are_pymodbus_requests(request_pair, unit, transaction):
    ours, theirs = request_pair
    assert ours == theirs
    assert modbus.rtu(unit, ours) == FramerRTU(DecodePDU(True)).encode(theirs, unit, 0)
    assert modbus.tcp(transaction, unit, ours) == FramerSocket(DecodePDU(True)).encode(
        theirs, unit, transaction
    )


@given(requests(), units)
def test_a_pymodbus_server_decodes_our_requests(request_pair, unit):
    ours, _ = request_pair
    used, seen_unit, _, pdu = FramerRTU(DecodePDU(True)).decode(modbus.rtu(unit, ours))
    assert (used, seen_unit, pdu) == (len(ours) + 3, unit, ours)
    assert DecodePDU(True).decode(pdu).function_code == ours[0]


@given(st.sampled_from([3, 4]), st.lists(words, min_size=1, max_size=125), units, st.integers(0, 0xFFFF))
def test_register_replies(function, values, unit, transaction):
    request = modbus_requests.read_pdu(function, 0, len(values))
    reply = RESPONSES[function](registers=values)
    reply.dev_id, reply.transaction_id = unit, transaction
    adu = FramerRTU(DecodePDU(True)).buildFrame(reply)
    assert len(adu) == modbus.rtu_reply_length(request)
    assert modbus.parse_rtu(adu, unit, request) == tuple(values)
    adu = FramerSocket(DecodePDU(True)).buildFrame(reply)
    assert modbus.parse_tcp(adu, transaction, unit, request) == tuple(values)


@given(st.sampled_from([1, 2]), st.lists(st.booleans(), min_size=1, max_size=2000), units)
def test_bit_replies(function, values, unit):
    request = modbus_requests.read_pdu(function, 0, len(values))
    reply = BIT_RESPONSES[function](bits=values + [False] * (-len(values) % 8))
    reply.dev_id = unit
    adu = FramerRTU(DecodePDU(True)).buildFrame(reply)
    assert len(adu) == modbus.rtu_reply_length(request)
    assert modbus.parse_rtu(adu, unit, request) == tuple(int(value) for value in values)


@given(requests(), units, st.integers(1, 255))
def test_exceptions(request_pair, unit, code):
    ours, _ = request_pair
    reply = ExceptionResponse(ours[0], code)
    reply.dev_id = unit
    adu = FramerRTU(DecodePDU(True)).buildFrame(reply)
    with pytest.raises(ExceptionReply) as caught:
        modbus.parse_rtu(adu, unit, ours)
    assert caught.value.code == code


@given(st.binary(max_size=300))
def test_check_sums(data):
    assert modbus.crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@settings(max_examples=400)
@given(requests(), units, st.integers(0, 0xFFFF), st.binary(max_size=270), st.booleans())
def test_hostile_bytes_raise_protocol_errors_only(request_pair, unit, transaction, data, sealed):
    request, _ = request_pair
    rtu = bytes([unit]) + data
    if sealed:  # a right check sum lets the bytes through to the inner checks
        rtu += modbus.crc16(rtu).to_bytes(2, "little")
    tcp = transaction.to_bytes(2, "big") + b"\0\0" + (len(data) + 1).to_bytes(2, "big") + bytes([unit]) + data
    for call in (
        lambda: modbus.parse_rtu(rtu, unit, request),
        lambda: modbus.parse_rtu(data, unit, request),
        lambda: modbus.parse_tcp(tcp, transaction, unit, request),
        lambda: modbus.parse_tcp(data, transaction, unit, request),
        lambda: modbus.tcp_rest(data[:6]),
    ):
        try:
            call()
        except ProtocolError as error:
            assert str(error)


@given(st.lists(words, min_size=1, max_size=125), units, st.data())
def test_a_reply_to_another_request_is_never_accepted(values, unit, data):
    """Same bus, other question: a late answer must not pass unless it would be the right one as well."""
    reply = RESPONSES[3](registers=values)
    reply.dev_id = unit
    adu = FramerRTU(DecodePDU(True)).buildFrame(reply)
    other_unit = data.draw(units)
    function = data.draw(st.sampled_from([1, 2, 3, 4]))
    count = data.draw(st.integers(1, 125))
    if (other_unit, function, count) == (unit, 3, len(values)):
        return
    with pytest.raises(BadReply):
        modbus.parse_rtu(adu, other_unit, modbus_requests.read_pdu(function, 0, count))
