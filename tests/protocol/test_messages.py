# runs on: cpython, micropython

from protocol import cose, framing, messages
from protocol.cbor import Float32
from protocol.errors import CodecError
from protocol.messages import Ack, Command, Event, Hello, Now, Readings, Result, Seal, Summary, Welcome
from protocol.quality import NAMES, has_value
from tests.protocol._check import Random, raises, unhex, value_of, vectors

KINDS = (None, Hello, Welcome, Readings, Event, Seal, Ack, Command, Result, Summary, Now)
BITS = (Readings, Summary, Now)  # end in rows, which carry raw bits
NONCE = b"\1\2\3\4\5\6\7\x08"


def plain(value):
    # What a caller would pass: raw bits as a number, floats as floats.
    if isinstance(value, Float32):
        return value.bits
    return [plain(item) for item in value] if isinstance(value, list) else value


# Takes the vector's message out of it: a small heap has no room for the same 64 rows three times.
def message_of(vector):
    fields = vector.pop("message")
    kind = KINDS[fields[0]]
    if kind in BITS:
        rows = fields[-1]
        for place in range(len(rows)):
            rows[place] = tuple(plain(value_of(rows[place])))
        return kind(*value_of(fields[1:-1]), rows)
    return kind(*unpinned(value_of(fields[1:])))


