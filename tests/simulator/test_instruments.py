"""simulator/instruments.py: registers follow profile, clock and state; the truth is what they hold."""

import asyncio
import contextlib
import json
import math

import pytest

from protocol import quality, registers
from protocol.instruments import load, names
from protocol.profile import answered, ratio
from protocol.profile_ask import examples
from protocol.reading import bits_float
from simulator.clock import SimClock, mono_ms
from simulator.instruments import Instrument, Served, State, TcpInstruments, keep_updating, status_code
from simulator.signals import Shape
from simulator.truth import Truth
from tests.simulator import _rig
from tests.simulator._rig import T0_MS, TYPES, every_type, profile, quantity, tcp_client, until

SHAPE = Shape(level=50, daily=5, noise=3, low=0, high=100)


class StillClock(SimClock):
    """Station time that moves when told."""

    def __init__(self, now_ms=T0_MS):
        super().__init__()
        self.now = now_ms

    def now_ms(self):
        return self.now


@contextlib.asynccontextmanager
async def served(tmp_path, rig, clock=None, update_s=10.0, wired=None):
    """An instrument of that profile on Modbus TCP with all its quantities wired."""
    clock = clock or StillClock()
    truth = Truth(tmp_path / "truth.jsonl")
    wired = [q.id for q in rig.quantities] if wired is None else wired
    instrument = Instrument(rig, 3, [Served(q, q, SHAPE, update_s) for q in wired], clock, truth, seed=5)
    server = await TcpInstruments([instrument]).start()
    try:
        async with tcp_client(server.port) as client:
            yield instrument, client, clock, truth
    finally:
        await server.stop()
        truth.close()


def truth_of(truth):
    truth.flush()
    return [json.loads(line) for line in truth.path.read_text().splitlines()]


async def value(client, q):
    """What a master makes of a quantity's registers: float32 arithmetic like the device's."""
    reader = client.read_input_registers if q.table == "input" else client.read_holding_registers
    words = (await reader(q.register, count=registers.words_of(q.type), device_id=3)).registers
    multiply, divide = ratio(q.scale)
    return bits_float(registers.raw_bits(words, q.type, q.word_order, multiply, divide, q.offset))


def test_every_type_and_word_order_reads_as_the_truth_says(tmp_path):
    async def main():
        rig = every_type()
        async with served(tmp_path, rig) as (_, client, clock, truth):
            for _ in range(20):
                clock.now += 10_000
                read = {q.id: await value(client, q) for q in rig.quantities}
                assert {line["channel"]: line["value"] for line in truth_of(truth)[-len(TYPES) :]} == read
                assert {line["t"] for line in truth_of(truth)[-len(TYPES) :]} == {clock.now}
            assert len(read) == len(TYPES) == 24

    asyncio.run(main())


def test_integers_are_quantised_and_floats_are_not(tmp_path):
    async def main():
        rig = profile(
            quantity=[quantity("int", "int16", "ABCD", 2, scale=0.1), quantity("float", "float32", "ABCD", 4)]
        )
        async with served(tmp_path, rig) as (_, _, _, truth):
            lines = truth_of(truth)
            whole = next(line["value"] for line in lines if line["channel"] == "int")
            assert abs(whole * 10 - round(whole * 10)) < 1e-5
            exact = next(line["value"] for line in lines if line["channel"] == "float")
            assert abs(exact * 10 - round(exact * 10)) > 1e-4

    asyncio.run(main())


def test_updates_lie_on_the_grid_and_none_is_left_out(tmp_path):
    async def main():
        clock = StillClock(T0_MS + 1_234)
        async with served(tmp_path, profile(), clock, update_s=150) as (_, client, _, truth):
            clock.now += 3_600_000  # the ticker slept an hour; a read brings everything up to date
            assert await _rig.answered(client.read_holding_registers(2, count=2, device_id=3))
            times = [line["t"] for line in truth_of(truth)]
            assert times == list(range(T0_MS, T0_MS + 3_600_001, 150_000))

    asyncio.run(main())


