"""HTTP's Basic and Digest authentication, as a client (RFC 7617, RFC 7616). Pure.

Rule 1: of what a server offers, Digest is taken before Basic, SHA-256 before MD5; what is not known, and a
        challenge that cannot be read, is as if it were not there.
Rule 2: a password leaves this machine unencrypted only by Basic, which is chosen only where a camera offers
        nothing else.

Worked example (RFC 7616, 3.9.1): user Mufasa, password "Circle of Life", GET /dir/index.html, the nonce,
cnonce and realm given there: with MD5 the response is 8ca523f5e9506fed4657c9700eebdbec.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from hashlib import md5, sha256
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = re.compile(rf'\s*,?\s*(?:({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))|({_TOKEN})(?=\s|$))')
HASHES: dict[str, Callable[[bytes], str]] = {
    "sha-256": lambda data: sha256(data).hexdigest(),
    "md5": lambda data: md5(data, usedforsecurity=False).hexdigest(),
}
"""By preference."""
CHALLENGE_MAX = 4000


class Challenge(NamedTuple):
    scheme: str  # in small letters
    said: dict[str, str]  # names in small letters


def challenges(header: str) -> list[Challenge]:
    """What stands in WWW-Authenticate; several of them may be joined by commas."""
    found: list[Challenge] = []
    at = 0
    while at < len(header) <= CHALLENGE_MAX:
        part = _PART.match(header, at)
        if part is None or part.end() == at:
            break
        name, quoted, plain, scheme = part.groups()
        if scheme is not None:
            found.append(Challenge(scheme.lower(), {}))
        elif found:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1].said[name.lower()] = value
        at = part.end()
    return found


def authorization(header: str, method: str, target: str, user: str, password: str, cnonce: str) -> str | None:
    """The Authorization header that answers these challenges; None where none of them is known."""
    offered = challenges(header)
    for algorithm in HASHES:
        for each in offered:
            if each.scheme == "digest" and each.said.get("algorithm", "MD5").lower() == algorithm:
                made = _digest(each.said, algorithm, method, target, user, password, cnonce)
                if made is not None:
                    return made
    if any(each.scheme == "basic" for each in offered):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return None


def _digest(
    said: dict[str, str], algorithm: str, method: str, target: str, user: str, password: str, cnonce: str
) -> str | None:
    hashed, realm, nonce = HASHES[algorithm], said.get("realm", ""), said.get("nonce", "")
    offers = [each.strip().lower() for each in said.get("qop", "").split(",") if each.strip()]
    if not nonce or (offers and "auth" not in offers):
        return None
    secret = hashed(f"{user}:{realm}:{password}".encode())
    asked = hashed(f"{method}:{target}".encode())
    fields = [("username", user), ("realm", realm), ("nonce", nonce), ("uri", target)]
    if offers:
        response = hashed(f"{secret}:{nonce}:00000001:{cnonce}:auth:{asked}".encode())
        more = f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:  # RFC 2069, of old cameras
        response, more = hashed(f"{secret}:{nonce}:{asked}".encode()), ""
    named = ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields)
    if "opaque" in said:
        more += f', opaque="{_quoted(said["opaque"])}"'
    if "algorithm" in said:
        more += f", algorithm={said['algorithm']}"
    return f'Digest {named}, response="{response}"{more}'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
