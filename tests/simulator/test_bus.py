"""simulator/bus.py: an RS-485 line with several units, and a null-modem cable, over real ptys."""

import asyncio
import os

import pytest
from pymodbus.exceptions import ModbusException

from protocol import modbus, modbus_requests
from protocol.instruments import load
from simulator.bus import LineFaults, PtyPair, RtuLine
from simulator.clock import SimClock
from simulator.instruments import Instrument, Served, State
from simulator.signals import Shape
from simulator.truth import Truth
from tests.simulator._rig import answered, open_raw, profile, read_some, serial_client, until


def line(tmp_path, units=(1, 2, 17), faults=None, seed=0, rig=None):
    """A line with instruments whose temperature is ten times their unit."""
    rig = rig or profile()
    truth = Truth(tmp_path / "truth.jsonl")
    made = {
        unit: Instrument(
            rig,
            unit,
            [Served(rig.quantities[0].id, f"T{unit}", Shape(level=unit * 10), 10)],
            SimClock(),
            truth,
        )
        for unit in units
    }
    return RtuLine(tmp_path / "rs485", [i.device for i in made.values()], faults, seed), made


def read_temp(client, unit):
    return client.read_holding_registers(2, count=2, device_id=unit)


async def temp(client, unit):
    return client.convert_from_registers((await read_temp(client, unit)).registers, client.DATATYPE.FLOAT32)


def test_several_units_share_a_line_and_an_absent_one_is_silent(tmp_path):
    async def main():
        bus, _ = line(tmp_path, units=(1, 2, 9))
        await bus.start()
        async with serial_client(bus.path, timeout_s=0.2) as client:
            assert [await temp(client, unit) for unit in (1, 2, 9, 1)] == [10, 20, 90, 10]
            assert not await answered(read_temp(client, 5))
            assert await temp(client, 2) == 20  # the others go on
        assert (bus.requests, bus.answers, bus.silent, bus.noise_bytes) == (6, 5, 1, 0)
        await bus.stop()
        assert not bus.path.is_symlink()

    asyncio.run(main())


def test_the_line_survives_its_master(tmp_path):
    async def main():
        bus, made = line(tmp_path)
        await bus.start()
        for _ in range(3):
            async with serial_client(bus.path) as client:
                assert await temp(client, 1) == 10
        made[1].set_state(State.SILENT)
        async with serial_client(bus.path, timeout_s=0.2) as client:
            assert not await answered(read_temp(client, 1))
            assert await temp(client, 2) == 20
        await bus.stop()

    asyncio.run(main())


def test_protocols_own_master_code_is_understood(tmp_path):
    """The bytes our firmware sends, answered as its parser wants them, whole and one byte at a time."""

    async def main():
        bus, _ = line(tmp_path)
        await bus.start()
        fd = open_raw(bus.path)
        request = modbus_requests.read_pdu(3, 2, 2)
        for step in (256, 1):
            adu = modbus.rtu(17, request)
            for i in range(0, len(adu), step):
                os.write(fd, adu[i : i + step])
                await asyncio.sleep(0.001)
            reply = b""
            expected = modbus.rtu_reply_length(request)

            def whole(expected=expected):
                nonlocal reply
                reply += read_some(fd)
                return len(reply) >= expected

            await until(whole, "a reply")
            assert modbus.parse_rtu(reply, 17, request) == (0x432A, 0)  # 170.0
        os.close(fd)
        await bus.stop()

    asyncio.run(main())


def test_noise_is_counted_and_forgotten(tmp_path):
    async def main():
        bus, _ = line(tmp_path)
        await bus.start()
        fd = open_raw(bus.path)
        os.write(fd, os.urandom(3000))
        await until(lambda: bus.noise_bytes > 2000, "noise")
        await asyncio.sleep(0.15)  # longer than the pause that ends a frame
        async with serial_client(bus.path) as client:
            assert await temp(client, 1) == 10
        os.close(fd)
        await bus.stop()

    asyncio.run(main())


def test_half_a_request_does_not_spoil_the_next(tmp_path):
    async def main():
        bus, _ = line(tmp_path)
        await bus.start()
        fd = open_raw(bus.path)
        request = modbus.rtu(1, modbus_requests.read_pdu(3, 2, 2))
        os.write(fd, request[:5])  # the master was reset while sending
        await asyncio.sleep(0.2)
        async with serial_client(bus.path) as client:
            assert await temp(client, 1) == 10
        assert bus.noise_bytes == 5
        os.close(fd)
        await bus.stop()

    asyncio.run(main())


