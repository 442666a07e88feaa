"""Asking a witness to cosign our checkpoints (C2SP tlog-witness): one of these for each [[witness]].

    what came of it                          what is done

    200 and a cosignature that holds         put below the checkpoint in the journal
    409, it knows less of the log            asked again from the size that it names
    no answer, 5xx, garbage                  asked again after 2 s, 4 s, ... 5 minutes
    403, 404, 4xx, a wrong cosignature,      the same with 30 s ... 15 minutes: a person has to act
    a certificate that does not hold
    409, it knows more; 422                  the log went back, or was rewritten: said loudly, see rule 3
    (the journal fails)                      as for no answer

Rule 1: only the newest checkpoint is sent: its cosignature covers all before it. So what an outage of the
        witness left without one needs nothing made up for, and nothing of ours ever waits for a witness.
Rule 2: nothing is stored that was not verified with the witness's key against our own text.
Rule 3: a size beyond ours is never passed over. What the witness shows for it is fetched; if it is signed by
        our own key, it is kept in state_dir/witness/ for whoever has to find out (`quantrac verify --seen`).
Rule 4: no state but the journal: the size a witness knows stands in the newest note with its cosignature,
        and where it knows better, it says so (409).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import NoReturn

from gateway.config_keys import witness_key
from gateway.config_model import Config
from gateway.errors import DestinationError, JournalError, Refused, Unreachable
from gateway.forward.worker import Backoff
from gateway.journal import durable
from gateway.journal.checkpoints import LOG_ENTRIES, opened
from gateway.journal.journal import Journal
from gateway.journal.keys import NEW_EPOCH
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.succession import parse_log_entry
from gateway.web.client import Answer, exchange
from protocol import checkpoint as checkpoints
from protocol import note as notes
from protocol.merkle import EvidenceError, consistency_proof, root_at
from protocol.note import Note, Verifier

log = get_logger("witness")

LOOK_S = 0.5
"""How often it is looked whether there is a new checkpoint: one comes every five minutes."""
EXCHANGE_S_MAX = 15.0
ANSWER_BYTES_MAX = 65_536
"""A cosignature line has some 200 bytes; a witness may answer with several."""
EXCHANGES_MAX = 4
"""Requests for one checkpoint: one, another after a 409, and what its other clients do meanwhile."""
RECALL_CHECKPOINTS = 300
"""Checkpoints in which its newest cosignature is looked for: a day's."""
SIZE_TYPE = "text/x.tlog.size"

_NEWEST = "SELECT size, at_ms, note FROM checkpoint ORDER BY size DESC LIMIT ?"
_CHECKPOINT = "SELECT at_ms, note FROM checkpoint WHERE size = ?"
_COSIGN = "UPDATE checkpoint SET note = ? WHERE size = ?"


@dataclass
class Counters:
    """What a person wants to know of a witness. `asked` = `cosigned` + `failed` + one under way."""

    asked: int = 0  # checkpoints that it was asked for
    cosigned: int = 0
    failed: int = 0
    size: int = 0  # entries of the newest checkpoint that it cosigned, 0 for none
    at_ms: int | None = None  # when that was signed, station time
    behind_since_ms: int | None = None  # since when a newer one waits for it, station time
    refused: bool = False  # it says no: a person has to act
    dispute: str = ""  # how it holds another history of our log, a sentence; until it cosigns again
    last_error: str = ""  # a sentence, "" after a success
    retry_in_s: float = 0.0  # length of the pause under way, 0 outside one


def witnesses(
    config: Config, journal: Journal, now_ms: Callable[[], int], random: Random
) -> dict[str, Witness]:
    """Those of a configuration, by their names."""
    keeping = asyncio.Lock()
    made = [
        Witness(
            settings.url, witness_key(settings.vkey_file.read_bytes()), journal, config.gateway.state_dir,
            now_ms, keeping, random=random,
        )
        for settings in config.witness
    ]  # fmt: skip
    return {witness.name: witness for witness in made}


