"""`quantrac gateway alerts` and `acknowledge`: with a stopped gateway, and beside a running one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.interruptions import Interruption
from gateway.lock import lock
from gateway.requests import ACKNOWLEDGE, FOLDER, Order, parse
from tests.gateway import app_rig as rig
from tests.gateway.feed_rig import LENGTH_MS, config_of, written
from tests.gateway.test_provincial import T0
from tests.gateway.watch_rig import said
from tools import parked
from tools.cli import app


def verb(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gateway", *map(str, words)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def rows(config: Path) -> list[dict]:
    status, text = verb("alerts", config, "--json")
    assert status == 0
    return json.loads(text)


@pytest.fixture
def stopped(tmp_path):
    """A stopped gateway: COD exceeds since the second window, and a channel is interrupted."""
    config = config_of(tmp_path, "windows")

    async def story():
        async with written(config) as at:
            await at.close(T0, {"COD": 1.0})
            await at.close(T0 + LENGTH_MS, {"COD": 80.0})
            for one in (
                Interruption(("channel", "pH"), T0, None, "the instrument does not answer"),
                Interruption(("channel", "Temp"), T0, None, "no readings arrived"),
                Interruption(("channel", "Temp"), T0, T0 + LENGTH_MS, "no readings arrived"),
            ):
                await at.journal.commit(entries=[at.event(one.event())], now_ms=at.now_ms)

    asyncio.run(story())
    return config


def test_listed_and_acknowledged_while_the_gateway_is_stopped(stopped):
    assert [(row["alert"], row["state"]) for row in rows(stopped.path)] == [
        ("channel interrupted/pH/20260325000000", "raised"), ("limit/COD/20260325000500", "raised"),
    ]  # fmt: skip
    status, text = verb("alerts", stopped.path)
    assert status == 0 and "2 raised" in text
    assert "since 2026-03-25T00:05:00+07:00  QCVN 40:2011 A  80 (limit 75)" in text
    status, text = verb("acknowledge", stopped.path, "COD", "--by", "Lan", "--note", "valve shut")
    assert (status, text) == (0, "limit/COD/20260325000500 is acknowledged by Lan.\n")
    status, text = verb("acknowledge", stopped.path, "channel interrupted/pH", "--by", "Minh", "--json")
    assert status == 0 and json.loads(text)["ok"] is True
    assert [(row["about"], row["state"], row["by"], row["note"]) for row in rows(stopped.path)] == [
        ("pH", "acknowledged", "Minh", ""), ("COD", "acknowledged", "Lan", "valve shut"),
    ]  # fmt: skip
    assert "by Lan: valve shut" in verb("alerts", stopped.path)[1]
    assert [(a.said, a.by, a.note) for a in said(stopped)[-2:]] == [
        ("acknowledged", "Lan", "valve shut"), ("acknowledged", "Minh", ""),
    ]  # fmt: skip


def test_used_wrongly_it_says_what_to_do(stopped):
    for words, says in (
        (("acknowledge", stopped.path, "COD"), "by"),
        (("acknowledge", stopped.path, "COD", "--by", " "), "--by is a line"),
        (("acknowledge", stopped.path, "COD", "--by", "a\nb"), "--by is a line"),
        (("acknowledge", stopped.path, "COD", "--by", "x" * 101), "--by is a line"),
        (("acknowledge", stopped.path, "COD", "--by", "Lan", "--note", "a\tb"), "--note is a line"),
        (("acknowledge", stopped.path, "", "--by", "Lan"), "The alert is a line"),
    ):
        status, text = verb(*words)
        assert status == 2 and says in text, (words, text)
    status, text = verb("acknowledge", stopped.path, "Temp", "--by", "Lan")
    assert status == 1 and "No alert 'Temp' is raised: there are limit/COD/20260325000500, channel" in text
    assert [alert.said for alert in said(stopped)] == ["raised"]


def test_a_gateway_that_never_ran_and_one_that_does_not_answer(stopped, tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    config = config_of(tmp_path / "new", "windows").path
    for words in (("alerts", config), ("acknowledge", config, "COD", "--by", "Lan")):
        status, text = verb(*words)
        assert status == 1 and "has this gateway ever run?" in text
    monkeypatch.setattr(parked, "ANSWER_S_MAX", 0.3)
    state_dir = stopped.gateway.state_dir
    with lock(state_dir / "gateway.lock"):
        (state_dir / FOLDER).mkdir(mode=0o700)
        status, text = verb("acknowledge", stopped.path, "COD", "--by", "Lan")
        assert status == 1 and "did not take it within" in text and "nothing was changed" in text
    assert [alert.said for alert in said(stopped)] == ["raised"]


def test_requests_name_an_alert_and_who():
    good = Order(ACKNOWLEDGE, (), "", "Lan", "", "limit/COD/20260325000500")
    assert parse(good.encode()) == good
    for bad in (
        good._replace(alert=""),
        good._replace(who=""),
        good._replace(ids=(1,)),
        good._replace(alert="a\n"),
    ):
        with pytest.raises(ValueError):
            parse(bad.encode())


def test_beside_a_running_gateway(tmp_path):
    """An alert of half a year ago, learned from the journal: nobody acted, so it is escalated at once."""
    config = rig.write_config(
        tmp_path, rig.bus("dead", "modbus-tcp://127.0.0.1:1"),
        rig.bus_channel("COD", "dead", 0, limits={"max": 75.0}), rig.directory(),
    )  # fmt: skip

    async def main() -> None:
        from gateway.config import load

        async with written(load(config)) as at:
            await at.close(T0, {"COD": 80.0})
        async with rig.running(config) as gateway:
            (row,) = [one for one in (await gateway.current())["alerts"] if one["rule"] == "limit"]
            assert row["alert"] == "limit/COD/20260325000000" and row["state"] in ("raised", "escalated")
            words = ("acknowledge", config, "limit/COD", "--by", "Lan", "--note", "valve shut")
            status, text = await asyncio.to_thread(verb, *words)
            assert (status, text) == (0, "limit/COD/20260325000000 is acknowledged by Lan.\n"), text
            (row,) = [one for one in (await gateway.current())["alerts"] if one["rule"] == "limit"]
            assert (row["state"], row["by"], row["note"]) == ("acknowledged", "Lan", "valve shut")
            status, text = await asyncio.to_thread(verb, "acknowledge", config, "nothing", "--by", "Lan")
            assert status == 1 and "No alert 'nothing' is raised" in text
            assert await gateway.stop() == 0
        assert [(one["rule"], one["state"]) for one in rows(config) if one["about"] == "COD"][:1] == [
            ("limit", "acknowledged")
        ]

    asyncio.run(main())
