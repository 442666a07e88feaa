"""Every profile, served on a line and read by what a station would make of it; and every trap it declares.

Each trap is shown twice: a naive reader falls into it (the control), the profile's way of reading does not.
"""

from __future__ import annotations

import asyncio
import math

import pytest

from protocol import profile_trap as trap
from protocol import quality
from protocol.errors import ConfigError, ExceptionReply
from protocol.instruments import load, names
from protocol.registers import words_of
from simulator.instruments import QUALITY_OF, Instrument, State
from tests.simulator.instruments_rig import Rig, StillClock, refused

ALL = names()
DECLARED = [(name, entry.kind) for name in ALL for entry in load(name).traps]


def can_say(profile, q, wanted):
    return any(wanted in (*s.values.values(), s.otherwise) for s in map(profile.status, q.statuses))


@pytest.mark.parametrize("name", ALL)
def test_it_is_served_and_read_back(tmp_path, name):
    """Every value as the instrument holds it, and every state as its status registers can say it."""

    async def main():
        async with Rig(tmp_path, name) as rig:
            rig.go_on()
            for id, (value, why) in (await rig.poll()).items():
                assert (quality.NAMES[why], value) == ("OK", rig.truth.current()[id][1]), id
            for state, wanted in QUALITY_OF.items():
                rig.instrument.set_state(state)
                rig.go_on()
                judged = await rig.poll()
                for q in rig.profile.quantities:
                    if can_say(rig.profile, q, wanted):
                        assert judged[q.id][1] == wanted, (state, q.id)
            rig.instrument.set_state(State.SILENT)
            assert await rig.qualities() == {quality.TIMEOUT}
            rig.instrument.set_state(State.RUNNING)
            rig.go_on()
            assert await rig.qualities() == {quality.OK}

    asyncio.run(main())


async def _false_value(rig, entry, state, expected):
    """In `state` a naive reader takes a number for a measurement; the profile knows better."""
    rig.go_on()
    chosen = [rig.profile.quantity(id) for id in entry.quantities]
    before = {q.id: (await rig.poll())[q.id][0] for q in chosen}
    rig.instrument.set_state(state)
    rig.go_on()
    judged = await rig.poll()
    for q in chosen:
        assert expected(q, await rig.naive(q), before[q.id]), q.id
        assert judged[q.id][1] != quality.OK, q.id
    return judged


async def zero(rig, entry):
    await _false_value(rig, entry, State.FAULT, lambda q, value, _: value == q.offset)


async def held(rig, entry):
    await _false_value(rig, entry, State.FAULT, lambda q, value, before: value == before)


async def nan(rig, entry):
    # a comparison written carelessly: what is not too low and not too high will do
    await _false_value(
        rig, entry, State.FAULT, lambda q, value, _: not value < q.plausible[0] and value != value
    )


async def code(rig, entry):
    await _false_value(
        rig, entry, State.FAULT, lambda q, value, _: math.isclose(value, entry.number * q.scale, rel_tol=1e-6)
    )


async def frozen(rig, entry):
    judged = await _false_value(rig, entry, State.MAINTENANCE, lambda q, value, before: value == before)
    assert {judged[id][1] for id in entry.quantities} == {quality.MAINTENANCE}


async def gas(rig, entry):
    judged = await _false_value(
        rig, entry, State.CALIBRATING, lambda q, value, _: q.plausible[0] <= value <= q.plausible[1]
    )
    assert {judged[id][1] for id in entry.quantities} == {quality.CALIBRATING}


async def saturates(rig, entry):
    for q in rig.profile.quantities:
        assert await rig.naive(q) == entry.number * q.scale
    assert await rig.qualities() == {quality.OUT_OF_RANGE}


async def start_needed(rig, entry):
    q = rig.profile.quantities[0]
    rig.go_on()
    old = (await rig.poll())[q.id][0]
    for _ in range(3):
        rig.go_on()
        assert await rig.naive(q) == old
    judged = await rig.poll()
    assert judged[q.id][0] != old and await rig.qualities() == {quality.OK}


async def startup(rig, entry):
    rig.instrument.power_up()
    rig.clock.now += rig.profile.link.startup_ms - 1
    assert await refused(rig.raw(rig.profile.quantities[0]))  # "it is broken"
    assert await rig.qualities() == {quality.TIMEOUT}  # no number, whatever it was before
    rig.clock.now += 1
    assert await rig.qualities() == {quality.OK}


