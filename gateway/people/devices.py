"""Browsers on which somebody was logged in before: the cookie that says so. Pure but for secrets.

    <id>.<HMAC-SHA256 of (name, mark of the password, id)>

Rule 1: it logs nobody in. Whoever brings it waits only for wrong passwords of this device (lockout.py), so
        that strangers cannot lock somebody out (OWASP, "device cookies").
Rule 2: it is of one person and one password: another password makes it void.
"""

from __future__ import annotations

import hmac
import re
import secrets

from gateway.people.accounts import Account
from gateway.people.changes import mark_of

SECRET_BYTES = 32
_COOKIE = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{64})")


def made(secret: bytes, account: Account) -> str:
    """For a browser on which this person has just logged in."""
    id = secrets.token_hex(8)
    return f"{id}.{_tag(secret, account, id)}"


def id_of(secret: bytes, account: Account | None, cookie: str) -> str:
    """The device's id; "" where the cookie is none of this account's."""
    found = _COOKIE.fullmatch(cookie)
    if found is None or account is None:
        return ""
    return found[1] if hmac.compare_digest(found[2], _tag(secret, account, found[1])) else ""


def local_token(secret: bytes) -> str:
    """By which a program on this machine that may read the secret may look at the page, and no more."""
    return hmac.new(secret, b"quantrac local", "sha256").hexdigest()


def _tag(secret: bytes, account: Account, id: str) -> str:
    said = f"quantrac device\0{account.name}\0{mark_of(account).hex()}\0{id}"
    return hmac.new(secret, said.encode(), "sha256").hexdigest()
