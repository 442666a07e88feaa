"""The controls of truth.py: what is wrong in a file is seen; what a busy machine does is not taken for it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tests.system import truth
from tests.system.truth import GMT7, WINDOW_MS, Reading

START_MS = int(datetime(2026, 3, 25, 8, tzinfo=GMT7).timestamp() * 1000)
POLL_MS = 20_000
DUE = WINDOW_MS // POLL_MS
WINDOWS = 3
CLOSED = {("pH", START_MS + (i + 1) * WINDOW_MS): (i + 1) * 100 for i in range(WINDOWS)}
UPDATES = [(START_MS + i * POLL_MS, 7 + i * 29 % 45 / 64) for i in range(DUE * WINDOWS)]  # no value twice
SECOND = slice(DUE, 2 * DUE)  # the readings of the window that the cases look at
LAST = 2 * DUE - 1


def readings() -> list[Reading]:
    """What a perfect reader has: each update, half-way to the next one. An entry in each poll."""
    return [
        Reading(i // DUE * 100 + i % DUE, t + POLL_MS // 2, t + POLL_MS // 2 + 3000, True, value)
        for i, (t, value) in enumerate(UPDATES)
    ]


def mean(rows: list[Reading]) -> float:
    values = [row.value for row in rows if row.value is not None]
    return sum(values) / len(values)


def compare(directory: Path, rows: list[Reading], value: float, status: str = "00") -> None:
    """One file, of the second window."""
    stamp = datetime.fromtimestamp((START_MS + 2 * WINDOW_MS) / 1000, GMT7).strftime("%Y%m%d%H%M%S")
    path = directory / f"LCa_DEMO_NUO001_{stamp}.txt"
    path.write_bytes(f"pH\t{value:.4f}\t\t{stamp}\t{status}\r\n".encode())
    truth.compare([path], {"pH": UPDATES}, {"pH": rows}, CLOSED, {"pH": POLL_MS})


def in_time(rows: list[Reading]) -> int:
    """Of the second window."""
    return truth.in_place(rows, UPDATES, START_MS + WINDOW_MS, START_MS + 2 * WINDOW_MS)


def test_a_perfect_reader(tmp_path):
    compare(tmp_path, readings(), mean(readings()[SECOND]))
    assert in_time(readings()) == DUE


@pytest.mark.parametrize("taken", [slice(DUE, LAST), slice(DUE, LAST + 2), slice(DUE - 1, LAST)])
def test_the_control_a_mean_of_other_readings_is_seen(tmp_path, taken):
    with pytest.raises(AssertionError):
        compare(tmp_path, readings(), mean(readings()[taken]))


@pytest.mark.parametrize("off", [-0.0001, 0.0001])
def test_the_control_a_last_decimal_is_seen(tmp_path, off):
    with pytest.raises(AssertionError):
        compare(tmp_path, readings(), mean(readings()[SECOND]) + off)


def test_a_busy_machine_leaves_instants_out(tmp_path):
    """The mean of what is there is right, that of the truth is not; and three quarters are enough."""
    rows = readings()
    del rows[DUE + 3 : DUE + 6]
    assert in_time(rows) == DUE - 3
    compare(tmp_path, rows, mean(rows[DUE : LAST - 2]))
    with pytest.raises(AssertionError):
        compare(tmp_path, rows, mean(readings()[SECOND]))
    with pytest.raises(AssertionError):
        compare(tmp_path, rows, mean(rows[DUE : LAST - 2]), "02")


def test_less_than_three_quarters_is_not_good(tmp_path):
    rows = readings()
    del rows[DUE + 3 : DUE + 7]
    compare(tmp_path, rows, mean(rows[DUE : LAST - 3]), "02")
    with pytest.raises(AssertionError):
        compare(tmp_path, rows, mean(rows[DUE : LAST - 3]))


def test_a_window_without_a_reading_has_the_last_value_before(tmp_path):
    rows = readings()
    del rows[SECOND]
    compare(tmp_path, rows, UPDATES[DUE - 1][1], "02")
    with pytest.raises(AssertionError):
        compare(tmp_path, rows, UPDATES[2 * DUE][1], "02")


def test_the_control_a_value_before_anybody_has_read_one_is_seen(tmp_path):
    with pytest.raises(AssertionError, match="nobody read"):
        compare(tmp_path, readings()[2 * DUE :], 7.0, "02")


def test_what_comes_when_the_window_is_closed_is_not_in_its_file(tmp_path):
    rows = readings()
    rows.append(rows.pop(LAST)._replace(entry=205, arrived_ms=START_MS + 3 * WINDOW_MS))
    rows.sort(key=lambda row: row.time_ms)
    compare(tmp_path, rows, mean(rows[DUE:LAST]))
    with pytest.raises(AssertionError):
        compare(tmp_path, rows, mean(rows[SECOND]))


def test_a_busy_machine_reads_the_next_update(tmp_path):
    """Its stamp says the same; or the device's clock is behind, and the gateway had it when it was true."""
    rows = readings()
    late = rows[DUE + 2]._replace(value=UPDATES[DUE + 3][1])
    rows[DUE + 2] = late._replace(time_ms=late.time_ms + 11_000, arrived_ms=late.arrived_ms + 11_000)
    compare(tmp_path, rows, mean(rows[SECOND]))
    rows[DUE + 2] = late._replace(arrived_ms=late.arrived_ms + 11_000)
    compare(tmp_path, rows, mean(rows[SECOND]))


@pytest.mark.parametrize(
    "value", [UPDATES[DUE + 3][1], UPDATES[DUE][1], 7.001], ids=["of the future", "of old", "of nobody"]
)
def test_the_control_a_reading_that_is_not_true_is_seen(tmp_path, value):
    """Although the file has its readings' mean."""
    rows = readings()
    rows[DUE + 2] = rows[DUE + 2]._replace(value=value)
    with pytest.raises(AssertionError):
        compare(tmp_path, rows, mean(rows[SECOND]))


@pytest.mark.parametrize("off_ms", [-POLL_MS // 2 - 1, POLL_MS // 2])
def test_the_control_wrong_stamps_are_seen(off_ms):
    """By what the demo's own tests demand of most readings."""
    assert in_time([row._replace(time_ms=row.time_ms + off_ms) for row in readings()]) == 0
