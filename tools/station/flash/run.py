"""`quantrac station flash`: a bare board becomes this station, or one that runs gets new files.

Rule 1: everything that can be refused is refused before anything is written, the image included.
Rule 2: whatever happens, the board is started again at the end: a station that was stopped to be looked at
        goes on measuring.
Rule 3: what was done is recorded once the board holds all of it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError
from tools.people import Failure, UsageError
from tools.station import kept, package
from tools.station.bars import bar
from tools.station.flash import hand_over, kinds, reach, shown, wanted, write_image
from tools.station.flash import plan as plans
from tools.station.flash.board import About, Held, ReplBoard
from tools.station.flash.carry import AGAIN, Carrier, standing
from tools.station.flash.images import Image, chip_of, read_image
from tools.station.folder import DEVICE, Folder
from tools.station.voice import Voice, harmless, whoever


@dataclass(frozen=True)
class FlashOptions:
    """What the command line said."""

    dir: Path
    port: str
    board: str | None = None
    image: Path | None = None
    package: Path | None = None
    update_key: Path | None = None
    drive: Path | None = None
    erase: bool = False
    replace: bool = False
    dry_run: bool = False
    by: str = ""
    json: bool = False


def run_flash(options: FlashOptions) -> int:
    """0 done, or shown; 1 when the station did not greet where it could have. UsageError, Failure."""
    return Flash(options).run()


class Flash:
    """One flashing of one board."""

    def __init__(self, options: FlashOptions) -> None:
        if options.board is not None and options.board not in kinds.NAMES:
            raise UsageError(f'No board is called "{options.board}": write one of {", ".join(kinds.NAMES)}.')
        if options.package is not None and options.update_key is not None:
            raise UsageError("A package is signed already: leave --package or --update-key out.")
        self._options = options
        self._folder = Folder.at(options.dir)
        self._station = wanted.station_files(self._folder)
        self._identity = _identity(self._folder)
        self._key = self._folder.key()
        self._seal = options.dir / DEVICE / hand_over.FILE
        self._voice = Voice(options.json)
        self._board: ReplBoard | None = None
        self._stands = "Nothing was written."  # for whoever stops it
        self._image = None if options.image is None else self._whole_image(options.image)

    def _whole_image(self, path: Path) -> Image:
        image = read_image(path)
        if self._options.board not in (None, image.port):
            raise UsageError(
                f"{path} is for {image.chip}, not for {self._options.board}: nothing was written."
            )
        if image.kind == "esp":
            write_image.check_esptool()
        oldest = next(kind.oldest for kind in kinds.KINDS if kind.port == image.port)
        if image.version < oldest:
            raise UsageError(
                f"{path} is {image.banner}; the firmware needs {oldest[0]}.{oldest[1]} or newer: take a "
                "newer image."
            )
        return image

    def run(self) -> int:
        try:
            return self._run()
        except KeyboardInterrupt:
            self._voice.say(self._stands)
            raise
        finally:
            self._start_again()

    def _run(self) -> int:
        self._reach()
        if self._image is not None and not self._has_image(self._image):
            if self._options.dry_run:
                shown.show_image(self._voice, self._image, self._options.port, self._options.erase)
                return 0
            self._bring_image(self._image)
        board = self._there()
        kind = kinds.check_board(board.about, self._options.board)
        held = self._look()
        id = self._identity["id"]
        plans.check_owner(held, id, self._options.replace)
        hand_over.check(
            held.seal if plans.owner(held) == id else None, self._station.get(hand_over.FILE), self._seal
        )
        if not self._options.dry_run:
            self._board = reach.without_watchdog(board, held)
        else:
            self._start_again()
        firmware = wanted.firmware(
            self._folder, kind.port, board.about.arch, self._options.package, self._options.update_key,
            self._station.get(package.PUBLIC_FILE),
        )  # fmt: skip
        kinds.check_bytecode(board.about, firmware.files)
        plan = plans.plan(held, self._station, firmware, self._options.replace)
        shown.show(self._voice, id, plan, board.about, firmware, held)
        if self._options.dry_run:
            shown.show_steps(self._voice, plan, self._seal if hand_over.FILE in self._station else None)
            if self._options.json:
                print(shown.table(plan, board.about, firmware, held))
            return 0
        self._carry(plan)
        self._record(plan, board.about, firmware)
        return self._end(plan, firmware)

    # The board

    def _reach(self) -> None:
        try:
            self._board = reach.reach(self._options.port, self._key, self._voice.say)
        except reach.Lost:
            if self._image is None:
                raise
            self._voice.say(f"No MicroPython answers at {self._options.port} yet.")

    def _there(self) -> ReplBoard:
        if self._board is None:
            raise Failure(f"No board is at {self._options.port}.")
        return self._board

    def _look(self) -> Held:
        return self._there().look(list(plans.ASKED))

    def _start_again(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            board.restart()

    # The image

    def _has_image(self, image: Image) -> bool:
        """Whether the board runs this build. UsageError when it is another board, or another station's."""
        if self._board is None:
            return False
        about = self._board.about
        if about.version >= (1, 20):
            plans.check_owner(self._look(), self._identity["id"], self._options.replace)
        chip = chip_of(about.machine)
        if chip and chip != image.chip:
            raise UsageError(
                f"The board has an {chip}, and {image.path} is for {image.chip}: nothing was written. Take "
                "the image of this board."
            )
        if about.name == "micropython" and not image.is_for(about.machine):
            raise UsageError(
                f'{image.path} is not for a board that calls itself "{harmless(about.machine)}": nothing was '
                "written. Take the image of this board."
            )
        if image.banner in about.build:
            self._voice.say(f"{image.banner} is on the board already.")
            return True
        return False

    def _bring_image(self, image: Image) -> None:
        self._voice.say(f"{image.banner} for {image.chip} comes onto the board.")
        self._stands = f"The image may be there in part, which the board takes again at any time. {AGAIN}"
        if image.kind == "uf2":
            if self._board is not None:
                self._board.leave("import time,machine\ntime.sleep_ms(100)\nmachine.bootloader()")
                self._board = None
            drive = write_image.find_drive(image, self._options.drive)
            with self._bar(image.path.name, len(image.data)) as progress:
                write_image.copy_uf2(image, drive, progress)
        else:
            if self._board is not None:
                self._board.close()
                self._board = None
            for command in write_image.esptool_commands(image, self._options.port, self._options.erase):
                self._voice.say(f"esptool {' '.join(command[7:8])} ...")
                write_image.run_esptool(command)
        self._board = reach.again(self._options.port)
        if image.banner not in self._board.about.build:
            raise Failure(
                f"The board still greets as {harmless(self._board.about.build)}: the image did not arrive. "
                f"{AGAIN}"
            )

    # The files

    @contextlib.contextmanager
    def _bar(self, name: str, size: int) -> Iterator[Any]:
        with bar(f"{name:<14}", size, self._voice) as progress:
            yield progress

    def _carry(self, plan: plans.Plan) -> None:
        if plan.package:
            read = package.read(plan.package, None)
            kept.keep_package(self._folder, plan.package, read)
        carrier = Carrier(self._there(), self._bars)
        try:
            carrier.run(plan)
        except KeyboardInterrupt:
            self._stands = standing(carrier.done, plan)
            raise
        if hand_over.FILE in self._station:
            self._forget_seal()

    def _bars(self, name: str, size: int) -> AbstractContextManager[Any]:
        self._voice.say(f"{name}, {size:,} bytes", "  ")
        return self._bar(name, size)

    def _forget_seal(self) -> None:
        """The key is asked for once more, and leaves this machine."""
        if not hand_over.is_there(self._look().seal, self._station[hand_over.FILE]):
            raise Failure(f"The board does not hold the seal key: {self._seal} stays. {AGAIN}")
        try:
            hand_over.forget(self._seal)
        except OSError as error:
            raise Failure(
                f"The board holds the seal key, but {self._seal} could not be deleted ({error.strerror}): "
                "delete it."
            ) from error
        self._voice.say(
            f"The board holds the seal key; {self._seal} was written over and deleted. A disk may keep "
            "what was deleted (an SSD, a memory card): nobody else should have this one."
        )

    def _record(self, plan: plans.Plan, about: About, firmware: wanted.Firmware) -> None:
        self._folder.record(
            "flashed",
            whoever(self._options.by),
            port=self._options.port,
            board=harmless(about.machine),
            micropython=harmless(about.build),
            firmware=firmware.version,
            counter=plan.counter,
            image=self._image.sha256 if self._image else None,
            files=plan.files,
        )

    # The end

    def _end(self, plan: plans.Plan, firmware: wanted.Firmware) -> int:
        """Start it, and wait for its greeting where that comes by this port."""
        board = self._there()
        self._board = None
        with contextlib.suppress(Failure):
            board.remove(reach.NOTE)  # of a board whose firmware did not start to take it away
        board.restart()
        link = self._identity.get("link", {})
        facts = {
            "id": self._identity["id"],
            "firmware": firmware.version,
            "steps": len(plan.steps),
            "files": plan.files,
        }
        greeted = None
        if link.get("kind") == "usb":
            self._voice.say("All is there. Waiting for its greeting ...")
            greeted = reach.greeting(self._options.port, self._key, reach.GREETING_S)
            if greeted is None:
                raise Failure(
                    "All files are there, but the station does not greet by this port. Unplug it and plug "
                    "it in again; then look with `quantrac station console`."
                )
            self._voice.say(f"{harmless(greeted.id)} greets: {harmless(greeted.hello.firmware)}.")
        else:
            shown.show_link(self._voice, link, self._folder.path)
        if self._options.json:
            print(json.dumps({**facts, "greeted": None if greeted is None else greeted.id}))
        return 0


def _identity(folder: Folder) -> dict[str, Any]:
    path = folder.path / DEVICE / wanted.IDENTITY
    try:
        table = json.loads(path.read_bytes())
    except ValueError:
        table = None
    if not isinstance(table, dict) or table.get("id") != folder.id:
        raise ConfigError(
            f"{path} is not that of {folder.id}: make the station's files again with `station new`."
        )
    return table
