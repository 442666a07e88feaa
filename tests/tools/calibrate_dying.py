"""`quantrac` that is killed at one step: python -m tests.tools.calibrate_dying station calibrate ...

QUANTRAC_DIES_AT names the step; SIGKILL, as when the battery is out. Steps: noted (what is to be written is
on disk, the device was not told), told (it was told, nobody looked what it says), certificate (its files are
there, the record is not), recorded (but the note is still there).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from gateway.journal import durable
from tools import cli
from tools.station.calibrate import through, ways
from tools.station.calibrate.pending import Pending
from tools.station.folder import Folder

STEP = os.environ.get("QUANTRAC_DIES_AT", "")
replace = durable.replace


def step(name: str) -> None:
    if name == STEP:
        os.kill(os.getpid(), signal.SIGKILL)


def replacing(path: Path, data: bytes, mode: int = 0o644) -> None:
    replace(path, data, mode)
    if path.suffix == ".json" and path.parent.name == "certificates":
        step("certificate")


def keeping(keep: Any) -> Any:
    def kept(self: Pending, made: Any) -> None:
        keep(self, made)
        step("noted")

    return kept


def writing(write: Any) -> Any:
    async def written(self: Any, *given: Any) -> None:
        await write(self, *given)
        step("told")

    return written


def recording(record: Any) -> Any:
    def recorded(self: Folder, *given: Any, **facts: Any) -> Any:
        made = record(self, *given, **facts)
        step("recorded")
        return made

    return recorded


durable.replace = replacing
Pending.keep = keeping(Pending.keep)
ways.Direct.write = writing(ways.Direct.write)
through.Through.write = writing(through.Through.write)
Folder.record = recording(Folder.record)

if __name__ == "__main__":
    cli.main()
