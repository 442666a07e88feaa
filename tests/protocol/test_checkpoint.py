# runs on: cpython
"""protocol.checkpoint: the example of C2SP, the grammar, who must have signed."""

from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol import checkpoint as checkpoints
from protocol.checkpoint import Checkpoint, open_checkpoint, parse, sign
from protocol.merkle import EMPTY_ROOT, SIZE_MAX
from protocol.note import COSIGNATURE, NOTE_MAX, Note, Signer, with_signatures
from protocol.note import parse as parse_note
from tests.protocol._evidence import b64, believes, broken, flips, refused

ORIGIN = "quantrac/BN/nha-may/st-01"


def signer(name, seed, algorithm=1):
    return Signer(name, Ed25519PrivateKey.from_private_bytes(seed * 32), algorithm)


LOG, OTHER = signer(ORIGIN, b"l"), signer("other/log", b"o")
W1, W2 = signer("w1", b"1", COSIGNATURE), signer("w2", b"2", COSIGNATURE)
ROOT = bytes(range(32))
FIVE = Checkpoint(ORIGIN, 5, ROOT)
TEXT = FIVE.text()
NOTE = with_signatures(parse_note(sign(FIVE, LOG)), W1.sign(TEXT, 1_780_000_000)).encode()
EXAMPLE = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def note_of(text, *signers):
    lines = [s.sign(text, 5 if s.verifier.algorithm == COSIGNATURE else None) for s in signers]
    return with_signatures(Note(text, ()), *lines).encode()


# The text --------------------------------------------------------------------------------------------------


def test_the_example_of_c2sp():
    checkpoint = parse(EXAMPLE)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert b64(checkpoint.root) == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert checkpoint.extensions == () and checkpoint.text() == EXAMPLE


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("o", 0, EMPTY_ROOT),
        Checkpoint("o", SIZE_MAX, ROOT),
        Checkpoint("trạm 1", 1, ROOT),
        Checkpoint("o", 1, ROOT, ("one", "another")),
        Checkpoint("— a+b", 1, ROOT, ("— c AAAA",)),
    ],
)
def test_edges_of_what_is_a_checkpoint(checkpoint):
    assert parse(checkpoint.text()) == checkpoint


ROOT64 = b64(ROOT)


SIZES = [
    *("05", "+5", "-5", "-0", " 5", "5 ", "5.0", "5e0", "0x5", "5_0", "٥", "五", "00"),
    2**63,
    2**64,
    "9" * 5000,
]
LINES = ["", "\n", "\n\n\n", "o\n5\n", "o\n5\nR", "\n5\nR\n", "o\n\nR\n", "o\n5\nR\n\n", "o\n5\nR\n\nx\n"]
LINES += ["o\n5\nR\nx", "o\r\n5\nR\n", "o\n5\nR\nx\ty\n", "o\n5\nR \n", "o\n0\nR\n", "\ud800\n5\nR\n"]
ROOTS = [ROOT64[:-1], b64(ROOT[:-1]), b64(ROOT + b"x"), ROOT64.replace("=", "")]


@pytest.mark.parametrize(
    "text",
    [
        *(f"o\n{size}\n{ROOT64}\n" for size in SIZES),
        *(f"o\n5\n{root}\n" for root in ROOTS),
        *(lines.replace("R", ROOT64) for lines in LINES),
        "o" * NOTE_MAX + f"\n5\n{ROOT64}\n",
        EXAMPLE.encode(),
        None,
    ],
)
def test_what_is_not_a_checkpoint(text):
    refused(parse, text)


@pytest.mark.parametrize("origin", ["", "a\nb", "\ud800", "a\x1b[31m", None, b"o"])
def test_an_origin_that_is_never_signed(origin):
    refused(sign, Checkpoint(origin, 5, ROOT), LOG)


@pytest.mark.parametrize(
    "checkpoint",
    [
        *(Checkpoint("o", size, ROOT) for size in (-1, 0, 2**63, True, 5.0, "5", None)),
        *(Checkpoint("o", 5, root) for root in (ROOT[1:], "r" * 32, b"", None)),
        *(Checkpoint("o", 5, ROOT, extensions) for extensions in (("",), ("a\n",), (5,), ("a", ""))),
    ],
)
def test_what_is_never_signed(checkpoint):
    refused(sign, checkpoint, LOG)


lines = st.lists(
    st.one_of(st.sampled_from(["o", "5", "0", "05", ROOT64, b64(EMPTY_ROOT), "", "x"]), st.text(max_size=5))
)


