"""The public key of signed updates, as a station gets it."""

from __future__ import annotations

from pathlib import Path

MODULUS_DIGITS = 768  # of RSA with 3072 bits: package.BITS


def public_fault(path: Path) -> str | None:
    """What is wrong with an update.pub, None when it will do."""
    try:
        held = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
    if len(held) != MODULUS_DIGITS or held.strip("0123456789abcdef"):
        return (
            f"{path} holds no public key of updates: write the update.pub that was made with the key that "
            "signs them"
        )
    return None
