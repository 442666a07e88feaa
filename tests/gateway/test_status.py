"""gateway/status.py: what a real gateway says of itself, and that all its pages say the same."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import load
from gateway.metrics import exporter
from gateway.status import LATE_S
from gateway.timekeeping import Kept
from gateway.windows import Window
from protocol import quality as q
from tests.gateway import app_rig as rig
from tests.gateway.configured import HOST_KEY
from tests.gateway.intake_rig import START, hello, readings, wire


class HandTimeline:
    """Station time that stands still until it is set."""

    now_ms = START + 60_000

    def at(self, mono_ms: float) -> int:
        return self.now_ms

    def when(self, station_ms: int) -> float:
        return 0.0


@pytest.fixture
def gateway(tmp_path):
    """A gateway of every sort of part, opened and not running."""
    config = rig.write_config(
        tmp_path,
        rig.bus("tank", "modbus-tcp://127.0.0.1:1"), rig.bus_channel("Flow", "tank", 0),
        rig.bus("spare", "modbus-tcp://127.0.0.1:1"),
        rig.device(tmp_path, "st-01", "tcp-listen://127.0.0.1:1"), rig.device_channel("COD", "st-01", "cod"),
        rig.sftp(tmp_path, 22, HOST_KEY), rig.mqtt(1883, "windows", "readings"),
    )  # fmt: skip
    opened = Gateway(load(config), Clock(HandTimeline()))
    for destination in ("province", "national"):
        opened.counters.destination(destination)
    yield opened
    asyncio.run(opened.journal.close())


def all_well(gateway: Gateway) -> None:
    gateway.counters.link("st-01").connected = 1
    gateway.lines["tank"].counters.up = True
    assert gateway.status.problems() == []


def send(gateway: Gateway, destination: str, **counted) -> None:
    for name, value in counted.items():
        setattr(gateway.workers[destination].counters, name, value)


def test_at_first_what_is_not_connected_yet_is_a_problem(gateway):
    problems = gateway.status.problems()
    assert problems == [
        "The device st-01 is not connected: check its power and its cable.",
        "The bus tank is down: not connected yet.",
    ]
    assert gateway.status.sentence() == problems[0]
    all_well(gateway)
    assert gateway.status.sentence() == "all is well"


def test_each_problem_is_a_sentence(gateway):
    all_well(gateway)
    status, now_ms = gateway.status, HandTimeline.now_ms
    gateway.lines["tank"].counters.unit(1).backoff_s = 5.0
    assert status.problems() == ["On the bus tank unit 1 does not answer."]
    gateway.lines["tank"].counters.unit(1).backoff_s = 0.0

    send(gateway, "province", last_error="It cannot be reached.", oldest_unsent_ms=now_ms - 1000)
    assert status.problems() == ["The destination province is away: It cannot be reached."]
    send(gateway, "province", oldest_unsent_ms=now_ms - round(LATE_S * 1000) - 60_000)
    assert status.problems() == ["The destination province is 16 minutes behind: It cannot be reached."]
    send(gateway, "province", last_error="")  # at its first attempt after a long time off
    assert status.problems() == ["The destination province is 16 minutes behind."]
    send(gateway, "province", refused=True, last_error="It cannot be reached.")
    assert status.problems() == ["The destination province refuses us: It cannot be reached."]
    send(gateway, "province", refused=False, last_error="", connected=True, oldest_unsent_ms=None)
    assert status.problems() == []

    gateway.counters.destination("national").parked = 2
    assert status.problems() == ["2 documents for national are parked: look at `quantrac gateway parked`."]
    gateway.counters.destination("national").parked = 0

    gateway.journal.status = "The disk is full."
    assert status.problems() == ["The journal cannot store: The disk is full."]


def test_a_destination_that_catches_up_says_how_long_it_will_take(gateway, monkeypatch):
    all_well(gateway)
    status, counted, seconds = gateway.status, gateway.counters.destination("province"), [100.0]
    monkeypatch.setattr(gateway.clock, "mono_ns", lambda: round(seconds[0] * 1e9))
    behind = HandTimeline.now_ms - 3_600_000
    send(gateway, "province", oldest_unsent_ms=behind, connected=True)
    counted.queued = 4032

    def deliver(count: int, times: int) -> None:
        for _ in range(times):
            seconds[0] += 10
            counted.delivered += count
            status.problems()

    def shown() -> tuple:
        found = next(row for row in status.current()["destinations"] if row["id"] == "province")
        return found["backlog"], found["rate_per_s"], found["eta_s"]

    assert status.problems() == ["The destination province is 60 minutes behind."]
    assert shown() == (4032, None, None)
    deliver(20, 6)
    sentence = (
        "The destination province is 60 minutes behind and catches up: 3,912 documents, about 33 minutes."
    )
    assert status.problems() == [sentence] and status.sentence() == sentence
    assert shown() == (3912, 2.0, 1956.0)
    counted.queued += 900  # in a minute: more than goes
    deliver(20, 1)
    assert status.problems()[0].endswith("behind and takes less than comes: 4,792 documents wait.")
    counted.queued -= 900
    deliver(20, 1)
    send(gateway, "province", connected=False, last_error="It cannot be reached.")
    assert status.problems() == ["The destination province is 60 minutes behind: It cannot be reached."]
    assert shown()[1:] == (None, None)
    send(gateway, "province", connected=True, last_error="")
    deliver(0, 13)
    assert status.problems() == ["The destination province is 60 minutes behind."], "it stands still"
    families = exporter(status.families)().decode()
    assert 'quantrac_documents_waiting{destination="province"}' in families
    deliver(20, 2)
    families = exporter(status.families)().decode()
    assert 'quantrac_documents_rate_per_s{destination="province"} 2.0' in families
    assert 'quantrac_documents_eta_s{destination="province"}' in families


def test_a_document_under_way_for_the_first_time_is_no_problem(gateway):
    all_well(gateway)
    send(gateway, "province", oldest_unsent_ms=HandTimeline.now_ms - 5000)
    assert gateway.status.problems() == []


def test_current_shows_readings_and_windows(gateway):
    device = gateway.intake.devices["st-01"]
    moment = gateway.now()
    device.feed(wire(hello(channels=(("cod", 10_000, 0, ()),)), key=rig.KEY), moment)
    entries, _ = device.feed(wire(readings(1, 1, rows=1), key=rig.KEY), moment)
    assert len(entries) == 1
    gateway.status.closed([
        Window("COD", "mg/l", START, START + 300_000, 2, 7.125, q.OK, "00", 30, 30, 1.0, 1.0, 9.0, ""),
    ])  # fmt: skip
    current = json.loads(json.dumps(gateway.status.current()))
    assert current["t"] == "2026-03-25T07:06:00+07:00" and current["simulated_clock"] is True
    assert current["station"] == {"province": "LCa", "facility": "DEMO", "code": "NUO001", "name": "test"}
    flow, cod = current["channels"]
    assert (flow["symbol"], flow["value"], flow["quality"], flow["t"], flow["window"]) == (
        "Flow", None, "NO_DATA", None, None,
    )  # fmt: skip
    assert (cod["quality"], cod["t"]) == ("OK", "2026-03-25T07:05:00+07:00") and cod["value"] > 0
    assert cod["window"] == {
        "end": "2026-03-25T07:10:00+07:00", "value": 7.125, "status": "00", "quality": "OK",
        "valid_share": 1.0, "revision": 2,
    }  # fmt: skip
    assert cod["readings"]["read"] == cod["readings"]["open"] == 1
    assert current["problems"] == gateway.status.problems()
    assert list(current["buses"]) == ["tank"], "a bus that nothing is read from has nothing to tell"


def test_current_of_a_destination(gateway):
    counted = gateway.counters.destination("province")
    counted.queued, counted.delivered, counted.parked = 9, 5, 1
    send(gateway, "province", attempts=8, oldest_unsent_ms=HandTimeline.now_ms - 90_000, retry_in_s=2.5)
    province, national = gateway.status.current()["destinations"]
    assert province == {
        "id": "province", "connected": False, "queued": 9, "delivered": 5, "parked": 1, "backlog": 3,
        "attempts": 8, "oldest_unsent_s": 90.0, "rate_per_s": None, "eta_s": None,
        "retry_in_s": 2.5, "refused": False, "last_error": "", "paused": False,
    }  # fmt: skip
    assert national["oldest_unsent_s"] is None


def test_metrics_say_what_current_says(gateway):
    counted = gateway.counters.destination("province")
    counted.queued, counted.delivered, counted.parked = 9, 5, 1
    gateway.lines["tank"].counters.unit(1).skipped_polls = 3
    families, current = gateway.status.families(), gateway.status.current()
    page = exporter(gateway.status.families)().decode()
    for row in current["channels"]:
        assert families["readings"][1][row["symbol"]] == row["readings"]
    for row in current["destinations"]:
        numbers = families["documents"][1][row["id"]]
        assert [numbers[k] for k in ("queued", "delivered", "parked", "waiting")] == [
            row["queued"], row["delivered"], row["parked"], row["backlog"],
        ]  # fmt: skip
        assert numbers["oldest_unsent_s"] == (row["oldest_unsent_s"] or 0.0)
    for line in (
        'quantrac_documents_waiting{destination="province"} 3.0',
        'quantrac_documents_oldest_unsent_s{destination="national"} 0.0',
        'quantrac_unit_skipped_polls_total{unit="tank/1"} 3.0',
        'quantrac_bus_up{bus="tank"} 0.0',
        'quantrac_device_connected{device="st-01"} 0.0',
        "quantrac_polls_refused_total 0.0",
        "quantrac_windows_forced_total 0.0",
        "quantrac_journal_commits_total",
    ):
        assert line in page, line
    assert list(families["bus"][1]) == ["tank"]


def test_a_new_revision_of_an_older_window_is_not_the_newest(gateway):
    newer = Window("COD", "mg/l", START, START + 300_000, 1, 7.0, q.OK, "00", 30, 30, 1.0, 1.0, 9.0, "")
    gateway.status.closed([newer])
    gateway.status.closed([newer._replace(start_ms=START - 300_000, end_ms=START, revision=2, value=1.0)])
    assert gateway.status.current()["channels"][1]["window"]["value"] == 7.0
    gateway.status.closed([newer._replace(revision=2, value=8.0)])
    assert gateway.status.current()["channels"][1]["window"]["value"] == 8.0


def test_what_somebody_is_called_for_is_a_problem_with_a_rule(gateway, monkeypatch):
    """Each rule of the station itself, by the sentence that the status has for it anyway."""
    keys = {condition.key for condition in gateway.status.conditions() if condition.rule}
    assert {("no data", "st-01"), ("no data", "tank")} <= keys
    all_well(gateway)
    monkeypatch.setattr("gateway.status.FREE_BYTES_MIN", 1 << 62)
    monkeypatch.setattr(type(gateway.clock), "trusted", property(lambda clock: False))
    monkeypatch.setattr(
        type(gateway.journal), "unsigned", property(lambda journal: "No checkpoint is signed.")
    )
    found = list(gateway.status.conditions())
    assert {condition.key for condition in found} == {
        ("disk short", "gateway"), ("clock untrusted", "gateway"), ("log refused", "gateway"),
    }  # fmt: skip
    assert [condition.text for condition in found] == gateway.status.problems()
    assert gateway.status.current()["alerts"] == []


def test_a_time_server_that_was_lost_is_a_problem_and_none_at_all_is_not(gateway, monkeypatch):
    all_well(gateway)
    kept = [Kept(False, 16.0)]
    monkeypatch.setattr(gateway.clock, "kept", lambda: kept[0])
    assert gateway.status.problems() == [], "nobody ever kept it"
    kept[0] = Kept(True, 0.01)
    assert gateway.status.problems() == []
    kept[0] = Kept(False, 16.0)
    (found,) = gateway.status.conditions()
    assert found.key == ("clock untrusted", "gateway") and "chronyc tracking" in found.text
    assert gateway.status.current()["clock"] == {"trusted": True, "synchronized": False, "error_s": 16.0}
    kept[0] = None
    assert gateway.status.problems() == [], "nobody says any more"
