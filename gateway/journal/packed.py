"""How the bodies of records lie in the journal: packed, where that makes them shorter.

A frame at a station's load has some 600 bytes, half of them the same in each row. Packed it fits into one
page of the database, and a memory card lives so much longer (`quantrac bench card`).

Rule 1: stored is 0x00 and the body in raw DEFLATE (RFC 1951). No message of the protocol begins with 0x00
        (CBOR: the number 0); a body that does is always packed. So what is stored is read in one way only.
Rule 2: only FRAME and POLL. All other kinds lie as they are: SQL looks into them.
Rule 3: the leaf is the hash of the body itself, and is held against it as before. What cannot be unpacked is
        damaged, and given as it lies: its leaf says so.
"""

from __future__ import annotations

import zlib

from gateway.journal.kinds import RECORDS

MARK = b"\0"
LEAST_BYTES = 128
"""Shorter bodies are not worth it."""
MOST_BYTES = 1 << 20
"""What a packed body may come to; an entry has 256 KiB at the most (verify_bundle.py)."""
MOST_AT_ONCE = 256
"""Entries of a transaction that are packed; in larger ones none is: 20 µs each, and they share pages."""


def to_store(kind: int, body: bytes) -> bytes:
    """How a body is to lie in the journal."""
    if kind not in RECORDS or (len(body) < LEAST_BYTES and not body.startswith(MARK)):
        return body
    packer = zlib.compressobj(6, wbits=-15)
    packed = MARK + packer.compress(body) + packer.flush()
    return packed if len(packed) < len(body) or body.startswith(MARK) else body


def marked(kind: int, body: bytes) -> bytes:
    """The same in a hurry: packed only where rule 1 demands it."""
    return to_store(kind, body) if kind in RECORDS and body.startswith(MARK) else body


def stored_body(kind: int, stored: bytes) -> bytes:
    """The body of an entry, by what lies in the journal."""
    if kind not in RECORDS or not stored.startswith(MARK):
        return stored
    unpacker = zlib.decompressobj(wbits=-15)
    try:
        body = unpacker.decompress(stored[1:], MOST_BYTES)
    except zlib.error:
        return stored
    return body if unpacker.eof and not unpacker.unused_data else stored
