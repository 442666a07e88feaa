"""Entries that this version does not know are passed over: by a start, by verify, rebuild and export."""

from __future__ import annotations

import pytest

from gateway import verify_replay
from gateway.ingest import replay
from gateway.journal.bodies import DELIVERED, Delivery, Settled
from gateway.journal.kinds import CALIBRATION, COMMAND, DELIVERY, EVENT
from gateway.journal.reader import Reader
from gateway.windows import Window
from protocol import cbor
from protocol.merkle import EvidenceError
from tests.gateway.bundle_rig import claims, exported
from tests.gateway.evidence_rig import Run, Story, greeting, late, live, restarted
from tools.log.rebuild import rebuild

SAID = [
    ["something that a later version does", "st-01", 1, 2, 3],
    ["short"],
    [],
    {"what": "a map", "at_ms": 5},
    [7, "no name"],
    None,
]
STRANGE = [
    *[(kind, cbor.dumps(said)) for kind in (EVENT, COMMAND, CALIBRATION) for said in SAID],
    (DELIVERY, Delivery("national", DELIVERED, 1, (Settled("window/1", bytes(32)),)).encode()),
    (11, cbor.dumps(["a kind of later"])),
    (200, b"not even CBOR"),
    (1 << 40, b""),
]
SOURCES = ("gateway", "device/st-01")


async def strange(run: Run) -> None:
    """All of them, from everybody, between the others."""
    moment = run.story.moment()
    for source in SOURCES:
        number = run.intake.journal.source(source)
        run.intake.journal.submit(
            [(kind, number, 0, 0, 0, moment.now_ms, 1, None, None, body) for kind, body in STRANGE]
        )
    await run.tick()


def told(story: Story) -> list[Window]:
    reader = Reader(story.state_dir / "journal.db")
    found = reader.windows(0, 1 << 60)
    reader.close()
    return found


def with_strange(folder, between) -> Story:
    story = Story(folder)
    story.start(between, greeting, live(2), between, late(400_000), live(1), between)
    return story.start(greeting, between, live(1), restarted, between, live(2))


async def nothing(run: Run) -> None:
    await run.tick()


def test_everybody_passes_over_what_he_does_not_know(tmp_path):
    story = with_strange(tmp_path / "with", strange)
    assert told(story) == told(with_strange(tmp_path / "without", nothing))
    made = rebuild(story.config)
    assert made.windows == 5 and made.revisions == 1 and made.documents
    bundle = exported(story, tmp_path / "bundle")
    shown = [claim.what for claim in claims(bundle) if claim.shown]
    assert "files" in shown and shown[-1] == "deliveries"


def strictly(body: bytes):
    """As a reader would do that knows all there is."""
    name, _, *details = cbor.loads(body)
    if name == SAID[0][0]:
        raise ValueError(name)
    return name, details


def test_the_control_a_start_that_wants_to_know_all_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "event", strictly)
    with pytest.raises((ValueError, TypeError)):
        with_strange(tmp_path, strange)


def test_the_control_a_verification_that_wants_to_know_all_would_be_seen(tmp_path, monkeypatch):
    story = with_strange(tmp_path, strange)
    monkeypatch.setattr(verify_replay, "event", strictly)
    with pytest.raises(EvidenceError, match="is not what a gateway writes"):
        rebuild(story.config)
