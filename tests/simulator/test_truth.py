"""simulator/truth.py: one line an update, also over a restart."""

import json

from simulator.truth import Truth


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_have_the_promised_shape(tmp_path):
    truth = Truth(tmp_path / "truth.jsonl")
    truth.write(1000, "pH", 7.25)
    truth.write(1000, "Nhiệtđộ", 28.5, state="FAULT")
    truth.flush()
    assert lines(truth.path) == [
        {"t": 1000, "channel": "pH", "value": 7.25},
        {"t": 1000, "channel": "Nhiệtđộ", "value": 28.5, "state": "FAULT"},
    ]
    assert truth.current() == {"pH": (1000, 7.25), "Nhiệtđộ": (1000, 28.5)} and truth.lines == 2
    truth.close()


def test_a_restart_appends_and_repeats_nothing(tmp_path):
    path = tmp_path / "truth.jsonl"
    first = Truth(path)
    for t in range(0, 50_000, 10_000):
        first.write(t, "pH", t / 1000)
    first.close()
    with path.open("a") as file:
        file.write('{"t":50000,"chan')  # killed while writing
    second = Truth(path)
    for t in range(30_000, 80_000, 10_000):
        second.write(t, "pH", t / 1000)
    second.close()
    assert [line["t"] for line in lines(path)] == list(range(0, 80_000, 10_000))


def test_a_long_file_is_resumed_from_its_tail(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.truth.TAIL_BYTES", 500)
    path = tmp_path / "truth.jsonl"
    first = Truth(path)
    for t in range(1000):
        first.write(t, "pH", 7.0)
    first.close()
    second = Truth(path)
    second.write(999, "pH", 7.0)
    second.write(1000, "pH", 7.0)
    second.close()
    assert [line["t"] for line in lines(path)] == list(range(1001))
