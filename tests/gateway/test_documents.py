"""From windows to documents: what each destination gets, in which order, under which permanent key."""

from __future__ import annotations

import json

from gateway.documents import checkpoint_drafts, documents, readings_drafts
from gateway.reports import provincial
from gateway.windows import OFF
from protocol import quality
from tests.gateway.configured import channel, configured
from tests.gateway.test_provincial import T0, window

DESTINATIONS = """
[[destination]]
id = "province"
kind = "directory"
path = "sent"
layout = "date"
[[destination]]
id = "national"
kind = "mqtt"
host = "127.0.0.1"
topic_prefix = "eu"
send = ["windows", "readings"]
[[destination]]
id = "police"
kind = "mqtt"
host = "127.0.0.1"
send = ["alerts"]
"""
CHANNELS = channel("COD", "mg/l") + channel("pH", "", 2)


def test_what_each_destination_gets(tmp_path):
    config = configured(tmp_path, CHANNELS, DESTINATIONS)
    windows = [window("COD", 16.25), window("pH", 7.5)]
    province, national = documents(config, windows)
    assert province == (
        "province",
        "window/NUO001/20260325000000/1",
        "windows",
        "LCa_DEMO_NUO001_20260325000000.txt",
        "NUO001/20260325",
        T0,
        provincial.render(config.channel, windows, T0),
    )
    assert national[:6] == (
        "national",
        "window/NUO001/20260325000000/1",
        "windows",
        "eu/LCa/DEMO/NUO001/window",
        "",
        T0,
    )
    assert set(json.loads(national.body)["channels"]) == {"COD", "pH"}


def test_a_checkpoint_goes_into_messages_and_to_those_who_asked(tmp_path):
    more = DESTINATIONS.replace('"alerts"', '"checkpoints"').replace(
        "layout =", 'send = ["checkpoints"]\nlayout ='
    )
    config = configured(tmp_path, CHANNELS, more)
    note = b"a text\n\nsigned\n"
    (national,) = documents(config, [window("COD", 16.25)], note)
    assert json.loads(national.body)["checkpoint"] == note.decode()
    province, police = checkpoint_drafts(config, 42, T0, note)
    assert province == (
        "province", "checkpoint/NUO001/42", "checkpoints", "LCa-DEMO-NUO001-20260325000000-42.checkpoint",
        "NUO001/20260325", T0, note,
    )  # fmt: skip
    assert police[:6] == (
        "police", "checkpoint/NUO001/42", "checkpoints", "quantrac/LCa/DEMO/NUO001/checkpoint", "", T0,
    )  # fmt: skip
    assert json.loads(police.body)["checkpoint"] == note.decode()


def test_the_label_can_be_the_start(tmp_path):
    config = configured(tmp_path, CHANNELS, DESTINATIONS)
    config = config.model_copy(update={"gateway": config.gateway.model_copy(update={"label": "start"})})
    province, national = documents(config, [window("COD", 1.0)])
    assert province.name == "LCa_DEMO_NUO001_20260324235500.txt"
    assert (province.folder, province.at_ms) == ("NUO001/20260324", T0 - 300_000)
    assert provincial.parse(province.body)[0].time_ms == T0 - 300_000
    assert json.loads(national.body)["t"] == "2026-03-24T23:55:00+07:00"


def test_a_later_revision_goes_only_where_it_can_be_told_apart(tmp_path):
    config = configured(tmp_path, CHANNELS, DESTINATIONS)
    drafts = documents(config, [window("COD", 16.5, revision=2)])
    assert [(draft.destination, draft.key) for draft in drafts] == [
        ("national", "window/NUO001/20260325000000/2")
    ]
    body = json.loads(drafts[0].body)
    assert body["id"].endswith("/20260325000000/2")
    assert {symbol: row["revision"] for symbol, row in body["channels"].items()} == {"COD": 2}


def test_oldest_first_whatever_order_the_windows_come_in(tmp_path):
    config = configured(tmp_path, CHANNELS, DESTINATIONS)
    windows = [
        window("COD", 1.0, end_ms=T0 + i * 300_000, revision=r) for i, r in [(2, 1), (0, 2), (1, 1), (0, 1)]
    ]
    drafts = documents(config, windows)
    assert [(d.destination, d.key[-16:]) for d in drafts] == [
        ("province", "20260325000000/1"), ("national", "20260325000000/1"), ("national", "20260325000000/2"),
        ("province", "20260325000500/1"), ("national", "20260325000500/1"),
        ("province", "20260325001000/1"), ("national", "20260325001000/1"),
    ]  # fmt: skip
    assert documents(config, reversed(windows)) == drafts
    assert len({(draft.destination, draft.key) for draft in drafts}) == len(drafts)


def test_a_file_without_a_line_is_not_sent(tmp_path):
    config = configured(tmp_path, CHANNELS, DESTINATIONS)
    drafts = documents(config, [window("COD", None, quality.NO_DATA, last=None)])
    assert [draft.destination for draft in drafts] == ["national"]
    assert documents(config, []) == []


def test_raw_readings_go_to_those_who_asked(tmp_path):
    config = configured(tmp_path, CHANNELS, DESTINATIONS)
    (draft,) = readings_drafts(config, "17/1-2", T0, [("COD", T0, 1.0, "00")])
    assert (draft.destination, draft.key, draft.kind) == ("national", "readings/NUO001/17/1-2", "readings")
    assert draft.name == "eu/LCa/DEMO/NUO001/readings"
    assert readings_drafts(configured(tmp_path, CHANNELS), "17/1-2", T0, []) == []


def test_over_https_a_message_goes_by_its_id(tmp_path):
    feed = (
        '[[destination]]\nid = "feed"\nkind = "https"\nurl = "https://h/x"\nsend = ["windows", "readings"]\n'
    )
    config = configured(tmp_path, CHANNELS, DESTINATIONS + feed)
    *_, national, one = documents(config, [window("COD", 1.0, revision=2)])
    assert one.body == national.body and one.key == national.key and one.destination == "feed"
    assert one.name == json.loads(one.body)["id"] == "LCa/DEMO/NUO001/window/20260325000000/2"
    _, raw = readings_drafts(config, "17/1-2", T0, [("COD", T0, 1.0, "00")])
    assert raw.name == json.loads(raw.body)["id"] == "LCa/DEMO/NUO001/readings/17/1-2"


def test_windows_of_a_time_when_nothing_ran_are_no_files(tmp_path):
    """decisions/0004: the broker is told, the department gets nothing that was not measured."""
    config = configured(tmp_path, CHANNELS, DESTINATIONS)
    off = [window("COD", 5.0, quality.NO_DATA)._replace(reason=OFF)]
    assert [draft.destination for draft in documents(config, off)] == ["national"]
    dead = [
        window("COD", 5.0, quality.NO_DATA)
    ]  # the gateway ran, the instrument did not: the regulated status 02
    assert [draft.destination for draft in documents(config, dead)] == ["province", "national"]
