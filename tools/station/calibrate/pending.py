"""What is about to be written to the device, on disk before it is: `certificates/<channel>.pending`.

Rule 1: it is there before the device is told, and goes when certificate and record are on disk. So whoever
        was killed in between left either nothing that matters, or all that is needed to finish.
Rule 2: the device says whether it was written: its number and points are those of the note, or they are not.
"""

from __future__ import annotations

import os
import re

from gateway.journal import durable
from tools.people import Failure
from tools.station.calibrate.model import Calibration, parse
from tools.station.calibrate.ways import Standing
from tools.station.folder import CERTIFICATES, Folder


def plain_name(channel: str) -> str:
    """A channel's name as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", channel).strip(".") or "channel"


class Pending:
    """The note of one channel in a station's folder."""

    def __init__(self, folder: Folder, channel: str) -> None:
        self.path = folder.path / CERTIFICATES / f"{plain_name(channel)}.pending"

    def keep(self, made: Calibration) -> None:
        """It is on disk when this returns. Failure when it cannot be."""
        try:
            durable.make_folder(self.path.parent)
            durable.replace(self.path, made.encode())
        except OSError as error:
            raise Failure(f"{self.path} cannot be written ({error.strerror}).") from error

    def found(self) -> Calibration | None:
        """What an earlier run left. A note that cannot be read is none: the device says what is in force."""
        try:
            return parse(self.path.read_bytes())
        except (OSError, ValueError):
            return None

    def drop(self) -> None:
        """It is finished, or was never written to the device."""
        try:
            self.path.unlink(missing_ok=True)
            durable.sync_folder(self.path.parent)
        except OSError as error:
            raise Failure(f"{self.path} cannot be removed ({os.strerror(error.errno or 0)}).") from error


def is_in_force(made: Calibration, held: Standing) -> bool:
    """By rule 2."""
    return (held.number, held.points) == (made.number, made.points)
