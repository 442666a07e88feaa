"""tools/service/upgrade.py: forwards, back by itself, back by hand; with real gateways below another root."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest

from gateway.journal.database import VERSION
from simulator.modbus_load import serve
from tests.gateway import app_rig as rig
from tests.tools import service_rig
from tests.tools.service_rig import BROKEN, NEWER, Machine, version
from tools.people import Failure, UsageError
from tools.service import health, versions
from tools.service.health import Seen
from tools.service.place import BACKUPS, OPT, Place
from tools.service.versions import Sources


@pytest.fixture(scope="module")
def instrument():
    with serve(1, 1) as (port,):
        yield port


@pytest.fixture
def machine(tmp_path, instrument, monkeypatch):
    """With version "1" running."""
    monkeypatch.setattr(health, "LOOK_S", 0.2)
    bus = rig.bus("tank", f"modbus-tcp://127.0.0.1:{instrument}") + rig.bus_channel("Flow", "tank", 0)
    made = Machine(tmp_path, bus, rig.directory(), minutes=0.4)
    try:
        yield made.begin("1")
    finally:
        made.service.stop()


def entries(machine: Machine) -> int:
    return machine.upgrade.entries()


def test_a_new_version_runs_with_the_same_journal_after_a_backup(machine):
    before = entries(machine)
    version(machine.place, "0")
    assert machine.upgrade.forward(machine.sources("2"), "", service_rig.build(), "kept")
    assert versions.current(machine.place) == "2" and versions.previous(machine.place) == "1"
    there = sorted(path.name for path in machine.place.real(OPT).iterdir())
    assert there == ["1", "2", "current", "previous"], "two versions are kept"
    assert machine.service.starts == ["1", "2"] and entries(machine) > before
    backup = machine.place.real(BACKUPS / "kept")
    assert (backup / "manifest.json").exists() and "It is healthy" in machine.said[-2]
    assert machine.said[-1] == "Older versions were removed: 0."
    assert machine.upgrade.forward(machine.sources("2"), "", service_rig.build(), "again"), "nothing to do"
    assert machine.service.starts == ["1", "2"], "it was not started again"


def test_a_version_that_breaks_is_switched_back_and_nothing_is_lost(machine):
    before = entries(machine)
    assert not machine.upgrade.forward(machine.sources("2"), "", service_rig.build(BROKEN), "kept")
    assert versions.current(machine.place) == "1" and machine.service.starts == ["1", "2", "1"]
    assert "its page does not answer" in machine.said[-2] and machine.said[-1] == "1 runs again."
    assert entries(machine) > before and machine.lacks() == ""


def test_a_version_that_breaks_after_it_changed_the_schema_is_not_switched_back_by_itself(machine):
    """Control of the one before: the older gateway is never given a journal that it cannot read."""
    hurried = machine.upgrade._replace(minutes=0.05)
    assert not hurried.forward(machine.sources("2"), "", service_rig.build(NEWER), "kept")
    assert versions.current(machine.place) == "2" and machine.service.starts == ["1", "2"]
    told = machine.said[-1]
    assert "cannot read it" in told and "quantrac gateway restore /var/backups/quantrac/kept" in told
    assert "--new-epoch" in told and "lose what was recorded since the backup" in told


def test_back_by_hand(machine):
    machine.upgrade.forward(machine.sources("2"), "", service_rig.build(), "kept")
    assert machine.upgrade.back()
    assert versions.current(machine.place) == "1" and versions.previous(machine.place) == "2"
    assert machine.upgrade.back(), "and forwards again"
    assert versions.current(machine.place) == "2"


def test_back_to_a_version_that_does_not_know_the_journal_is_refused_and_nothing_is_changed(machine):
    old = version(machine.place, "old", known=VERSION - 1)
    link = machine.place.real(versions.PREVIOUS)
    link.symlink_to(old)
    with pytest.raises(Failure) as refused:
        machine.upgrade.back()
    told = str(refused.value)
    assert f"old knows journals up to schema {VERSION - 1}, and this one has {VERSION}" in told
    assert "quantrac gateway restore" in told and versions.current(machine.place) == "1"
    assert machine.service.starts == ["1"] and machine.lacks() == ""


def test_there_is_nothing_to_go_back_to(machine):
    with pytest.raises(UsageError, match="There is no version before 1"):
        machine.upgrade.back()


def test_an_older_release_refuses_a_newer_journal_with_a_sentence(machine):
    machine.service.stop()
    connection = sqlite3.connect(machine.upgrade.journal)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    done = subprocess.run(
        machine.upgrade.command("1", "gateway", "run", str(machine.config)), capture_output=True, text=True
    )
    said = f"The journal has schema {VERSION + 1}, this program knows {VERSION}: install the newer one again."
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    connection = sqlite3.connect(machine.upgrade.journal)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION + 1, "it was left as it is"
    connection.close()


REFUSES_CHECK = """#!/bin/sh
if [ "$2" = check ]; then echo "fault: a setting of another version"; exit 2; fi
exit 1
"""
NO_BACKUP = """#!/bin/sh
if [ "$2" = backup ]; then echo "no room" >&2; exit 1; fi
exit 0
"""


def test_a_version_that_does_not_take_the_configuration_changes_nothing(machine):
    with pytest.raises(Failure, match="2 does not take the configuration, so nothing was changed"):
        machine.upgrade.forward(machine.sources("2"), "", service_rig.build(REFUSES_CHECK), "kept")
    assert versions.current(machine.place) == "1" and machine.service.starts == ["1"]
    assert not machine.place.real(BACKUPS / "kept").exists()


def test_without_a_backup_nothing_is_changed(machine):
    (machine.place.real(OPT / "1") / "bin/quantrac").write_text(NO_BACKUP)
    with pytest.raises(Failure, match="No backup could be made, so nothing was changed: no room"):
        machine.upgrade.forward(machine.sources("2"), "", service_rig.build(), "kept")
    assert versions.current(machine.place) == "1" and machine.service.starts == ["1"]


# What healthy is -------------------------------------------------------------------------------------------

WELL = Seen("NUO001", 12, "", frozenset({"bus tank", "device st-01"}))


@pytest.mark.parametrize(
    ("now", "lacking"),
    [
        (WELL, ""), (None, "page"), (WELL._replace(station="X"), "station X"),
        (WELL._replace(storing="disk full."), "disk full"), (WELL._replace(entries=11), "not grown"),
        (WELL._replace(there=frozenset({"bus tank"})), "device st-01 did not come back"),
        (WELL._replace(there=WELL.there | {"bus new"}), ""),
    ],
)  # fmt: skip
def test_healthy_is_as_well_as_before(now, lacking):
    found = health.lacks(now, WELL, "NUO001", 11)
    assert (found == "") == (lacking == "") and lacking in found


def test_waiting_ends_with_the_time_or_as_soon_as_nothing_lacks():
    clock = [0.0]
    answers = iter(["a", "b", ""])
    waited = health.wait(
        lambda: next(answers), 60, lambda: clock[0], lambda s: clock.__setitem__(0, clock[0] + s)
    )
    assert waited == "" and clock[0] == 2 * health.LOOK_S
    waited = health.wait(lambda: "c", 5, lambda: clock[0], lambda s: clock.__setitem__(0, clock[0] + s))
    assert waited == "c" and clock[0] == 9


# Versions --------------------------------------------------------------------------------------------------


def test_a_version_is_named_by_what_is_in_it(tmp_path):
    checkout = service_rig.CHECKOUT
    first = versions.sources_in(checkout)
    assert first == versions.sources_in(checkout) and first.version.startswith("0.1.0-")
    for name in (*versions.PACKAGES, *versions.BESIDE):
        (tmp_path / name).symlink_to(checkout / name)
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").write_text("another")
    with pytest.raises(UsageError, match="is no release of Quantrac"):
        versions.sources_in(tmp_path / "nothing")
    assert versions.sources_in(tmp_path).version != first.version


def test_a_version_that_could_not_be_finished_leaves_nothing_and_is_made_anew(machine):
    def half(sources: Path, folder: Path, python: str) -> None:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise Failure("the line broke")

    with pytest.raises(Failure, match="the line broke"):
        versions.make(machine.place, machine.sources("2"), "", half)
    assert not machine.place.real(OPT / "2").exists()
    machine.place.real(OPT / "2").mkdir()  # as a power cut leaves it
    with pytest.raises(Failure, match="no finished version"):
        versions.switch(machine.place, "2")
    assert versions.make(machine.place, machine.sources("2"), "", service_rig.build()).state == "made"
    assert versions.make(machine.place, machine.sources("2"), "", half).state == "same", "not made again"


def test_programs_of_a_version_that_is_made_below_another_root_find_their_python(tmp_path):
    def made(sources: Path, folder: Path, python: str) -> None:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/quantrac").write_text(f"#!{folder}/bin/python\nprint('{folder}')\n")
        (folder / "bin/other").write_text("#!/bin/sh\n")
        (folder / "bin/python").symlink_to("/usr/bin/python3")

    versions.make(Place(tmp_path), Sources(tmp_path, "1"), "", made)
    folder = tmp_path / "opt/quantrac/1/bin"
    assert (folder / "quantrac").read_text().splitlines()[0] == "#!/opt/quantrac/1/bin/python"
    assert (folder / "other").read_text() == "#!/bin/sh\n"


def test_a_python_that_a_service_does_not_see_or_that_is_too_old(tmp_path):
    with pytest.raises(UsageError, match="where a service does not see it"):
        versions.check_python("/" + "home/pi/.venv/bin/python")
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)
    with pytest.raises(UsageError, match=r"not Python 3\.11"):
        versions.check_python(str(old))
    old.write_text("#!/bin/sh\necho 3 12\n")
    versions.check_python(str(old))
