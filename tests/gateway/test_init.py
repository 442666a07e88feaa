"""A new configuration: usable as it is, every setting explained, secrets private, nothing overwritten."""

from __future__ import annotations

import os
import re
import stat

import pytest

from gateway import config_model, init
from gateway.check import check
from gateway.config import load
from gateway.errors import ConfigFaults
from gateway.people import accounts, passwords


def test_what_init_wrote_passes_check(tmp_path):
    made = init.init(tmp_path / "new")
    faults, warnings = check(made.config)
    assert faults == []
    assert [w.where.split(": ")[1] for w in warnings] == [
        "station.province",
        "station.facility",
        "station.code",
    ]
    assert load(made.config).device[0].key_file.read_text().strip().isalnum()


def test_secrets_are_private_and_the_password_is_nowhere_in_the_clear(tmp_path):
    old = os.umask(0)
    try:
        made = init.init(tmp_path)
    finally:
        os.umask(old)
    config, link, people = made.files
    assert stat.S_IMODE(link.stat().st_mode) == stat.S_IMODE(people.stat().st_mode) == 0o600
    assert stat.S_IMODE(link.parent.stat().st_mode) == 0o700
    password = made.show_once[0].split(": ")[1]
    assert len(password) == 19
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert password not in path.read_text()
    assert link.read_text().strip() not in config.read_text()
    (operator,) = accounts.load(people).accounts.values()
    assert (operator.name, operator.role) == ("operator", "operator")
    assert passwords.matches(password, operator.password)
    assert not passwords.matches(password + "x", operator.password)


def test_two_of_them_share_no_secret(tmp_path):
    one, two = init.init(tmp_path / "1"), init.init(tmp_path / "2")
    assert one.show_once != two.show_once
    assert one.files[1].read_text() != two.files[1].read_text()


@pytest.mark.parametrize("name", ["config.toml", "gateway/keys/st-01.link", "gateway/keys/people.json"])
def test_nothing_is_overwritten(tmp_path, name):
    there = tmp_path / name
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text("mine")
    with pytest.raises(ConfigFaults, match="exists already"):
        init.init(tmp_path)
    assert there.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [there]


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigFaults, match="cannot be written"):
        init.init(tmp_path / "file" / "below")


def test_every_setting_is_explained(tmp_path):
    """Every setting of every section stands in the file, in force or behind a '#'."""
    text = init.init(tmp_path).config.read_text()

    def names(model):
        for section in model.__subclasses__():
            if section is not config_model.Config:
                yield from section.model_fields
            yield from names(section)

    missing = {name for name in names(config_model.Section) if not re.search(rf"\b{name}\b", text)}
    assert missing == set()
    assert all(len(line) <= 120 for line in text.splitlines()[1:])  # the first names the path


def test_the_examples_behind_the_hashes_work_too(tmp_path):
    """The commented tables, brought into force, have no faults but the files that are still to come."""
    made = init.init(tmp_path)
    text = re.sub(r"^# (?=\[+[a-z]+\]|[a-z_]+ = )", "", made.config.read_text(), flags=re.M)
    text = text.replace("/dev/ttyUSB0", "/dev/ttyUSB1")
    made.config.write_text(text)
    faults, _ = check(made.config)
    assert [fault.what for fault in faults if "cannot be read" not in fault.what] == []
    # a permit, 4 passwords, a token, an address, a host key, a witness's, 4 CAs, a certificate, a key;
    # the department's key, and a token
    assert len(faults) == 17
