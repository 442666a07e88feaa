"""Who is logged in: sessions in memory, so that a start of the gateway ends them all. Pure but for secrets.

Rule 1: a token has 256 bits and is kept as its hash only; every log-in makes a new one (no fixation).
Rule 2: a session ends IDLE_S after it was used last, LENGTH_S after its log-in, when its person logs out, and
        when the list of people says another role or password than at the log-in, or nothing of the person.
Rule 3: there are at most SESSIONS_MAX, of one person PERSON_MAX; the one that was used longest ago goes.
"""

from __future__ import annotations

import secrets
from hashlib import sha256

from gateway.people.accounts import Account, People
from gateway.people.changes import mark_of

IDLE_S = 30 * 60.0
LENGTH_S = 12 * 3600.0
SESSIONS_MAX = 200
PERSON_MAX = 20
"""So that one person who logs in all day ends nobody else's session."""
TOKEN_BYTES = 32
FLASH_MAX = 2000


class Flash(str):
    """A sentence that is shown once."""

    ok = True  # what was asked for was done


class Session:
    """One log-in. Times in seconds that never step."""

    def __init__(self, account: Account, now_s: float):
        self.name, self.role, self.mark = account.name, account.role, mark_of(account)
        self.csrf = secrets.token_urlsafe(TOKEN_BYTES)
        self.begun_s = self.used_s = now_s
        self.ended = False  # for good
        self._flash = Flash()

    def say(self, sentence: str, ok: bool = True) -> None:
        """To be shown once, on the next page."""
        self._flash = Flash(sentence[:FLASH_MAX])
        self._flash.ok = ok

    def said(self) -> Flash:
        """What say() was given; it is gone then."""
        said, self._flash = self._flash, Flash()
        return said

    def holds(self, people: People, now_s: float) -> bool:
        """Rule 2."""
        account = people.accounts.get(self.name)
        return (
            not self.ended
            and account is not None
            and (account.role, mark_of(account)) == (self.role, self.mark)
            and now_s - self.used_s < IDLE_S
            and now_s - self.begun_s < LENGTH_S
        )


class Sessions:
    """All of them."""

    def __init__(self) -> None:
        self._open: dict[bytes, Session] = {}  # by the token's hash, the one that was used longest ago first

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, account: Account, now_s: float) -> tuple[str, Session]:
        """(token, session) of a person who has just given the right password."""
        own = [key for key, one in self._open.items() if one.name == account.name]
        if len(own) >= PERSON_MAX:
            self._end(own[0])
        elif len(self._open) >= SESSIONS_MAX:
            self._end(next(iter(self._open)))
        token, session = secrets.token_urlsafe(TOKEN_BYTES), Session(account, now_s)
        self._open[_key(token)] = session
        return token, session

    def find(self, token: str, people: People, now_s: float, used: bool = True) -> Session | None:
        """The session of this token; None where it is none, or has ended (rule 2). used: somebody does
        something, in place of an open page that asks by itself.
        """
        key = _key(token)
        session = self._open.get(key)
        if session is None:
            return None
        if not session.holds(people, now_s):
            self._end(key)
            return None
        if used:
            session.used_s = now_s
            self._open[key] = self._open.pop(key)
        return session

    def names(self, people: People, now_s: float) -> set[str]:
        """Who is logged in."""
        return {one.name for one in self._open.values() if one.holds(people, now_s)}

    def end(self, token: str) -> None:
        """Its person logs out, or logs in anew."""
        self._end(_key(token))

    def _end(self, key: bytes) -> None:
        session = self._open.pop(key, None)
        if session is not None:
            session.ended = True


def _key(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
