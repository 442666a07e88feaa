"""Bringing a running station to the state of a backup: its configuration, then its calibrations.

Rule 1: a person sees every change before anything is sent.
Rule 2: a calibration's number only rises (firmware/calibrations.py): points that the device does not have get
        the number after its present one, and the record says which.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from protocol.messages import Hello
from tools.people import Failure, UsageError
from tools.station import changes, kept, on_trial, send
from tools.station.archive import Archive
from tools.station.bring import Bringer
from tools.station.folder import DEVICE, Folder
from tools.station.on_trial import CONFIGURATION, Change
from tools.station.steady import SteadyLink
from tools.station.voice import Voice, agreed, harmless, whoever

if TYPE_CHECKING:
    from tools.station.restore import RestoreOptions

NUMBER_MAX = 0xFFFF


class Wanted(NamedTuple):
    """A calibration that has to be written by command."""

    channel: str
    number: int
    points: list[list[float]]


async def bring_back(options: RestoreOptions, archive: Archive, sha256: str, voice: Voice) -> int:
    """0 when the station is as in the backup; 1 when a person left it alone. Failure, UsageError."""
    folder = Folder.at(options.access.dir)
    data = (folder.path / DEVICE / kept.STATION).read_bytes()
    async with SteadyLink(options.access, options.patience_s) as line:
        voice.hint(f"Waiting for {archive.id} on {line.port} ...")
        hello = (await line.greeted()).hello
        if hello.device != archive.id:
            raise UsageError(f"{harmless(hello.device)} answers here, and the backup is of {archive.id}.")
        change = _config_change(hello, data)
        wanted = calibrations(json.loads(data), hello, change is not None)
        before = kept.under_way(folder)
        if not change and not wanted and not before:
            voice.say(f"{archive.id} is as in the backup already: nothing is to be sent.")
            return 0
        if change or wanted:
            _show(voice, hello, folder, change, json.loads(data), wanted)
            if not agreed("Send it?", options.yes):
                voice.say("Nothing was sent. Say the same again to do it later.")
                return 1
        bringer = Bringer(folder, options.access, voice)
        if change:
            kept.keep_config(folder, data)
            change = await bringer.bring(line, change, send.CONFIG, data)
            hello = await _started(line, change)
            wanted = calibrations(json.loads(data), hello, False)
        for one in wanted:
            await _write(line, one, voice)
        numbers = {one.channel: one.number for one in wanted}
        folder.record(
            "restored",
            whoever(options.access.by),
            file=str(options.file.resolve()),
            sha256=sha256,
            onto="device",
            configuration=kept.config_hash(data),
            calibrations=numbers,
        )
        voice.say(f"{archive.id} has the configuration and the calibrations of the backup.")
        change = change or before  # of an earlier call that was interrupted
        if change and options.wait:
            bringer.tell(change, await bringer.judge(line, change))
        elif change:
            bringer.leave(change)
    return 0


def _config_change(hello: Hello, data: bytes) -> Change | None:
    had, gets = hello.config_hash.hex(), kept.config_hash(data)
    if had == gets:
        return None
    return Change(CONFIGURATION, gets, had, gets, hello.boot, hashlib.sha256(data).hexdigest())


def calibrations(station: dict[str, Any], hello: Hello, is_sent: bool) -> list[Wanted]:
    """What has to be written by command, so that the device has the points of this station.json.

    is_sent: whether the station.json itself is still to come: what is newer in it comes with it. Failure when
    a channel has used up its numbers.
    """
    has = {name: (number, points) for name, _, number, points in hello.channels}
    found = []
    for row in station["channels"]:
        number, points = has.get(row["name"], (0, ()))
        given, told = row.get("points", []), row.get("calibration", 0)
        if (row["name"] not in has and not is_sent) or changes.same_points(points, given):
            continue
        if is_sent and told > number:
            continue
        if number >= NUMBER_MAX:
            raise Failure(f"{row['name']} has used up its calibration numbers: make the station anew.")
        found.append(Wanted(row["name"], number + 1, [list(point) for point in given]))
    return found


async def _started(line: SteadyLink, change: Change) -> Hello:
    """The greeting of a start with the new configuration. Failure when the device has gone back already."""
    station = line.station
    assert station
    if not change.runs(station.hello):
        status = await on_trial.status_of(line, line.patience_s)
        raise Failure(
            f"The station does not run the backup's configuration ({harmless(status['text'])}): no "
            "calibration was written. Look at it with `station console`."
        )
    return station.hello


async def _write(line: SteadyLink, one: Wanted, voice: Voice) -> None:
    asked = {"channel": one.channel, "id": one.number, "points": one.points}
    result = await line.command("calibrate", asked, repeat=False)
    if not result.ok:
        raise Failure(
            f"The station refuses the calibration of {one.channel}: {harmless(result.text)}. Say the same "
            "again to go on from here."
        )
    voice.say(f"{one.channel} is calibrated by {one.number}, {len(one.points)} points.", "  ")


def _show(
    voice: Voice,
    hello: Hello,
    folder: Folder,
    change: Change | None,
    station: dict[str, Any],
    wanted: list[Wanted],
) -> None:
    voice.say(f"{hello.device} runs {harmless(hello.firmware)}, boot {hello.boot}. It gets:")
    if change:
        voice.say(f"configuration {change.before} -> {change.after}", "  ")
        voice.rows(changes.of_config(kept.config(folder, change.before), station, hello))
    for one in wanted:
        points = ", ".join(f"{raw:g} -> {value:g}" for raw, value in one.points) or "no points"
        voice.say(f"{one.channel}: calibration {one.number}, {points}", "  ")
