# runs on: cpython
"""protocol.note: known answers of C2SP and of Go, the grammar, the keys, damage of every kind."""

import re
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol import note as notes
from protocol.note import (
    COSIGNATURE,
    NOTE_MAX,
    SIGNATURES_MAX,
    TIME_S_MAX,
    Note,
    Signature,
    Signer,
    Verifier,
    cosigned,
    parse,
    parse_signatures,
    parse_vkey,
    verifier_of,
    verify,
    with_signatures,
)
from tests.protocol._evidence import b64, believes, broken, flips, refused

LOG = Signer("quantrac/BN/nha-may/st-01", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Signer("other.example/log", Ed25519PrivateKey.from_private_bytes(b"o" * 32))
W1 = Signer("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"1" * 32), COSIGNATURE)
W2 = Signer("witness.example/w2", Ed25519PrivateKey.from_private_bytes(b"2" * 32), COSIGNATURE)
TEXT = "quantrac/BN/nha-may/st-01\n5\nTjvTG3sfR43P5x+2MWMVGaO6HCmu/KFhK/5ME6hiZNQ=\n"
NOW_S = 1_780_000_000
SIGNED = with_signatures(Note(TEXT, ()), LOG.sign(TEXT), W1.sign(TEXT, NOW_S))
ALL = (LOG.verifier, W1.verifier, W2.verifier)
# Of a time that C2SP tlog-cosignature does not allow, and otherwise right.
LATE_S = TIME_S_MAX + 1
LATE_SIGNATURE = Ed25519PrivateKey.from_private_bytes(b"1" * 32).sign(
    f"cosignature/v1\ntime {LATE_S}\n{TEXT}".encode()
)
LATE = Signature(*W1.verifier[:2], LATE_S.to_bytes(8, "big") + LATE_SIGNATURE)

# C2SP signed-note, "Example".
C2SP_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
# Go, sumdb/note.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""


# Known answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("vkey", "text"), [(C2SP_VKEY, C2SP_NOTE), (GO_VKEY, GO_NOTE)])
def test_notes_that_others_made(vkey, text):
    verifier = parse_vkey(vkey)
    assert verifier.vkey == vkey
    note = parse(text.encode())
    assert note.encode() == text.encode() and note.text == text.rpartition("\n\n")[0] + "\n"
    assert verify(note, [verifier]) == [(verifier, None)]
    for changed in flips(text.encode()):
        refused(lambda data: verify(parse(data), [verifier]), changed)


def test_the_formats_byte_by_byte():
    key = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
    public = key.public_key().public_bytes_raw()
    line = W1.sign(TEXT, NOW_S)
    assert re.fullmatch("— witness.example/w1 [A-Za-z0-9+/]+=*\n", line)
    signature = parse_signatures(line.encode())[0]
    assert signature.key_id == W1.verifier.key_id and signature.line == line
    assert signature.signature[:8] == NOW_S.to_bytes(8, "big")
    key.public_key().verify(signature.signature[8:], b"cosignature/v1\ntime 1780000000\n" + TEXT.encode())
    assert W1.verifier.vkey == f"witness.example/w1+{W1.verifier.key_id.hex()}+{b64(bytes([4]) + public)}"
    assert verifier_of("witness.example/w1", public).key_id != W1.verifier.key_id  # one key, two types


# Keys ------------------------------------------------------------------------------------------------------


def test_verifier_keys():
    for signer in (LOG, OTHER, W1):
        assert parse_vkey(signer.verifier.vkey) == signer.verifier
    name, key_id, material = W1.verifier.vkey.split("+", 2)
    assert parse_vkey(f"{name}+{key_id.upper()}+{material}") == W1.verifier  # hex is hex
    keys = [bytes([4]) + bytes(31), bytes([2]) + bytes(32), bytes([4])]
    wrong = [f"{name}+{key_id}+{b64(key)}" for key in keys]
    wrong += [
        f"{name}+{key_id}+{m}" for m in ("", material + " ", material + "\n", material[:-1], "+" + material)
    ]
    wrong += [f"{name}+{i}+{material}" for i in (key_id[1:], "0" + key_id, " " + key_id, "0x" + key_id, "")]
    wrong += [f"{n}+{key_id}+{material}" for n in ("", name + "x", name + "\n", name + "\u00a0")]
    for text in (*wrong, "", "a", "a+b", "\ud800+00000000+AA==", "x" * (NOTE_MAX + 1)):
        refused(parse_vkey, text)
    refused(parse_vkey, b"bytes")


def test_every_changed_letter_of_a_verifier_key_is_refused_or_another_key():
    for changed in flips(W1.verifier.vkey.encode()):
        text = changed.decode("latin-1")
        if text.lower() != W1.verifier.vkey.lower() or text.split("+")[0] != W1.verifier.name:
            refused(parse_vkey, text)


def test_names_hold_no_space_of_unicode():
    """As Go's unicode.IsSpace has them: the White_Space property."""
    white = {
        *range(9, 14),
        0x20,
        0x85,
        0xA0,
        0x1680,
        *range(0x2000, 0x200B),
        0x2028,
        0x2029,
        0x202F,
        0x205F,
        0x3000,
    }
    refusing = {c for c in range(sys.maxunicode + 1) if not notes._is_name(f"a{chr(c)}b")}
    assert refusing == white | {ord("+")} | set(range(32)) | set(range(0xD800, 0xE000))
    for name in ("", " ", None, b"x", "a b", "a+b"):
        refused(verifier_of, name, bytes(32))
    refused(verifier_of, "name", bytes(31))
    refused(verifier_of, "name", bytes(32), 2)


# Verifying -------------------------------------------------------------------------------------------------


def test_who_signed():
    log, w1, w2 = ALL
    assert verify(SIGNED, ALL) == [(log, None), (w1, NOW_S)]
    assert verify(SIGNED, [w2, w1]) == [(w1, NOW_S)]  # the log's key is unknown here, and ignored
    assert verify(SIGNED, [log, log]) == [(log, None)]
    refused(verify, SIGNED, [w2], says="none of the trusted keys has signed")
    refused(verify, SIGNED, [], says="none was given")


def test_every_flipped_bit_is_refused():
    data = SIGNED.encode()
    for changed in flips(data):
        try:
            note = parse(changed)
            believed = verify(note, ALL)
        except notes.EvidenceError:
            continue
        # What is left is a note of which one signature is of an unknown key now. It is not counted.
        assert note.text == TEXT and len(believed) == 1


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_note_that_is_cut_short(cut):
    data = SIGNED.encode()[:-cut]
    assert not believes(parse, data) or len(verify(parse(data), ALL)) < 2


def test_a_wrong_signature_of_a_known_key_condemns_the_note():
    name, key_id, good = SIGNED.signatures[1]
    for bad in (good[:-1], good + b"\0", b"\0" * 72, good[8:], good[:8], LATE.signature,
                (NOW_S + 1).to_bytes(8, "big") + good[8:]):  # fmt: skip
        note = Note(TEXT, (SIGNED.signatures[0], Signature(name, key_id, bad)))
        refused(verify, parse(note.encode()), ALL, says="does not fit")
        assert verify(note, [LOG.verifier]) == [(LOG.verifier, None)]


def test_two_signatures_of_one_key():
    line = W1.sign(TEXT, NOW_S + 1)
    refused(with_signatures, SIGNED, line, says="same key")
    refused(with_signatures, SIGNED, W2.sign(TEXT, 1), W2.sign(TEXT, 2), says="same key")
    for more in (line, W1.sign(TEXT, NOW_S)):
        twice = parse(SIGNED.encode() + more.encode())
        refused(verify, twice, ALL, says="twice")
        assert len(verify(twice, [LOG.verifier])) == 1


def test_two_trusted_keys_must_not_be_mistaken_for_each_other():
    alike = Verifier(W1.verifier.name, W1.verifier.key_id, COSIGNATURE, bytes(32))
    refused(verify, SIGNED, [W1.verifier, alike], says="same id")


def test_a_key_of_the_same_name_or_id_is_another_key():
    v = W1.verifier
    for other in (v._replace(name="witness.example/w9"), v._replace(key_id=b"\0\1\2\3")):
        refused(verify, SIGNED, [other], says="none of the trusted keys")


def test_a_signature_of_one_type_is_none_of_another():
    """A log's key does not cosign, whatever is written beside it: the messages differ."""
    key = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
    plain = Signer(W1.verifier.name, key)
    signature = parse_signatures(plain.sign(TEXT).encode())[0].signature
    forged = Signature(W1.verifier.name, W1.verifier.key_id, bytes(8) + signature)
    refused(verify, Note(TEXT, (forged,)), [W1.verifier], says="does not fit")


# Adding signatures -----------------------------------------------------------------------------------------


def test_what_a_witness_answered():
    answer = W1.sign(TEXT, NOW_S + 60) + OTHER.sign(TEXT) + W2.sign(TEXT, NOW_S + 61)
    note = cosigned(SIGNED, answer.encode(), [W1.verifier, W2.verifier])
    assert note.signatures[0] == SIGNED.signatures[0]
    assert verify(note, ALL) == [(LOG.verifier, None), (W1.verifier, NOW_S + 60), (W2.verifier, NOW_S + 61)]
    assert len(note.signatures) == 3  # OTHER is nobody that we asked
    evil = Signature(*LOG.verifier[:2], b"x" * 64).line  # no answer can take the log's own signature away
    assert (
        cosigned(SIGNED, (evil + W2.sign(TEXT, 1)).encode(), [W2.verifier]).signatures[:2]
        == SIGNED.signatures
    )
    for wrong in (b"", b"\n", b"no", OTHER.sign(TEXT).encode(), W1.sign(TEXT + "x\n", NOW_S).encode(),
                  W1.sign(TEXT, 1).encode() * 2, b"\xff\n", W1.sign(TEXT, 1).encode()[:-1]):  # fmt: skip
        refused(cosigned, SIGNED, wrong, [W1.verifier, W2.verifier])


def test_what_is_not_signed():
    for text in (
        "",
        "no newline",
        "tab\t\n",
        "\r\n",
        "\0\n",
        "\ud800\n",
        "x" * NOTE_MAX + "\n",
        None,
        b"bytes\n",
    ):
        refused(LOG.sign, text)
    refused(LOG.sign, TEXT, NOW_S)
    for time_s in (None, -1, TIME_S_MAX + 1, 1.5, True):
        refused(W1.sign, TEXT, time_s)
    for time_s in (0, TIME_S_MAX):
        note = with_signatures(Note(TEXT, ()), W1.sign(TEXT, time_s))
        assert verify(parse(note.encode()), [W1.verifier]) == [(W1.verifier, time_s)]


# The grammar -----------------------------------------------------------------------------------------------

LINE = LOG.sign(TEXT)


def test_what_is_not_a_note():
    b = LINE.split(" ")[2].rstrip("\n")
    for data in ("", "\n", "\n\n", TEXT, TEXT + "\n", TEXT + LINE, "\n" + LINE, TEXT + "\r\n" + LINE,
                 TEXT + "\x7f\x1f\n\n" + LINE):  # fmt: skip
        refused(parse, data.encode())
    for below in (LINE[:-1], LINE + "\n", LINE + "x\n", LINE[:-1] + "\r\n", LINE.replace("—", "-"),
                  LINE.replace("— ", "—"), LINE.replace("— ", "—  "), f"— {b}\n", f"— a+b {b}\n",
                  f"— a\u00a0b {b}\n", f"— a {b} \n", f"— a {b} x\n", "— a \n", "— a AAAA\n",
                  "— a AAAAAA==\n", "— a AAAAAB==\n", "— a AAAAAAB=\n", "— a AAAAAAA\n",
                  "— a AAAA_AAA\n", "— a AAA AAAA=\n",
                  "— a AAAAAAAA====\n", "— a ====\n", "— a é\n"):  # fmt: skip
        refused(parse, f"{TEXT}\n{below}".encode())
    refused(parse, TEXT)
    refused(parse, bytearray(SIGNED.encode()))
    refused(parse, b"\xff\n\n" + LINE.encode())
    refused(parse, b"\xed\xa0\x80\n\n" + LINE.encode())  # a surrogate
    refused(parse, b"x" * (NOTE_MAX + 1))


def test_what_is_a_note():
    for text in ("\n", "\n\n", "a\n\nb\n", "\n\n\n", f"x\n\n{LINE}", "ố ồ \x7f\u2028\n", "— \n"):
        note = with_signatures(Note(text, ()), LOG.sign(text))
        assert parse(note.encode()) == note and verify(note, [LOG.verifier])
    assert parse(f"{TEXT}\n— a AAAAAAA=\n".encode()).signatures == (Signature("a", bytes(4), bytes(1)),)


def test_as_many_signatures_as_others_read():
    many = "".join(f"— w{i} AAAAAAA=\n" for i in range(SIGNATURES_MAX - 1))
    note = parse(f"{TEXT}\n{many}{LINE}".encode())
    assert len(note.signatures) == SIGNATURES_MAX and verify(note, [LOG.verifier])
    refused(parse, f"{TEXT}\n{many}{LINE}{LINE}".encode(), says="more than 100")
    refused(parse, f"{TEXT}\n".encode() + LINE.encode() * 5000)


pieces = st.sampled_from(
    ["\n", "\n\n", "— ", " ", "a", TEXT, LINE, W1.sign(TEXT, NOW_S), "AAAAAAA=", "+", "é", "\r"]
)
garbage = st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=8).map(lambda p: "".join(p).encode()))


