"""For the tests of evidence: RFC 6962 section 2.1 as it is written, damage, and code with a rule broken."""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest

from protocol.merkle import EvidenceError, HashAt


def leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def leaves_of(count: int) -> list[bytes]:
    return [leaf(b"entry %d" % i) for i in range(count)]


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def hash_at_of(leaves: list[bytes]) -> HashAt:
    """hash_at for merkle.py, which fails the test if it is asked for a subtree that is not complete."""

    def hash_at(level: int, index: int) -> bytes:
        assert level >= 0 and index >= 0 and (index + 1) << level <= len(leaves)
        return mth(leaves[index << level : (index + 1) << level])

    return hash_at


# Damage ----------------------------------------------------------------------------------------------------


def flips(data: bytes):
    """Every way to change one bit."""
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i >> 3] ^= 1 << (i & 7)
        yield bytes(changed)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(call: Callable, *args, says: str = "") -> str:
    """That EvidenceError is raised, with a sentence; returns it."""
    with pytest.raises(EvidenceError) as caught:
        call(*args)
    text = str(caught.value)
    assert len(text) > 10 and says in text, text
    return text


def believes(call: Callable, *args) -> bool:
    """Whether a call returns; anything but EvidenceError fails the test."""
    try:
        call(*args)
    except EvidenceError:
        return False
    return True


# Controls --------------------------------------------------------------------------------------------------


def broken(module: ModuleType, rule: str, instead: str) -> ModuleType:
    """The module as it would be if one piece of its source, which must occur once, were another."""
    path = module.__file__
    assert path
    source = Path(path).read_text(encoding="utf-8")
    assert source.count(rule) == 1, f"{module.__name__} says this {source.count(rule)} times: {rule}"
    other = ModuleType(module.__name__)
    exec(compile(source.replace(rule, instead), path, "exec"), other.__dict__)
    return other
