"""`quantrac gateway config`: checking a file beside what runs, and changing a running gateway."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from gateway.config_change import kept
from tests.gateway import app_rig as rig
from tests.gateway.test_config_change import ready, said
from tools.cli import app


def verb(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gateway", "config", *map(str, words)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


@pytest.fixture
def config(tmp_path):
    return rig.write_config(
        tmp_path, rig.bus("dead", "modbus-tcp://127.0.0.1:1"), rig.bus_channel("COD", "dead", 0),
        rig.directory(),
    )  # fmt: skip


@pytest.fixture
def new(config, tmp_path):
    path = tmp_path / "new.toml"
    path.write_text(config.read_text().replace('unit = "mg/l"', 'unit = "g/l"'))
    return path


def test_a_file_is_checked_beside_what_stands_there(config, new):
    status, text = verb(config, "check", new)
    assert status == 0 and 'channel COD unit: "mg/l" -> "g/l"' in text
    assert "COD changes its unit from 'mg/l' to 'g/l'" in text
    status, text = verb(config, "check", new, "--json")
    found = json.loads(text)
    assert found["ok"] and found["differences"] == [
        {"section": "channel", "name": "COD", "key": "unit", "old": '"mg/l"', "new": '"g/l"'}
    ]
    assert [one["what"] for one in found["means"]] == ["restart", "unit"]
    assert found["means"][1]["vi"].startswith("COD: đơn vị đổi")
    new.write_text(new.read_text().replace("timeout_ms = 200", "timeout_ms = 0").replace("NUO001", "NUO002"))
    status, text = verb(config, "check", new)
    assert status == 2 and "bus[0].timeout_ms" in text and text.endswith("It cannot be applied.\n")
    new.write_text(config.read_text() + "# mine\n")
    assert verb(config, "check", new) == (0, "Nothing but comments and spaces differs.\n")


def test_a_running_gateway_is_changed_and_told_of(config, new):
    old = config.read_text()

    async def said_of(*words: object) -> tuple[int, str]:
        return await asyncio.to_thread(verb, config, *words)

    async def main() -> None:
        async with rig.running(config) as gateway:
            assert (await said_of())[1].startswith("What runs: ")
            status, text = await said_of("apply", new, "--minutes", 30)
            assert status == 0 and "within 30 minutes" in text
            await ready(gateway, 2)
            status, text = await said_of("apply", new)
            assert status == 1 and "is not confirmed" in text
            assert (await said_of("confirm"))[0] == 0
            config.write_text("[station")  # what ran last says where to ask
            status, text = await said_of("apply")
            assert status == 1 and "This is not TOML" in text
            assert (await said_of("cancel"))[0] == 0
            assert config.read_text() == new.read_text()
            assert (await said_of("cancel"))[1].startswith("There is nothing to cancel")
            assert await gateway.stop() == 0

    asyncio.run(main())
    assert config.read_text() != old
    assert all(one.who and one.at == "" for one in said(config))
    assert verb(config, "confirm")[0] == 1
    assert "The gateway does not run" in verb(config, "apply", new)[1]


def test_used_wrongly(config, new, tmp_path):
    latin = tmp_path / "latin.toml"
    latin.write_bytes("name = 'Trạm'".encode("utf-16"))
    for words, part in (
        (("change",), "is none of show, apply"), (("confirm", new), "takes no file"),
        (("check",), "Name the file"),
        (("apply", new, "--minutes", 0), "1 to 60"), (("apply", latin), "UTF-8"),
    ):  # fmt: skip
        status, text = verb(config, *words)
        assert status == 2 and part in text, text
    assert verb(config, "check", tmp_path / "absent.toml")[0] == 1
    config.write_text("[station")
    assert verb(config, "show")[0] == 2
    assert not kept.beside(config, kept.CHANGE).exists()
