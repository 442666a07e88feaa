"""The sections that say what was done to a station: calibrations, tests, updates, photographs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.station.sheet import firmware, missing, plain
from tools.station.sheet.blocks import Block, Column, Facts, Note, Picture, Pictures, listed
from tools.station.sheet.model import MISSING, THERE, Channel, File, Sheet
from tools.station.sheet.words import NONE, Words

RECORDS = "records.jsonl"
PACKAGE = "a.pkg"
FOUND = ("unit", "baud", "parity", "stopbits", "profile", "how")  # of a unit that answered a scan


def sections(sheet: Sheet, words: Words) -> Iterator[tuple[str, list[Block]]]:
    """Their names and blocks, in order."""
    yield "calibrations", _calibrations(sheet, words)
    yield "tests", [*_scans(sheet, words), *_test(sheet, words)]
    yield "care", [*_updates(sheet, words), *_backups(sheet, words)]
    yield "photos", _photos(sheet, words)
    yield "records", _records(sheet, words)
    files = plain.table(sheet.newest("flashed").get("files"))
    if files:
        yield "files", _files(sheet, files, words)


def _files(sheet: Sheet, files: dict[str, Any], words: Words) -> list[Block]:
    """What was flashed, and of its package whether it still runs."""
    blocks: list[Block] = []
    state = firmware.flashed_package(sheet)
    if state:
        update = firmware.running_update(sheet)
        parts = {"version": firmware.version(update.get("to")), "when": words.when(update.get("at_ms"))}
        rows = [
            (words("package_runs"), words("package_updated", **parts)),
            (words("package"), plain.text(update.get("sha256")) or NONE),
        ]
        blocks.append(Facts(rows))
    rows = []
    for path, sha in sorted(files.items()):
        mark = f" ({words(f'package_{state}')})" if state and path == PACKAGE else ""
        rows.append([plain.text(path) + mark, plain.text(sha)])
    columns = [Column(words("file"), 2), Column(words("sha256"), 3)]
    return [*blocks, *listed(columns, rows, words, file=RECORDS)]


def by(record: dict[str, Any], words: Words) -> str:
    return plain.text(record.get("by"), 100) or words("unnamed")


def _file_said(file: File | None, words: Words) -> str:
    """A file's hash, with what is wrong with it."""
    if file is None:
        return words(f"state_{MISSING}")
    return file.sha256 if file.state == THERE else f"{words(f'state_{file.state}')} {file.sha256}".strip()


# ---- calibrations


def _calibrations(sheet: Sheet, words: Words) -> list[Block]:
    columns = [
        Column(words("channel"), 1.5), Column(words("when"), 1.7), Column(words("by"), 1.6),
        Column(words("slope"), 1, True), Column(words("offset"), 1, True),
        Column(words("zero_drift"), 1.4, True), Column(words("span_drift"), 1.4, True),
        Column(words("verdict"), 1.2), Column(words("term"), 1.4),
    ]  # fmt: skip
    rows = [_newest(sheet, channel, words) for channel in sheet.channels]
    blocks = listed(columns, rows, words, words("newest"))
    known = {channel.name for channel in sheet.channels}
    named = [plain.text(one.get("channel")) for one in sheet.all("calibrated")]
    for name in [*(c.name for c in sheet.channels), *sorted({name for name in named if name not in known})]:
        record = sheet.calibration(name)
        if record:
            blocks += _calibration(sheet, name, record, words)
    return blocks


def _newest(sheet: Sheet, channel: Channel, words: Words) -> list[str]:
    record = sheet.calibration(channel.name)
    term = _term(sheet, channel, words)
    if not record:
        return [channel.name, words("never"), *[NONE] * 6, term]
    drift = plain.table(record.get("drift"))
    return [
        channel.name, words.when(missing.calibrated_ms(record)), by(record, words),
        words.value(record.get("slope")), words.value(_rounded(record.get("offset"), channel)),
        *(_drift(drift, end, channel, words) for end in ("zero", "span")),
        _verdict(drift.get("ok"), words), term,
    ]  # fmt: skip


def _drift(drift: dict[str, Any], end: str, channel: Channel, words: Words) -> str:
    return f"{words.value(_rounded(drift.get(end), channel))} ({words.value(drift.get(f'{end}_max'))})"


def _rounded(value: object, channel: Channel | None) -> float | None:
    """A difference with two decimals more than the channel has: what is below is the arithmetic's own."""
    number = plain.number(value)
    known = [target.decimals for target in channel.targets] if channel else []
    known += [channel.decimals] if channel and channel.decimals is not None else []
    if number is None or not known:
        return number
    return round(number, max(known) + 2) + 0.0  # no -0


