"""`quantrac gateway mark`: beside a running gateway and a stopped one, used rightly and wrongly."""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner

from gateway.journal.bodies import event
from gateway.journal.kinds import EVENT
from gateway.journal.reader import reading
from gateway.marks import EVENT_NAME, Mark, parse
from gateway.requests import MARK, Order
from gateway.requests import parse as parse_order
from protocol import quality as q
from tests.gateway import app_rig as rig
from tools.cli import app


def verb(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gateway", "mark", *map(str, words)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


@pytest.fixture
def config(tmp_path):
    return rig.write_config(
        tmp_path, rig.bus("dead", "modbus-tcp://127.0.0.1:1"), rig.bus_channel("COD", "dead", 0),
        rig.directory(),
    )  # fmt: skip


def marks(config) -> list[Mark]:
    with reading(config.parent / "gateway" / "journal.db") as reader:
        entries = list(reader.entries(kinds=(EVENT,)))
    return [parse(entry.body) for entry in entries if event(entry.body)[0] == EVENT_NAME]


def test_beside_a_running_gateway(config):
    async def main() -> None:
        async with rig.running(config) as gateway:
            words = (config, "COD", "calibrating", "--by", "Lan", "--minutes", 30, "--reason", "zero")
            status, text = await asyncio.to_thread(verb, *words)
            assert status == 0 and text.startswith("COD: calibrating until 20") and "as Lan says" in text
            status, text = await asyncio.to_thread(verb, config, "COD", "over", "--by", "Lan")
            assert (status, text) == (0, "COD is measuring again, as Lan says.\n")
            status, text = await asyncio.to_thread(verb, config, "CODD", "over", "--by", "Lan")
            assert status == 1 and "There is no channel 'CODD'. Name one of: COD." in text
            status, text = await asyncio.to_thread(
                verb, config, "COD", "maintenance", "--by", "Lan", "--minutes", 99999
            )
            assert status == 1 and "7 days are the most" in text
            assert await gateway.stop() == 0

    asyncio.run(main())
    first, over = marks(config)
    assert (first.symbol, first.quality, first.who, first.reason) == ("COD", q.CALIBRATING, "Lan", "zero")
    assert first.to_ms - first.from_ms == 30 * 60_000
    assert (over.quality, over.to_ms) == (q.OK, over.from_ms) and over.from_ms > first.from_ms
    status, text = verb(config, "COD", "over", "--by", "Lan")
    assert status == 1 and "The gateway is stopped" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("COD", "broken", "--by", "Lan"), "write calibrating, maintenance or over"),
        (("COD", "over", "--by", " "), "--by is a line of"),
        (("COD", "calibrating", "--by", "Lan", "--minutes", 0), "--minutes is more than 0"),
        (("COD", "calibrating", "--by", "Lan", "--minutes", "nan"), "--minutes is more than 0"),
    ],
)
def test_used_wrongly_is_a_sentence(config, words, says):
    status, text = verb(config, *words)
    assert status == 2 and says in text


def test_requests_name_a_channel_and_who():
    good = Order(MARK, (), "", "Lan", "", channel="COD", mark="calibrating", minutes=30)
    assert parse_order(good.encode()) == good
    for bad in (
        good._replace(channel=""), good._replace(who=""), good._replace(mark="broken"),
        good._replace(minutes=-1), good._replace(minutes="5"), good._replace(ids=(1,)),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            parse_order(bad.encode())
