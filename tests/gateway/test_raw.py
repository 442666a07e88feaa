"""gateway/ingest/raw.py: what is journaled is what arrives, once for each id, judged as the windows do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.ingest.raw import RawFeed
from gateway.journal.database import connect_to_read
from gateway.journal.kinds import EVENT, FRAME, POLL
from gateway.windows import Channel, Settings, Windows
from protocol import messages
from protocol import quality as q
from protocol.cose import Mac0
from protocol.messages import Event, Readings, encode
from protocol.reading import bits_float, float_bits
from simulator.modbus_load import origin, serve
from simulator.receivers import MqttReceiver
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import running, until
from tests.gateway.journal_rig import unpacked
from tests.servers.process import free_port

NAN, INF = 0x7FC00000, 0x7F800000
OF_DEVICE = {"cod": ("COD",), "ph": ("pH",), "tss": ("TSS", "TSS2")}  # quantity -> channels read from it
TSS2_MAX = 50.0


# Through everything ----------------------------------------------------------------------------------------


def write_config(folder: Path, modbus: list[int], link: int, broker: int) -> Path:
    parts = [rig.device(folder, "st-01", f"tcp-listen://127.0.0.1:{link}"), rig.mqtt(broker, "readings")]
    for i, port in enumerate(modbus):
        parts.append(rig.bus(f"b{i}", f"modbus-tcp://127.0.0.1:{port}"))
        parts += [rig.bus_channel(f"I{i}Q{n}", f"b{i}", 2 * n) for n in range(3)]
    for quantity, symbols in OF_DEVICE.items():
        for symbol in symbols:
            more = {"plausible": [0.0, TSS2_MAX]} if symbol == "TSS2" else {}
            parts.append(rig.device_channel(symbol, "st-01", quantity, **more))
    return rig.write_config(folder, *parts)


def polled(journal: Path) -> Counter:
    """(symbol, time, value, status) of every reading of the gateway's own buses in the journal."""
    found: Counter = Counter()
    with contextlib.closing(connect_to_read(journal)) as connection:
        entries = connection.execute(
            "SELECT source.name, body FROM entry JOIN source ON source.id = entry.source WHERE kind = ?",
            (POLL,),
        )
        for source, body in entries:
            message = messages.decode(unpacked(body))
            for number, offset_ms, raw, quality, _ in message.rows:
                symbol = f"I{source.removeprefix('bus/b')}Q{number}"
                value = None if raw is None else bits_float(raw)
                found[symbol, message.base_ms + offset_ms, value, q.status(quality)] += 1
    return found


def of_device(device: rig.AwkwardDevice) -> Counter:
    """What has to come of the device's records."""
    found: Counter = Counter()
    for seq in range(1, device.store.total + 1):
        quantity, time_ms, value, status = device.store.told(seq)
        for symbol in OF_DEVICE[quantity]:
            implausible = symbol == "TSS2" and status == "00" and value > TSS2_MAX
            found[symbol, time_ms, value, "02" if implausible else status] += 1
    return found


def arrived(path: Path) -> tuple[Counter, int]:
    """(rows of all messages with distinct ids, messages that came again); again means: the same message."""
    by_id: dict[str, list] = {}
    again = 0
    for line in path.read_text().splitlines():
        message = json.loads(line)
        again += message["id"] in by_id
        assert by_id.setdefault(message["id"], message["rows"]) == message["rows"]
    return Counter(tuple(row) for rows in by_id.values() for row in rows), again


