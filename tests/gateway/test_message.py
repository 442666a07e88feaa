"""Messages for brokers: the shape of the interface page, the provincial file's figures, permanent ids."""

from __future__ import annotations

import json
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.reports import message, provincial
from protocol import quality
from tests.gateway.configured import channel, configured
from tests.gateway.test_provincial import T0, window


def test_a_window_message(tmp_path):
    config = configured(tmp_path, channel("COD", "mg/l", 2) + channel("pH", "", 1))
    windows = [window("pH", 7.849), window("COD", 2.675, quality.COVERAGE)._replace(valid_share=0.58333333)]
    assert json.loads(message.window_message(config, windows, 1)) == {
        "id": "LCa/DEMO/NUO001/window/20260325000000/1",
        "t": "2026-03-25T00:00:00+07:00",
        "channels": {
            "COD": {
                "value": 2.67,
                "unit": "mg/l",
                "status": quality.status(quality.COVERAGE),
                "valid_share": 0.5833,
                "revision": 1,
            },
            "pH": {"value": 7.8, "unit": "", "status": "00", "valid_share": 1.0, "revision": 1},
        },
    }


NOTE = "quantrac/LCa/DEMO/NUO001\n7\nAAAA\n\n— quantrac/LCa/DEMO/NUO001 BBBB\n".encode()


def test_a_window_message_carries_the_newest_checkpoint(tmp_path):
    config = configured(tmp_path)
    bare = message.window_message(config, [window("COD", 1.0)], 1)
    told = message.window_message(config, [window("COD", 1.0)], 1, NOTE)
    assert json.loads(told) == {**json.loads(bare), "checkpoint": NOTE.decode()}
    assert "checkpoint" not in json.loads(bare), "before the first there is none"
    assert message.checkpoint_in(told) == NOTE and message.checkpoint_in(bare) == b""
    for data in (b"", b"no json", b"[1]", b'{"checkpoint": 7}', NOTE):
        assert message.checkpoint_in(data) == b""


def test_a_checkpoint_message(tmp_path):
    data = message.checkpoint_message(configured(tmp_path), 7, T0 + 5, NOTE)
    assert json.loads(data) == {
        "id": "LCa/DEMO/NUO001/checkpoint/7",
        "t": "2026-03-25T00:00:00.005+07:00",
        "checkpoint": NOTE.decode(),
    }


def test_the_same_windows_make_the_same_bytes(tmp_path):
    config = configured(tmp_path, channel("COD", "mg/l") + channel("pH", ""))
    one, two = window("COD", 1.0), window("pH", 7.0)
    assert message.window_message(config, [one, two], 1) == message.window_message(config, [two, one], 1)


def test_no_number_is_null(tmp_path):
    config = configured(tmp_path)
    for missing in (window("COD", float("nan")), window("COD", None, quality.NO_DATA, last=None)):
        assert json.loads(message.window_message(config, [missing], 1))["channels"]["COD"]["value"] is None


@given(st.floats(-1e6, 1e6), st.integers(0, 9))
def test_both_receivers_read_the_same_figure(value, decimals):
    text = provincial.number(value, decimals)
    assert float(text) == json.loads(json.dumps(float(text)))


@given(st.integers(0, 4_000_000_000_000))
def test_times_are_rfc_3339_in_vietnam(time_ms):
    text = message.rfc3339(time_ms)
    assert text.endswith("+07:00")
    assert round(datetime.fromisoformat(text).timestamp() * 1000) == time_ms


def test_topics(tmp_path):
    config = configured(tmp_path)
    kinds = {
        kind: message.topic(config, kind)
        for kind in ("windows", "hours", "alerts", "events", "checkpoints", "status")
    }
    assert kinds["windows"] == "quantrac/LCa/DEMO/NUO001/window"
    levels = [topic.rsplit("/", 1)[1] for topic in kinds.values()]
    assert levels == ["window", "hour", "alert", "event", "checkpoint", "status"]
    assert message.topic(config, "readings", "other/place") == "other/place/LCa/DEMO/NUO001/readings"


def test_a_reading_message(tmp_path):
    rows = [("COD", T0, 16.25, "00"), ("pH", T0 + 5, None, "02")]
    assert json.loads(message.reading_message(configured(tmp_path), "17/1200-1201", T0 + 5, rows)) == {
        "id": "LCa/DEMO/NUO001/readings/17/1200-1201",
        "t": "2026-03-25T00:00:00.005+07:00",
        "rows": [["COD", T0, 16.25, "00"], ["pH", T0 + 5, None, "02"]],
    }
