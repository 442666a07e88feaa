"""A run that is cut in two gives what it gives in one piece: the same claims, the same first thing that is
wrong. Journals in which all happens that ties one part to the other, cut at every place there is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import verify_cut, verify_entries
from gateway.journal.bodies import event
from gateway.journal.kinds import EVENT, WINDOW
from gateway.journal.leaf import leaf_bytes, parse
from gateway.verify_cut import Cut
from gateway.verify_entries import Entries
from gateway.windows import body, parse_body
from protocol import cbor
from protocol.checkpoint import open_checkpoint
from protocol.merkle import EvidenceError
from protocol.messages import CLOCK_SET, Event, Readings
from protocol.reading import float_bits
from tests.gateway.bundle_rig import Memory, claims, forged, told
from tests.gateway.evidence_rig import LENGTH_MS, STEP_MS, Run, Story, greeting, kinds, late, live, restarted
from tests.gateway.test_verify_random import something

SEEDS = range(4)
EVERY = 1000


@pytest.fixture(autouse=True)
def two_processes(monkeypatch):
    """For bundles of any length, on one core, and beside threads that another test has left."""
    monkeypatch.setattr(verify_entries, "BESIDE_MIN", 0)
    monkeypatch.setattr(verify_entries, "is_possible", lambda: True)


class Cutting:
    """Says where to cut, and counts the places there are."""

    def __init__(self, monkeypatch):
        self._which: int | None = None
        self._cuts: list[Cut] = []
        monkeypatch.setattr(verify_cut, "find", self._find)

    def _find(self, entries, manifest) -> Cut | None:
        self._cuts = verify_cut.possible(entries, manifest)
        return None if self._which is None else self._cuts[self._which]

    def outcomes(self, bundle: Memory, most: int = EVERY) -> tuple[str, list[str]]:
        """What one process says, and what two say at each of `most` places for a cut."""
        self._which = None
        whole, found = said(bundle), []
        places = range(len(self._cuts))
        for place in random.Random(1).sample(places, min(most, len(places))):
            self._which = place
            found.append(said(bundle))
        return whole, found


@pytest.fixture
def cutting(monkeypatch) -> Cutting:
    return Cutting(monkeypatch)


def said(bundle: Memory) -> str:
    """All of its claims, or what is wrong with it."""
    try:
        return "\n".join(map(str, claims(bundle)))
    except EvidenceError as error:
        return str(error)


async def steps(run: Run, count: int, **frame) -> None:
    for _ in range(count):
        run.pass_ms(STEP_MS)
        run.frame(**frame)
        run.poll()
        await run.tick()


async def ahead(run: Run) -> None:
    """A device whose clock is ahead by less than what is believed: readings for the next window."""
    await steps(run, 8)
    run.frame(run.story.now_ms + 110_000)
    await run.tick()


async def in_ticks(run: Run) -> None:
    """A start without the time, told at once; its records go on in ticks."""
    await restarted(run)
    begun_ms = run.story.now_ms - 6000
    for _ in range(15):
        await steps(run, 1, base_ms=run.story.now_ms + STEP_MS - begun_ms, clock=0)


async def recalibrated(run: Run) -> None:
    """Other points under the same number, in the middle of a window."""
    run.frame()
    run.greet(points=((0.0, 20.0), (100.0, 190.0 + run.story.seq % 7)))
    run.frame()
    await run.tick()


def lived(folder: Path, seed: int) -> Memory:
    """Some 40 windows of a station that has bad days; each second one has channels of every kind."""
    chance, story = random.Random(seed), Story(folder, kinds() if seed % 2 else "")

    async def bad(run: Run) -> None:
        await something(run, chance)

    for _ in range(3):
        days: list[Callable] = [greeting]
        for _ in range(4):
            days += [
                live(chance.choice([1, 2, 3])),
                chance.choice([bad, bad, late(1_500_000), ahead, in_ticks]),
            ]
        story.start(*days, recalibrated, live(1))
        story.now_ms += chance.choice([5000, 200_000, 900_000])
    return told(story)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> list[Memory]:
    return [lived(tmp_path_factory.mktemp(f"lived-{seed}"), seed) for seed in SEEDS]


def quiet(folder: Path, *chapters: Callable, windows: int = 3) -> Memory:
    """Something that happens between quiet times."""
    story = Story(folder).start(greeting, live(windows), *chapters, live(windows))
    return told(story)


# The same ---------------------------------------------------------------------------------------------------


def test_every_cut_gives_the_same(bundles, cutting):
    cuts = 0
    for bundle in bundles:
        whole, found = cutting.outcomes(bundle)
        assert "follow from the readings" in whole and set(found) <= {whole}
        cuts += len(found)
    assert cuts >= 10


def tampered(bundle: Memory, chance: random.Random) -> Memory:
    """A log that was signed with something in it that no gateway writes."""
    entries = bundle.entries()
    for _ in range(chance.choice([1, 1, 2, 3])):
        at = chance.randrange(len(entries))
        how = chance.randrange(6)
        if how == 0:
            del entries[at]
        elif how == 1:
            entries[at - 1 : at + 1] = entries[at - 1 : at + 1][::-1]
        elif how == 2:
            entries.insert(at, chance.choice(entries))
        elif how == 3:
            leaf = parse(entries[at])
            data = bytearray(leaf.body)
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            entries[at] = leaf_bytes(*leaf[:4], bytes(data))
        elif how == 4:
            leaf = parse(entries[at])
            moved_ms = leaf.arrived_ms + chance.choice([-1, 1]) * chance.choice([1000, 130_000, 10**9])
            entries[at] = leaf_bytes(leaf.kind, leaf.source, max(0, moved_ms), *leaf[3:])
        else:
            of_windows = [i for i, data in enumerate(entries) if parse(data).kind == WINDOW]
            at = chance.choice(of_windows)
            leaf = parse(entries[at])
            row, through = parse_body(leaf.body)
            entries[at] = leaf_bytes(*leaf[:4], body(row._replace(value=7.5), through))
    return forged(bundle, entries)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_a_log_was_signed_with_the_same_is_found_to_be_wrong(bundles, cutting, seed):
    chance, sentences, compared = random.Random(seed), set(), 0
    for _ in range(12):
        whole, found = cutting.outcomes(tampered(bundles[seed], chance), most=2)
        assert set(found) <= {whole}
        sentences.add(whole)
        compared += len(found)
    assert len(sentences) > 3 and compared > 5


def test_it_is_cut_near_to_where_both_have_as_much_to_do(bundles):
    bundle = bundles[0]
    note = bundle.files["checkpoint"]
    entries = Entries(bundle, bundle.manifest, open_checkpoint(note, bundle.key), note)
    cuts = verify_cut.possible(entries, bundle.manifest)
    found = verify_cut.find(entries, bundle.manifest)
    assert found in cuts and len(cuts) > 2
    wanted = bundle.manifest.last * verify_cut.EARLIER_SHARE
    assert all(abs(found.first - wanted) <= abs(cut.first - wanted) for cut in cuts)


# What ties the parts together (rule 2) ----------------------------------------------------------------------


def every_place(rows) -> list[Cut]:
    """Without looking at what comes behind."""
    newest_ms = [max(end for _, _, end in rows[: i + 1]) for i in range(len(rows))]
    return [
        Cut(rows[i][0] + 1, newest_ms[i]) for i in range(len(rows) - 1) if rows[i + 1][0] > rows[i][0] + 1
    ]


def test_control_a_cut_before_a_later_revision_is_caught(tmp_path, cutting, monkeypatch):
    bundle = quiet(tmp_path, late(700_000))
    whole, found = cutting.outcomes(bundle)
    assert found and set(found) == {whole}
    monkeypatch.setattr(verify_cut, "_between", every_place)
    assert set(cutting.outcomes(bundle)[1]) != {whole}


async def told_late(run: Run) -> None:
    """A record without a time comes in one window, the time it is of behind that window's rows."""
    await steps(run, 3)
    run.pass_ms(5000)
    story, began_ms = run.story, run.story.now_ms - 1000
    story.boot, story.seq = 3, 1
    run.greet(store=(2, 1))
    run.say(Readings(2, 1, 6000, 0, ((0, 0, float_bits(3.5), 0, 1),)))
    for _ in range(13):
        run.pass_ms(STEP_MS)
        run.poll()
        await run.tick()
    run.say(Event(2, 2, began_ms + 7000, 1, CLOCK_SET, [7000, began_ms + 7000]))
    await run.tick()


