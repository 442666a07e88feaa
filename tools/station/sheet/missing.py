"""What is still missing before a station may be handed over: rules over its Sheet. Pure.

Rule 1: each rule judges anew from what was found; no record says of itself that all is well.
Rule 2: what nobody looked at is missing, like what was found wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from gateway.calibration.correct import SLOPE_MAX, SLOPE_MIN
from gateway.zone import DAY_MS, GMT7_MS
from tools.station.sheet import firmware, plain
from tools.station.sheet.model import CHANGED, MISSING, OUTSIDE, Channel, Sheet

NAMES_MAX = 40


class Item(NamedTuple):
    """A text of texts.py (`missing_` + key) with what stands in it."""

    key: str
    parts: dict[str, str]


def missing(sheet: Sheet) -> list[Item]:
    """In the order in which a technician would make up for it."""
    rules = (_folder, _scanned, _flashed, _tested, _compared, _calibrated, _updated, _kept, _keys, _live)
    return [item for rule in rules for item in rule(sheet)]


def _item(key: str, **parts: object) -> Item:
    return Item(key, {name: str(part) for name, part in parts.items()})


def _named(names: list[str]) -> str:
    more = f" (+{len(names) - NAMES_MAX})" if len(names) > NAMES_MAX else ""
    return ", ".join(names[:NAMES_MAX]) + more


def _folder(sheet: Sheet) -> Iterator[Item]:
    for fault in sheet.faults[:10]:
        yield _item("faults", what=fault)
    if sheet.config.state == MISSING:
        yield _item("config")
    elif sheet.config_differs:
        yield _item("config_differs")
    if not sheet.gateway_there:
        yield _item("gateway")
    nowhere = [channel.name for channel in sheet.channels if not channel.targets]
    if sheet.gateway_there and nowhere:
        yield _item("targets", names=_named(nowhere))
    if sheet.unreadable[1]:
        yield _item("records", count=sheet.unreadable[1])


def answers(sheet: Sheet) -> dict[int, dict[str, Any]]:
    """What the newest scan of each port found, by address."""
    scans = {plain.text(one.get("port")): one for one in sheet.all("scanned")}
    found: dict[int, dict[str, Any]] = {}
    for scan in scans.values():
        for unit in plain.tables(scan.get("units")):
            address = plain.whole(unit.get("unit"))
            if address is not None:
                found[address] = unit
    return found


def settings_of(unit: dict[str, Any]) -> str:
    """9600 8N1, as a scan found it."""
    baud, parity, stopbits = (plain.text(unit.get(key)) for key in ("baud", "parity", "stopbits"))
    return f"{baud} 8{parity}{stopbits}"


def _scanned(sheet: Sheet) -> Iterator[Item]:
    lines = {line.id: line for line in sheet.lines if line.kind == "rtu"}
    wanted = [one for one in sheet.instruments if one.bus in lines]
    if not wanted:
        return
    if not sheet.all("scanned"):
        yield _item("scan")
        return
    there = answers(sheet)
    for one in wanted:
        unit, settings = there.get(one.address or 0), lines[one.bus].settings
        told = {"address": one.address, "profile": one.profile.name}
        if unit is None:
            yield _item("silent", **told)
            continue
        if settings_of(unit) != settings:
            yield _item("settings", **told, found=settings_of(unit), wanted=settings)
        fits = plain.text(unit.get("profile"))
        if fits and fits != one.profile.name:
            yield _item("profile", **told, found=fits)
    known = {one.address for one in wanted}
    strangers = [str(address) for address in sorted(there) if address not in known]
    if strangers:
        yield _item("strangers", names=_named(strangers))


def _flashed(sheet: Sheet) -> Iterator[Item]:
    if not sheet.newest("flashed"):
        yield _item("flash")


def _after(record: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a record was made behind another one, which may be none."""
    return (plain.whole(record.get("at_ms")) or 0) >= (plain.whole(other.get("at_ms")) or 0)


def _tested(sheet: Sheet) -> Iterator[Item]:
    test = sheet.newest("tested")
    if not test or not _after(test, sheet.newest("flashed")):
        yield _item("test")
        return
    judged: dict[str, Any] = {}
    for group in ("inputs", "outputs", "channels"):
        for row in plain.tables(test.get(group)):
            judged[plain.text(row.get("name"))] = row.get("ok")
    failed = [name for name, ok in judged.items() if ok is False]
    wanted = [pin.name for pin in sheet.pins if pin.group in ("inputs", "outputs")]
    wanted += [channel.name for channel in sheet.channels]
    open_ = [name for name in wanted if judged.get(name) not in (True, False)]
    if failed:
        yield _item("test_failed", names=_named(failed))
    if open_:
        yield _item("test_open", names=_named(open_))


