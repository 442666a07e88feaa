"""`quantrac gateway parked`, `release` and `park`: documents that wait for a person.

Rule 1: while the gateway runs it is asked to do it (gateway/requests.py); while it is stopped it is done
        here, under the gateway's own lock.
Rule 2: whoever releases a file learns whether the receiving software will look at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway import config as configuration
from gateway.clock import Clock
from gateway.config import Config
from gateway.counters import Counters
from gateway.errors import JournalError
from gateway.journal import parked
from gateway.journal.journal import Journal
from gateway.journal.kinds import GATEWAY
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import Reader, reading
from gateway.lock import lock
from gateway.parked import Desk, overtaken
from gateway.reports.message import rfc3339
from gateway.requests import RELEASE, Answer, Order, parse, parse_answer, read, write
from gateway.succession import REASON_MAX, is_reason
from tools.people import DOES_NOT_HOLD, Failure, UsageError

ANSWER_S_MAX = 10.0
LOOK_S = 0.1
SHOWN_MAX = 10
"""Documents that are named one by one in a sentence."""
MESSAGES = ("mqtt", "https")


def print_parked(config_path: Path, destination: str | None, as_json: bool) -> int:
    """The parked documents; exit status 0 whether there are any or not."""
    config = configuration.load(config_path)
    with _reading(config) as reader:
        rows = parked.listed(reader, destination)
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], ensure_ascii=False))
        return 0
    for row in rows:
        since = "-" if row.since_ms is None else rfc3339(row.since_ms)
        print(f"{row.id:>8}  {row.destination:<16} since {since}  {row.attempts} attempts  {row.name}")
        print(f"          {row.reason}")
    print(f"{len(rows)} parked")
    if rows:
        print(f"To send one after all: quantrac gateway release {config_path} {rows[0].id}")
    return 0


def _as_json(row: parked.Parked) -> dict[str, object]:
    return {
        "id": row.id, "destination": row.destination, "name": row.name, "folder": row.folder,
        "kind": row.kind, "key": row.key, "t": rfc3339(row.at_ms),
        "since": None if row.since_ms is None else rfc3339(row.since_ms),
        "attempts": row.attempts, "reason": row.reason,
    }  # fmt: skip


def print_change(
    config_path: Path, what: str, ids: Sequence[int], everything: str, reason: str, as_json: bool
) -> int:
    """Release or park documents; `everything`: all that are parked for this destination. Exit status 1 when
    one of those named was not changed.
    """
    if bool(ids) == bool(everything):
        raise UsageError("Name documents by their numbers, or give --all with --destination ID.")
    if not is_reason(reason) and (reason or what != RELEASE):
        raise UsageError(f"--reason is a line of 1 to {REASON_MAX} characters, for the log.")
    config = configuration.load(config_path)
    order = Order(what, tuple(ids), everything, who(), reason)
    try:
        parse(order.encode())
    except ValueError as error:
        raise UsageError(str(error)) from None
    late: list[parked.Row] = []
    with _reading(config) as reader:
        if everything and everything not in [row.destination for row in parked.listed(reader)]:
            _known(config, everything)
        if what == RELEASE:
            files = [one.id for one in config.destination if one.kind not in MESSAGES]
            late = overtaken(reader, files, ids or parked.ids_of(reader, everything))
    answer = done(config, order)
    late = [row for row in late if row.id in set(answer.changed)]
    if as_json:
        names = {"overtaken": [row.name for row in late]}
        print(json.dumps({**answer._asdict(), **names}, ensure_ascii=False))
    else:
        print(answer.said)
        for id, why in answer.left:
            print(f"{id}: not changed, {why}.")
        if late:
            print(_warning(late))
    return 0 if answer.ok else DOES_NOT_HOLD


def who() -> str:
    """The local user, and for whom sudo was used."""
    name = os.environ.get("SUDO_USER", "")
    try:
        own = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        own = f"user {os.getuid()}"
    return f"{own}, by sudo of {name[:100]}" if name.isprintable() and name not in ("", own) else own


def _known(config: Config, destination: str) -> None:
    ids = [one.id for one in config.destination]
    if destination not in ids:
        raise UsageError(f"There is no destination {destination!r}: there are {', '.join(ids)}.")


@contextmanager
def _reading(config: Config) -> Iterator[Reader]:
    path = config.gateway.state_dir / "journal.db"
    if not path.exists():
        raise Failure(f"{path} does not exist: has this gateway ever run?")
    with reading(path) as reader:
        yield reader


def done(
    config: Config, order: Order, here: Callable[[Path, Order], Coroutine[Any, Any, Answer]] | None = None
) -> Answer:
    """Let a running gateway do it, or do it here() while it is stopped (rule 1)."""
    state_dir = config.gateway.state_dir
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(state_dir / "gateway.lock"))
        except JournalError as error:
            running = str(error)
        else:
            return asyncio.run((here or _here)(state_dir, order))
    return _asked(state_dir, order, running)


async def _here(state_dir: Path, order: Order) -> Answer:
    """The gateway is stopped, and cannot start meanwhile."""
    journal, clock = Journal(state_dir / "journal.db"), Clock()
    journal.open([GATEWAY])
    journal.start()
    try:
        now_ms = max(clock.now_ms(), await journal.read(Reader.newest_ms))  # never before an earlier entry
        outbox = JournalOutbox(journal, lambda: now_ms, Counters(), clock.mono_ns)
        async with asyncio.timeout(ANSWER_S_MAX):
            return await Desk(outbox, {}, journal.read).do(order)
    except TimeoutError:
        why = journal.status or "the disk does not answer."
        raise Failure(f"The journal cannot be written: {why}") from None
    finally:
        await journal.close()


def _asked(state_dir: Path, order: Order, running: str) -> Answer:
    """The gateway does it, and says so within ANSWER_S_MAX."""
    try:
        path = write(state_dir, order)
    except FileNotFoundError:
        raise Failure(f"{running} It takes no requests: wait until it has started, or stop it.") from None
    end_s = time.monotonic() + ANSWER_S_MAX
    try:
        while time.monotonic() < end_s:
            time.sleep(LOOK_S)
            if (found := _answer(path)) is not None:
                return found
    finally:
        withdrawn = _withdraw(path)
    if withdrawn:
        raise Failure(f"The gateway did not take it within {ANSWER_S_MAX:.0f} s: nothing was changed.")
    if (found := _answer(path)) is not None:
        return found
    raise Failure(
        f"The gateway took it and has not finished it within {ANSWER_S_MAX:.0f} s: its status page says why. "
        "Look later with `quantrac gateway parked` or `alerts` what came of it."
    )


def _answer(request: Path) -> Answer | None:
    path = request.with_suffix(".answer")
    try:
        found = parse_answer(read(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Failure(f"The gateway's answer cannot be read: {error}") from None
    path.unlink(missing_ok=True)
    return found


def _withdraw(request: Path) -> bool:
    """Whether it still lay there: then the gateway will never see it."""
    try:
        request.unlink()
    except FileNotFoundError:
        return False
    return True


def _warning(late: Sequence[parked.Row]) -> str:
    names = ", ".join(row.name for row in late[:SHOWN_MAX])
    more = f" and {len(late) - SHOWN_MAX} more" if len(late) > SHOWN_MAX else ""
    return (
        f"Warning: {names}{more}: newer files are there already. The receiving software skips a file whose "
        "name is not above the newest that it has processed, so it will not read this by itself: tell its "
        "people, who can read it in by hand."
    )
