"""A meter that goes back and a unit that changes stand in the journal, and nothing else does."""

from __future__ import annotations

from gateway.channel_events import meters, units
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.windows import Channel, Window
from protocol import cbor
from protocol import quality as q
from tests.gateway.evidence_rig import LENGTH_MS, START, Run, Story, channel, live
from tests.gateway.test_passed_on import METER, past, rows, shows


def told(story: Story, name: str) -> list[list]:
    reader = Reader(story.state_dir / "journal.db")
    found = [cbor.loads(entry.body) for entry in reader.entries(kinds=(EVENT,))]
    reader.close()
    return [event for event in found if event[0] == name]


def test_of_a_meter():
    row = Window("Meter", "m3", START, START + LENGTH_MS, 2, 1.0, q.OK, "00", 5, 5, 1.0, None, None, "", 1.0,
                 flags="SPIKE 1, METER_BACK 2", meter=7.0)  # fmt: skip
    [body] = meters([row, row._replace(flags="SPIKE 1")])
    assert cbor.loads(body) == ["meter", "Meter", "went back", START, 2, 2, 7.0]


def test_of_a_unit():
    before = [Channel("COD", "mg/l", "d", "cod"), Channel("pH", "", "d", "ph")]
    now = [
        Channel("COD", "g/m3", "d", "cod"),
        Channel("pH", "", "d", "ph"),
        Channel("TSS", "mg/l", "d", "tss"),
    ]
    assert [cbor.loads(body) for body in units(before, now)] == [["unit", "COD", "changed", "mg/l", "g/m3"]]


def test_a_channel_changes_its_unit_in_mid_life(tmp_path):
    """It is told once; what the meter showed in the other unit is not taken for the start of the new one."""

    async def counted(run: Run, value: float) -> None:
        run.greet()
        shows(run, run.story.now_ms, value)
        await past(run, 1)

    async def first(run: Run) -> None:
        await counted(run, 1000.0)

    async def second(run: Run) -> None:
        await counted(run, 1.0)
        shows(run, run.story.now_ms, 1.5)
        await past(run, 1)

    story = Story(tmp_path, METER).start(first)
    text = story.config.read_text()
    story.config.write_text(text.replace('unit = "mg/l"', 'unit = "t"', 1))
    story.boot += 1
    story.seq = 1
    story.start(second).start(live(1))
    assert told(story, "unit") == [["unit", "Meter", "changed", "mg/l", "t"]]
    values = [windows[-1].value for windows in rows(story, "Meter").values()]
    assert sum(value for value in values if value) == 0.5


def test_unchanged_channels_say_nothing(tmp_path):
    story = Story(tmp_path, channel("Other", '{ device = "st-01", quantity = "cod" }') + METER)
    story.start(live(1)).start(live(1))
    assert told(story, "unit") == []
