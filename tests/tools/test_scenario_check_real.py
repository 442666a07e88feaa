"""tools/scenario/check_read.py and check_proofs.py on journals that a gateway's own code has written."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.interruptions import Interruption
from gateway.journal.reader import reading
from gateway.suspicion import DAY_MS
from protocol.messages import Readings
from protocol.note import COSIGNATURE, Signer
from protocol.reading import bits_float
from simulator.ledger import Ledger, Row
from simulator.plant import Plant
from simulator.scenario import parse
from tests.gateway.evidence_rig import START, Story, greeting, late, live, restarted
from tests.tools.scenario_rig import evidence, holds, scenario, window
from tests.tools.test_log_cosigned import WITNESSES, cosign, sizes
from tools.scenario import check_proofs
from tools.scenario.check_read import Rows, of_outcome, said_of

SCENE = """
title = "t"
story = "s"
outcome = "o"
[station]
kind = "wastewater"
begins = "2026-03-25T07:00"
days = 0.05
[[expect]]
"""


SYMBOLS = ("COD", "PH")  # of the device's channels, by number


class Noting(Story):
    """A story whose device keeps a ledger."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.ledger = Ledger()


async def noting(run) -> None:
    """From here on the ledger is told what the device says."""
    said = run.say

    def say(message) -> None:
        said(message)
        if isinstance(message, Readings):
            for place, (number, offset_ms, raw, _, _) in enumerate(message.rows):
                time_ms = message.base_ms + offset_ms if message.clock else run.story.now_ms
                sequence, value = message.first_seq + place, bits_float(raw)
                run.story.ledger.emitted("st-01", message.boot, sequence, time_ms, SYMBOLS[number], value)

    run.say = say


@pytest.fixture
def story(tmp_path) -> Noting:
    story = Noting(tmp_path)
    story.start(noting, greeting, live(3), late(700_000), live(1))
    story.start(noting, greeting, live(1), restarted, live(2))
    return story


def outcome(story: Noting, expect: str):
    scene = parse(SCENE + expect)
    return SimpleNamespace(
        scenario=scene, plant=Plant(scene, 1), ledger=story.ledger, config_path=story.config,
        journal_path=story.state_dir / "journal.db", drained_ms={}, witness_vkey=WITNESSES[0].verifier.vkey,
    )  # fmt: skip


def test_the_journals_readings_are_those_that_were_made(story):
    story.ledger.acknowledged("st-01", 2, story.seq - 1)
    found = of_outcome(outcome(story, 'what = "nothing lost"'))
    assert holds(found)
    numbers = found.numbers
    assert numbers.attempts == numbers.ok == numbers.acknowledged > 200 and not numbers.examples
    assert {row.channel for row in found.rows} == {"COD", "PH"}
    assert story.ledger.astray(found.rows, 60_000) == []
    assert holds(replace(found, scenario=parse(SCENE + 'what = "nothing unexpected"')))


def test_a_reading_that_the_journal_does_not_hold_is_lost(story):
    story.ledger.emitted("st-01", 2, story.seq, START, "COD", 1.0)
    story.ledger.acknowledged("st-01", 2, story.seq)
    assert not holds(of_outcome(outcome(story, 'what = "nothing lost"')))


def test_another_devices_channel_is_unexpected(story):
    rows = [row._replace(channel="PH") for row in Rows(story.state_dir / "journal.db")]
    assert isinstance(rows[0], Row)
    assert story.ledger.numbers(rows).unexpected == len(rows) / 2


def test_windows_and_limits_are_read(story):
    found = of_outcome(outcome(story, 'what = "time runs forwards"'))
    assert len(found.newest) < len(found.windows), "one was revised"
    assert {window.symbol for window in found.windows} == set(found.channels)


def test_interruptions_and_alerts_are_said_in_the_journals_order(story):
    async def told(run) -> None:
        for to_ms in (None, START + 900_000):
            body = Interruption(("channel", "COD"), START, to_ms, "it stands").event()
            await run.intake.journal.tell(4, [body], (run.story.now_ms, 0))

    story.start(greeting, told)
    with reading(story.state_dir / "journal.db") as reader:
        said = [one for one in said_of(reader) if one.rule == "channel interrupted"]
    assert [(one.about, one.what) for one in said] == [("COD", "raised"), ("COD", "cleared")]


def test_an_export_holds_and_is_found_when_it_was_changed_before(story, monkeypatch):
    found = of_outcome(outcome(story, 'what = "export holds"'))
    assert holds(found)
    monkeypatch.setattr(check_proofs, "_changed", lambda bundle, source: "nothing")
    assert not holds(found), "a verify that finds nothing wrong with a changed bundle is no verify"


def test_an_export_of_another_log_does_not_hold(story, tmp_path_factory):
    found = of_outcome(outcome(story, 'what = "export holds"'))
    other = Noting(tmp_path_factory.mktemp("other")).start(greeting, live(1))
    wrong = (other.state_dir / "log.vkey").read_text(encoding="utf-8").strip()
    bundle = tmp_path_factory.mktemp("bundle") / "bundle"
    check_proofs.export(story.config, found.begins_ms, found.ends_ms, bundle)
    assert check_proofs._wrong(bundle, check_proofs.parse_vkey(wrong))


def test_a_checkpoint_is_cosigned_by_the_right_witness(story):
    found = of_outcome(outcome(story, 'what = "cosigned"'))
    assert not holds(found)
    cosign(story, sizes(story)[-1], WITNESSES[1])
    assert not holds(found), "another witness is none"
    cosign(story, sizes(story)[-1], WITNESSES[0])
    assert holds(found)
    forged = Signer(WITNESSES[0].verifier.name, Ed25519PrivateKey.generate(), COSIGNATURE)
    assert not holds(replace(found, witness_vkey=forged.verifier.vkey))


def test_signs_are_those_of_the_list():
    """COD stands nearly still from the ninth day on; pH does what it always did."""
    expect = 'what = "sign"\nchannel = "{}"\nname = "variance collapse"\nfrom = "8d"\nto = "10d"'
    story = scenario(expect.format("COD"), days=10)
    plant = Plant(story, 1)
    found = replace(evidence(scenario('what = "nothing lost"', days=0.01)), scenario=story, plant=plant)
    windows = []
    for start_ms in range(found.begins_ms, found.ends_ms, 300_000):
        still = start_ms - found.begins_ms >= 8 * DAY_MS
        for symbol in ("COD", "pH"):
            value = plant.value(symbol, start_ms)
            windows.append(
                window(symbol, start_ms, 40 + value / 1000 if still and symbol == "COD" else value)
            )
    found = replace(found, windows=windows)
    assert holds(found)
    assert not holds(replace(found, scenario=scenario(expect.format("pH"), days=10)))
    assert not holds(
        replace(
            found, scenario=scenario(expect.format("COD").replace("8d", "1d").replace("10d", "2d"), days=10)
        )
    )
    assert not holds(replace(found, scenario=scenario('what = "no sign"\nchannel = "COD"', days=10)))
    assert holds(replace(found, scenario=scenario('what = "no sign"\nchannel = "pH"', days=10)))