def located_ahead(bundle: Memory) -> Memory:
    """... and that time is in a window after the one in which the record came. No gateway says so."""
    entries = []
    for data in bundle.entries():
        leaf = parse(data)
        if leaf.kind == EVENT and event(leaf.body)[0] == "placed":
            name, (boot, offset_ms) = event(leaf.body)
            leaf = leaf._replace(body=cbor.dumps([name, "st-01", boot, offset_ms + 260_000]))
        if leaf.kind != WINDOW or parse_body(leaf.body)[0].revision == 1:
            entries.append(leaf_bytes(*leaf))
    return forged(bundle, entries)


def test_control_readings_that_are_located_behind_the_cut_are_missed(tmp_path, cutting, monkeypatch):
    bundle = located_ahead(quiet(tmp_path, told_late))
    whole, found = cutting.outcomes(bundle)
    assert found and set(found) == {whole} and "the entries before it give" in whole
    said_of = verify_cut._said
    monkeypatch.setattr(
        verify_cut, "_said", lambda of: said_of(of)._replace(located=-1, located_ms=-(1 << 62))
    )
    assert set(cutting.outcomes(bundle)[1]) != {whole}


def placed_again(bundle: Memory) -> Memory:
    """... with a smaller offset, when readings were placed by the first one already."""
    entries = [parse(data) for data in bundle.entries()]
    at, name, details = next(
        (i, *event(leaf.body))
        for i, leaf in enumerate(entries)
        if leaf.kind == EVENT and b"placed" in leaf.body
    )
    boot, offset_ms = details
    again = entries[at]._replace(body=cbor.dumps([name, "st-01", boot, offset_ms - 2 * LENGTH_MS]))
    entries.insert(at + 12, again)
    return forged(bundle, [leaf_bytes(*leaf) for leaf in entries])


