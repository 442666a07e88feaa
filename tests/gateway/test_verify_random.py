"""Whatever a station lives through, its windows come out again, from the journal and from any bundle."""

from __future__ import annotations

import os
import random

import pytest

from tests.gateway.bundle_rig import told, wrong
from tests.gateway.evidence_rig import LENGTH_MS, START, STEP_MS, Run, Story, kinds, tables
from tests.gateway.intake_rig import CHANNELS
from tools.log.rebuild import rebuild
from tools.people import Failure

LONG = bool(os.environ.get("QUANTRAC_LONG"))
SEEDS = 300 if LONG else 5
BUNDLES = 6 if LONG else 3
"""Of random ranges, for each seed."""
pytestmark = pytest.mark.timeout(360)  # nine days without a gateway are 2,600 windows, in several bundles


async def something(run: Run, chance: random.Random) -> None:
    """One thing that happens to a station."""
    story = run.story
    what = chance.randrange(12)
    if what == 0:
        run.frame(story.now_ms - chance.randrange(3_600_000))  # late
    elif what == 1:
        run.frame(story.now_ms + chance.randrange(-10_000, 200_000))  # ahead, or not credible
    elif what == 2:
        story.boot, story.seq = story.boot + 1, 1
        clock = chance.randrange(2)
        points = ((0.0, float(chance.randrange(9))), (100.0, 210.0))
        if chance.randrange(3):
            run.greet(clock=clock, ticks_ms=5000, points=points)
        run.frame(6000 if not clock else None, clock=clock)
        if chance.randrange(2):
            run.greet(clock=0, ticks_ms=20_000, points=points)
    elif what == 3:
        run.pass_ms(chance.choice([LENGTH_MS, 5 * LENGTH_MS]))  # nothing for a while
    elif what == 4 and not chance.randrange(4):
        run.pass_ms(9 * 86_400_000)  # off for so long that windows are skipped
    elif what == 5:
        run.frame(story.now_ms - LENGTH_MS - 5000, rows=8)  # across the edge of two windows
    elif what == 6:
        run.greet(points=((0.0, float(chance.randrange(9))), (100.0, 210.0)))
    for _ in range(chance.randrange(8)):
        run.pass_ms(STEP_MS)
        if chance.randrange(8):
            run.frame()
        run.poll()
        await run.tick()
    run.pass_ms(6000)
    await run.tick()


@pytest.mark.parametrize("kind", ["means", "kinds"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens(tmp_path, seed, kind):
    """With means, as stations have had them; and with channels of every kind, made ones among them."""
    chance = random.Random(seed)
    story = Story(tmp_path, kinds() if kind == "kinds" else "")
    for start in range(4):

        async def chapter(run: Run) -> None:
            if chance.randrange(3):
                run.greet()
            for _ in range(12):
                await something(run, chance)

        story.start(chapter)
        story.now_ms += chance.choice([1000, LENGTH_MS, 4 * LENGTH_MS])
        if start == 1:  # another configuration: a channel more, other limits
            text = story.config.read_text().replace("140.0", "130.0")
            story.config.write_text(text.replace(tables(), tables(CHANNELS[2])))
    found = rebuild(story.config)
    assert found.windows > 20 and found.documents > 20
    end_ms, held = story.now_ms, 0
    for part in range(BUNDLES):
        from_ms = START + chance.randrange(max(1, min(end_ms - START, 30 * LENGTH_MS)))
        to_ms = from_ms + chance.choice([1, LENGTH_MS, 7 * LENGTH_MS, end_ms])
        try:
            bundle = told(story, from_ms, to_ms)
        except Failure:
            continue  # there is no window in it
        held += 1
        assert wrong(bundle) == "", (seed, part, bundle.manifest)
    assert held
