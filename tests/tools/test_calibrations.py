"""`quantrac gateway calibration`: beside a running gateway and a stopped one, used rightly and wrongly."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from gateway.calibration.history import kept
from gateway.journal.kinds import POLL
from gateway.journal.reader import reading
from protocol.messages import decode
from simulator.modbus_load import serve
from tests.gateway import app_rig as rig
from tests.gateway.calibration_rig import picture, points, said
from tools.cli import app
from tools.log.rebuild import rebuild

CERTIFICATE = said()["certificate"] | {"valid_until": "2126-01-01"}


def verb(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gateway", "calibration", *map(str, words)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


@pytest.fixture
def config(tmp_path):
    channel = rig.bus_channel("COD", "dead", 0, calibration={"zero_drift_max": 0.5}, calibrate_days=3650)
    return rig.write_config(tmp_path, rig.bus("dead", "modbus-tcp://127.0.0.1:1"), channel, rig.directory())


def record(folder, **changed):
    path = folder / "record.json"
    path.write_text(json.dumps(said(certificate=CERTIFICATE, **changed)), encoding="utf-8")
    return path


def test_beside_a_running_gateway(config, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture())
    digest = sha256(picture()).hexdigest()

    async def main() -> None:
        async with rig.running(config) as gateway:
            add = ("add", config, "--by", "anna", "--file")
            status, text = await asyncio.to_thread(verb, *add, record(tmp_path), "--photo", photo)
            assert status == 0 and "zero drifted by +1" in text and "BEYOND what is allowed" in text
            wrong = record(tmp_path, channel="CODD", kind="look")
            status, text = await asyncio.to_thread(verb, *add, wrong)
            assert status == 1 and "'CODD' is no channel" in text and "kind is 'look'" in text
            status, text = await asyncio.to_thread(verb, *add, record(tmp_path, remark="again"), "--json")
            assert status == 0 and json.loads(text)["ok"] is True
            status, text = await asyncio.to_thread(verb, "list", config, "--json")
            assert status == 0 and len(json.loads(text)[0]["records"]) == 2
            assert await gateway.stop() == 0

    asyncio.run(main())
    with reading(config.parent / "gateway" / "journal.db") as reader:
        first, second = [each.record for each in kept(reader)]
    assert (first.photo, second.photo, first.entered_by) == (digest, "", "anna")
    assert (config.parent / "gateway" / "pictures" / f"{digest}.jpg").read_bytes() == picture()
    status, text = verb("add", config, "--by", "anna", "--file", record(tmp_path))
    assert status == 1 and "The gateway is stopped" in text
    status, text = verb("list", config, "--channel", "COD")
    assert status == 0 and text.startswith("COD: calibrated 2026-03-25T07:00, due 2036-03-22T07:00\n")
    assert text.count("zero ") == 2 and text.count("BEYOND") == 1


def test_used_wrongly_is_a_sentence(config, tmp_path):
    path = record(tmp_path)
    html = tmp_path / "page.html"
    html.write_text("<html>")
    (tmp_path / "gateway").mkdir()
    for words, status, says in (
        (("add", config, "--by", " ", "--file", path), 2, "--by is a line"),
        (("add", config, "--by", "anna", "--file", tmp_path / "none"), 2, "cannot be read"),
        (("add", config, "--by", "anna", "--file", path, "--photo", html), 2, "neither a JPEG nor a PNG"),
        (("add", config, "--by", "anna", "--file", path, "--photo", tmp_path / "no"), 2, "cannot be kept"),
        (("list", config), 1, "has this gateway ever run?"),
    ):
        found, text = verb(*words)
        assert (found, says in text) == (status, True), text
    html.write_bytes(b"\xff" * 10)
    assert verb("add", config, "--by", "anna", "--file", html)[0] == 2
    html.write_text(" " * 20_001)
    assert "longer than" in verb("add", config, "--by", "anna", "--file", html)[1]


def corrected_by(path) -> list[int]:
    """What each reading in the journal names as its correction, in their order."""
    with reading(path.parent / "gateway" / "journal.db") as reader:
        polled = [decode(entry.body) for entry in reader.entries() if entry.kind == POLL]
    return [row[4] for message in polled for row in message.rows]


def test_a_correction_of_a_running_gateway_and_after_its_restart(tmp_path):
    """10 and 20 show 11 and 21: from then on every reading names the correction, also after a restart."""

    async def main(port: int) -> None:
        config = rig.write_config(
            tmp_path, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"), rig.bus_channel("COD", "tank", 0),
            rig.directory(),
        )  # fmt: skip
        add = ("add", config, "--by", "anna", "--file")
        async with rig.running(config) as gateway:
            await rig.until(lambda: corrected_by(config))
            given = record(tmp_path, kind="correction", points=points((10, 11.0), (20, 21.0)))
            status, text = await asyncio.to_thread(verb, *add, given)
            assert status == 0 and text.startswith("COD: its readings are corrected from now on.")
            await rig.until(lambda: corrected_by(config)[-1] == 1)
            assert await gateway.stop() == 0
        before = len(corrected_by(config))
        async with rig.running(config) as gateway:
            await rig.until(lambda: len(corrected_by(config)) > before)
            assert await gateway.stop() == 0
        ids = corrected_by(config)
        assert ids == sorted(ids) and set(ids) == {0, 1}, "never backwards"
        assert set(ids[before:]) == {1}
        assert rebuild(config).calibrations == 0

    with serve(1, 2) as (port,):
        asyncio.run(main(port))
