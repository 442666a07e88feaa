"""What a gateway's process has in it: what its configuration asks for, and nothing else.

A threshold of memory would be of one machine and one day. What costs memory is code that was imported, and
the process itself says at its end what that was.
"""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest

from gateway import config_apart, config_carried
from gateway.config import load
from tests.gateway.configured import SAMPLE, written
from tools.cli import plain_run
from tools.demo.site import free_port
from tools.gateway_process import GatewayProcess

NEVER = {
    "pydantic", "pydantic_core", "typer", "rich", "tools.commands", "gateway.config", "gateway.check",
    "plotly", "numpy", "PIL", "fpdf", "xlsxwriter", "segno", "mpremote", "gateway.init", "gateway.backup",
}  # fmt: skip
BUS = {"pymodbus", "gateway.ingest.line"}
SFTP = {"asyncssh", "gateway.forward.sftp"}
OTHERS = {
    "gateway.camera.snapshot", "gateway.sampling.sampler", "gateway.commands.desk", "gateway.index_now",
    "gateway.forward.mqtt", "paho.mqtt.client",
}  # fmt: skip
"""Of what SAMPLE does not have."""
MQTT = '[[destination]]\nid = "national"\nkind = "mqtt"\nhost = "127.0.0.1"\nport = 1\n'
CAMERA = '[[camera]]\nid = "gate"\nkind = "http"\nurl = "http://127.0.0.1:1/a.jpg"\n'


def modules(folder: Path, text: str) -> set[str]:
    """What was in the process of a gateway with this configuration when it ended."""

    async def run() -> None:
        gateway = GatewayProcess(written(folder, text), None, folder, "tests.gateway.telling")
        await gateway.start()
        assert await gateway.stop() == 0, gateway.last_words()

    asyncio.run(run())
    return set((folder / "modules").read_text().split())


def sample() -> str:
    """SAMPLE on ports that are free."""
    link = f"tcp-listen://127.0.0.1:{free_port()}"
    text = SAMPLE.replace("serial:/dev/ttyACM0?baud=115200", link)
    return text.replace("port = 8080", f"port = {free_port()}").replace(":5020", ":1")


def without(text: str, head: str) -> str:
    """Without the tables of this head."""
    return "\n[".join(part for part in text.split("\n[") if not part.startswith(head))


def test_a_process_has_what_its_configuration_asks_for(tmp_path):
    found = modules(tmp_path, sample())
    assert not found & (NEVER | OTHERS)
    assert found >= BUS | SFTP | {"gateway.app", "starlette", "jinja2"}


def test_what_a_station_does_not_have_is_not_there(tmp_path):
    text = without(without(sample(), "[bus]]"), "[destination]]")
    first, flow = text.split('[[channel]]\nsymbol = "Flow"')
    text = first + flow[flow.index("\n[[") :].lstrip() + MQTT + CAMERA
    found = modules(tmp_path, text.replace('"wastewater"', '"ambient-air"'))
    assert not found & (NEVER | BUS | SFTP | {"asyncssh"})
    assert found >= {
        "gateway.camera.snapshot",
        "gateway.index_now",
        "gateway.forward.mqtt",
        "paho.mqtt.client",
    }


def test_control_what_reads_configurations_in_its_own_process_is_seen(tmp_path):
    (tmp_path / "careless").touch()
    assert modules(tmp_path, sample()) >= {"pydantic", "pydantic_core", "gateway.config"}


def test_a_configuration_is_the_same_after_its_way_through_another_process(tmp_path, monkeypatch):
    """Read there by pydantic and brought here: here, too, there is pydantic, so that both can be compared."""
    path = written(tmp_path, sample())
    monkeypatch.setattr(config_carried, "_chosen", True)
    config, faults = config_apart.read(path)
    assert faults == [] and config == load(path)
    assert config_apart.parse(path, path.read_bytes()) == (config, [])
    config, faults = config_apart.parse(path, b"[station]\n")
    assert config is None and len(faults) > 3
    monkeypatch.setattr(config_apart, "_CODE", "raise SystemExit(3)")
    with pytest.raises(OSError, match="status 3"):
        config_apart.read(path)


class Carried(config_carried.Section):
    must = config_carried.setting("A setting.")
    may = config_carried.setting("Another.", 5)


def test_what_is_carried_holds_and_cannot_be_changed():
    state = {"__dict__": {"must": "x", "may": 7}, "__pydantic_private__": {"_own": 1}}
    one, other = Carried(), Carried()
    assert one.may == 5 and not hasattr(one, "must")
    one.__setstate__(state)
    other.__setstate__(pickle.loads(pickle.dumps(one)).__getstate__())
    assert one == other and hash(one) == hash(other) and vars(other) == {"must": "x", "may": 7, "_own": 1}
    assert one != Carried() and "must='x'" in repr(one)
    with pytest.raises(TypeError):
        one.may = 8


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("gateway run c.toml", ("c.toml", None)),
        ("gateway run c.toml --clock t", ("c.toml", "t")),
        ("gateway run --clock t c.toml", ("c.toml", "t")),
        ("gateway run", None),
        ("gateway run --help", None),
        ("gateway run c.toml --clock", None),
        ("gateway run c.toml more", None),
        ("gateway check c.toml", None),
        ("run c.toml", None),
        ("", None),
    ],
)
def test_the_line_that_is_understood_by_itself(line, asked):
    found = plain_run(line.split())
    assert found == (asked and tuple(None if word is None else Path(word) for word in asked))
