# Signed notes: C2SP signed-note v1.0.0, with Ed25519 signatures (type 0x01) and, for witnesses, the
# timestamped ones of C2SP tlog-cosignature v1.0 (type 0x04).
#
#   some text, one line or more
#   <empty line>
#   — <key name> <base64(key id, 4 bytes || signature)>        one line for each signature
#
# Rule 1: whatever the bytes, parse() and parse_vkey() raise EvidenceError or return. A note has one encoding:
#         parse(data).encode() == data.
# Rule 2: believe a note only after verify(). It ignores keys that it was not given; a wrong signature of a
#         key that it was given condemns the whole note, and so do two signatures of one key.
# Rule 3: key id = SHA-256(name || 0x0A || type || public key), 4 bytes. A key signs as one type only.
# Rule 4: what is not verified stays out of the texts of errors: they may reach a terminal.
# Rule 5: no clock: who cosigns brings the time, in Unix seconds.

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.merkle import EvidenceError

ED25519 = 0x01
COSIGNATURE = 0x04  # Ed25519 over "cosignature/v1", the time and the text
NOTE_MAX = 1_000_000  # bytes of a note: far above what 16 post-quantum signatures need
SIGNATURES_MAX = 100  # lines of signatures, as in Go's sumdb/note; the specification asks for 16 at least
TIME_S_MAX = (1 << 63) - 1
_PREFIX = "— "
_CONTROL = re.compile("[\0-\t\v-\x1f]")  # all but the newline


# A public key that is trusted. Made by parse_vkey() or verifier_of(), which see to it that key_id is right.
class Verifier(NamedTuple):
    name: str
    key_id: bytes  # 4
    algorithm: int  # ED25519 or COSIGNATURE
    public: bytes  # 32

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes((self.algorithm,)) + self.public)}"


# A line, not verified. signature: without the key id; a COSIGNATURE begins with 8 bytes of time.
class Signature(NamedTuple):
    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"{_PREFIX}{self.name} {to_base64(self.key_id + self.signature)}\n"


# text ends with a newline. Nothing of it is verified.
class Note(NamedTuple):
    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        _check_text(self.text)
        return f"{self.text}\n{''.join(s.line for s in self.signatures)}".encode()


class Signer:
    def __init__(self, name: str, private: Ed25519PrivateKey, algorithm: int = ED25519):
        self.verifier = verifier_of(name, private.public_key().public_bytes_raw(), algorithm)
        self._private = private

    # The line to put below the text. time_s: when a witness saw it; for COSIGNATURE only.
    def sign(self, text: str, time_s: int | None = None) -> str:
        _check_text(text)
        stamp = b""
        if self.verifier.algorithm == COSIGNATURE:
            if type(time_s) is not int or not 0 <= time_s <= TIME_S_MAX:
                raise EvidenceError("a witness signs with the time in Unix seconds: pass time_s")
            stamp = time_s.to_bytes(8, "big")
        elif time_s is not None:
            raise EvidenceError("only a witness signs with a time: leave time_s out")
        signature = self._private.sign(_message(self.verifier.algorithm, text, time_s))
        return Signature(self.verifier.name, self.verifier.key_id, stamp + signature).line


# Keys ------------------------------------------------------------------------------------------------------


def verifier_of(name: str, public: bytes, algorithm: int = ED25519) -> Verifier:
    if not _is_name(name):
        raise EvidenceError("the name of a key is text without spaces, control characters and plus signs")
    if algorithm not in (ED25519, COSIGNATURE):
        raise EvidenceError(f"keys of type {algorithm} are not supported: use 1 (Ed25519) or 4 (a witness)")
    if type(public) is not bytes or len(public) != 32:
        raise EvidenceError("an Ed25519 public key is 32 bytes")
    key_id = sha256(name.encode() + b"\n" + bytes((algorithm,)) + public).digest()[:4]
    return Verifier(name, key_id, algorithm, public)


# A verifier key as C2SP signed-note writes it, without a newline: <name>+<key id, hex>+<base64(type || key)>.
def parse_vkey(text: str) -> Verifier:
    parts = text.split("+", 2) if type(text) is str and len(text) <= NOTE_MAX else ()
    if len(parts) != 3:
        raise EvidenceError("a verifier key is <name>+<8 hex digits>+<base64>, on one line")
    name, key_id, material = parts
    data = unbase64(material, "the third part of the verifier key")
    verifier = verifier_of(name, data[1:], data[0] if data else 0)
    if key_id.lower() != verifier.key_id.hex():
        raise EvidenceError(
            "the verifier key is damaged: its id does not follow from its name and key. Copy it once more"
        )
    return verifier


# str.isspace() knows Unicode's spaces, and four control characters, which no note may hold anyway.
def _is_name(name: str) -> bool:
    return (
        type(name) is str
        and 0 < len(name) <= NOTE_MAX
        and not any(c == "+" or c < " " or c.isspace() or "\ud800" <= c <= "\udfff" for c in name)
    )


# Notes -----------------------------------------------------------------------------------------------------


