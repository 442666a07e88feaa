"""The seal key on paper, for the inspector: as digits that a copying mistake cannot slip through, and as a QR
code. The key is made here, shown once, and nobody but he keeps it.

        1   3f9a 22b1 0c4d 9e80   5b1c          a line: its number, 16 digits of the key, its check digits
        ...
        4   77d0 4e15 a0c2 19bf   02e7

Rule 1: the check digits are CRC-16 (CCITT, from 0) over the line's number and its 8 bytes: one wrong digit,
        two that changed places, and lines in another order are found, with the line they are in.
Rule 2: the QR code holds the 64 digits and nothing else, in capitals: what `quantrac verify --seal-key` takes
        in a file. It takes these lines, too, typed in with or without numbers and check digits.
Rule 3: a file for a printer is made for its owner's eyes, and never in the place of another one.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import os
import re
import secrets
from importlib import resources
from pathlib import Path

from tools.people import UsageError

KEY_BYTES, LINES, FINGERPRINT_DIGITS = 32, 4, 16
BORDER = 4  # light modules around the code, as readers ask for
FORMATS = (".svg", ".png", ".txt")
_LINE_BYTES = KEY_BYTES // LINES
_TYPED = re.compile(r"(?:([1-4])[.:)]?\s+)?((?:[0-9a-f]{4}\s+){3}[0-9a-f]{4})(?:\s+([0-9a-f]{4}))?")
_WHITE_ON_BLACK, _PLAIN = "\x1b[38;5;231m\x1b[48;5;16m", "\x1b[0m"


def new_key() -> str:
    """64 hexadecimal digits that nobody could guess."""
    return secrets.token_hex(KEY_BYTES)


def fingerprint(key: str) -> str:
    """By which a key is known to records: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(bytes.fromhex(key)).hexdigest()[:FINGERPRINT_DIGITS]


# As text


def lines(key: str) -> list[str]:
    """The key as a person copies it."""
    data = bytes.fromhex(key)
    parts = [data[at : at + _LINE_BYTES] for at in range(0, KEY_BYTES, _LINE_BYTES)]
    return [f"{i}   {part.hex(' ', 2)}   {_check(i, part)}" for i, part in enumerate(parts, 1)]


def page(station: str, key: str, code: list[str]) -> list[str]:
    """The whole paper as lines of text; `code`: those of the QR code."""
    return [
        f"SEAL KEY of station {station}",
        "",
        *(f"    {line}" for line in lines(key)),
        "",
        f"    The last four digits of a line are its check. Fingerprint: {fingerprint(key)}",
        "",
        *(f"    {line}" for line in code),
    ]


def _check(number: int, data: bytes) -> str:
    return f"{binascii.crc_hqx(bytes([number]) + data, 0):04x}"


def digits(text: str) -> str:
    """The 64 digits of what a person typed in from the paper, other lines of it included.

    ValueError with the line that is wrong. Without check digits nothing can be found wrong.
    """
    typed = [found for line in text.lower().splitlines() if (found := _TYPED.fullmatch(line.strip()))]
    if not typed:
        plain = "".join(text.lower().split())
        if len(plain) == 2 * KEY_BYTES and not plain.strip("0123456789abcdef"):
            return plain
        raise ValueError("it holds no seal key: write its four lines as they stand on the paper")
    for number, found in enumerate(typed, 1):
        said, groups, check = int(found[1] or number), bytes.fromhex(found[2]), found[3]
        if said != number:
            raise ValueError(f"line {number} is missing, or is not four groups of four digits")
        if check is not None and check != _check(number, groups):
            raise ValueError(f"line {number} is not as on the paper: its check digits do not fit")
    if len(typed) != LINES:
        raise ValueError(f"{len(typed)} of its {LINES} lines can be read: each is four groups of four digits")
    return "".join(found[2].replace(" ", "") for found in typed)


# As a QR code