def test_a_read_of_nothing_is_a_start_command(tmp_path):
    async def main():
        rig = load("yosemitech-y504")
        bus, made = line(tmp_path, units=(1,), rig=rig)
        await bus.start()
        fd = open_raw(bus.path)
        os.write(fd, modbus.rtu(1, modbus_requests.read_pdu(3, rig.starts[0].register, 0, zero=True)))
        reply = b""

        def whole():
            nonlocal reply
            reply += read_some(fd)
            return len(reply) >= 5

        await until(whole, "a reply")
        assert reply == modbus.rtu(1, b"\x03\x00") and made[1].starts == 1
        os.close(fd)
        await bus.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("faults", "good"),
    [
        (LineFaults(), True),  # control
        (LineFaults(baud=9600, split_bytes=2, delay_s=(0.001, 0.003)), True),
        (LineFaults(flip=1.0), False),
        (LineFaults(drop=1.0), False),
        (LineFaults(late=1.0, late_s=0.6), False),
        (LineFaults(echo=True), False),
    ],
)
def test_each_fault_is_felt_and_only_while_it_lasts(tmp_path, faults, good):
    async def main():
        bus, _ = line(tmp_path, faults=faults)
        await bus.start()

        async def reads():
            async with serial_client(bus.path, timeout_s=0.3) as client:
                try:
                    return await temp(client, 1) == 10
                except ModbusException:
                    return False

        assert await reads() is good
        bus.faults = LineFaults()
        await asyncio.sleep(0.7)  # what was late is over
        assert await reads() or await reads()  # a late answer may still lie in the line
        await bus.stop()

    asyncio.run(main())


def test_the_same_seed_makes_the_same_faults(tmp_path):
    async def fates(seed):
        bus, _ = line(tmp_path, faults=LineFaults(drop=0.5), seed=seed)
        await bus.start()
        async with serial_client(bus.path, timeout_s=0.1) as client:
            result = [await answered(read_temp(client, 1)) for _ in range(12)]
        await bus.stop()
        return result

    one, same, other = (asyncio.run(fates(seed)) for seed in (1, 1, 2))
    assert one == same != other and set(one) == {True, False}


async def pair(tmp_path, **how):
    cable = await PtyPair(tmp_path / "a", tmp_path / "b", **how).start()
    return cable, open_raw(cable._paths[0]), open_raw(cable._paths[1])


async def receive(fd, count):
    got = bytearray()
    await until(lambda: got.extend(read_some(fd)) or len(got) >= count, f"{count} bytes")
    return bytes(got)


def test_the_cable_carries_every_byte_value_both_ways(tmp_path):
    async def main():
        cable, a, b = await pair(tmp_path)
        data = bytes(range(256)) * 8
        os.write(a, data)
        os.write(b, data[::-1])
        assert await receive(b, len(data)) == data
        assert await receive(a, len(data)) == data[::-1]
        assert (cable.bytes_a_to_b, cable.bytes_b_to_a, cable.lost_bytes) == (2048, 2048, 0)
        await cable.stop()
        os.close(a), os.close(b)

    asyncio.run(main())


def test_what_is_sent_while_cut_is_gone(tmp_path):
    async def main():
        cable, a, b = await pair(tmp_path)
        cable.cut()
        os.write(a, b"lost")
        await until(lambda: cable.bytes_cut == 4, "the cut")
        cable.restore()
        os.write(a, b"kept")
        assert await receive(b, 4) == b"kept"
        await cable.stop()
        os.close(a), os.close(b)

    asyncio.run(main())


def test_either_side_may_close_and_come_back(tmp_path):
    async def main():
        cable, a, b = await pair(tmp_path)
        for _ in range(3):
            os.close(b)
            os.write(a, b"x" * 100)  # nobody is there; nothing breaks
            await until(lambda: cable.bytes_a_to_b % 101 == 100, "carried")
            b = open_raw(cable._paths[1])
            await receive(b, 100)
            os.write(b, b"y")
            assert await receive(a, 1) == b"y"
            os.write(a, b"z")
            assert await receive(b, 1) == b"z"
        await cable.stop()
        os.close(a), os.close(b)

    asyncio.run(main())


def test_a_reader_that_does_not_read_costs_bounded_memory_and_stops_nobody(tmp_path):
    async def main():
        cable, a, b = await pair(tmp_path)
        sent = 0
        while sent < 400_000:  # a blocked line would end here with BlockingIOError for ever
            try:
                sent += os.write(a, b"x" * 2000)
            except BlockingIOError:
                pass
            await asyncio.sleep(0)
        await until(lambda: cable.bytes_a_to_b == sent, "carried")
        assert cable.lost_bytes > 200_000 and len(cable._b._backlog) <= 16 * 1024
        while read_some(b):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        read_some(b)
        os.write(a, b"after")
        assert (await receive(b, 5)).endswith(b"after")
        await cable.stop()
        os.close(a), os.close(b)

    asyncio.run(main())


def test_flipped_bits_are_counted_and_drawn_from_the_seed(tmp_path):
    async def flipped(seed):
        cable, a, b = await pair(tmp_path, flip=0.05, seed=seed)
        os.write(a, bytes(1000))
        got = await receive(b, 1000)
        assert sum(byte.bit_count() for byte in got) == cable.bits_flipped > 0
        await cable.stop()
        os.close(a), os.close(b)
        return got

    one, same, other = (asyncio.run(flipped(seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_injected_bytes_arrive_like_any_others(tmp_path):
    async def main():
        cable, a, b = await pair(tmp_path)
        cable.inject(to_b=b"to b", to_a=b"to a")
        assert await receive(b, 4) == b"to b" and await receive(a, 4) == b"to a"
        await cable.stop()
        os.close(a), os.close(b)

    asyncio.run(main())
