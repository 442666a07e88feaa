"""How the bodies of records lie in the journal: packed, where that makes them shorter.

A frame at a station's load has some 600 bytes, half of them the same in each row. Packed it fits into one
page of the database, and a memory card lives so much longer (`quantrac bench card`).

Rule 1: stored is 0x00 and the body in raw DEFLATE (RFC 1951), or 0x01 and the body by columns, in the same.
        No message of the protocol begins with 0x00 or 0x01 (CBOR: the numbers 0 and 1); a body that does is
        always packed. So what is stored is read in one way only.
Rule 2: only FRAME and POLL. All other kinds lie as they are: SQL looks into them.
Rule 3: the leaf is the hash of the body itself, and is held against it as before. What cannot be unpacked is
        damaged, and given as it lies: its leaf says so.
"""

from __future__ import annotations

import zlib

from gateway.journal.kinds import FRAME, RECORDS

MARK, BY_COLUMNS = b"\0", b"\1"
LEAST_BYTES = 128
"""Shorter bodies are not worth it."""
MOST_BYTES = 1 << 20
"""What a packed body may come to; an entry has 256 KiB at the most (verify_bundle.py)."""
MOST_AT_ONCE = 256
"""Entries of a transaction that are packed; in larger ones none is: 20 µs each, and they share pages."""


_ROW_BYTES = 12
"""Of a row as most are: 85, channel, 19, offset (2), fa, float (4), quality, calibration (records.py)."""
_TAG_BYTES = 34
"""Behind the rows of a frame (cose.py); behind those of a POLL there is nothing."""
_ROWS_MOST = 255
_ROWS_LEAST = 4


def to_store(kind: int, body: bytes) -> bytes:
    """How a body is to lie in the journal."""
    must = body[:1] in (MARK, BY_COLUMNS)
    if kind not in RECORDS or (len(body) < LEAST_BYTES and not must):
        return body
    columns = by_columns(kind, body)
    packed = MARK + _deflated(body) if columns is None else BY_COLUMNS + _deflated(columns)
    return packed if must or len(packed) < len(body) else body


def marked(kind: int, body: bytes) -> bytes:
    """The same in a hurry: packed only where rule 1 demands it."""
    return to_store(kind, body) if kind in RECORDS and body[:1] in (MARK, BY_COLUMNS) else body


def stored_body(kind: int, stored: bytes) -> bytes:
    """The body of an entry, by what lies in the journal."""
    mark = stored[:1]
    if kind not in RECORDS or mark not in (MARK, BY_COLUMNS):
        return stored
    unpacker = zlib.decompressobj(wbits=-15)
    try:
        packed = unpacker.decompress(stored[1:], MOST_BYTES)
    except zlib.error:
        return stored
    if not unpacker.eof or unpacker.unused_data:
        return stored
    body = packed if mark == MARK else by_rows(kind, packed)
    return stored if body is None else body


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(6, wbits=-15)
    return packer.compress(data) + packer.flush()


def by_columns(kind: int, body: bytes) -> bytes | None:
    """A body with the bytes of its last rows in another order: the first byte of each, the second, and so on.

    Measured values have noise. Row by row DEFLATE finds little in them; among the first bytes of floats, and
    of offsets, it does: 360 bytes of 638 in place of 505, and some 400 fit into a page.

    None: there are no such rows. In front stands how many they are. Nothing is understood but the shape: any
    body comes back.
    """
    end = len(body) - (_TAG_BYTES if kind == FRAME else 0)
    at, rows = end, 0
    while at >= _ROW_BYTES and rows < _ROWS_MOST:
        row = at - _ROW_BYTES
        if body[row] != 0x85 or body[row + 2] != 0x19 or body[row + 5] != 0xFA:
            break
        at, rows = row, rows + 1
    if rows < _ROWS_LEAST:
        return None
    region = body[at:end]
    columns = [region[k::_ROW_BYTES] for k in range(_ROW_BYTES)]
    return b"".join((bytes((rows,)), body[:at], *columns, body[end:]))


def by_rows(kind: int, columns: bytes) -> bytes | None:
    """The inverse of by_columns(); None for what did not come from there."""
    rows = columns[0] if columns else 0
    end = len(columns) - (_TAG_BYTES if kind == FRAME else 0)
    at = end - rows * _ROW_BYTES
    if at < 1:
        return None
    region = bytearray(rows * _ROW_BYTES)
    for k in range(_ROW_BYTES):
        region[k::_ROW_BYTES] = columns[at + k * rows : at + (k + 1) * rows]
    return columns[1:at] + bytes(region) + columns[end:]
