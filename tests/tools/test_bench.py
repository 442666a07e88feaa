"""tools/bench: short runs of the real benches, where what they claim must hold; how their verb behaves."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from simulator.broker import Broker  # noqa: F401 - the simulator's broker is what stands in for Mosquitto
from tools import bench
from tools.bench import broker as brokers
from tools.bench import bus, card, device, drain, ingest, measure, page, poll, query, receipt, report, verify
from tools.people import UsageError

FIELDS = {"name", "value", "unit", "seconds", "cpu_seconds", "rss_mib", "machine"}


def test_verify_checks_what_it_made():
    found = verify.run(1, 2000)
    assert found.keys() >= FIELDS and found["unit"] == "s"
    assert found["entries"] > 2000 and found["windows"] == 2
    assert found["value"] > 0 and found["rss_mib"] > 0


def test_receipt_checks_what_it_made(monkeypatch):
    """In a journal that has nodes of two levels: the figures are of receipts that hold."""
    monkeypatch.setattr(receipt, "RECEIPTS", 60)
    monkeypatch.setattr(receipt, "CHECKPOINTS", 3)
    found = receipt.run(1, 100_000)
    assert found.keys() >= FIELDS and found["unit"] == "ms" and found["entries"] == 100_000
    assert found["receipts"] == 60 and found["wrong"] == 0 and found["journal_bytes"] > 5_000_000
    assert 0 < found["value"] <= found["p99_ms"] <= found["max_ms"]
    assert found["cpu_ms"] > 0 and 0 < found["checkpoint_ms"] <= found["checkpoint_max_ms"]


def test_receipt_that_is_wrong_is_counted(monkeypatch):
    """Control: a receipt of another entry."""
    made = receipt.receipt
    monkeypatch.setattr(receipt, "RECEIPTS", 5)
    monkeypatch.setattr(receipt, "receipt", lambda reader, index: made(reader, index ^ 1))
    assert receipt.run(1, 1000)["wrong"] == 5


def test_ingest_loses_nothing():
    frames = 600
    found = asyncio.run(ingest._measure(frames))
    assert found.keys() >= FIELDS and found["unit"] == "readings/s"
    expected = frames * ingest.DEVICES * ingest.ROWS
    assert found["acknowledged"] == found["journaled"] == expected and found["lost"] == 0
    assert found["value"] > 0 and found["rss_mib"] > 0


def test_the_gateway_without_evidence_stores_the_same_and_signs_nothing():
    found, without = (
        asyncio.run(ingest._measure(12_000, module)) for module in ("tools.cli", ingest.WITHOUT)
    )
    assert found["lost"] == without["lost"] == 0 and found["journaled"] == without["journaled"]
    assert found["windows"] and found["checkpoints"] and without["checkpoints"] == 0


def test_card_counts_what_a_station_at_work_makes_the_gateway_write():
    found = card.run(6)
    assert found.keys() >= FIELDS and found["lost"] == 0
    assert found["value"] > found["entry_bytes_per_second"] > 100 and found["moved_later_bytes_per_second"]
    assert found["longest_wait_for_an_acknowledgement_s"] > 0
    for load in found["wired"], found["busy"]:
        assert load["readings_per_second"] > 0 and load["written_per_entry_byte"] > 1


def test_drain_delivers_everything(monkeypatch):
    monkeypatch.setattr(drain, "ROUNDS", 1)
    for kind in drain.KINDS:
        figure, cpu_s, peak_mib = drain._kind(kind, 60)
        assert figure["lost"] == 0 and figure["documents_s"] > 0 and cpu_s > 0 and peak_mib > 0


def test_poll_delivers_every_reading_once():
    found = poll._load(2, 100, 2.0)
    assert found["delivered"] == found["journaled"] > 0
    assert found["wrong"] == found["twice"] == 0
    assert found["instruments"] == 2 and found["skipped_polls"] >= 0


@pytest.mark.parametrize("kind", ["mosquitto", "the simulator's"])
def test_the_subscriber_tells_good_from_doubled_and_mixed_up(tmp_path, monkeypatch, kind):
    import paho.mqtt.publish as publish

    from simulator.modbus_load import value

    if kind != "mosquitto":
        monkeypatch.setattr(brokers.shutil, "which", lambda *_, **__: None)
    with brokers.running_broker(tmp_path) as (name, port):
        assert name == kind
        subscriber = brokers.Subscriber(port, 10)
        row = ["I3Q7", 1, value(3, 7, 5), "00"]
        for id, rows in (
            ("a", [row, ["I3Q8", 1, None, "02"]]),
            ("a", [row]),
            ("b", [["I3Q8", 1, row[2], "00"]]),
        ):
            body = json.dumps({"id": id, "t": "x", "rows": rows})
            publish.single("quantrac/t", body, qos=1, hostname="127.0.0.1", port=port)
        publish.single(
            "quantrac/t", json.dumps({"id": "c", "rows": [row, row]}), 1, hostname="127.0.0.1", port=port
        )
        subscriber.wait_for(3, 20)
        subscriber.stop()
    assert (subscriber.readings, subscriber.twice, subscriber.wrong, subscriber.messages) == (3, 1, 1, 4)


def test_cost_of_a_process():
    ours = measure.cost_of(os.getpid())
    assert 0 < ours.rss_mib <= ours.peak_mib and ours.cpu_s > 0
    sum(range(3_000_000))
    assert measure.cost_of(os.getpid()).cpu_s >= ours.cpu_s
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(OSError):
        measure.cost_of(gone.pid)
    assert "Python 3." in measure.machine() and "cores" in measure.machine()


def test_the_report_and_the_query_of_a_day_are_measured_in_a_month():
    found = report.run(1, "2026-03")
    assert set(found["files"]) == {
        "report.html", "report.pdf", "report.xlsx", "hours.csv", "days.csv", "exceedances.csv", "capture.csv",
        "loads.csv", "qal3-COD.csv", "qal3-TOC.csv",
    }  # fmt: skip
    assert found["value"] > 0 and 20 < found["rss_mib"] < 400
    found = query.run(1, "2026-03")
    assert 200 < found["rows"] < 400 and found["value"] > 0  # 288 windows a day, some with revisions


def test_the_page_is_measured_in_a_month():
    found = page.run(2, "2026-03")
    assert set(found["pages"]) == set(page.PAGES) and found["value"] > 0
    assert 20 < found["rss_mib"] < 400 and found["lookers"] == page.LOOKERS and found["core"] < 1


def test_the_verb_prints_one_object_a_bench_and_fails_when_something_was_lost(monkeypatch, capsys):
    results = {name: {} for name in bench.NAMES} | {"ingest": {"lost": 0}, "poll": {"lost": 0, "wrong": 1}}
    for name, more in results.items():
        module = __import__(f"tools.bench.{name}", fromlist=["run"])
        result = {"name": name, "value": 1234, "unit": "x", **more}
        monkeypatch.setattr(module, "run", lambda seconds, result=result: {**result, "seconds": seconds})
    assert bench.run_benches("ingest", 5, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "ingest", "value": 1234, "unit": "x", "lost": 0, "seconds": 5,
    }  # fmt: skip
    assert bench.run_benches(None, 5, as_json=True) == 1
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == list(bench.NAMES)
    with pytest.raises(UsageError, match="write one of"):
        bench.run_benches("nonsense", 5, as_json=True)


def test_the_paced_line_and_the_real_firmware_make_a_table():
    """One rate, a short while: what it counts, not how fast this machine is today."""
    found = asyncio.run(bus._measure(115200, 2.0))
    assert found["limit_per_s"] == 157.12 and 0 < found["per_s"] <= found["limit_per_s"]
    assert found["records"] > 50 and 0 < found["share_percent"] <= 100


def test_the_budget_of_the_device_has_all_its_parts(monkeypatch):
    monkeypatch.setattr(device, "MEASURE_S", 60)
    found = device.run(1)
    assert found.keys() >= FIELDS and found["unit"].startswith("% of an RP2040")
    assert round(sum(found["budget"].values()), 1) == found["value"]
    parts = {"crc16", "hmac", "cbor", "framing", "event loop", "garbage", "all else"}
    assert found["budget"].keys() == parts and 0 < found["start_s"] < 30
