# runs on: cpython, micropython
# Summary and Now beyond their vectors, which test_messages.py runs.

from protocol import cose, framing, messages
from protocol.cbor import Float32
from protocol.errors import CodecError
from protocol.messages import Event, Now, Summary
from protocol.quality import NAMES, has_value
from tests.protocol._check import raises


def test_summaries_that_always_fit_a_frame():
    row = (255, 0x01010101, 0x01010101, 0x01010101, 65535, 11, 65535)
    message = Summary(2**32 - 1, 2**53 - 1, 2**53 - 1, 1, 60000, (row,) * messages.SUMMARIES_MAX)
    framing.encode(cose.Mac0("x" * 32, b"\1" * 32).seal(messages.encode(message)))
    event = Event(2**32 - 1, 2**53 - 1, 2**53 - 1, 1, 11, "x" * messages.TEXT_MAX)
    framing.encode(cose.Mac0("x" * 32, b"\1" * 32).seal(messages.encode(event)))


def test_a_mean_is_a_value_or_a_reason():
    for quality in range(len(NAMES)):
        for bits in (None, 0x7FA00000):
            message = Summary(1, 1, 90000, 0, 60000, ((0, bits, bits, bits, 60, quality, 0),))
            if has_value(quality) == (bits is not None):
                assert messages.decode(messages.encode(message)) == message
            else:
                raises(CodecError, messages.encode, message)


def test_only_summaries_are_encoded():
    bad = [
        (True, 1, 1, 1, 1, 0, 0),
        (256, 1, 1, 1, 1, 0, 0),
        (-1, 1, 1, 1, 1, 0, 0),
        (0, True, 1, 1, 1, 0, 0),
    ]
    bad += [
        (0, 1.5, 1, 1, 1, 0, 0),
        (0, 1, 2**32, 1, 1, 0, 0),
        (0, 1, 1, -1, 1, 0, 0),
        (0, 1, 1, None, 1, 0, 0),
    ]
    bad += [
        (0, 1, 1, 1, 0, 0, 0),
        (0, 1, 1, 1, 65536, 0, 0),
        (0, 1, 1, 1, 1, 12, 0),
        (0, 1, 1, 1, 1, 0, 65536),
    ]
    bad += [(0, 1, 1, 1, 1, 0), None, (0, Float32(1), 1, 1, 1, 0, 0), (0, 1, 1, 1, True, 0, 0), "1234567"]
    for row in bad:
        raises(CodecError, messages.encode, Summary(1, 1, 0, 0, 1000, (row,)))
    for rows in (None, 5, (), [(0, 1, 1, 1, 1, 0, 0)] * 25):
        raises(CodecError, messages.encode, Summary(1, 1, 0, 0, 1000, rows))


def test_what_is_shown_now_has_the_rows_of_readings():
    rows = ((0, 300, 0x41C80000, 0, 0), (1, -5, None, 4, 3), (255, 70000, 0x7FA00000, 6, 300))
    sent = Now(b"12345678", 1780000000000, 1, rows)
    assert messages.decode(messages.encode(sent)) == sent
    for row in ((0, 300, None, 0, 0), (0, 300, 1.5, 0, 0), (0, 300, 1, 4, 0), (256, 300, 1, 0, 0)):
        raises(CodecError, messages.encode, Now(b"12345678", 0, 0, (row,)))
    for values in ((b"1234567", 0, 0), ("12345678", 0, 0), (b"12345678", -1, 0), (b"12345678", 0, 2)):
        raises(CodecError, messages.encode, Now(*values, rows))


def test_the_kinds_of_events_have_their_numbers():
    for number, name in enumerate(messages.EVENT_NAMES):
        assert number == 0 or getattr(messages, name) == number
    assert (messages.CRASH, messages.COMMAND, messages.MAINTENANCE) == (11, 22, 23)
