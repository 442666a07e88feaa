"""tools/doctor: disk, clock, machine, files, journal and the whole visit. Servers: test_doctor_reach.py."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config import load
from gateway.timekeeping import Kept
from simulator.modbus_load import serve
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import running, until
from tests.gateway.configured import SAMPLE, configured, written
from tests.servers.certificates import Authority
from tests.servers.process import free_port, program
from tools.doctor import clock, disk, files, journal, machine
from tools.doctor.disk import Device, mounted
from tools.doctor.findings import FAULT, GOOD, UNKNOWN, WARNING, Finding

CARD = Device("mmcblk0", "write back", True, "ext4", ("rw", "noatime"), "/")
DISK = Device("nvme0n1", "write through", False, "ext4", ("rw", "relatime"), "/")


def levels(findings) -> list[str]:
    return [one.level for one in findings]


def only(findings) -> Finding:
    (found,) = list(findings)
    return found


# Disk ------------------------------------------------------------------------------------------------------


def times(middle: float, slow: float, most: float) -> list[float]:
    """40 flushes, ascending: the middle one, that at 95 % (number 38 of them), the slowest."""
    return [middle] * 38 + [slow] + [most]


@pytest.mark.parametrize(
    ("took", "device", "level", "word"),
    [
        (times(8, 30, 120), CARD, GOOD, "takes 8 ms"),
        (times(8, 501, 900), CARD, WARNING, "slow"),
        (times(8, 4001, 9000), CARD, FAULT, "too slow"),
        (times(0.4, 0.5, 3), CARD, WARNING, "before it can be"),
        (times(0.4, 0.5, 3), DISK, GOOD, "0.4 ms"),  # with power-loss protection it may
        (times(0.005, 0.006, 3), DISK, WARNING, "before it can be"),
    ],
)
def test_what_flushes_mean_depends_on_what_the_disk_is(took, device, level, word):
    found = next(iter(disk.judged(took, device)))
    assert (found.level, word in found.text) == (level, True), found


def test_a_real_flush_takes_time_and_leaves_nothing(tmp_path):
    took = disk.flushes(tmp_path)
    assert took == sorted(took) and 0 < len(took) <= disk.FLUSHES and took[0] > 0
    assert list(tmp_path.iterdir()) == []


def test_the_disk_of_a_folder_by_what_the_kernel_says(tmp_path):
    number = os.stat(tmp_path).st_dev
    real = tmp_path / "sys/devices/platform/mmc0/block/mmcblk0"
    (real / "queue").mkdir(parents=True)
    (real / "mmcblk0p2").mkdir()
    (real / "queue/write_cache").write_text("write through\n")
    place = tmp_path / "sys/dev/block"
    place.mkdir(parents=True)
    (place / f"{os.major(number)}:{os.minor(number)}").symlink_to(real / "mmcblk0p2")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mounts").write_text(
        "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\ntmpfs /run tmpfs rw 0 0\n"
    )
    found = disk.device_of(tmp_path, tmp_path)
    assert found == Device("mmcblk0", "write through", True, "ext4", ("rw", "noatime"), "/")


def test_the_innermost_mount_counts():
    text = "/dev/a / ext4 ro 0 0\n/dev/b /var/lib ext4 rw,noatime 0 0\n/dev/c /var/library ext4 ro 0 0\n"
    assert mounted(text, Path("/var/lib/quantrac")) == ("/var/lib", "ext4", ("rw", "noatime"))
    assert mounted("/dev/b /mnt/a\\040b ext4 rw 0 0\n", Path("/mnt/a b/x"))[0] == "/mnt/a b"


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        ({"filesystem": "tmpfs"}, FAULT, "in memory"),
        ({"filesystem": "overlay"}, WARNING, "overlay"),
        ({"options": ("ro", "noatime")}, FAULT, "read-only"),
        ({"options": ("rw", "noatime", "nobarrier")}, FAULT, "barriers"),
        ({"options": ("rw",)}, WARNING, "noatime"), ({"options": ("rw", "relatime")}, GOOD, "relatime"),
    ],
)  # fmt: skip
def test_how_it_is_mounted(change, level, word):
    found = only(disk.mount_findings(CARD._replace(**change)))
    assert found.level == level and word in found.text
    assert list(disk.mount_findings(CARD)) == []


def test_swap_on_the_disk_is_told_and_zram_is_not():
    head = "Filename Type Size Used Priority\n"
    assert "/var/swap" in only(disk.swap_findings(head + "/var/swap file 102396 0 -2\n")).text
    assert list(disk.swap_findings(head + "/dev/zram0 partition 1 0 100\n")) == []


# Clock -----------------------------------------------------------------------------------------------------

# As chrony 4.3 prints it: reference id, source, stratum, time, offset of the system's clock, ..., leap status
TRACKING = (
    "C0A80101,192.168.1.1,3,1774400000.123456789,-0.000123456,0.000001,0.000345,-12.345,-0.001,0.023,"
    "0.015432,0.000654,64.5,Normal"
)


@pytest.mark.parametrize(
    ("kept", "said", "expected"),
    [
        (Kept(True, 0.02), TRACKING, [GOOD, GOOD]),
        (Kept(True, 3.0), TRACKING, [GOOD, WARNING]),
        (Kept(False, 16.0), TRACKING.replace("Normal", "Not synchronised"), [WARNING, WARNING]),
        (Kept(True, 0.02), None, [WARNING, GOOD]),
        (Kept(True, 0.02), "", [WARNING, GOOD]),
        (Kept(True, 0.02), "506 Cannot talk to daemon", [WARNING, GOOD]),
        (None, TRACKING, [GOOD, UNKNOWN]),
    ],
)
def test_what_chrony_and_the_kernel_say(kept, said, expected):
    assert levels(clock.findings(kept, said, 2000, 1000)) == expected


def test_what_a_real_chrony_says_is_understood(tmp_path, monkeypatch):
    """One that nobody lets reach a time server, and that may not touch this machine's clock (-x)."""
    if os.geteuid() != 0:
        pytest.skip("chronyd wants root")
    port = free_port()
    settings = tmp_path / "chrony.conf"
    settings.write_text(
        f"local stratum 10\ncmdport {port}\nbindcmdaddress 127.0.0.1\nport 0\nuser root\n"
        f"pidfile {tmp_path}/pid\n"
    )
    asks = tmp_path / "chronyc"
    asks.write_text(f'#!/bin/sh\nexec {program("chronyc", "chrony")} -h 127.0.0.1 -p {port} "$@"\n')
    asks.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    daemon = subprocess.Popen(
        [program("chronyd", "chrony"), "-x", "-d", "-f", str(settings)], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            if said := clock.tracking():
                break
            time.sleep(0.1)
        assert said and len(said.split(",")) == clock.FIELDS
        found = next(iter(clock.findings(Kept(False, 16.0), said, 2000, None)))
        assert found.level == WARNING and "its own clock only" in found.text
    finally:
        daemon.terminate()
        daemon.wait()
    assert clock.tracking() == "", "it is gone, and that is told, too"


def test_chronys_source_and_distance_are_told():
    found = next(iter(clock.findings(Kept(True, 0.02), TRACKING, 2000, None)))
    assert "follows 192.168.1.1 (stratum 3), 0.1 ms away" in found.text


def test_a_clock_behind_the_journal_is_a_fault():
    found = next(iter(clock.findings(Kept(True, 0.02), TRACKING, 1000, 61_000)))
    assert found.level == FAULT and "60 s behind" in found.text
    assert FAULT not in levels(clock.findings(Kept(True, 0.02), TRACKING, 61_000, 61_000))


# Machine ---------------------------------------------------------------------------------------------------


def test_memory_that_is_left():
    assert only(machine.memory("MemTotal: 1 kB\nMemAvailable:  512000 kB\n")).level == GOOD
    assert only(machine.memory("MemAvailable:   50000 kB\n")).level == WARNING
    assert only(machine.memory("")).level == UNKNOWN


def test_a_stream_needs_its_program(tmp_path):
    rtsp = '[[camera]]\nid = "gate"\nkind = "rtsp"\nurl = "rtsp://127.0.0.1/1"\n'
    streaming = configured(tmp_path, destinations=rtsp)
    plain = configured(tmp_path)
    assert list(machine.streams(plain, "nowhere-to-be-found")) == []
    assert [each.level for each in machine.streams(streaming, "sh")] == ["good"]
    (found,) = machine.streams(streaming, "nowhere-to-be-found")
    assert found.level == "fault" and "apt install nowhere-to-be-found" in found.text and "gate" in found.text


@pytest.mark.parametrize(("milli", "level"), [(48_000, GOOD), (75_000, WARNING), (82_000, FAULT)])
def test_temperature_of_the_hottest_zone(tmp_path, milli, level):
    for number, degrees in enumerate((40_000, milli)):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(f"{degrees}\n")
    assert only(machine.temperature(tmp_path)).level == level
    assert list(machine.temperature(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("said", "level"),
    [("throttled=0x0\n", GOOD), ("throttled=0x1\n", FAULT), ("throttled=0x50005\n", FAULT),
     ("throttled=0x10000\n", WARNING), ("throttled=0x40000\n", WARNING)],
)  # fmt: skip
def test_what_a_pi_says_of_its_power(tmp_path, said, level):
    assert only(machine.power(said, tmp_path)).level == level


def test_the_voltage_monitor_alone_is_enough_and_without_both_nothing_is_said(tmp_path):
    assert list(machine.power(None, tmp_path)) == []
    monitor = tmp_path / "sys/class/hwmon/hwmon1"
    monitor.mkdir(parents=True)
    (monitor / "name").write_text("rpi_volt\n")
    (monitor / "in0_lcrit_alarm").write_text("1\n")
    assert only(machine.power(None, tmp_path)).level == FAULT


SHOWN = "LoadState=loaded\nActiveState={}\nResult={}\nNRestarts={}\nUnitFileState={}\n"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (None, [UNKNOWN]),
        ("LoadState=not-found\n", [WARNING]),
        (SHOWN.format("active", "success", 0, "enabled"), [GOOD]),
        (SHOWN.format("active", "success", 3, "enabled"), [WARNING]),
        (SHOWN.format("active", "success", 0, "disabled"), [WARNING, GOOD]),
        (SHOWN.format("activating", "watchdog", 7, "enabled"), [FAULT]),
    ],
)
def test_what_systemd_says_of_the_service(shown, expected):
    assert levels(machine.service(shown)) == expected


