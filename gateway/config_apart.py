"""Configurations read by a process of its own, which takes pydantic and its memory along when it ends.

    read(path), parse(path, data)     as of config.py
    propose(...)                      as of config_change/propose.py
    ahead()                           starts the process for the next of these questions

Rule 1: an answer is whole, or there is none: OSError says why.
Rule 2: a process that makes configurations itself (config_carried.py) reads them itself.
Rule 3: what comes back are the objects that it made. They are believed as our own are: it is our own program,
        over a pipe that nobody else has.
Rule 4: each question has a process of its own, and one that is never asked ends with its pipe. What is on the
        disk is read when the question comes, not when the process begins.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import config_carried
from gateway.errors import Fault

if TYPE_CHECKING:
    from gateway.config_change.propose import Proposal
    from gateway.config_model import Config

_ROOT = Path(__file__).resolve().parent.parent
_CODE = "import sys; sys.path.append(sys.argv[1]); from gateway.config_apart import answer; answer()"
_waiting: list[subprocess.Popen[bytes]] = []
"""The process that ahead() started, until it is asked."""


def read(path: Path) -> tuple[Config | None, list[Fault]]:
    """config.read(). OSError."""
    return _asked("read", path)


def parse(path: Path, data: bytes) -> tuple[Config | None, list[Fault]]:
    """config.parse(). OSError."""
    return _asked("parse", path, data)


def propose(running: Config, running_data: bytes, data: bytes, waiting: Mapping[str, int]) -> Proposal:
    """propose.propose(). OSError."""
    return _asked("propose", running, running_data, data, waiting)


def _asked(what: str, *arguments: Any) -> Any:
    if not config_carried.chosen():
        return _done(what, arguments)
    try:
        process = _waiting.pop() if _waiting else _begun()
        said, _ = process.communicate(pickle.dumps((what, arguments)))
        if process.returncode == 0:
            return pickle.loads(said)
        reason = f"it ended with status {process.returncode}"
    except OSError as error:
        reason = str(error)
    raise OSError(f"The process that reads the configuration did not ({reason}). Is memory short?")


def ahead() -> None:
    """Its imports take as long as half of the gateway's own: both go on at once."""
    if config_carried.chosen() and not _waiting:
        with contextlib.suppress(OSError):  # who asks tries again, and says why it cannot be
            _waiting.append(_begun())


def _begun() -> subprocess.Popen[bytes]:
    # Neither this folder's modules nor those of the working directory stand in front of Python's own (-P).
    command = [sys.executable, "-P", "-c", _CODE, str(_ROOT)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)


def _done(what: str, arguments: tuple) -> Any:
    from gateway import config
    from gateway.config_change import propose

    return {"read": config.read, "parse": config.parse, "propose": propose.propose}[what](*arguments)


def answer() -> None:
    """In that process: one question from stdin, its answer to stdout, whatever is printed to stderr."""
    out = os.dup(1)
    os.dup2(2, 1)
    from gateway import config  # noqa: F401 - while nobody has asked yet

    if not (asked := sys.stdin.buffer.read()):
        return  # nobody did, and nobody will
    what, arguments = pickle.loads(asked)
    with os.fdopen(out, "wb") as file:
        pickle.dump(_done(what, arguments), file)
