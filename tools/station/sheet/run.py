"""`quantrac station report` and `quantrac station photo`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.journal import durable
from tools.people import DOES_NOT_HOLD, Failure, UsageError
from tools.station.access import Access
from tools.station.folder import PHOTOS, Folder
from tools.station.sheet.model import Sheet
from tools.station.sheet.words import LANGUAGES
from tools.station.voice import whoever

EPOCH = "SOURCE_DATE_EPOCH"
WIDTH = 80
PHOTO_BYTES_MAX = 200_000_000


@dataclass(frozen=True)
class ReportOptions:
    """What the command line said."""

    dir: Path
    port: str = ""
    key: Path | None = None
    out: Path | None = None
    lang: str = "both"
    check: bool = False
    json: bool = False


def run_report(options: ReportOptions, made_ms: int | None = None) -> int:
    """Write the sheet. 0; 1 when --port found no station, and with --check when something is missing."""
    if options.lang not in (*LANGUAGES, "both"):
        raise UsageError(f'--lang "{options.lang}": write vi, en or both.')
    folder = Folder.at(options.dir)
    sheet = made(options, folder, _moment() if made_ms is None else made_ms)
    languages = LANGUAGES if options.lang == "both" else (options.lang,)
    out = options.out or options.dir
    paths = write(sheet, languages, out)
    missing = _say(options, sheet, paths)
    if sheet.live and sheet.live.problem:
        print(sheet.live.problem, file=sys.stderr)
        return DOES_NOT_HOLD
    return DOES_NOT_HOLD if options.check and missing else 0


def made(options: ReportOptions, folder: Folder, made_ms: int) -> Sheet:
    """The sheet, with what the device itself says where there is a port."""
    from tools.station.sheet.live import asked
    from tools.station.sheet.read import read

    live = asked(Access(options.port, options.dir, options.key)) if options.port else None
    return read(folder, made_ms, live)


def write(sheet: Sheet, languages: Sequence[str], out: Path) -> list[Path]:
    """The files, each whole or not at all; with the language in their names when there are several."""
    from tools.station.sheet import html, pdf

    stem = f"commissioning-{re.sub('[^A-Za-z0-9_-]', '_', sheet.id) or 'station'}"
    durable.make_folder(out)
    paths = []
    for language in languages:
        name = f"{stem}.{language}" if len(languages) > 1 else stem
        for suffix, render in (("html", html.render), ("pdf", pdf.render)):
            path = out / f"{name}.{suffix}"
            durable.replace(path, render(sheet, language))
            paths.append(path)
    return paths


def _say(options: ReportOptions, sheet: Sheet, paths: Sequence[Path]) -> int:
    """What was written and what is missing; how much that is."""
    from tools.station.sheet.blocks import without
    from tools.station.sheet.missing import missing
    from tools.station.sheet.sections import lead, points
    from tools.station.sheet.words import Words

    said = {one: [without(text, sheet.secrets) for text in points(sheet, Words(one))] for one in LANGUAGES}
    if options.json:
        found = [
            {"key": item.key, "vi": vi, "en": en}
            for item, vi, en in zip(missing(sheet), said["vi"], said["en"], strict=True)
        ]
        answered = None if sheet.live is None else not sheet.live.problem
        told = {
            "id": sheet.id,
            "files": [str(path) for path in paths],
            "missing": found,
            "answered": answered,
        }
        print(json.dumps(told, ensure_ascii=False))
        return len(found)
    for path in paths:
        print(path)
    words = Words("vi" if options.lang == "vi" else "en")
    lines = said[words.language]
    print(lead(len(lines), words))
    for line in lines:
        print(textwrap.fill(line, WIDTH, initial_indent="  - ", subsequent_indent="    "))
    return len(lines)


def _moment() -> int:
    """When the sheet is made: now, or what SOURCE_DATE_EPOCH says (Unix seconds)."""
    given = os.environ.get(EPOCH)
    if given is None:
        return time.time_ns() // 1_000_000
    if not given.isascii() or not given.isdigit() or not int(given) < 253_402_214_400:
        raise UsageError(f'{EPOCH}="{given}": write Unix seconds, or unset it.')
    return int(given) * 1000


def run_photo(files: Sequence[Path], folder: Folder, what: str, by: str, as_json: bool = False) -> int:
    """Keep photographs in the folder, under their SHA-256; nothing is kept when one cannot be read."""
    if not what.strip():
        raise UsageError('Say what the photograph shows: --what "cabinet, open".')
    contents = [(path, _photo(path)) for path in files]
    durable.make_folder(folder.path / PHOTOS)
    told, by = [], whoever(by)
    for path, content in contents:
        sha256 = hashlib.sha256(content).hexdigest()
        suffix = path.suffix.lower() if re.fullmatch(r"\.[a-z0-9]{1,8}", path.suffix.lower()) else ""
        name = f"{PHOTOS}/{sha256}{suffix}"
        if not (folder.path / name).exists():
            durable.replace(folder.path / name, content)
        told.append(folder.record("photo", by, file=name, sha256=sha256, what=what.strip()))
        if not as_json:
            print(f"{path} is kept as\n  {name}")
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
    return 0


def _photo(path: Path) -> bytes:
    try:
        if path.stat().st_size > PHOTO_BYTES_MAX:
            raise UsageError(f"{path} has more than {PHOTO_BYTES_MAX // 1_000_000} MB: name a smaller one.")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a photograph.") from None
    if not content:
        raise Failure(f"{path} is empty: take the photograph again.")
    return content