@given(garbage)
def test_garbage_raises_evidence_error_and_nothing_else(data):
    """And whatever is read is written again byte for byte: a note has one encoding."""
    if believes(parse, data):
        assert parse(data).encode() == data
        believes(verify, parse(data), ALL)
    believes(parse_signatures, data)
    believes(parse_vkey, data.decode("latin-1"))


@given(st.integers(0, len(SIGNED.encode())), st.binary(max_size=6), st.integers(0, 6))
def test_a_splice_is_refused_or_harmless(at, new, dropped):
    data = SIGNED.encode()
    changed = data[:at] + new + data[at + dropped :]
    if changed != data and believes(parse, changed) and believes(verify, parse(changed), ALL):
        note = parse(changed)
        assert note.text == TEXT and set(verify(note, ALL)) <= set(verify(SIGNED, ALL))


def test_errors_repeat_nothing_that_a_stranger_wrote():
    for text in (f"{TEXT}\n— \x9b31mred AAAA\n", f"{TEXT}\n— \x9b31mred AAAAA\n", f"\x9b31m\n— {LINE}"):
        assert "\x9b" not in refused(parse, text.encode())
    assert "\x9b" not in refused(parse_vkey, "\x9b31m+00000000+" + b64(b"\1" + bytes(32)))


# Controls --------------------------------------------------------------------------------------------------

