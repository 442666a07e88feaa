"""From closed windows to what each destination is sent. Pure: the same windows give the same bytes and keys.

Rule 1: a key is permanent, "window/<station>/<stamp>/<revision>"; the outbox takes a key once per
        destination.
Rule 2: a file destination gets revision 1 only. The receiving software skips every file whose name sorts
        at or before the newest it has processed, and the name is a function of the stamp: a second version
        under the same name would at best be ignored, at worst be half of what the department compares
        with. Later revisions stay in the journal, and go to brokers, which can tell them apart.
        Nor does it get windows of a time in which nothing was running (decisions/0004).
Rule 3: a checkpoint's key is "checkpoint/<station>/<entries>". For a file destination it is a side file, the
        signed note itself, in the folder of that day. Its name is made as the provincial file's, with "-" for
        "_": it cannot contain _<station>_, so the receiving software does not see it; and should one look at
        all names, it sorts before every provincial file of the station and moves no "newest processed".
Rule 4: a channel that never had a number is left out of a file (the format has no way to say "none" that
        the receiver does not read as 0), and stands in a message with value null. A file without any line
        is not sent.

A later revision holds only the channels that changed. Its number is one higher than any the window had
before, whatever the channel, so that no number is used twice (gateway/windows.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from gateway.config import FileDestination, HttpsDestination, MqttDestination
from gateway.public import public_message
from gateway.reports import message, provincial
from gateway.reports.layout import stamp
from gateway.windows import OFF

if TYPE_CHECKING:
    from gateway.config import Config, Destination, Station
    from gateway.windows import Window

FIRST_REVISION = 1


class Draft(NamedTuple):
    """Something to be queued for one destination."""

    destination: str  # config.destination[i].id
    key: str
    kind: str  # the `send` word it answers: "windows" | "readings" | ...
    name: str  # file name, topic, or (https) the message's id
    folder: str  # "" for messages
    at_ms: int  # station time it is about, Unix ms
    body: bytes


def documents(config: Config, windows: Iterable[Window], checkpoint: bytes = b"") -> list[Draft]:
    """What to queue for these windows, oldest stamp first, then by revision, then as destinations are
    listed. `checkpoint` is the journal's newest, a signed note, for the messages.
    """
    groups: dict[tuple[int, int], list[Window]] = {}
    for window in windows:
        groups.setdefault((message.label(config, window), window.revision), []).append(window)
    drafts = []
    for (label_ms, revision), group in sorted(groups.items(), key=lambda item: item[0]):
        for destination in config.destination:
            if "windows" in destination.send:
                draft = _window_draft(config, destination, label_ms, revision, group, checkpoint)
                if draft is not None:
                    drafts.append(draft)
            if "public" in destination.send:
                drafts += _public_drafts(config, destination, label_ms, revision, group, checkpoint)
    return drafts


def _window_draft(
    config: Config,
    destination: Destination,
    label_ms: int,
    revision: int,
    group: list[Window],
    checkpoint: bytes,
) -> Draft | None:
    station = config.station
    key = f"window/{station.code}/{stamp(label_ms)}/{revision}"
    if isinstance(destination, FileDestination):
        if revision != FIRST_REVISION or all(window.reason == OFF for window in group):
            return None
        body = provincial.render(config.channel, group, label_ms)
        if not body:
            return None
        name = provincial.file_name(station, label_ms)
        folder = provincial.folder(destination.layout, station, label_ms)
        return Draft(destination.id, key, "windows", name, folder, label_ms, body)
    body = message.window_message(config, group, revision, checkpoint)
    name = _name(config, destination, "windows", f"{stamp(label_ms)}/{revision}")
    return Draft(destination.id, key, "windows", name, "", label_ms, body)


def _public_drafts(
    config: Config,
    destination: Destination,
    label_ms: int,
    revision: int,
    group: list[Window],
    checkpoint: bytes,
) -> list[Draft]:
    """What is public of these windows; as a file a side file (rule 3) for each stamp and revision, as what is
    replaced in place is neither whole nor provable (decisions/0012).
    """
    body = public_message(config, group, revision, checkpoint)
    if body is None:
        return []
    station, folder = config.station, ""
    name = _name(config, destination, "public", f"{stamp(label_ms)}/{revision}")
    if isinstance(destination, FileDestination):
        name = f"{_side_stem(station, label_ms)}-public-{revision}.json"
        folder = provincial.folder(destination.layout, station, label_ms)
    key = f"public/{station.code}/{stamp(label_ms)}/{revision}"
    return [Draft(destination.id, key, "public", name, folder, label_ms, body)]


def _side_stem(station: Station, at_ms: int) -> str:
    """How the name of a side file begins (rule 3)."""
    return provincial.file_name(station, at_ms).removesuffix(".txt").replace("_", "-")


def checkpoint_drafts(config: Config, size: int, at_ms: int, checkpoint: bytes) -> list[Draft]:
    """A checkpoint of so many entries, signed at `at_ms`, for those who asked for them (rule 3)."""
    station = config.station
    key = checkpoint_key(station.code, size)
    drafts = []
    for destination in config.destination:
        if "checkpoints" not in destination.send:
            continue
        if isinstance(destination, FileDestination):
            stem = provincial.file_name(station, at_ms).removesuffix(".txt").replace("_", "-")
            name, body = f"{stem}-{size}.checkpoint", checkpoint
            folder = provincial.folder(destination.layout, station, at_ms)
        else:
            name, folder = _name(config, destination, "checkpoints", str(size)), ""
            body = message.checkpoint_message(config, size, at_ms, checkpoint)
        drafts.append(Draft(destination.id, key, "checkpoints", name, folder, at_ms, body))
    return drafts


def checkpoint_key(station: str, size: int | str) -> str:
    """The permanent key of a checkpoint's document."""
    return f"checkpoint/{station}/{size}"


def readings_drafts(
    config: Config,
    name: str,
    t_ms: int,
    rows: list[tuple[object, ...]],
    means: list[tuple[object, ...]] | None = None,
) -> list[Draft]:
    """Raw readings for every destination that asked for them; the rest as in message.reading_message."""
    takers = [destination for destination in config.destination if "readings" in destination.send]
    if not takers:
        return []
    body = message.reading_message(config, name, t_ms, rows, means or [])
    key = f"readings/{config.station.code}/{name}"
    return [
        Draft(taker.id, key, "readings", _name(config, taker, "readings", name), "", t_ms, body)
        for taker in takers
        if not isinstance(taker, FileDestination)
    ]


def _name(config: Config, destination: Destination, kind: str, name: str) -> str:
    """What a message goes by: a broker's topic, or its own id where each is a request of its own."""
    if isinstance(destination, HttpsDestination):
        return message.message_id(config, kind, name)
    prefix = destination.topic_prefix if isinstance(destination, MqttDestination) else "quantrac"
    return message.topic(config, kind, prefix)


def due_after_ms(config: Config, destination: Destination) -> int:
    """How long after its at_ms a document goes to this destination. It counts from the window's end."""
    if not destination.delay_min:
        return 0
    late_min = config.gateway.window_minutes if config.gateway.label == "start" else 0
    return (destination.delay_min + late_min) * 60_000
