"""`quantrac gateway restore`: a backup becomes a gateway again, and never one that signs a second history.

Rule 1: it goes on as the same log only where it is shown that nothing was signed beyond the backup: by the
        mark (log.checkpoint) that is still in state_dir, the journal alone being lost; or, without one, by
        every configured witness answering and one of them showing exactly the backup's newest checkpoint.
        What a witness shows beyond the backup counts against it in any case.
Rule 2: else it is refused, unless a new epoch is asked for: that is begun in the restored journal before it
        gets its name, so there is no moment in which the old log could be signed on.
Rule 3: nothing that exists is overwritten, but log.vkey and the mark of an epoch that is given up. What a
        restore that was killed leaves cannot sign: log.vkey comes first, so that no other key is made, and
        log.key after the journal, or with the epoch.
Rule 4: files outside of the configuration's folder are not written: whoever restores puts them there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from gateway import config as configuration
from gateway.backup import (
    BESIDE,
    CONFIG_FILE,
    ELSEWHERE,
    MANIFEST,
    STATE,
    Manifest,
    decode,
    digest,
)
from gateway.config import Config
from gateway.config_keys import witness_key
from gateway.errors import JournalError, Unreachable
from gateway.journal import durable, keys
from gateway.journal.checkpoints import opened, origin
from gateway.journal.handover import Begun, Loss, begin_epoch, loss, missing_key, old_signers
from gateway.journal.kinds import EVENT, GATEWAY
from gateway.journal.stopped import JOURNAL_FILE, Now, StoppedLog
from gateway.lock import lock
from gateway.reports.message import rfc3339
from gateway.succession import epoch_name, epoch_of
from gateway.witness import newest_shown
from protocol import cbor, note
from protocol.merkle import EvidenceError
from protocol.note import Signer

SILENT_EPOCHS = 3
"""So many numbers behind the newest known one are asked for: a witness need not have seen each epoch."""
RESTORING = JOURNAL_FILE + ".restoring"


class Restored(NamedTuple):
    """What came of it."""

    entries: int  # that the journal holds, with those about the restoring
    backup: Manifest
    shown_by: str  # what shows that nothing was signed beyond it; "" for a new epoch
    epoch: Begun | None
    given_up: str  # with an epoch: what is missing, sentences
    kept: list[Path]  # files that were there already, and are not those of the backup


class Refused(JournalError):
    """The log must not be gone on with from this backup; its text says why, and the way on."""


def restore(source: Path, config_path: Path, now: Now, new_epoch: str = "") -> Restored:
    """Restore `source` for the configuration in `config_path`, which is restored, too, when it is not there.
    `new_epoch`: why a new epoch is to begin. JournalError, ConfigFaults, OSError.
    """
    manifest = read_manifest(source)
    text = config_path.read_bytes() if config_path.exists() else (source / CONFIG_FILE).read_bytes()
    base, state_dir = _told_by(text, config_path)
    if (named := epoch_of(note.parse_vkey(manifest.log).name)[0]) != base:
        raise JournalError(f"This is a backup of {named}, and {config_path} is of {base}.")
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(state_dir / "gateway.lock"):
        for name in (JOURNAL_FILE, f"{JOURNAL_FILE}-wal"):
            if (state_dir / name).exists():
                raise JournalError(
                    f"There is a journal in {state_dir}, perhaps a newer one: move "
                    f"{state_dir / JOURNAL_FILE}* away first, and keep them."
                )
        return _Restore(source, manifest, config_path, base, state_dir, now).run(new_epoch)


def read_manifest(source: Path) -> Manifest:
    """The manifest of a backup, every file of which is as it was written."""
    path = source / MANIFEST
    if not path.exists():
        raise JournalError(f"{path} does not exist: give the folder that backup made.")
    manifest = decode(path.read_bytes())
    for name in (CONFIG_FILE, JOURNAL_FILE, f"{STATE}/{keys.VKEY_FILE}"):
        if name not in manifest.files:
            raise JournalError(f"The backup has no {name}: it cannot be restored by this.")
    for name, file in manifest.files.items():
        parts = Path(name).parts
        place = Path(file.place)
        inside = name.startswith(f"{ELSEWHERE}/") or (not place.is_absolute() and ".." not in place.parts)
        if Path(name).is_absolute() or ".." in parts or not inside:
            raise JournalError(f"{MANIFEST} names a file outside of its folder ({name!r}): do not trust it.")
        if (source / name).is_symlink() or not (source / name).is_file():
            raise JournalError(f"{source / name} is missing: take another backup.")
        if digest(source / name) != (file.sha256, file.bytes):
            raise JournalError(f"{source / name} is not as it was written: take another backup.")
    return manifest


def _told_by(text: bytes, config_path: Path) -> tuple[str, Path]:
    """The log's first name and state_dir, of a configuration whose files may not be there yet."""
    try:
        said: dict[str, Any] = tomllib.loads(text.decode("utf-8-sig"))
        station, place = said["station"], said.get("gateway", {}).get("state_dir", "gateway")
        return (
            origin(station["province"], station["facility"], station["code"]),
            config_path.absolute().parent / place,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise JournalError(
            f"{config_path} does not say which station it is: run quantrac gateway check {config_path}"
        ) from None


class _Restore:
    """With gateway.lock held."""

    def __init__(
        self, source: Path, manifest: Manifest, config_path: Path, base: str, state_dir: Path, now: Now
    ):
        self._source, self._manifest, self._config_path = source, manifest, config_path
        self._base, self._state_dir, self._now = base, state_dir, now
        self._mark = state_dir / keys.MARK_FILE
        self._kept: list[Path] = []

    def run(self, reason: str) -> Restored:
        own_mark = self._mark.exists()
        self._place(f"{STATE}/{keys.VKEY_FILE}", self._state_dir / keys.VKEY_FILE)
        self._place_files()
        try:
            return self._run(reason, own_mark)
        finally:
            for left in self._state_dir.glob(RESTORING + "*"):
                left.unlink()

    def _run(self, reason: str, own_mark: bool) -> Restored:
        config = configuration.load(self._config_path)
        words = asyncio.run(ask(config, self._base, self._numbers()))
        with closing(self._journal()) as log:
            verdict = _Verdict(log, words, own_mark, self._backup_mark(), self._missing_key(log))
            if verdict.loss is not None and not reason:
                raise Refused(
                    f"{verdict.loss.sentence} {_since(log)} Nothing was restored as the same log. If nothing "
                    "better turns up, restore with --new-epoch and the reason: the log then goes on under a "
                    "new name, and its first entry says what is missing."
                )
            if verdict.loss is None and reason:
                raise Refused(f"Nothing is missing ({verdict.shown_by}): restore without --new-epoch.")
            epoch = None
            if verdict.loss is not None:
                epoch = begin_epoch(log, reason, self._now, verdict.loss, self._signers(log), verdict.used)
            event = ["restored", GATEWAY, self._manifest.at_ms, self._manifest.entries, self._manifest.signed]
            log.add(EVENT, cbor.dumps(event), self._now)
            newest, entries = log.stored[0][1] if log.stored else None, log.size
            log.detach()
        self._finish(epoch, newest)
        given_up = "" if verdict.loss is None else verdict.loss.sentence
        return Restored(entries, self._manifest, verdict.shown_by, epoch, given_up, self._kept)

    # Files --------------------------------------------------------------------------------------------------

    def _place_files(self) -> None:
        """All but what makes it a log: the journal, its key, its name, its mark."""
        folder = self._config_path.absolute().parent
        special = {
            f"{STATE}/{name}" for name in (keys.KEY_FILE, keys.NEXT_FILE, keys.VKEY_FILE, keys.MARK_FILE)
        }
        missing = []
        for name, file in self._manifest.files.items():
            if name.startswith(f"{BESIDE}/"):
                self._place(name, folder / file.place)
            elif name.startswith(f"{STATE}/") and name not in special:
                self._place(name, self._state_dir / file.place)
            elif name.startswith(f"{ELSEWHERE}/") and not Path(file.place).exists():
                missing.append(f"cp '{self._source / name}' '{file.place}'")
        if missing and not self._config_path.exists():
            raise JournalError(
                "Put these files where they were, then say it again:\n  " + "\n  ".join(missing)
            )
        if not self._config_path.exists():
            self._place(CONFIG_FILE, self._config_path)

    def _place(self, name: str, target: Path) -> None:
        data = (self._source / name).read_bytes()
        if target.exists():
            if target.read_bytes() != data:
                self._kept.append(target)
            return
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.replace(target, data, 0o600)

    def _journal(self) -> StoppedLog:
        """The journal, beside its place."""
        path = self._state_dir / RESTORING
        for left in self._state_dir.glob(RESTORING + "*"):
            left.unlink()
        shutil.copyfile(self._source / JOURNAL_FILE, path)
        os.chmod(path, 0o600)
        file = self._manifest.files[JOURNAL_FILE]
        if digest(path, sync=True) != (file.sha256, file.bytes):
            raise JournalError(f"{self._source / JOURNAL_FILE} changed while it was copied: begin once more.")
        return StoppedLog(self._state_dir, self._base, path)

    def _finish(self, epoch: Begun | None, newest: bytes | None) -> None:
        """The journal gets its name; then what signs it (rule 3), then the mark."""
        os.replace(self._state_dir / RESTORING, self._state_dir / JOURNAL_FILE)
        durable.sync_folder(self._state_dir)
        if epoch is None:
            for name in (keys.NEXT_FILE, keys.KEY_FILE):
                if f"{STATE}/{name}" in self._manifest.files:
                    self._place(f"{STATE}/{name}", self._state_dir / name)
            if not self._mark.exists() and newest is not None:
                durable.replace(self._mark, newest)
        with closing(StoppedLog(self._state_dir, self._base)) as log:
            log.settle()

    # What is known ------------------------------------------------------------------------------------------

    def _backup_mark(self) -> bytes | None:
        name = f"{STATE}/{keys.MARK_FILE}"
        return (self._source / name).read_bytes() if name in self._manifest.files else None

    def _numbers(self) -> list[int]:
        """Epochs that log.vkey, here and in the backup, is of."""
        published = keys.published(self._state_dir, self._base)
        names = {note.parse_vkey(self._manifest.log).name} | ({published.name} if published else set())
        return sorted(epoch_of(name)[1] for name in names)

    def _signers(self, log: StoppedLog) -> list[Signer]:
        """The keys of the log until here: in state_dir, and in the backup."""
        found = old_signers(self._state_dir, log.key())
        theirs = note.parse_vkey(self._manifest.log)
        if not any(signer.verifier == theirs for signer in found):
            found += old_signers(self._source / STATE, theirs)
        return found

    def _missing_key(self, log: StoppedLog) -> str:
        """Why the log could not be signed on; "" when its key is here or in the backup."""
        key, place = log.key(), self._state_dir
        if not (place / keys.KEY_FILE).exists():
            place = self._source / STATE
        if (place / keys.NEXT_FILE).exists() and log.newest is not None:
            return ""  # a handover was under way, and is finished when the journal is opened
        return missing_key(place, key)


def _since(log: StoppedLog) -> str:
    return f"The backup ends with entry {log.size - 1}, of {rfc3339(log.after(Now(0, 0)).ms)}."


# What shows that nothing was signed beyond it ---------------------------------------------------------------


class Word(NamedTuple):
    """What one witness says."""

    witness: str
    shown: list[bytes]  # newest checkpoints of the epochs asked for
    later: list[str]  # names of later epochs that it has cosigned
    error: str = ""  # why it says nothing


async def ask(config: Config, base: str, numbers: list[int]) -> list[Word]:
    """Every configured witness, about these epochs of the log and what may have come after."""
    return list(await asyncio.gather(*(_ask(settings, base, numbers) for settings in config.witness)))


async def _ask(settings: configuration.Witness, base: str, numbers: list[int]) -> Word:
    name = witness_key(settings.vkey_file.read_bytes()).name
    shown, later, number = [], [], 0
    try:
        for number in numbers:
            if (data := await newest_shown(settings.url, epoch_name(base, number))) is not None:
                shown.append(data)
        last = number
        while number - last < SILENT_EPOCHS:
            number += 1
            if await newest_shown(settings.url, epoch_name(base, number)) is not None:
                later.append(epoch_name(base, number))
                last = number
    except Unreachable as error:
        return Word(name, [], [], str(error))
    return Word(name, shown, later)


class _Verdict:
    """Whether the log may be gone on with; `loss` says what is against it."""

    def __init__(
        self, log: StoppedLog, words: list[Word], own_mark: bool, backup_mark: bytes | None, missing: str
    ):
        self._log, self._words = log, words
        mark = (log.state_dir / keys.MARK_FILE).read_bytes() if own_mark else None
        self.used = max([1, *(epoch_of(name)[1] for word in words for name in word.later)])
        against = [missing] if missing else []
        against += [
            f"The witness {word.witness} has cosigned {name}: this log went on as a later epoch."
            for word in words
            for name in word.later
        ]
        notes = [path.read_bytes() for path in keys.remembered(log.state_dir)]
        notes += [data for word in words for data in word.shown]
        self.shown_by = self._shown_by(mark, backup_mark)
        found = loss(log, notes, " ".join(against))
        if found is None and not self.shown_by:
            found = Loss([], [], [self._unknown(mark)], 0, log.size)
        self.loss: Loss | None = found
        if found is not None:
            self.shown_by = ""

    def _shown_by(self, mark: bytes | None, backup_mark: bytes | None) -> str:
        """Whose word it is that nothing was signed beyond the backup; "" for nobody's."""
        log, signed = self._log, self._log.stored[0][0] if self._log.stored else 0
        if mark is not None:
            return "by log.checkpoint" if self._size(mark) >= self._size(backup_mark) else ""
        if not self._words or any(word.error for word in self._words):
            return ""
        for word in self._words:
            if any(self._size(data) == signed for data in word.shown) and log.stored:
                return f"by the witness {word.witness}"
        return ""

    def _size(self, data: bytes | None) -> int:
        """Entries that a checkpoint of this log signs; -1 for none that can be believed."""
        log = self._log
        known = {key for entry in log.history for key in (entry.old_key, entry.new_key)} | {log.key()}
        try:
            return (
                -1
                if data is None
                else opened(data, [key for key in known if key.name == log.key().name]).size
            )
        except EvidenceError:
            return -1

    def _unknown(self, mark: bytes | None) -> str:
        away = [f"{word.witness} does not answer ({word.error})" for word in self._words if word.error]
        if mark is not None:
            why = "log.checkpoint in state_dir is older than the one in the backup"
        elif not self._words:
            why = "there is no log.checkpoint in state_dir, and no witness to ask"
        elif away:
            why = "there is no log.checkpoint in state_dir, and the witness " + "; ".join(away)
        else:
            why = (
                "there is no log.checkpoint in state_dir, and no witness shows the backup's newest checkpoint"
            )
        return (
            f"Nothing shows that nothing was signed after the backup: {why}. Entries from {self._log.size} "
            "on may have been signed."
        )
