"""`quantrac gateway parked`, `release`, `park`: beside a running gateway, and with a stopped one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.counters import Counters
from gateway.journal.bodies import event
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import reading
from gateway.lock import lock
from gateway.requests import FOLDER
from tests.gateway import app_rig as rig
from tests.gateway.intake_rig import START
from tools import parked
from tools.cli import app

TOO_LONG = "x" * 300 + ".txt"
"""A name that no disk takes: such a document is parked."""


def verb(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gateway", *map(str, words)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def rows(config: Path, *more: str) -> list[dict]:
    status, text = verb("parked", config, "--json", *more)
    assert status == 0
    return json.loads(text)


def site(folder: Path) -> Path:
    return rig.write_config(
        folder, rig.bus("dead", "modbus-tcp://127.0.0.1:1"), rig.bus_channel("Dead", "dead", 0),
        rig.directory(),
    )  # fmt: skip


async def with_outbox(config: Path, use) -> None:
    journal = Journal(config.parent / "gateway" / "journal.db")
    journal.open(["gateway"])
    journal.start()
    await use(JournalOutbox(journal, lambda: START, Counters()))
    await journal.close()


def events(config: Path) -> list[tuple[str, list]]:
    with reading(config.parent / "gateway" / "journal.db") as reader:
        found = [event(entry.body) for entry in reader.entries(kinds=(EVENT,))]
    return [one for one in found if one[0] in ("released", "parked")]


def sent(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "sent").rglob("*.txt"))


@pytest.fixture
def stopped(tmp_path) -> Path:
    """A stopped gateway with the documents 1 to 5 for `local`: the disk refused 1, 2 and 3 are delivered."""
    config = site(tmp_path)

    async def use(outbox: JournalOutbox) -> None:
        await outbox.queue([rig.draft("local", i) for i in range(1, 6)])
        await outbox.pending("local", 0, 9)
        await outbox.failed(1, "The name does not fit this disk.", park=True)
        await outbox.delivered([2, 3])

    asyncio.run(with_outbox(config, use))
    return config


def test_listed_released_and_parked_while_the_gateway_is_stopped(stopped):
    (row,) = rows(stopped)
    assert (row["id"], row["destination"], row["attempts"]) == (1, "local", 1)
    assert row["name"] == "LCa_DEMO_NUO001_20260325000001.txt" and row["kind"] == "windows"
    assert row["since"].startswith("2026-03-25T") and row["reason"] == "The name does not fit this disk."
    status, text = verb("parked", stopped)
    assert status == 0 and "The name does not fit this disk." in text and "1 parked" in text
    assert rows(stopped, "--destination", "nobody") == []

    status, text = verb("release", stopped, 1, "--reason", "they look at it by hand")
    assert status == 0 and text.startswith("1 document waits to be sent again.\n")
    assert "Warning: LCa_DEMO_NUO001_20260325000001.txt: newer files are there already." in text
    assert rows(stopped) == []
    status, text = verb("park", stopped, 5, 4, 2, "--reason", "made during a test", "--json")
    found = json.loads(text)
    assert status == 1 and not found["ok"] and found["changed"] == [4, 5]
    assert found["left"] == [[2, "it is delivered"]] and found["overtaken"] == []
    assert [row["id"] for row in rows(stopped)] == [4, 5]
    assert events(stopped) == [
        ("released", [parked.who(), "they look at it by hand", ["window/NUO001/1/1"]]),
        ("parked", [parked.who(), "made during a test", ["window/NUO001/4/1", "window/NUO001/5/1"]]),
    ]


def test_used_wrongly_it_says_what_to_do(stopped):
    for words, says in (
        (("release", stopped), "Name documents by their numbers"),
        (("release", stopped, 1, "--all", "--destination", "local"), "Name documents by their numbers"),
        (("release", stopped, "--all"), "belong together"),
        (("release", stopped, 1, "--destination", "local"), "belong together"),
        (("release", stopped, "--all", "--destination", "nation"), "There is no destination 'nation'"),
        (("release", stopped, 1 << 70), "named by numbers"),
        (("release", stopped, 1, "--reason", "a\nb"), "--reason is a line"),
        (("park", stopped, 4, "--reason", " "), "--reason is a line"),
        (("park", stopped, 4), "reason"),
        (("park", stopped, "--reason", "x"), "ids"),
    ):
        status, text = verb(*words)
        assert status == 2 and says in text, (words, text)
    assert [row["id"] for row in rows(stopped)] == [1] and events(stopped) == []
    status, text = verb("release", stopped, 77)
    assert status == 1 and "77: not changed, there is no such document." in text


def test_a_gateway_that_never_ran(tmp_path):
    status, text = verb("parked", site(tmp_path))
    assert status == 1 and "has this gateway ever run?" in text


def test_a_gateway_that_does_not_answer(stopped, monkeypatch):
    """Somebody holds the lock, and takes no requests; then one that takes it, and no more."""
    monkeypatch.setattr(parked, "ANSWER_S_MAX", 0.3)
    state_dir = stopped.parent / "gateway"
    with lock(state_dir / "gateway.lock"):
        status, text = verb("release", stopped, 1)
        assert status == 1 and "It takes no requests: wait until it has started, or stop it." in text
        (state_dir / FOLDER).mkdir(mode=0o700)
        status, text = verb("release", stopped, 1)
        assert status == 1 and "did not take it within" in text and "nothing was changed" in text
        assert list((state_dir / FOLDER).iterdir()) == [], "and it never will"
        monkeypatch.setattr(parked, "_withdraw", lambda path: path.unlink() is not None)
        status, text = verb("release", stopped, 1)
        assert status == 1 and "took it and has not finished it" in text
    assert [row["id"] for row in rows(stopped)] == [1]


def test_beside_a_running_gateway(tmp_path):
    """One that the disk refuses and one that a person parks; released, they are sent."""

    async def main() -> None:
        config = site(tmp_path)
        bad = rig.draft("local", 1)._replace(name=TOO_LONG)
        late = rig.draft("local", 2)._replace(folder="later")
        (tmp_path / "sent").mkdir()
        (tmp_path / "sent" / "later").write_text("in the way: 2 cannot be sent")
        await rig.queue(config, [bad, late, rig.draft("local", 3)])
        async with rig.running(config) as gateway:

            async def said(*words: object) -> tuple[int, str]:
                return await asyncio.to_thread(verb, *words)

            (row,) = await rig.until(lambda: rows(config))
            assert row["id"] == 1 and "does not fit this disk" in row["reason"]
            status, text = await said("park", config, 2, "--reason", "its folder is taken")
            assert (status, text) == (0, "1 document is parked.\n"), text
            await rig.until(lambda: sent(tmp_path))
            assert sent(tmp_path) == ["LCa_DEMO_NUO001_20260325000003.txt"]
            (one,) = (await gateway.current())["destinations"]
            assert (one["queued"], one["parked"]) == (3, 2)
            assert one["queued"] == one["delivered"] + one["parked"] + one["backlog"]
            assert (await gateway.metrics())["documents_parked", "local"] == 2

            (tmp_path / "sent" / "later").unlink()
            status, text = await said("release", config, "--all", "--destination", "local")
            assert status == 0 and "2 documents wait to be sent again." in text
            assert "20260325000002.txt: newer files are there already" in text
            await rig.until(lambda: len(sent(tmp_path)) == 2)
            await rig.until(lambda: [row["id"] for row in rows(config)] == [1])  # the disk refuses it again
            (one,) = (await gateway.current())["destinations"]
            assert (one["parked"], one["queued"]) == (1, 3)
            assert await gateway.stop() == 0
        user = parked.who()
        keys = ["window/NUO001/1/1", "window/NUO001/2/1"]
        assert events(config) == [
            ("parked", [user, "its folder is taken", keys[1:]]), ("released", [user, "", keys]),
        ]  # fmt: skip

    asyncio.run(main())
