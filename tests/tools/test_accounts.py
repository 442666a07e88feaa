"""`quantrac gateway people`, as somebody at a keyboard uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.init import init
from gateway.people import accounts, passwords

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path) -> Path:
    """As `init` makes one, with what has to be filled in."""
    made = init(tmp_path / "site").config
    text = made.read_text().replace('province = "XX"', 'province = "LCa"')
    made.write_text(text.replace("XXXX", "DEMO").replace("XX0001", "NUO001"))
    return made


def people(config: Path, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess:
    verb, *rest = arguments
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", "gateway", "people", verb, str(config), *rest],
        cwd=ROOT, capture_output=True, text=True, input=typed, timeout=60, env={**os.environ, **environment},
    )  # fmt: skip


def there(config: Path) -> accounts.People:
    return accounts.load(accounts.path_of(config.parent / "gateway"))


def test_somebody_comes_gets_another_role_and_password_and_goes(config):
    done = people(config, "add", "lan", "--role", "technician", "--by", "Minh")
    assert done.returncode == 0 and "kỹ thuật viên" in done.stdout
    first = done.stdout.strip().rpartition(": ")[2]
    assert passwords.matches(first, there(config).of("lan").password)
    assert there(config).by.startswith("Minh (")
    listed = people(config, "list", "--json")
    assert json.loads(listed.stdout)["people"] == [
        {"name": "lan", "role": "technician"}, {"name": "operator", "role": "operator"}
    ]  # fmt: skip
    assert people(config, "role", "lan", "viewer").returncode == 0
    assert there(config).of("lan").role == "viewer"
    again = people(config, "password", "lan", "--password-file", "-", typed="con cò mà đi ăn đêm\n")
    assert again.returncode == 0 and "con cò" not in again.stdout
    assert passwords.matches("con cò mà đi ăn đêm", there(config).of("lan").password)
    assert people(config, "remove", "lan").returncode == 0
    assert set(there(config).accounts) == {"operator"}
    assert "operator" in people(config, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("add", "lan", "--role", "king"), 1, "viewer, operator"),
        (("add", "Lan Anh", "--role", "viewer"), 1, "small letters"),
        (("add", "operator", "--role", "viewer"), 1, "already"),
        (("add", "lan"), 2, "role"),
        (("add", "lan", "--role", "viewer", "--by", "x" * 200), 2, "--by"),
        (("role", "nobody", "viewer"), 1, "There is: operator"),
        (("remove", "nobody"), 1, "nobody called"),
        (("password", "operator", "--password-file", "missing"), 1, "missing"),
        (("add", "lan", "--role", "viewer", "--password-file", "-"), 2, "10 to 200"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_changes_nothing(config, arguments, status, word):
    before = there(config)
    done = people(config, *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert word in done.stderr.replace("\n", " ") and there(config) == before


def test_a_broken_list_is_not_written_over(config):
    path = accounts.path_of(config.parent / "gateway")
    path.write_text("{")
    done = people(config, "add", "lan", "--role", "viewer")
    assert done.returncode == 1 and "backup" in done.stderr and path.read_text() == "{"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes what belongs to another")
def test_root_leaves_the_list_to_the_gateways_user(config):
    keys = accounts.path_of(config.parent / "gateway").parent
    os.chown(keys, 12345, 12345)
    assert people(config, "remove", "operator", SUDO_USER="lan").returncode == 0
    found = (keys / accounts.FILE).stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 12345, 0o600)
    assert there(config).by == "root for lan"
