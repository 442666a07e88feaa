"""`quantrac` whose process says at its end what was imported into it, in "modules" beside CONFIG:

    python -m tests.gateway.telling gateway run CONFIG

With a file "careless" beside CONFIG, configurations are read in this very process: the control.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

from tools.cli import main

if __name__ == "__main__":
    folder = Path(sys.argv[3]).parent
    leave = os._exit

    def tell() -> None:
        (folder / "modules").write_text("\n".join(sys.modules))

    def leaving(status: int) -> None:  # what process.py does while a thread hangs
        tell()
        leave(status)

    atexit.register(tell)
    os._exit = leaving  # type: ignore[assignment]
    if (folder / "careless").exists():
        import gateway.config  # noqa: F401
    main()
