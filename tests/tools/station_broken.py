"""`quantrac` with a mistake in it: python -m tests.tools.station_broken station report --dir st-01 ...

Whoever opens a station's folder divides by zero, as if a programmer had.
"""

from __future__ import annotations

from pathlib import Path

from tools import cli
from tools.station.folder import Folder


def broken(path: Path) -> Folder:
    return Folder(path / str(1 // 0))


Folder.at = broken

if __name__ == "__main__":
    cli.main()
