"""`quantrac station test-io`: every contact, relay, loop and channel of a station, tried out with a person.

Rule 1: it is recorded when it is over, whole; stopped before that, nothing is recorded and every relay off.
Rule 2: ok is what was seen. What was left out is "not tested" in the record, never ok.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tools.people import Failure
from tools.station.access import Access
from tools.station.folder import RECORDS, Folder
from tools.station.link import StationLink
from tools.station.live.contacts import COLUMNS, Contact, watch
from tools.station.live.displays import compared
from tools.station.live.found import WORDS, Found, results, together
from tools.station.live.judged import WAIT_S, judged
from tools.station.live.known import Known, known
from tools.station.live.layout import DIM, screen_width, table, wrapped
from tools.station.live.outputs import Switching, switched_off
from tools.station.live.peek import Peek
from tools.station.live.read import fitting, follow, greeted
from tools.station.live.sheet import Now, Sheet
from tools.station.live.typed import Typed

PATIENCE_S = 30.0
Parts = list[tuple[str, list[Found]]]
"""What was found, by kind: inputs, outputs, channels."""


@dataclass(frozen=True)
class IoOptions:
    """What the command line said. `seconds`: how long contacts are waited for; None: as long as it takes."""

    port: str
    dir: Path
    by: str = ""
    inputs_only: bool = False
    yes: bool = False
    sampler: bool = False
    seconds: float | None = None
    channel_seconds: float = WAIT_S
    json: bool = False


def run_test_io(options: IoOptions) -> int:
    """Test and record. 0 when nothing failed, 1 when something did; Failure when the station is not there."""
    return asyncio.run(_test(options))


async def _test(options: IoOptions) -> int:
    folder = Folder.at(options.dir)
    facts = known(folder)
    say = _Say(options.json)
    async with greeted(Access(options.port, options.dir)) as (link, station):
        fitted, notes = fitting(facts, station, options.dir)
        assert fitted is facts
        peek = Peek(link, [], patience_s=PATIENCE_S)
        await peek.look()
        _refuse_safe_mode(link, peek)
        for note in notes:
            say(note)
        nobody = options.yes
        async with nullcontext() if nobody else Typed(sys.stdin) as typed:
            commission = _Commission(options, facts, link, peek, say, typed)
            parts = await commission.run()
    found = [one for _, tested in parts for one in tested]
    facts_of = {kind: [one.facts for one in tested] for kind, tested in parts}
    for row in facts_of["channels"]:
        row["display"] = commission.displays.get(row["name"])
    ok = together(found)
    if not options.json:
        say.table(parts)
    record = folder.record("tested", options.by or getpass.getuser(), **facts_of, ok=ok)
    if options.json:
        print(json.dumps(record, ensure_ascii=False), flush=True)
    else:
        say.recorded(parts, ok, folder)
    return 1 if ok is False else 0


def _refuse_safe_mode(link: StationLink, peek: Peek) -> None:
    safe = (peek.status or {}).get("safe")
    if safe:
        reason = (link.station.safe_mode if link.station else None) or safe
        raise Failure(
            f"The station is in safe mode, its inputs and outputs are off: {reason}. Mend that, then end it "
            "with the command safe in `station console`."
        )


class _Commission:
    """One test. `typed` is None where nobody may be asked."""

    def __init__(
        self, options: IoOptions, facts: Known, link: StationLink, peek: Peek, say: _Say, typed: Typed | None
    ) -> None:
        self.options, self.facts, self.link, self.peek = options, facts, link, peek
        self.say, self.typed = say, typed
        self.switching = Switching(
            link, peek, self._ask, say, asks=typed is not None, sampler=options.sampler
        )
        self.displays: dict[str, bool | None] = {}

    async def run(self) -> Parts:
        """What was found of inputs, outputs and channels. When it is stopped, every relay goes off first."""
        try:
            inputs = await self._inputs()
            left = self.options.inputs_only
            outputs = self._left(self.facts.outputs) if left else await self._outputs(inputs)
            names = [{"id": name} for name in self.facts.channels]
            channels = self._left(names) if left else await self._channels()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.say.error(await switched_off(self.switching))
            raise
        except Failure as failure:
            said = await switched_off(self.switching)
            raise Failure(f"{failure} {said}") from None
        return [("inputs", inputs), ("outputs", outputs), ("channels", channels)]

    @staticmethod
    def _left(rows: Sequence[dict]) -> list[Found]:
        return [Found(row["id"], None, "not tried: --inputs-only") for row in rows]

    # ---- inputs

    async def _inputs(self) -> list[Found]:
        contacts = [Contact(row) for row in self.facts.inputs]
        if not contacts:
            return []
        typed = self.typed
        key = "" if typed is None else " The key s leaves the one at > out."
        self.say(f"Open and close each contact until it was seen in both states.{key}")
        self.peek.blocks = []
        with typed.keys() if typed else nullcontext(), self.say.contacts() as show:
            await watch(contacts, self.peek, typed, self.options.seconds, show)
        return [contact.result or Found(contact.name, None, "not seen") for contact in contacts]

    # ---- outputs

    async def _outputs(self, inputs: list[Found]) -> list[Found]:
        found = []
        if self.typed and any(row["kind"] == "relay" for row in self.facts.outputs):
            self.say("Relays: see to it that nobody works on what they drive.")
        for row in self.facts.outputs:
            tested = await self.switching.test(row)
            self.say(f"{tested.name}: {WORDS[tested.ok][0]}, {tested.said}")
            found.append(tested)
            if tested.ok and row.get("feedback"):
                _answered(inputs, row["feedback"])
        return found

    async def _ask(self, question: str) -> str | None:
        assert self.typed
        self.typed.forget()
        self.say.question(question)
        answer = await self.typed.line()
        if not self.typed.terminal:
            self.say(answer if answer is not None else "(nobody answered)")
        return answer

    # ---- channels

    async def _channels(self) -> list[Found]:
        if not self.facts.channels or self.link.station is None:
            return []
        seconds = self.options.channel_seconds
        self.say(f"Channels: each has to show a plausible value within {seconds:.0f} s.")
        self.peek.blocks = self.facts.blocks
        sheet = Sheet(self.link.station, self.peek, self.facts)
        asking = asyncio.create_task(self.peek.run())
        shown: dict[str, bool | None] = {}

        def show(found: dict[str, Found]) -> None:
            for name, one in found.items():
                if one.ok and not shown.get(name):
                    shown[name] = True
                    self.say(f"  {name}: {WORDS[one.ok][0]}, {one.said}")

        def watched() -> None:
            if asking.done():
                asking.result()
            follow(self.link, sheet)

        def now() -> list[Now]:
            watched()
            return sheet.channels()

        try:
            found = await judged(sheet, watched, show, seconds)
            if self.typed:
                self.displays = await compared(found, self.facts, now, self._ask)
            return found
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


def _answered(inputs: list[Found], name: str) -> None:
    """The sampler's contact has been tried by the sampler itself."""
    for one in inputs:
        if one.name == name and not one.ok:
            one.ok, one.said = True, "answered when a sample was drawn"


