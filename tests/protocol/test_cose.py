# runs on: cpython, micropython

from protocol._compat import compare_digest
from protocol.cose import KID_BYTES_MAX, Mac0, kid_of, payload_of
from protocol.errors import AuthError, CodecError, ConfigError
from tests.protocol._check import Random, raises, unhex, vectors

KEY = bytes(range(32))


def test_vectors_are_sealed_and_opened():
    count = 0
    for vector in vectors("cose"):
        if "error" not in vector and "kid" in vector:
            mac = Mac0(vector["kid"], unhex(vector["key"]))
            payload, body = unhex(vector["payload"]), unhex(vector["body"])
            assert mac.seal(payload) == body, vector
            assert mac.open(body) == payload, vector
            assert kid_of(body) == vector["kid"] and payload_of(body) == payload
            assert len(body) - len(payload) <= mac.overhead
            count += 1
    assert count >= 25


def test_what_stands_before_a_body_stays():
    mac = Mac0("st-01", bytes(32))
    for n in (0, 23, 24, 255, 256, 1000):  # heads of one, two and three bytes
        out = bytearray(b"before")
        at = mac.begin(out)
        out += bytes(n)
        mac.end(out, at)
        assert out == b"before" + mac.seal(bytes(n)), n


def test_bad_vectors_are_refused():
    count = 0
    for vector in vectors("cose"):
        if "error" in vector and "kid" in vector:
            raises(AuthError, Mac0(vector["kid"], unhex(vector["key"])).open, unhex(vector["body"]))
            kid_of(unhex(vector["body"]))
            count += 1
    assert count >= 35


def test_a_body_is_taken_apart_without_the_key():
    taken = refused = 0
    for vector in vectors("cose"):
        if "unwrap" not in vector:
            continue
        body = unhex(vector["unwrap"])
        if "error" in vector:
            raises(CodecError, payload_of, body)
            refused += 1
        else:
            assert payload_of(body) == unhex(vector["payload"]), vector
            taken += 1
            if taken == 1:
                for length in range(len(body)):
                    raises(CodecError, payload_of, body[:length])
    assert taken >= 15 and refused >= 20


def test_vectors_cut_short_or_with_garbage_behind_are_refused():
    for vector in vectors("cose"):
        if "error" not in vector and "kid" in vector and len(vector["payload"]) <= 48:
            mac, body = Mac0(vector["kid"], unhex(vector["key"])), unhex(vector["body"])
            for garbage in (b"\0", b"\xff", body):
                raises(AuthError, mac.open, body + garbage)
            for length in range(len(body)):
                raises(AuthError, mac.open, body[:length])
                kid_of(body[:length])


def test_every_flipped_bit_is_refused():
    mac = Mac0("st-01", KEY)
    body = mac.seal(b"25.0")
    for place in range(len(body)):
        for bit in range(8):
            flipped = bytearray(body)
            flipped[place] ^= 1 << bit
            raises(AuthError, mac.open, bytes(flipped))


def test_digests_are_equal_when_every_byte_is():
    for a, b in ((b"", b""), (b"ab", b"ab"), (bytes(32), bytes(32))):
        assert compare_digest(a, b)
    for a, b in ((b"", b"a"), (b"ab", b"a"), (b"ab", b"abc"), (b"ab", b"ac"), (b"ab", b"\xe1b")):
        assert not compare_digest(a, b) and not compare_digest(b, a)


def test_the_key_id_of_another_device_is_seen():
    assert kid_of(Mac0("st-02", bytes(32)).seal(b"x")) == "st-02"
    assert kid_of(Mac0("k" * 32, bytes(32)).seal(b"x")) == "k" * 32
    for body in (b"", b"\xd1\x84", Mac0("st-02", bytes(32)).seal(b"x")[:11], bytes(60)):
        assert kid_of(body) is None


def test_unfit_keys_and_names():
    for key in (b"", bytes(31), bytes(33), "0" * 32, None):
        raises(ConfigError, Mac0, "st-01", key)
    for kid in ("", "x" * (KID_BYTES_MAX + 1), None, 5):
        raises(ConfigError, Mac0, kid, KEY)


def test_garbage_raises_nothing_else():
    random = Random(9052)
    mac = Mac0("st-01", KEY)
    head = mac.seal(b"")[:14]
    for _ in range(500):
        noise = random.bytes(random.below(80))
        raises(AuthError, mac.open, noise)
        raises(AuthError, mac.open, head + noise)
        for body in (noise, head + noise, head[:8] + noise, head + noise + b"\x58\x20" + bytes(32)):
            kid_of(body)
            try:
                payload_of(body)
            except CodecError:
                pass


def test_too_long_a_payload():
    raises(AuthError, Mac0("st-01", KEY).seal, bytes(0x10000))