def test_every_journaled_reading_arrives_once_for_each_id_through_outage_and_kill(tmp_path):
    async def main(modbus):
        broker = await MqttReceiver("127.0.0.1", 0, tmp_path / "n.jsonl").start()
        link = free_port()
        config = write_config(tmp_path, modbus, link, broker.port)
        device = rig.AwkwardDevice(300, time.time_ns() // 1_000_000 - 20 * 60_000)
        async with running(config) as gateway:
            await device.run(link)
            await until(lambda: broker.messages > 10)
            await broker.cut()
            device.store.total = 600
            await device.run(link)  # acknowledged with nobody to tell it to
            await until(lambda: waiting(gateway))
            await broker.restore()
            device.store.total = 1500
            sending = asyncio.create_task(device.run(link))
            await until(lambda: device.acked[1] > 900)
            await gateway.kill()
            sending.cancel()
        async with running(config) as gateway:
            await device.run(link)
            assert await gateway.stop() == 0
        async with running(config, None) as gateway:  # whatever the last moments left goes now
            await until(lambda: all_sent(gateway))
            assert await gateway.stop() == 0
        await broker.stop()
        rows, again = arrived(tmp_path / "n.jsonl")
        assert again == broker.duplicates
        expected = of_device(device) + polled(tmp_path / "gateway" / "journal.db")
        assert rows - expected == Counter(), "something was sent that is not in the journal"
        assert expected - rows == Counter(), "something is in the journal that did not arrive"
        own = [row for row in rows if row[0].startswith("I") and row[2] is not None]
        assert own and all(f"I{origin(row[2])[0]}Q{origin(row[2])[1]}" == row[0] for row in own)

    with serve(2, 3) as ports:
        asyncio.run(main(ports))


async def waiting(gateway: rig.GatewayRun) -> bool:
    return (await gateway.metrics())["documents_waiting", "national"] > 10


async def all_sent(gateway: rig.GatewayRun) -> bool:
    metrics = await gateway.metrics()
    return metrics["documents_waiting", "national"] <= 1 and metrics["documents_queued", "national"] > 50


# Its judgement ---------------------------------------------------------------------------------------------

CHANNELS = [
    Channel("COD", "mg/l", "device/st-01", "cod", low=0.0, high=100.0),
    Channel("pH", "", "device/st-01", "ph"),
    Channel("Flow", "m3/h", "bus/tank", "Flow", 1000, low=0.0, high=500.0),
]
T_MS = 1_774_397_100_000
KEY = bytes(32)


def feed_and_lane():
    windows = Windows(CHANNELS, Settings(), 0.0)
    lane = windows.lanes["device/st-01"]
    lane.describe(
        1, [("cod", 1000, 1, ((0.0, 0.0), (1.0, 2.0))), ("other", 1000, 0, ()), ("ph", 1000, 0, ())]
    )
    return RawFeed(CHANNELS, lambda name, t_ms, rows, means: [(name, t_ms, rows)]), lane


def frame(message, kind: int = FRAME) -> tuple:
    first = message.first_seq if isinstance(message, Readings) else message.seq
    last = first + len(message.rows) - 1 if isinstance(message, Readings) else first
    body = Mac0("st-01", KEY).seal(encode(message))
    return (kind, 1, message.boot, first, last, T_MS, 0, None, None, body)


def rows(*each: tuple, first_seq: int = 1, clock: int = 1, boot: int = 1) -> tuple:
    return frame(Readings(boot, first_seq, T_MS, clock, tuple(each)))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ((0, 5, float_bits(20.0), q.OK, 1), ("COD", T_MS + 5, 40.0, "00")),
        ((0, 5, float_bits(80.0), q.OK, 1), ("COD", T_MS + 5, 160.0, "02")),  # beyond what is plausible
        ((0, 5, float_bits(80.0), q.CALIBRATING, 1), ("COD", T_MS + 5, 160.0, "01")),
        (
            (0, 5, float_bits(20.0), q.OK, 7),
            ("COD", T_MS + 5, None, "02"),
        ),  # nobody said what calibration 7 is
        ((0, 5, float_bits(20.0), q.OK, 0), ("COD", T_MS + 5, 20.0, "00")),
        ((2, 0, None, q.TIMEOUT, 0), ("pH", T_MS, None, "02")),
        ((2, 0, NAN, q.FAULT, 0), ("pH", T_MS, None, "02")),
        ((2, 0, NAN, q.OK, 0), ("pH", T_MS, None, "02")),
        ((2, 0, INF, q.OK, 0), ("pH", T_MS, None, "02")),
    ],
)
def test_a_devices_reading_is_told_as_the_windows_judge_it(row, told):
    feed, lane = feed_and_lane()
    ((name, t_ms, found),) = feed.framed(lane, [rows(row)])
    assert (name, t_ms, found) == ("device/st-01/1/1-1", told[1], [told])


def test_one_document_for_all_frames_named_after_its_records():
    feed, lane = feed_and_lane()
    good = (0, 0, float_bits(1.0), q.OK, 1)
    event = frame(Event(1, 3, T_MS, 1, 1, "start"))
    ((name, _, found),) = feed.framed(lane, [rows(good, good), event, rows(good, first_seq=4)])
    assert name == "device/st-01/1/1-4" and len(found) == 3


def test_what_has_no_channel_or_no_time_is_not_told():
    feed, lane = feed_and_lane()
    good = (0, 0, float_bits(1.0), q.OK, 1)
    assert feed.framed(lane, [rows((1, 0, good[2], q.OK, 0), (9, 0, good[2], q.OK, 0))]) == []
    assert feed.framed(lane, [frame(Event(1, 3, T_MS, 1, 1, "start"))]) == []
    assert feed.framed(lane, [rows(good)[:0] or (EVENT, *rows(good)[1:])]) == []
    assert feed.framed(lane, [rows(good, clock=0)]) == []
    lane.place(1, 1000)
    ((_, _, found),) = feed.framed(lane, [rows(good, clock=0)])
    assert found[0][:2] == ("COD", T_MS + 1000)


def test_a_poll_is_told_with_the_channels_range():
    feed, _ = feed_and_lane()
    entries = [(POLL, 2, 5, 10, 12, T_MS, 0, T_MS, T_MS, b""), (POLL, 2, 5, 13, 14, T_MS, 0, T_MS, T_MS, b"")]
    polled = [
        (2, T_MS, float_bits(1.5), q.OK), (2, T_MS, float_bits(501.0), q.OK), (2, T_MS, NAN, q.FAULT),
        (2, T_MS, None, q.TIMEOUT), (2, T_MS, float_bits(2.0), q.TIME_UNTRUSTED),
    ]  # fmt: skip
    ((name, t_ms, found),) = feed.polled("bus/tank", entries, polled)
    assert (name, t_ms) == ("bus/tank/5/10-14", T_MS)
    assert [row[2:] for row in found] == [(1.5, "00"), (501.0, "02"), (None, "02"), (None, "02"), (2.0, "02")]
