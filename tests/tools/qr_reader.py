"""A reader of QR codes, independent of the library that draws them: the modules back into the text.

Only what tests need: version 4, alphanumeric, nothing damaged (so without Reed-Solomon). By ISO/IEC 18004.
"""

from __future__ import annotations

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
MASKS = (
    lambda r, c: (r + c) % 2,
    lambda r, c: r % 2,
    lambda r, c: c % 3,
    lambda r, c: (r + c) % 3,
    lambda r, c: (r // 2 + c // 3) % 2,
    lambda r, c: r * c % 2 + r * c % 3,
    lambda r, c: (r * c % 2 + r * c % 3) % 2,
    lambda r, c: ((r + c) % 2 + r * c % 3) % 2,
)
BLOCKS = {(4, "L"): [80], (4, "M"): [32, 32], (4, "Q"): [24, 24], (4, "H"): [9, 9, 9, 9]}
"""Data codewords of each block, by version and level."""


def read(rows: list[list[int]]) -> str:
    """The text of a code with its quiet zone; 1 is dark. AssertionError for what is no code of ours."""
    code = _trimmed(rows)
    size = len(code)
    version = (size - 17) // 4
    bits = [code[8][c] for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [code[r][8] for r in (7, 5, 4, 3, 2, 1, 0)]
    format = int("".join(map(str, bits)), 2) ^ 0b101010000010010
    level, mask = "MLHQ"[format >> 13], MASKS[format >> 10 & 7]
    words = _codewords(code, size, mask)
    return _text(_sorted(words, BLOCKS[version, level]))


def _trimmed(rows: list[list[int]]) -> list[list[int]]:
    dark = [r for r, row in enumerate(rows) if any(row)]
    columns = [c for c in range(len(rows[0])) if any(row[c] for row in rows)]
    assert min(dark) >= 4 and min(columns) >= 4, "the quiet zone is too small"
    code = [row[columns[0] : columns[-1] + 1] for row in rows[dark[0] : dark[-1] + 1]]
    assert len(code) == len(code[0]) and [code[0][c] for c in range(8)] == [1] * 7 + [0]
    return code


def _codewords(code: list[list[int]], size: int, mask) -> list[int]:
    at = size - 7  # the one alignment pattern of versions 2 to 6

    def reserved(r: int, c: int) -> bool:
        finder = (r < 9 and c < 9) or (r < 9 and c >= size - 8) or (r >= size - 8 and c < 9)
        return finder or 6 in (r, c) or (abs(r - at) <= 2 and abs(c - at) <= 2)

    found, up = [], True
    for right in [c for c in range(size - 1, 6, -2)] + [5, 3, 1]:
        for r in range(size - 1, -1, -1) if up else range(size):
            found += [code[r][c] ^ (not mask(r, c)) for c in (right, right - 1) if not reserved(r, c)]
        up = not up
    return [int("".join(str(int(bit)) for bit in found[i : i + 8]), 2) for i in range(0, len(found) - 7, 8)]


def _sorted(words: list[int], lengths: list[int]) -> list[int]:
    """The data of interleaved blocks, one after the other."""
    blocks: list[list[int]] = [[] for _ in lengths]
    stream = iter(words)
    for i in range(max(lengths)):
        for block, length in zip(blocks, lengths, strict=True):
            if i < length:
                block.append(next(stream))
    return [word for block in blocks for word in block]


def _text(words: list[int]) -> str:
    bits = "".join(f"{word:08b}" for word in words)
    assert bits[:4] == "0010", "not alphanumeric"
    count, at, text = int(bits[4:13], 2), 13, ""
    while len(text) < count:
        if count - len(text) > 1:
            pair = int(bits[at : at + 11], 2)
            text, at = text + LETTERS[pair // 45] + LETTERS[pair % 45], at + 11
        else:
            text, at = text + LETTERS[int(bits[at : at + 6], 2)], at + 6
    return text


def modules_of(lines: list[str]) -> list[list[int]]:
    """The modules of lines of half blocks, as a terminal shows them: light ones are drawn."""
    rows: list[list[int]] = []
    for line in lines:
        rows.append([0 if letter in "█▀" else 1 for letter in line])
        rows.append([0 if letter in "█▄" else 1 for letter in line])
    return rows
