"""One visit of the doctor: everything is looked at once, bounded in time, and told in sentences.

Rule 1: as root it becomes the user who owns state_dir before it looks at anything: it sees what the gateway
        sees, and leaves no file of root's beside the journal.
Rule 2: exit status 0: no fault; 1: at least one; 2: the configuration cannot be used.
"""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway import config as configuration
from gateway.check import check
from gateway.clock import Clock
from gateway.config import Config
from gateway.timekeeping import kernel
from tools.doctor import clock, disk, files, journal, machine, reach
from tools.doctor.findings import FAULT, GOOD, Finding, fault, unknown, warning, worst_first
from tools.doctor.own_page import web_of
from tools.people import DOES_NOT_HOLD, USED_WRONGLY

CREDENTIALS = (Path(f"/run/credentials/{machine.UNIT}"), Path("/etc/quantrac/credentials"))
SERIAL_GROUP = "dialout"


def print_doctor(path: Path, as_json: bool) -> int:
    """Look at everything, say it, and return the exit status."""
    lend_credentials()
    became = become_owner(path)
    faults, warnings = check(path)
    if faults:
        findings = [fault("configuration", str(one)) for one in faults]
        _say(findings, as_json, became)
        return USED_WRONGLY
    findings = [warning("configuration", str(one)) for one in warnings]
    findings += examined(configuration.load(path))
    _say(findings, as_json, became)
    return DOES_NOT_HOLD if any(one.level == FAULT for one in findings) else 0


def examined(config: Config) -> list[Finding]:
    """All that was found about a station whose configuration is good."""
    now_ms = Clock().now_ms()
    state_dir = config.gateway.state_dir
    told: list[Finding] = []
    newest_ms: int | None = None

    def in_journal() -> Iterable[Finding]:
        nonlocal newest_ms
        found, newest_ms = journal.findings(config, now_ms)
        return found

    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("journal", in_journal),
        ("clock", lambda: clock.findings(kernel(), clock.tracking(), now_ms, newest_ms)),
        ("disk", lambda: disk.look(state_dir) if state_dir.exists() else ()),
        ("keys", lambda: files.keys(config)),
        ("certificates", lambda: files.certificates(config, now_ms)),
        ("ports", lambda: files.ports(config)),
        ("network", lambda: asyncio.run(reach.look(config, now_ms))),
        ("memory", lambda: machine.memory(Path("/proc/meminfo").read_text())),
        ("temperature", machine.temperature),
        ("cameras", lambda: machine.streams(config)),
        ("power", lambda: machine.power(machine.vcgencmd())),
        ("service", lambda: machine.service(machine.properties())),
        ("gateway", lambda: machine.page(web_of(config), config.station.code)[1]),
    ]
    for about, part in parts:
        try:
            told += part()
        except OSError as error:
            told.append(unknown(about, f"It cannot be looked at: {error.strerror or error}."))
    return told


def lend_credentials() -> None:
    """Where "credential:NAME" is, outside of the service: with it while it runs, else where it is kept."""
    if "CREDENTIALS_DIRECTORY" not in os.environ:
        for folder in CREDENTIALS:
            if folder.is_dir() and os.access(folder, os.X_OK):
                os.environ["CREDENTIALS_DIRECTORY"] = str(folder)
                return


def become_owner(path: Path) -> str:
    """As root, become the user who owns state_dir; that user's name, "" where nothing was done."""
    state_dir = _state_dir(path)
    if os.geteuid() != 0 or state_dir is None or not state_dir.exists():
        return ""
    owner = state_dir.stat().st_uid
    if owner == 0:
        return ""
    user = pwd.getpwuid(owner)
    groups = {user.pw_gid, *os.getgrouplist(user.pw_name, user.pw_gid)}
    try:
        groups.add(grp.getgrnam(SERIAL_GROUP).gr_gid)  # as its unit does
    except KeyError:
        pass
    check(path)  # whatever is imported late is imported now: this user may not read a checkout of root's
    os.setgroups(sorted(groups))
    os.setgid(user.pw_gid)
    os.setuid(owner)
    return user.pw_name


def _state_dir(path: Path) -> Path | None:
    """Of a configuration that may be wrong."""
    try:
        said = tomllib.loads(path.read_text("utf-8-sig"))
        return path.absolute().parent / str(said.get("gateway", {}).get("state_dir", "gateway"))
    except (OSError, ValueError, AttributeError):
        return None


def _say(findings: list[Finding], as_json: bool, became: str) -> None:
    findings = worst_first(findings)
    faults = sum(one.level == FAULT for one in findings)
    if as_json:
        rows = [one._asdict() for one in findings]
        print(
            json.dumps({"ok": not faults, "looked_as": became or None, "findings": rows}, ensure_ascii=False)
        )
        return
    if became:
        print(f"Looked at as {became}, who runs the gateway.")
    for one in findings:
        print(f"{one.level:<8} {one.about}: {one.text}")
    others = sum(one.level not in (FAULT, GOOD) for one in findings)
    counted = (
        f"{faults} fault{'s' * (faults != 1)}, {others} to look at, {len(findings) - faults - others} good."
    )
    print(f"\n{counted}")
