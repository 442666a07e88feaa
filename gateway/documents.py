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
Rule 4: so it is with hours, alerts and events, whose side files end in .json and hold the message itself
        (decisions/0010). Hours in which nothing was running are no files. Status has no file: of a moment
        long past it tells nobody anything.
Rule 5: a channel that never had a number is left out of a file (the format has no way to say "none" that
        the receiver does not read as 0), and stands in a message with value null. A file without any line
        is not sent.

A later revision holds only the channels that changed. Its number is one higher than any the window had
before, whatever the channel, so that no number is used twice (gateway/windows.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gateway.config_model import FileDestination, HttpsDestination, MqttDestination, NotifyDestination
from gateway.public import public_message
from gateway.reports import message, provincial
from gateway.reports.layout import named_after, stamp
from gateway.windows import OFF

if TYPE_CHECKING:
    from gateway.config_model import Config, Destination, Station
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
        drafts += _public_drafts(config, label_ms, revision, group, checkpoint)
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
    config: Config, label_ms: int, revision: int, group: list[Window], checkpoint: bytes
) -> list[Draft]:
    """What is public of these windows; as a file a side file for each stamp and revision, since what is
    replaced in place is neither whole nor provable (decisions/0012).
    """
    body = public_message(config, group, revision, checkpoint)
    if body is None:
        return []
    name, side = f"{stamp(label_ms)}/{revision}", f"public-{revision}.json"
    return _drafts(config, Told("public", name, label_ms, label_ms, body, side, body))


def checkpoint_drafts(config: Config, size: int, at_ms: int, checkpoint: bytes) -> list[Draft]:
    """A checkpoint of so many entries, signed at `at_ms`, for those who asked for them (rule 3)."""
    body = message.checkpoint_message(config, size, at_ms, checkpoint)
    made = Told("checkpoints", str(size), at_ms, at_ms, body, f"{size}.checkpoint", checkpoint)
    return _drafts(config, made)


def hour_drafts(config: Config, hours: Sequence[Window], checkpoint: bytes = b"") -> list[Draft]:
    """One hour of all channels, in one revision (gateway/hours.py)."""
    stamped_ms, revision = message.label(config, hours[0]), hours[0].revision
    body = message.window_message(config, hours, revision, checkpoint, "hours")
    # due_after_ms() counts from the label of the hour's last window
    end_ms = hours[0].end_ms
    at_ms = named_after(config.gateway.label, end_ms - config.gateway.window_minutes * 60_000, end_ms)
    name = f"{stamp(stamped_ms)}/{revision}"
    file = b"" if all(hour.reason == OFF for hour in hours) else body
    return _drafts(config, Told("hours", name, at_ms, stamped_ms, body, f"hour-{revision}.json", file))


def entry_drafts(config: Config, send: str, index: int, leaf: bytes, at_ms: int, told: dict) -> list[Draft]:
    """What entry `index` of the journal tells: an alert or an event. The id has a part of its hash: a journal
    that goes on from a backup counts through the same numbers again.
    """
    kind = message.TOPIC_KINDS[send]
    name = f"{index}-{leaf[:4].hex()}"
    body = message.entry_message(config, send, name, at_ms, told)
    drafts = _drafts(config, Told(send, name, at_ms, at_ms, body, f"{kind}-{index}.json", body))
    unasked = {each.id for each in config.destination if not _asks(each, told)}
    return [draft for draft in drafts if draft.destination not in unasked]


def _asks(destination: Destination, told: dict) -> bool:
    """Whether people want to hear of this alert: `rules` and `states` of a notify destination."""
    if not isinstance(destination, NotifyDestination):
        return True
    rule, states = str(told.get("rule", "")), destination.states
    kind = rule.partition(" ")[0] if rule.startswith(("limit ", "near ")) else rule
    wanted = not destination.rules or rule in destination.rules or kind in destination.rules
    return wanted and (not states or told.get("state") in states)


def status_drafts(config: Config, at_ms: int, status: dict, checkpoint: bytes = b"") -> list[Draft]:
    """What the gateway says of itself at this moment."""
    name = stamp(at_ms)
    body = message.status_message(config, name, status, checkpoint)
    return _drafts(config, Told("status", name, at_ms, at_ms, body, "", b""))


class Told(NamedTuple):
    """Something to be told to whoever asked for it."""

    send: str  # the `send` word it answers
    name: str  # permanent within its kind: what key and id end in
    at_ms: int  # what a delay counts from
    stamped_ms: int  # what a side file is named after
    body: bytes  # the message
    side: str  # how its side file's name ends
    file: bytes  # what stands in that; b"" for none


def _drafts(config: Config, told: Told) -> list[Draft]:
    station = config.station
    key = told_key(told.send, station.code, told.name)
    drafts = []
    for destination in config.destination:
        if told.send not in destination.send:
            continue
        if not isinstance(destination, FileDestination):
            name = _name(config, destination, told.send, told.name)
            drafts.append(Draft(destination.id, key, told.send, name, "", told.at_ms, told.body))
        elif told.file:
            stem = _side_stem(station, told.stamped_ms)
            folder = provincial.folder(destination.layout, station, told.stamped_ms)
            name = f"{stem}-{told.side}"
            drafts.append(Draft(destination.id, key, told.send, name, folder, told.at_ms, told.file))
    return drafts


def told_key(send: str, station: str, name: str) -> str:
    """The permanent key of a document, all but for the windows' and the readings'."""
    return f"{message.TOPIC_KINDS[send]}/{station}/{name}"


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


def _side_stem(station: Station, at_ms: int) -> str:
    """How the name of a side file begins (rule 3)."""
    return provincial.file_name(station, at_ms).removesuffix(".txt").replace("_", "-")


def _name(config: Config, destination: Destination, kind: str, name: str) -> str:
    """What a message goes by: a broker's topic, or its own id where each is a request of its own."""
    if isinstance(destination, HttpsDestination | NotifyDestination):
        return message.message_id(config, kind, name)
    prefix = destination.topic_prefix if isinstance(destination, MqttDestination) else "quantrac"
    return message.topic(config, kind, prefix)


def due_after_ms(config: Config, destination: Destination) -> int:
    """How long after its at_ms a document goes to this destination. It counts from the window's end."""
    if not destination.delay_min:
        return 0
    late_min = config.gateway.window_minutes if config.gateway.label == "start" else 0
    return (destination.delay_min + late_min) * 60_000
