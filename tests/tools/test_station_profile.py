"""`quantrac station profile`: the list, one of them in words, and a new file checked on the whole path."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tomllib
from importlib.resources import files

import pytest
from typer.testing import CliRunner

from protocol import instruments
from protocol.errors import ConfigError
from protocol.profile import answered, parse
from protocol.profile_ask import examples
from tools.cli import app
from tools.station import profile_trial
from tools.station.build import build
from tools.station.profile_doubts import doubts
from tools.station.profile_trial import trial
from tools.station.profiles import shown

README = (files(instruments.__name__) / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```toml\n(.*?)```", README[README.index("## Write a profile") :], re.DOTALL)[1]


def quantrac(*arguments, **environment):
    """(status, stdout, stderr) of `quantrac station profile ...`."""
    done = CliRunner().invoke(app, ["station", "profile", *map(str, arguments)], env=environment)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if "--json" not in arguments:
        paths = [str(path) for path in arguments if os.path.isabs(path)]
        long = [line for line in done.stdout.splitlines() if len(line) > 80]
        assert [line for line in long if not any(path in line for path in paths)] == []
    return done.exit_code, done.stdout, done.stderr


def folded(text):
    return " ".join(text.split())


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "my-qsa2700.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


# ---- list and show


def test_the_list():
    status, out, _ = quantrac("list")
    assert status == 0
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert set(instruments.names()) <= set(rows)
    assert "MAKER" in rows["eh-cm44x"] and "9 open" in rows["eh-cm44x"] and "open" not in rows["tuf-2000"]
    status, out, _ = quantrac("list", "teledyne", "--kind", "ambient-air", "--mark", "code", "--json")
    assert [row["name"] for row in json.loads(out)] == ["teledyne-n500", "teledyne-t640"]
    status, _, errors = quantrac("list", "--kind", "river")
    assert status == 2 and "write one of ambient-air" in errors
    status, _, errors = quantrac("list", "--mark", "SEEN")
    assert status == 2 and "MAKER, CODE or GENERIC" in errors


@pytest.mark.parametrize("name", instruments.names())
def test_every_profile_is_shown_in_80_columns(name):
    lines = shown(instruments.load(name))
    assert max(map(len, lines)) <= 80
    text = folded(" ".join(lines))
    profile = instruments.load(name)
    for q in profile.quantities:
        assert f"{q.table} {q.register}" in text and q.printed in text
    assert all(folded(ask.text) in text for ask in profile.asks)


def test_one_is_shown(example):
    status, out, _ = quantrac("show", "hach-uvas-sc")
    assert status == 0 and "To be answered on site" in out and "one of ABCD" in folded(out)
    status, out, _ = quantrac("show", example)
    assert status == 0 and "my-qsa2700" in out and "the value stops at the end of the range" in folded(out)
    status, out, _ = quantrac("show", "eh-cm44x", "--json")
    row = json.loads(out)
    assert row["questions"][0]["id"] == "order" and row["profile"]["quantity"][0]["register"] == "?ph * 4 - 4"
    status, _, errors = quantrac("show", "cm44")
    assert status == 2 and "Did you mean eh-cm44x?" in errors
    status, _, errors = quantrac("show", "nothing-of-it")
    assert status == 2 and "profile list" in errors


# ---- check


def test_the_example_of_the_readme_holds_and_is_the_instrument(example):
    """The worked example, as a technician would check it: no fault, no doubt, and a station measures it."""
    status, out, errors = quantrac("check", example)
    assert status == 0, out + errors
    assert "no fault" in out and "Suspicious" not in out and "200" in out and out.count(" OK") == 2
    ours = instruments.load("siemens-qsa2700")
    made = instruments.read(example)
    assert made.link[:4] == ours.link[:4] and made.statuses == ours.statuses
    assert [q.register for q in made.quantities] == [q.register for q in ours.quantities]
    # it can be used, too
    status, out, _ = quantrac("list", "qsa", "--json", QUANTRAC_PROFILES=str(example.parent))
    assert [row["name"] for row in json.loads(out)] == ["my-qsa2700", "siemens-qsa2700"]


def test_every_fault_at_once_with_what_to_write(example):
    text = EXAMPLE.replace("register = 256", "register = 70000").replace('"E"', '"X"')
    text = text.replace("[0.0, 499.0]", "[0.0, 500.0]", 1).replace('printed = "258"', 'colour = "red"')
    example.write_text(text.replace('name = "my-qsa2700"', 'name = "other"'))
    status, out, _ = quantrac("check", example)
    out = folded(out)
    assert status == 1
    for words in (
        'write name = "my-qsa2700"',
        "quantity[0].register = 70000: write a whole number from 0 to 65535",
        "link.parity = 'X': write one of N, E, O",
        "quantity[1].colour: unknown",
        "quantity[1].printed: missing, write the number as the maker's document prints it",
    ):
        assert words in out, (words, out)
    status, out, _ = quantrac("check", example, "--json")
    assert status == 1 and len(json.loads(out)["faults"]) == 5


def test_what_is_no_profile_at_all(tmp_path):
    status, _, errors = quantrac("check", tmp_path / "nothing.toml")
    assert status == 2 and "name the profile's TOML file" in errors
    for text, words in (("x = = 1", "no TOML"), ("", "name: missing"), ("\xff", "no TOML")):
        path = tmp_path / "some.toml"
        path.write_bytes(text.encode("latin-1"))
        status, out, _ = quantrac("check", path)
        assert status == 1 and words in out, (text, out)


def test_questions_are_answered_by_examples_or_by_hand(tmp_path):
    path = tmp_path / "hach-uvas-sc.toml"
    path.write_bytes((files(instruments.__name__) / path.name).read_bytes())
    status, out, _ = quantrac("check", path, "--answer", "order=dcba", "--json")
    checked = json.loads(out)
    assert status == 0 and checked["answers"] == {"order": "DCBA"}
    (measured,) = checked["measured"]
    assert measured["quality"] == "OK" and measured["value"] == measured["held"] == 400.0
    for answer, words in (
        ("order=up", "write order= and one of ABCD"),
        ("span=2", 'does not ask "span"'),
        ("x", "ask"),
    ):
        status, _, errors = quantrac("check", path, "--answer", answer)
        assert status == 2 and words in errors


def changed(**changes):
    """The example's table with its first quantity changed."""
    table = tomllib.loads(EXAMPLE)
    table["trap"] = []
    table["quantity"][0] |= changes
    return table


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plausible": [0.0, 70000.0]}, "uint16 with this scale carries 0 to 65535"),
        ({"plausible": [-1.0, 10.0]}, "Make the range narrower"),
        ({"register": 40257, "printed": "40257"}, "sent minus 40001, as 256"),
        ({"register": 30257, "printed": "257"}, "sent minus 30001"),
        ({"type": "float32", "register": 300, "printed": "301"}, "word_order is not written"),
        ({"type": "uint32", "word_order": "ABCD"}, "pm25 and pm10: both lie in holding register 257"),
        ({"printed": "259"}, "printed number minus register is 3 for pm25; 1 for pm10"),
        ({"status": None}, "pm25: without a status register"),
    ],
)
def test_what_is_suspicious(changes, words):
    table = changed(**changes)
    if "status" in changes:
        del table["quantity"][0]["status"]
    found = doubts(parse(table))
    assert len(found) == 1 and words in found[0], found


