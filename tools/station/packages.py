"""`quantrac station package`: keys of updates, a signed package of this checkout, and a look into one."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from pathlib import Path

from protocol.errors import ConfigError
from tools.people import Failure, UsageError
from tools.station import bytecode, kept, package
from tools.station.folder import Folder
from tools.station.voice import Voice, date

FIRMWARE = re.compile(r'^FIRMWARE = "quantrac [^"]*"$', re.MULTILINE)
"""In firmware/station.py: what a device tells in its greeting."""
SECRET = 0o077


def run_keygen(folder: Path) -> int:
    """update.pem and update.pub in `folder`, which is made. UsageError when there are some already."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        private, public = package.keygen(folder)
    except FileExistsError:
        raise UsageError(
            f"{folder} holds an {package.KEY_FILE} already: stations that trust it would take no update of "
            "another key. Name another folder."
        ) from None
    voice = Voice()
    voice.say(f"{private}: signs updates. Keep it secret, and keep a copy where it cannot burn.")
    voice.say(f"{public}: goes onto every station: `station new --update-public` puts it there.")
    return 0


def run_make(
    key: Path, version: str, out: Path, board: str, counter: int | None, days: int, dir: Path | None = None
) -> int:
    """A package of this checkout in `out`, whole or not at all. UsageError, ConfigError: what to change."""
    if counter is None and dir is not None:
        counter = max(time.time_ns() // 1_000_000_000, kept.highest_counter(Folder.at(dir)) + 1)
    data = make(key.read_bytes(), version, board, counter, days)
    part = out.with_name(out.name + ".part")
    part.write_bytes(data)
    part.replace(out)
    read = package.read(data, None)
    voice = Voice()
    voice.say(
        f"{out}: version {version} for {board}, counter {read.counter}, {len(data):,} bytes, valid until "
        f"{date(read.expires_ms)}."
    )
    if key.stat().st_mode & SECRET:
        voice.say(f"{key} can be read by others on this machine: chmod 600 {key}")
    return 0


def make(key: bytes, version: str, board: str, counter: int | None = None, days: int = 90) -> bytes:
    """The firmware of this checkout as a signed package; the device will greet as "quantrac <version>".

    counter: None takes Unix seconds. UsageError for a version or a board that no device has; ConfigError.
    """
    if board not in package.PORTS:
        raise UsageError(f'No board is called "{board}": write one of {", ".join(package.PORTS)}.')
    if not re.fullmatch(r"[0-9A-Za-z.+-]{1,23}", version):
        raise UsageError("--version: write 1 to 23 letters, digits and . + -, such as 0.2.0.")
    now_ms = time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory(prefix="quantrac-") as place:
        sources, built = Path(place) / "sources", Path(place) / "built"
        _sources(sources, version)
        bytecode.build(built, board, root=sources)
        return package.make(
            built,
            key,
            version=version,
            counter=now_ms // 1000 if counter is None else counter,
            created_ms=now_ms,
            expires_ms=now_ms + days * package.DAY_MS,
            ports=[board],
        )


def _sources(target: Path, version: str) -> None:
    """A copy of the firmware that tells this version. Failure when there is no place for it in the source."""
    for part in bytecode.PACKAGES:
        shutil.copytree(bytecode.ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    path = target / "firmware" / "station.py"
    text, found = FIRMWARE.subn(f'FIRMWARE = "quantrac {version}"', path.read_text(encoding="utf-8"))
    if found != 1:
        raise Failure("firmware/station.py does not say FIRMWARE once: this checkout has been changed there.")
    path.write_text(text, encoding="utf-8")


def run_show(path: Path, public: Path | None, as_json: bool) -> int:
    """What is in a package. Failure when it is none, or not signed by whom `public` belongs to."""
    data = path.read_bytes()
    try:
        read = package.read(data, public.read_bytes() if public else None)
    except ConfigError as error:
        raise Failure(f"{path}: {error}.") from None
    if as_json:
        facts = {
            "version": read.version,
            "boards": list(read.ports),
            "counter": read.counter,
            "created_ms": read.created_ms,
            "expires_ms": read.expires_ms,
            "signature": "checked" if public else "not checked",
            "files": {name: len(content) for name, content in read.files.items()},
        }
        print(json.dumps(facts))
        return 0
    voice = Voice()
    voice.say(f"version {read.version} for {', '.join(read.ports)}, counter {read.counter}")
    voice.say(f"greets as {kept.greeting(read) or 'nobody knows'}")
    voice.say(f"made {date(read.created_ms)}, expires {date(read.expires_ms)}")
    voice.say("signature checked" if public else "signature NOT checked: say --public update.pub")
    for name, content in read.files.items():
        print(f"{len(content):10,} {name}")
    return 0
