"""Small files beside the journal: whole and on the disk, or not there. OSError when the disk says no."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file, or write it anew; nobody ever sees a part of it, nor the power's end."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    sync_folder(path.parent)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """It is there, and its name is on the disk, and so are those of the folders it is in.

    Whoever made them: a process that was killed before it could sync what it made leaves that to the next.
    """
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    disk = folder.stat().st_dev
    for above in folder.resolve().parents:
        if above.stat().st_dev != disk:
            break  # where this disk is mounted
        if os.access(above, os.R_OK):  # else nobody like us made anything in it
            sync_folder(above)


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
