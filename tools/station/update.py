"""`quantrac station update`: a signed package, or a station.json, from this machine into a station, and kept.

Rule 1: everything that can be known here is checked before a byte is sent; the device checks it all again.
Rule 2: what runs is not touched: the new firmware becomes the other slot, the former configuration stays
        beside the new one. Whoever is interrupted, at whatever step, says the same again.
Rule 3: "updated" is recorded once what became of it is known, or once nobody waits for that any more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError
from protocol.messages import Hello
from tools.people import Failure, UsageError
from tools.station import changes, kept, on_trial, package, send
from tools.station.access import Access
from tools.station.bring import Bringer, Refused, facts, in_words, named
from tools.station.folder import DEVICE, Folder
from tools.station.on_trial import CONFIGURATION, FIRMWARE, Change, Verdict
from tools.station.package import Package
from tools.station.steady import SteadyLink
from tools.station.voice import Voice, agreed, date, harmless

CONFIG_BYTES_MAX = 32_768
USED = "is not above"
"""In the device's words of a package that it had before, or a newer one (firmware/update.py)."""


@dataclass(frozen=True)
class UpdateOptions:
    """What the command line said. Without package and config: how the last update stands."""

    access: Access
    package: Path | None = None
    config: bool = False
    yes: bool = False
    wait: bool = True
    json: bool = False
    patience_s: float = 30.0


def run_update(options: UpdateOptions) -> int:
    """Do it. 0 when the station runs it, and has confirmed it where that was waited for; 1 when a person left
    it alone. Failure, also when it went back, and UsageError with what to do.
    """
    folder = options.access.folder()
    if options.package is not None and options.config:
        raise UsageError("Bring one thing at a time: a package, or --config.")
    work = _Update(options, folder)
    if options.package is not None:
        work.load_package(options.package)
    elif options.config:
        work.load_config()
    return asyncio.run(work.run())