@given(lines.map(lambda found: "\n".join([*found, ""])))
def test_garbage_raises_evidence_error_and_a_checkpoint_has_one_text(text):
    if believes(parse, text):
        assert parse(text).text() == text
    believes(open_checkpoint, text.encode("utf-8", "replace"), LOG.verifier)


# Who must have signed --------------------------------------------------------------------------------------


def test_a_checkpoint_of_the_log():
    for witnesses, needed in (
        ((), 0),
        ((W1.verifier,), 1),
        ((W1.verifier, W2.verifier), 1),
        ((W2.verifier,), 0),
    ):
        assert open_checkpoint(NOTE, LOG.verifier, witnesses, needed) == FIVE
    refused(
        open_checkpoint,
        NOTE,
        LOG.verifier,
        (W1.verifier, W2.verifier),
        2,
        says="1 of the witnesses have signed",
    )
    refused(open_checkpoint, NOTE, LOG.verifier, (W2.verifier,), 1, says="0 of the witnesses have signed")
    refused(open_checkpoint, NOTE, LOG.verifier, (), 1)


def test_every_flipped_bit_is_refused():
    for changed in flips(NOTE):
        refused(open_checkpoint, changed, LOG.verifier, (W1.verifier,), 1)


def test_the_log_must_have_signed_and_be_the_origin():
    refused(open_checkpoint, note_of(TEXT, W1), LOG.verifier, (W1.verifier,), 1, says="has not signed")
    refused(open_checkpoint, note_of(TEXT, OTHER), LOG.verifier, says="none of the trusted keys")
    theirs = note_of(TEXT.replace(ORIGIN, "other/log"), LOG)
    refused(open_checkpoint, theirs, LOG.verifier, says="called differently")


def test_what_a_log_signs_besides_is_no_checkpoint():
    for text in ("hello\n", TEXT + "\n", "\n" + TEXT, TEXT.replace("\n5\n", "\n05\n")):
        refused(open_checkpoint, note_of(text, LOG), LOG.verifier)


# One key counts once: a cosignature does not say under which name it was made.
SAME = signer("w1-again", b"1", COSIGNATURE)
LOG_TOO = signer("w3", b"l", COSIGNATURE)
TWO_NAMES = note_of(TEXT, LOG, W1, SAME)


def test_witnesses_are_others_and_count_once():
    both = (W1.verifier, SAME.verifier)
    refused(open_checkpoint, TWO_NAMES, LOG.verifier, both, 2, says="1 of the witnesses")
    assert open_checkpoint(TWO_NAMES, LOG.verifier, both, 1) == FIVE
    refused(
        open_checkpoint,
        note_of(TEXT, LOG, LOG_TOO),
        LOG.verifier,
        (LOG_TOO.verifier,),
        1,
        says="no key of a witness",
    )
    refused(open_checkpoint, note_of(TEXT, LOG, OTHER), LOG.verifier, (OTHER.verifier,), 1, says="type 4")
    refused(open_checkpoint, NOTE, LOG.verifier, (LOG.verifier,), 1, says="no key of a witness")


# Controls --------------------------------------------------------------------------------------------------


def opens(note, witnesses=(), needed=0):
    def attack(module: ModuleType) -> None:
        module.open_checkpoint(note, LOG.verifier, [w.verifier for w in witnesses], needed)

    return attack


CONTROLS = [  # the rule, what stands in its place, an attack that the rule stops
    ("if log not in signed:", "if False:", opens(note_of(TEXT, W1), [W1])),
    ("if checkpoint.origin != log.name:", "if False:", opens(note_of(EXAMPLE, LOG))),
    ("if found < witnesses_needed:", "if False:", opens(note_of(TEXT, LOG), [W1], 1)),
    ("len({verifier.public for verifier in signed} - {log.public})", "len(signed) - 1",
     opens(TWO_NAMES, [W1, SAME], 2)),
    ("witness.algorithm != COSIGNATURE or", "", opens(note_of(TEXT, LOG, OTHER), [OTHER], 1)),
    ("or witness.public == log.public", "", opens(note_of(TEXT, LOG, LOG_TOO), [LOG_TOO])),
    ("0|[1-9][0-9]{0,18}", "[0-9]+", lambda m: m.parse(TEXT.replace("\n5\n", "\n05\n")).text()),
    ("if not self.size and self.root != EMPTY_ROOT:", "if False:", lambda m: m.parse(f"o\n0\n{ROOT64}\n")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "instead", "attack"), CONTROLS, ids=range(len(CONTROLS)))
def test_control_without_the_rule_the_attack_is_believed(rule, instead, attack):
    refused(attack, checkpoints)
    attack(broken(checkpoints, rule, instead))
