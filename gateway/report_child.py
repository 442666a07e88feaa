"""The process that makes one report: bounded, and gone with whoever waits for it.

Rule 1: it gets what time is left over, and goes first when memory is short: readings come before reports.
Rule 2: it ends after SECONDS_MAX, and when whoever waits is cancelled, with all that it began itself.
Rule 3: what it says at its end is a sentence for people; what a mistake of ours says goes into the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path

from gateway.logs import get_logger

log = get_logger("reports")

SECONDS_MAX = 900.0
NICE = 15
FILE_BYTES_MAX = 200_000_000
SAID_MAX = 500
TAIL_BYTES = 16_384
MISTAKE = "It failed by a mistake in this program: see its log."
_NOT_FOR_CHILDREN = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""How systemd hears of the gateway: nobody else speaks for it."""


async def written(command: Sequence[str]) -> str:
    """Let a child do this; why it failed, "" where it did not. OSError: it cannot be begun."""
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        env={name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN},
    )  # fmt: skip
    try:
        _humble(child.pid)
        async with asyncio.timeout(SECONDS_MAX):
            assert child.stderr is not None
            tail = await _tail(child.stderr)
            return _sentence(await child.wait(), tail)
    except TimeoutError:
        return (
            f"It took more than {SECONDS_MAX / 60:.0f} minutes and was ended: ask for a shorter period, "
            "or use `quantrac report` at the machine."
        )
    finally:
        await _ended(child)


def _humble(pid: int) -> None:
    """Rule 1: it runs when nobody else wants to, writes no endless file, and goes first."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    with contextlib.suppress(OSError, ValueError):
        seconds = round(SECONDS_MAX) + 1  # of a processor: a bound for when the gateway is killed
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds))
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")


async def _tail(stream: asyncio.StreamReader) -> str:
    """The end of what it said, when it has said all."""
    found = b""
    while part := await stream.read(TAIL_BYTES):
        found = (found + part)[-TAIL_BYTES:]
    return found.decode("utf-8", "replace")


async def _ended(child: asyncio.subprocess.Process) -> None:
    """It is gone, with all processes that it began: half of a report's work is done by another."""
    if child.returncode != 0:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


def _sentence(status: int, tail: str) -> str:
    """What a person reads of a child that ended so."""
    if status == 0:
        return ""
    if status < 0:
        return f"The system ended it (signal {-status}): is the memory too small?"
    if "Traceback" in tail or not tail.strip():
        log.error("a report's process failed by a mistake of ours", status=status, said=tail[-4000:])
        return MISTAKE
    return " ".join("".join(each if each.isprintable() else " " for each in tail).split())[:SAID_MAX]
