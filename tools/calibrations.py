"""`quantrac gateway calibration ...`: what a person recorded of calibrations, entered and listed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gateway import config as configuration
from gateway import pictures
from gateway.alert_people import BY_MAX
from gateway.calibration.fit import Judged
from gateway.calibration.history import History, history, in_force_ms, kept
from gateway.config import Config
from gateway.journal.reader import Reader, reading
from gateway.reports.message import rfc3339
from gateway.requests import CALIBRATE, RECORD_MAX, Answer, Order
from tools.parked import done
from tools.people import DOES_NOT_HOLD, Failure, UsageError

_FIRST = "SELECT COALESCE(MIN(arrived_ms), 0) FROM entry WHERE idx = 0"


def print_add(config_path: Path, file: Path, photo: Path | None, by: str, as_json: bool) -> int:
    """Exit status 1, with all that is wrong with the record, when it is not entered."""
    if not 1 <= len(by.strip()) <= BY_MAX or not by.isprintable():
        raise UsageError(f"--by is a line of 1 to {BY_MAX} characters.")
    config = configuration.load(config_path)
    text = _text(file)
    if photo is not None:
        text = _with_photo(config, text, photo)
    answer = done(config, Order(CALIBRATE, (), "", by.strip(), "", record=text), _stopped)
    print(json.dumps({"said": answer.said, "ok": answer.ok}, ensure_ascii=False) if as_json else answer.said)
    return 0 if answer.ok else DOES_NOT_HOLD


async def _stopped(state_dir: Path, order: Order) -> Answer:
    return Answer("The gateway is stopped: start it, then give the record again.", ok=False)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()[: RECORD_MAX + 1]
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"--file {file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"--file {file} is no UTF-8 text.") from None
    if len(data) > RECORD_MAX:
        raise UsageError(f"--file {file} is longer than {RECORD_MAX} bytes: it is no record.")
    return text


def _with_photo(config: Config, text: str, photo: Path) -> str:
    """The record, with the photo kept in state_dir. A record that is none is told as such later."""
    state_dir = config.gateway.state_dir
    if not state_dir.is_dir():
        raise Failure(f"{state_dir} is not there yet: start the gateway once.")
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(said, dict):
        return text
    try:
        if photo.stat().st_size > pictures.BYTES_MAX:
            raise UsageError(f"--photo {photo} has more than {pictures.BYTES_MAX // 1_000_000} MB.")
        said["photo"] = pictures.keep(state_dir, photo.read_bytes())
    except pictures.NoPicture as error:
        raise UsageError(f"--photo {photo}: {error}") from None
    except OSError as error:
        raise UsageError(f"--photo {photo} cannot be kept: {error.strerror}.") from None
    _owned(state_dir, said["photo"])
    return json.dumps(said, ensure_ascii=False)


def _owned(state_dir: Path, digest: str) -> None:
    """Root keeps it, and the gateway's own user has to read it."""
    owner, path = state_dir.stat(), pictures.find(state_dir, digest)
    if os.geteuid() == 0 and path is not None:
        for each in (path, path.parent):
            os.chown(each, owner.st_uid, owner.st_gid)


def print_list(config_path: Path, channel: str | None, as_json: bool) -> int:
    """Each channel: its newest calibration, when the next is due, and how it drifted."""
    config = configuration.load(config_path)
    path = config.gateway.state_dir / "journal.db"
    if not path.exists():
        raise Failure(f"{path} does not exist: has this gateway ever run?")
    with reading(path) as reader:
        found = _history(reader, config)
    if channel is not None:
        found = [one for one in found if one.symbol == channel]
        if not found:
            raise UsageError(f"There is no channel '{channel}' that is measured.")
    if as_json:
        print(json.dumps([_as_json(one) for one in found], ensure_ascii=False))
        return 0
    for one in found:
        print(f"{one.symbol}: {_when(one.calibrated_ms, 'calibrated')}, {_when(one.due_ms, 'due')}")
        for made in one.records:
            print(f"  {_line(made)}")
    return 0


def _history(reader: Reader, config: Config) -> list[History]:
    ((first_ms,),) = reader.rows(_FIRST)
    records = [each.record for each in kept(reader)]
    return history(config.channel, records, in_force_ms(reader), first_ms)


def _when(time_ms: int | None, what: str) -> str:
    return f"never {what}" if time_ms is None else f"{what} {rfc3339(time_ms)[:16]}"


def _line(made: Judged) -> str:
    record, drift = made.record, made.drift
    verdict = {None: "no limit", True: "holds", False: "BEYOND"}[drift.holds]
    return (
        f"{rfc3339(record.at_ms)[:16]}  {record.kind:<10}  zero {drift.zero:+.4g}  "
        f"span {drift.span:+.4g} {record.unit}  {verdict}  {record.who}"
    )


def _as_json(one: History) -> dict[str, Any]:
    times = {"calibrated": one.calibrated_ms, "due": one.due_ms}
    return {
        "channel": one.symbol, "unit": one.unit, "limits": one.limits._asdict(),
        **{name: None if time_ms is None else rfc3339(time_ms) for name, time_ms in times.items()},
        "records": [_judged_as_json(made) for made in one.records],
    }  # fmt: skip


def _judged_as_json(made: Judged) -> dict[str, Any]:
    record = made.record
    return {
        **record._asdict(), "at": rfc3339(record.at_ms),
        "points": [point._asdict() for point in record.points],
        "certificates": [each._asdict() for each in record.certificates],
        "limits": record.limits._asdict(),
        "before": made.before._asdict(), "after": None if made.after is None else made.after._asdict(),
        "drift": made.drift._asdict(), "holds": made.drift.holds,
    }  # fmt: skip