def test_control_the_example_is_not_suspicious():
    assert doubts(parse(changed())) == []


@pytest.mark.parametrize("name", instruments.names())
def test_of_our_own_only_the_missing_statuses_are_suspicious(name):
    given = instruments.load(name)
    found = doubts(answered(given, examples(given.asks)), given)
    assert [doubt for doubt in found if "status register" not in doubt] == []


# ---- on the whole path, with the real firmware


@pytest.mark.parametrize(
    "name",
    [
        "wtw-iqsn",  # the site's own map, several states in one register
        "yosemitech-y514",  # started by a read of nothing
        "lambrecht-rain-e",  # literal addresses, one value a request
        "siemens-ga700",  # words in an order that was asked for
        "dr-803k",  # coils
    ],
)
def test_a_station_measures_what_is_served(name):
    given = instruments.load(name)
    profile = answered(given, examples(given.asks))
    measured = asyncio.run(trial(profile))
    assert [m.quantity for m in measured] == [q.id for q in profile.quantities]
    assert all(m.holds for m in measured), measured


def test_control_a_station_that_reads_otherwise_than_the_instrument_says_is_seen(monkeypatch):
    """The trial compares: words in another order at the station's end do not go unnoticed."""
    whole_site = profile_trial.write

    def write(folder, site):
        whole_site(folder, site)
        path = folder / "station.json"
        path.write_text(path.read_text().replace('"CDAB"', '"ABCD"'))

    monkeypatch.setattr(profile_trial, "write", write)
    assert [m.holds for m in asyncio.run(trial(instruments.load("hach-amtax-inter2c")))] == [False]


def test_a_lent_profile_is_known_for_as_long_as_it_is_lent(example):
    profile = instruments.read(example)
    unit = {"bus": "lan", "unit": 1, "profile": profile.name, "poll_ms": 60000}
    site = {
        "id": "st-01",
        "key": "0f" * 32,
        "link": {"kind": "tcp", "host": "127.0.0.1", "port": 7311},
        "buses": [{"id": "lan", "kind": "tcp", "host": "127.0.0.1", "port": 502}],
        "units": [unit],
    }
    with instruments.lent(profile):
        assert build(site)["units"][0]["profile"] == "my-qsa2700"
    with pytest.raises(ConfigError, match="no profile is called"):
        build(site)


def test_an_open_profile_is_not_built(example):
    site = {
        "id": "st-01",
        "key": "0f" * 32,
        "link": {"kind": "tcp", "host": "127.0.0.1", "port": 7311},
        "buses": [{"id": "lan", "kind": "tcp", "host": "127.0.0.1", "port": 502}],
        "units": [{"bus": "lan", "unit": 1, "profile": "hach-uvas-sc", "poll_ms": 60000}],
    }
    with pytest.raises(ConfigError, match="order: open, write one of ABCD"):
        build(site)
    site["units"][0]["answers"] = {"order": "CDAB"}
    assert build(site)["units"][0]["values"][0]["order"] == "CDAB"