def test_control_a_boot_that_is_placed_again_is_caught(tmp_path, cutting, monkeypatch):
    bundle = placed_again(quiet(tmp_path, in_ticks, in_ticks, windows=1))
    whole, found = cutting.outcomes(bundle)
    assert found == [], "no place for a cut"
    said_of = verify_cut._said
    monkeypatch.setattr(verify_cut, "_said", lambda of: said_of(of)._replace(placed_again=False))
    assert set(cutting.outcomes(bundle)[1]) > {whole}


def test_control_readings_from_a_clock_that_is_ahead_are_missed(tmp_path, cutting, monkeypatch):
    bundle = quiet(tmp_path, ahead)
    whole, found = cutting.outcomes(bundle)
    assert found and set(found) == {whole}
    monkeypatch.setattr(verify_cut, "FUTURE_MS", 0)
    assert set(cutting.outcomes(bundle)[1]) != {whole}


def test_control_other_points_between_readings_that_are_read_anew_are_caught(tmp_path, cutting, monkeypatch):
    async def soon(run: Run) -> None:
        """The window that is open gets a reading before the one before it closes; then come other points."""
        await ahead(run)
        await recalibrated(run)

    bundle = quiet(tmp_path, soon)
    whole, found = cutting.outcomes(bundle)
    assert found and set(found) == {whole}
    monkeypatch.setattr(verify_cut, "_teaches", lambda leaf: False)
    assert set(cutting.outcomes(bundle)[1]) != {whole}
