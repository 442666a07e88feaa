"""How long somebody waits who gave a wrong password: 1 s, 2 s, 4 s ... DELAY_S_MAX, and never for ever. Pure.

    Key                            counts the wrong passwords
    ("address", "192.0.2.7")       from an address (of IPv6: its network), whatever the name
    ("account", "lan", mark)       for an account, from everywhere but its own devices
    ("name", "nobody")             for a name that nobody has: it waits as an account does
    ("device", "lan", id)          for an account, from a device on which it was logged in before (devices.py)
    ("again", "lan", mark)         in a session that is open, before its password is changed

Rule 1: an attempt waits for all of its keys. While one waits nothing is tried, and nothing grows.
Rule 2: a device of the account's own has only its own key: strangers who try passwords keep the owner from
        logging in on a new device for DELAY_S_MAX at a time, and on those that he uses not at all.
Rule 3: the mark is that of the password (changes.py): another password, given at the machine, begins afresh.
Rule 4: what was quiet for FORGET_S is forgotten; at most KEYS_MAX keys of a kind are remembered, the longest
        quiet go: made up names and addresses drive no account's out.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Sequence

DELAY_S_MAX = 15 * 60.0
FORGET_S = 3600.0
KEYS_MAX = 4096
_STEPS_MAX = 32

Key = tuple[str | bytes, ...]


class Lockout:
    """Times in seconds that never step."""

    def __init__(self) -> None:
        self._wrong: dict[str | bytes, dict[Key, tuple[int, float]]] = {}
        """By kind and key: how many, until when; the longest quiet first."""

    def __len__(self) -> int:
        return sum(map(len, self._wrong.values()))

    def wait_s(self, keys: Sequence[Key], now_s: float) -> float:
        """How long until somebody with these keys may try; 0 for now."""
        return max(0.0, *(self._of(key).get(key, (0, now_s))[1] - now_s for key in keys))

    def failed(self, keys: Sequence[Key], now_s: float) -> float:
        """They tried, and it was wrong: how long they wait now."""
        for key in keys:
            kind = self._wrong.setdefault(key[0], {})
            steps, until_s = kind.pop(key, (0, now_s))
            steps = 1 if now_s - until_s > FORGET_S else min(steps + 1, _STEPS_MAX)
            kind[key] = steps, now_s + delay_s(steps)
            if len(kind) > KEYS_MAX:
                del kind[next(iter(kind))]
        return self.wait_s(keys, now_s)

    def passed(self, key: Key) -> None:
        """It was right: what was wrong before for this account or device counts no more. (Not of an address:
        with an account of his own somebody there would guess at those of others.)
        """
        self._of(key).pop(key, None)

    def _of(self, key: Key) -> dict[Key, tuple[int, float]]:
        return self._wrong.get(key[0], {})


def delay_s(steps: int) -> float:
    """After so many wrong passwords in a row."""
    return min(DELAY_S_MAX, 2.0 ** (steps - 1)) if steps > 0 else 0.0


def whole(seconds: float) -> int:
    """As it is told."""
    return max(1, math.ceil(seconds))


def address_key(address: str) -> Key:
    """Of an address: IPv6 by the /64 that one subscriber has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "address", address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return "address", str(found.ipv4_mapped)
        return "address", str(ipaddress.ip_network((found, 64), strict=False))
    return "address", str(found)
