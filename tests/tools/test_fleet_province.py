"""tools/fleet/province.py: light gateways at a real Mosquitto and a real OpenSSH; a count that can fail."""

from __future__ import annotations

import json
import resource
from collections import Counter

import pytest

from gateway.forward.port import Confirmation
from gateway.reports import provincial
from protocol.checkpoint import open_checkpoint
from tests.servers.process import program
from tools.fleet import light_gateway, province
from tools.fleet.light_gateway import LightGateway
from tools.fleet.province import BASE_MS, ProvinceOptions, run_province
from tools.fleet.received import files, messages, named
from tools.people import Failure

SFTP = {"kind": "directory", "path": "x"}
MQTT = {"kind": "mqtt", "host": "127.0.0.1", "port": 1}


@pytest.fixture(autouse=True)
def installed():
    assert program("mosquitto", "mosquitto") and program("sshd", "openssh-server")


def test_five_gateways_at_real_servers():
    result = run_province(ProvinceOptions(5, channels=3, seconds=2, rounds=2))
    assert result["broker"] == "mosquitto" and result["holds"] and result["parked"] == 0
    assert [r["documents"] for r in result["rounds"]] == [15, 15]
    assert result["received"]["messages"] == {
        "attempts": 20, "acknowledged": 20, "ok": 20, "lost": 0, "unexpected": 0, "duplicated": 0,
    }  # fmt: skip
    assert result["received"]["files"]["ok"] == 10 and result["received"]["files"]["lost"] == 0
    assert result["servers"]["sshd"]["processes"] > 5 and result["servers"]["mosquitto"]["mib"] > 0
    assert set(result["bytes"]) == {"national/checkpoints", "national/windows", "province/windows"}
    assert all(0 < r["province_p50_s"] <= r["province_max_s"] <= r["seconds"] + 1 for r in result["rounds"])


class Wrapped:
    """A destination of which one in three documents is dropped after all, or sent twice."""

    def __init__(self, inner, how):
        self.inner, self.how, self.in_flight_max, self.seen = inner, how, inner.in_flight_max, 0

    async def deliver(self, document):
        self.seen += 1
        if self.seen % 3 == 0 and self.how == "drops":
            return Confirmation(document.name, len(document.body), "so it says")
        if self.seen % 3 == 0:
            await self.inner.deliver(document)
        return await self.inner.deliver(document)

    async def close(self):
        await self.inner.close()


@pytest.mark.parametrize("how", ["drops", "doubles"])
def test_control_what_is_dropped_or_doubled_on_the_way_is_counted(monkeypatch, how):
    make = light_gateway.make
    monkeypatch.setattr(light_gateway, "make", lambda config, each: Wrapped(make(config, each), how))
    result = run_province(ProvinceOptions(2, channels=2, seconds=3, rounds=3))
    of_messages, of_files = result["received"]["messages"], result["received"]["files"]
    assert not result["holds"]
    assert of_messages["lost"] == (4 if how == "drops" else 0)
    assert of_messages["duplicated"] == (4 if how == "doubles" else 0)
    assert of_files["lost"] == (2 if how == "drops" else 0) and of_files["duplicated"] == 0, (
        "one name, one file"
    )


def gateway(tmp_path, number: int = 3) -> LightGateway:
    made = LightGateway(number, 2, SFTP | {"path": str(tmp_path)}, MQTT, tmp_path)
    made.outbox = light_gateway.MemoryOutbox(["province", "national"])
    return made


def test_its_documents_are_a_gateways(tmp_path):
    made = gateway(tmp_path)
    made.close_window(BASE_MS + 300_000)
    made.close_window(BASE_MS + 600_000)
    kinds = [(d.destination, d.kind) for d in made.sent]
    assert kinds == [("province", "windows"), ("national", "windows"), ("national", "checkpoints")] * 2
    file, window, checkpoint = made.sent[3:]
    assert file.name == "LCa_F0003_NUO0003_20260325001000.txt" and len(provincial.parse(file.body)) == 2
    assert window.name == "quantrac/LCa/F0003/NUO0003/window"
    told = json.loads(window.body)
    assert told["id"] == "LCa/F0003/NUO0003/window/20260325001000/1" and set(told["channels"]) == {"Q0", "Q1"}
    newest = open_checkpoint(json.loads(checkpoint.body)["checkpoint"].encode(), made.verifier)
    before = open_checkpoint(told["checkpoint"].encode(), made.verifier)
    assert (before.size, newest.size) == (110, 220) and before.origin == "quantrac/LCa/F0003/NUO0003"
    assert len({d.key for d in made.sent if d.destination == "national"}) == 4


def test_control_a_message_of_nobody_and_a_file_of_nobody(tmp_path):
    made = gateway(tmp_path)
    made.close_window(BASE_MS)
    seen = Counter({("LCa/F9/X/window/1/1", b"?"): 1, named(made.sent[1].body): 2})
    found = messages([made], seen)
    assert (found.unexpected, found.duplicated, found.ok, found.lost) == (1, 1, 1, 0) and not found.holds
    (root := tmp_path / "root").mkdir()
    (root / "left.part").write_text("half")
    found = files([made], root)
    assert (found.unexpected, found.ok, found.lost) == (1, 0, 0) and not found.holds


def test_too_few_open_files_is_a_sentence(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 200))
    with pytest.raises(Failure, match="fewer --gateways"):
        run_province(ProvinceOptions(1000))


def test_a_round_that_does_not_end_is_a_sentence(monkeypatch):
    monkeypatch.setattr(province, "ROUND_S_MAX", 0.0)
    with pytest.raises(Failure, match="was not confirmed"):
        run_province(ProvinceOptions(1, channels=1, seconds=1, rounds=1))
