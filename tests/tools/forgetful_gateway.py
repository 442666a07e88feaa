"""`quantrac` whose gateway acknowledges every frame and stores two of three: what a fleet's ledger must find.

python -m tests.tools.forgetful_gateway gateway run CONFIG
"""

from __future__ import annotations

import itertools

from gateway.journal.journal import Journal
from gateway.journal.kinds import FRAME
from gateway.journal.writer import Job
from tools import cli

_submit = Journal.submit
_frames = itertools.count(1)


def submit(self, entries=(), *args, done=None, **more):
    if done is not None and len(entries) == 1 and entries[0][0] == FRAME and next(_frames) % 3 == 0:
        done(Job(entries, done=done))  # "it is on disk"
        return None
    return _submit(self, entries, *args, done=done, **more)


Journal.submit = submit  # type: ignore[method-assign]

if __name__ == "__main__":
    cli.main()
