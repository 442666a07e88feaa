"""`quantrac gateway config`: what runs, what another file would change, and changing it in a running gateway.

Rule 1: only the gateway changes anything (gateway/config_change/keeper.py): it is asked, as for every order.
Rule 2: a file that cannot be used does not keep anybody from asking: then what ran last says where to ask.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway import config as configuration
from gateway.config import Config
from gateway.config_change import kept
from gateway.config_change.keeper import MINUTES_MAX
from gateway.config_change.propose import Proposal, propose
from gateway.errors import ConfigFaults
from gateway.journal.reader import reading
from gateway.requests import APPLY, CONFIG_MARKS, CONFIG_MAX, CONFIGURE, Answer, Order
from tools.parked import done, who
from tools.people import DOES_NOT_HOLD, USED_WRONGLY, Failure, UsageError

CHECK = "check"
WHAT = (*CONFIG_MARKS, CHECK)


def print_config(path: Path, what: str, new: Path | None, minutes: float, as_json: bool) -> int:
    """Do one of WHAT; exit status 1 when the gateway refused, 2 when a file that is checked has faults."""
    if what not in WHAT:
        raise UsageError(f"{what!r} is none of {', '.join(WHAT)}.")
    if new is not None and what not in (CHECK, APPLY):
        raise UsageError(f"{what} takes no file.")
    if not 1 <= minutes <= MINUTES_MAX:
        raise UsageError(f"--minutes is 1 to {MINUTES_MAX:g}.")
    config, data = _known(path)
    text = "" if new is None else _text(new)
    if what == CHECK:
        if new is None:
            raise UsageError("Name the file to check: quantrac gateway config CONFIG check NEWFILE")
        return _print_check(propose(config, data, text.encode(), _waiting(config)), as_json)
    order = Order(CONFIGURE, (), "", who(), "", mark=what, minutes=minutes, text=text)
    answer = done(config, order, _stopped)
    print(json.dumps(answer._asdict(), ensure_ascii=False) if as_json else answer.said)
    return 0 if answer.ok else DOES_NOT_HOLD


def _known(path: Path) -> tuple[Config, bytes]:
    """The configuration in `path`, or what ran last, and its text. ConfigFaults."""
    config, faults = configuration.read(path)
    if config is not None:
        return config, path.read_bytes()
    ran = kept.in_place(kept.beside(path, kept.RUNNING)) or b""
    config, _ = configuration.parse(path, ran)
    if config is None:
        raise ConfigFaults(path, faults)
    return config, ran


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text: save it as UTF-8.") from None
    if not text.strip() or len(text) > CONFIG_MAX:
        raise UsageError(f"{path} is empty, or larger than 1 MB: give the path of a configuration.")
    return text


def _waiting(config: Config) -> dict[str, int]:
    journal = config.gateway.state_dir / "journal.db"
    if not journal.exists():
        return {}
    with reading(journal) as reader:
        return {id: counts["pending"] for id, counts in reader.outbox().items()}


async def _stopped(_state_dir: Path, _order: Order) -> Answer:
    raise Failure(
        "The gateway does not run: change the file, look at it with `check`, and start the gateway."
    )


def _print_check(found: Proposal, as_json: bool) -> int:
    if as_json:
        print(json.dumps(_as_json(found), ensure_ascii=False))
    else:
        for line in _lines(found):
            print(line)
    return USED_WRONGLY if found.faults else 0


def _lines(found: Proposal) -> Iterator[str]:
    yield from (f"fault    {fault}" for fault in found.faults)
    yield from (f"warning  {warning}" for warning in found.warnings)
    yield from map(str, found.differences)
    if found.faults:
        yield "It cannot be applied."
    elif not found.differences:
        yield "Nothing but comments and spaces differs."
    else:
        yield from (one.said() for one in found.means)


def _as_json(found: Proposal) -> dict[str, Any]:
    return {
        "ok": not found.faults, "fingerprint": found.fingerprint,
        "faults": [fault._asdict() for fault in found.faults],
        "warnings": [warning._asdict() for warning in found.warnings],
        "differences": [one._asdict() for one in found.differences],
        "means": [one._asdict() | {"vi": one.said("vi"), "en": one.said()} for one in found.means],
    }  # fmt: skip
