"""What is kept of a password (argon2id, RFC 9106), and what makes a bad one.

Rule 1: a password is never kept, told or logged, only what argon2id makes of it, with its own salt.
Rule 2: there is no password that we chose for everybody: generated() makes one, to be shown once.
Rule 3: one costs 19 MiB and some 0.1 s, on a small board half a second: call it in a thread, one at a time.
"""

from __future__ import annotations

import re
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

LENGTH_MIN, LENGTH_MAX = 10, 200
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of generated passwords: none that looks like another."""
GROUPS = 4
"""... of four letters: 79 bits."""
MEMORY_KIB = 19 * 1024
"""The least that OWASP's Password Storage Cheat Sheet asks for with t = 2; we take 3."""
COST_MAX = (64 * 1024, 10, 4)
"""KiB, rounds and lanes of a kept password that is believed."""
_KEPT = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,6}),t=([0-9]{1,3}),p=([0-9])\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}"
)
_hasher = PasswordHasher(time_cost=3, memory_cost=MEMORY_KIB, parallelism=1)


def hashed(password: str) -> str:
    """$argon2id$...: what is kept."""
    return _hasher.hash(_typed(password))


def matches(password: str, kept: str) -> bool:
    """Whether it is this password; False, too, for what is no line of hashed()."""
    if len(password) > LENGTH_MAX or not is_kept(kept):
        return False
    try:
        return _hasher.verify(kept, _typed(password))
    except (Argon2Error, InvalidHashError, ValueError):
        return False


def _typed(password: str) -> str:
    """One text for what looks the same: keyboards write ế whole, or with its marks apart."""
    return unicodedata.normalize("NFC", password)


def is_kept(text: str) -> bool:
    """Whether it is a line of hashed(), and verifying it costs no more than COST_MAX: what a line says of
    memory and time is what verifying takes.
    """
    found = _KEPT.fullmatch(text)
    return found is not None and all(
        1 <= int(said) <= most for said, most in zip(found.groups(), COST_MAX, strict=True)
    )


def generated() -> str:
    """Such as k7wm-3qpa-xh2c-9tyn."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(GROUPS))


def weakness(password: str, name: str) -> str:
    """Why it will not do, a sentence; "" for a good one."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        return f"A password has {LENGTH_MIN} to {LENGTH_MAX} characters: a short sentence is a good one."
    if not password.isprintable():
        return "A password is one line, without characters that nobody sees."
    if len(set(password.lower())) < 5:
        return "The same few characters are soon guessed: write a short sentence."
    if name.lower() in password.lower():
        return "The password holds the name of its owner: write another."
    return ""
