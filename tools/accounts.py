"""`quantrac gateway people ...`: who may log in on the gateway's page, and as what."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from gateway import config as configuration
from gateway.people import accounts, passwords
from gateway.people.accounts import Account, People
from tools.people import UsageError

TOLD = "The gateway tells it in its log, at the latest at its next start."


def print_people(config_path: Path, as_json: bool) -> int:
    """All of them, without a word about their passwords."""
    people = accounts.load(_path(config_path))
    rows = [{"name": each.name, "role": each.role} for each in _sorted(people)]
    if as_json:
        print(json.dumps({"people": rows, "by": people.by}, ensure_ascii=False))
    elif not rows:
        print("Nobody may log in yet: add somebody with `quantrac gateway people add`.")
    for row in () if as_json else rows:
        print(f"{row['name']:<32} {row['role']:<14} {accounts.ROLES[row['role']]}")
    return 0


def print_add(
    config_path: Path, name: str, role: str, password_file: Path | None, by: str, as_json: bool
) -> int:
    """Add somebody. PeopleError, UsageError."""
    password, once = _password(name, password_file)
    kept = passwords.hashed(password)
    _change(config_path, lambda people: people.with_new(Account(name, role, kept), _by(by)))
    return _say(f"{name} may log in as {role} ({accounts.ROLES[role]}). {TOLD}", once, as_json)


def print_role(config_path: Path, name: str, role: str, by: str, as_json: bool) -> int:
    """Give somebody another role. PeopleError."""
    _change(config_path, lambda people: people.with_role(name, role, _by(by)))
    return _say(f"{name} is {role} ({accounts.ROLES[role]}) from now on. {TOLD}", "", as_json)


def print_password(config_path: Path, name: str, password_file: Path | None, by: str, as_json: bool) -> int:
    """Give somebody another password. PeopleError, UsageError."""
    password, once = _password(name, password_file)
    kept = passwords.hashed(password)
    _change(config_path, lambda people: people.with_password(name, kept, _by(by)))
    return _say(f"{name} has another password. {TOLD}", once, as_json)


def print_remove(config_path: Path, name: str, by: str, as_json: bool) -> int:
    """Remove somebody. PeopleError."""
    _change(config_path, lambda people: people.without(name, _by(by)))
    return _say(f"{name} may log in no more. {TOLD}", "", as_json)


def _say(said: str, once: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"said": said} | ({"password": once} if once else {}), ensure_ascii=False))
        return 0
    print(said)
    if once:
        print(f"Password (shown only now): {once}")
    return 0


def _path(config_path: Path) -> Path:
    return accounts.path_of(configuration.load(config_path).gateway.state_dir)


def _sorted(people: People) -> list[Account]:
    order = list(accounts.ROLES)
    return sorted(people.accounts.values(), key=lambda each: (-order.index(each.role), each.name))


def _password(name: str, file: Path | None) -> tuple[str, str]:
    """(the password, what is to be shown once of it). UsageError: it is no good one."""
    if file is None:
        made = passwords.generated()
        return made, made
    text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    password = text.removesuffix("\n").removesuffix("\r")
    weak = passwords.weakness(password, name)
    if weak:
        raise UsageError(weak)
    return password, ""


def _by(given: str) -> str:
    """Who does it: whom the option names, and the system's own word for who is at the keyboard."""
    user = getpass.getuser()
    login = os.environ.get("SUDO_USER", "")
    seen = f"{user} for {login}" if login and login != user else user
    text = f"{given.strip()} ({seen})" if given.strip() else seen
    if len(text) > accounts.BY_MAX or not text.isprintable():
        raise UsageError(f"--by is a line of {accounts.BY_MAX - len(seen) - 3} characters at the most.")
    return text


def _change(config_path: Path, change: Callable[[People], People]) -> None:
    accounts.change(_path(config_path), change)
