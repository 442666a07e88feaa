"""`quantrac station test-io`: contacts, relays, sampler and channels of a real firmware, pins as files."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest
from rich.cells import cell_len

from protocol import registers
from tests.firmware.bench import KEY, until
from tests.tools.live_rig import UNITS, Rig, Run, cod, ph, unit
from tools.station.folder import Folder
from tools.station.link import Reading, StationLink
from tools.station.live.contacts import Contact
from tools.station.live.displays import compared
from tools.station.live.found import Found, results, together
from tools.station.live.judged import judge
from tools.station.live.known import Block, Channel, Known, Place
from tools.station.live.orders import doubt
from tools.station.live.outputs import Switching
from tools.station.live.peek import Peek
from tools.station.live.sheet import Now
from tools.station.live.typed import Typed

pytestmark = pytest.mark.timeout(900)  # waits for greetings

DOOR, MAINS, BOTTLE, DEAD, PUMP, SAMPLER, LOOP, METER = 10, 11, 12, 13, 20, 21, 26, 27
WIRED = {
    "inputs": [
        {"id": "door", "kind": "door", "pin": DOOR},
        {"id": "mains", "kind": "mains", "pin": MAINS},
        {"id": "dead", "kind": "other", "pin": DEAD},
        {"id": "bottle", "kind": "sampler", "pin": BOTTLE},
    ],
    "outputs": [
        {"id": "pump", "kind": "relay", "pin": PUMP},
        {
            "id": "sampler", "kind": "sampler", "pin": SAMPLER, "pulse_ms": 300, "per_day": 3,
            "feedback": "bottle", "feedback_ms": 3000,
        },
    ],
    "analogs": [
        {"channel": "level", "pin": LOOP, "shunt_ohm": 100, "low": 0, "high": 10, "poll_ms": 500},
    ],
    "counters": [{"channel": "meter", "pin": METER, "take": "rate", "poll_ms": 500}],
}  # fmt: skip


def found_in(rig: Rig) -> dict:
    """{name: (ok, said)} of the only record, with the record itself under ""."""
    (record,) = Folder.at(rig.folder).records("tested")
    parts = [*record["inputs"], *record["outputs"], *record["channels"]]
    return {one["name"]: (one["ok"], one["said"]) for one in parts} | {"": record}


async def pulses(rig: Rig, pin: int, seen: list[str]) -> None:
    """Note every level that an output takes."""
    while True:
        level = rig.pin(pin)
        if level and (not seen or seen[-1] != level):
            seen.append(level)
        await asyncio.sleep(0.01)


async def count(rig: Rig) -> None:
    number = 0
    while True:
        number += 5
        rig.set(METER, number)
        await asyncio.sleep(0.2)


# ---- against the real firmware


def test_a_technician_tries_everything(tmp_path):
    """On a terminal: contacts worked, one of them dead, the relay watched, a sample drawn."""

    async def main():
        rig = Rig(tmp_path, [ph(1), cod(2, 42.17)], **WIRED)
        rig.set(LOOP, 1_200_000)  # 12 mA through 100 ohms
        async with rig:
            pump: list[str] = []
            busy = [asyncio.create_task(pulses(rig, PUMP, pump)), asyncio.create_task(count(rig))]
            run = Run("test-io", "--port", rig.port, "--dir", rig.folder, "--by", "Lan", size=(80, 40))
            await run.until("leaves door out")
            rig.set(DOOR, 1)
            await run.until("leaves mains out")
            rig.set(MAINS, 1)
            await run.until("leaves dead out")
            run.type("s")
            await run.until("leaves bottle out")
            run.type("s")
            await run.until("switch it on for 2 s? y/n/s")
            assert pump == ["0"]  # nothing is switched before somebody says so
            run.type("y\n")
            await run.until("pump is off again")
            await until(lambda: pump == ["0", "1", "0"], "the relay goes on and off")
            run.type("y\n")
            await run.until('Type "yes"')
            run.type("yes\n")
            await until(lambda: rig.pin(SAMPLER) == "1", "the sampler is switched")
            rig.set(BOTTLE, 1)
            await run.until("[y/n/s]", 120)
            run.type("y\n")
            assert await run.ended(120) == 0, run.text
            for task in busy:
                task.cancel()
            found = found_in(rig)
            record = found.pop("")
            assert record["by"] == "Lan" and record["ok"] is None  # one was left out
            assert found.pop("dead") == (None, "left out: seen only off")
            assert found["door"] == (True, "seen open and closed") and found["mains"][0] is True
            assert found["bottle"] == (True, "answered when a sample was drawn")
            assert all(ok is True for ok, _ in found.values()), found
            assert "12.00 mA" in found["level"][1] and found["cod"][1].startswith("42.17 mg/l")
            displays = {row["name"]: row["display"] for row in record["channels"]}
            assert displays.pop("cod") is True  # hach-codmax2 is of CODE; the pH probe has its maker's word
            assert set(displays.values()) == {None} and run.text.count("[y/n/s]") == 1
            assert max(cell_len(line) for line in run.lines) <= 80 and "Traceback" not in run.text
            assert "dead         not tested" in run.text and "recorded in" in run.text

    asyncio.run(main())


def test_nobody_is_there(tmp_path):
    """--yes in a pipe: what was not seen is not ok, the relay is pulsed, the sampler left alone."""
    more = {**WIRED, "analogs": [], "counters": []}

    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)], **more) as rig:
            pump: list[str] = []
            sampler: list[str] = []
            busy = [
                asyncio.create_task(pulses(rig, PUMP, pump)),
                asyncio.create_task(pulses(rig, SAMPLER, sampler)),
            ]
            arguments = ("test-io", "--port", rig.port, "--dir", rig.folder, "--yes", "--json")
            run = Run(*arguments, "--seconds", 8)
            await run.until("door: closed")
            rig.set(DOOR, 1)
            assert await run.ended(120) == 1
            for task in busy:
                task.cancel()
            found = found_in(rig)
            record = found.pop("")
            assert json.loads(run.lines[-1]) == record and record["ok"] is False
            assert found["door"] == (True, "seen open and closed")
            assert found["dead"] == (False, "did not change within 8 s: seen only off")
            assert found["pump"] == (None, "the station says on and off again; nobody looked")
            assert found["sampler"][0] is None and "--sampler" in found["sampler"][1]
            assert found["ph"][0] is found["temperature"][0] is found["cod"][0] is True
            assert {row["display"] for row in record["channels"]} == {None}  # nobody was asked
            assert pump == ["0", "1", "0"] and sampler == ["0"]
            assert not (rig.board / "state" / "sampler").exists()

    asyncio.run(main())


def test_channels_that_are_not_as_they_should_be(tmp_path):
    """A unit that is not there, words in the wrong order, a broken loop, a meter that stands."""

    def wrong_order(station: dict) -> None:
        for entry in station["units"]:
            for value in entry["values"]:
                value["order"] = "ABCD"

    units = (*UNITS, unit("generic-tss", 9, quantities=["tss"], retries=0))
    more = {"analogs": WIRED["analogs"], "counters": WIRED["counters"]}

    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)], units, wrong_order, **more) as rig:
            from tools.station.live.commission import IoOptions, _test

            options = IoOptions(str(rig.port), rig.folder, yes=True, channel_seconds=15, json=True)
            assert await _test(options) == 1
            found = found_in(rig)
            assert found[""]["ok"] is False and found["ph"][0] is True
            assert found["tss"][0] is False and "does not answer" in found["tss"][1]
            assert found["cod"][0] is False and "Plausible as CDAB" in found["cod"][1]
            assert found["level"][0] is False and "loop is broken" in found["level"][1]
            assert "0.00 mA" in found["level"][1]
            assert found["meter"] == (None, "no pulse came: let the meter turn")

    asyncio.run(main())


def test_stopped_in_the_middle_the_relay_is_off_and_nothing_recorded(tmp_path):
    more = {"outputs": [{"id": "pump", "kind": "relay", "pin": PUMP}]}

    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)], **more) as rig:
            run = Run("test-io", "--port", rig.port, "--dir", rig.folder)
            await run.until("switch it on for 2 s? y/n/s")
            run.type("y\n")
            await until(lambda: rig.pin(PUMP) == "1", "the relay is on")
            run.process.send_signal(signal.SIGINT)
            assert await run.ended() == 130
            assert "nothing was recorded" in run.text and "Traceback" not in run.text
            await until(lambda: rig.pin(PUMP) == "0", "the relay is off")
            assert Folder.at(rig.folder).records() == []
            # ... contacts alone: nothing is switched, and the record says so
            await rig.again()
            run = Run("test-io", "--port", rig.port, "--dir", rig.folder, "--inputs-only", "--yes")
            assert await run.ended() == 0, run.text
            (record,) = Folder.at(rig.folder).records()
            assert record["ok"] is None and record["outputs"][0]["said"] == "not tried: --inputs-only"
            (rig.folder / "records.jsonl").unlink()
            # ... and killed while it is on: the pulse ends by itself
            await rig.again()
            run = Run("test-io", "--port", rig.port, "--dir", rig.folder, "--yes")
            await until(lambda: rig.pin(PUMP) == "1", "the relay is on")
            run.process.kill()
            await run.ended()
            await until(lambda: rig.pin(PUMP) == "0", "the pulse has ended")
            assert Folder.at(rig.folder).records() == []

    asyncio.run(main())


def test_a_sampler_whose_contact_does_not_answer(tmp_path):
    """Dead, then stuck: neither counts as an answer. Refused without a plain yes, and where it is locked."""
    wired = {"inputs": WIRED["inputs"], "outputs": WIRED["outputs"]}

    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)], **wired) as rig:
            answers: list[str] = []

            async def ask(question: str) -> str | None:
                return answers.pop(0)

            (row,) = [row for row in wired["outputs"] if row["kind"] == "sampler"]
            async with StationLink(str(rig.port), KEY) as link:
                await link.greeted(60)
                switching = Switching(link, Peek(link, []), ask, lambda text: None)
                for answer in ("y", "YES please", ""):
                    answers.append(answer)
                    assert (await switching.test(row)).ok is None
                assert not (rig.board / "state" / "sampler").exists()
                answers.append("yes")
                dead = await switching.test(row)
                assert dead.ok is False and "did not answer within 3 s" in dead.said
                assert (rig.board / "state" / "sampler").exists()
                rig.set(BOTTLE, 1)
                while switching.peek.wires().get("bottle") != 1:
                    await switching.peek.look()
                answers.append("yes")
                stuck = await switching.test(row)
                assert stuck.ok is False and "before anything was drawn" in stuck.said
                assert (await switching.test({**row, "kind": "alarm"})).ok is None
                refused = await Switching(link, switching.peek, ask, lambda text: None, asks=False).test(
                    {"id": "nothing", "kind": "relay", "pin": 1, "pulse_ms": 0}
                )
                assert refused.ok is False and "no such relay" in refused.said

    asyncio.run(main())


def test_the_cable_is_pulled(tmp_path):
    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)], inputs=WIRED["inputs"]) as rig:
            run = Run("test-io", "--port", rig.port, "--dir", rig.folder, size=(80, 24))
            await run.until("leaves door out")
            await rig.cable.stop()
            assert await run.ended() == 1
            said = " ".join(run.text.split())
            assert "has gone: plug the cable in again" in said and "nothing was recorded" in said
            assert Folder.at(rig.folder).records() == []

    asyncio.run(main())


def test_safe_mode_is_said_before_anything_is_tried(tmp_path):
    def broken(station: dict) -> None:
        station["memory_records"] = "many"

    async def main():
        async with Rig(tmp_path, [], change=broken, **WIRED) as rig:
            run = Run("test-io", "--port", rig.port, "--dir", rig.folder, "--yes")
            assert await run.ended() == 1
            assert "safe mode" in run.text and "memory_records" in run.text
            assert Folder.at(rig.folder).records() == []
        run = Run("test-io", "--port", rig.port, "--dir", tmp_path)
        assert await run.ended() == 2 and "no station's folder" in run.text

    asyncio.run(main())


# ---- parts


def test_a_contact_counts_when_it_was_seen_in_both_states():
    contact = Contact({"id": "door", "kind": "door", "pin": 10})
    assert contact.look(0) and not contact.look(0) and contact.result is None
    assert contact.look(None) and contact.result is None
    contact.look(1)
    assert contact.result == Found("door", True, "seen open and closed")
    contact.leave(None, "left out")
    assert contact.result.ok is True  # what was seen stays seen
    never = Contact({"id": "door", "kind": "door", "pin": 10})
    never.leave(False, "did not change within 5 s")
    assert never.result == Found("door", False, "did not change within 5 s: seen only in no state")


def test_all_together():
    good, bad, left = Found("a", True, ""), Found("b", False, ""), Found("c", None, "")
    assert together([]) is True and together([good, good]) is True
    assert together([good, left]) is None and together([good, left, bad]) is False


@pytest.mark.parametrize("width", [120, 80, 50])
def test_the_results_fit(width):
    found = [
        Found("a-channel-with-quite-a-long-name", False, "why it failed, " * 20),
        Found("b", True, "ok"),
    ]
    lines = results([("input", found), ("channel", [])], width)
    assert max(line.cell_len for line in lines) <= width
    assert "".join(line.plain for line in lines).count("failed") == 20


def now(quality: str, raw: float | None, age_s: float = 1.0, channel: Channel | None = None, words=None):
    channel = channel or Channel("cod", low=0.0, high=100.0)
    reading = Reading(0, False, raw, raw, quality)
    return Now(channel, reading, age_s, 1000, False, words, "", doubt(channel, words))


def test_channels_are_judged():
    assert judge(now("OK", 42.0), 5.0) == Found("cod", True, "42 (range 0 to 100)")
    assert judge(now("OK", 42.0, age_s=9.0), 5.0).ok is False  # from before the test
    assert judge(now("FAULT", 42.0), 5.0).ok is judge(now("TIMEOUT", None), 5.0).ok is False
    assert judge(now("OUT_OF_RANGE", 142.0), 5.0).said == (
        "142: outside the measuring range (range 0 to 100)"
    )
    assert judge(now("OK", 0.0, channel=Channel("m", "counter", row={})), 5.0).ok is None
    place = Place(Block("rs485", 2, 3, 0, 2, 500), 0, "float32", "CDAB", 1, 1, 0)
    channel = Channel("cod", low=0.0, high=100.0, place=place)
    tiny = list(registers.encode(25.0, "float32", "ABCD"))  # 2.4e-41: the station itself lets it pass
    assert judge(now("OK", 2.4e-41, channel=channel, words=tiny), 5.0).ok is False
    none = Now(channel, None, None, 60_000, False, None, "", None)
    assert judge(none, 60.0) == Found("cod", None, "no reading in time, it is read every 60 s")
    assert judge(Now(channel, None, None, 1000, False, None, "", None), 60.0).ok is False


def compare(answers: list[str | None], profile: str = "hach-codmax2") -> tuple[Found, dict, list[str]]:
    """A plausible COD of 42 and a person: (what was found, what is recorded, the questions)."""
    place = Place(Block("rs485", 2, 3, 0, 2, 500), 0, "float32", "CDAB", 1, 1, 0)
    channel = Channel("cod", unit="mg/l", decimals=2, low=0.0, high=100.0, place=place)
    facts = Known("nt", b"", {"cod": channel}, {("rs485", 2): profile}, {}, (), ())
    words = list(registers.encode(42.0, "float32", "CDAB"))
    seen = now("OK", 42.0, channel=channel, words=words)
    found, asked = Found("cod", True, "42.00 mg/l"), []

    async def ask(question: str) -> str | None:
        asked.append(question)
        return answers.pop(0)

    return found, asyncio.run(compared([found], facts, lambda: [seen], ask)), asked


def test_a_doubtful_map_is_held_against_the_display():
    found, said, asked = compare(["", "what?", "Yes"])
    assert said == {"cod": True} and found.ok is True and len(asked) == 3
    assert asked[0] == (
        "cod (hach-codmax2, address 2): 42.00 mg/l. Does the instrument's display show the same? [y/n/s]"
    )
    found, said, _ = compare(["n"])
    assert said == {"cod": False} and found.ok is False
    assert "wrong word order or scale" in found.said and "CDAB 42" in found.said and "ABCD " in found.said
    for answer, recorded in (("s", {"cod": None}), (None, {})):
        found, said, _ = compare([answer])
        assert said == recorded and found == Found("cod", True, "42.00 mg/l")
    assert compare([], "supmea-sup-ph8001")[1:] == ({}, [])  # its maker's word is enough
    assert compare(["y"], "of somebody's own")[1] == {"cod": True}


def test_what_is_typed(tmp_path):
    """Keys while contacts are watched, lines for questions; a script's lines are not eaten as keys."""

    async def main():
        ours, theirs = os.pipe()
        with open(ours) as file, open(theirs, "wb", buffering=0) as pipe:
            async with Typed(file) as typed:
                assert not typed.pressed("s") and not typed.ended
                pipe.write(b"S\ny\nyes it is \n\nlast")
                await until(lambda: typed.pressed("s"), "a key")
                assert not typed.pressed("s")
                assert [await typed.line() for _ in range(3)] == ["y", "yes it is", ""]
                pipe.close()
                assert await typed.line() == "last" and await typed.line() is None and typed.ended
        with (tmp_path / "empty").open("w+") as file:
            async with Typed(file) as typed:
                assert typed.ended and await typed.line() is None

    asyncio.run(main())