async def first(rig, entry):
    rig.instrument.power_up()
    assert await refused(rig.raw(rig.profile.quantities[0]))
    rig.instrument.power_up()
    assert await rig.qualities() == {quality.OK}
    rig.unit = rig.unit._replace(retries=0)
    rig.instrument.power_up()
    assert quality.TIMEOUT in await rig.qualities()


async def slow(rig, entry):
    pdu = rig.unit.requests[0][0]
    for _ in range(50):  # a reader who gives up early, as soon as one answer came
        assert await rig.ask(pdu) is not None
        if await rig.ask(pdu, patience_s=0.1) is None:
            break
        await asyncio.sleep(0.3)
    else:
        raise AssertionError("it always answered at once")
    await rig.late()
    assert rig.unit.timeout_ms > rig.unit.gap_ms == rig.profile.link.gap_ms
    assert await rig.qualities() == {quality.OK}


async def block(rig, entry):
    q = rig.profile.quantities[0]
    with pytest.raises(ExceptionReply) as caught:
        await rig.raw(q, count=rig.profile.link.max_block + 1)
    assert caught.value.code == 3
    assert await rig.qualities() == {quality.OK}


async def single(rig, entry):
    q = rig.profile.quantities[0]
    assert await refused(rig.raw(q, count=words_of(q.type) + 1))
    assert await rig.qualities() == {quality.OK}


async def unknown(rig, entry):
    q = rig.profile.quantities[0]
    assert await rig.raw(q, register=0x5000, count=1) is None
    assert await rig.raw(q, count=words_of(q.type) + 40) is None  # a generous block
    assert await rig.qualities() == {quality.OK}


async def literal(rig, entry):
    for q in rig.profile.quantities:
        assert q.printed == str(q.register)
        base = 40001 if q.register > 40000 else 30001
        assert await refused(rig.raw(q, register=q.register - base))
    assert await rig.qualities() == {quality.OK}


SHOWN = {
    trap.ZERO: zero,
    trap.HELD: held,
    trap.NAN: nan,
    trap.CODE: code,
    trap.FROZEN: frozen,
    trap.GAS: gas,
    trap.SATURATES: saturates,
    trap.START: start_needed,
    trap.STARTUP: startup,
    trap.FIRST: first,
    trap.SLOW: slow,
    trap.BLOCK: block,
    trap.SINGLE: single,
    trap.UNKNOWN: unknown,
    trap.LITERAL: literal,
}


def test_every_kind_of_trap_is_shown_and_occurs():
    assert set(SHOWN) == set(trap.KINDS) == {kind for _, kind in DECLARED}


@pytest.mark.parametrize(("name", "kind"), DECLARED)
def test_a_trap_catches_a_naive_reader_and_not_the_profile(tmp_path, name, kind):
    async def main():
        for i, entry in enumerate(load(name).traps):
            if entry.kind == kind:
                (tmp_path / str(i)).mkdir()
                level = 600.0 if kind == trap.SATURATES else None
                async with Rig(tmp_path / str(i), name, level) as rig:
                    await SHOWN[kind](rig, entry)

    asyncio.run(main())


@pytest.mark.parametrize("name", [name for name in ALL if load(name).link.startup_ms])
def test_it_is_silent_for_startup_ms_after_power_up(tmp_path, name):
    async def main():
        async with Rig(tmp_path, name) as rig:
            await startup(rig, None)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["yosemitech-y511", "tuf-2000"])
def test_the_next_update_is_never_in_the_past(tmp_path, name):
    """The ticker sleeps until then: of an instrument that waits for its start command, too."""

    async def main():
        async with Rig(tmp_path, name) as rig:
            for _ in range(3):
                assert rig.instrument.next_update_ms() > rig.clock.now
                rig.go_on()
                rig.instrument.refresh()
                assert rig.instrument.next_update_ms() > rig.clock.now
                await rig.poll()

    asyncio.run(main())


def test_an_open_profile_is_not_served(tmp_path):
    with pytest.raises(ConfigError, match="open questions"):
        Instrument(load("eh-cm44x"), 1, [], StillClock(), None)
