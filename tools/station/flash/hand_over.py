"""The seal key is handed over: the board gets it once, and this machine does not keep it.

Rule 1: the key of a board that seals is never written over: its chain would begin anew, and what was sealed
        with the next keys of the old one would not be shown any more.
Rule 2: no key is read back. The board tells the SHA-256 of its present digits, and how often they turned: who
        knows the first key can work out the rest.
Rule 3: the file on this machine is deleted once the board holds the key, and was asked for it.
"""

from __future__ import annotations

import hashlib
import os
from binascii import hexlify
from pathlib import Path

from gateway.journal import durable
from protocol.seal import next_key
from tools.people import UsageError
from tools.station.build import SEAL_BYTES

FILE = "seal.key"
EPOCHS_MAX = 100_000  # 270 years of days


def read(path: Path) -> bytes | None:
    """What the board is to get: the digits, filled up to a block of their own. None: there is none.

    UsageError when the file holds no new key.
    """
    try:
        words = path.read_bytes().split()
    except FileNotFoundError:
        return None
    if len(words) != 1 or len(words[0]) != 64:
        raise UsageError(
            f"{path} holds no new seal key: it has to hold 64 hexadecimal digits and nothing else."
        )
    try:
        key = bytes.fromhex(words[0].decode("ascii"))
    except ValueError:
        raise UsageError(f"{path} holds no new seal key: write 64 hexadecimal digits.") from None
    return (hexlify(key) + b"\n").ljust(SEAL_BYTES)


def is_there(seal: tuple[int, int, str] | None, data: bytes) -> bool:
    """Whether the board holds this key, as it was handed over or as it has turned since."""
    if seal is None or not seal[0] or not 0 <= seal[1] <= EPOCHS_MAX:
        return False
    key = bytes.fromhex(data.split()[0].decode())
    for _ in range(seal[1]):
        key = next_key(key)
    return hashlib.sha256(hexlify(key)).hexdigest() == seal[2]


def seals(seal: tuple[int, int, str] | None) -> bool:
    """Whether the board has begun to seal: its file holds more than what an inspector wrote."""
    return seal is not None and seal[0] > 1


def check(seal: tuple[int, int, str] | None, data: bytes | None, path: Path) -> None:
    """UsageError when the board seals with another key than the one that is to come."""
    if data is not None and seals(seal) and not is_there(seal, data):
        raise UsageError(
            f"The board seals already, with another key than {path} holds: a new one would break the chain "
            f"of what it sealed. If its own is to stay, delete {path}; nothing was written."
        )


def forget(path: Path) -> None:
    """Write over the file and delete it. OSError when the disk says no."""
    size = max(path.stat().st_size, SEAL_BYTES)
    with path.open("r+b") as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    durable.sync_folder(path.parent)
