"""`quantrac report` as people start it: what it writes, what it says, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.alert_states import Alert, Cause
from gateway.interruptions import CHANNEL, Interruption
from gateway.journal import database
from gateway.reports.period import between, period
from gateway.zone import DAY_MS, HOUR_MS
from protocol.checkpoint import Checkpoint
from protocol.note import Signer
from tests.gateway.period_rig import LENGTH, records, site
from tools import report as tool
from tools import report_read
from tools.people import UsageError

ROOT = Path(__file__).resolve().parents[2]
DAY = period("2026-03-25")
FILES = {
    "report.html", "report.pdf", "report.xlsx", "hours.csv", "days.csv", "exceedances.csv", "capture.csv",
    "loads.csv",
}  # fmt: skip


def run(*arguments: object, zone: str = "UTC") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", "report", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "TZ": zone},
    )  # fmt: skip


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Path:
    """Twelve days of a station, with an alert, an interruption, and one that is told again later."""
    folder = tmp_path_factory.mktemp("month")
    asked = between(period("2026-03").from_ms, period("2026-03").from_ms + 12 * DAY_MS)
    begin = asked.from_ms + 9 * HOUR_MS
    cause = (Cause("COD", begin, 1, 80.5, 75.0),)
    lasting = Interruption((CHANNEL, "pH"), begin, None, "no readings arrived")
    events = [
        Alert("COD", "raised", begin, "QCVN 40:2011 A", cause).event(),
        lasting.event(),
        Alert("COD", "cleared", begin, "QCVN", (Cause("COD", begin + HOUR_MS, 1, 70, 75),)).event(),
        lasting._replace(to_ms=begin + 2 * HOUR_MS).event(),
        Alert("COD", "raised", asked.to_ms + 30 * DAY_MS, "", cause).event(),  # of another month
    ]
    return site(folder, records(asked, 8, margin=0), events)


def written(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_it_writes_all_files_and_says_what_is_in_them(month, tmp_path):
    done = run(month, "--period", "2026-03", "--out", tmp_path / "new" / "out", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert {Path(name).name for name in said["files"]} == FILES == set(written(tmp_path / "new" / "out"))
    assert (said["reaches"], said["alerts"], said["interruptions"]) == ("2026-03-13T00:00:00+07:00", 1, 1)
    for channel in said["channels"]:
        assert round(sum(channel["capture"].values()), 2) == 100.0
    html = written(tmp_path / "new" / "out")["report.html"].decode()
    assert "09:00 01/03/2026" in html and "10:00 01/03/2026" in html  # the alert
    assert "kỳ báo cáo chưa kết thúc" in html


def test_who_acted_stands_beside_the_alert(tmp_path):
    begin = DAY.from_ms + HOUR_MS
    raised = Alert("COD", "raised", begin, "QCVN", (Cause("COD", begin, 1, 80.5, 75.0),))
    said = [
        raised,
        raised._replace(said="escalated", windows=()),
        raised._replace(said="acknowledged", windows=(), by="Nguyễn Văn A", note="rửa đầu đo"),
        raised._replace(said="cleared", windows=(Cause("COD", begin + HOUR_MS, 1, 60, 75.0),)),
    ]
    config = site(tmp_path, records(DAY, 1), [one.event() for one in said])
    (alert,) = tool.read(tool.configuration.load(config), DAY).beside.alerts
    assert (alert.value, alert.since_ms, alert.until_ms) == (80.5, begin, begin + HOUR_MS)
    assert [(one.what, one.by, one.note) for one in alert.acted] == [
        ("escalated", "", ""), ("acknowledged", "Nguyễn Văn A", "rửa đầu đo"),
    ]  # fmt: skip


def test_the_same_bytes_in_another_time_zone_and_with_one_process(month, tmp_path, monkeypatch):
    for number, zone in enumerate(("Asia/Ho_Chi_Minh", "America/New_York", "Pacific/Auckland")):
        out = tmp_path / str(number)
        assert run(month, "--period", "2026-03", "--out", out, zone=zone).returncode == 0
        assert written(out) == written(tmp_path / "0")
    for module in (tool, report_read):
        monkeypatch.setattr(module, "is_possible", lambda: False)
    assert tool.print_report(month, period("2026-03"), tmp_path / "alone", "vi", False) == 0
    assert written(tmp_path / "alone") == written(tmp_path / "0")


def test_what_the_gateway_writes_meanwhile_is_left_out(tmp_path, monkeypatch):
    """A window that is closed, and a checkpoint that is signed, between the first look and the reading."""
    config = tool.configuration.load(site(tmp_path, records(DAY, 1)))
    before = tool.read(config, DAY)
    signer = Signer("quantrac/LCa/DEMO/NUO001", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    real, done = report_read._parts, []

    def meanwhile(path, *rest):
        connection = database.connect(path)
        connection.execute("BEGIN")
        idx = connection.execute("SELECT MAX(idx) + 1 FROM entry").fetchone()[0]
        connection.execute(
            "INSERT INTO entry SELECT ?, 3, source, 0, 0, 0, arrived_ms, 0, NULL, NULL, leaf, body "
            "FROM entry WHERE idx = 0", (idx,),
        )  # fmt: skip
        connection.execute(
            "INSERT INTO window (start_ms, symbol, revision, end_ms, unit, value, quality, reason, idx, "
            "status, valid, expected, valid_share) "
            "VALUES (?, 'COD', 9, ?, 'mg/l', 1e6, 0, 'late data', ?, '00', 1, 1, 1.0)",
            (DAY.from_ms, DAY.from_ms + LENGTH, idx),
        )  # fmt: skip
        text = Checkpoint(signer.verifier.name, idx + 1, bytes(32)).text()
        signed = f"{text}\n{signer.sign(text)}".encode()
        connection.execute("INSERT INTO checkpoint VALUES (?, 0, ?)", (idx + 1, signed))
        connection.execute("COMMIT")
        connection.close()
        done.append(idx)
        return real(path, *rest)

    monkeypatch.setattr(report_read, "_parts", meanwhile)
    assert tool.summary_of(tool.read(config, DAY)) == tool.summary_of(before)
    monkeypatch.setattr(report_read, "_parts", real)
    after = tool.read(config, DAY)
    assert len(done) == 1 and after.evidence.size == done[0] + 1 and before.evidence.size == 0
    assert after.channels[0].statistics.maximum.value == 1e6  # control: the window is there


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--period", "2026-3"], "'2026-3' is no period: write"),
        (["--period", "2026-H3"], "'2026-H3' is no period: write"),
        ([], "Name one period"),
        (["--period", "2026", "--from", "2026-03-25", "--to", "2026-03-26"], "Name one period"),
        (["--from", "2026-03-25"], "Name one period"),
        (["--from", "2026-03-26", "--to", "2026-03-25"], "--to must be later than --from"),
        (["--from", "2026-03-25T10:30", "--to", "2026-03-26"], "without minutes"),
        (["--from", "yesterday", "--to", "2026-03-26"], "is no time"),
        (["--period", "2026-03", "--lang", "fr"], "write vi or en"),
    ],
)
def test_used_wrongly_is_a_sentence_and_status_2(month, tmp_path, arguments, sentence):
    done = run(month, *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_empty_period_is_a_sentence(month, tmp_path):
    done = run(month, "--period", "2025", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith("The journal holds no windows from 2025-01-01T00:00:00+07:00")
    assert not (tmp_path / "out").exists()


def test_a_journal_that_is_missing_or_damaged_is_a_sentence(tmp_path):
    config = site(tmp_path, records(DAY, 1))
    path = tmp_path / "journal.db"
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"no database at all" * 400, b"", None):
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data)
        done = run(config, "--period", "2026-03-25", "--out", tmp_path / "out")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1
        assert "journal" in done.stderr


def test_an_event_that_is_none_is_a_sentence(tmp_path):
    config = site(tmp_path, records(DAY, 1), [b"\xff no CBOR"])
    done = run(config, "--period", "2026-03-25", "--out", tmp_path / "out")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "is not as a gateway writes it" in done.stderr


def test_a_configuration_that_is_missing_is_a_sentence(tmp_path):
    done = run(tmp_path / "none.toml", "--period", "2026", "--out", tmp_path / "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_a_sentence(month, tmp_path):
    (tmp_path / "file").write_text("")
    done = run(month, "--period", "2026-03", "--out", tmp_path / "file")
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr and len(done.stderr.splitlines()) == 1


def test_help_shows_an_example():
    done = run("--help")
    assert done.returncode == 0 and "--period 2026-H1" in done.stdout


def test_a_range_and_a_day_are_asked_for():
    asked = tool.asked_period(None, "2026-03-25", "2026-03-26T05")
    assert (asked.from_ms, asked.to_ms) == (DAY.from_ms, DAY.to_ms + 5 * HOUR_MS)
    assert tool.asked_period("2026-03-25", None, None) == DAY
    with pytest.raises(UsageError):
        tool.asked_period(None, None, None)
