"""`quantrac station read`: what it shows is what the line served and what the station counted."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from itertools import pairwise

import pytest
from rich.cells import cell_len

from protocol import framing, messages, registers
from protocol.cose import Mac0
from tests.firmware.bench import DEVICE, KEY, Gateway, until
from tests.tools.live_rig import UNITS, Rig, Run, cod, device, ph, unit
from tools.people import UsageError
from tools.station.folder import Folder
from tools.station.link import StationLink
from tools.station.live.bus import counts, suspicions
from tools.station.live.known import Block, Channel, Place, known
from tools.station.live.layout import Column, table, wrapped
from tools.station.live.orders import doubt
from tools.station.live.peek import Answer, Peek
from tools.station.live.sheet import Sheet, against, lines, shown

pytestmark = pytest.mark.timeout(900)  # waits for greetings

PATIENT_MS = 1500
"""A time-out that a busy machine does not reach by itself."""


def wrong_order(station: dict) -> None:
    """As a profile that says ABCD where the instrument sends CDAB."""
    for entry in station["units"]:
        for value in entry["values"]:
            value["order"] = "ABCD"


# ---- against the real firmware


def test_registers_values_limits_and_orders(tmp_path):
    """A unit calibrated, one with its words in the wrong order, and one that is not there."""
    units = (*UNITS, unit("generic-tss", 9, quantities=["tss"], retries=0))
    more = {
        "calibrations": {"ph": {"id": 7, "points": [[4.0, 4.1], [7.0, 7.2]]}},
        "inputs": [{"id": "door", "kind": "door", "pin": 10}],
        "outputs": [{"id": "pump", "kind": "relay", "pin": 20}],
        "analogs": [{"channel": "level", "pin": 26, "shunt_ohm": 100, "low": 0, "high": 10, "poll_ms": 500}],
    }

    async def main():
        rig = Rig(tmp_path, [ph(1), cod(2, 42.17)], units, wrong_order, **more)
        rig.set(26, 1_200_000)  # 12 mA through 100 ohms
        async with rig:
            run = Run("read", "--port", rig.port, "--dir", rig.folder, "--once", "--json")
            assert await run.ended() == 0, run.text
            said = json.loads(run.text)
            seen = {one["name"]: one for one in said["channels"]}
            assert said["station"] == DEVICE and said["folder_fits"] is True and not said["notes"]
            assert seen["ph"]["registers"] == [712] and seen["temperature"]["registers"] == [253]
            assert seen["ph"]["raw"] == pytest.approx(7.12) and seen["ph"]["value"] == pytest.approx(7.324)
            assert (seen["ph"]["min"], seen["ph"]["max"], seen["ph"]["limit"]) == (6.0, 9.0, "in 6-9")
            assert seen["temperature"]["unit"] == "oC" and seen["temperature"]["quality"] == "OK"
            served = list(registers.encode(42.17, "float32", "CDAB"))
            assert seen["cod"]["registers"] == served and seen["cod"]["unit"] == "mg/l"
            assert seen["cod"]["plausible_orders"] == ["CDAB"]
            assert seen["cod"]["orders"]["CDAB"] == pytest.approx(42.17)
            assert "the station reads ABCD" in seen["cod"]["said"]
            assert seen["level"]["ma"] == pytest.approx(12) and seen["level"]["value"] == pytest.approx(5)
            assert said["wires"] == {"door": 0, "pump": 0}
            assert seen["tss"]["registers"] is None and "did not answer" in seen["tss"]["registers_said"]

            await rig.again()
            run = Run("read", "--port", rig.port, "--dir", rig.folder, "--once")
            assert await run.ended() == 0, run.text
            text = " ".join(run.text.split())
            assert "02C8 7.12 7.32 in 6-9 ok" in text and "no answer" in text
            assert " ".join(f"{word:04X}" for word in served) in text
            assert "Plausible as CDAB: the word order is probably wrong" in text
            assert "Unit 9 (generic-tss) never answered" in text and "level 12.00 mA" in text
            assert "inputs: door closed" in text and "outputs: pump off" in text
            assert all(len(line) <= 80 for line in run.lines)

            await rig.again()
            run = Run("read", "--port", rig.port, "--dir", rig.folder, "--channel", "nitrate")
            assert await run.ended() == 2 and "ph, temperature, cod, tss, level" in run.text

            # a key alone will do; what the folder knows is left out, and that is said
            await rig.again()
            key = rig.folder / "link.key"
            run = Run("read", "--port", rig.port, "--key", key, "--channel", "ph", "--once")
            assert await run.ended() == 0, run.text
            assert "registers, units and limits" in run.text and "02C8" not in run.text
            assert "7.32" in run.text and "temperature" not in run.text

    asyncio.run(main())


def test_the_statistics_are_those_of_the_line(tmp_path):
    """Each figure lies between what the line had counted before and after the station was asked."""
    units = (
        unit("supmea-sup-ph8001", 1, quantities=["ph"], timeout_ms=PATIENT_MS),
        unit("hach-codmax2", 2, timeout_ms=PATIENT_MS),
        unit("generic-tss", 3, timeout_ms=PATIENT_MS),
    )

    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17), device(3, {90: 1})], units) as rig:
            line = rig.line
            line.flips, line.drops = {1: 3}, {2: 6}
            async with StationLink(str(rig.port), KEY) as link:
                await link.greeted(60)
                peek = Peek(link, [])
                await until(
                    lambda: line.flipped[1] >= 2 and line.dropped[2] >= 2 and line.refused[3] >= 3,
                    "faults",
                    90,
                )
                wanted = ("asked", "dropped", "flipped", "refused")
                before = {name: Counter(getattr(line, name)) for name in wanted}
                await peek.look()
                after = {name: Counter(getattr(line, name)) for name in wanted}
                found = counts(peek.status)
                assert set(found) == {("rs485", 1), ("rs485", 2), ("rs485", 3)}
                for (_, number), one in found.items():
                    told = (one.requests, one.timeouts, one.bad_replies, one.exceptions)
                    for name, figure in zip(wanted, told, strict=True):
                        low, high = before[name][number] - 1, after[name][number] + 1
                        assert low <= figure <= high, (number, name, figure, low, high)
                assert found["rs485", 1].bad_replies >= 1 and found["rs485", 2].timeouts >= 1
                facts = known(Folder.at(rig.folder))
                said = " ".join(suspicions(peek, facts))
                assert "unit 3 (generic-tss) refuses every request" in said
                sheet = Sheet(link.station, peek, facts)
                drawn = "\n".join(line.plain for line in lines(sheet, 80))
                assert f" {found['rs485', 1].requests} " in drawn and "supmea-sup-ph8001" in drawn

    asyncio.run(main())


def test_an_instrument_gets_its_gap_from_whoever_looks_on(tmp_path):
    """One that wants 300 ms between two requests gets them around a question of ours, too."""
    gap_ms = 300
    units = (unit("supmea-sup-ph8001", 1, quantities=["ph"], gap_ms=gap_ms),)

    async def main():
        async with Rig(tmp_path, [ph(1)], units) as rig:
            async with StationLink(str(rig.port), KEY) as link:
                await link.greeted(60)
                args = {"bus": "rs485", "unit": 1, "function": 3, "address": 1, "count": 1}
                for _ in range(6):
                    assert (await link.command("read", args)).data == [712]
            times = rig.line.times
            pauses = [
                (then - before) * 1000
                for (_, what, before), (_, _, then) in pairwise(times)
                if what == "answered"
            ]
            assert len(pauses) >= 4 and min(pauses) >= gap_ms - 5, pauses

    asyncio.run(main())


def test_on_a_terminal_it_is_drawn_over_itself_and_fits(tmp_path):
    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)]) as rig:
            arguments = ("read", "--port", rig.port, "--dir", rig.folder)
            run = Run(*arguments, size=(80, 40))
            await run.until("supmea-sup-ph8001", times=3)
            await run.until("% of 75")
            run.process.send_signal(signal.SIGINT)
            assert await run.ended() == 130
            assert b"\x1b[1A" in run.raw  # the cursor goes up: it is drawn over what was there
            assert max(cell_len(line) for line in run.lines) <= 80
            assert "AE14 4228" in run.text and "hach-codmax2" in run.text and "Traceback" not in run.text
            await rig.again()
            run = Run(*arguments, size=(48, 8))
            await run.until("more lines")
            await run.until("42.17")
            run.process.send_signal(signal.SIGINT)
            assert await run.ended() == 130
            assert max(cell_len(line) for line in run.lines) <= 48
            assert "42.17" in run.text and "AE14" not in run.text

    asyncio.run(main())


def test_nothing_that_is_shown_is_lost_to_the_gateway(tmp_path):
    """Afterwards every record from 1 on arrives at the gateway, once."""

    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)]) as rig:
            run = Run("read", "--port", rig.port, "--dir", rig.folder, "--seconds", 5, "--json")
            assert await run.ended() == 0, run.text
            sheets = [json.loads(line) for line in run.lines]
            assert len(sheets) >= 2 and sheets[-1]["channels"][0]["quality"] == "OK"
            gateway = Gateway()
            async with StationLink(str(rig.port)) as wire:  # no key: only its bytes are used
                wire.feed = gateway.feed
                gateway.write = lambda data: wire._write(data)
                await until(lambda: len(gateway.rows()) > 30, "readings at the gateway")
            assert gateway.complete(sheets[-1]["boot"]) > 30 and gateway.events(messages.START)

    asyncio.run(main())


def test_the_cable_is_pulled(tmp_path):
    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)]) as rig:
            run = Run("read", "--port", rig.port, "--dir", rig.folder)
            await run.until("42.17")
            await rig.cable.stop()
            assert await run.ended() == 1
            assert "has gone: plug the cable in again" in run.text and "Traceback" not in run.text

    asyncio.run(main())


def test_a_folder_that_is_not_of_this_station(tmp_path):
    async def main():
        async with Rig(tmp_path, [ph(1), cod(2, 42.17)]) as rig:
            other = rig.folder / "device" / "station.json"
            other.write_text(other.read_text() + "\n")  # another configuration than the board's
            run = Run("read", "--port", rig.port, "--dir", rig.folder, "--once")
            assert await run.ended() == 0
            assert "runs another configuration than the folder" in " ".join(run.text.split())
            await rig.again()
            site = json.loads((rig.folder / "site.json").read_text())
            (rig.folder / "site.json").write_text(json.dumps({**site, "id": "st-99"}))
            run = Run("read", "--port", rig.port, "--dir", rig.folder, "--once")
            assert await run.ended() == 2 and "folder of st-99" in run.text
            run = Run("read", "--port", rig.port, "--dir", tmp_path, "--once")
            assert await run.ended() == 2 and "no station's folder" in run.text

    asyncio.run(main())


# ---- parts


def rows(*units: tuple) -> dict:
    return {"units": [["rs485", *one] for one in units], "boot": 1}


def peeked(now: dict, before: dict | None = None, answers: dict | None = None) -> Peek:
    peek = Peek(StationLink("nowhere"), [])
    peek.status, peek.since, peek.answers = now, before or now, answers or {}
    return peek


@pytest.mark.parametrize(
    "now, before, expected",
    [
        ([(7, 100, 0, 4, 0, 30, 0)], None, "unit 7 answers with errors in 4 of 100 requests"),
        ([(7, 100, 0, 4, 0, 30, 0)], [(7, 60, 0, 4, 0, 30, 0)], ""),  # mended since somebody looks
        ([(7, 100, 5, 1, 0, 30, 0)], None, "unit 7 does not answer 5 of 100 requests"),
        ([(7, 100, 0, 0, 6, 30, 0)], None, "unit 7 refuses 6 of 100 requests"),
        ([(3, 12, 12, 0, 0, 0, 1), (4, 12, 0, 0, 0, 9, 0)], None, "unit 3 never answered:"),
        ([(3, 50, 12, 0, 0, 20, 1)], None, "unit 3 answered before and is silent now"),
        ([(3, 9, 9, 0, 0, 0, 1), (4, 9, 9, 0, 0, 0, 1)], None, "no unit on bus rs485 ever answered"),
        ([(3, 12, 2, 10, 0, 0, 0)], None, "unit 3 never answered whole"),
        ([(3, 12, 0, 0, 12, 0, 0)], None, "unit 3 refuses every request: Modbus exception 2"),
        ([(3, 12, 0, 0, 0, 0, 0)], None, ""),  # it answers within a millisecond
        ([(3, 100, 0, 0, 0, 20, 0), (4, 100, 0, 0, 0, 9, 0)], None, ""),
        ([], None, ""),
    ],
)
def test_what_is_suspicious_is_one_sentence(now, before, expected):
    block = Block("rs485", 3, 3, 0, 2, 500)
    answer = Answer(None, "Modbus exception 2: the instrument has no such register", 0.0)
    peek = peeked(rows(*now), rows(*before) if before else None, {block: answer})
    said = suspicions(peek, None)
    assert len(said) == bool(expected) and "".join(said).startswith(expected)


def test_a_line_that_is_not_there():
    """The station counts a request without any outcome; what it says of the line is the evidence."""
    block = Block("rs485", 3, 3, 0, 2, 500)
    for text in ("bus rs485 cannot be opened: 2", "bus rs485 is not there, waiting before the next attempt"):
        peek = peeked(rows((3, 12, 0, 0, 0, 0, 0)), None, {block: Answer(None, text, 0.0)})
        assert suspicions(peek, None) == [
            "bus rs485 cannot be opened: look at its adapter, or its pins in site.json."
        ]


def place(order: str, type: str = "float32") -> Place:
    return Place(Block("rs485", 2, 3, 0, 2, 500), 0, type, order, 1, 1, 0)


@pytest.mark.parametrize("order", registers.ORDERS)
@pytest.mark.parametrize("value", [42.17, 7.25, 999.0, 0.31])
def test_the_right_order_is_named(order, value):
    """... and nothing is said where the order is right, which is the control."""
    words = list(registers.encode(value, "float32", order))
    for assumed in registers.ORDERS:
        channel = Channel("cod", low=0.0, high=1000.0, place=place(assumed))
        found = doubt(channel, words)
        if assumed == order:
            assert found is None
        else:
            assert found is not None and found.better == [order]
            assert f"{value:.4g}" in found.text and order in found.text


def test_what_is_no_matter_of_order():
    channel = Channel("cod", low=0.0, high=1000.0, place=place("ABCD"))
    assert doubt(channel, [0, 0]) is None  # a zero is one in every order
    nan = doubt(channel, [0x7FC0, 0x7FC0])
    assert nan is not None and not nan.better and "No word order helps" in nan.text
    assert doubt(Channel("x", place=place("ABCD")), [0x7FC0, 0]) is None  # no range, no judgement
    assert doubt(channel, None) is None
    tiny = doubt(channel, list(registers.encode(25.0, "float32", "CDAB")))
    assert tiny is not None and tiny.better == ["CDAB"]  # 2.4e-41 is within 0 to 1000, and absurd


@pytest.mark.parametrize("width", [200, 80, 60, 40, 25, 12, 5])
def test_a_table_fits(width):
    columns = [
        Column("channel", least=8, most=24), Column("registers", keep=2), Column("value", right=True),
        Column("quality", keep=1), Column("age", keep=3),
    ]  # fmt: skip
    cells = [
        [("nhiệt-độ-nước-thải-đầu-ra-rất-dài", ""), ("0102 0304 0506 0708", ""), ("-3.37e-11", "red"),
         ("out of range", ""), ("12 min", "")],
        [("c\x1b[2J", ""), ("", ""), ("1", ""), ("温度", ""), ("", "")],
    ]  # fmt: skip
    made = table(columns, cells, width)
    assert len(made) == 3 and max(line.cell_len for line in made) <= width
    assert not any("\x1b" in line.plain for line in made)
    assert ("0102 0304" in made[1].plain) == (width >= 60) and ("12 min" in made[1].plain) == (width >= 80)
    for text in ("a sentence of words that goes on and on", "x" * 300, "", "a\x1b[31mb"):
        assert all(line.cell_len <= width for line in wrapped(text, width))


def test_numbers_and_limits_for_people():
    assert [shown(value, 2) for value in (42.1687, 0.0, None, float("nan"))] == ["42.17", "0.00", "-", "nan"]
    assert shown(2.3e-41, 2) == "2.3e-41" and shown(1e20, 2) == "1e+20" and shown(0.000012, None) == "1.2e-05"
    most, both = Channel("cod", max=75.0), Channel("ph", min=6.0, max=9.0)
    assert [against(value, most)[0] for value in (30.0, 75.0, 75.1, None)] == [
        "40% of 75", "100% of 75", "ABOVE 75", "max 75",
    ]  # fmt: skip
    assert [against(value, both)[0] for value in (7.0, 5.0, 9.5)] == ["in 6-9", "BELOW 6", "ABOVE 9"]
    assert against(7.0, Channel("x"))[0] == ""


def test_what_the_folder_says(tmp_path):
    more = {
        "analogs": [{"channel": "level", "pin": 26, "shunt_ohm": 100, "low": 0, "high": 10, "poll_ms": 500}],
        "inputs": [{"id": "door", "kind": "door", "pin": 10}],
    }
    rig = Rig(tmp_path, [], **more)
    facts = known(Folder.at(rig.folder))
    assert list(facts.channels) == ["ph", "temperature", "cod", "level"]
    channel = facts.channels["cod"]
    assert (channel.unit, channel.decimals, channel.low, channel.high) == ("mg/l", 2, 0.0, 1000.0)
    assert channel.max == 75.0 and channel.place and channel.place.block.unit == 2
    assert facts.channels["temperature"].unit == "oC" and facts.channels["level"].kind == "loop"
    assert facts.units["rs485", 2] == "hach-codmax2" and facts.inputs[0]["id"] == "door"
    blocks = '[[channel]]\nsymbol = "COD"\nunit = "mg/l"\nsource = { device = "st-01", quantity = "cod" }\n'
    rule = 'limits = { rule = "QCVN 40:2011", column = "A", kq = 0.9, kf = 1.1 }\n'
    (rig.folder / "gateway.toml").write_text(blocks + rule)
    assert known(Folder.at(rig.folder)).channels["cod"].max == pytest.approx(74.25)  # 75 x 0.9 x 1.1
    (rig.folder / "gateway.toml").write_text(blocks + "limits = { nonsense = 1 }\n")
    assert known(Folder.at(rig.folder)).channels["cod"].max is None
    (rig.folder / "gateway.toml").unlink()
    hashed = facts.hash
    (rig.folder / "device" / "station.json").unlink()  # compiled from site.json instead: the same to the byte
    facts = known(Folder.at(rig.folder))
    assert facts.hash == hashed and facts.channels["cod"].unit == "mg/l" and facts.channels["cod"].max is None
    (rig.folder / "device" / "station.json").write_text('{"units": 5}')
    with pytest.raises(UsageError, match="restore it"):
        known(Folder.at(rig.folder))


def test_a_device_that_started_anew_is_seen_though_its_clock_began_again(tmp_path):
    """Readings of an earlier start, with higher times, hide nothing of this one."""

    async def main():
        link = StationLink("nowhere", KEY)
        mac = Mac0(DEVICE, KEY)

        def say(message):
            link.feed(framing.encode(mac.seal(messages.encode(message))))

        channels = [("c0", 1000, 0, ())]
        say(messages.Hello(1, "x", DEVICE, 6, bytes(8), bytes(8), channels, 5, 1, 0, 100, "power"))
        say(messages.Readings(5, 1, 3_600_000, 0, [(0, 0, 0x41C80000, 0, 0)]))  # of the start before
        assert link.station.readings["c0"].value == 25.0
        say(messages.Now(bytes(8), 4_000, 0, [(0, 0, 0x42480000, 0, 0)]))
        assert link.station.readings["c0"].value == 50.0
        say(messages.Readings(5, 2, 3_700_000, 0, [(0, 0, 0x41C80000, 0, 0)]))
        assert link.station.readings["c0"].value == 50.0

    asyncio.run(main())
