# runs on: cpython, micropython

import struct

from protocol import seal
from protocol.messages import Event, Readings, Seal, decode, encode
from tests.protocol._check import unhex, vectors


def test_the_chain_is_that_of_the_vectors():
    chain = seal.Chain(bytes(32))
    count = 0
    for vector in vectors("seal"):
        if "added" in vector:
            for record in vector["added"]:
                chain.add(*record[:6], unhex(record[6]))
            assert chain.value == unhex(vector["chain"]), vector
            count += len(vector["added"])
    assert count == 123


def test_seals_are_those_of_the_vectors():
    count = 0
    for vector in vectors("seal"):
        says = vector.get("seal")
        if says:
            message = decode(unhex(vector["hex"]))
            assert type(message) is Seal and encode(message) == unhex(vector["hex"])
            chain = unhex(says["before"])
            tag = seal.tag(
                unhex(says["key"]),
                vector["device"].encode(),
                says["epoch"],
                message.seq,
                says["life"],
                message.time_ms,
                message.clock,
                chain,
            )
            assert tag == unhex(says["tag"]) == message.tag and chain == message.chain
            assert (message.life, message.epoch) == (says["life"], says["epoch"])
            body = struct.pack(seal.BODY, message.life, message.epoch, chain, tag)
            assert body == unhex(vector["added"][0][6]) and struct.unpack(seal.BODY, body)[3] == tag
            count += 1
    assert count == 15


def test_keys_are_those_of_the_vectors():
    count = 0
    for vector in vectors("seal"):
        if "from" in vector:
            key = unhex(vector["from"])
            for _ in range(vector["epoch"]):
                key = seal.next_key(key)
            assert key == unhex(vector["key"])
            count += 1
    assert count == 4


def test_a_vector_is_what_its_message_says():
    kinds = []
    for vector in vectors("seal"):
        if "hex" not in vector:
            continue
        message = decode(unhex(vector["hex"]))
        first = vector["added"][0]
        kinds.append(type(message))
        if type(message) is Readings:
            assert first[0] == message.first_seq and first[5] == message.base_ms + message.rows[0][1]
            assert first[4] == message.rows[0][2]
        elif type(message) is Event:
            assert first[0] == message.seq and first[1] == message.kind
    assert len(set(kinds)) == 4


# Every field, and every bit of it, changes the chain; so does the order.
def test_any_bit_of_a_record_counts():
    good = [7, 3, 0x80, 9, 0x41C80000, 1780000000000, b"\x61a"]
    seen = []

    def note(*records):
        chain = seal.Chain(bytes(range(32)))
        for record in records:
            chain.add(*record)
        if not seen:
            seen.append(chain.value)
        else:
            assert chain.value != seen[0], records

    note(good)
    for place, bits in enumerate((32, 8, 8, 16, 32, 53)):
        for bit in range(bits):
            record = list(good)
            record[place] ^= 1 << bit
            note(record)
    other = list(good)
    for other[6] in (b"", b"\x61b", b"\x60a", b"\x61a\0", b"a"):
        note(other)
    other[0] = 8
    note(good, good)
    seen.clear()
    note(good, other)
    note(other, good)


def test_any_bit_of_a_seal_counts():
    good = [bytes(range(32)), b"st-01", 1, 2, 3, 1780000000000, 1, bytes(range(32, 64))]
    expected = seal.tag(*good)

    def note(changed):
        assert seal.tag(*changed) != expected, changed

    for place, bits in ((2, 32), (3, 53), (4, 32), (5, 53), (6, 1)):
        for bit in range(bits):
            changed = list(good)
            changed[place] ^= 1 << bit
            note(changed)
    for place in (0, 7):
        for bit in range(256):
            changed = list(good)
            data = bytearray(changed[place])
            data[bit >> 3] ^= 1 << (bit & 7)
            changed[place] = bytes(data)
            note(changed)
    changed = list(good)
    for changed[1] in (b"st-02", b"st-0", b"st-011", b""):
        note(changed)


def test_the_tag_is_hmac():
    found = seal.tag(bytes(range(32)), b"", 0, 1, 1, 0, 0, bytes(32))
    assert found == unhex(HMAC)


HMAC = "79499b00651af05b7a9ff068875bd2a4807d3e0fc4bdfda4fea44307fe977620"
