"""The clock: whether it is kept right, by what, and whether the journal knows of a later moment.

Rule 1: chrony is asked where it is there (`chronyc -c tracking`); the kernel in any case.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from gateway.timekeeping import Kept
from tools.doctor.findings import Finding, fault, good, unknown, warning

ASK_S = 5.0
WRONG_S = 1.0
"""A reading's window is minutes long, but logs, TLS and commands are compared with other machines'."""
FIELDS = 14
"""Of `chronyc -c tracking`, chrony 4."""


def tracking() -> str | None:
    """What `chronyc -c tracking` says; None where there is no chronyc."""
    program = shutil.which("chronyc")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-n", "-c", "tracking"], capture_output=True, text=True, timeout=ASK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def findings(kept: Kept | None, chrony: str | None, now_ms: int, newest_ms: int | None) -> Iterator[Finding]:
    """What all of them say. newest_ms: of the journal."""
    if newest_ms is not None and now_ms < newest_ms:
        late_s = (newest_ms - now_ms) / 1000
        yield fault(
            "clock",
            f"The clock is {late_s:.0f} s behind the newest entry of the journal: no window closes until it "
            "has caught up. Set it, or give it a time server.",
        )
    yield from _chrony(chrony)
    if kept is None:
        yield unknown("clock", "The kernel does not say whether the clock is kept right.")
    elif not kept.synchronized:
        yield warning(
            "clock",
            "Nothing keeps the clock right: install chrony, and let it reach a time server (UDP 123).",
        )
    elif kept.error_s > WRONG_S:
        yield warning("clock", f"The clock may be {kept.error_s:.1f} s wrong: look at `chronyc sources`.")
    else:
        yield good("clock", f"The clock is kept right, within {kept.error_s * 1000:.0f} ms.")


def _chrony(said: str | None) -> Iterator[Finding]:
    if said is None:
        yield warning("clock", "chrony is not installed: apt-get install chrony (its state is watched then).")
        return
    fields = said.split(",")
    if len(fields) < FIELDS:
        yield warning("clock", "chrony does not answer: systemctl restart chrony, then `chronyc tracking`.")
        return
    source, stratum, offset, leap = fields[1], fields[2], fields[4], fields[13]
    if leap == "Not synchronised" or stratum == "0":
        yield warning("clock", "chrony follows no source yet: look at `chronyc sources` and the network.")
        return
    if not source:  # 127.127.1.1, the machine itself
        yield warning("clock", "chrony follows its own clock only: let it reach a time server (UDP 123).")
        return
    try:
        offset_ms = abs(float(offset)) * 1000
    except ValueError:
        yield unknown("clock", "chrony says something that this version does not know.")
        return
    yield good("clock", f"chrony follows {source} (stratum {stratum}), {offset_ms:.1f} ms away.")
