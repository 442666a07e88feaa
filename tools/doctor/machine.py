"""The machine: memory, temperature, power; and the service, by systemd and by its own page.

Rule 1: what only a Raspberry Pi has (vcgencmd, its voltage monitor) is passed over elsewhere.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gateway.camera import rtsp
from gateway.config import Config
from tools.doctor.findings import Finding, fault, good, unknown, warning
from tools.doctor.own_page import Web, fetch

ASK_S = 5.0
FREE_MIB_MIN = 100
WARM_C, HOT_C = 75.0, 82.0
"""A Pi slows itself down from 80 degrees on."""
UNDER_VOLTAGE, THROTTLED = 0x1, 0x4
SINCE_START = 16
"""The same bits that much higher: it was so since the start (vcgencmd get_throttled)."""
UNIT = "quantrac-gateway.service"


def memory(meminfo: str) -> Iterator[Finding]:
    """By the text of /proc/meminfo."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    if found is None:
        yield unknown("memory", "The system does not say how much memory is left.")
        return
    free_mib = int(found[1]) >> 10
    if free_mib < FREE_MIB_MIN:
        yield warning("memory", f"{free_mib} MiB of memory are left: end what else runs here.")
    else:
        yield good("memory", f"{free_mib} MiB of memory are left.")


def streams(config: Config, program: str = rtsp.PROGRAM) -> Iterator[Finding]:
    """What cameras of kind rtsp need of the machine."""
    ids = [camera.id for camera in config.camera if camera.kind == "rtsp"]
    if not ids:
        return
    if shutil.which(program) is None:
        names = ", ".join(ids)
        yield fault("cameras", f"{program} is missing, and {names} cannot do without: apt install {program}.")
    else:
        yield good("cameras", f"{program} is there, for the streams of {len(ids)} cameras.")


def temperature(root: Path = Path("/")) -> Iterator[Finding]:
    """The hottest zone that /sys knows."""
    degrees = []
    for path in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp")):
        try:
            degrees.append(int(path.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    if not degrees:
        return
    hottest = max(degrees)
    text = f"The processor is at {hottest:.0f} °C"
    if hottest >= HOT_C:
        yield fault(
            "temperature", f"{text}: it slows itself down. Give the cabinet air, or the board a heat sink."
        )
    elif hottest >= WARM_C:
        yield warning("temperature", f"{text}: give the cabinet more air.")
    else:
        yield good("temperature", f"{text}.")


def power(throttled: str | None, root: Path = Path("/")) -> Iterator[Finding]:
    """Under-voltage: `throttled` is what `vcgencmd get_throttled` says, None without it."""
    found = re.search(r"0x([0-9a-fA-F]+)", throttled or "")
    bits = int(found[1], 16) if found else 0
    for path in (root / "sys/class/hwmon").glob("hwmon*"):
        if _text(path / "name") == "rpi_volt" and _text(path / "in0_lcrit_alarm") == "1":
            bits |= UNDER_VOLTAGE
    if bits & UNDER_VOLTAGE:
        yield fault(
            "power", "The voltage is too low: cards are damaged so. Change the power supply or its cable."
        )
    elif bits & UNDER_VOLTAGE << SINCE_START:
        yield warning(
            "power", "The voltage was too low since the start: change the power supply or its cable."
        )
    elif bits & (THROTTLED | THROTTLED << SINCE_START):
        yield warning("power", "The board slowed itself down since the start: look at its temperature.")
    elif found:
        yield good("power", "The voltage was high enough since the start.")


def vcgencmd() -> str | None:
    """What the board says of its power; None where it cannot be asked."""
    program = shutil.which("vcgencmd")
    return None if program is None else _said([program, "get_throttled"])


# The service ------------------------------------------------------------------------------------------------


def service(shown: str | None) -> Iterator[Finding]:
    """By what `systemctl show UNIT` says, see properties(); None where there is no systemd."""
    if shown is None:
        yield unknown("service", "systemd does not run here: nothing starts the gateway again when it ends.")
        return
    said = {name: value for name, _, value in (line.partition("=") for line in shown.splitlines())}
    if said.get("LoadState") != "loaded":
        yield warning("service", "The service is not installed: sudo quantrac gateway install CONFIG.")
        return
    if said.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        yield warning("service", f"It does not start by itself after a power cut: systemctl enable {UNIT}.")
    restarts = int(said.get("NRestarts") or 0)
    again = f", started again {restarts} times: journalctl -u {UNIT}" if restarts else ""
    if said.get("ActiveState") != "active":
        state, result = said.get("ActiveState"), said.get("Result")
        yield fault("service", f"It does not run ({state}, {result}){again or f': journalctl -u {UNIT}'}.")
    elif restarts:
        yield warning("service", f"It runs{again}.")
    else:
        yield good("service", "It runs, and was never started again.")


def properties() -> str | None:
    """Of our unit; None where systemd does not answer."""
    program = shutil.which("systemctl")
    if program is None or not Path("/run/systemd/system").exists():
        return None
    names = "LoadState,ActiveState,Result,NRestarts,UnitFileState"
    return _said([program, "show", UNIT, f"--property={names}"])


def page(web: Web, station: str) -> tuple[bool, list[Finding]]:
    """(whether this station's gateway answers, what it tells at /healthz)."""
    base = web.base
    try:
        current = json.loads(fetch(web, "/api/v1/current"))
        if current["station"]["code"] != station:
            other = current["station"]["code"]
            return False, [
                fault("gateway", f"At {base} another station answers ({other}): give this one a port.")
            ]
        reasons = json.loads(fetch(web, "/healthz"))["reasons"]
    except (OSError, ValueError, KeyError, TypeError):
        return False, [warning("gateway", f"No gateway of this station answers at {base}: is it running?")]
    if not reasons:
        return True, [good("gateway", "It runs and says that all is well.")]
    return True, [fault("gateway", str(reason)) for reason in reasons]


def _said(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