# Files -----------------------------------------------------------------------------------------------------


def test_a_key_that_others_can_read_is_a_fault_and_its_content_is_never_shown(tmp_path):
    config = load(written(tmp_path, SAMPLE))
    assert set(levels(files.keys(config))) == {GOOD}
    path = tmp_path / "gateway/keys/province.password"
    path.write_text("planted-secret")
    path.chmod(0o640)
    found = [one for one in files.keys(config) if one.level == FAULT]
    assert "chmod 600" in only(found).text and "planted-secret" not in str(found)
    path.unlink()
    assert "put the file there" in only(one for one in files.keys(config) if one.level == FAULT).text


@pytest.mark.parametrize(("days", "level"), [(-1, FAULT), (29, WARNING), (31, GOOD)])
def test_a_certificates_end(tmp_path, days, level):
    authority = Authority(tmp_path)
    cert, key = authority.issue("station", ends=timedelta(days=days, hours=1), client=True)
    mqtt = (
        f'[[destination]]\nid = "national"\nkind = "mqtt"\nhost = "127.0.0.1"\ntls = true\n'
        f'ca_file = "{authority.ca_file}"\ncert_file = "{cert}"\nkey_file = "{key}"\n'
    )
    config = load(written(tmp_path, SAMPLE + mqtt))
    found = {one.text.split(" ")[3]: one.level for one in files.certificates(config, Clock().now_ms())}
    assert found[str(cert)] == level
    assert found[str(authority.ca_file)] == WARNING, "the tests' authority lives for a day"


