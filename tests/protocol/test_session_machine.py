"""The session under faults: Hypothesis chooses what happens, _world.py says what must hold.

$QUANTRAC_EXAMPLES is the number of runs of 60 faults each (long runs take more than the usual 400).
The controls at the end are sessions and stores with one rule broken; the same check must catch each of them.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from protocol.gateway_session import GatewaySession
from protocol.session import DeviceSession, span
from tests.promises.counted import counted
from tests.protocol._store import Store
from tests.protocol._world import ACK_TIMEOUT_MS, World

places = st.integers(0, 1000)


class SessionMachine(RuleBasedStateMachine):
    parts = {}  # noqa: RUF012  (controls put their broken class here)

    def __init__(self):
        super().__init__()
        self.world = World(**self.parts)

    @rule(count=st.integers(1, 9), kind=st.sampled_from((0, 0, 0, 1, 2)))
    def make(self, count, kind):
        self.world.make(count, kind)

    @rule(ms=st.sampled_from((1, ACK_TIMEOUT_MS, 1000, 8000)))
    def time_passes(self, ms):
        self.world.now += ms

    @rule()
    def link_up(self):
        self.world.link_up()

    @rule(losing=st.booleans())
    def link_down(self, losing):
        self.world.link_down(losing)

    @rule()
    def device_sends(self):
        self.world.send()

    @rule(batch=st.integers(1, 6))
    def batches_change(self, batch):
        self.world.store.batch_rows = batch

    @precondition(lambda self: self.world.to_gateway)
    @rule(count=st.integers(1, 5))
    def gateway_receives(self, count):
        for _ in range(min(count, len(self.world.to_gateway))):
            self.world.gateway_receives()

    @precondition(lambda self: self.world.to_device)
    @rule(count=st.integers(1, 5))
    def device_receives(self, count):
        for _ in range(min(count, len(self.world.to_device))):
            self.world.device_receives()

    @precondition(lambda self: self.world.taken)
    @rule()
    def commit(self):
        self.world.commit()

    @rule()
    def a_good_moment(self):
        self.world.good_moment()

    @precondition(lambda self: self.world.to_gateway)
    @rule(place=places)
    def overtakes_on_the_way_to_the_gateway(self, place):
        self.world.gateway_receives(place % len(self.world.to_gateway))

    @precondition(lambda self: self.world.to_device)
    @rule(place=places)
    def overtakes_on_the_way_to_the_device(self, place):
        self.world.device_receives(place % len(self.world.to_device))

    @precondition(lambda self: self.world.to_gateway)
    @rule(place=places)
    def lost_on_the_way_to_the_gateway(self, place):
        self.world.to_gateway.pop(place % len(self.world.to_gateway))

    @precondition(lambda self: self.world.to_device)
    @rule(place=places)
    def lost_on_the_way_to_the_device(self, place):
        self.world.to_device.pop(place % len(self.world.to_device))

    @precondition(lambda self: self.world.recorded)
    @rule(place=places)
    def doubled_or_replayed(self, place):
        queue, message = self.world.recorded[place % len(self.world.recorded)]
        getattr(self.world, queue).append(message)

    @rule(rise=st.integers(1, 3), flash=st.booleans())
    def device_restarts(self, rise, flash):
        self.world.restart_device(rise, flash)

    @rule()
    def gateway_restarts(self):
        self.world.restart_gateway()

    @rule()
    def journal_fails(self):
        self.world.fail_journal()

    @invariant()
    def holds(self):
        self.world.check()

    def teardown(self):
        self.world.drain()


EXAMPLES = int(os.environ.get("QUANTRAC_EXAMPLES", "400"))
SETTINGS = settings(
    max_examples=EXAMPLES, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_nothing_is_lost_doubled_or_out_of_order():
    run_state_machine_as_test(SessionMachine, settings=SETTINGS)


def test_the_same_with_a_small_store_that_overflows():
    class Overflowing(SessionMachine):
        parts = {"capacity": 7}  # noqa: RUF012

    run_state_machine_as_test(Overflowing, settings=SETTINGS)


# ---- Controls


class FreesBeforeAck(DeviceSession):
    def next(self, now):
        message = super().next(now)
        if message is not None and span(message):
            boot, _, last = span(message)
            self._store.release(boot, last)
        return message


class ChecksNoDuplicates(GatewaySession):
    def _input(self, message):
        happened = super()._input(message)
        return "next" if happened == "held" else happened


class AcknowledgesBeforeCommit(GatewaySession):
    def receive(self, message):
        verdict = super().receive(message)
        self.durable = self.pending
        return verdict


class AcceptsWithGaps(GatewaySession):
    def _input(self, message):
        happened = super()._input(message)
        return "next" if happened == "beyond" else happened


class DoesNotWaitForOlderBoots(Store):
    def batch(self, boot, seq):
        found = super().batch(boot, seq)
        later = [record[:2] for record in self.records if record[0] > boot]
        return super().batch(*later[0]) if found is None and later else found


CONTROLS = {
    "free before ACK": {"device": FreesBeforeAck},
    "no duplicate check": {"gateway": ChecksNoDuplicates},
    "ACK before commit": {"gateway": AcknowledgesBeforeCommit},
    "gaps accepted": {"gateway": AcceptsWithGaps},
    "next boot before the older one is acknowledged": {"store": DoesNotWaitForOlderBoots},
}


def first_failure(parts, runs):
    """Number and text of the first seed whose run breaks a rule."""
    for seed in range(runs):
        try:
            World(**parts).random_run(random.Random(seed))
        except AssertionError as error:
            return seed, str(error)
    return None


def test_seeded_runs():
    assert first_failure({}, 1000) is None
    assert first_failure({"capacity": 7}, 500) is None
    counted("session runs", 1500)


@pytest.mark.parametrize("name", CONTROLS)
def test_control(name):
    found = first_failure(CONTROLS[name], 4000)
    assert found is not None, "broken, and not caught"
    assert any(words in found[1] for words in ("acknowledged and not", "journaled twice", "did not drain"))


def the_end_of_an_old_boot_is_lost_on_the_way(store):
    world = World(store=store)
    world.make(6)
    world.restart_device(1, True)
    world.make(4)
    world.link_up()
    world.send()
    world.gateway_receives()
    world.device_receives()
    world.send()
    world.to_gateway.pop(1)  # records 5 and 6 of boot 1
    while world.to_gateway:
        world.gateway_receives()
    world.commit()
    while world.to_device:
        world.device_receives()
    world.check()
    world.drain()


def test_the_next_boot_waits_until_the_older_one_is_acknowledged():
    the_end_of_an_old_boot_is_lost_on_the_way(Store)


def test_control_the_next_boot_does_not_wait():
    with pytest.raises(AssertionError, match="acknowledged and not on disk"):
        the_end_of_an_old_boot_is_lost_on_the_way(DoesNotWaitForOlderBoots)
