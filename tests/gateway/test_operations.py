"""gateway/operations/: the dashboard and the alert rules name what a running gateway truly exposes, and each
rule fires for what it is there for and for nothing else (Prometheus' own promtool says so)."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.writer import Entry
from protocol import cbor
from simulator.modbus_load import serve
from tests.gateway.app_rig import IMPATIENT, running, until
from tests.gateway.configured import SAMPLE, written
from tests.servers.process import free_port, program

FOLDER = Path(__file__).resolve().parents[2] / "gateway" / "operations"
NAME = re.compile(r"\b(?:quantrac|process)_[a-z0-9_]+\b")
OTHERS = {"quantrac_gateway"}  # no metric: part of a command in a text


def named(text: str) -> set[str]:
    """Metrics that a text names, however it does: a rule, an expression, an annotation."""
    return set(NAME.findall(text)) - OTHERS


def dashboard() -> dict:
    return json.loads((FOLDER / "dashboard.json").read_text("utf-8"))


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory) -> set[str]:
    """Names of all samples of a gateway with an instrument, a device, a destination and a witness, that has
    two hours behind it."""
    folder = tmp_path_factory.mktemp("station")

    async def lived() -> None:
        (folder / "gateway").mkdir(mode=0o700, exist_ok=True)
        journal = Journal(folder / "gateway" / "journal.db")
        journal.open(["gateway"])
        journal.start()
        now_ms = Clock().now_ms()
        for number, at_ms in enumerate((now_ms - 7_200_000, now_ms - 1000)):
            body = cbor.dumps(["lived", number])
            source = journal.source("gateway")
            entry = Entry(EVENT, source, 0, 0, 0, at_ms, 1 + number, None, None, body)
            await journal.commit(entries=[entry], now_ms=at_ms)
        await journal.close()

    async def look(modbus_port: int) -> set[str]:
        text = SAMPLE.replace("serial:/dev/ttyACM0?baud=115200", f"tcp-listen://127.0.0.1:{free_port()}")
        text = text.replace(":5020", f":{modbus_port}").replace("port = 8080", f"port = {free_port()}")
        text = text.replace("port = 2222", f"port = {free_port()}").replace(":8099", f":{free_port()}")
        config = written(folder, text)
        await lived()
        async with running(config, module=IMPATIENT) as gateway:

            async def all_there():
                names = {name for name, _ in await gateway.metrics()}
                return names if {"disk_fits_days", "channel_value", "unit_response_ms"} <= names else None

            await until(all_there)
            return set(re.findall(r"^([a-z]\w+)[ {]", (await gateway.get("/metrics"))[1], re.MULTILINE))

    with serve(1, 2) as (port,):
        return asyncio.run(look(port))


def test_the_dashboard_names_metrics_that_are_there(exposed):
    asked = named("\n".join(expressions()))
    assert len(asked) > 25 and asked <= exposed, asked - exposed
    variable = dashboard()["templating"]["list"][1]["query"]
    assert named(variable) <= exposed


def test_the_rules_name_metrics_that_are_there(exposed):
    asked = named((FOLDER / "alerts.yml").read_text("utf-8"))
    assert len(asked) > 15 and asked <= exposed, asked - exposed


def test_control_a_metric_of_another_name_is_caught(exposed):
    text = (FOLDER / "alerts.yml").read_text("utf-8").replace("quantrac_bus_up", "quantrac_bus_is_up")
    assert named(text) - exposed == {"quantrac_bus_is_up"}


def test_every_panel_says_what_it_shows_and_lies_beside_the_others():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


# Prometheus' own judgement -------------------------------------------------------------------------------


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("promtool", "prometheus"), *arguments], capture_output=True, text=True)


def test_promtool_takes_rules_example_and_every_expression_of_the_dashboard(tmp_path):
    assert (done := promtool("check", "rules", str(FOLDER / "alerts.yml"))).returncode == 0, done.stderr
    done = promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert done.returncode == 0, done.stderr
    lines = ["groups:", "  - name: dashboard", "    rules:"]
    for number, expression in enumerate(expressions()):
        lines += [f"      - record: panel:{number}", f"        expr: {json.dumps(expression)}"]
    (tmp_path / "panels.yml").write_text("\n".join(lines))
    done = promtool("check", "rules", str(tmp_path / "panels.yml"))
    assert done.returncode == 0 and f"{len(expressions())} rules found" in done.stdout, done.stderr
    (tmp_path / "panels.yml").write_text("\n".join([*lines[:-1], '        expr: "rate(x"']))
    assert promtool("check", "rules", str(tmp_path / "panels.yml")).returncode != 0, "control"


FIRES = {  # alert -> a series that makes it fire, and one like it that does not
    "QuantracGone": ('up{job="quantrac"}', "0x180", "1x180"),
    "QuantracAlarm": ('quantrac_alerts_open{level="alarm",rule="limit"}', "1x180", "0x180"),
    "QuantracNobodyActs": ('quantrac_alerts_open{level="other",state="escalated"}', "1x180", "0x180"),
    "QuantracWarning": ('quantrac_alerts_open{level="warning",rule="near"}', "1x180", "0x180"),
    "QuantracProblem": ("quantrac_health_problems", "2x180", "0x180"),
    "QuantracChannelSilent": ('quantrac_channel_age_s{channel="COD"}', "901x180", "900x180"),
    "QuantracDeviceAway": ('quantrac_device_connected{device="st-01"}', "0x180", "1x180"),
    "QuantracBusDown": ('quantrac_bus_up{bus="tank"}', "0x180", "1x180"),
    "QuantracSendsLate": ('quantrac_documents_oldest_unsent_s{destination="p"}', "901x180", "900x180"),
    "QuantracRefused": ('quantrac_documents_refused{destination="p"}', "1x180", "0x180"),
    "QuantracParked": ('quantrac_documents_parked{destination="p"}', "1x180", "0x180"),
    "QuantracJournalFault": ("quantrac_journal_faults_total", "0x100 1x80", "3x180"),
    "QuantracDiskShort": ("quantrac_disk_fits_days", "59x180", "60x180"),
    "QuantracDiskFull": ("quantrac_disk_free_bytes", "900000000x180", "2000000000x180"),
    "QuantracClock": ("quantrac_clock_synchronized", "0x180", "1x180"),
    "QuantracWitnessBehind": ('quantrac_witness_behind_s{witness="w"}', "86401x180", "86400x180"),
    "QuantracLogDisputed": ('quantrac_witness_disputed{witness="w"}', "1x180", "0x180"),
    "QuantracRestarts": ('process_start_time_seconds{job="quantrac"}', "0+1x180", "5x180"),
    "QuantracMemory": ('process_resident_memory_bytes{job="quantrac"}', "260000000x180", "120000000x180"),
}  # fmt: skip


def rules_tested(folder: Path, rules: Path, fires: bool) -> subprocess.CompletedProcess[str]:
    """promtool's own test: after two hours exactly these alerts fire, each by its own series."""
    lines = [f"rule_files: ['{rules}']", "evaluation_interval: 1m", "tests:"]
    for alert, (series, bad, good) in FIRES.items():
        lines += ["  - interval: 1m", "    input_series:", f"      - series: '{series}'"]
        lines += [f"        values: '{bad if fires else good}'", "    promql_expr_test:"]
        lines += [
            "      - expr: 'count by (alertname) (ALERTS{alertstate=\"firing\"})'",
            "        eval_time: 2h",
        ]
        found = f"[{{labels: '{{alertname=\"{alert}\"}}', value: 1}}]" if fires else "[]"
        lines += [f"        exp_samples: {found}"]
    (folder / "tested.yml").write_text("\n".join(lines))
    return promtool("test", "rules", str(folder / "tested.yml"))