def matrix(key: str) -> list[list[int]]:
    """The code's modules with its border: 1 is dark."""
    import segno

    code = segno.make(key.upper(), error="m", micro=False)
    return [list(row) for row in code.matrix_iter(border=BORDER)]


def code_lines(key: str, coloured: bool = False) -> list[str]:
    """The code for a screen: two modules in a character, light ones drawn.

    coloured: white on black whatever the terminal's colours are. Without it, a terminal with dark letters on
    a light ground shows the code inverted, which not every reader takes.
    """
    rows = matrix(key)
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    drawn = [
        "".join("█▀▄ "[2 * upper + lower] for upper, lower in zip(first, second, strict=True))
        for first, second in zip(rows[::2], rows[1::2], strict=True)
    ]
    return [f"{_WHITE_ON_BLACK}{line}{_PLAIN}" for line in drawn] if coloured else drawn


# As a file


def check_path(path: Path, folder: Path) -> str | None:
    """What to write in the place of `path`, None when it will do. `folder`: where the station's files go."""
    if path.suffix.lower() not in FORMATS:
        return f"{path}: write a name that ends in .svg, .png or .txt"
    if path.resolve().is_relative_to(folder.resolve()):
        return f"{path}: write a name outside of {folder}, which others copy and keep"
    if path.exists() or path.is_symlink():
        return f"{path}: exists already, and may be another station's; write another name"
    if not path.parent.is_dir():
        return f"{path}: there is no folder {path.parent}; write a name in one that is there"
    return None


def write(path: Path, station: str, key: str) -> None:
    """The paper as a file, mode 0600. UsageError when something is there, OSError as writing has it."""
    content = {".svg": _svg, ".png": _png, ".txt": _txt}[path.suffix.lower()](station, key)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already: name another file for the seal key.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _txt(station: str, key: str) -> bytes:
    return ("\n".join(page(station, key, code_lines(key))) + "\n").encode()


def _svg(station: str, key: str) -> bytes:
    """A page of 105 x 148 mm (A6): the code, and the text below it."""
    rows, text = matrix(key), page(station, key, [])
    module = 80 / len(rows)
    path = "".join(
        f"M{12.5 + x * module:.3f} {5 + y * module:.3f}h{module:.3f}v{module:.3f}h-{module:.3f}z"
        for y, row in enumerate(rows)
        for x, dark in enumerate(row)
        if dark
    )
    said = "".join(
        f'<text x="52.5" y="{95 + 5 * i}">{line.strip()}</text>' for i, line in enumerate(_short(text))
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="105mm" height="148mm" viewBox="0 0 105 148">'
        f'<rect width="105" height="148" fill="#fff"/><path d="{path}" shape-rendering="crispEdges"/>'
        '<g font-family="monospace" font-size="3.4" text-anchor="middle" xml:space="preserve">'
        f"{said}</g></svg>\n"
    ).encode()


def _short(text: list[str]) -> list[str]:
    """A page's lines for a narrow one."""
    return [part for line in text for part in line.replace(" Fingerprint", "\nFingerprint").split("\n")]


def _png(station: str, key: str) -> bytes:
    """The same page, 300 dots an inch."""
    from PIL import Image, ImageDraw, ImageFont

    rows, scale = matrix(key), 20
    side = len(rows) * scale
    image = Image.new("L", (1240, 1748), 255)
    draw = ImageDraw.Draw(image)
    left, top = (1240 - side) // 2, 60
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                at = (left + x * scale, top + y * scale)
                draw.rectangle((*at, at[0] + scale - 1, at[1] + scale - 1), fill=0)
    with resources.as_file(resources.files("font_roboto") / "files" / "Roboto-Regular.ttf") as file:
        font = ImageFont.truetype(str(file), 40)
    for i, line in enumerate(_short(page(station, key, []))):
        draw.text((620, top + side + 90 + 60 * i), line.strip(), fill=0, font=font, anchor="mm")
    made = io.BytesIO()
    image.save(made, "PNG", dpi=(300, 300))
    return made.getvalue()