def with_port(folder: Path, path: str):
    return load(written(folder, SAMPLE.replace("/dev/ttyACM0", path)))


def test_serial_ports_are_looked_at_and_not_opened(tmp_path, monkeypatch):
    config = with_port(tmp_path, f"{tmp_path}/ttyACM0")
    assert "is not there" in only(files.ports(config)).text
    (tmp_path / "ttyACM0").touch()
    assert "is no serial port" in only(files.ports(config)).text
    controller, terminal = os.openpty()
    try:
        config = with_port(tmp_path, os.ttyname(terminal))
        for name in ("builtins.open", "os.open", "io.open"):
            monkeypatch.setattr(name, lambda *_, **__: pytest.fail("a port was opened"))
        found = only(files.ports(config))
        assert found.level == WARNING and "another port after the next start" in found.text
        monkeypatch.setattr(files, "STABLE", ("/dev/pts/",))
        assert only(files.ports(config)).level == GOOD
    finally:
        os.close(controller)
        os.close(terminal)


# Journal ---------------------------------------------------------------------------------------------------


@pytest.fixture
def lived(tmp_path) -> Path:
    """The configuration of a gateway that ran, and has signed something."""

    async def main(port: int) -> Path:
        path = rig.write_config(
            tmp_path, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"), rig.bus_channel("Flow", "tank", 0),
            rig.directory(), window_minutes=1, grace_s=0,
        )  # fmt: skip
        clock_file = tmp_path / "clock.json"
        clock_file.write_text('{"segments": [[0, 1774400000000, 60]]}')
        async with running(path, clock_file) as gateway:
            mark = tmp_path / "gateway" / "log.checkpoint"
            await until(lambda: mark.exists() and int(mark.read_text().split("\n")[1]) > 2)
            assert await gateway.stop() == 0
        return path

    with serve(1, 1) as (port,):
        return asyncio.run(main(port))


