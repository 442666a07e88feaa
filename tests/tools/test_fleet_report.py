"""tools/fleet/report.py and run.py: what a fleet says, and what is asked for wrongly."""

from __future__ import annotations

import json

import pytest

from tests.tools.test_cli import quantrac
from tools.fleet import report, run
from tools.fleet.received import Received

DELAYS = {f"{what}_{word}_ms": 12.3 for what in ("reading", "frame") for word in ("p50", "p99", "max")}
LEDGER = {"attempts": 20, "acknowledged": 20, "ok": 20, "lost": 0}
FACILITY = {
    "name": "fleet-facility", "value": 2500, "machine": "a <small> one, 2 cores", "stations": 250,
    "channels": 10,
    "interval_s": 1.0, "seconds": 60.0, "hold_ms": 2400, "delays": DELAYS, "ledger": LEDGER,
    "cpu_seconds": 7.1,
    "rss_mib": 98.0, "peak_mib": 99.0, "written_bytes_per_second": 90000, "windows": 2500, "restarts": 0,
    "senders_cpu_share": 0.07, "links": 250, "resent_frames": 0, "holds": True,
    "aims": [
        {"what": "memory", "value": 99.0, "at_most": 200.0, "holds": True},
        {"what": "delay", "value": 2100.0, "at_most": 2000.0, "holds": False},
    ],
}  # fmt: skip
ROUND = {
    "round": 1, "documents": 3000, "seconds": 9.5, "province_p99_s": 9.0, "province_max_s": 9.4,
    "national_p99_s": 3.0, "national_max_s": 3.1, "sender_cpu_s": 8.0, "sshd_cpu_s": 4.0,
    "mosquitto_cpu_s": 0.2,
}  # fmt: skip
PROVINCE = {
    "name": "fleet-province", "value": 315, "machine": "the same", "gateways": 1000, "channels": 10,
    "abreast": 16,
    "rounds": [ROUND], "servers": {"sshd": {"processes": 2001, "mib": 1800.0}}, "broker": "mosquitto",
    "bytes": {"national/windows": 1080}, "received": {"files": Received(1, 1, 1).as_dict()}, "failures": 0,
    "parked": 0, "holds": True,
}  # fmt: skip


def test_the_page_is_the_text_in_tables():
    text = report.markdown([FACILITY, PROVINCE])
    assert "| memory | 99.0 | 200.0 | holds |" in text and "| delay | 2,100.0 | 2,000.0 | missed |" in text
    assert (
        "| files | 1 | 1 | 1 | 0 | 0 | 0 |" in text
        and "2,500 readings/s" in text
        and "1,000 gateways" in text
    )
    page = report.page(text)
    assert "<td>missed</td>" in page and "&lt;small&gt;" in page and "<small>" not in page
    assert page.count("<table>") == page.count("</table>") == 6


@pytest.mark.parametrize("name", ["fleet.md", "fleet.html"])
@pytest.mark.parametrize("holds", [True, False])
def test_what_is_measured_is_printed_and_written(monkeypatch, tmp_path, name, holds):
    monkeypatch.setattr(run.facility, "run_facility", lambda asked: FACILITY | {"stations": asked.stations})
    monkeypatch.setattr(run.province, "run_province", lambda asked: PROVINCE | {"holds": holds})
    out = tmp_path / name
    more = ["--stations", 7, "--gateways", 3, "--out", out]
    status, said, _ = quantrac("simulate", "fleet", *more, "--json")
    assert status == (0 if holds else 1)
    assert [json.loads(line)["name"] for line in said.splitlines()] == ["fleet-facility", "fleet-province"]
    assert "One gateway with 7 station devices" in out.read_text() and "1,000 gateways" in out.read_text()
    assert "# A fleet" in quantrac("simulate", "fleet", *more)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--stations N"),
        (["--stations", 0], "1 to 250"),
        (["--stations", 251], "1 to 250"),
        (["--gateways", 0], "correct --gateways"),
        (["--stations", 1, "--channels", 49], "1 to 48"),
        (["--stations", 1, "--out", "fleet.pdf"], ".md or .html"),
        (["--stations", 1, "--out", "nowhere/fleet.md"], "There is no folder"),
    ],
)
def test_asked_for_wrongly(arguments, said):
    status, out, err = quantrac("simulate", "fleet", *arguments)
    assert status == 2 and out == "" and said in err
