"""A station's folder on the technician's machine: `quantrac station new` makes it, the other verbs read it.

    site.json       what is wired: what build.py reads, without keys
    link.key        the link key, 64 hex digits, mode 0600; the gateway needs a copy
    device/         files of the new device: identity.json, link.key, station.json, update.pub where updates
                    are signed, and seal.key until `flash` has handed it over (it must not stay here)
    gateway.toml    the [[device]] and [[channel]] blocks for the gateway's configuration
    records.jsonl   what was done, one JSON object a line, oldest first; only ever appended
    certificates/, photos/, backups/    what records name

Rule 1: a record is on disk before the verb says that it is done. A line that power cut short is passed over.
Rule 2: a record says what was found, never what it means: `report` judges anew.
Every record has "kind" (of KINDS), "at_ms" (Unix ms of this machine) and "by"; what else, KINDS says.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from gateway.journal import durable
from protocol.errors import ConfigError
from tools.people import Failure, UsageError

SITE, KEY, DEVICE, GATEWAY, RECORDS = "site.json", "link.key", "device", "gateway.toml", "records.jsonl"
CERTIFICATES, PHOTOS, BACKUPS = "certificates", "photos", "backups"
KINDS = {
    "new": "id, seal (fingerprint or null)",
    "scanned": "port, units [{unit, baud, parity, stopbits, profile or null, how, hints [text]}], "
    "hints [text]",
    "flashed": "port, board, micropython, firmware, image (SHA-256 or null), files {path: SHA-256}",
    "tested": "inputs, outputs, channels [{name, ok or null, said; of channels display: true when a person "
    "saw the same on the instrument, false, or null}], ok",
    "calibrated": "channel, unit, number, points [[raw, reference]], fit [[raw, engineering]], slope, "
    "offset, residuals, drift {zero, span, zero_max, span_max, ok}, standards, certificate (file)",
    "updated": "what (firmware, configuration), from, to, counter (or null), sha256, confirmed (null: nobody "
    "waited; a later record says it), why",
    "backed-up": "file, sha256",
    "restored": "file, sha256, onto (folder, device), and of a device: configuration, calibrations {channel: "
    "number}",
    "photo": "file, sha256, what",
}


class Folder:
    """A station's folder. `at(path)` opens one that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def at(cls, path: Path) -> Folder:
        """UsageError when it is no station's folder."""
        if not (path / SITE).is_file():
            raise UsageError(
                f"{path} is no station's folder: name one with --dir, or make one with `station new`."
            )
        return cls(path)

    def site(self) -> dict[str, Any]:
        """What is wired, as build.py reads it, with the link key; the seal key is not kept. ConfigError."""
        path = self.path / SITE
        try:
            site = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is no JSON ({error}): restore it from a backup.") from None
        if not isinstance(site, dict):
            raise ConfigError(f"{path} holds no table: restore it from a backup.")
        return {**site, "key": self.key().hex()}

    @property
    def id(self) -> str:
        id = self.site().get("id")
        if not isinstance(id, str) or not id:
            raise ConfigError(f"{self.path / SITE} names no station (id): restore it from a backup.")
        return id

    def key(self) -> bytes:
        """The 32 bytes of the link key. UsageError when the file holds anything else."""
        from tools.station.link import read_key

        return read_key(self.path / KEY)

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """What was done, oldest first; all kinds when none is named."""
        try:
            lines = (self.path / RECORDS).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                one = json.loads(line)
            except (ValueError, RecursionError):
                continue
            kind = one.get("kind") if isinstance(one, dict) else None
            if isinstance(kind, str) and kind in KINDS and (not kinds or kind in kinds):
                found.append(one)
        return found

    def record(self, kind: str, by: str, **facts: Any) -> dict[str, Any]:
        """Append a record and wait until it is on disk. Failure with what to do when it cannot be kept."""
        if kind not in KINDS:
            raise ValueError(kind)
        made = {"kind": kind, "at_ms": time.time_ns() // 1_000_000, "by": by, **facts}
        path = self.path / RECORDS
        text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
        line = text.encode("utf-8", "replace") + b"\n"  # a terminal may hand over what is no text
        try:
            begun = path.exists()
            with path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # of a line that power cut short
                        line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if not begun:
                durable.sync_folder(self.path)  # its name, too, is on disk
        except OSError as error:
            raise Failure(
                f"{path} cannot be written ({error.strerror}): what was done is not recorded."
            ) from error
        return made