def test_a_read_never_sees_an_older_value_than_the_clock_says(tmp_path):
    # Control: without the refresh at every read the same comparison finds the difference.
    async def main(broken):
        rig = profile()
        async with served(tmp_path, rig) as (instrument, client, clock, truth):
            if broken:
                instrument.refresh = lambda: None
            clock.now += 10_000
            seen = await value(client, rig.quantity("temp"))
            Instrument.refresh(instrument)
            return seen == truth_of(truth)[-1]["value"]

    assert asyncio.run(main(broken=False))
    (tmp_path / "truth.jsonl").unlink()
    assert not asyncio.run(main(broken=True))


def test_a_restart_goes_on_with_the_same_values(tmp_path):
    async def main(clock):
        async with served(tmp_path, profile(), clock) as (instrument, _, clock, truth):
            for _ in range(6):
                instrument.refresh()
                clock.now += 10_000
            return truth_of(truth)

    asyncio.run(main(StillClock()))
    twice = asyncio.run(
        main(StillClock(T0_MS + 40_000))
    )  # the clock overlaps: killed before its time was kept
    (tmp_path / "truth.jsonl").unlink()
    once = asyncio.run(main(StillClock()))
    assert [line["t"] for line in twice] == list(range(T0_MS, T0_MS + 100_000, 10_000))
    assert twice[:6] == once


@pytest.mark.parametrize("state", [State.CALIBRATING, State.MAINTENANCE, State.FAULT])
def test_states_show_in_the_status_register(tmp_path, state):
    async def main():
        rig = profile()
        async with served(tmp_path, rig) as (instrument, client, clock, truth):

            async def shown():
                code = (await client.read_holding_registers(0, count=1, device_id=3)).registers[0]
                return rig.statuses[0].values.get(code, rig.statuses[0].otherwise)

            assert await shown() == quality.OK
            instrument.set_state(state)
            assert quality.NAMES[await shown()] == state.value
            clock.now += 10_000
            instrument.refresh()
            assert truth_of(truth)[-1]["state"] == state.value
            instrument.set_state(State.RUNNING)
            assert await shown() == quality.OK

    asyncio.run(main())


def test_a_fault_without_status_register_is_nan_or_a_false_zero(tmp_path):
    async def main():
        rig = profile(
            status=[], quantity=[quantity("f", "float32", "CDAB", 2), quantity("i", "uint16", "ABCD", 4)]
        )
        async with served(tmp_path, rig) as (instrument, client, clock, truth):
            instrument.set_state(State.FAULT)
            clock.now += 10_000
            assert math.isnan(await value(client, rig.quantity("f")))
            assert await value(client, rig.quantity("i")) == 0.0
            assert [line["channel"] for line in truth_of(truth)[2:]] == ["i"]  # a NaN is no value

    asyncio.run(main())


def test_frozen_keeps_its_value_and_silent_does_not_answer(tmp_path):
    async def main():
        rig = profile()
        async with served(tmp_path, rig) as (instrument, client, clock, truth):
            before = await value(client, rig.quantity("temp"))
            instrument.set_state(State.FROZEN)
            clock.now += 60_000
            assert await value(client, rig.quantity("temp")) == before
            assert {line["value"] for line in truth_of(truth)} == {before}
            instrument.set_state(State.SILENT)
            assert not await _rig.answered(client.read_holding_registers(2, count=2, device_id=3))
            instrument.set_state(State.RUNNING)
            assert await value(client, rig.quantity("temp")) == before
            clock.now += 10_000
            assert await value(client, rig.quantity("temp")) != before

    asyncio.run(main())


def test_absent_units_are_silent_and_absent_registers_an_exception(tmp_path):
    async def main():
        async with served(tmp_path, profile()) as (_, client, _, _):
            assert not await _rig.answered(client.read_holding_registers(2, count=2, device_id=4))
            assert await _rig.answered(client.read_holding_registers(2, count=2, device_id=3))  # control
            assert (await client.read_holding_registers(0, count=4, device_id=3)).registers[1] == 0  # a hole
            for request in (
                client.read_holding_registers(500, count=1, device_id=3),
                client.read_input_registers(0, count=1, device_id=3),
                client.read_coils(0, count=1, device_id=3),
            ):
                assert (await request).exception_code == 2

    asyncio.run(main())