FORGED = Note(TEXT.replace("\n5\n", "\n6\n"), SIGNED.signatures)
TWICE = parse(SIGNED.encode() + W1.sign(TEXT, 1).encode())
MANY = f"{TEXT}\n".encode() + LINE.encode() * 200
CONTROLS = [  # the rule, what stands in its place, an attack that the rule stops
    ("key.verify(signature,", "bytes(signature), (", lambda m: m.verify(FORGED, ALL)),
    ("or (time_s or 0) > TIME_S_MAX", "", lambda m: m.verify(Note(TEXT, (LATE,)), ALL)),
    ("if signature[:2] in signed:", "if False:", lambda m: m.verify(TWICE, ALL)),
    ("if not signed:", "if False:", lambda m: m.verify(SIGNED, [])),
    (
        "if known.setdefault(verifier[:2], verifier) != verifier:",
        "if known.setdefault(verifier[:2], verifier) is None:",
        lambda m: m.verify(SIGNED, [W1.verifier, W1.verifier._replace(public=bytes(32))]),
    ),
    (
        "if key_id.lower() != verifier.key_id.hex():",
        "if False:",
        lambda m: m.parse_vkey(f"x{LOG.verifier.vkey}"),
    ),
    ("or to_base64(data) != text", "", lambda m: m.parse(f"{TEXT}\n— a AAAAAAB=\n".encode())),
    (
        "if len({s[:2] for s in signatures}) != len(signatures):",
        "if False:",
        lambda m: m.with_signatures(SIGNED, W1.sign(TEXT, 1)),
    ),
    ("if len(found) > SIGNATURES_MAX:", "if False:", lambda m: m.parse(MANY)),
    ("if _CONTROL.search(text):", "if False:", lambda m: m.parse(b"a\x1b[31m\n\n" + LINE.encode())),
]


@pytest.mark.parametrize(("rule", "instead", "attack"), CONTROLS, ids=range(len(CONTROLS)))
def test_control_without_the_rule_the_attack_is_believed(rule, instead, attack):
    refused(attack, notes)
    attack(broken(notes, rule, instead))
