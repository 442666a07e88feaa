"""What anybody may see: the agreed channels only, numbers only where measured, words in two languages."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from gateway import flags, public
from gateway.config import ConfigFaults, load
from gateway.public import Hours, Series
from gateway.reports import provincial
from protocol import quality
from tests.gateway.configured import channel, configured
from tests.gateway.public_rig import COD, PH, PUBLIC, SECRET, group, public_config
from tests.gateway.test_provincial import T0, window

NOTE = "quantrac/LCa/DEMO/NUO001\n7\nAAAA\n\n— quantrac/LCa/DEMO/NUO001 BBBB\n".encode()


def page(config, windows, newest=None, note: bytes = b"") -> dict:
    series, hours = Series(config), Hours(config, 0)
    series.add(windows)
    hours.add(windows)
    newest = {one.symbol: one for one in windows} if newest is None else newest
    return json.loads(public.page(config, newest, series, hours, note))


def without_hours(found: dict) -> dict:
    return {name: each for name, each in found.items() if name != "hours"}


# The shape --------------------------------------------------------------------------------------------------


def test_the_object(tmp_path):
    config = public_config(tmp_path, PUBLIC + 'title = "Nước thải sau xử lý"\n')
    calibrating = group(1, q=quality.CALIBRATING)
    assert page(config, group(0) + calibrating, note=NOTE) == {
        "title": "Nước thải sau xử lý",
        "station": {
            "province": "LCa", "facility": "DEMO", "code": "NUO001", "name": "Trạm quan trắc nước thải",
            "kind": "wastewater", "latitude": 22.4856, "longitude": 103.9707,
        },
        "t": "2026-03-25T00:05:00+07:00",
        "delay_min": 0,
        "window_minutes": 5,
        "channels": {
            "COD": {
                "unit": "mg/l", "t": "2026-03-25T00:05:00+07:00", "value": None, "status": "01",
                "status_vi": "hiệu chuẩn", "status_en": "calibrating", "valid_share": 1.0, "revision": 1,
                "limits": {"min": None, "max": 75.0, "basis": "QCVN 40:2011 A"},
            },
            "pH": {
                "unit": "", "t": "2026-03-25T00:05:00+07:00", "value": 7.2, "status": "00",
                "status_vi": "đang đo", "status_en": "measuring", "valid_share": 1.0, "revision": 1,
                "limits": {"min": 6.0, "max": 9.0, "basis": "QCVN 40:2011 A"},
            },
        },
        "windows": {
            "t": ["2026-03-25T00:00:00+07:00", "2026-03-25T00:05:00+07:00"],
            "values": {"COD": [16.25, None], "pH": [7.2, 7.2]},
            "statuses": {"COD": ["00", "01"], "pH": ["00", "00"]},
        },
        "hours": {
            "t": ["2026-03-25T00:00:00+07:00"],  # the hour that ended with the first window
            "values": {"COD": [None], "pH": [None]},
            "statuses": {"COD": ["02"], "pH": ["02"]},
        },
        "statuses": {
            "00": {"vi": "đang đo", "en": "measuring"},
            "01": {"vi": "hiệu chuẩn", "en": "calibrating"},
            "02": {"vi": "thiết bị đo báo lỗi", "en": "instrument fault"},
        },
        "checkpoint": NOTE.decode(),
    }  # fmt: skip


def test_without_windows_coordinates_and_title(tmp_path):
    config = configured(tmp_path, COD + PH + PUBLIC)
    found = page(config, [])
    assert found["title"] == config.station.name and found["t"] is None and "checkpoint" not in found
    assert found["station"]["latitude"] is None and found["station"]["longitude"] is None
    assert found["windows"] == {"t": [], "values": {"COD": [], "pH": []}, "statuses": {"COD": [], "pH": []}}
    cod = found["channels"]["COD"]
    assert (cod["value"], cod["status"], cod["status_vi"]) == (None, "02", "không có số liệu")


def test_channels_come_as_public_names_them(tmp_path):
    config = public_config(tmp_path, '[public]\nchannels = ["pH", "COD"]\n')
    assert list(page(config, group(0))["channels"]) == ["pH", "COD"]


def test_the_csv(tmp_path):
    config = public_config(tmp_path)
    windows = group(1) + group(0, q=quality.MAINTENANCE)
    assert (public.csv_head() + public.csv_lines(config, windows)).decode() == (
        "\ufefftime,symbol,value,unit,status,status_vi,status_en,limit_min,limit_max,basis\r\n"
        '2026-03-25T00:00:00+07:00,COD,,mg/l,01,"bảo trì, bảo dưỡng",maintenance,,75.0,QCVN 40:2011 A\r\n'
        "2026-03-25T00:00:00+07:00,pH,7.2,,00,đang đo,measuring,6.0,9.0,QCVN 40:2011 A\r\n"
        "2026-03-25T00:05:00+07:00,COD,16.25,mg/l,00,đang đo,measuring,,75.0,QCVN 40:2011 A\r\n"
        "2026-03-25T00:05:00+07:00,pH,7.2,,00,đang đo,measuring,6.0,9.0,QCVN 40:2011 A\r\n"
    )


def test_what_is_pushed_is_the_same_about_one_stamp(tmp_path):
    config = public_config(tmp_path)
    data = public.public_message(config, group(0), 1, NOTE)
    assert data is not None
    assert json.loads(data) == {
        "id": "LCa/DEMO/NUO001/public/20260325000000/1",
        **without_hours(page(config, group(0), note=NOTE)),
    }
    assert public.public_message(config, list(reversed(group(0))), 1, NOTE) == data
    later = json.loads(public.public_message(config, [window("COD", 1.0, revision=3)], 3) or b"")
    assert later["id"].endswith("/20260325000000/3") and list(later["channels"]) == ["COD"]
    assert later["channels"]["COD"]["revision"] == 3 and later["windows"]["values"]["COD"] == [1.0]


def test_the_label_may_be_the_start(tmp_path):
    config = public_config(tmp_path)
    config = config.model_copy(update={"gateway": config.gateway.model_copy(update={"label": "start"})})
    assert (
        page(config, group(0))["t"]
        == page(config, group(0))["windows"]["t"][0]
        == ("2026-03-24T23:55:00+07:00")
    )


# Hours ------------------------------------------------------------------------------------------------------


def hours_of(config, windows, from_ms: int = 0, at_once: int = 10**6) -> dict:
    """Added in pieces of so many windows, as days are."""
    hours = Hours(config, from_ms)
    for start in range(0, len(windows), at_once):
        hours.add(windows[start : start + at_once])
    return hours.object(windows[-1].end_ms)


@pytest.mark.parametrize("at_once", [1, 3, 50, 10**6])
def test_whole_hours_of_agreed_channels(tmp_path, at_once):
    config = public_config(tmp_path)
    windows = [one for i in range(1, 30) for one in group(i, cod=float(i))]
    assert hours_of(config, windows, T0, at_once) == {
        "t": ["2026-03-25T01:00:00+07:00", "2026-03-25T02:00:00+07:00"],
        "values": {"COD": [6.5, 18.5], "pH": [7.2, 7.2]},
        "statuses": {"COD": ["00", "00"], "pH": ["00", "00"]},
    }
    assert hours_of(config, windows[: -6 * 3], T0)["t"] == ["2026-03-25T01:00:00+07:00"], "whole ones only"
    assert hours_of(config, windows, T0 + 1)["t"] == ["2026-03-25T02:00:00+07:00"], "and asked for whole"


def test_an_hour_without_enough_has_a_status_and_no_number(tmp_path):
    config = public_config(tmp_path)
    bad = [one for i in range(1, 6) for one in group(i, q=quality.CALIBRATING)]
    found = hours_of(config, bad + [one for i in range(6, 13) for one in group(i)])
    assert found["values"] == {"COD": [None], "pH": [7.2]} and found["statuses"]["COD"] == ["01"]


# What must never appear -------------------------------------------------------------------------------------


def all_that_is_shown(config, windows) -> str:
    """By every way at once."""
    series, hours = Series(config), Hours(config, 0)
    series.add(windows)
    hours.add(windows)
    newest = {one.symbol: one for one in windows}
    message = public.public_message(config, windows, 1) or b""
    return b"\n".join(
        [public.page(config, newest, series, hours), public.csv_lines(config, windows), message]
    ).decode()


def test_only_agreed_channels_ever_appear(tmp_path):
    shown = all_that_is_shown(public_config(tmp_path), group(0))
    assert "COD" in shown and "16.25" in shown
    assert "Cyanide" not in shown and "0.666" not in shown
    assert public.public_message(public_config(tmp_path), group(0)[2:], 2) is None
    nothing = all_that_is_shown(public_config(tmp_path, ""), group(0))
    assert not any(each in nothing for each in ("COD", "pH", "Cyanide", "16.25"))


@pytest.mark.parametrize("broken", ["agreed", "channels"])
def test_control_a_page_that_does_not_ask_what_was_agreed_is_found(tmp_path, monkeypatch, broken):
    if broken == "agreed":
        monkeypatch.setattr(public, "agreed", lambda config, windows: list(windows))
    else:
        every = {"COD": 0, "pH": 1, "Cyanide": 2}
        monkeypatch.setattr(
            public, "channels", lambda config: {name: config.channel[i] for name, i in every.items()}
        )
    with pytest.raises((AssertionError, KeyError)):
        test_only_agreed_channels_ever_appear(tmp_path)


@pytest.mark.parametrize("q", range(len(quality.NAMES)))
def test_a_number_only_where_it_was_measured(tmp_path, q):
    shown = all_that_is_shown(public_config(tmp_path), group(0, cod=16.25, q=q))
    assert ("16.25" in shown) == (q == quality.OK)
    vi, en = public.WORDS[q]
    assert vi in shown and en in shown and vi != en


def test_control_a_page_that_shows_whatever_value_there_is_is_found(tmp_path, monkeypatch):
    def naive(channel, one):
        return "" if one.value is None else provincial.number(one.value, channel.decimals)

    monkeypatch.setattr(public, "figure", naive)
    with pytest.raises(AssertionError):
        test_a_number_only_where_it_was_measured(tmp_path, quality.CALIBRATING)


def test_no_number_is_never_a_number(tmp_path):
    config = public_config(tmp_path)
    for missing in (window("COD", float("nan")), window("COD", None, last=None)):
        assert page(config, [missing])["channels"]["COD"]["value"] is None
        assert ",COD,,mg/l," in public.csv_lines(config, [missing]).decode()


def test_every_quality_has_words_and_each_status_its_own():
    assert set(public.WORDS) == set(flags.NAMES)
    assert len(set(public.WORDS.values())) == len(public.WORDS)
    assert set(public.STATUSES) == set(provincial.STATUSES)
    assert {quality.status(q) for q in public.WORDS} == set(public.STATUSES)


def test_the_figure_is_the_provincial_files(tmp_path):
    config = public_config(tmp_path)
    windows = [window("COD", 2.675), window("pH", 7.849, unit="")]
    rows = {row.symbol: row for row in provincial.parse(provincial.render(config.channel, windows, T0))}
    shown = page(config, windows)["channels"]
    lines = list(
        csv.DictReader(io.StringIO((public.csv_head() + public.csv_lines(config, windows)).decode()))
    )
    for symbol, line in zip(("COD", "pH"), lines, strict=True):
        assert shown[symbol]["value"] == rows[symbol].value and line["value"] == rows[symbol].text


# Windows that change ----------------------------------------------------------------------------------------


def test_the_newest_revision_counts(tmp_path):
    config = public_config(tmp_path)
    windows = [window("COD", 3.0, revision=3), window("COD", 2.0, revision=2), window("COD", 1.0)]
    assert page(config, windows, {})["windows"]["values"]["COD"] == [3.0]
    assert public.csv_lines(config, windows).decode().count("\r\n") == 1
    assert ",COD,3.00," in public.csv_lines(config, windows).decode()


def test_lists_stay_side_by_side_where_a_channel_has_no_window(tmp_path):
    config = public_config(tmp_path)
    windows = [window("COD", 1.0), *group(1), window("pH", 6.0, unit="", end_ms=T0 + 600_000)]
    found = page(config, windows)["windows"]
    assert found["values"] == {"COD": [1.0, 16.25, None], "pH": [None, 7.2, 6.0]}
    assert found["statuses"] == {"COD": ["00", "00", None], "pH": [None, "00", "00"]}
    assert len(found["t"]) == 3 and found["t"] == sorted(found["t"])


def test_days_may_be_added_one_by_one(tmp_path):
    config = public_config(tmp_path)
    windows = [one for i in range(20) for one in group(i)]
    whole, parts = Series(config), Series(config)
    whole.add(windows)
    for start in range(0, len(windows), 9):
        parts.add(windows[start : start + 9])
    assert whole.object() == parts.object() and len(whole.object()["t"]) == 20


def test_a_number_in_another_unit_is_not_taken_for_one_in_this(tmp_path):
    """After the unit of a channel was changed, its old windows are in the old one."""
    config = public_config(tmp_path)
    old = window("COD", 16_250.0, unit="ug/l")
    assert "16250" not in all_that_is_shown(config, [old])
    assert page(config, [old])["channels"]["COD"]["status_en"] == "no data"


# The configuration ------------------------------------------------------------------------------------------

FEED = '[[destination]]\nid = "portal"\nkind = "https"\nurl = "https://h/x"\nsend = ["public"]\n'
WRONG = [
    ('[public]\nchannels = ["Cod"]\n', "public.channels: There is no channel 'Cod' to be shown."),
    ('[public]\nchannels = ["COD", "COD"]\n', "A channel is named twice."),
    ('[public]\nchannels = "COD"\n', 'Write it as ["COD", "pH"], or [] for none.'),
    ("[public]\nchannels = [5]\n", "public.channels: This is text in quotes."),
    ("[public]\ndelay_min = -1\n", "-1 is out of range. Write delay_min = 0 (0 to 525,600 minutes)"),
    ('[public]\nchanels = ["COD"]\n', "Did you mean 'channels'?"),
    ('public = "COD"\n', "'public' is not a table."),
    (FEED, "destination[0].send: 'portal' gets public data, and no channel is public."),
    (PUBLIC + "delay_min = 60\n" + FEED, "'portal' would get public data before they are 60 minutes old."),
    (PUBLIC + "delay_min = 60\n" + FEED + "delay_min = 59\n", "Write delay_min = 60 here too."),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said[-30:] for _, said in WRONG])
def test_a_wrong_configuration_is_a_sentence(tmp_path, text, said):
    assert said in faults_of(tmp_path, text)


def faults_of(folder: Path, text: str) -> str:
    head, rest = (text, "") if text.startswith("public") else ("", text)
    config = configured(folder, COD + PH).path
    config.write_text(head + config.read_text("utf-8") + rest, "utf-8")
    with pytest.raises(ConfigFaults) as caught:
        load(config)
    (fault,) = caught.value.faults
    return str(fault)


@pytest.mark.parametrize("wrong", ["[91.0, 0.0]", "[0.0]", '"x"', "[nan, 1.0]", "[true, 1.0]", "[1.0, -181]"])
def test_coordinates_that_are_none(tmp_path, wrong):
    with pytest.raises(ConfigFaults, match=r"[Cc]oordinate"):
        load(placed(tmp_path, wrong))


def placed(folder: Path, coordinates: str) -> Path:
    path = configured(folder, COD).path
    path.write_text(
        path.read_text("utf-8").replace("[station]\n", f"[station]\ncoordinates = {coordinates}\n")
    )
    return path


def test_coordinates(tmp_path):
    assert load(placed(tmp_path, "[22.4856, 104]")).station.coordinates == (22.4856, 104.0)


def test_nothing_is_public_by_default(tmp_path):
    config = configured(tmp_path, COD + SECRET)
    assert config.public.channels == () and public.channels(config) == {}
    config = configured(tmp_path, channel("COD", "mg/l") + PUBLIC.replace(', "pH"', "") + FEED)
    assert config.public.channels == ("COD",) and config.destination[0].send == ("public",)
