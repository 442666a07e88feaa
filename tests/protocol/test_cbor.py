# runs on: cpython, micropython

from protocol import cbor
from protocol.cbor import Float32
from protocol.errors import CodecError
from tests.protocol._check import Random, raises, unhex, value_of, vectors


def test_vectors_are_written_and_read():
    count = 0
    for vector in vectors("cbor"):
        if "error" not in vector:
            data = unhex(vector["hex"])
            value = value_of(vector["value"])
            assert cbor.dumps(value) == data, vector
            read = cbor.loads(data, Float32)
            assert cbor.dumps(read) == data and type(read) is type(value), vector
            assert read == value, vector
            count += 1
    assert count >= 100


def test_bad_vectors_are_refused():
    count = 0
    for vector in vectors("cbor"):
        if "error" in vector:
            if "hex" in vector:
                raises(CodecError, cbor.loads, unhex(vector["hex"]))
                raises(CodecError, cbor.loads, unhex(vector["hex"]), Float32)
            else:
                raises(CodecError, cbor.dumps, value_of(vector["value"]))
            count += 1
    assert count >= 80


def test_vectors_cut_short_or_with_garbage_behind_are_refused():
    for vector in vectors("cbor"):
        if "error" not in vector:
            data = unhex(vector["hex"])
            for garbage in (b"\0", b"\xff", data[:40]):
                raises(CodecError, cbor.loads, data + garbage)
            for length in range(min(len(data), 60)):
                raises(CodecError, cbor.loads, data[:length])


def test_plain_floats_are_numbers():
    assert cbor.loads(unhex("fa41c80000")) == 25.0
    assert cbor.loads(unhex("fb3fb999999999999a")) == 0.1
    assert cbor.dumps(25.0) == unhex("fa41c80000")
    assert cbor.dumps(float("nan")) == cbor.dumps(-float("nan")) == unhex("fa7fc00000")
    read = cbor.loads(unhex("fa7fa00000"))
    assert read != read


def test_bits_are_kept():
    for bits in (0x7FA00000, 0xFFA00001, 0x7FC00000, 0, 0x80000000, 0xFFFFFFFF):
        assert cbor.loads(cbor.dumps([Float32(bits)]), Float32)[0].bits == bits


def test_what_cannot_be_sent_says_so():
    for value in (object(), {1.5: 1}, {None: 1}, {True: 1}, {(1,): 1}, [len], {1, 2}, 1 << 64):
        raises(CodecError, cbor.dumps, value)


def test_text_with_half_a_character_is_not_sent():
    for half in (chr(0xD800), "NO" + chr(0xDFFF), {chr(0xD912): 1}):
        assert "surrogate" in str(raises(CodecError, cbor.dumps, half))
    assert cbor.dumps(chr(0xD7FF) + chr(0xE000)) == unhex("66ed9fbfee8080")


def test_bytearrays_and_memory_are_read():
    assert cbor.loads(bytearray(b"\x82\x01\x41\x00")) == [1, b"\0"]
    assert cbor.dumps([bytearray(b"ab"), (1, 2)]) == unhex("824261628201" + "02")


def test_garbage_raises_nothing_else():
    random = Random(8949)
    read = 0
    for _ in range(3000):
        data = random.bytes(1 + random.below(6))
        try:
            value = cbor.loads(data, Float32)
        except CodecError:
            continue
        assert cbor.dumps(value) == data  # what is accepted has one encoding
        read += 1
    assert read > 100
