"""gateway/config_change: what two configurations differ in, what that means, what is refused. Pure."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gateway.config import load
from gateway.config_change import difference as module
from gateway.config_change import entries, kept
from gateway.config_change.difference import HIDDEN, Difference, difference
from gateway.config_change.means import LANGUAGES, TEXTS, Meaning
from gateway.config_change.propose import Proposal, propose
from tests.gateway.configured import SAMPLE, written


def proposed(folder: Path, *changes: tuple[str, str], waiting: dict[str, int] | None = None) -> Proposal:
    path = written(folder, SAMPLE)
    text = SAMPLE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return propose(load(path), path.read_bytes(), text.encode(), waiting or {})


def test_settings_are_told_in_the_terms_of_who_wrote_them(tmp_path):
    found = proposed(
        tmp_path, ("max = 75.0", "max = 80.0"), ("port = 8080", "port = 8081"),
        ("plausible = [0.0, 500.0]\n", ""),
        ('id = "province"', 'id = "department"'),
    )  # fmt: skip
    assert found.faults == ()
    told = found.differences
    assert told[0] == Difference("gateway", "", "web.port", "8080", "8081")
    assert told[1] == Difference("channel", "COD", "limits.max", "75.0", "80.0")
    assert told[2] == Difference("channel", "Flow", "plausible", "[0.0, 500.0]", None)
    assert [(one.name, one.key, one.old is None, one.new is None) for one in told[3:]] == [
        ("department", "", True, False), ("province", "", False, True),
    ]  # fmt: skip
    assert [str(one)[:40] for one in told[:3]] == [
        "gateway web.port: 8080 -> 8081", "channel COD limits.max: 75.0 -> 80.0",
        "- channel Flow plausible: [0.0, 500.0]",
    ]  # fmt: skip


def test_a_table_in_another_place_is_not_another_table():
    one, two = '[[bus]]\nid = "a"\nretries = 1\n', '[[bus]]\nid = "b"\nretries = 2\n'
    told = difference(tomllib.loads(one + two), tomllib.loads(two + one))
    assert told == [Difference("bus", "", "order", "a, b", "b, a")]
    told = difference(tomllib.loads(one + two), tomllib.loads(two + one.replace("1", "3")))
    assert Difference("bus", "a", "retries", "1", "3") in told


def test_control_tables_told_apart_by_their_place_are_found(monkeypatch):
    monkeypatch.setitem(module.NAMES, "bus", "no such setting")
    with pytest.raises(AssertionError):
        test_a_table_in_another_place_is_not_another_table()


def test_comments_and_spaces_are_no_difference(tmp_path):
    found = proposed(tmp_path, ("retries = 2\n", "retries  =  2   # twice\n"))
    assert found.differences == () and found.faults == ()
    assert difference({"a": {"x": 5}}, {"a": {"x": 5.0}}) == [Difference("a", "", "x", "5", "5.0")]


def test_what_looks_like_a_secret_is_hidden_and_files_of_secrets_are_named():
    old = {"destination": [{"id": "p", "password": "alt", "password_file": "a"}]}
    new = {
        "destination": [
            {"id": "p", "password": "neu", "password_file": "b"},
            {"id": "q", "api_token": "geheim"},
        ]
    }
    told = difference(old, new)
    assert Difference("destination", "p", "password", HIDDEN, HIDDEN) in told
    assert Difference("destination", "p", "password_file", '"a"', '"b"') in told
    assert not any(word in repr(told) for word in ("alt", "neu", "geheim"))


def test_long_values_are_cut():
    (told,) = difference({}, {"station": {"name": "ô" * 1000}})
    assert told.new is not None and len(told.new) == module.SHOWN_MAX and told.new.endswith("…")


def test_what_a_change_costs_is_said_in_both_languages(tmp_path):
    found = proposed(
        tmp_path, ('unit = "mg/l"', 'unit = "g/l"'), ('id = "province"', 'id = "department"'),
        ("port = 8080", "port = 8081"),
        ("retention_days = 400", "retention_days = 100"), ("window_minutes = 5", "window_minutes = 10"),
        ('symbol = "Flow"', 'symbol = "Flow2"'), waiting={"province": 37},
    )  # fmt: skip
    assert found.faults == ()
    assert {(one.what, one.about, one.old, one.new) for one in found.means} == {
        ("restart", "", "", ""), ("unit", "COD", "mg/l", "g/l"), ("channel gone", "Flow", "", ""),
        ("channel", "Flow2", "", ""), ("destination gone", "province", "37", ""),
        ("page", "", "http://127.0.0.1:8080", "http://127.0.0.1:8081"), ("retention", "", "400", "100"),
        ("window", "", "5", "10"),
    }  # fmt: skip
    for one in found.means:
        assert all(part in one.said(language) for language in LANGUAGES for part in (one.about, one.old))
    assert Meaning("unit", "COD", "mg/l", "g/l").said("vi").startswith("COD: đơn vị đổi từ 'mg/l' sang 'g/l'")
    assert all(len(pair) == len(LANGUAGES) for pair in TEXTS.values())


def test_waiting_documents_of_a_destination_that_moves_are_told(tmp_path):
    moved = ("port = 2222", "port = 2223")
    told = proposed(tmp_path, moved, waiting={"province": 3}).means
    assert Meaning("destination", "province", "3") in told
    assert [one.what for one in proposed(tmp_path, moved).means] == ["restart"]


@pytest.mark.parametrize(
    "old, new, place",
    [
        ('state_dir = "gateway"  ', 'state_dir = "other"  ', "gateway.state_dir"),
        ('code = "NUO001"', 'code = "NUO002"', "station.code"),
        ('province = "LCa"', 'province = "HNo"', "station.province"),
    ],
)
def test_what_no_restart_can_change_is_refused_with_its_line(tmp_path, old, new, place):
    found = proposed(tmp_path, (old, new))
    (fault,) = found.faults
    line = SAMPLE.replace(old, new).split(new)[0].count("\n") + 1
    assert fault.where == f"{tmp_path}/config.toml:{line}: {place}"
    assert "stop the gateway" in fault.instead


def test_all_faults_at_once_with_their_lines_and_nothing_that_no_toml_differs_in(tmp_path):
    found = proposed(tmp_path, ("port = 2222", "port = 0"), ("retention_days = 400", "retention_days = 7"))
    assert [fault.where.split(": ")[1] for fault in found.faults] == [
        "gateway.retention_days",
        "destination[0].port",
    ]
    broken = proposed(tmp_path, ('code = "NUO001"', 'code = "NUO001'))
    assert len(broken.faults) == 1 and "This is not TOML" in broken.faults[0].what and not broken.differences


def test_entries_are_read_back_and_others_passed_over():
    change = kept.Change("ab12", kept.TRYING, "old", "new", "lan", "10.0.0.7", 5, 1)
    told = (Difference("channel", "COD", "unit", None, "mg/l"),)
    said = entries.parse(entries.event(change, entries.APPLYING, "lan", "10.0.0.7", told))
    assert said == entries.Said("ab12", "applying", "lan", "10.0.0.7", "old", "new", "", told)
    many = entries.event(change, entries.APPLYING, "lan", "", told * 1000)
    assert (found := entries.parse(many)) and len(found.differences) == entries.DIFFERENCES_MAX
    for body in (b"", b"\x80", entries.cbor.dumps(["person", *"abcdefghi"]), entries.cbor.dumps([1] * 9)):
        assert entries.parse(body) is None
