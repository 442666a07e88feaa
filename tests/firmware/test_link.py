"""The link breaks, lies and comes back: nothing is lost, nothing doubled, nobody else sets the clock."""

import asyncio
import random

import pytest

from protocol import framing, messages
from protocol.cose import Mac0
from tests.firmware.bench import (
    DEVICE,
    KEY,
    RUNTIMES,
    Device,
    Gateway,
    T,
    open_link,
    station,
    tcp_server,
    unit,
    until,
    value,
)

HOUR_MS = 3_600_000
CASES = [(runtime, link) for runtime in RUNTIMES for link in ("serial", "tcp")]


def _units(**more) -> list[dict]:
    return [unit(9, [value(0, 0), value(1, 2), value(2, 4)], bus="lan", **{"poll_ms": 50, **more})]


@pytest.mark.parametrize("runtime, kind", CASES)
def test_a_link_that_is_cut_and_comes_back_loses_and_doubles_nothing(tmp_path, runtime, kind):
    async def main():
        gateway = Gateway()
        link = await open_link(kind, gateway, tmp_path)
        async with tcp_server({9: [1, 2, 3, 4, 5, 6, 7, 8]}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, _units(), port)).start()
            for i in range(3):
                have = len(gateway.records)
                await until(lambda: len(gateway.records) > have + 60, "readings")  # noqa: B023
                await link.cut()
                await asyncio.sleep(0.3 * i)
                await link.back()
                hellos = len(gateway.hellos)
                await until(lambda: len(gateway.hellos) > hellos, "a greeting after the cut")  # noqa: B023
            last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"] == last["acked"]
        assert last["discarded"] == 0
        assert len(gateway.events(messages.LINK_LOST)) == last["link_losses"] == 3

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_gateway_that_is_not_there_at_the_start(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            directory = station(tmp_path, link.settings, _units(), port)
            await link.cut()
            device = await Device(runtime, directory).start()
            await until(lambda: device.last.get("emitted", 0) > 30, "readings without a gateway")
            await link.back()
            await until(lambda: len(gateway.records) > 60, "the gateway gets them")
            last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"] == last["acked"]

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_lost_bytes_and_noise_cost_nothing_but_time(tmp_path, runtime):
    async def main():
        chance = random.Random(3)
        gateway = Gateway()
        link = await open_link("serial", gateway, tmp_path)
        take, give = gateway.feed, gateway.write
        link._line._on_data = lambda data: take(_damaged(chance, data))
        gateway.write = lambda data: give(_damaged(chance, data))
        async with tcp_server({9: [0] * 8}) as port:
            device = await Device(
                runtime, station(tmp_path, link.settings, _units(poll_ms=300), port)
            ).start()
            await until(lambda: len(gateway.records) > 100, "100 records over a bad line", 90)
            link._line._on_data = take
            gateway.write = give
            last = await device.stop()
        await link.close()
        assert last["discarded"] == 0, "the memory ran full: that is another test"
        assert gateway.complete() == last["emitted"] == last["acked"]
        assert last["noise"] > 0

    asyncio.run(main())


def _damaged(chance: random.Random, data: bytes) -> bytes:
    """Half of the pieces of a stream: a byte lost, a bit flipped, or noise put in."""
    hurt = bytearray(data)
    if hurt and chance.random() < 0.3:
        at = chance.randrange(len(hurt))
        what = chance.randrange(3)
        if what == 0:
            del hurt[at]
        elif what == 1:
            hurt[at] ^= 1 << chance.randrange(8)
        else:
            hurt[at:at] = chance.randbytes(chance.randrange(1, 40))
    return bytes(hurt)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_ten_megabytes_of_noise_do_nothing(tmp_path, runtime):
    async def main():
        chance = random.Random(5)
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, _units(), port)).start()
            await until(lambda: len(gateway.records) > 30, "readings")
            writer = link._writers[-1]
            for _ in range(160):
                writer.write(chance.randbytes(65536))
                await writer.drain()
            writer.write(b"\0")
            have = len(gateway.records)
            await until(lambda: len(gateway.records) > have + 30, "readings after the noise")
            last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"] == last["acked"]
        assert last["noise"] > 1000 and last["bad_frames"] == 0
        assert not gateway.events(messages.LINK_LOST)  # the link was not even opened anew
        assert not gateway.events(messages.CLOCK_STEP), gateway.events(messages.CLOCK_STEP)

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_frames_that_were_flipped_replayed_or_come_from_others_are_ignored(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, _units(), port)).start()
            await until(lambda: len(gateway.frames) > 20, "acknowledgements")
            sane = gateway.frames[:]
            gateway.mute = True  # from here on only the attacker speaks
            emitted = device.last["emitted"]
            position = messages.decode(Mac0(DEVICE, KEY).open(framing.Decoder().feed(sane[-1])[0]))
            forged = position._replace(seq=position.seq + 1000, time_ms=T + HOUR_MS)
            for key, kid in ((bytes(32), DEVICE), (KEY, "st-02")):
                gateway.write(framing.encode(Mac0(kid, key).seal(messages.encode(forged))))
            body = framing.Decoder().feed(sane[-1])[0]
            for bit in range(8 * len(body)):
                flipped = bytearray(body)
                flipped[bit // 8] ^= 1 << bit % 8
                gateway.write(framing.encode(bytes(flipped)))
            # old frames of this very greeting, and acknowledgements of what was never sent
            for frame in sane:
                gateway.write(frame)
            gateway.send(position._replace(nonce=bytes(8), time_ms=T + HOUR_MS))
            gateway.send(position._replace(seq=position.seq + 100000, time_ms=T + HOUR_MS))
            gateway.send(position._replace(time_ms=T + HOUR_MS))  # the last one once more, with another time
            await until(lambda: device.last["bad_frames"] >= 8 * len(body) + 2, "all of them were looked at")
            await until(lambda: device.last["emitted"] > emitted + 60, "it goes on measuring")
            assert device.last["acked"] == position.seq
            gateway.mute = False
            last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"] == last["acked"]
        assert last["bad_frames"] == 8 * len(body) + 2
        assert not gateway.events(messages.CLOCK_STEP)
        assert all(row[0] < T + HOUR_MS // 2 for row in gateway.rows())

    asyncio.run(main())


@pytest.mark.parametrize("runtime, kind", CASES)
def test_a_gateway_that_restarts_with_an_older_position_gets_what_is_still_held(tmp_path, runtime, kind):
    async def main():
        gateway = Gateway()
        link = await open_link(kind, gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, _units(), port)).start()
            await until(lambda: len(gateway.records) > 60, "readings")
            # it crashes with frames taken and not committed: the journal is shorter than what was sent
            await until(lambda: gateway.session.pending[1] > 80, "a position")
            boot, seq = gateway.session.durable
            gateway.session.committed = lambda *position: None
            await until(lambda: gateway.session.pending[1] > seq + 20, "frames that never reach the disk")
            for key in [key for key in gateway.records if key > (boot, seq)]:
                del gateway.records[key]
            await link.cut()
            gateway.restart(boot, seq)
            await link.back()
            await until(lambda: len(gateway.records) > seq + 60, "all of it again")
            last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"] == last["acked"]
        assert gateway.session.skipped == 0

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_gateway_that_lost_acknowledged_records_is_told_where_the_store_begins(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, _units(), port)).start()
            await until(lambda: len(gateway.records) > 100, "readings")
            await link.cut()
            gateway.records.clear()  # a new disk: the journal is empty
            gateway.restart(0, 0)
            await link.back()
            await until(lambda: len(gateway.records) > 60, "readings on the new disk")
            last = await device.stop()
        await link.close()
        first = min(gateway.records)[1]
        assert first > 100 and gateway.session.skipped == first - 1
        assert gateway.complete(first=first) + first - 1 == last["emitted"] == last["acked"]

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_flash_a_full_memory_drops_the_oldest_and_says_so(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("serial", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            directory = station(tmp_path, link.settings, _units(), port, memory_records=64)
            (directory / "log").write_text("where the records would go: a flash that cannot be used")
            device = await Device(runtime, directory).start()
            await until(lambda: len(gateway.records) > 20, "readings")
            gateway.mute = True
            await until(lambda: device.last["discarded"] > 50, "the memory is full")
            assert device.last["flash_faults"] and gateway.events(messages.FLASH_FAULT)
            assert device.last["held"] == 64
            gateway.mute = False
            await until(lambda: gateway.events(messages.DISCARDED), "the event")
            last = await device.stop()
        await link.close()
        numbers = sorted(seq for _, seq in gateway.records)
        missing = set(range(1, last["emitted"] + 1)) - set(numbers)
        assert last["held"] == 0 and last["acked"] == last["emitted"] == numbers[-1]
        # what was under way when the memory ran full may have been dropped and yet have arrived
        assert 0 < len(missing) <= last["discarded"] and gateway.doubled == 0
        assert gateway.session.skipped == len(missing)
        named = sum(int(detail.split()[0]) for _, _, detail in gateway.events(messages.DISCARDED))
        assert named == last["discarded"]

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_rows_before_the_time_is_told_carry_ticks(tmp_path, runtime):
    async def main():
        gateway = Gateway(trusted=False)
        link = await open_link("serial", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, _units(), port)).start()
            await until(lambda: len(gateway.rows()) > 60, "readings without a time")
            gateway.trusted = True
            await until(lambda: any(row[1] == 1 for row in gateway.rows()), "the time is known")
            have = len(gateway.rows())
            await until(lambda: len(gateway.rows()) > have + 60, "readings with a time")
            await device.stop()
        await link.close()
        gateway.complete()
        rows = gateway.rows(0)
        states = [row[1] for row in rows]
        assert states == sorted(states) and set(states) == {0, 1}
        before = [row[0] for row in rows if row[1] == 0]
        after = [row[0] for row in rows if row[1] == 1]
        assert before == sorted(before) and before[0] >= 0 and before[-1] < 1000 * 3600
        assert after == sorted(after) and after[0] >= T and after[-1] < T + 1000 * 3600
        assert gateway.hellos[0].clock == 0
        assert not gateway.events(messages.CLOCK_STEP)

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_clock_that_steps_is_an_event_and_polling_goes_on(tmp_path, runtime):
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        step = [0]
        gateway = Gateway(lambda: T + step[0] + int(1000 * (loop.time() - began)))
        link = await open_link("tcp", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            device = await Device(runtime, station(tmp_path, link.settings, _units(), port)).start()
            for step_ms in (0, HOUR_MS, -HOUR_MS, -86400000 * 365):
                step[0] = step_ms
                have = len(gateway.rows())
                await until(lambda: len(gateway.rows()) > have + 60, "readings")  # noqa: B023
            last = await device.stop()
        await link.close()
        assert gateway.complete() == last["emitted"]
        steps = [detail for _, _, detail in gateway.events(messages.CLOCK_STEP)]
        assert len(steps) == 3 and last["event"].startswith("CLOCK_STEP ")
        assert [
            abs(int(detail.split()[0]) - due) < 2000
            for detail, due in zip(steps, (HOUR_MS, -2 * HOUR_MS, HOUR_MS - 86400000 * 365), strict=True)
        ] == [True] * 3

    asyncio.run(main())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_why_it_started_anew_fits_the_greeting_whatever_a_bus_is_called(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            directory = station(tmp_path, link.settings, _units(), port)
            (directory / "state").mkdir()
            (directory / "state" / "reset").write_text(
                "crash: poller bờ kè của trạm quan trắc", encoding="utf-8"
            )
            device = await Device(runtime, directory).start()
            await until(lambda: len(gateway.records) > 20, "readings")
            await device.stop()
        await link.close()
        assert gateway.hellos[0].reset == "crash: poller bờ kè của tr"

    asyncio.run(main())


@pytest.mark.parametrize("seen", [41, 9000])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_boot_number_that_the_gateway_has_seen_is_replaced_by_a_new_one(tmp_path, runtime, seen):
    async def main():
        gateway = Gateway()
        gateway.restart(seen, 100000)  # what the device sent before its flash was wiped
        link = await open_link("tcp", gateway, tmp_path)
        async with tcp_server({9: [0] * 8}) as port:
            directory = station(tmp_path, link.settings, _units(), port)
            (directory / "boot").write_text("40\n")
            device = await Device(runtime, directory).start()
            await until(lambda: len(gateway.records) > 60, "readings under a new number")
            last = await device.stop()
        await link.close()
        assert last["boot"] == seen + 1
        assert gateway.complete(boot=seen + 1) == last["emitted"] == last["acked"]
        assert (directory / "boot").read_text() == f"{seen + 1}\n"

    asyncio.run(main())
