"""tools/service/unit.py: systemd's own judgement of the unit, and what the gateway asks of the kernel."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest

from simulator.modbus_load import serve
from tests.gateway import app_rig as rig
from tests.gateway.app_rig import until
from tests.gateway.configured import HOST_KEY
from tests.servers.process import free_port, program
from tools.service.place import CURRENT, UNIT
from tools.service.unit import unit
from tools.service.wanted import Wanted

WANTED = Wanted(
    Path("/etc/quantrac/config.toml"), "NUO001", Path("/var/lib/quantrac/NUO001"), (Path("/mnt/a b"),),
    ("ttyACM", "ttyUSB"), False, ("province-password",), (), ("127.0.0.1", 8080),
)  # fmt: skip
EXPOSURE_MAX = 25
"""Tenths of systemd's measure (0 to 100): "OK" begins at 40; what is left is the network and serial ports."""


def analyzed(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze ARGUMENTS FILE`; the command is one that is there."""
    path = folder / UNIT
    path.write_text(text.replace(f"{CURRENT}/bin/quantrac", "/bin/true"))
    command = [program("systemd-analyze", "systemd"), *arguments, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_systemd_takes_it_without_a_word(tmp_path):
    done = analyzed(tmp_path, unit(WANTED, 252), "verify")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    "wrong",
    [("WatchdogSec=60", "WatchdogSec=soon"), ("ProtectSystem=strict", "ProtectSytem=strict"),
     ("@system-service", "@system-servcie")],
)  # fmt: skip
def test_control_a_setting_that_is_none_is_caught(tmp_path, wrong):
    done = analyzed(tmp_path, unit(WANTED, 252).replace(*wrong), "verify")
    assert wrong[1].split("=")[-1][:6] in done.stderr or "ProtectSytem" in done.stderr


def exposure(folder: Path, text: str) -> bool:
    """Whether systemd finds it shut in well enough."""
    options = ("security", "--offline=true", f"--threshold={EXPOSURE_MAX}")
    return analyzed(folder, text, *options).returncode == 0


def test_it_is_shut_in_by_systemds_own_measure(tmp_path):
    assert exposure(tmp_path, unit(WANTED, 252))
    assert exposure(tmp_path, unit(WANTED._replace(serial=()), 252))


@pytest.mark.parametrize("left_out", ["CapabilityBoundingSet=", "SystemCallFilter="])
def test_control_a_unit_that_is_open_is_caught(tmp_path, left_out):
    kept = [line for line in lines(WANTED) if not line.startswith((left_out, "AmbientCapabilities="))]
    weak = [line for line in kept if not line.startswith(("ProtectHome=", "UMask=", "NoNewPrivileges="))]
    assert not exposure(tmp_path, "\n".join(weak))


def lines(wanted: Wanted, systemd: int = 252) -> list[str]:
    return unit(wanted, systemd).splitlines()


def test_it_never_gives_up():
    text = lines(WANTED)
    assert {"StartLimitIntervalSec=0", "Restart=always"} <= set(text)
    assert not [line for line in text if line.startswith(("RestartPreventExitStatus", "StartLimitBurst"))]
    newer = lines(WANTED, 257)
    assert {"RestartSec=2", "RestartSteps=8", "RestartMaxDelaySec=5min"} <= set(newer)


def test_what_was_read_and_not_stored_outlives_a_kill():
    """gateway/journal/uncommitted.py: systemd would else empty the folder with the service's end."""
    wanted = {"RuntimeDirectory=quantrac", "RuntimeDirectoryMode=0700", "RuntimeDirectoryPreserve=yes"}
    assert wanted <= set(lines(WANTED))


def test_it_gets_what_the_configuration_wants_and_no_more():
    text = lines(WANTED)
    assert "StateDirectory=quantrac/NUO001" in text and 'ReadWritePaths="/mnt/a b"' in text
    assert [line for line in text if line.startswith("DeviceAllow")] == [
        "DeviceAllow=char-ttyACM rw", "DeviceAllow=char-ttyUSB rw",
    ]  # fmt: skip
    assert "LoadCredential=province-password:/etc/quantrac/credentials/province-password" in text
    assert "CapabilityBoundingSet=" in text and "PrivateDevices=yes" not in text
    other = lines(WANTED._replace(state_dir=Path("/srv/50%"), serial=(), low_ports=True, credentials=()))
    assert "ReadWritePaths=/srv/50%%" in other and "PrivateDevices=yes" in other
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in other
    assert not [
        line for line in other if line.startswith(("StateDirectory", "DeviceAllow", "LoadCredential"))
    ]
    assert "SupplementaryGroups=dialout" not in other


# What it really asks of the kernel ------------------------------------------------------------------------


def group(name: str) -> set[str]:
    """System calls of a group of systemd's, with those of the groups in it."""
    command = [program("systemd-analyze", "systemd"), "--no-pager", "syscall-filter", name]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = {line.strip() for line in said.splitlines() if line.startswith("    ") and "#" not in line}
    inner = {call for word in words if word.startswith("@") for call in group(word)}
    return {word for word in words if not word.startswith("@")} | inner


def allowed(text: str) -> set[str]:
    """What a unit's SystemCallFilter lines leave, one after the other, as systemd reads them."""
    found: set[str] = set()
    for words in re.findall(r"^SystemCallFilter=(.+)$", text, re.MULTILINE):
        calls = set()
        for word in words.removeprefix("~").split():
            calls |= group(word) if word.startswith("@") else {word}
        found = found - calls if words.startswith("~") else found | calls
    return found | group("@default")


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> str:
    """Trace of a real gateway: instrument, device, destinations of several kinds, its pages, its end."""
    folder = tmp_path_factory.mktemp("traced")
    strace = [program("strace", "strace"), "-f", "-qq", "-o", str(folder / "trace")]

    async def main(port: int) -> None:
        config = rig.write_config(
            folder, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"), rig.bus_channel("Flow", "tank", 0),
            rig.device(folder, "st-01", f"tcp-listen://127.0.0.1:{free_port()}"),
            rig.device_channel("COD", "st-01", "cod"), rig.directory(),
            rig.sftp(folder, free_port(), HOST_KEY), rig.mqtt(free_port()),
            window_minutes=1, grace_s=0,
        )  # fmt: skip
        clock = folder / "clock.json"
        clock.write_text('{"segments": [[0, 1774400000000, 60]]}')
        gateway = rig.GatewayRun(config, clock)
        gateway.before = strace
        await gateway.start()
        try:
            await gateway.ready()
            await until(lambda: list((folder / "sent").rglob("*.txt")))
            await gateway.metrics()
            gateway_process = int((folder / "gateway" / "gateway.lock").read_text())
            os.kill(gateway_process, 15)
            assert await gateway.ended() == 0
        finally:
            await gateway.close()

    with serve(1, 2) as (port,):
        asyncio.run(main(port))
    return (folder / "trace").read_text("utf-8", "replace")


@pytest.fixture(scope="module")
def asked(trace) -> set[str]:
    """Its system calls, by name."""
    return set(re.findall(r"^(?:\d+ +)?(\w+)\(", trace, re.MULTILINE))


EASY = {"sched_setaffinity", "fchown"}
"""Done without: libraries look how many threads they may have; SQLite gives files away as root."""


def test_the_gateway_does_with_the_system_calls_that_it_may_make(asked):
    assert len(asked) > 40, "it was traced"
    assert asked - allowed(unit(WANTED, 252)) <= EASY


@pytest.mark.parametrize("missing", ["@network-io", "@file-system"])
def test_control_a_filter_that_is_too_narrow_is_caught(asked, missing):
    text = unit(WANTED, 252) + f"SystemCallFilter=~{missing}\n"
    assert asked - allowed(text) - EASY


def test_the_gateway_reads_its_clock_and_sets_none(asked):
    assert not asked & {"settimeofday", "clock_settime"}
    assert {"adjtimex", "clock_adjtime"} <= allowed(unit(WANTED, 252)), "told in /metrics"
    assert not {"settimeofday", "clock_settime"} & allowed(unit(WANTED, 252))


def test_a_report_is_made_at_a_lower_priority():
    """gateway/report_child.py; refused, a report would run as the readings do."""
    assert {"setpriority", "prlimit64"} <= allowed(unit(WANTED, 252))
    assert not {"nice", "sched_setscheduler", "ioprio_set", "setrlimit"} & allowed(unit(WANTED, 252))


def test_addresses_are_of_the_families_that_it_may_use(trace):
    (said,) = [line for line in lines(WANTED) if line.startswith("RestrictAddressFamilies=")]
    used = set(re.findall(r"\bsocket\((AF_\w+)", trace))
    assert {"AF_INET"} < used <= set(said.partition("=")[2].split())
