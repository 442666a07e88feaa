"""What a person asks of a running gateway: one file each in state_dir/requests/, answered by a file.

    <id>.request   whoever asks writes it, whole or not at all
    <id>.taken     the gateway has renamed it, and does it now
    <id>.answer    the gateway's answer; whoever asked removes it

Rule 1: who may write into the folder (mode 0700: the gateway's user, and root) may ask.
Rule 2: a request is taken by one rename, and withdrawn by removing it: so whoever asked knows whether it was
        taken. What lay there before the gateway started is not done: nobody may wait for it any more.
Rule 3: whatever somebody puts there, it is answered or passed over; it is bounded, and stops nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import stat
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import GatewayError
from gateway.journal import durable
from gateway.logs import get_logger

log = get_logger("requests")

FOLDER = "requests"
LOOK_S = 0.5
"""How often it is looked, in real seconds: within a second a request is taken."""
ANSWER_S = 60.0
"""How long an answer lies there for somebody who does not come."""
BYTES_MAX = 8_000_000
"""A configuration of 1 MB, every letter of it escaped."""
IDS_MAX = 10_000
TEXT_MAX = 500
RELEASE, PARK = "release", "park"
PAUSE, RESUME = "pause", "resume"
ACKNOWLEDGE = "acknowledge"
MARK = "mark"
CALIBRATE = "calibrate"
RECORD_MAX = 20_000
CONFIGURE = "configure"
SHOW, APPLY, CONFIRM, CANCEL = "show", "apply", "confirm", "cancel"
CONFIG_MARKS = (SHOW, APPLY, CONFIRM, CANCEL)
CONFIG_MAX = 1_000_000
"""Characters."""
MARKS = ("calibrating", "maintenance", "over")
"""What may be said of a channel's instrument."""
SAMPLE = "sample"
BOTTLES_MAX = 96
AT_START = {
    ".request": "The gateway was started before it took this: nothing was changed. Give it again.",
    ".taken": "The gateway was stopped while it did this: `quantrac gateway parked` or "
    "`alerts` says how far it came, and the log what the sampler did.",
}
"""What lay there when the gateway started, by its suffix, and the answer to it."""
_NAME = re.compile(r"[0-9a-f]{16}\.request")
_OURS = re.compile(r"[0-9a-f]{16}\.(request|taken|answer)(\.new)?")


ORDERS = (RELEASE, PARK, PAUSE, RESUME, ACKNOWLEDGE, MARK, CALIBRATE, CONFIGURE, SAMPLE)


class Order(NamedTuple):
    """What is asked for."""

    what: str  # one of ORDERS
    ids: Sequence[int]  # of documents; () with RELEASE: all that are parked for `destination`
    destination: str
    who: str
    reason: str
    alert: str = ""  # with ACKNOWLEDGE: its name, and nothing of documents
    channel: str = ""  # with MARK: its symbol,
    mark: str = ""  # one of MARKS,
    minutes: float = 0  # and for how long
    at: str = ""  # from where: an address, or "" for this machine
    text: str = (
        ""  # with CONFIGURE, whose mark is one of CONFIG_MARKS: a configuration; "" is the file itself
    )
    bottles: int = 0  # with SAMPLE: to be filled; 0: the carousel was emptied
    record: str = ""  # with CALIBRATE: JSON, gateway/calibration/given.py

    def encode(self) -> bytes:
        """The file."""
        return json.dumps(self._asdict()).encode()


class Answer(NamedTuple):
    """What came of it."""

    said: str  # a sentence or two
    changed: Sequence[int] = ()  # ids
    left: Sequence[Sequence] = ()  # (id, why) of those that were not
    ok: bool = True

    def encode(self) -> bytes:
        """The file."""
        return json.dumps(self._asdict()).encode()


