"""From instruments that pymodbus serves, through the firmware in its own process: what arrives is true."""

import asyncio
import struct

import pytest

from protocol import messages, quality
from tests.firmware.bench import (
    RUNTIMES,
    Device,
    Gateway,
    open_link,
    serial_server,
    station,
    tcp_server,
    unit,
    until,
    value,
)

BITS = [
    0x41C80000,
    0x7FA00001,
    0xC2F6E979,
    0x00000001,
]  # 25.0, a signalling NaN, -123.456, the smallest there is


def _words(bits: int) -> list[int]:
    return list(struct.unpack(">2H", struct.pack(">I", bits)))


def _swapped(bits: int) -> list[int]:
    return _words(bits)[::-1]


def _f32(x: float) -> int:
    return struct.unpack(">I", struct.pack(">f", x))[0]


@pytest.mark.parametrize("link_kind", ["serial", "tcp"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_values_arrive_bit_for_bit(tmp_path, runtime, link_kind):
    async def main():
        gateway = Gateway()
        link = await open_link(link_kind, gateway, tmp_path)
        status = {
            "read": 0,
            "at": 6,
            "type": "uint16",
            "mask": 0xFF,
            "values": {"0": 0, "1": 1},
            "otherwise": 3,
        }
        units = [
            unit(2, [value(0, 0), value(1, 2), value(2, 4, order="CDAB")]),
            unit(3, [value(3, 0, status=0), value(4, 2, "int16", divide=10)], statuses=[status]),
            unit(9, [value(5, 0), value(6, 2, min=0.0, max=100.0)], bus="lan"),
        ]
        served = {
            2: _words(BITS[0]) + _words(BITS[1]) + _swapped(BITS[2]) + [0, 0],
            3: [*_words(BITS[0]), 0xFFF5, 0, 0, 0, 0x0101, 0],
        }
        async with (
            serial_server(tmp_path, served),
            tcp_server({9: _words(BITS[3]) + _words(_f32(100.5)) + [0] * 4}) as port,
        ):
            device = await Device(runtime, station(tmp_path, link.settings, units, port)).start()
            await until(lambda: len(gateway.rows()) > 120, "120 readings")
            last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"] == last["acked"]
        expected = {
            0: {(BITS[0], quality.OK)},
            1: {(BITS[1], quality.FAULT)},
            2: {(BITS[2], quality.OK)},
            3: {(BITS[0], quality.CALIBRATING)},
            4: {(_f32(-1.1), quality.OK)},
            5: {(BITS[3], quality.OK)},
            6: {(_f32(100.5), quality.OUT_OF_RANGE)},
        }
        for channel, values in expected.items():
            rows = gateway.rows(channel)
            assert {(raw, why) for _, _, _, raw, why in rows} == values
            assert len(rows) > 5
        assert {
            record[6] for record in gateway.records.values() if record[0] == "row" and record[3] == 4
        } == {4}
        assert (last["timeouts"], last["bad_replies"], last["exceptions"], last["bad_frames"]) == (0, 0, 0, 0)
        assert gateway.events(messages.START)
        assert gateway.broken == 0

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_silent_unit_gives_timeouts_and_the_others_do_not_notice(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("serial", gateway, tmp_path)
        units = [
            unit(2, [value(0, 0)], poll_ms=200, timeout_ms=60),
            unit(7, [value(1, 0)], poll_ms=200, timeout_ms=60),
            unit(3, [value(2, 0)], poll_ms=200, timeout_ms=60),
        ]
        async with serial_server(tmp_path, {2: _words(BITS[0]) + [0] * 6, 3: _words(BITS[2]) + [0] * 6}):
            device = await Device(runtime, station(tmp_path, link.settings, units)).start()
            await until(
                lambda: min(len(gateway.rows(channel)) for channel in range(3)) > 30, "30 polls of each"
            )
            last = await device.stop()
        await link.close()
        gateway.complete()
        assert {row[3:] for row in gateway.rows(1)} == {(None, quality.TIMEOUT)}
        assert {row[3:] for row in gateway.rows(0)} == {(BITS[0], quality.OK)}
        assert {row[3:] for row in gateway.rows(2)} == {(BITS[2], quality.OK)}
        # three polls of three tries at most, then one try at a time, far apart
        assert 3 <= last["timeouts"] <= 3 * 3 + 8

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_exceptions_are_bad_replies(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        read = [{"function": 3, "address": 5000, "count": 8}]
        units = [unit(9, [value(0, 0)], bus="lan", reads=read), unit(9, [value(1, 0)], bus="lan")]
        for one in units:
            one["timeout_ms"] = 500  # a busy machine is no silent instrument; it rests as long
        async with tcp_server({9: _words(BITS[0]) + [0] * 6}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, units, port)).start()
            await until(lambda: len(gateway.rows(0)) > 10 and len(gateway.rows(1)) > 10, "10 polls of each")
            last = await device.stop()
        await link.close()
        assert {row[3:] for row in gateway.rows(0)} == {(None, quality.BAD_REPLY)}
        assert {row[3:] for row in gateway.rows(1)} == {(BITS[0], quality.OK)}
        assert last["exceptions"] >= 10

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_bus_that_is_not_there_is_no_fault_of_the_device(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("serial", gateway, tmp_path)
        units = [unit(2, [value(0, 0)]), unit(9, [value(1, 0)], bus="lan")]
        async with tcp_server({9: [0] * 8}) as port:
            pass  # a port where nobody listens any more
        device = await Device(runtime, station(tmp_path, link.settings, units, port)).start()
        await until(lambda: len(gateway.rows()) > 20, "readings without any bus")
        assert {row[3:] for row in gateway.rows()} == {(None, quality.TIMEOUT)}
        async with (
            serial_server(tmp_path, {2: _words(BITS[0]) + [0] * 6}),
            tcp_server({9: _words(BITS[2]) + [0] * 6}, port),
        ):
            await until(
                lambda: (BITS[0], quality.OK) in {row[3:] for row in gateway.rows(0)},
                "the RS-485 line is back",
            )
            await until(
                lambda: (BITS[2], quality.OK) in {row[3:] for row in gateway.rows(1)},
                "the TCP server is back",
            )
            await device.stop()
        await link.close()
        gateway.complete()

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_boot_number_rises_at_each_start(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        directory = station(tmp_path, link.settings, [unit(2, [value(0, 0)])])
        (directory / "boot").write_text("6\n")
        for boot in (7, 8, 9):
            device = await Device(runtime, directory).start()
            await until(lambda: any(key[0] == boot for key in gateway.records), "records of this boot")  # noqa: B023
            last = await device.stop(b"" if boot == 8 else b"stop\n")  # the end of its input stops it as well
            assert last["boot"] == boot
            assert gateway.complete(boot) == last["emitted"]
        await link.close()
        assert (directory / "boot").read_text() == "9\n"

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_first_boot_number_is_drawn_by_chance(tmp_path, runtime):
    """A new or wiped device must not meet a number that the gateway knows from the one before it."""

    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        directory = station(tmp_path, link.settings, [unit(2, [value(0, 0)])])
        boots = []
        for _ in range(3):
            gateway.restart(0, 0)
            device = await Device(runtime, directory).start()
            await until(lambda: device.lines, "a status line")  # noqa: B023
            boots.append((await device.stop())["boot"])
            assert (directory / "boot").read_text() == f"{boots[-1]}\n"
            (directory / "boot").unlink()
        await link.close()
        assert len(set(boots)) == 3 and all(1 <= boot <= 1 << 24 for boot in boots)
        assert max(boots) > 1000  # by chance less once in 4,000,000,000,000 runs

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_wiped_device_loses_nothing_to_the_records_of_its_former_life(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        directory = station(tmp_path, link.settings, [unit(2, [value(0, 0)])])
        gateway.restart(1, 10)  # what a first life under numbers from 1 left there
        await link.cut()
        device = await Device(runtime, directory).start()
        await until(lambda: device.last.get("emitted", 0) > 30, "records before the gateway is there")
        await link.back()
        await until(lambda: len(gateway.records) > 60, "all of them, and more")
        last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"] == last["acked"]

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_noise_on_the_console_stops_nothing(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        device = await Device(runtime, station(tmp_path, link.settings, [unit(2, [value(0, 0)])])).start()
        await until(lambda: len(gateway.records) > 5, "records")
        for noise in (b"\xff\n", b"\xc3\n", bytes(range(128, 256)) + b"\n", b"\0\n", b"\n"):
            device._process.stdin.write(noise)
        have = len(gateway.records)
        await until(lambda: len(gateway.records) > have + 20, "records after the noise")
        await device.stop()
        await link.close()

    asyncio.run(main())
