"""Whether somebody may come in: name and password, and how often he may try.

Rule 1: argon2 takes 19 MiB and half a second on a small board: one at a time, in a thread; WAITING_MAX wait
        for theirs, and of an address one.
Rule 2: a name that nobody has costs as much time, and gets the same answer, as a wrong password.
Rule 3: whoever has to wait (lockout.py) is told so before anything is computed.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from typing import NamedTuple

from gateway.people import devices
from gateway.people.accounts import Account, People
from gateway.people.changes import mark_of
from gateway.people.lockout import Key, Lockout, address_key
from gateway.people.passwords import generated, hashed, matches
from gateway.people.sessions import Session, Sessions

WAITING_MAX = 8
KNOWN_MAX = 4
"""So many more may wait on devices that were here before: a crowd of strangers does not keep them out."""
BUSY_S = 2
"""When to try again where too many wait, or the gateway has just started."""


class Result(NamedTuple):
    """What came of an attempt."""

    right: bool = False  # he may come in
    account: Account | None = None  # whose name it was, if anybody's
    wait_s: float = 0.0  # not before so many seconds may he try again
    tried: bool = True  # the password was looked at


class Logins:
    """`people()` are those of now, `now_s()` seconds that never step, `secret` that of devices.py; known():
    whether it was read by now who they are.
    """

    def __init__(
        self, people: Callable[[], People], now_s: Callable[[], float], secret: bytes = b"",
        known: Callable[[], bool] = lambda: True,
    ):  # fmt: skip
        self.people, self.now_s = people, now_s
        self.sessions = Sessions()
        self._secret = secret or secrets.token_bytes(devices.SECRET_BYTES)
        self._lockout = Lockout()
        self._turn = asyncio.Lock()
        self._waiting: set[Key] = set()
        self._known = known
        self._nobody = ""  # what is kept of a password that nobody has

    def session(self, token: str, used: bool = True) -> Session | None:
        """Of this token; None for none, and one that has ended. used: see Sessions.find()."""
        return self.sessions.find(token, self.people(), self.now_s(), used) if token else None

    def device(self, account: Account) -> str:
        """A cookie for a browser on which this person is logged in (devices.py)."""
        return devices.made(self._secret, account)

    def is_local(self, token: str) -> bool:
        """Whether a program on this machine asks that may read the secret (devices.py)."""
        return hmac.compare_digest(token.encode(), devices.local_token(self._secret).encode())

    async def enter(self, name: str, password: str, address: str, cookie: str = "") -> Result:
        """Somebody gives a name and a password, from an address, with the cookie of a device."""
        account = self.people().accounts.get(name)
        device = devices.id_of(self._secret, account, cookie)
        own: Key = ("device", name, device) if device else _of_name(name, account)
        asks = own if device else address_key(address)
        most = WAITING_MAX + (KNOWN_MAX if device else 0)
        if not self._known() or asks in self._waiting or len(self._waiting) >= most:
            return Result(wait_s=BUSY_S, tried=False)
        self._waiting.add(asks)
        try:
            async with self._turn:
                return await self._enter(name, account, password, list(dict.fromkeys((own, asks))))
        finally:
            self._waiting.discard(asks)

    async def knows(self, account: Account, password: str) -> Result:
        """Whether somebody who is logged in knows the password: it may be a stranger at the desk."""
        key: Key = ("again", account.name, mark_of(account))
        async with self._turn:
            if wait_s := self._lockout.wait_s([key], self.now_s()):
                return Result(account=account, wait_s=wait_s, tried=False)
            if not await asyncio.to_thread(matches, password, account.password):
                return Result(account=account, wait_s=self._lockout.failed([key], self.now_s()))
            self._lockout.passed(key)
            return Result(True, account)

    async def keep(self, password: str) -> str:
        """What is kept of a new password."""
        async with self._turn:
            return await asyncio.to_thread(hashed, password)

    async def _enter(self, name: str, account: Account | None, password: str, keys: list[Key]) -> Result:
        if wait_s := self._lockout.wait_s(keys, self.now_s()):
            return Result(account=account, wait_s=wait_s, tried=False)
        right = await asyncio.to_thread(self._right, account, password)
        if account is None or not right or self.people().accounts.get(name) != account:
            return Result(account=account, wait_s=self._lockout.failed(keys, self.now_s()))
        self._lockout.passed(keys[0])
        return Result(True, account)

    def _right(self, account: Account | None, password: str) -> bool:
        if not self._nobody:
            self._nobody = hashed(generated())
        return matches(password, account.password if account else self._nobody)


def _of_name(name: str, account: Account | None) -> Key:
    return ("account", account.name, mark_of(account)) if account else ("name", name[:64])
