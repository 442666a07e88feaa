"""Where everything of the service lies, on this machine or below another root.

Rule 1: a path in a text (unit, link, configuration) is a path of the machine that will run it; only what is
        read and written here goes through `real()`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

UNIT = "quantrac-gateway.service"
USER = "quantrac"
SERIAL_GROUP = "dialout"
OPT = Path("/opt/quantrac")
CURRENT, PREVIOUS = OPT / "current", OPT / "previous"
ETC = Path("/etc/quantrac")
CREDENTIALS = ETC / "credentials"
STATE = Path("/var/lib/quantrac")
BACKUPS = Path("/var/backups/quantrac")
COMMAND = Path("/usr/local/bin/quantrac")
UNIT_FILE = Path("/etc/systemd/system") / UNIT
PLACE_FILE = OPT / "config"
"""Holds the path of the configuration, for `upgrade`, `rollback` and `uninstall`."""
HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))
"""What the service does not see (ProtectHome, PrivateTmp)."""


class Place(NamedTuple):
    """A machine: this one ("/"), or one whose disk is mounted or made below `root`."""

    root: Path = Path("/")

    @property
    def live(self) -> bool:
        """Whether it is the machine that runs here."""
        return self.root == Path("/")

    def real(self, path: Path) -> Path:
        """Where a path of that machine is found here."""
        return self.root / path.relative_to("/")

    def target(self, path: Path) -> Path:
        """What that machine calls a path found here."""
        path = Path(path).absolute()
        return Path("/") / path.relative_to(self.root) if path.is_relative_to(self.root) else path