def _compared(sheet: Sheet) -> Iterator[Item]:
    """Maps that no maker vouches for have to be held against a display, or against a standard."""
    seen = {
        plain.text(row.get("name"))
        for row in plain.tables(sheet.newest("tested").get("channels"))
        if row.get("display") is True  # a plausible value alone may come from another register
    }
    for one in sheet.instruments:
        doubtful = [name for name in one.channels if name not in seen and not _held(sheet, name)]
        if one.profile.mark != "MAKER" and doubtful:
            parts = {"address": one.address, "profile": one.profile.name, "mark": one.profile.mark}
            yield _item("compare", **parts, names=_named(doubtful))


def _held(sheet: Sheet, channel: str) -> bool:
    """Whether a standard showed that the register is the right one: a slope far from 1 shows another."""
    slope = plain.number(sheet.calibration(channel).get("slope"))
    return slope is not None and SLOPE_MIN <= slope <= SLOPE_MAX


def calibration_days(channel: Channel) -> int | None:
    """How often it has to be calibrated."""
    return min((target.calibrate_days for target in channel.targets if target.calibrate_days), default=None)


def calibrated_ms(record: dict[str, Any]) -> int | None:
    """When it was calibrated, as the record says; else when that was written."""
    at_ms = plain.whole(record.get("calibrated_ms"))
    return plain.whole(record.get("at_ms")) if at_ms is None else at_ms


def overdue(sheet: Sheet, channel: Channel) -> bool:
    at_ms, days = calibrated_ms(sheet.calibration(channel.name)), calibration_days(channel)
    return at_ms is not None and days is not None and sheet.made_ms > at_ms + days * DAY_MS


def _calibrated(sheet: Sheet) -> Iterator[Item]:
    never = [channel.name for channel in sheet.channels if not sheet.calibration(channel.name)]
    late = [channel.name for channel in sheet.channels if overdue(sheet, channel)]
    beyond, expired = [], []
    for channel in sheet.channels:
        record = sheet.calibration(channel.name)
        if record and plain.table(record.get("drift")).get("ok") is False:
            beyond.append(channel.name)
        if any(_expired(standard, record) for standard in plain.tables(record.get("standards"))):
            expired.append(channel.name)
    for key, names in (("never", never), ("overdue", late), ("drift", beyond), ("expired", expired)):
        if names:
            yield _item(key, names=_named(names))


def _expired(standard: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether a standard's certificate had ended on the day on which it was used."""
    at_ms = calibrated_ms(record) or 0
    try:
        return date.fromisoformat(standard["valid_until"]).toordinal() < _day(at_ms)
    except (KeyError, TypeError, ValueError):
        return False


def _day(at_ms: int) -> int:
    return date(1970, 1, 1).toordinal() + (at_ms + GMT7_MS) // DAY_MS


def _updated(sheet: Sheet) -> Iterator[Item]:
    update = sheet.newest("updated")
    if update and update.get("confirmed") is not True:
        back = update.get("confirmed") is False and update.get("why")
        why = plain.text(update.get("why"))
        yield _item("update_back" if back else "update", version=firmware.version(update.get("to")), why=why)


def _kept(sheet: Sheet) -> Iterator[Item]:
    changes = [one for one in sheet.records if one["kind"] in ("flashed", "calibrated", "updated")]
    backup = sheet.newest("backed-up")
    if not backup or (changes and not _after(backup, changes[-1])):
        yield _item("backup")
    if not sheet.newest("photo"):
        yield _item("photo")
    for state in (MISSING, CHANGED):
        names = [file.name for file in sheet.files.values() if file.state == state]
        if names:
            yield _item(f"file_{state}", names=_named(names))
    kept = {plain.text(one.get("certificate")) for one in sheet.all("calibrated")}
    kept |= {plain.text(one.get("file")) for one in sheet.all("photo")}  # a backup may well lie elsewhere
    outside = [file.name for file in sheet.files.values() if file.state == OUTSIDE and file.name in kept]
    if outside:
        yield _item("file_outside", names=_named(outside))


def _keys(sheet: Sheet) -> Iterator[Item]:
    if not sheet.link_key:
        yield _item("link_key")
    if not sheet.seal:
        yield _item("seal")
    if sheet.seal_key_here:
        yield _item("seal_key")
    if sheet.update_key.state == MISSING:
        yield _item("update_key")


def _live(sheet: Sheet) -> Iterator[Item]:
    live = sheet.live
    if live is None:
        return
    if live.problem:
        yield _item("no_answer", port=live.port, what=live.problem)
        return
    if live.id != sheet.id:
        yield _item("live_id", found=live.id)
    if live.trial:
        yield _item("live_trial", what=live.trial)
    if live.safe:
        yield _item("live_safe", why=live.safe)
    if sheet.config.sha256 and not sheet.config.sha256.startswith(live.config):
        yield _item("live_config")
    other = [
        channel.name
        for channel in sheet.channels
        if (number := plain.whole(sheet.calibration(channel.name).get("number")))
        and live.calibrations.get(channel.name, (0, 0))[0] != number
    ]
    if other:
        yield _item("live_calibration", names=_named(other))
    lost = [f"{unit[0]}/{unit[1]}" for unit in live.units if unit[-1] == "1"]
    if lost:
        yield _item("live_lost", names=_named(lost))
