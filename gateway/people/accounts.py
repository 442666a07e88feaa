"""Who may log in, and as what: state_dir/keys/people.json, mode 0600. Pure but for load(), save(), change().

    {"by": who changed it last, "people": [{"name": ..., "role": ..., "password": "$argon2id$..."}, ...]}

Rule 1: a change makes new People; nothing of the old ones changes.
Rule 2: the file is written whole, by `quantrac gateway people` and `init`. What somebody else wrote there is
        believed where all of it is right, and refused whole where not: PeopleError says what and where.
Rule 3: nobody is removed unseen: the gateway tells every difference in its log (keeper.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import PeopleError
from gateway.journal import durable
from gateway.people.passwords import is_kept

FILE = "people.json"
ROLES = {
    "viewer": "người xem",
    "operator": "người vận hành",
    "technician": "kỹ thuật viên",
    "inspector": "cán bộ kiểm tra",
    "administrator": "người quản trị",
}
"""Role -> in Vietnamese."""
PEOPLE_MAX = 100
BY_MAX = 100
BYTES_MAX = 100_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


class Account(NamedTuple):
    """One person."""

    name: str
    role: str
    password: str  # passwords.hashed()


class People(NamedTuple):
    """All of them, by name, and who changed them last ("" where nobody says)."""

    accounts: dict[str, Account]
    by: str = ""

    def of(self, name: str) -> Account:
        """PeopleError: there is none of this name."""
        if name not in self.accounts:
            known = ", ".join(sorted(self.accounts)) or "nobody yet"
            raise PeopleError(f"There is nobody called {name!r}. There is: {known}.")
        return self.accounts[name]

    def with_new(self, account: Account, by: str) -> People:
        """One more. PeopleError."""
        if account.name in self.accounts:
            raise PeopleError(f"There is a {account.name!r} already: change role or password instead.")
        return self._with(account, by)

    def with_role(self, name: str, role: str, by: str) -> People:
        """PeopleError."""
        return self._with(self.of(name)._replace(role=role), by)

    def with_password(self, name: str, password: str, by: str) -> People:
        """`password`: passwords.hashed(). PeopleError."""
        return self._with(self.of(name)._replace(password=password), by)

    def without(self, name: str, by: str) -> People:
        """PeopleError."""
        self.of(name)
        return People({n: account for n, account in self.accounts.items() if n != name}, by)

    def _with(self, account: Account, by: str) -> People:
        _check(account, f"{account.name!r}")
        if len(self.accounts) >= PEOPLE_MAX and account.name not in self.accounts:
            raise PeopleError(f"{PEOPLE_MAX} people are the most: remove those who left.")
        return People({**self.accounts, account.name: account}, by)


def path_of(state_dir: Path) -> Path:
    """The file."""
    return state_dir / "keys" / FILE


def load(path: Path) -> People:
    """Nobody where there is no file. PeopleError, OSError."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        return People({})
    return parse(data)


def save(path: Path, people: People) -> None:
    """OSError."""
    durable.replace(path, encode(people), 0o600)


def change(path: Path, step: Callable[[People], People]) -> People:
    """Let step() make others of those in the file, alone; these. PeopleError, OSError."""
    if not path.parent.is_dir():
        raise PeopleError(f"{path.parent} is not there yet: start the gateway once.")
    with _alone(path.parent):
        people = step(load(path))
        save(path, people)
        _as_owner_of(path.parent, path)
        return people


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two who change it at one time do it one after the other."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _as_owner_of(folder: Path, path: Path) -> None:
    """Root changes it, and the gateway's own user has to read it."""
    owner = folder.stat()
    if os.geteuid() == 0 and (owner.st_uid, owner.st_gid) != (0, 0):
        os.chown(path, owner.st_uid, owner.st_gid)


def encode(people: People) -> bytes:
    """The file's text."""
    rows = [people.accounts[name]._asdict() for name in sorted(people.accounts)]
    return json.dumps({"by": people.by, "people": rows}, indent=1, ensure_ascii=False).encode() + b"\n"


def parse(data: bytes) -> People:
    """The inverse of encode(). PeopleError."""
    if len(data) > BYTES_MAX:
        raise PeopleError(f"The list of people has more than {BYTES_MAX} bytes: it is none.")
    try:
        found: Any = json.loads(data)
        by, rows = found["by"], found["people"]
        accounts = [Account(row["name"], row["role"], row["password"]) for row in rows]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PeopleError(
            "The list of people is not as `quantrac gateway people` writes it: bring it back from a backup, "
            "or remove the file and add everybody again."
        ) from None
    if not isinstance(by, str) or len(by) > BY_MAX or len(accounts) > PEOPLE_MAX:
        raise PeopleError(f"The list of people says too much: {PEOPLE_MAX} people are the most.")
    for number, account in enumerate(accounts, 1):
        _check(account, f"Person {number}")
    known = {account.name: account for account in accounts}
    if len(known) != len(accounts):
        raise PeopleError("The list of people has a name twice: remove one.")
    return People(known, by)


def _check(account: Account, which: str) -> None:
    name, role, password = account
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PeopleError(
            f"{which}: a name has 1 to 32 small letters, digits, dots, hyphens and underscores, such as "
            "'lan' or 'tran.van.an'."
        )
    if not isinstance(role, str) or role not in ROLES:
        raise PeopleError(f"{which}: a role is one of {', '.join(ROLES)}.")
    if not isinstance(password, str) or not is_kept(password):
        raise PeopleError(f"{which}: the password is not kept as it must be: give a new one.")
