"""Pictures in state_dir/pictures: what is one, where it lies, and finding it by its hash.

    pictures/<sha256>.jpg                                   of a calibration: stays for ever
    pictures/<yyyy>/<MM>/<dd>/<stamp>-<camera>-<hash8>.jpg  of a camera: gateway/camera/keeper.py

Rule 1: a picture is a JPEG or PNG from its first sign to its last, of a bounded size in bytes and pixels.
        What it shows is not looked at, and nothing here decodes it.
Rule 2: whoever asks for one names its SHA-256; no part of a path comes from outside, and what is handed out
        has that hash.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from gateway.journal import durable

FOLDER = "pictures"
BYTES_MAX = 8_000_000
"""Of one picture: what a telephone takes."""
SIDE_MAX = 16_384
JPEG, PNG = ".jpg", ".png"
MEDIA = {JPEG: "image/jpeg", PNG: "image/png"}
_SHA256 = re.compile("[0-9a-f]{64}")
_PNG_HEAD, _PNG_END = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"IEND\xaeB`\x82"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG behind which its height and width stand (ITU-T T.81, table B.1)."""


class NoPicture(ValueError):
    """Its text says why, for people."""


def kind_of(data: bytes) -> str:
    """JPEG or PNG. NoPicture."""
    if len(data) > BYTES_MAX:
        raise NoPicture(f"It has more than {BYTES_MAX // 1_000_000} MB: take a smaller picture.")
    if data.startswith(_PNG_HEAD):
        sides, kind = (data[16:20], data[20:24]), PNG
        if not data.endswith(_PNG_END):
            raise NoPicture("It is a PNG that was cut before its end.")
    elif data.startswith(b"\xff\xd8\xff"):
        sides, kind = _jpeg_sides(data), JPEG
        if not data.rstrip(b"\x00\r\n").endswith(b"\xff\xd9"):
            raise NoPicture("It is a JPEG that was cut before its end.")
    else:
        raise NoPicture("It is neither a JPEG nor a PNG.")
    if not all(0 < int.from_bytes(side, "big") <= SIDE_MAX for side in sides):
        raise NoPicture(f"It says that it is wider or higher than {SIDE_MAX} pixels, or has none.")
    return kind


def _jpeg_sides(data: bytes) -> tuple[bytes, bytes]:
    """Height and width, as its frame header says them. NoPicture where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker in _FRAMES:
            return data[at + 5 : at + 7], data[at + 7 : at + 9]
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xD8, 0xD9, 0xDA) or length < 2:
            break
        at += 2 + length
    raise NoPicture("It begins as a JPEG and goes on as none.")


def is_digest(text: str) -> bool:
    """Whether this is a SHA-256 as pictures are asked for: 64 small hex digits."""
    return _SHA256.fullmatch(text) is not None


def keep(state_dir: Path, data: bytes) -> str:
    """Keep a picture of a calibration; its SHA-256. NoPicture, OSError."""
    kind, digest = kind_of(data), sha256(data).hexdigest()
    folder = state_dir / FOLDER
    durable.make_folder(folder, 0o700)
    if find(state_dir, digest) is None:
        durable.replace(folder / f"{digest}{kind}", data, 0o600)
    return digest


def find(state_dir: Path, digest: str) -> Path | None:
    """Where the picture with this SHA-256 lies, if it does. Reads those whose names could be it."""
    if not is_digest(digest):
        return None
    folder = state_dir / FOLDER
    own = [folder / f"{digest}{kind}" for kind in MEDIA]
    for path in [*own, *sorted(folder.glob(f"[0-9]*/[0-9]*/[0-9]*/*-{digest[:8]}{JPEG}"))]:
        data = read(path)
        if data is not None and sha256(data).hexdigest() == digest:
            return path
    return None


def read(path: Path) -> bytes | None:
    """The bytes of a picture; None where none lies there that could be one."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > BYTES_MAX:
            return None
        return path.read_bytes()
    except OSError:
        return None