def test_a_journal_that_is_whole_and_as_it_was_signed(lived):
    found, newest_ms = journal.findings(load(lived), 1774400000000)
    told = {one.about: one for one in found}
    assert told["journal"].level == told["log"].level == GOOD and newest_ms is not None
    assert told["space"].level == UNKNOWN, "a minute of data says nothing of 60 days"


def test_control_a_journal_that_is_not_what_was_signed(lived, tmp_path):
    other = tmp_path / "gateway" / "log.checkpoint"
    lines = other.read_text().split("\n")
    other.write_text("\n".join([lines[0], "999999", *lines[2:]]))
    found, _ = journal.findings(load(lived), 1774400000000)
    assert [one.about for one in found if one.level == FAULT] == ["log"]


def test_a_journal_of_another_schema_or_none(lived, tmp_path):
    import sqlite3

    path = tmp_path / "gateway" / "journal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "install the newer one" in only(journal.findings(load(lived), 0)[0]).text
    path.unlink()
    assert only(journal.findings(load(lived), 0)[0]).level == WARNING


# The whole visit -------------------------------------------------------------------------------------------


def visit(config: Path, *more: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", "gateway", "doctor", str(config), *more],
        capture_output=True, text=True, timeout=60, **options,
    )  # fmt: skip


def test_a_wrong_configuration_is_status_2_and_every_fault(tmp_path):
    text = SAMPLE.replace("port = 2222", "port = 0").replace("window_minutes = 5", "wm = 5")
    done = visit(written(tmp_path, text))
    assert done.returncode == 2 and done.stdout.count("fault    configuration") == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_a_running_gateway_is_looked_at_and_not_disturbed(tmp_path):
    async def main(port: int) -> None:
        config = rig.write_config(
            tmp_path, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"), rig.bus_channel("Flow", "tank", 0),
            rig.directory(),
        )  # fmt: skip
        async with running(config) as gateway:
            await until(lambda: rig_polled(gateway))
            before = (await gateway.current())["buses"]["tank"]
            done = await asyncio.to_thread(visit, config, "--json")
            assert done.returncode == 0, done.stdout + done.stderr
            said = json.loads(done.stdout)
            told = {one["about"]: one["level"] for one in said["findings"] if one["level"] == GOOD}
            assert said["ok"] and {"journal", "gateway", "destination local", "memory"} <= told.keys()
            after = (await gateway.current())["buses"]["tank"]
            assert (after["connects"], after["losses"]) == (before["connects"], before["losses"])
            assert (await gateway.current())["journal"]["faults"] == 0
            assert await gateway.stop() == 0

    async def rig_polled(gateway) -> bool:
        return (await gateway.current())["buses"]["tank"]["rows"] > 3

    with serve(1, 1) as (port,):
        asyncio.run(main(port))


def test_what_is_wrong_is_status_1_with_a_sentence_each(tmp_path):
    text = SAMPLE.replace("port = 2222", f"port = {free_port()}").replace(":8099", f":{free_port()}")
    config = written(tmp_path, text.replace("port = 8080", f"port = {free_port()}"))
    done = visit(config)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    faults = [line for line in done.stdout.splitlines() if line.startswith("fault ")]
    assert {line.split(":")[0].removeprefix("fault    ") for line in faults} == {
        "device st-01", "destination province", "witness 1",
    }  # fmt: skip
    assert "ab" * 8 not in done.stdout and "secret" not in done.stdout


def test_as_root_it_becomes_the_gateways_user_and_leaves_nothing_of_roots(lived, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    nobody = pwd.getpwnam("nobody")
    base = Path("/var/tmp") / f"quantrac-doctor-{os.getpid()}"  # pytest's own folders are root's alone
    try:
        shutil.copytree(tmp_path, base, ignore=shutil.ignore_patterns("notify*"))
        for path in [base, *base.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        done = visit(base / lived.name)
        assert f"Looked at as {nobody.pw_name}" in done.stdout, done.stdout + done.stderr
        assert "good     journal" in done.stdout
        assert {path.stat().st_uid for path in base.rglob("*")} == {nobody.pw_uid}
    finally:
        shutil.rmtree(base, ignore_errors=True)
