"""Pictures of cameras on the disk: written, counted, and removed when they are old or too many. It blocks:
keeper.py calls it in a helper thread.

    <folder>/<yyyy>/<MM>/<dd>/<stamp>-<camera>-<hash8>.jpg      stamp: yyyyMMddHHmmss, GMT+7

Rule 1: a picture has its name when all of it is on the disk.
Rule 2: of a camera that is configured what is older than its keep_days goes, and the oldest beyond its
        keep_mb; of one that is configured no more what is older than LOST_DAYS. Nothing that has another form
        of name is touched (photos of calibrations lie beside the years).
Rule 3: where the disk is short nothing is written: room is the journal's first.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from gateway.camera.faults import CameraFault
from gateway.journal import durable
from gateway.journal.room import FREE_BYTES_MIN
from gateway.pictures import FOLDER, JPEG
from gateway.reports.layout import stamp

LOST_DAYS = 60
ROOM_FACTOR = 2
"""Of what the journal calls short (journal/room.py)."""
_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)\d{6}-(.{1,64})-[0-9a-f]{8}\.jpg")


class Kept(NamedTuple):
    """How long, and how much, of one camera."""

    days: int
    bytes: int


class Picture(NamedTuple):
    """One on the disk."""

    path: Path
    camera: str
    day: date
    bytes: int


def place(state_dir: Path, camera: str, t_ms: int, digest: str) -> Path:
    """Where a picture lies; digest: its SHA-256 in hex."""
    at = stamp(t_ms)
    return state_dir / FOLDER / at[:4] / at[4:6] / at[6:8] / f"{at}-{camera}-{digest[:8]}{JPEG}"


def write(state_dir: Path, camera: str, t_ms: int, data: bytes) -> str:
    """Put a picture on the disk; its SHA-256 in hex. CameraFault where there is no room, OSError."""
    if shutil.disk_usage(state_dir).free < ROOM_FACTOR * FREE_BYTES_MIN + len(data):
        raise CameraFault("The disk is short: no pictures are kept until there is room.")
    digest = sha256(data).hexdigest()
    path = place(state_dir, camera, t_ms, digest)
    durable.make_folder(path.parent, 0o700)
    durable.replace(path, data, 0o600)
    return digest


def listed(state_dir: Path) -> list[Picture]:
    """All pictures of cameras, the oldest first."""
    found: list[Picture] = []
    for path in sorted((state_dir / FOLDER).glob("[0-9]*/[0-9]*/[0-9]*/*.jpg"), key=lambda path: path.name):
        name = _NAME.fullmatch(path.name)
        if name is None:
            continue
        with suppress(OSError, ValueError):
            found.append(
                Picture(path, name[4], date(int(name[1]), int(name[2]), int(name[3])), path.lstat().st_size)
            )
    return found


def superfluous(pictures: Iterable[Picture], kept: Mapping[str, Kept], today: date) -> list[Picture]:
    """Those that have to go (rule 2); `pictures` the oldest first. Pure."""
    gone: list[Picture] = []
    room = {camera: each.bytes for camera, each in kept.items()}
    for picture in reversed(list(pictures)):
        settings = kept.get(picture.camera)
        days = LOST_DAYS if settings is None else settings.days
        if picture.day < today - timedelta(days=days):
            gone.append(picture)
        elif settings is not None:
            room[picture.camera] -= picture.bytes
            if room[picture.camera] < 0:
                gone.append(picture)
    return gone[::-1]


def tidy(state_dir: Path, kept: Mapping[str, Kept], today: date) -> tuple[int, Counter[str]]:
    """Remove what has to go: how many went, and the bytes that each camera has left. OSError."""
    pictures = listed(state_dir)
    gone = superfluous(pictures, kept, today)
    left: Counter[str] = Counter()
    for picture in pictures:
        left[picture.camera] += picture.bytes
    for picture in gone:
        left[picture.camera] -= picture.bytes
        picture.path.unlink(missing_ok=True)
    for folder in {picture.path.parent for picture in gone}:
        for empty in (folder, folder.parent, folder.parent.parent):
            try:
                empty.rmdir()
            except OSError:
                break  # there is something in it
    return len(gone), left
