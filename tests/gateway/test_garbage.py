"""Promise 4: nothing appears that was not measured: broken, foreign and old frames into a device's ingest.

100,000 frames in every run, 100 million with QUANTRAC_LONG (FRAMES). None may become an entry, a reading or a
record held, each is counted under a name, and a good frame is taken at once afterwards.
Controls: a tag that is not checked; a session that takes what it has already.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from gateway.counters import LinkCounters
from gateway.ingest.devices import DeviceIngest, Moment
from gateway.journal.kinds import FRAME
from gateway.windows import Settings, Windows
from protocol import cose, framing
from protocol import gateway_session as session
from protocol.cose import Mac0
from protocol.messages import encode
from tests.gateway.intake_rig import KEY, NOW, OTHER_KEY, channels, hello, readings, wire
from tests.promises.counted import counted

FRAMES = 100_000_000 if os.environ.get("QUANTRAC_LONG") else 100_000
PARTS = 4
BATCH = 1000
"""Frames fed at once."""
KINDS = ("flipped", "cut", "joined", "noise", "tag", "body", "thief", "other device", "old", "ahead")
MOMENT = Moment(NOW, 0)


class Attack:
    """A device's ingest that holds records 1 to 40, and frames for it that are worth nothing."""

    def __init__(self, seed: int):
        self.random = Random(seed)
        self.windows = Windows(channels(), Settings())
        self.counters = LinkCounters()
        lane = self.windows.lanes["device/st-01"]
        self.ingest = DeviceIngest("st-01", KEY, 1, (0, 0), lane, self.counters)
        self.good = [wire(readings(1, 1 + 10 * n)) for n in range(4)]
        for data in (wire(hello()), *self.good):
            self.ingest.feed(data, MOMENT)
        self.next = readings(1, 41)
        self.body = Mac0("st-01", KEY).seal(encode(self.next))
        self.frame = framing.encode(self.body)
        self.fixed = {
            "thief": wire(self.next, key=OTHER_KEY),
            "other device": wire(self.next, device="st-02"),
            "ahead": wire(readings(1, 10_001)),
        }
        self.kinds: Counter[str] = Counter()

    def one(self, kind: str) -> bytes:
        random, frame, body = self.random.random, self.frame, self.body
        if kind == "flipped":
            return flipped(frame, int(random() * 8 * (len(frame) - 1)))
        if kind == "cut":
            return frame[: int(random() * (len(frame) - 2))] + b"\0"
        if kind == "joined":
            at = 1 + int(random() * (len(frame) - 3))
            return frame[:at] + self.random.randbytes(3) + frame[at:]
        if kind == "noise":
            return self.random.randbytes(1 + int(random() * 60)) + b"\0"
        if kind == "tag":
            return framing.encode(flipped(body, 8 * len(body) - 1 - int(random() * 64)))
        if kind == "body":
            return framing.encode(flipped(body, int(random() * 8 * len(body))))
        return self.good[int(random() * 4)] if kind == "old" else self.fixed[kind]

    def feed(self, count: int) -> None:
        """So many frames; nothing may come of them."""
        while count > 0:
            kinds = self.random.choices(KINDS, k=min(BATCH, count))
            self.kinds.update(kinds)
            data = b"".join([self.one(kind) for kind in kinds])
            entries, _ = self.ingest.feed(b"\0" + data + b"\0", MOMENT)
            assert entries == [], [kind for kind in kinds if kind in self.fixed]
            count -= len(kinds)
        self.check()

    def check(self) -> None:
        counters = self.counters
        assert counters.readings == 40 and self.ingest.session.pending == (1, 40)
        found = counters.snapshot()
        for kind, name in (("thief", "bad_tag"), ("other device", "wrong_device"), ("old", "repeats")):
            assert found[name] >= self.kinds[kind] > 0, (name, found)
        assert found["gaps"] >= self.kinds["ahead"] > 0 and found["noise"] >= self.kinds["flipped"]

    def goes_on(self) -> None:
        entries, _ = self.ingest.feed(self.frame, MOMENT)
        assert [entry[0] for entry in entries] == [FRAME] and self.counters.readings == 50


def flipped(data: bytes, bit: int) -> bytes:
    at = bit >> 3
    changed = data[at] ^ (1 << (bit & 7)) or data[at] ^ 0x80  # no zero: that would be an end
    return data[:at] + bytes((changed,)) + data[at + 1 :]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_frame_that_is_not_the_devices_own_next_one_becomes_anything(part):
    attack = Attack(part)
    attack.feed(FRAMES // PARTS)
    attack.goes_on()
    counted("inputs", FRAMES // PARTS)


def caught() -> None:
    with pytest.raises(AssertionError):
        Attack(0).feed(20_000)


def test_control_a_tag_that_is_not_checked_is_noticed(monkeypatch):
    monkeypatch.setattr(cose, "compare_digest", lambda a, b: True)
    caught()


def test_control_a_session_that_takes_what_it_has_is_noticed(monkeypatch):
    monkeypatch.setitem(session._GATEWAY, (session.OPEN, "held"), (session.OPEN, session.ACCEPT))
    caught()