def test_each_rule_fires_for_its_own_series_and_no_other_does(tmp_path):
    done = rules_tested(tmp_path, FOLDER / "alerts.yml", fires=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (FOLDER / "alerts.yml").read_text("utf-8")
    assert set(re.findall(r"alert: (\w+)", text)) == FIRES.keys() | {"QuantracJournalStands"}


def test_no_rule_fires_at_the_good_side_of_its_limit(tmp_path):
    done = rules_tested(tmp_path, FOLDER / "alerts.yml", fires=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_journal_that_stands_needs_both_something_that_waits_and_nothing_written(tmp_path):
    lines = [f"rule_files: ['{FOLDER / 'alerts.yml'}']", "evaluation_interval: 1m", "tests:"]
    for commits, found in (("7x60", "[{labels: '{alertname=\"QuantracJournalStands\"}', value: 1}]"),
                           ("0+1x60", "[]")):  # fmt: skip
        lines += ["  - interval: 1m", "    input_series:"]
        lines += ["      - {series: 'quantrac_journal_waiting', values: '5x60'}"]
        lines += [f"      - {{series: 'quantrac_journal_commits_total', values: '{commits}'}}"]
        lines += ["    promql_expr_test:", "      - eval_time: 30m", f"        exp_samples: {found}"]
        lines += ["        expr: 'count by (alertname) (ALERTS{alertstate=\"firing\"})'"]
    (tmp_path / "tested.yml").write_text("\n".join(lines))
    done = promtool("test", "rules", str(tmp_path / "tested.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("was", "wrong"),
    [("oldest_unsent_s > 900", "oldest_unsent_s > 9000"), ("quantrac_bus_up == 0", "quantrac_bus_up == 1")],
)
def test_control_a_wrong_rule_is_caught(tmp_path, was, wrong):
    text = (FOLDER / "alerts.yml").read_text("utf-8")
    assert was in text
    (tmp_path / "wrong.yml").write_text(text.replace(was, wrong))
    assert rules_tested(tmp_path, tmp_path / "wrong.yml", fires=True).returncode != 0
