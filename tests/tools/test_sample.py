"""`quantrac gateway sample`: used wrongly, beside a stopped gateway and one without a sampler.

Beside a running one with a sampler: tests/gateway/test_command_app.py.
"""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner

from gateway.requests import BOTTLES_MAX, SAMPLE, Order, parse
from tests.gateway import app_rig as rig
from tools.cli import app


def verb(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gateway", "sample", *map(str, words)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


@pytest.fixture
def config(tmp_path):
    return rig.write_config(
        tmp_path, rig.bus("dead", "modbus-tcp://127.0.0.1:1"), rig.bus_channel("COD", "dead", 0),
        rig.directory(),
    )  # fmt: skip


def test_without_a_sampler_it_says_so(config):
    async def main() -> None:
        async with rig.running(config) as gateway:
            for more in ((), ("--emptied",)):
                status, text = await asyncio.to_thread(verb, config, "--by", "Lan", *more)
                assert status == 1 and "No sampler is configured" in text
            assert await gateway.stop() == 0

    asyncio.run(main())
    status, text = verb(config, "--by", "Lan", "--json")
    assert status == 1 and '"ok": false' in text and "The gateway is stopped" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--by", " "), "--by is a line of"),
        (("--by", "Lan", "--bottles", 0), "--bottles is at least 1"),
        (("--by", "Lan", "--bottles", 25), "--bottles is at most 24"),
        (("--by", "Lan", "--reason", "x" * 201), "--reason is a line of"),
    ],
)
def test_used_wrongly_is_a_sentence(config, words, says):
    status, text = verb(config, *words)
    assert status == 2 and says in text


def test_requests_name_bottles_and_who():
    good = Order(SAMPLE, (), "", "Lan", "foam", bottles=3)
    assert parse(good.encode()) == good
    assert parse(good._replace(bottles=0).encode()).bottles == 0
    for bad in (
        good._replace(who=""), good._replace(bottles=-1), good._replace(bottles=BOTTLES_MAX + 1),
        good._replace(bottles=1.0), good._replace(bottles=True), good._replace(bottles="1"),
        good._replace(ids=(1,)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="takes a sample"):
            parse(bad.encode())
