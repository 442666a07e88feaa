"""`verify` with a seal key: the readings in the log are those that the device sealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.journal import leaf as leaves
from gateway.journal.kinds import FRAME
from tests.gateway.bundle_rig import Memory, claims, exported, forged, wrong
from tests.gateway.evidence_rig import Run, Story, live
from tests.gateway.intake_rig import CHANNELS, hello
from tests.protocol.test_seal_check import KEY, Device, T


def sealed(folder: Path, change=lambda messages: messages) -> Memory:
    """A device that seals twelve times in a boot; who has the link key may change what it says."""
    device = Device()
    for _ in range(12):
        device.read(5)
        device.seal()
    device.read(3)
    story = Story(folder)
    story.now_ms = T + device.life * 3_600_000

    async def chapter(run: Run) -> None:
        table = tuple((name, 1000, 0, ()) for name in CHANNELS)
        run.say(hello(boot=device.life, store=(device.life, 1), channels=table))
        for message in change(list(device.out)):
            run.say(message)
        await run.tick()
        run.story.boot, run.story.seq = device.life, device.seq

    story.start(chapter, live(2))
    return exported(story, folder / "bundle", 0, 1 << 50)


def test_what_the_device_sealed_is_shown_and_the_rest_told(tmp_path):
    found = [claim for claim in claims(sealed(tmp_path), seal_key=KEY) if claim.what == "seals"]
    assert found[0].shown and "60 records of device/st-01 (60 readings)" in found[0].text
    assert not found[1].shown and "no seal behind them" in found[1].text


def test_another_key_or_no_seals(tmp_path):
    bundle = sealed(tmp_path)
    assert "device/st-01: seal" in wrong(bundle, seal_key=bytes(32))
    assert "no seal in the bundle is good" in wrong(bundle, seal_key=KEY, device="st-02")
    assert "is not 64 hexadecimal digits" in wrong(bundle, seal_key=b"x")


def changed(messages: list) -> list:
    rows = tuple((*row[:2], row[2] ^ 1, *row[3:]) for row in messages[9].rows)
    return [*messages[:9], messages[9]._replace(rows=rows), *messages[10:]]


def test_a_reading_that_the_gateways_owner_changed_is_found_by_the_seal_alone(tmp_path):
    """He has the link key and the log's key: everything else holds."""
    bundle = sealed(tmp_path, changed)
    assert wrong(bundle) == ""
    assert "not what was sealed" in wrong(bundle, seal_key=KEY)


@pytest.mark.parametrize("how", ["left out", "swapped"])
def test_frames_left_out_or_swapped_by_a_key_holder(tmp_path, how):
    bundle = sealed(tmp_path)
    entries = bundle.entries()
    frames = [i for i, data in enumerate(entries) if leaves.parse(data).kind == FRAME]
    i, j = frames[10], frames[11]
    entries[i], entries[j] = entries[j], entries[i]
    if how == "left out":
        del entries[j]
    assert wrong(forged(bundle, entries), seal_key=KEY)