def _term(sheet: Sheet, channel: Channel, words: Words) -> str:
    days = missing.calibration_days(channel)
    if days is None:
        return words("no_term")
    return words("overdue" if missing.overdue(sheet, channel) else "next", days=days)


def passed(ok: object, words: Words) -> str:
    """What a test found; anything but true and false is not tested."""
    return words("ok_yes" if ok is True else "ok_no" if ok is False else "ok_open")


def _verdict(ok: object, words: Words) -> str:
    return words("holds" if ok is True else "beyond" if ok is False else "not_judged")


def _calibration(sheet: Sheet, name: str, record: dict[str, Any], words: Words) -> list[Block]:
    unit = plain.text(record.get("unit"), 40)
    channel = next((one for one in sheet.channels if one.name == name), None)
    residuals = plain.rows(record.get("residuals"))
    rows = []
    for at, (raw, reference) in enumerate(plain.pairs(record.get("points"))):
        left = _rounded(residuals[at] if at < len(residuals) else None, channel)
        rows.append([str(at + 1), words.value(raw), words.value(reference, unit), words.value(left, unit)])
    columns = [
        Column(words("points"), 1), Column(words("raw"), 1.5, True), Column(words("reference"), 1.5, True),
        Column(words("residual"), 1.5, True),
    ]  # fmt: skip
    heading = words("calibration_of", channel=name, number=plain.text(record.get("number")) or NONE)
    fit = "; ".join(
        f"{words.value(a)}: {words.value(_rounded(b, channel), unit)}"
        for a, b in plain.pairs(record.get("fit"))
    )
    facts = [(words("fit"), fit or NONE), (words("standards"), _standards(record, words))]
    if serial := plain.text(record.get("serial")):
        facts.insert(0, (words("serial"), serial))
    if checked := plain.table(record.get("checked")):
        parts = {key: words.value(checked.get(key), unit) for key in ("value", "reference")}
        facts.append((words("checked"), words("checked_text", **parts)))
    if certificate := plain.text(record.get("certificate")):
        state = _file_said(sheet.files.get(certificate), words)
        facts.append((words("certificate"), f"{certificate}: {state}"))
    return [*listed(columns, rows, words, heading), Facts(facts)]


def _standards(record: dict[str, Any], words: Words) -> str:
    given = record.get("standards")
    said = []
    for standard in plain.rows(given) or ([given] if given else []):
        if not isinstance(standard, dict):
            said.append(plain.text(standard))
            continue
        parts = []
        for key, text in (("number", "number"), ("value", "value"), ("uncertainty", "uncertainty")):
            if standard.get(key) is not None:
                value = standard[key]
                shown = words.value(value) if plain.number(value) is not None else plain.text(value)
                parts.append(words(f"standard_{text}", **{"number" if key == "number" else "value": shown}))
        if standard.get("valid_until"):
            parts.append(words("standard_until", day=words.day(standard["valid_until"])))
        known = ("number", "value", "uncertainty", "valid_until")
        parts += [plain.text(value) for key, value in standard.items() if key not in known]
        said.append(", ".join(filter(None, parts)))
    return "; ".join(filter(None, said)) or NONE


# ---- tests


def _scans(sheet: Sheet, words: Words) -> list[Block]:
    """The newest of each port."""
    newest = {plain.text(one.get("port")): one for one in sheet.all("scanned")}
    if not newest:
        return [Note(words("no_scan"))]
    columns = [
        Column(words("address"), 0.8, True), Column(words("baud"), 1, True), Column(words("parity"), 0.8),
        Column(words("stopbits"), 0.8, True), Column(words("fits"), 2), Column(words("how"), 1.6),
        Column(words("hints"), 3.4),
    ]  # fmt: skip
    blocks: list[Block] = []
    for port, scan in newest.items():
        heading = words("scan", port=port or NONE, when=words.when(scan.get("at_ms")), by=by(scan, words))
        rows = [
            [*(plain.text(unit.get(key)) or NONE for key in FOUND), plain.text(unit.get("hints"))]
            for unit in plain.tables(scan.get("units"))
        ]
        if rows:
            blocks += listed(columns, rows, words, heading, RECORDS)
        else:
            blocks.append(Note(f"{heading}: {words('scan_nobody')}"))
        if hints := plain.text(scan.get("hints"), 450):
            blocks.append(Note(words("line_hints", hints=hints)))
    return blocks


def _test(sheet: Sheet, words: Words) -> list[Block]:
    test = sheet.newest("tested")
    if not test:
        return [Note(words("no_test"))]
    heading = words("test", when=words.when(test.get("at_ms")), by=by(test, words))
    columns = [
        Column(words("kind"), 1), Column(words("name"), 1.6), Column(words("result"), 1.2),
        Column(words("said"), 4),
    ]  # fmt: skip
    rows = []
    for group in ("inputs", "outputs", "channels"):
        for row in plain.tables(test.get(group)):
            name, said = plain.text(row.get("name")), plain.text(row.get("said"))
            rows.append([words(f"test_{group}"), name, passed(row.get("ok"), words), said])
    return listed(columns, rows, words, heading, RECORDS)