class Witness:
    """Asks while `run()` runs. `keeping` is one lock for all witnesses of a journal: they share its notes."""

    def __init__(
        self,
        url: str,
        verifier: Verifier,
        journal: Journal,
        state_dir: Path,
        now_ms: Callable[[], int],
        keeping: asyncio.Lock,
        *,
        random: Random | None = None,
        backoff: Backoff | None = None,
        backoff_refused: Backoff | None = None,
        exchange_s: float = EXCHANGE_S_MAX,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        random = random or Random()
        self.url = url
        self.name = verifier.name
        self.counters = Counters()
        self._verifier = verifier
        self._journal = journal
        self._vkey = state_dir / "log.vkey"
        self._shown = state_dir / "witness" / f"{verifier.key_id.hex()}.checkpoint"
        self._now_ms = now_ms
        self._keeping = keeping
        self._backoff = backoff or Backoff(random, first_s=2.0, max_s=300.0)
        self._backoff_refused = backoff_refused or Backoff(random, first_s=30.0, max_s=900.0)
        self._exchange_s = exchange_s
        self._sleep = sleep
        self._done = ""  # text of the newest checkpoint of ours that it has cosigned
        self._old = 0  # the size that it should know
        self._recalled = False

    @property
    def waiting(self) -> bool:
        """There is a checkpoint that it has not cosigned."""
        newest = self._journal.checkpoint
        return newest != b"" and notes.parse(newest).text != self._done

    async def run(self) -> None:
        """Until cancelled. Whatever goes wrong here stops nothing else."""
        while True:
            try:
                await self._ask_until_failure()
            except (DestinationError, JournalError) as error:
                if self.counters.last_error != str(error):
                    log.warning("does not cosign", witness=self.name, reason=str(error))
                await self._pause(error)
            except Exception as error:
                log.exception("asking a witness failed by a mistake of ours", witness=self.name)
                await self._pause(error)

    async def _ask_until_failure(self) -> NoReturn:
        if not self._recalled:
            await self._recall()
            self._recalled = True
        while True:
            while not self.waiting:
                await self._sleep(LOOK_S)
            if self.counters.behind_since_ms is None:
                self.counters.behind_since_ms = self._now_ms()
            self.counters.asked += 1
            try:
                await self._cosign(self._journal.checkpoint)
            except Exception:
                self.counters.failed += 1
                raise
            self._worked()

    # One checkpoint -----------------------------------------------------------------------------------------

    async def _cosign(self, data: bytes) -> None:
        """Have it cosigned, verified and stored."""
        note = notes.parse(data)
        size = checkpoints.parse(note.text).size
        answer = await self._submit(data, size)
        try:
            given = Note(note.text, notes.parse_signatures(answer))
            ((_, time_s),) = notes.verify(given, [self._verifier])
        except EvidenceError as error:
            raise Refused(
                f"What it answers is no cosignature by the key in its vkey_file: {error}."
            ) from None
        if not time_s:
            raise Refused("Its cosignature says no time.")
        at_ms = await self._keep(size, answer)
        self._old, self._done = size, note.text
        self.counters.size, self.counters.at_ms = size, at_ms

    async def _submit(self, data: bytes, size: int) -> bytes:
        """What it answers to the checkpoint `data`, from the size that it knows."""
        for _ in range(EXCHANGES_MAX):
            old = min(self._old, size)
            proof = await self._journal.read(_proof, old, size)
            lines = [f"old {old}", *map(notes.to_base64, proof), "", ""]
            answer = await self._exchange("POST", "add-checkpoint", "\n".join(lines).encode() + data)
            if answer.status == 200:
                return answer.body
            if answer.status != 409:
                raise await self._no(answer.status, old, size)
            known = _size(answer)
            if known > size:
                what = f"It cosigned {known} entries of this log, and {size} are signed in the journal."
                raise await self._dispute(what, size)
            if known == old == size:  # what 422 is for; earlier versions of the specification said 409
                raise await self._no(422, old, size)
            self._old = known
        raise Unreachable("It does not take the size that it names itself.")

    async def _no(self, status: int, old: int, size: int) -> DestinationError:
        match status:
            case 404:
                return Refused(f"It does not know this log: give {self._vkey} to whoever runs it.")
            case 403:
                return Refused(f"It knows another key for this log: give {self._vkey} to whoever runs it.")
            case 422:
                what = f"The {old} entries that it cosigned are not the first of our {size}."
                return await self._dispute(what, size)
        if status in (408, 429) or status >= 500:
            return Unreachable(f"It answers {status}.")
        return Refused(f"It answers {status}: compare its url with the one its operator gave you.")

    async def _keep(self, size: int, answer: bytes) -> int:
        """Put the cosignature below the checkpoint in the journal; when that was signed."""
        async with self._keeping:
            rows = await self._journal.read(Reader.rows, _CHECKPOINT, size)
            if not rows:
                raise JournalError(f"The journal does not hold the checkpoint of {size} entries any more.")
            ((at_ms, stored),) = rows
            note = notes.cosigned(notes.parse(stored), answer, [self._verifier]).encode()
            await self._journal.commit(marks=[(_COSIGN, [(note, size)])])
            self._journal.cosigned(note)
        return at_ms

    async def _exchange(self, method: str, path: str, body: bytes = b"") -> Answer:
        return await exchange(
            method, f"{self.url}/{path}", body, seconds=self._exchange_s, bytes_max=ANSWER_BYTES_MAX
        )

    # Another history ----------------------------------------------------------------------------------------

    async def _dispute(self, what: str, size: int) -> Refused:
        self.counters.dispute = f"{what} {await self._evidence(size)}"
        return Refused(self.counters.dispute)

    async def _evidence(self, size: int) -> str:
        """What it shows for it, as a sentence: anybody can say 409."""
        try:
            key = notes.parse_vkey(self._vkey.read_text(encoding="utf-8").strip())
            shown = await newest_shown(self.url, key.name, self._exchange_s) or b""
            held = opened(shown, [key, *await self._journal.read(_earlier_keys, key.name)])
            if held.size <= size and await self._journal.read(_root, held.size) == held.root:
                return "What it shows for it fits the journal: ask whoever runs it."
            if not self._shown.exists() or self._shown.read_bytes() != shown:
                durable.make_folder(self._shown.parent, 0o700)
                durable.replace(self._shown, shown)
        except (DestinationError, EvidenceError, JournalError, OSError):
            return "It shows nothing for it that we signed: ask whoever runs it."
        return (
            f"It shows our own signature below {held.size} entries, kept in {self._shown}: "
            f"the journal went back or was rewritten. Put the right one back, or {NEW_EPOCH}"
        )

    # How it goes --------------------------------------------------------------------------------------------

    async def _recall(self) -> None:
        """What it has cosigned in earlier lives, of the epoch that goes on."""
        name = self._journal.checkpoint.partition(b"\n")[0]
        for size, at_ms, data in await self._journal.read(Reader.rows, _NEWEST, RECALL_CHECKPOINTS):
            if data.partition(b"\n")[0] != name:
                return
            note = notes.parse(data)
            if any(s[:2] == self._verifier[:2] for s in note.signatures):
                self._old = self.counters.size = size
                self.counters.at_ms = at_ms
                self._done = note.text
                return

    def _worked(self) -> None:
        counters = self.counters
        if counters.last_error:
            log.info("cosigns again", witness=self.name, entries=counters.size)
        counters.cosigned += 1
        counters.refused, counters.behind_since_ms = False, None
        counters.last_error = counters.dispute = ""
        self._backoff.reset()
        self._backoff_refused.reset()

    async def _pause(self, error: Exception) -> None:
        self.counters.refused = isinstance(error, Refused)
        self.counters.last_error = str(error) or type(error).__name__
        backoff = self._backoff_refused if self.counters.refused else self._backoff
        self.counters.retry_in_s = backoff.next_s()
        try:
            await self._sleep(self.counters.retry_in_s)
        finally:
            self.counters.retry_in_s = 0.0


async def newest_shown(url: str, log_name: str, seconds: float = EXCHANGE_S_MAX) -> bytes | None:
    """The newest checkpoint of a log that a witness shows to anybody, nothing of it verified; None when it
    has cosigned none. Unreachable.
    """
    path = f"{sha256(log_name.encode()).hexdigest()}/checkpoint"
    answer = await exchange("GET", f"{url}/{path}", seconds=seconds, bytes_max=ANSWER_BYTES_MAX)
    if answer.status not in (200, 404):
        raise Unreachable(f"It answers {answer.status}.")
    return answer.body if answer.status == 200 else None


# On the journal's reading thread


def _earlier_keys(reader: Reader, name: str) -> list[Verifier]:
    """Keys that the log had under this name before, by its own entries."""
    entries = [parse_log_entry(body, index) for index, body in reader.rows(LOG_ENTRIES)]
    return [entry.old_key for entry in entries if entry.old_key.name == name]


def _proof(reader: Reader, old: int, size: int) -> list[bytes]:
    return consistency_proof(old, size, reader.tree().hash_at)


def _root(reader: Reader, size: int) -> bytes:
    return root_at(size, reader.tree().hash_at)


def _size(answer: Answer) -> int:
    """The size in a 409."""
    try:
        if answer.content_type != SIZE_TYPE:
            raise EvidenceError("it is not of the type " + SIZE_TYPE)
        text = answer.body.decode("ascii")
        return checkpoints.number(text.removesuffix("\n"), "the size that it names")
    except (EvidenceError, UnicodeDecodeError):
        raise Unreachable("It answers 409 without the size that it knows.") from None
