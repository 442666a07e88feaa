"""`quantrac verify` says what a bundle's entries tell of deliveries, and compares bytes with its files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.counters import Counters
from gateway.forward.port import Confirmation
from gateway.journal.bodies import DELIVERED, Delivery, Settled
from gateway.journal.kinds import DELIVERY
from gateway.journal.leaf import Leaf
from gateway.journal.outbox import JournalOutbox
from gateway.verify_deliveries import DESTINATIONS_MAX, DIGESTS_MAX, Deliveries
from tests.gateway.bundle_rig import claims, exported
from tests.gateway.evidence_rig import Run, Story, greeting, live

SAID = "226 Transfer complete / 250 Rename successful"


def deliver(destination: str, told: bool = True) -> Callable[[Run], Awaitable[None]]:
    """All that waits for it is confirmed; without `told` as before answers were kept."""

    async def chapter(run: Run) -> None:
        outbox = JournalOutbox(run.intake.journal, lambda: run.story.now_ms, Counters())
        for one in await outbox.pending(destination, 0, 99):
            answer = Confirmation(f"/in/{one.name}", len(one.body), SAID)
            await outbox.delivered({one.id: answer} if told else [one.id])

    return chapter


def test_who_confirmed_what_and_in_which_words(tmp_path):
    story = Story(tmp_path).start(
        greeting, live(3), deliver("local"), deliver("national", told=False), live(3)
    )
    bundle = exported(story, tmp_path / "bundle")
    found = claims(bundle)
    assert all(claim.shown for claim in found)
    local, national, files = [claim.text for claim in found if claim.what == "deliveries"]
    names = [name.removeprefix("files/") for name in sorted(bundle.files) if name.startswith("files/")]
    count = 2  # the third window closes later
    size = len(bundle.files[f"files/{names[count - 1]}"])
    newest = f'the newest as /in/{names[count - 1]}, {size} bytes: "{SAID}"'
    assert local == f"the log says: local confirmed {count} documents, {newest}"
    assert national == f"the log says: national confirmed {count} documents"
    assert files == f"of its {len(names)} provincial files, {count} are confirmed in it with these very bytes"


def entry(destination: str, *documents: Settled) -> Leaf:
    body = Delivery(destination, DELIVERED, 1, documents).encode()
    return Leaf(DELIVERY, "gateway", 1, 1, body)


def test_other_bytes_under_that_name_are_not_counted():
    heard = Deliveries(("a.txt", "b.txt"))
    heard.take(entry("province", Settled("window/1", b"1" * 32, "/in/a.txt", 5, "done")))
    assert heard.confirmed({"a.txt": b"1" * 32, "b.txt": b"1" * 32}) == 1
    assert heard.confirmed({"a.txt": b"2" * 32, "b.txt": b"2" * 32}) == 0


def test_what_a_stranger_writes_is_bounded_and_harmless():
    heard = Deliveries(("a.txt",))
    for i in range(3 * DESTINATIONS_MAX):
        digest = b"%032d" % i
        heard.take(entry(f"d{i:03}", Settled(f"window/{i}", digest, "/in/a.txt", 5, "\x1b[2J" * 9)))
        heard.take(Leaf(DELIVERY, "gateway", 1, 1, b"\x80" * i))
    assert len(heard.lines()) == DESTINATIONS_MAX
    assert sum(heard.confirmed({"a.txt": b"%032d" % i}) for i in range(99)) == DIGESTS_MAX
