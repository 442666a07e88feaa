"""tools/demo/ledger.py: what was noted is known to the next run, whatever moment this one was killed at."""

from __future__ import annotations

import json

import pytest

from simulator.receivers import Arrival
from tools.demo.ledger import Ledger


def device(boot: int, emitted: int, acked: int, **more) -> dict:
    return {"boot": boot, "emitted": emitted, "acked": acked, **more}


def arrival(number: int) -> Arrival:
    return Arrival(f"f{number}.txt", f"a/f{number}.txt", 10, 1000 + number, again=False, renamed=True)


def test_what_one_run_noted_the_next_one_knows(tmp_path):
    ledger = Ledger(tmp_path)
    assert (ledger.emitted(), ledger.acknowledged(), ledger.arrivals(), ledger.last_ms) == ({}, {}, [], None)
    ledger.device(device(1, 10, 5))
    ledger.device(device(1, 20, 15))
    ledger.device(device(2, 3, 3, final=True))
    ledger.heartbeat(7000)
    ledger.heartbeat(6000)
    ledger.arrival(arrival(1))
    ledger.close([arrival(1), arrival(2)])  # the second came after the last look
    for known in (ledger, Ledger(tmp_path)):
        assert known.emitted() == {1: 20, 2: 3} and known.acknowledged() == {1: 15, 2: 3}
        assert known.drained() == [2] and known.last_ms == 7000
        assert known.arrivals() == ["f1.txt", "f2.txt"]


def test_the_same_line_is_noted_once(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in range(3):
        ledger.device(device(1, 10, 5))
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 1


def test_a_file_that_came_twice_is_noted_twice(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.arrival(arrival(1))
    ledger.arrival(arrival(1))
    ledger.close([arrival(1), arrival(1)])
    assert Ledger(tmp_path).arrivals() == ["f1.txt", "f1.txt"]


@pytest.mark.parametrize("cut", range(1, 40))
def test_killed_in_the_middle_of_a_line(tmp_path, cut):
    ledger = Ledger(tmp_path)
    for seq in range(3):
        ledger.device(device(1, seq * 10, seq))
        ledger.arrival(arrival(seq))
    for name in ("ledger.jsonl", "province.jsonl"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-cut])
    again = Ledger(tmp_path)
    assert again.acknowledged() == {1: 1} and again.arrivals() == ["f0.txt", "f1.txt"]
    again.device(device(2, 5, 4))
    again.arrival(arrival(9))
    third = Ledger(tmp_path)  # what was noted behind the torn line is not lost with it
    assert third.acknowledged() == {1: 1, 2: 4} and third.arrivals() == ["f0.txt", "f1.txt", "f9.txt"]
    for name in ("ledger.jsonl", "province.jsonl"):
        for line in (tmp_path / name).read_text().splitlines():
            json.loads(line)
