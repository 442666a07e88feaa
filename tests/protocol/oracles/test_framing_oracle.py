"""protocol.framing against cobs and zlib; floods of noise; every flipped bit, also under a right CRC."""

import random
import zlib

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from protocol import framing
from protocol.cose import Mac0
from protocol.errors import AuthError
from protocol.framing import Decoder

bodies = st.binary(min_size=1, max_size=framing.MAX_BODY) | st.lists(
    st.sampled_from([b"\0", b"\xff", b"\x01" * 253, b"\x02" * 254, b"\x03" * 255]), min_size=1, max_size=4
).map(b"".join).filter(lambda body: len(body) <= framing.MAX_BODY)


def reference(body):
    return cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


@given(bodies)
def test_the_bytes_are_those_of_cobs_and_zlib(body):
    frame = framing.encode(body)
    assert frame == reference(body)
    assert Decoder().feed(frame) == [body]


@given(st.binary(max_size=60))
def test_a_frame_is_accepted_only_as_we_write_it(data):
    decoder = Decoder()
    for frame in (data, cobs.encode(data + zlib.crc32(data).to_bytes(4, "little"))):
        for body in decoder.feed(b"\0" + frame + b"\0"):
            assert framing.encode(body)[:-1] in (frame, *frame.split(b"\0"))


@given(st.lists(bodies, max_size=4), st.binary(max_size=300), st.data())
def test_any_slices_of_any_stream(sent, noise, data):
    stream = noise + b"\0" + b"".join(map(framing.encode, sent))
    whole = Decoder()
    found = whole.feed(stream)
    assert found[len(found) - len(sent) :] == sent
    decoder, pieces, at = Decoder(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 700))
        pieces += decoder.feed(stream[at : at + size])
        at += size
    assert pieces == found
    assert (decoder.frames, decoder.noise, decoder.noise_bytes) == (
        whole.frames,
        whole.noise,
        whole.noise_bytes,
    )


def test_ten_megabytes_of_noise():
    rng = random.Random(10)
    decoder = Decoder()
    total = zeros = 0
    while total < 10_000_000:
        noise = rng.randbytes(rng.randrange(1, 60_000))
        if rng.random() < 0.2:
            noise = noise.replace(b"\0", b"\1")  # a stretch without any zero
        total += len(noise)
        zeros += noise.count(b"\0")
        assert decoder.feed(noise) == []
        assert len(decoder._held) <= framing.MAX_FRAME
    assert decoder.feed(b"\0") == []
    assert decoder.noise_bytes == total - zeros and decoder.noise > 20_000 and decoder.frames == 0
    assert decoder.feed(framing.encode(b"a frame at last")) == [b"a frame at last"]


def test_a_flipped_bit_is_refused_by_the_crc_and_by_the_tag_when_the_crc_is_made_right_again():
    mac = Mac0("st-01", bytes(range(32)))
    body = mac.seal(bytes(range(60)))
    frame = framing.encode(body)
    for place in range(len(frame) - 1):
        for bit in range(8):
            flipped = bytearray(frame)
            flipped[place] ^= 1 << bit
            assert Decoder().feed(bytes(flipped)) == []
    for place in range(len(body)):
        for bit in range(8):
            flipped = bytearray(body)
            flipped[place] ^= 1 << bit
            (forged,) = Decoder().feed(reference(bytes(flipped)))
            with pytest.raises(AuthError):
                mac.open(forged)
