"""What all destinations of files have in common: the temporary name, and secrets read from files.

The receiving software picks files whose name contains _<station>_; one that is still being written must not
be one of them. A temporary name is made of a hash of the final one: it has no underscore and does not end in
.txt, and the next try finds what an earlier one left behind.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from gateway.errors import Refused


def temporary_name(name: str, token: str = "") -> str:
    """The name under which a file called `name` is written; `token` tells tries apart that could overlap."""
    return f"{temporary_prefix(name)}{token}.part"


def temporary_prefix(name: str) -> str:
    """How every temporary name of this file begins."""
    return f"quantrac-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def read_secret(path: Path, what: str = "password") -> str:
    """The first line of a password file, read at each connection so that a corrected one is used at once."""
    try:
        text = path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, ValueError) as error:
        raise Refused(f"The {what} file {path} cannot be read ({error}). Put it there, mode 0600.") from None
    if not text:
        raise Refused(f"The {what} file {path} is empty. Write the {what} into its first line.")
    return text
