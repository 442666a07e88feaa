"""A whole device with a seal key: what a gateway takes from it verifies, nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protocol.messages import FLASH_FAULT, Event, Readings, Seal
from protocol.seal import INTERVAL_MS, KEY_SEALS, next_key
from protocol.seal_check import SEALED, UNSEALED, WRONG, check
from protocol.session import span
from simulator.stepped import HOUR, SECOND
from tests.firmware.bench import DEVICE
from tests.firmware.stepped_rig import Rig, compiled

SEAL_KEY = bytes(range(100, 132))
HEAP = os.environ.get("QUANTRAC_SOAK_HEAP", "184k")
MINUTE = 60 * SECOND


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("bytecode"), short_names=True)


class Sealed(Rig):
    """A station with a seal key; `taken` is what the gateway journaled, in order."""

    def __init__(self, tmp_path: Path, code: Path, key: str = SEAL_KEY.hex(), **more) -> None:
        super().__init__(tmp_path, code, HEAP, **more)
        if key:
            (self.directory / "seal.key").write_text(key + "\n")
        self.taken: list = []

    def _check(self, message) -> None:
        super()._check(message)
        self.taken.append(message)

    def key_file(self) -> list[str]:
        return (self.directory / "seal.key").read_text().split()


def verdicts(taken, key: bytes = SEAL_KEY) -> list:
    return list(check(taken, DEVICE, key))


def wrong(taken, key: bytes = SEAL_KEY) -> str:
    return next((verdict.text for verdict in verdicts(taken, key) if verdict.kind == WRONG), "")


def kinds(found) -> set[str]:
    return {verdict.kind for verdict in found}


@pytest.fixture(scope="module")
def hour(tmp_path_factory, code):
    """An hour with two outages, and a planned end."""
    with Sealed(tmp_path_factory.mktemp("hour"), code, seed=2) as rig:
        gateway, world = rig.gateway, rig.world
        world.run(11 * MINUTE)
        gateway.set_state("gone")
        world.run(23 * MINUTE)
        gateway.set_state("up")
        world.run(40 * MINUTE)
        gateway.set_state("cut")
        world.run(41 * MINUTE)
        gateway.set_state("up")
        world.run(HOUR)
        last = rig.drained()
        assert world.crashes == [] and rig.wrong == [] and gateway.missing() == 0
        assert last["epoch"] == 0 and last["acked"] == last["emitted"] == gateway.records
        return rig.taken, rig.key_file()


def test_all_that_a_gateway_took_is_what_was_measured(hour):
    taken, (epoch, seals, key, _) = hour
    found = verdicts(taken)
    assert kinds(found) == {SEALED}
    records = sum(last - first + 1 for _, first, last in map(span, taken))
    count = len([message for message in taken if isinstance(message, Seal)])
    assert sum(verdict.records for verdict in found) + count == records > 4000
    assert 13 <= count <= 15 and int(seals) in (count, count - 1)  # the last one may be on its way
    assert (epoch, bytes.fromhex(key)) == ("0", SEAL_KEY)
    assert isinstance(taken[0], Seal) and isinstance(taken[-1], Seal)
    stretches = [verdict.readings for verdict in found[1:-1]]
    per_interval = 12 * INTERVAL_MS // 10_000
    assert max(stretches) <= per_interval + 24


def test_any_other_bit_of_any_reading_is_found(hour):
    taken, _ = hour
    count = 0
    sealed = {i for i, message in enumerate(taken) if isinstance(message, Seal)}
    for place, message in enumerate(taken):
        if not isinstance(message, Readings):
            continue
        near = [max(i for i in sealed if i < place), min(i for i in sealed if i > place)]
        # from seal to seal: what is outside does not change the verdict (test_seal_check.py)
        before = taken[near[0] : place]
        after = taken[place + 1 : near[1] + 1]
        i = count % len(message.rows)
        row = message.rows[i]
        bits = None if row[2] is None else row[2] ^ (1 << count % 32)
        other = (row[0], row[1], bits, row[3], row[4]) if bits is not None else (row[0] ^ 1, *row[1:])
        rows = (*message.rows[:i], other, *message.rows[i + 1 :])
        assert not wrong([*before, message, *after])
        assert "changed, added, left out or swapped" in wrong([*before, message._replace(rows=rows), *after])
        count += 1
    assert count > 100


def test_a_reading_left_out_is_found(hour):
    taken, _ = hour
    place = next(i for i, message in enumerate(taken) if isinstance(message, Readings) and i > 20)
    message = taken[place]
    fewer = [*taken[:place], message._replace(rows=message.rows[:-1]), *taken[place + 1 :]]
    assert "is missing, and no sealed event" in wrong(fewer)
    assert wrong(taken[:place] + taken[place + 1 :])
    # and one that came from nowhere, with the numbers behind it made to fit
    added = [*taken[:place], message._replace(rows=(*message.rows, message.rows[-1]))]
    for later in taken[place + 1 :]:
        field = "seq" if isinstance(later, (Event, Seal)) else "first_seq"
        added.append(later._replace(**{field: getattr(later, field) + 1}))
    assert "not made with this device's key" in wrong(added)


def test_whoever_has_the_link_key_only_cannot_seal(hour):
    taken, _ = hour
    for key in (bytes(32), bytes(range(32)), next_key(SEAL_KEY)):
        assert "not made with this device's key" in wrong(taken, key)


def test_power_cuts_leave_no_more_than_an_interval_open(tmp_path, code):
    """Ten lives that end as they happen to, some with the link down; what is not sealed is said."""
    with Sealed(tmp_path, code, seed=5) as rig:
        world, gateway, draw = rig.world, rig.gateway, rig.random
        for life in range(10):
            gateway.set_state("gone" if life % 3 == 1 else "up")
            world.run(world.now_us + draw.randrange(20 * SECOND, 16 * MINUTE))
            world.restart()
        gateway.set_state("up")
        world.run(world.now_us + 6 * MINUTE)
        rig.drained()
        assert rig.wrong == [] and world.crashes == []
        found = verdicts(rig.taken)
        assert kinds(found) <= {SEALED, UNSEALED} and len(found) > 20
        for verdict in found:
            if verdict.kind == UNSEALED:
                assert verdict.readings <= 12 * INTERVAL_MS // 10_000 + 24, verdict
        seals = [message for message in rig.taken if isinstance(message, Seal)]
        assert len({message.life for message in seals}) == 11
        # a whole life cannot go, nor its end
        third = seals[0].life + 2
        assert wrong([message for message in rig.taken if message.boot != third])


@pytest.mark.timeout(300)
def test_a_day_turns_the_key_and_the_former_one_is_gone(tmp_path, code):
    with Sealed(tmp_path, code, seed=3, poll_ms=60_000) as rig:
        rig.world.run(25 * HOUR)
        epoch, _, key, _ = rig.key_file()
        last = rig.drained()
        assert (epoch, bytes.fromhex(key)) == ("1", next_key(SEAL_KEY)) and last["epoch"] == 1
        everything = b"".join(path.read_bytes() for path in rig.directory.rglob("*") if path.is_file())
        assert SEAL_KEY.hex().encode() not in everything and SEAL_KEY not in everything
        found = verdicts(rig.taken)
        assert kinds(found) == {SEALED} and {verdict.epoch for verdict in found} == {0, 1}
        assert len([verdict for verdict in found if verdict.epoch == 0]) == KEY_SEALS
        # who has the device now has the key of today: with it, yesterday cannot be sealed
        assert "not made with this device's key" in wrong(rig.taken, bytes.fromhex(key))


def test_without_a_key_nothing_is_sealed_and_a_spoilt_one_is_told(tmp_path, code):
    for key in ("", "12345"):
        folder = tmp_path / f"key{key}"
        folder.mkdir()
        with Sealed(folder, code, key) as rig:
            rig.world.run(7 * MINUTE)
            last = rig.drained()
            assert last["epoch"] is None and rig.gateway.records == last["emitted"] > 100
            faults = [event.detail for event in rig.gateway.events if event.kind == FLASH_FAULT]
            assert len(faults) == (1 if key else 0) and all("inspector" in text for text in faults)
            assert kinds(verdicts(rig.taken)) == {UNSEALED}


SKIPS = """
from firmware import sealer
_add = sealer.Sealer.add
_n = [0]
def add(self, *record):
    _n[0] += 1
    if _n[0] != 300:
        _add(self, *record)
sealer.Sealer.add = add
"""


def test_control_a_record_that_is_not_chained_is_seen(tmp_path):
    long_names = compiled(tmp_path / "code")
    with Sealed(tmp_path, long_names, prelude=SKIPS) as rig:
        rig.world.run(11 * MINUTE)
        rig.drained()
        assert "changed, added, left out or swapped" in wrong(rig.taken)