# ---- updates, backups, photographs


def _updates(sheet: Sheet, words: Words) -> list[Block]:
    columns = [
        Column(words("when"), 1.6), Column(words("by"), 1.5), Column(words("version_from"), 1),
        Column(words("version_to"), 1), Column(words("counter"), 1.3, True), Column(words("sha256"), 3),
        Column(words("confirmed"), 1), Column(words("why"), 1.4),
    ]  # fmt: skip
    rows = []
    for one in reversed(sheet.all("updated")):
        confirmed = words("confirmed_yes" if one.get("confirmed") is True else "confirmed_no")
        said = [firmware.version(one.get(key)) or NONE for key in ("from", "to", "counter", "sha256")]
        why = plain.text(one.get("why")) or NONE
        rows.append([words.when(one.get("at_ms")), by(one, words), *said, confirmed, why])
    return listed(columns, rows, words, words("updates"), RECORDS)


def _backups(sheet: Sheet, words: Words) -> list[Block]:
    columns = [
        Column(words("when"), 1.5), Column(words("kind"), 1), Column(words("by"), 1.4),
        Column(words("file"), 2.2), Column(words("sha256"), 3.4),
    ]  # fmt: skip
    rows = []
    for one in reversed(sheet.records):
        if one["kind"] in ("backed-up", "restored"):
            name = plain.text(one.get("file"))
            sha = _recorded(one, sheet.files.get(name), words)
            rows.append(
                [words.when(one.get("at_ms")), words(f"record_{one['kind']}"), by(one, words), name, sha]
            )
    return listed(columns, rows, words, words("backups"), RECORDS)


def _recorded(record: dict[str, Any], file: File | None, words: Words) -> str:
    """The hash that was recorded, and whether the file still is that one."""
    said = plain.text(record.get("sha256")) or NONE
    state = file.state if file else MISSING
    return said if state == THERE else f"{said} – {words(f'state_{state}')}"


def _photos(sheet: Sheet, words: Words) -> list[Block]:
    pictures = []
    for one in sheet.all("photo"):
        name = plain.text(one.get("file"))
        jpeg = sheet.pictures.get(name)
        lines = [
            f"{words.when(one.get('at_ms'))}, {by(one, words)}",
            f"SHA-256 {_recorded(one, sheet.files.get(name), words)}",
            *([] if jpeg else [words("no_picture")]),
        ]
        pictures.append(Picture(jpeg, plain.text(one.get("what"), 200) or NONE, lines))
    return [Pictures(pictures)] if pictures else [Note(words("none"))]


# ---- records


def _records(sheet: Sheet, words: Words) -> list[Block]:
    columns = [
        Column(words("when"), 1.5), Column(words("what"), 1.7), Column(words("by"), 1.7),
        Column(words("details"), 4),
    ]  # fmt: skip
    rows = [
        [words.when(one.get("at_ms")), words(f"record_{one['kind']}"), by(one, words), _details(one, words)]
        for one in reversed(sheet.records)
    ]
    blocks = listed(columns, rows, words, file=RECORDS)
    if sheet.unreadable[0]:
        blocks.append(Note(words("unreadable", count=sheet.unreadable[0])))
    return blocks


def _details(record: dict[str, Any], words: Words) -> str:
    """The few words by which a record is recognised; all of it stands in its own section."""

    def said(key: str) -> str:
        return plain.text(record.get(key), 120) or NONE

    def numbered(key: str) -> str:
        return firmware.version(record.get(key)) or NONE

    match record["kind"]:
        case "new":
            again = f"; {words('made_again')}" if record.get("again") is True else ""
            return f"{said('id')}{again}; {words('seal_fingerprint')}: {said('seal')}"
        case "scanned":
            return f"{said('port')}; {words('units_count', count=len(plain.rows(record.get('units'))))}"
        case "flashed":
            return (
                f"{said('port')}; {said('board')}, MicroPython {said('micropython')}, {numbered('firmware')}"
            )
        case "tested":
            return passed(record.get("ok"), words)
        case "calibrated":
            return f"{said('channel')}: {said('number')}"
        case "updated":
            confirmed = words("confirmed_yes" if record.get("confirmed") is True else "confirmed_no")
            version = words("from_to", before=numbered("from"), after=numbered("to"))
            return f"{version}; {words('confirmed')}: {confirmed}"
        case "photo":
            return said("what")
    return said("file")