class _Say:
    """Sentences on the screen; with --json on stderr, so that stdout holds the object alone."""

    def __init__(self, as_json: bool) -> None:
        self.console = Console(highlight=False, stderr=as_json)
        self.live_terminal = self.console.is_terminal
        self._file = sys.stderr if as_json else sys.stdout

    def __call__(self, text: str) -> None:
        for line in wrapped(text, screen_width()):
            self._print(line)

    def _print(self, line: Text) -> None:
        if self.live_terminal:
            self.console.print(line)
        else:
            print(line.plain, file=self._file, flush=True)

    def error(self, text: str) -> None:
        print(f"\n{text}", file=sys.stderr, flush=True)

    def question(self, text: str) -> None:
        print("\n".join(line.plain for line in wrapped(text, screen_width() - 10)), end=" > ", flush=True,
              file=self._file)  # fmt: skip

    def contacts(self) -> Any:
        return _Drawn(self) if self.live_terminal else nullcontext(self._contacts_said())

    def _contacts_said(self) -> Any:
        """In a pipe: a line for each contact whenever it changes."""
        before: dict[str, str] = {}

        def show(contacts: Sequence[Contact]) -> None:
            for contact in contacts:
                said = f"{contact.name}: {contact.word(contact.now)}"
                if contact.result is not None:
                    said += f"  {WORDS[contact.result.ok][0]}, {contact.result.said}"
                if before.get(contact.name) != said:
                    before[contact.name] = said
                    self(said)

        return show

    def table(self, parts: Parts) -> None:
        """Everything that was found: before it is recorded, so that a full disk takes nothing away."""
        self._print(Text(""))
        kinds = {"inputs": "input", "outputs": "output", "channels": "channel"}
        for line in results([(kinds[kind], found) for kind, found in parts], screen_width()):
            self._print(line)

    def recorded(self, parts: Parts, ok: bool | None, folder: Folder) -> None:
        found = [one for _, tested in parts for one in tested]
        counted = {how: sum(one.ok is how for one in found) for how in (True, False, None)}
        said = f"{counted[True]} ok, {counted[False]} not ok, {counted[None]} not tested; recorded in "
        style = WORDS[ok][1]
        for line in wrapped(said + f"{folder.path / RECORDS}.", screen_width(), style):
            self._print(line)


class _Drawn:
    """The contacts as a table that is drawn over itself."""

    def __init__(self, say: _Say) -> None:
        self._console = say.console
        self._live = Live(console=say.console, auto_refresh=False)

    def __enter__(self) -> Any:
        self._live.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _show(self, contacts: Sequence[Contact]) -> None:
        waited = next((contact for contact in contacts if contact.result is None), None)
        rows = [contact.cells(contact is waited) for contact in contacts]
        width = self._console.width
        lines = table(COLUMNS, rows, width)
        if waited is not None:
            lines += wrapped(f"s leaves {waited.name} out, Ctrl-C stops.", width, DIM)
        self._live.update(Group(*lines), refresh=True)