def parse(data: bytes) -> Note:
    text, mark, below = _text(data, "the note").rpartition("\n\n")
    if not mark:
        raise EvidenceError("the note has no empty line between its text and its signatures")
    return Note(text + "\n", _signatures(below))


# The signature lines that a witness answers with, not verified.
def parse_signatures(data: bytes) -> tuple[Signature, ...]:
    return _signatures(_text(data, "the list of signatures"))


def _text(data: bytes, what: str) -> str:
    if type(data) is not bytes or len(data) > NOTE_MAX:
        raise EvidenceError(f"{what} is larger than {NOTE_MAX} bytes, or no bytes at all")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise EvidenceError(f"{what} is not UTF-8") from None
    if _CONTROL.search(text):
        raise EvidenceError(f"{what} holds a control character other than a newline")
    return text


def _check_text(text: str) -> None:
    try:
        data = text.encode() if type(text) is str else b""
    except UnicodeEncodeError:
        raise EvidenceError("the text of a note holds a lone surrogate") from None
    if not _text(data, "the text of the note").endswith("\n"):
        raise EvidenceError("the text of a note ends with a newline")


def _signatures(lines: str) -> tuple[Signature, ...]:
    found = lines.split("\n")
    if found.pop() or not found:
        raise EvidenceError("below the text of a note stand one or more signatures, each on a line that ends")
    if len(found) > SIGNATURES_MAX:
        raise EvidenceError(f"a note has {len(found)} signatures: more than {SIGNATURES_MAX} are not read")
    return tuple(_signature(line) for line in found)


def _signature(line: str) -> Signature:
    name, mark, material = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not mark or not _is_name(name):
        raise EvidenceError("a signature below a note is an em dash, a name and base64, with spaces between")
    data = unbase64(material, "a signature below the note")
    if len(data) < 5:
        raise EvidenceError("a signature below the note is cut short")
    return Signature(name, data[:4], data[4:])


# Adds signature lines, as sign() makes them. A key signs a note once.
def with_signatures(note: Note, *lines: str) -> Note:
    _check_text(note.text)
    signatures = note.signatures + _signatures("".join(lines))
    if len({s[:2] for s in signatures}) != len(signatures):
        raise EvidenceError("two of the signatures are by the same key: add each key's signature once")
    return Note(note.text, signatures)


# Adds what a witness answered: of its lines those of the given verifiers, each checked; others are dropped,
# as C2SP tlog-witness asks. A newer cosignature takes the place of an older one by the same key.
def cosigned(note: Note, answer: bytes, verifiers: Iterable[Verifier]) -> Note:
    more = Note(note.text, parse_signatures(answer))
    known = {v[:2] for v, _ in verify(more, verifiers)}
    kept = tuple(s for s in note.signatures if s[:2] not in known)
    return Note(note.text, kept + tuple(s for s in more.signatures if s[:2] in known))


# Who of the verifiers signed, in the order of the note, each with the time of its cosignature (Unix seconds)
# or None. Signatures of other keys are ignored.
def verify(note: Note, verifiers: Iterable[Verifier]) -> list[tuple[Verifier, int | None]]:
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault(verifier[:2], verifier) != verifier:
            raise EvidenceError(f"two of the trusted keys are called {verifier.name} and have the same id")
    signed: dict[tuple[str, bytes], tuple[Verifier, int | None]] = {}
    for signature in note.signatures:
        verifier = known.get(signature[:2])
        if verifier is None:
            continue
        if signature[:2] in signed:
            raise EvidenceError(f"{verifier.name} has signed the note twice with one key: once is right")
        signed[signature[:2]] = verifier, _verified(verifier, note.text, signature.signature)
    if not signed:
        names = ", ".join(v.name for v in known.values()) or "none was given"
        raise EvidenceError(f"none of the trusted keys has signed the note ({names})")
    return list(signed.values())


def _verified(verifier: Verifier, text: str, signature: bytes) -> int | None:
    time_s = None
    if verifier.algorithm == COSIGNATURE:
        time_s, signature = int.from_bytes(signature[:8], "big"), signature[8:]
    try:
        if len(signature) != 64 or (time_s or 0) > TIME_S_MAX:
            raise InvalidSignature
        key = Ed25519PublicKey.from_public_bytes(verifier.public)
        key.verify(signature, _message(verifier.algorithm, text, time_s))
    except (InvalidSignature, ValueError):
        raise EvidenceError(
            f"the signature of {verifier.name} does not fit the note: one of them was changed"
        ) from None
    return time_s


def _message(algorithm: int, text: str, time_s: int | None) -> bytes:
    return (f"cosignature/v1\ntime {time_s}\n{text}" if algorithm == COSIGNATURE else text).encode()


# Base64 ----------------------------------------------------------------------------------------------------


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# RFC 4648 section 4, strictly: padded, and the bits behind the last byte are zero, so bytes have one text.
def unbase64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or to_base64(data) != text:
        raise EvidenceError(f"{what} is not base64 (RFC 4648, padded) of something")
    return data
