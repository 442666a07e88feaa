"""One seeded schedule of faults against one kind of destination, and what its receiver saw meanwhile.

A gateway with nothing but an outbox sends a few windows, some of them a backlog, while one trouble after the
other happens, and is killed now and then. Every rule that breaks is said in `Seen.wrong`:

    files      a final name appears whole, in the order of the windows, never goes away, is never written to
    messages   first appearances in the order of the windows, bytes (so ids) as queued
    all        nothing is missing or unknown; marked only what the receiver has; sent again only what was
               not confirmed or whose mark was lost
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from random import Random

from gateway.errors import JournalError
from gateway.forward.port import Confirmation, Destination, Document
from tests.gateway.appearances import Appearances
from tests.gateway.forward_rig import RIGS, MemoryOutbox, Rig, worker
from tests.gateway.https_rig import HTTPS_RIGS, HttpsRig
from tests.gateway.mqtt_rig import MQTT_RIGS
from tests.gateway.notify_rig import NOTIFY_RIGS

KINDS: dict[str, type[Rig]] = RIGS | HTTPS_RIGS | MQTT_RIGS | NOTIFY_RIGS
CUT_BYTES_MAX = (1_500, 6_000, 20_000)  # a log-in, a small file, a large one
LIFE_S = (0.005, 0.08)  # how long a trouble or a gateway lasts
PATIENCE_S = 60.0  # for what is left when all troubles are over: a busy machine may need seconds for a log-in


class CutOutbox(MemoryOutbox):
    """A journal whose power goes just before or just after a mark. Knows what was confirmed and what lost."""

    def __init__(self, random: Random, told: Callable[[Iterable[int]], None]):
        super().__init__()
        self.random, self.told = random, told
        self.dead = False  # the gateway was killed: nothing is marked any more
        self.calm = False
        self.tries: Counter[int] = Counter()
        self.confirmed: Counter[int] = Counter()
        self.lost: Counter[int] = Counter()  # confirmations whose mark never came

    async def delivered(self, confirmed: Mapping[int, Confirmation]) -> None:
        self.told(confirmed)
        cut = self.random.random()
        try:
            if self.dead or (cut < 0.1 and not self.calm):
                raise JournalError("cut before the mark.")
            await super().delivered(confirmed)
        except BaseException:
            self.forget(confirmed)
            raise
        if cut > 0.9 and not self.calm:
            raise JournalError("cut after the mark.")

    def forget(self, ids: Iterable[int]) -> None:
        """The marks of their confirmations are lost."""
        for id in ids:
            if id in self.waiting:
                self.lost[id] = self.confirmed[id]


class Seen:
    """What came of one schedule."""

    def __init__(self, rig: Rig, seed: int, documents: list[Document]):
        self.rig, self.seed, self.documents = rig, seed, documents
        self.wrong: list[str] = []
        self.faults: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.files = None if rig.message else Appearances(rig.province, documents)

    def bodies(self) -> list[bytes]:
        """What the receiver has of this schedule's, in the order in which it came."""
        if self.files is None:
            return [body for body in self.rig.seen() if self.rig.of_seed(body, self.seed)]
        return self.files.bodies()

    def marked(self, ids: Iterable[int]) -> None:
        """The gateway says that these are delivered: then the receiver has them (a subscriber soon will)."""
        if self.files is not None:
            self.files.look()
        if self.files is not None or isinstance(self.rig, HttpsRig):
            there = self.bodies()
            self.wrong += [f"{i} counts as delivered too early" for i in ids if self._body(i) not in there]

    def tried(self, outbox: CutOutbox, id: int) -> None:
        if outbox.confirmed[id] > outbox.lost[id]:
            self.wrong.append(f"{id} is sent again after its confirmation")
        outbox.tries[id] += 1

    async def close(self, outbox: CutOutbox, arrival_s: float) -> None:
        """Hold what came against what was queued; a subscriber gets that long to hear the last of it."""
        wanted = [one.body for one in self.documents]
        if self.files is None:
            await self.rig.arrived(set(wanted), arrival_s)
        else:
            self.wrong += self.files.wrong
            self.counts["again"] += self.files.again
            folder = self.rig.province / self.documents[0].folder
            self.counts["left"] += sum(".part" in path.name for path in folder.iterdir())
        came = self.bodies()
        missing, unknown = set(wanted) - set(came), set(came) - set(wanted)
        if missing:
            self.wrong.append(f"{len(missing)} are missing")
        if unknown:
            self.wrong.append(f"{len(unknown)} are unknown")
        first = [body for body in dict.fromkeys(came) if body in wanted]
        if first != wanted[: len(first)]:  # also when an older one is not there at all
            self.wrong.append("not oldest first")
        for one in self.documents:
            if came.count(one.body) > outbox.tries[one.id]:
                self.wrong.append(f"{one.id} came more often than it was sent")
        once = self.files is not None or isinstance(self.rig, HttpsRig)
        if once and len(came) != len(set(came)):
            self.wrong.append("one is there twice")
        self.counts["twice"] += len(came) - len(set(came))

    def _body(self, id: int) -> bytes:
        return self.documents[id - 1].body


