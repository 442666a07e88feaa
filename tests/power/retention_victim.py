"""A process that prunes a real journal while readings come: to be cut off.

    python -m tests.power.retention_victim JOURNAL SAID NOW_MS [--bare]

What the tests filled (fill()) is due. SAID gets a line {"done": n} when so many entries are acknowledged.
--bare: control: what goes, goes one transaction before its hashes are kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from gateway.journal import retention as module
from gateway.journal.journal import Journal
from gateway.journal.retention import Retention
from tests.gateway.retention_rig import SOURCES, Log

DAYS, EACH, READINGS = 120, 10, 12


def fill(log: Log) -> None:
    """A journal of some hundred days, of which nothing was pruned."""
    log.use(lambda journal, retention: log.days_pass(journal, DAYS, EACH))


def opened(log: Log, is_bare: bool) -> Journal:
    journal = Journal(log.path)
    journal.open(SOURCES)
    if is_bare:
        bare(journal)
    journal.start()
    return journal


def bare(journal: Journal) -> None:
    for name in ("entry_stays", "pruned_true"):
        journal._writer.connection.execute(f"DROP TRIGGER {name}")
    marks, commit, later = module._marks, journal.commit, []

    def without(*blocks):
        keep, *rest = marks(*blocks)
        later.append(keep)
        return rest

    async def twice(**work):
        job = await commit(**work)
        if later and "marks" in work:  # pruning: a reading that comes between must not bring the hashes early
            await commit(marks=[later.pop()])
        return job

    module._marks, journal.commit = without, twice


async def main(path: Path, said: Path, now_ms: int, is_bare: bool) -> None:
    module.BLOCKS, module.PATIENCE_S = 1, 0.0
    log = Log(path.parent, seed=7)
    log.now_ms = now_ms
    fd = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    journal = opened(log, is_bare)
    pruning = asyncio.create_task(Retention(journal, log.days, log.now).prune())
    for _ in range(READINGS):
        job = await journal.commit(entries=log.raw(journal, 2))
        os.write(fd, json.dumps({"done": job.first + 2}).encode() + b"\n")
    await pruning
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), "--bare" in sys.argv))
