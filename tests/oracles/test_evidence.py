"""protocol.merkle, note, checkpoint and receipt against Go's sumdb/note and tlog, in both directions."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.checkpoint import Checkpoint, open_checkpoint, sign
from protocol.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
)
from protocol.note import COSIGNATURE, Signer, parse_vkey, verify, with_signatures
from protocol.note import parse as parse_note
from protocol.receipt import Receipt, check, parse
from tests.oracles.go_evidence import Oracle, build
from tests.protocol._evidence import b64, believes, flips

pytestmark = [pytest.mark.xdist_group("go"), pytest.mark.timeout(180)]

SMALL = 70  # every size up to here, every index, every older size
LARGE = (127, 128, 129, 255, 256, 257, 511, 1000, 1023, 1024, 1025, 4095, 4096, 4097, 5000)
DATA = [b"entry %d of the journal" % i for i in range(max(LARGE))]
SEED = bytes(range(32))
LOG = Signer("quantrac/BN/nha-may/st-01", Ed25519PrivateKey.from_private_bytes(SEED))
WITNESS = Signer("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"w" * 32), COSIGNATURE)
KEYS = [LOG.verifier.vkey, WITNESS.verifier.vkey]
WITNESSED = (LOG.verifier, (WITNESS.verifier,), 1)

_kept = {(0, i): leaf_hash(data) for i, data in enumerate(DATA)}


def hash_at(level: int, index: int) -> bytes:
    if (level, index) not in _kept:
        _kept[level, index] = node_hash(hash_at(level - 1, 2 * index), hash_at(level - 1, 2 * index + 1))
    return _kept[level, index]


ROOTS = {size: root_at(size, hash_at) for size in (*range(SMALL + 1), *LARGE)}


def some(size: int) -> list[int]:
    return sorted({0, 1, 2, size // 3, size // 2, size // 2 + 1, size - 2, size - 1})


CASES = [(size, range(size)) for size in range(1, SMALL + 1)] + [(size, some(size)) for size in LARGE]


def receipt_of(index: int, size: int) -> bytes:
    checkpoint = Checkpoint(LOG.verifier.name, size, ROOTS[size])
    cosignature = WITNESS.sign(checkpoint.text(), 1_780_000_000)
    note = with_signatures(parse_note(sign(checkpoint, LOG)), cosignature).encode()
    return Receipt(index, inclusion_proof(index, size, hash_at), note).encode()


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with Oracle(build(tmp_path_factory.mktemp("go"))) as oracle:
        for data in DATA:
            assert oracle.believes("append", leaf=data)
        yield oracle


def test_go_has_the_same_roots(go: Oracle):
    frontier = Frontier()
    for size, data in enumerate(DATA, 1):
        frontier.append(leaf_hash(data))
        if size in ROOTS:
            assert go.ask("root", size=size)["root"] == b64(frontier.root()) == b64(ROOTS[size])


def test_go_makes_the_same_proofs_and_believes_ours(go: Oracle):
    count = 0
    for size, indexes in CASES:
        for index in indexes:
            proof = inclusion_proof(index, size, hash_at)
            theirs = go.ask("prove inclusion", index=index, size=size).get("proof", [])
            assert [b64decode(p) for p in theirs] == proof
            check_inclusion(leaf_hash(DATA[index]), index, size, proof, ROOTS[size])
            fields = {"index": index, "size": size, "proof": proof, "root": ROOTS[size]}
            assert go.believes("inclusion", leaf=DATA[index], **fields)
            assert not go.believes("inclusion", leaf=DATA[index] + b"!", **fields)
            count += 1
    assert count == SMALL * (SMALL + 1) // 2 + 8 * len(LARGE)


def test_go_believes_our_consistency_proofs(go: Oracle):
    for size, olds in CASES:
        for old in olds:
            if not old:
                continue  # Go has no proof from an empty tree
            proof = consistency_proof(old, size, hash_at)
            theirs = go.ask("prove consistency", old=old, size=size).get("proof", [])
            assert [b64decode(p) for p in theirs] == proof
            root0 = ROOTS.get(old) or root_at(old, hash_at)
            check_consistency(old, size, root0, ROOTS[size], proof)
            fields = {"old": old, "size": size, "root": ROOTS[size], "proof": proof}
            assert go.believes("consistency", root0=root0, **fields)
            assert not go.believes("consistency", root0=bytes(32), **fields)


def test_go_believes_our_receipts(go: Oracle):
    for size, indexes in CASES:
        for index in indexes:
            data = receipt_of(index, size)
            assert check(parse(data), DATA[index], *WITNESSED).root == ROOTS[size]
            assert go.believes("receipt", data=data, leaf=DATA[index], keys=KEYS)
    assert not go.believes("receipt", data=data, leaf=DATA[0], keys=KEYS)


def test_go_refuses_what_we_refuse_of_a_changed_receipt(go: Oracle):
    """Every bit. Go is laxer about how base64 is written, never about what it says."""
    data, leaf = receipt_of(2, 7), DATA[2]
    for i, changed in enumerate(flips(data)):
        assert not believes(lambda d: check(parse(d), leaf, *WITNESSED), changed)
        if go.believes("receipt", data=changed, leaf=leaf, keys=KEYS):
            assert data[i // 8 + 1] == ord(
                "="
            )  # bits that stand for nothing: ours are zero, Go does not look
    assert go.believes("receipt", data=data, leaf=leaf, keys=KEYS)


def test_go_opens_our_notes(go: Oracle):
    for size in (0, 1, 5000, 2**63 - 1):
        root = ROOTS[0] if not size else ROOTS[5000]
        checkpoint = Checkpoint(LOG.verifier.name, size, root)
        data = sign(checkpoint, LOG)
        answer = go.ask("note", data=data, keys=KEYS)
        assert answer == {"text": checkpoint.text(), "names": [LOG.verifier.name]}
        cosigned = with_signatures(parse_note(data), WITNESS.sign(checkpoint.text(), 2**63 - 1)).encode()
        assert go.ask("note", data=cosigned, keys=KEYS)["names"] == [LOG.verifier.name, WITNESS.verifier.name]
        assert not go.believes("note", data=data, keys=KEYS[1:])
        assert not go.believes("note", data=data.replace(b"\n%d\n" % size, b"\n77\n"), keys=KEYS)


def test_we_open_the_notes_of_go(go: Oracle):
    """Go signs with our key, and writes the very same bytes: Ed25519 has one signature for one text."""
    verifier = LOG.verifier
    skey = f"PRIVATE+KEY+{verifier.name}+{verifier.key_id.hex()}+{b64(bytes([1]) + SEED)}"
    for size in (1, 70, 5000):
        checkpoint = Checkpoint(verifier.name, size, ROOTS[size])
        theirs = b64decode(go.ask("sign", data=checkpoint.text().encode(), key=skey)["data"])
        assert theirs == sign(checkpoint, LOG)
        assert open_checkpoint(theirs, parse_vkey(KEYS[0])) == checkpoint
        assert verify(parse_note(theirs), [verifier]) == [(verifier, None)]


def test_go_reads_and_writes_the_text_of_a_checkpoint(go: Oracle):
    """tlog.ParseTree knows one origin only: the one of Go's own log."""
    for size in (0, 1, 70, 5000, 2**62):
        text = Checkpoint("go.sum database tree", size, ROOTS.get(size, ROOTS[70])).text().encode()
        answer = go.ask("tree", data=text)
        assert b64decode(answer["data"]) == text
