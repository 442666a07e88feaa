"""gateway/heartbeat.py: systemd hears of a gateway only while it works; first the rules, then the process."""

from __future__ import annotations

import asyncio
import sqlite3
from types import SimpleNamespace

import pytest

from gateway.heartbeat import REFUSED_S, SERVED_S, SILENT_S, Heartbeat
from simulator.modbus_load import serve
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import until


class Parts:
    """What a heartbeat looks at, and a clock; step() is a gateway that works for so many seconds."""

    def __init__(self, poll_ms: int = 1000):
        self.journal = SimpleNamespace(pending_entries=0, commits=0, status="", full=False)
        self.intake = SimpleNamespace(turns=0)
        line = SimpleNamespace(counters=SimpleNamespace(rows=0), polls=[SimpleNamespace(poll_ms=poll_ms)])
        self.line, self.now_s = line, 100.0
        self.heart = Heartbeat(self.journal, self.intake, {"tank": line}, lambda: self.now_s)
        assert self.heart.reason() == ""

    def step(self, seconds: float, *still: str) -> str:
        """Works on for `seconds`, but for the parts that stand `still`; what it says then."""
        self.now_s += seconds
        if "journal" not in still:
            self.journal.commits += 1
        if "intake" not in still:
            self.intake.turns += 1
        if "line" not in still:
            self.line.counters.rows += 1
        return self.heart.reason()


def test_it_beats_while_everything_moves():
    parts = Parts()
    parts.journal.pending_entries = 3  # there is always something on its way
    assert [parts.step(10) for _ in range(200)] == [""] * 200


def test_a_journal_that_says_nothing_and_moves_nothing():
    parts = Parts()
    parts.journal.pending_entries = 1
    assert parts.step(SILENT_S - 1, "journal") == ""
    assert "written nothing for 121 s" in parts.step(2, "journal")
    assert parts.step(1) == "", "it moves again"


def test_a_journal_with_nothing_to_write_may_rest():
    parts = Parts()
    assert parts.step(10 * SILENT_S, "journal") == ""


def test_a_disk_that_refuses_is_told_elsewhere_for_a_quarter_of_an_hour():
    parts = Parts()
    parts.journal.pending_entries, parts.journal.status = 5, "disk I/O error."
    assert parts.step(REFUSED_S - 1, "journal") == ""
    assert parts.step(2, "journal").endswith("901 s: disk I/O error.")


def test_windows_that_nobody_looks_at():
    parts = Parts()
    assert parts.step(SERVED_S, "intake") == ""
    assert parts.step(1, "intake") == f"No window was looked at for {SERVED_S + 1:.0f} s."


@pytest.mark.parametrize("poll_ms", [1000, 3_600_000])
def test_a_bus_that_gives_no_row_at_its_instants(poll_ms):
    parts = Parts(poll_ms)
    patience_s = SERVED_S + 2 * poll_ms / 1000
    assert parts.step(patience_s, "line") == ""
    assert parts.step(1, "line").startswith("The bus tank has given no row")
    parts.journal.full = True  # then it is told to wait
    assert parts.step(1, "line") == ""


async def beats(gateway: rig.GatewayRun, more: int = 3) -> bool:
    """Whether it beats `more` times from now on within a few seconds."""
    there = gateway.said.count("WATCHDOG=1")
    try:
        await until(lambda: gateway.said.count("WATCHDOG=1") >= there + more, 6)
    except TimeoutError:
        return False
    return True


def test_the_process_is_silent_while_its_journal_cannot_store_and_beats_again_after(tmp_path):
    async def main(port: int) -> None:
        config = rig.write_config(
            tmp_path, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"), rig.bus_channel("Flow", "tank", 0)
        )
        gateway = rig.GatewayRun(config)
        gateway.module = rig.IMPATIENT
        await gateway.start()
        try:
            await gateway.ready()
            assert await beats(gateway)
            assert gateway.said.index("READY=1") < gateway.said.index("WATCHDOG=1"), "ready comes first"
            other = sqlite3.connect(tmp_path / "gateway" / "journal.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")  # another writer, which never ends
            await until(lambda: any("stored nothing" in line for line in gateway.said))
            assert not await beats(gateway, 1)
            assert gateway.process.returncode is None, "it tells, systemd ends it"
            other.execute("ROLLBACK")
            other.close()
            assert await until(lambda: beats(gateway))
            assert await gateway.stop() == 0
            assert "STOPPING=1" in gateway.said
        finally:
            await gateway.close()

    with serve(1, 1) as (port,):
        asyncio.run(main(port))