class Recorded:
    """A destination whose tries and confirmations are counted."""

    def __init__(self, destination: Destination, outbox: CutOutbox, seen: Seen):
        self.in_flight_max, self.close = destination.in_flight_max, destination.close
        self._destination, self._outbox, self._seen = destination, outbox, seen

    async def deliver(self, document: Document) -> Confirmation:
        self._seen.tried(self._outbox, document.id)
        confirmation = await self._destination.deliver(document)
        self._outbox.confirmed[document.id] += 1
        return confirmation


def documents(rig: Rig, seed: int, random: Random) -> list[Document]:
    """Windows of one schedule; most as small as a station's, some large."""
    made = []
    for i in range(random.randrange(3, 7)):
        size = random.choice((100, 300, 800, 3000, 40_000 if random.random() < 0.3 else 500))
        one = rig.document(i, body=b"%d.%d " % (seed, i) * (size // 5))
        made.append(one._replace(folder=str(seed)) if not rig.message else one)
    if isinstance(rig, HttpsRig):
        made = [one._replace(name=f"{one.name}/{seed}") for one in made]
    return made


# Troubles ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def cut_there(rig: Rig, random: Random) -> AsyncIterator[None]:
    rig.break_after(random.randrange(random.choice(CUT_BYTES_MAX)))
    yield
    rig.mend()


@asynccontextmanager
async def cut_back(rig: Rig, random: Random) -> AsyncIterator[None]:
    rig.proxy.cut_back_after = random.randrange(random.choice(CUT_BYTES_MAX[:2]))
    yield
    rig.mend()


@asynccontextmanager
async def silence(rig: Rig, random: Random) -> AsyncIterator[None]:
    """Nothing passes and nothing is said, until a reset."""
    rig.proxy.swallow = True
    yield
    rig.proxy.reset()
    rig.proxy.swallow = False


@asynccontextmanager
async def slow(rig: Rig, random: Random) -> AsyncIterator[None]:
    rig.proxy.bytes_s = random.choice((500, 5_000))
    yield
    rig.proxy.bytes_s = None


@asynccontextmanager
async def nobody_there(rig: Rig, random: Random) -> AsyncIterator[None]:
    await rig.proxy.stop()
    yield
    await rig.proxy.start()


@asynccontextmanager
async def restart(rig: Rig, random: Random) -> AsyncIterator[None]:
    await rig.server_down()
    yield
    await rig.server_up()


@asynccontextmanager
async def full(rig: Rig, random: Random) -> AsyncIterator[None]:
    await rig.fill()
    yield
    await rig.make_room()


@asynccontextmanager
async def denied(rig: Rig, random: Random) -> AsyncIterator[None]:
    await rig.deny_writing()
    yield
    await rig.allow()


@asynccontextmanager
async def wrong_password(rig: Rig, random: Random) -> AsyncIterator[None]:
    rig.password_file.write_text("wrong\n")
    yield
    rig.password_file.write_text("right\n")


@asynccontextmanager
async def none(rig: Rig, random: Random) -> AsyncIterator[None]:
    yield


def troubles(rig: Rig) -> list[Callable]:
    """What can happen to this kind of destination, as often as it is to happen."""
    found: list[Callable] = [cut_there] * 6 + [none]
    if rig.network:
        found += [cut_back] * 6 + [silence] * 3 + [slow, nobody_there, restart]
    if rig.fills:
        found += [full]
    if rig.denies and rig.network:
        found += [denied]
    if rig.passwords and not rig.slow_refusal:
        found += [wrong_password]
    return found


# The schedule -----------------------------------------------------------------------------------------------


async def play(
    rig: Rig,
    seed: int,
    make: Callable[[Rig, Random], Destination] = lambda rig, random: rig.destination(),
    outbox_class: type[CutOutbox] = CutOutbox,
    arrival_s: float = PATIENCE_S,
) -> Seen:
    """Run schedule `seed`. `make` and `outbox_class` are what a control replaces; one after which messages
    never come gives `arrival_s`. How long a sound forwarder may take to drain is nobody's to shorten.
    """
    random = Random(seed)
    queued = documents(rig, seed, random)
    seen = Seen(rig, seed, queued)
    outbox = outbox_class(random, seen.marked)
    if seen.files is not None:
        seen.files.__enter__()
        if random.random() < 0.3:
            rig.leave_half(queued[0])
    backlog = random.randrange(2, len(queued) + 1)
    for one in queued[:backlog]:
        outbox.put(one)
    rest = queued[backlog:]
    gateway = Gateway(rig, seen, outbox, lambda: make(rig, random))
    try:
        for _ in range(random.randrange(1, 5)):
            trouble = random.choice(troubles(rig))
            seen.faults[trouble.__name__] += 1
            async with trouble(rig, random):
                gateway.start()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(outbox.drained.wait(), random.uniform(*LIFE_S))
                if random.random() < 0.4:
                    seen.faults["kill"] += 1
                    await gateway.kill()
            if rest and random.random() < 0.5:
                outbox.put(rest.pop(0))
        for one in rest:
            outbox.put(one)
        outbox.calm = True
        gateway.start()
        await gateway.drain(PATIENCE_S)
    except TimeoutError:
        seen.wrong.append("it does not drain when all is well again")
    finally:
        await gateway.stop()
        if seen.files is not None:
            seen.files.__exit__()
    await seen.close(outbox, arrival_s)
    seen.counts["tries"] += sum(outbox.tries.values())
    seen.counts["windows"] += len(queued)
    return seen


class Gateway:
    """What can be started, and ended in two ways; all that it knows afterwards is in the outbox."""

    def __init__(self, rig: Rig, seen: Seen, outbox: CutOutbox, make: Callable[[], Destination]):
        self._rig, self._seen, self._outbox, self._make = rig, seen, outbox, make
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on, or begin with nothing but the outbox."""
        if self._task is None:
            self._outbox.dead = False
            self._destination = self._make()
            one = worker(Recorded(self._destination, self._outbox, self._seen), self._outbox, self._seen.seed)
            self._task = asyncio.create_task(one.run())

    async def drain(self, seconds: float) -> None:
        """Until the outbox is empty. TimeoutError, also when the worker has ended."""
        assert self._task is not None
        drained = asyncio.ensure_future(self._outbox.drained.wait())
        await asyncio.wait([drained, self._task], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not drained.done():
            drained.cancel()
            raise TimeoutError

    async def kill(self) -> None:
        """As kill -9: not a byte more leaves, nothing more is marked."""
        self._outbox.dead = True
        await self._rig.break_off(getattr(self._destination, "inner", self._destination), self.stop)
        self._outbox.forget(self._outbox.waiting)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._outbox.forget(self._outbox.waiting)
