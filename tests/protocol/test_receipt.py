# runs on: cpython
"""protocol.receipt: the format of C2SP tlog-proof, and that a receipt holds for one entry of one log."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import receipt as receipts
from protocol.checkpoint import Checkpoint, sign
from protocol.merkle import PROOF_MAX, SIZE_MAX, inclusion_proof
from protocol.note import NOTE_MAX, parse_signatures, with_signatures
from protocol.note import parse as parse_note
from protocol.receipt import EXTRA_MAX, Receipt, check, parse
from tests.protocol._evidence import b64, believes, broken, flips, hash_at_of, leaf, mth, refused
from tests.protocol.test_checkpoint import LOG, ORIGIN, OTHER, W1, W2

DATA = [b"entry %d" % i for i in range(70)]
LEAVES = [leaf(data) for data in DATA]
HASH_AT = hash_at_of(LEAVES)


def signed(size, leaves=LEAVES, log=LOG, origin=ORIGIN):
    checkpoint = Checkpoint(origin, size, mth(leaves[:size]))
    return with_signatures(
        parse_note(sign(checkpoint, log)), W1.sign(checkpoint.text(), 1_780_000_000)
    ).encode()


NOTES = {size: signed(size) for size in (1, 2, 7, 8, 11, 70)}


def receipt_of(index, size, extra=None):
    return Receipt(index, inclusion_proof(index, size, HASH_AT), NOTES[size], extra)


SEVEN = receipt_of(2, 7)
WITNESSED = (LOG.verifier, (W1.verifier, W2.verifier), 1)


# The format ------------------------------------------------------------------------------------------------


def test_the_format_line_by_line():
    hashes = [b64(h) for h in SEVEN.proof]
    assert SEVEN.encode().decode() == "\n".join(
        ["c2sp.org/tlog-proof@v1", "index 2", *hashes, "", SEVEN.note.decode()]
    )
    with_extra = receipt_of(2, 7, b"\0any bytes")
    assert with_extra.encode() == SEVEN.encode().replace(b"\nindex", b"\nextra AGFueSBieXRlcw==\nindex")
    assert receipt_of(0, 1).encode() == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + NOTES[1]
    assert len(SEVEN.encode()) < 700  # a few hundred bytes


@pytest.mark.parametrize("size", NOTES)
def test_every_entry_has_a_receipt(size):
    for index in range(size):
        receipt = receipt_of(index, size, b"x" if index % 2 else None)
        assert parse(receipt.encode()) == receipt
        assert check(receipt, DATA[index], *WITNESSED).size == size


GOOD = SEVEN.encode()
LINE = b64(SEVEN.proof[0]).encode()
CHANGES = [
    (b"@v1", b"@v2"),
    (b"\nindex", b"\r\nindex"),
    (b"index", b"Index"),
    (b"index 2\n", b""),
    *(
        (b"index 2", b"index" + n)
        for n in (b"", b" ", b" 02", b" +2", b" -2", b" 2 ", b" \xd9\xa2", b"  2", b"\t2")
    ),
    *((b"index 2", b"index %d" % n) for n in (3, 7, 2**63, 2**64, 10**4000)),
    *((b"index 2", b"index 2\n" + more) for more in (b"", b"index 2", b"extra AA==", LINE)),
    *(
        (b"\nindex", b"\nextra%s\nindex" % e)
        for e in (b"", b" ", b" AA", b" AB==", b" AA==\nextra AA==", b" AA== ")
    ),
    *(
        (LINE, line)
        for line in (LINE[:-1], b"", b" " + LINE, LINE + b" ", b64(b"x" * 31).encode(), b"\xff" * 44)
    ),
    (LINE + b"\n", b""),
    (b"\n\n", b"\n \n"),
    (b"\n\n", b"\n\n\n"),
    (b"\n\n", b"\n" + (LINE + b"\n") * 64 + b"\n"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES, ids=range(len(CHANGES)))
def test_what_is_not_a_receipt(old, new):
    data = GOOD.replace(old, new, 1)
    assert data != GOOD
    refused(lambda: check(parse(data), DATA[2], *WITNESSED))


def test_what_is_not_even_a_file_of_that_kind():
    head = GOOD.partition(b"\n\n")[0]
    for data in (
        b"",
        b"\n\n",
        GOOD[1:],
        head,
        head + b"\n\n",
        GOOD + b"x" * NOTE_MAX,
        None,
        GOOD.decode(),
        bytearray(GOOD),
    ):
        refused(parse, data)


@pytest.mark.parametrize(
    "receipt",
    [
        *(Receipt(index, (), b"n") for index in (-1, 2**63, True, 1.0, "1", None)),
        *(Receipt(0, proof, b"n") for proof in ((b"x",), ("x" * 32,), (None,), (bytes(32),) * 64)),
        *(Receipt(0, (), note) for note in (b"", "note", None, b"n" * (NOTE_MAX + 1))),
        *(Receipt(0, (), b"n", extra) for extra in (b"", "text", 5, b"x" * (EXTRA_MAX + 1))),
    ],
)
def test_what_is_never_written(receipt):
    refused(receipt.encode)


def test_the_largest_receipt_is_read():
    largest = Receipt(SIZE_MAX, (bytes(32),) * PROOF_MAX, b"n" * NOTE_MAX, b"x" * EXTRA_MAX)
    assert parse(largest.encode()) == largest


def test_size_is_bounded_before_anything_is_decoded():
    for data in (
        b"c2sp.org/tlog-proof@v1\n" + b"A" * 10**7,
        b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"\n".join([b"A"] * 10**6),
    ):
        refused(parse, data)


HEADS = ["c2sp.org/tlog-proof@v1\n", "extra AA==\n", "index 2\n", "index 0\n", b64(SEVEN.proof[0]) + "\n"]
pieces = st.sampled_from([*HEADS, "\n", SEVEN.note.decode(), "x", "é"])
garbage = st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=8).map(lambda p: "".join(p).encode()))


@given(garbage)
def test_garbage_raises_evidence_error_and_a_receipt_has_one_encoding(data):
    if believes(parse, data):
        assert parse(data).encode() == data
        believes(check, parse(data), DATA[2], LOG.verifier)


# What it proves --------------------------------------------------------------------------------------------


def test_every_flipped_bit_is_refused():
    for changed in flips(SEVEN.encode()):
        refused(lambda data: check(parse(data), DATA[2], LOG.verifier, (W1.verifier,), 1), changed)
    for changed in flips(DATA[2]):
        refused(check, SEVEN, changed, *WITNESSED)


def test_extra_alone_is_not_protected():
    """As the format says. Everything else is, with extra as without."""
    receipt = receipt_of(2, 7, b"context")
    begin, end = re.search(rb"extra (.*)", receipt.encode()).span(1)
    for i, changed in enumerate(flips(receipt.encode())):
        if believes(parse, changed) and believes(check, parse(changed), DATA[2], *WITNESSED):
            assert begin <= i // 8 < end
            assert parse(changed).extra != receipt.extra


@given(st.integers(0, 69), st.integers(0, 69), st.sampled_from(sorted(NOTES)), st.sampled_from(sorted(NOTES)))
def test_no_receipt_serves_for_another_entry_or_checkpoint(index, other, size, other_size):
    index, other = index % size, other % size
    receipt = receipt_of(index, size)
    if other != index:
        refused(check, receipt, DATA[other], *WITNESSED)
        refused(check, Receipt(other, receipt.proof, receipt.note), DATA[index], *WITNESSED)
        refused(check, Receipt(index, receipt_of(other, size).proof, receipt.note), DATA[index], *WITNESSED)
    if other_size != size:
        refused(check, Receipt(index, receipt.proof, NOTES[other_size]), DATA[index], *WITNESSED)


def test_the_log_and_its_witnesses():
    refused(check, SEVEN, DATA[2], OTHER.verifier, says="none of the trusted keys")
    refused(check, SEVEN, DATA[2], LOG.verifier, (W2.verifier,), 1, says="witnesses")
    theirs = Receipt(2, SEVEN.proof, signed(7, log=OTHER, origin="other/log"))
    assert check(theirs, DATA[2], OTHER.verifier).origin == "other/log"
    refused(check, theirs, DATA[2], LOG.verifier)


def test_later_cosignatures_leave_the_proof_as_it_is():
    note = parse_note(SEVEN.note)
    more = with_signatures(note, W2.sign(note.text, 1_780_000_060))
    receipt = Receipt(2, SEVEN.proof, more.encode())
    assert check(receipt, DATA[2], LOG.verifier, (W1.verifier, W2.verifier), 2).size == 7
    assert len(parse_signatures(SEVEN.note.partition(b"\n\n")[2])) == 2


# Controls --------------------------------------------------------------------------------------------------

SECOND = b"c2sp.org/tlog-proof@v1\nindex 0\n"
CONTROLS = [  # the rule, what stands in its place, an attack that the rule stops
    (
        "check_inclusion(leaf, receipt.index, checkpoint.size, receipt.proof, checkpoint.root)",
        "pass",
        lambda m: m.check(SEVEN, b"never measured", *WITNESSED),
    ),
    (
        "open_checkpoint(receipt.note, log, witnesses, witnesses_needed)",
        "open_checkpoint(receipt.note, log)",
        lambda m: m.check(SEVEN, DATA[2], LOG.verifier, (W2.verifier,), 1),
    ),
    ("if lines.pop(0) != _FIRST:", "if not lines.pop(0):",
     lambda m: m.parse(SECOND[:-9].upper() + SECOND[-9:] + b"\nn")),
    ("if len(receipt.proof) > PROOF_MAX:", "if 0:",
     lambda m: m.parse(SECOND + f"{b64(bytes(32))}\n".encode() * 64 + b"\nn")),
    ("0 < len(receipt.note) <=", "len(receipt.note) <=", lambda m: m.parse(SECOND + b"\n")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "instead", "attack"), CONTROLS, ids=range(len(CONTROLS)))
def test_control_without_the_rule_the_attack_is_believed(rule, instead, attack):
    refused(attack, receipts)
    attack(broken(receipts, rule, instead))