def parse(data: bytes) -> Order:
    """The inverse of Order.encode(). ValueError, with a sentence, when it is none."""
    try:
        found: Any = json.loads(data)
        order = Order(**found)
        ids = tuple(order.ids)
    except (ValueError, TypeError, RecursionError):
        raise ValueError("This is no request.") from None
    if order.what not in ORDERS:
        raise ValueError(f"This gateway cannot do {order.what!r}: is it of another version?")
    if len(ids) > IDS_MAX or not all(type(id) is int and 0 < id < 1 << 63 for id in ids):
        raise ValueError(f"Documents are named by numbers, at most {IDS_MAX} at once.")
    for text in (order.destination, order.who, order.reason, order.alert, order.channel, order.at):
        if not isinstance(text, str) or len(text) > TEXT_MAX or not (text.isprintable() or not text):
            raise ValueError("Who asks, why, and of what, are lines of text.")
    if order.what == ACKNOWLEDGE:
        if ids or not order.alert or not order.who:
            raise ValueError("It names no alert, or nobody who acknowledges it.")
    elif order.what == MARK:
        minutes = type(order.minutes) in (int, float) and order.minutes >= 0
        if ids or not order.channel or not order.who or order.mark not in MARKS or not minutes:
            raise ValueError("It names no channel, or not what is done to it, by whom and for how long.")
    elif order.what == SAMPLE:
        if ids or not order.who or type(order.bottles) is not int or not 0 <= order.bottles <= BOTTLES_MAX:
            raise ValueError("It names nobody who takes a sample, or no number of bottles.")
    elif order.what == CALIBRATE:
        if ids or not order.who or not isinstance(order.record, str) or len(order.record) > RECORD_MAX:
            raise ValueError("It holds no record of a calibration, or not who gives it.")
    elif order.what == CONFIGURE:
        minutes = type(order.minutes) in (int, float) and order.minutes >= 0
        text = isinstance(order.text, str) and len(order.text) <= CONFIG_MAX and _is_utf8(order.text)
        if ids or not order.who or order.mark not in CONFIG_MARKS or not minutes or not text:
            raise ValueError("It says not what is done with the configuration, by whom, or is no UTF-8 text.")
    elif order.what in (PAUSE, RESUME):
        if ids or not order.destination or not order.who or (order.what == PAUSE and not order.reason):
            raise ValueError("It names no destination, or not who lets it rest and why.")
    elif not ids and (order.what == PARK or not order.destination):
        raise ValueError("It names no document.")
    return order._replace(ids=ids)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_answer(data: bytes) -> Answer:
    """The inverse of Answer.encode(). ValueError when it is none."""
    try:
        return Answer(**json.loads(data))
    except TypeError:
        raise ValueError("This is no answer.") from None


class Requests:
    """Takes requests in `state_dir` and lets `do` do them, one after the other, until cancelled."""

    def __init__(self, state_dir: Path, do: Callable[[Order], Awaitable[Answer]]):
        self._folder = state_dir / FOLDER
        self._do = do
        self.ready = False  # what lay there is answered
        self._old: dict[Path, float] = {}  # files that nobody may come for, and since when

    async def run(self) -> None:
        """Until cancelled. A disk that refuses is waited for."""
        said = ""
        while True:
            try:
                now_s = asyncio.get_running_loop().time()
                if not self.ready:
                    await asyncio.to_thread(self._begin, now_s)
                    self.ready = True
                for path in await asyncio.to_thread(self._names):
                    await self._take(path)
                await asyncio.to_thread(self._tidy, now_s)
                said = ""
            except OSError as error:
                if str(error) != said:
                    log.warning("requests cannot be taken", reason=str(error))
                said = str(error)
            await asyncio.sleep(LOOK_S)

    def _begin(self, now_s: float) -> None:
        durable.make_folder(self._folder, 0o700)
        self._folder.chmod(0o700)
        for path in sorted(self._folder.iterdir()):
            if not _OURS.fullmatch(path.name):
                continue
            self._old[path] = now_s
            if path.suffix in AT_START:
                self._old[path.with_suffix(".answer")] = now_s
                self._say(path, Answer(AT_START[path.suffix], ok=False))

    def _names(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))

    def _tidy(self, now_s: float) -> None:
        """Answers that nobody came for go."""
        for path, since_s in list(self._old.items()):
            if now_s - since_s > ANSWER_S:
                _remove(path)
                del self._old[path]

    async def _take(self, path: Path) -> None:
        taken = path.with_suffix(".taken")
        try:
            path.rename(taken)
        except FileNotFoundError:
            return  # withdrawn
        try:
            order = parse(await asyncio.to_thread(read, taken))
            log.info("a request", what=order.what, who=order.who, reason=order.reason)
            answer = await self._do(order)
        except (ValueError, OSError, GatewayError) as error:
            answer = Answer(str(error), ok=False)
        except Exception as error:
            log.error("a request failed by a mistake of ours", reason=repr(error))
            answer = Answer(f"It failed by a mistake in this program ({error!r:.200}).", ok=False)
        self._old[taken.with_suffix(".answer")] = asyncio.get_running_loop().time()
        await asyncio.to_thread(self._say, taken, answer)

    def _say(self, request: Path, answer: Answer) -> None:
        durable.replace(request.with_suffix(".answer"), answer.encode(), 0o600)
        _remove(request)


def read(path: Path) -> bytes:
    """A file that somebody else wrote. ValueError when it is no plain file, or too long; OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > BYTES_MAX:
            raise ValueError("This is no plain file of a reasonable size.")
        return b"".join(iter(lambda: os.read(handle, BYTES_MAX), b""))
    finally:
        os.close(handle)


def write(state_dir: Path, order: Order) -> Path:
    """Ask for something; where it lies until it is taken. OSError."""
    folder = state_dir / FOLDER
    owner = folder.stat()
    path = folder / f"{secrets.token_hex(8)}.request"
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        if os.geteuid() == 0:  # root asks: the gateway has to be able to read it
            os.fchown(handle, owner.st_uid, owner.st_gid)
        file.write(order.encode())
    os.replace(fresh, path)
    return path


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        pass
