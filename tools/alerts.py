"""`quantrac gateway alerts` and `acknowledge`: what is raised, and who acts on it.

Rule 1: what stands follows from the journal alone, whether the gateway runs or not.
Rule 2: a running gateway is asked to acknowledge (gateway/requests.py); while it is stopped it is done here,
        under the gateway's own lock.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from gateway import config as configuration
from gateway.alert_people import BY_MAX, NOTE_MAX, NoSuchAlert, acknowledge, listed, sync
from gateway.alert_states import Book
from gateway.alerts import learn
from gateway.clock import Clock
from gateway.config import Config
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT, GATEWAY
from gateway.journal.reader import Reader, reading
from gateway.notices import listed as interruptions
from gateway.requests import ACKNOWLEDGE, Answer, Order
from tools.parked import ANSWER_S_MAX, done
from tools.people import DOES_NOT_HOLD, Failure, UsageError


def print_alerts(config_path: Path, as_json: bool) -> int:
    """What stands; exit status 0 whether there is something or not."""
    config = configuration.load(config_path)
    with reading(_journal(config)) as reader:
        rows = listed(_book(reader))
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    for row in rows:
        print(f"{row['state']:<13} {row['alert']}")
        acted = f"by {row['by']}" + (f": {row['note']}" if row["note"] else "") if "by" in row else ""
        values = ", ".join(f"{w['value']:g}" + _limit(w["limit"]) for w in row["windows"])
        print(
            f"              since {row['since']}  " + "  ".join(filter(None, (row["basis"], values, acted)))
        )
    print(f"{len(rows)} raised")
    if rows:
        print(f"To act on one: quantrac gateway acknowledge {config_path} '{rows[0]['alert']}' --by NAME")
    return 0


def _limit(limit: float | None) -> str:
    return "" if limit is None else f" (limit {limit:g})"


def print_acknowledge(config_path: Path, alert: str, by: str, note: str, as_json: bool) -> int:
    """Acknowledge an alert; exit status 1 when there is none of that name."""
    checks = ((by, 1, BY_MAX, "--by"), (note, 0, NOTE_MAX, "--note"), (alert, 1, NOTE_MAX, "The alert"))
    for text, least, most, name in checks:
        if not least <= len(text.strip()) <= most or not (text.isprintable() or not text):
            raise UsageError(f"{name} is a line of {least} to {most} characters.")
    config = configuration.load(config_path)
    _journal(config)
    answer = done(config, Order(ACKNOWLEDGE, (), "", by.strip(), note.strip(), alert), _here)
    if as_json:
        print(json.dumps({"said": answer.said, "ok": answer.ok}, ensure_ascii=False))
    else:
        print(answer.said)
    return 0 if answer.ok else DOES_NOT_HOLD


def _journal(config: Config) -> Path:
    path = config.gateway.state_dir / "journal.db"
    if not path.exists():
        raise Failure(f"{path} does not exist: has this gateway ever run?")
    return path


def _book(reader: Reader) -> Book:
    book = Book(learn(reader)[0])
    sync(book, [one for one in interruptions(reader) if one.to_ms is None])
    return book


async def _here(state_dir: Path, order: Order) -> Answer:
    """The gateway is stopped, and cannot start meanwhile."""
    journal, clock = Journal(state_dir / "journal.db"), Clock()
    journal.open([GATEWAY])
    journal.start()
    try:
        now_ms = max(clock.now_ms(), await journal.read(Reader.newest_ms))  # never before an earlier entry
        book = await journal.read(_book)
        try:
            said = acknowledge(book, order.alert, order.who, order.reason)
        except NoSuchAlert as error:
            return Answer(str(error), ok=False)
        async with asyncio.timeout(ANSWER_S_MAX):
            await journal.tell(EVENT, [said.event()], (now_ms, clock.mono_ns() // 1_000_000))
        return Answer(f"{said.name} is acknowledged by {said.by}.")
    except TimeoutError:
        raise Failure(
            f"The journal cannot be written: {journal.status or 'the disk does not answer.'}"
        ) from None
    finally:
        await journal.close()