def unpinned(value):
    # Float32 to a plain float, for all but measured values.
    if isinstance(value, Float32):
        return messages.bits_float(value.bits)
    if isinstance(value, dict):
        return {key: unpinned(item) for key, item in value.items()}
    return [unpinned(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_vectors_are_written_and_read():
    count = 0
    for vector in vectors("messages"):
        if "error" not in vector:
            data = unhex(vector["hex"])
            message = message_of(vector)
            assert messages.encode(message) == data, vector
            read = messages.decode(data)
            assert type(read) is type(message)
            if type(read) in BITS:
                assert read[:-1] == message[:-1] and read.rows == tuple(message.rows), vector
            else:
                assert unpinned(read) == unpinned(message), vector
            assert messages.encode(read) == data, vector
            count += 1
            data = message = read = vector = None  # a small heap needs the room for the next one
    assert count >= 130


def test_bad_vectors_are_refused():
    count = 0
    for vector in vectors("messages"):
        if "error" in vector:
            error = raises(CodecError, messages.decode, unhex(vector["hex"]))
            assert str(error)
            count += 1
    assert count >= 200


def test_what_is_refused_when_read_is_refused_when_written():
    count = 0
    for vector in vectors("messages"):
        if "error" in vector and "message" in vector:
            fields = value_of(vector["message"])
            if isinstance(fields, list) and fields and type(fields[0]) is int and 1 <= fields[0] <= 10:
                kind = KINDS[fields[0]]
                try:
                    message = kind(*(plain(fields[1:]) if kind in BITS else fields[1:]))
                except TypeError:
                    continue  # the wrong count of fields
                if " with a wrong field" in vector["why"] and vector["why"][:2] == "a ":
                    continue  # here bits are numbers: see test_only_messages_are_encoded
                if kind is Hello and "field 7" in vector["why"]:
                    message = kind(*unpinned(fields[1:]))
                    if any(len(channel) == 4 and channel[3] for channel in message.channels or ()):
                        continue  # numbers become 32-bit floats when written
                raises(CodecError, messages.encode, message)
                count += 1
    assert count >= 90


def test_vectors_cut_short_or_with_garbage_behind_are_refused():
    for vector in vectors("messages"):
        if "error" not in vector and len(vector["hex"]) < 400:
            data = unhex(vector["hex"])
            for garbage in (b"\0", b"\xff", data[:30]):
                raises(CodecError, messages.decode, data + garbage)
            for length in range(len(data)):
                raises(CodecError, messages.decode, data[:length])


def test_bits_of_every_kind_pass_untouched():
    for bits in (0x7FA00000, 0xFFA00001, 0x7FC00000, 0xFFFFFFFF, 0, 0x80000000, 0x7F800001, 0x41C80000):
        for offset_ms in (0, 100, 1000, 100000, -5):
            sent = Readings(1, 1, 0, 0, ((3, offset_ms, bits, 0, 1), (3, offset_ms, bits, 6, 300)))
            assert messages.decode(messages.encode(sent)) == sent


def test_a_reading_is_a_value_or_a_reason():
    for quality in range(len(NAMES)):
        for raw in (None, 0x41C80000):
            message = Readings(1, 1, 0, 0, ((0, 300, raw, quality, 0),))
            if has_value(quality) == (raw is not None):
                assert messages.decode(messages.encode(message)) == message
            else:
                raises(CodecError, messages.encode, message)


def test_rows_that_always_fit_a_frame():
    row = (255, -(2**31), 0x01010101, 0, 65535)
    message = Readings(2**32 - 1, 2**53 - 1, 2**53 - 1, 1, (row,) * messages.ROWS_FIT)
    framing.encode(cose.Mac0("x" * 32, b"\1" * 32).seal(messages.encode(message)))


def test_a_full_hello_fits_a_frame():
    channels = [("temperature_%02d" % n, 300000, n, []) for n in range(32)]  # noqa: UP031
    hello = Hello(1, "0.1.0", "st-01", 7, NONCE, NONCE, channels, 7, 1, 1, 0, "power on")
    framing.encode(cose.Mac0("st-01", bytes(32)).seal(messages.encode(hello)))


def test_calibration_points_take_whole_numbers_and_come_as_floats():
    channels = [["nh4", 5000, 2, [[0, 0.1], [100, 99.5]]]]
    hello = Hello(1, "0.1.0", "st-01", 7, NONCE, NONCE, channels, 7, 1, 0, 5, "")
    read = messages.decode(messages.encode(hello))
    name, interval_ms, calibration, points = read.channels[0]
    assert (name, interval_ms, calibration) == ("nh4", 5000, 2)
    assert points[0][0] == 0.0 and points[1] == (100.0, 99.5)
    assert abs(points[0][1] - 0.1) < 1e-8
    bad = (
        [["nh4", 5000, 2, [["a", 1]]]],
        [["nh4", 5000, 2, [[float("nan"), 1.0]]]],
        [["nh4", 5000, 2, [[1e39, 1.0]]]],
        [["nh4", 5000, 2, [[None, 1.0]]]],
        [["nh4", 5000, 2]],
        5,
    )
    # equal as 32-bit floats, falling, more than a guided calibration has
    bad += (
        [["nh4", 5000, 2, [[1.0, 1.0], [1.0 + 2.0**-25, 2.0]]]],
        [["nh4", 5000, 2, [[2.0, 1.0], [1.0, 2.0]]]],
        [["nh4", 5000, 2, [[i, i] for i in range(6)]]],
    )
    for one in bad:
        raises(CodecError, messages.encode, Hello(1, "", "st-01", 7, NONCE, NONCE, one, 7, 1, 0, 5, ""))


def test_names_are_as_long_as_they_are_in_bytes_and_hold_whole_characters():
    for good in ("x" * 32, "tr\u1ea1m" * 5 + "xx"):
        assert messages.decode(messages.encode(Command(1, 1, good, None))).name == good
    for bad in ("", "x" * 33, "tr\u1ea1m" * 6, "st-" + chr(0xD800)):
        raises(CodecError, messages.encode, Command(1, 1, bad, None))


def test_only_messages_are_encoded():
    for thing in (None, 5, (3, 1, 1, 0, 0, ()), [], {}):
        raises(CodecError, messages.encode, thing)
    for rows in (None, 5, (), ((0, 1, 2, 3),), (None,), ((0, 0, 2**32, 0, 0),), ((0, 0, 1.5, 0, 0),)):
        raises(CodecError, messages.encode, Readings(1, 1, 0, 0, rows))
    bad = [(True, 300, 1, 0, 0), (0, True, 1, 0, 0), (0, 300, True, 0, 0), (0, 300, 1, False, 0)]
    bad += [(-1, 300, 1, 0, 0), (256, 300, 1, 0, 0), (0, 2**31, 1, 0, 0), (0, -(2**31) - 1, 1, 0, 0)]
    bad += [
        (0, 300, -1, 0, 0),
        (0, 300, 1, -1, 0),
        (0, 300, 1, 12, 0),
        (0, 300, 1, 0, -1),
        (0, 300, 1, 0, 65536),
    ]
    bad += [
        (None, 300, 1, 0, 0),
        (0, 1.0, 1, 0, 0),
        (0, 300, b"1", 0, 0),
        (0, 300, 1, "0", 0),
        (0, 300, 1, 0, []),
    ]
    for row in bad:
        raises(CodecError, messages.encode, Readings(1, 1, 0, 0, (row,)))
    raises(CodecError, messages.encode, Event(1, 1, 0, 0, 1, object()))


def test_garbage_raises_nothing_else():
    random = Random(42)
    for vector in vectors("messages"):
        if "error" not in vector and len(vector["hex"]) < 300:
            good = unhex(vector["hex"])
            for _ in range(20):
                data = bytearray(good)
                for _ in range(1 + random.below(3)):
                    data[random.below(len(data))] = random.below(256)
                data = bytes(data)
                try:
                    message = messages.decode(data)
                except CodecError:
                    continue
                assert messages.encode(message) == data
    for _ in range(500):
        data = random.bytes(random.below(60))
        for head in (
            b"",
            b"\x85\x0a",
            b"\x87\x09\x07\x01\x00\x01\x01\x81",
            b"\x86\x03",
            b"\x86\x03\x07\x01\x00\x01\x81",
        ):
            try:
                messages.decode(head + data)
            except CodecError:
                pass
