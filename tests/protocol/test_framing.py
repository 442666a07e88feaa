# runs on: cpython, micropython

from protocol import framing
from protocol.errors import CodecError
from protocol.framing import Decoder
from tests.protocol._check import Random, raises, unhex, vectors


def fed(stream, size):
    decoder = Decoder()
    bodies = []
    for at in range(0, len(stream), size):
        bodies += decoder.feed(stream[at : at + size])
    return decoder, bodies


def test_vectors_are_written():
    count = 0
    for vector in vectors("framing"):
        if "body" in vector:
            if "error" in vector:
                raises(CodecError, framing.encode, unhex(vector["body"]))
            else:
                assert framing.encode(unhex(vector["body"])) == unhex(vector["frame"]), vector
            count += 1
    assert count >= 50


def test_one_bytearray_takes_frame_after_frame():
    data = bytearray()
    for body in (b"\1\0\2", bytes(range(1, 256)) * 3, b"\0", bytes(900), b"\7" * 254):
        framing.begin(data)
        data += body
        framing.end(data)
        assert data == framing.encode(body)
        assert fed(bytes(data), 100)[1] == [body]
    framing.begin(data)
    data += bytes(framing.MAX_BODY + 10)
    raises(CodecError, framing.end, data)
    framing.begin(data)
    data += b"next"
    framing.end(data)
    assert data == framing.encode(b"next")


def test_vectors_are_read_whole_and_byte_by_byte():
    count = 0
    for vector in vectors("framing"):
        if "frame" in vector:
            frame = unhex(vector["frame"])
            wanted = [] if "error" in vector else [unhex(vector["body"])]
            for size in (len(frame), 1, 7):
                decoder, bodies = fed(frame, size)
                assert bodies == wanted and decoder.frames == len(wanted), (size, vector)
                assert decoder.noise == 1 - len(wanted), (size, vector)
                assert decoder.noise_bytes == (0 if wanted else len(frame) - 1), (size, vector)
            count += 1
    assert count >= 60


def test_streams_whole_and_byte_by_byte():
    count = 0
    for vector in vectors("framing"):
        if "stream" in vector:
            stream = unhex(vector["stream"])
            for size in (len(stream), 1, 2, 5, 64):
                decoder, bodies = fed(stream, size)
                assert bodies == [unhex(body) for body in vector["bodies"]], (size, vector)
                assert decoder.noise == vector["noise"], (size, vector)
                assert decoder.noise_bytes == vector["noise_bytes"], (size, vector)
            count += 1
    assert count >= 10


def test_vectors_with_garbage_behind():
    good = framing.encode(b"good")
    for vector in vectors("framing"):
        if "frame" in vector and "error" not in vector:
            frame = unhex(vector["frame"])
            decoder = Decoder()
            assert decoder.feed(frame + b"\x05garbage") == [unhex(vector["body"])]
            assert decoder.feed(b"\0" + good) == [b"good"]
            assert (decoder.noise, decoder.noise_bytes) == (1, 8)
            # Cut short, a frame is noise, and the next one is found.
            decoder = Decoder()
            assert decoder.feed(frame[:-2] + b"\0" + good) == [b"good"]
            assert decoder.noise == (1 if len(frame) > 2 else 0)


def test_every_flipped_bit_is_refused():
    good = framing.encode(b"good")
    for body in (b"\x00\x01\x02abc\x00\x00\xff", bytes(range(1, 120))):
        frame = framing.encode(body)
        for place in range(len(frame)):
            for bit in range(8):
                flipped = bytearray(frame)
                flipped[place] ^= 1 << bit
                decoder = Decoder()
                found = decoder.feed(bytes(flipped)) + decoder.feed(b"\0" + good)
                assert found == [b"good"], (place, bit)
                assert decoder.noise >= 1


def test_longest_bodies():
    for body in (bytes(framing.MAX_BODY), b"\x01" * framing.MAX_BODY, b"\xff" * framing.MAX_BODY):
        frame = framing.encode(body)
        assert len(frame) <= framing.MAX_FRAME + 1
        assert Decoder().feed(frame) == [body]
    raises(CodecError, framing.encode, b"\x01" * (framing.MAX_BODY + 6))


def test_other_kinds_of_bytes():
    frame = framing.encode(bytearray(b"a\0b"))
    assert frame == framing.encode(b"a\0b")
    assert Decoder().feed(bytearray(frame)) == [b"a\0b"]
    assert Decoder().feed(memoryview(frame)) == [b"a\0b"]
    assert type(Decoder().feed(frame)[0]) is bytes
    assert Decoder().feed(b"") == []


def test_noise_is_counted_and_never_held():
    random = Random(1)
    decoder = Decoder()
    fed_bytes = zeros = 0
    for _ in range(40):
        noise = random.bytes(500)
        fed_bytes += len(noise)
        zeros += noise.count(b"\0")
        decoder.feed(noise)
        assert len(decoder._held) <= framing.MAX_FRAME
    decoder.feed(b"\0")
    assert decoder.frames == 0 and decoder.noise > 30
    assert decoder.noise_bytes == fed_bytes - zeros
    assert decoder.feed(framing.encode(b"still here")) == [b"still here"]


def test_slices_do_not_matter():
    random = Random(2)
    stream = b""
    for _ in range(30):
        stream += framing.encode(random.bytes(1 + random.below(60)))
        if random.below(3) == 0:
            stream += random.bytes(random.below(20)) + b"\0"
    whole, bodies = fed(stream, len(stream))
    for _ in range(10):
        decoder = Decoder()
        found = []
        at = 0
        while at < len(stream):
            size = 1 + random.below(90)
            found += decoder.feed(stream[at : at + size])
            at += size
        assert found == bodies
        assert (decoder.frames, decoder.noise) == (whole.frames, whole.noise)
        assert decoder.noise_bytes == whole.noise_bytes
