"""The comparison's own bookkeeping (tests/bench/peers): what counts as arrived, lost, doubled and wrong, and
what its page says of that. The gateways themselves are not run here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

from tests.bench.peers import report
from tests.bench.peers.arrivals import OURS, THEIRS, Count, between, ours_in, theirs_in
from tests.bench.peers.instruments import ANSWERS_MAX, Instruments, parts, value
from tests.bench.peers.thingsboard import CONSTRAINTS


def ours(*readings: tuple[int, int, float | None]) -> bytes:
    rows = [[f"I{i}Q{q}", 1_796_077_929_008, held, "00"] for i, q, held in readings]
    return json.dumps({"id": "a", "t": "2026-12-01T05:32:09.008+07:00", "rows": rows}).encode()


def theirs(*readings: tuple[int, int, float]) -> bytes:
    told: dict[str, list[dict[str, Any]]] = {}
    for i, q, held in readings:
        told.setdefault(f"I{i}", []).append({"ts": 1_796_078_187_454, "values": {f"q_{2 * q}": held}})
    return json.dumps(told).encode()


def test_a_value_says_what_it_is_and_a_float32_holds_it():
    for number, instrument, quantity in ((0, 0, 0), (ANSWERS_MAX - 1, 31, 127), (77, 9, 99)):
        whole = value(number, instrument, quantity)
        assert whole < 1 << 24 and parts(whole) == (number, instrument, quantity)


def test_both_formats_say_the_same():
    made = [(i, q, float(value(3, i, q))) for i in (0, 12) for q in (0, 99)]
    assert list(ours_in(ours(*made))) == list(theirs_in(theirs(*made))) == made
    assert list(ours_in(ours((0, 0, None)))) == []  # an instrument that did not answer gave no reading
    assert list(ours_in(b'{"id": "b", "channels": {}}')) == []  # a window


@pytest.mark.parametrize(("topic", "told"), [(OURS + "a", ours), (THEIRS, theirs)])
def test_what_comes_again_is_twice_and_what_does_not_come_is_missing(topic, told):
    count, made = Count(), [(0, q, float(value(n, 0, q))) for n in range(5) for q in range(10)]
    assert count.take(topic, told(*made[:20])) == 20
    assert count.take(topic, told(*made[10:30])) == 10
    assert (count.arrived, count.twice, count.wrong) == (30, 10, 0)
    assert len(made) - count.arrived == 20


@pytest.mark.parametrize(("topic", "told"), [(OURS + "a", ours), (THEIRS, theirs)])
def test_a_value_under_another_name_is_wrong(topic, told):
    count = Count()
    count.take(topic, told((0, 1, float(value(0, 0, 2))), (1, 0, float(value(0, 2, 0))), (0, 0, 0.5)))
    assert (count.arrived, count.wrong) == (0, 3)


def test_arrivals_between_two_times():
    assert between([(1.0, 5), (2.0, 7), (3.0, 11)], 1.0, 3.0) == 12


def test_an_instrument_never_gives_the_same_answer_twice():
    """Also to requests that are repeated, of another size, or do not begin at the first register."""
    instruments = Instruments(2, 50)
    count = Count()
    try:
        asked = 0
        for i, port in enumerate(instruments.ports):
            with ModbusTcpClient("127.0.0.1", port=port) as client:
                for address, registers in ((0, 100), (0, 100), (40, 20), (0, 10), (40, 20), (98, 2)):
                    answer = client.read_holding_registers(address, count=registers, device_id=1)
                    held = client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)
                    told = held if isinstance(held, list) else [held]
                    count.take(OURS, ours(*((i, address // 2 + n, one) for n, one in enumerate(told))))
                    asked += registers // 2
        assert (instruments.made(), count.arrived) == (asked, asked)
        assert (count.twice, count.wrong) == (0, 0)
    finally:
        instruments.silence()


def turn(task: str, who: str, **found: Any) -> dict[str, Any]:
    return {"task": task, "who": who, **found}


def results(ours_per_cpu_s: int) -> dict[str, Any]:
    both = {"made": 1000, "rss_mib": 70.0, "delivered_per_s": 9000}
    return {
        "date": "2026-11-30T23:10:00+00:00", "machine": "a machine", "commit": "abc", "command": "c",
        "versions": {"thingsboard-gateway": "3.8.5"}, "seconds": 15.0, "away_s": 60.0, "floors": {},
        "turns": [
            turn("asked", "quantrac", readings_per_cpu_s=ours_per_cpu_s, lost=0, **both),
            turn("asked", "quantrac", readings_per_cpu_s=ours_per_cpu_s + 2, lost=0, **both),
            turn("asked", "thingsboard", readings_per_cpu_s=10_000, lost=50, **both),
            turn("silent", "thingsboard", failed="it delivers nothing"),
        ],
    }  # fmt: skip


def test_the_table_takes_medians_and_judges_by_them():
    reached, missed = (report.table(results(number)) for number in (50_000, 49_990))
    assert "| readings a CPU-second | 50,001 | 10,000 | 5.00 | at least 5 times: reached |" in reached
    assert "| 49,991 | 10,000 | 5.00 | at least 5 times: **not reached** |" in missed
    assert "| lost of 100 readings made | 0.00 | 5.00 |" in reached


def test_the_page_is_written_whole(tmp_path: Path):
    report.write(tmp_path, results(50_000))
    page, chart = (tmp_path / "README.md").read_text("utf-8"), (tmp_path / "chart.svg").read_text("utf-8")
    assert "silent, thingsboard: it delivers nothing" in page
    assert "@" not in page.replace("@sha", "")
    assert chart.startswith("<svg") and "50,001" in chart


def test_what_is_installed_of_others_is_pinned_with_hashes_and_names_no_address():
    text = CONSTRAINTS.read_text("utf-8")
    assert "thingsboard-gateway==3.8." in text and "--hash=sha256:" in text and "://" not in text
