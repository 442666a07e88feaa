"""What a server said, as it may be shown to people and kept in the journal for ever. Pure.

Rule 1: one line of printable characters, not longer than LENGTH_MAX, whatever came.
Rule 2: a secret of ours that a server repeats is not in it.
"""

from __future__ import annotations

LENGTH_MAX = 200
PLACE_LENGTH_MAX = 500
HIDDEN = "..."


def shown(text: str, secret: str = "", length: int = LENGTH_MAX) -> str:
    """The beginning of `text` by these rules."""
    text = text.replace(secret, HIDDEN) if secret else text
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * length])
    return " ".join(text.split())[:length]


def place(path: str) -> str:
    """Where something is, as it may be kept: a path, a topic, a URL."""
    return "".join(c if c.isprintable() else "?" for c in path[:PLACE_LENGTH_MAX])