def test_bits_and_coil_starts(tmp_path):
    async def main():
        rig = profile(
            quantity=[quantity("door", "uint16", "ABCD", 21, table="discrete", plausible=[0.0, 100.0])],
            status=[
                {"id": "alarm", "table": "discrete", "register": 18, "values": {"0": "OK", "1": "FAULT"}}
            ],
            start=[{"function": 5, "register": 7, "words": [0xFF00], "wait_ms": 0}],
        )
        async with served(tmp_path, rig) as (instrument, client, _, truth):
            bits = (await client.read_discrete_inputs(18, count=4, device_id=3)).bits[:4]
            assert bits == [False, False, False, True] and truth_of(truth)[-1]["value"] == 1.0
            instrument.set_state(State.FAULT)
            assert (await client.read_discrete_inputs(18, count=1, device_id=3)).bits[0] is True
            assert not (await client.write_coil(7, True, device_id=3)).isError()
            assert instrument.starts == 1

    asyncio.run(main())


def test_start_commands_of_a_real_profile_are_obeyed(tmp_path):
    async def main():
        rig = load("aqualabo-optod")
        async with served(tmp_path, rig) as (instrument, client, _, _):
            start = rig.starts[0]
            response = await client.write_registers(start.register, list(start.words), device_id=3)
            assert not response.isError() and instrument.starts == 1
            identify = rig.identify[0]
            words = (
                await client.read_holding_registers(identify.register, count=identify.words, device_id=3)
            ).registers
            assert bytes(b for w in words for b in divmod(w, 256)).rstrip(b"\0").decode() == identify.equals

    asyncio.run(main())


@pytest.mark.parametrize("name", names())
def test_every_profile_can_be_served_and_says_ok(tmp_path, name):
    rig = load(name)
    rig = answered(rig, examples(rig.asks))
    truth = Truth(tmp_path / "truth.jsonl")
    clock = StillClock()
    shape = [(q, Shape(level=sum(q.plausible) / 2)) for q in rig.quantities]
    instrument = Instrument(rig, 1, [Served(q.id, q.id, s, q.update_s) for q, s in shape], clock, truth)
    for state in State:
        instrument.set_state(state)
        clock.now += round(1000 * max(q.update_s for q in rig.quantities))
        instrument.refresh()
    instrument.set_state(State.RUNNING)
    for status in rig.statuses:
        words = [
            instrument._words[status.table][status.register + i]
            for i in range(registers.words_of(status.type))
        ]
        code = registers.decode(words, status.type, "ABCD") & status.mask
        assert status.values.get(code, status.otherwise) == quality.OK, status.id
    truth.close()


def test_only_the_status_that_can_say_it_does():
    rig = load("teledyne-t300")
    says = {s.id: [quality.NAMES[q] for q in range(4) if status_code(s, q) is not None] for s in rig.statuses}
    assert says["zero"] == ["OK", "CALIBRATING"] and says["invalid"] == ["OK", "FAULT"]
    assert status_code(rig.status("system-ok"), quality.OK) == 1


def test_the_ticker_writes_truth_without_any_reader(tmp_path):
    async def main():
        clock = SimClock.from_segments([[int(mono_ms()), T0_MS, 300]])
        truth = Truth(tmp_path / "truth.jsonl")
        wired = [Served("temp", "Temp", SHAPE, 10)]
        instrument = Instrument(profile(), 1, wired, clock, truth)
        ticker = asyncio.create_task(keep_updating([instrument], clock, truth))
        await until(lambda: truth.lines > 30, "updates")
        ticker.cancel()
        times = [line["t"] for line in truth_of(truth)]
        assert times == list(range(times[0], times[0] + len(times) * 10_000, 10_000))
        truth.close()

    asyncio.run(main())


def test_a_taken_port_is_an_error_that_says_so(tmp_path):
    async def main():
        async with served(tmp_path, profile()) as (instrument, client, _, _):
            with pytest.raises(OSError, match="choose another port"):
                await TcpInstruments([instrument], port=client.comm_params.port).start()

    asyncio.run(main())