class _Update:
    def __init__(self, options: UpdateOptions, folder: Folder) -> None:
        self._options, self._folder = options, folder
        self._voice = Voice(options.json)
        self._bringer = Bringer(folder, options.access, self._voice)
        self._data, self._sha256 = b"", ""
        self._left_open: Change | None = None  # by an earlier call
        self._package: Package | None = None
        self._config: dict[str, Any] | None = None

    # ---- what is known before anything is sent

    def _take(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._sha256 = hashlib.sha256(self._data).hexdigest()

    def load_package(self, path: Path) -> None:
        """Everything that can be checked here. Failure, UsageError."""
        public = self._folder.path / DEVICE / package.PUBLIC_FILE
        if not public.is_file():
            raise UsageError(
                f"{public} is missing, by which the package is checked: copy update.pub there from whoever "
                "signs the packages. A station that was flashed without it takes none."
            )
        self._take(path)
        try:
            self._package = package.read(self._data, public.read_bytes())
        except ConfigError as error:
            raise Failure(f"{path} is not sent: {error}.") from None
        if time.time_ns() // 1_000_000 >= self._package.expires_ms:
            raise Failure(
                f"{path} is not sent: it expired on {date(self._package.expires_ms)}: make a new one."
            )
        self._check_counter(path, self._package)

    def _check_counter(self, path: Path, given: Package) -> None:
        done = kept.updates(self._folder, FIRMWARE)
        back = [one for one in done if one["sha256"] == self._sha256 and one.get("confirmed") is False]
        if back:
            raise Failure(
                f"{path} is not sent: the station went back from it on {date(back[-1]['at_ms'])}, and takes "
                "no package twice. Make a new one, with a higher counter."
            )
        highest = kept.highest_counter(self._folder)
        newest = bool(done) and done[-1]["sha256"] == self._sha256
        if given.counter <= highest and not newest:
            raise Failure(
                f"{path} is not sent: its counter {given.counter} is not above {highest}, which the station "
                "has had: it is old, make a new package."
            )

    def load_config(self) -> None:
        """device/station.json. Failure when it is none."""
        path = self._folder.path / DEVICE / kept.STATION
        self._take(path)
        try:
            self._config = json.loads(self._data)
        except ValueError as error:
            raise Failure(f"{path} is not sent: it is no JSON ({error}).") from None
        if not isinstance(self._config, dict) or len(self._data) > CONFIG_BYTES_MAX:
            raise Failure(f"{path} is not sent: it is no table of at most {CONFIG_BYTES_MAX:,} bytes.")

    # ---- the way

    async def run(self) -> int:
        async with SteadyLink(self._options.access, self._options.patience_s) as line:
            self._voice.hint(f"Waiting for {self._folder.id} on {line.port} ...")
            hello = (await line.greeted()).hello
            if hello.device != self._folder.id:
                raise UsageError(
                    f"{harmless(hello.device)} answers here, and the folder is of {self._folder.id}."
                )
            self._left_open = kept.under_way(self._folder)
            if self._left_open is not None:
                found = await self._resume(line, self._left_open)
                if found is not None:
                    return found
            if self._package is not None:
                return await self._bring_package(line, self._package)
            if self._config is not None:
                return await self._bring_config(line, self._config)
            return self._nothing_under_way(hello)

    async def _resume(self, line: SteadyLink, change: Change) -> int | None:
        """Finish what an earlier call left open. None: go on with what was asked for."""
        asked = self._sha256 if self._data else change.sha256
        verdict = await on_trial.glance(line, change)
        station = line.station
        assert station
        if verdict is not None:
            self._bringer.record(change, verdict)
            if asked != change.sha256:
                return None
            return self._tell(change, verdict)
        if asked == change.sha256 and change.runs(station.hello):
            self._voice.say(f"{station.id} has started with {named(change)} already.")
            return await self._judge(line, change)
        if not self._data:
            runs = in_words(change, change.of(station.hello))
            self._voice.say(
                f"{station.id} runs {runs}: {named(change)} has not come to run, or it went back. Say the "
                "same with what is to be sent."
            )
            return 1
        return None

    def _nothing_under_way(self, hello: Hello) -> int:
        last = (self._folder.records("updated") or [None])[-1]
        firmware, config = harmless(hello.firmware), hello.config_hash.hex()
        if self._options.json:
            told = {"id": hello.device, "firmware": firmware, "configuration": config, "last": last}
            print(json.dumps(told, ensure_ascii=False))
            return 0
        self._voice.say(f"{hello.device} runs {firmware}, configuration {config}.")
        if last is None:
            self._voice.say("No update of it is recorded. Name a package, or say --config.")
            return 0
        end = "its end was not waited for"
        if last.get("confirmed") is True:
            end = "confirmed"
        elif last.get("confirmed") is False:
            end = f"went back: {last.get('why') or 'no reason was told'}"
        self._voice.say(f"Last update, {date(last['at_ms'])}: {last.get('from')} -> {last.get('to')}, {end}.")
        return 0

    async def _bring_package(self, line: SteadyLink, given: Package) -> int:
        status = await on_trial.status_of(line, self._options.patience_s)
        station = line.station
        assert station
        hello = station.hello
        board = str(status.get("board"))
        if board not in given.ports:
            raise Failure(
                f"Not sent: the package is for {', '.join(given.ports)}, and this board is "
                f"{harmless(board)}: make one with `station package make --board {harmless(board)}`."
            )
        if trial := status.get("trial"):
            raise Failure(
                f"Not sent: {harmless(str(trial))} is on trial, and nothing is installed beside it. Wait "
                "until it is confirmed: ten minutes without a fault."
            )
        after = kept.greeting(given) or f"quantrac {given.version}"
        change = Change(
            FIRMWARE, given.version, hello.firmware, after, hello.boot, self._sha256, given.counter
        )
        done = kept.updates(self._folder, FIRMWARE)[-1:]
        if done and done[0]["sha256"] == self._sha256 and done[0]["confirmed"] and after == hello.firmware:
            return self._runs_already(change, done[0]["at_ms"])
        old = kept.running(self._folder, hello.firmware, but=self._sha256)
        counter = old.package.counter if old else "not known"
        say = self._voice.say
        say(f"{station.id}, board {board}, boot {hello.boot}:")
        say(f"version  {in_words(change, change.before)} -> {given.version}", "  ")
        say(f"counter  {counter} -> {given.counter}", "  ")
        say(f"made     {date(given.created_ms)}, expires {date(given.expires_ms)}", "  ")
        self._voice.rows(changes.of_package(old.package if old else None, given))
        if not change.told_apart:
            say(f"Both greet as {after}, so it will not be seen from here which of them runs.")
        say("What runs now stays in the other slot: it is back when the new one does not live ten minutes.")
        if not agreed("Send it?", self._options.yes):
            return _left_alone(self._voice)
        kept.keep_package(self._folder, self._data, given)
        return await self._bring(line, change, send.PACKAGE)

    async def _bring_config(self, line: SteadyLink, given: dict[str, Any]) -> int:
        station = line.station
        assert station
        hello = station.hello
        had, gets = hello.config_hash.hex(), kept.config_hash(self._data)
        say = self._voice.say
        change = Change(CONFIGURATION, gets, had, gets, hello.boot, self._sha256)
        if had == gets:
            return self._runs_already(change, None)
        say(f"{station.id}, boot {hello.boot}: configuration {had} -> {gets}")
        self._voice.rows(changes.of_config(kept.config(self._folder, had), given, hello))
        say("The former one stays on the device: it is back when this one does not live ten minutes.")
        if not agreed("Send it?", self._options.yes):
            return _left_alone(self._voice)
        kept.keep_config(self._folder, self._data)
        return await self._bring(line, change, send.CONFIG)

    def _runs_already(self, change: Change, since_ms: int | None) -> int:
        since = f", confirmed on {date(since_ms)}" if since_ms else ""
        self._voice.say(f"{self._folder.id} runs {named(change)} already{since}: there is nothing to send.")
        self._print(change, Verdict(True if since_ms else None, "it ran already"))
        return 0

    async def _bring(self, line: SteadyLink, change: Change, name: str) -> int:
        try:
            change = await self._bringer.bring(line, change, name, self._data)
        except Refused as refused:
            before = self._left_open
            if before and before.sha256 == change.sha256 and USED in refused.said:
                verdict = await on_trial.gone(line, before)
                self._bringer.record(before, verdict)
                return self._tell(before, verdict)
            raise
        return await self._judge(line, change)

    async def _judge(self, line: SteadyLink, change: Change) -> int:
        if self._options.wait:
            return self._tell(change, await self._bringer.judge(line, change))
        self._print(change, self._bringer.leave(change))
        return 0

    def _tell(self, change: Change, verdict: Verdict) -> int:
        self._print(change, verdict)
        self._bringer.tell(change, verdict)
        return 0

    def _print(self, change: Change, verdict: Verdict) -> None:
        if self._options.json:
            print(json.dumps(facts(change, verdict), ensure_ascii=False))


def _left_alone(voice: Voice) -> int:
    voice.say("Nothing was sent.")
    return 1
