"""The folder in which a running gateway is asked for something, whatever somebody puts there."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway import requests
from gateway.errors import JournalError
from gateway.requests import (
    BYTES_MAX,
    FOLDER,
    IDS_MAX,
    Answer,
    Order,
    Requests,
    parse,
    parse_answer,
    read,
    write,
)

ORDER = Order("release", (1, 2), "", "anna", "they made the folder")
DONE = Answer("2 documents wait to be sent again.", [1, 2])


def run(folder: Path, case: Callable[[list[Order]], Awaitable[None]], do=None) -> None:
    """A case with a gateway's Requests at work in `folder`; it gets what was done."""

    async def main() -> None:
        done: list[Order] = []

        async def noted(order: Order) -> Answer:
            done.append(order)
            return DONE

        takes = Requests(folder, do or noted)
        task = asyncio.create_task(takes.run())
        try:
            async with asyncio.timeout(20):
                while not takes.ready:
                    await asyncio.sleep(0.01)
                await case(done)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


async def answer(path: Path) -> Answer:
    path = path.with_suffix(".answer")
    while not path.exists():
        await asyncio.sleep(0.01)
    found = parse_answer(read(path))
    path.unlink()
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(requests, "LOOK_S", 0.02)


def test_it_is_asked_done_and_answered(tmp_path):
    async def case(done: list[Order]) -> None:
        found = await answer(write(tmp_path, ORDER))
        assert done == [ORDER] and found == DONE._replace(left=[])
        assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
        await asyncio.sleep(0.1)
        assert list((tmp_path / FOLDER).iterdir()) == []

    run(tmp_path, case)


def test_request_and_answer_are_for_their_owner_only(tmp_path):
    async def case(done: list[Order]) -> None:
        (tmp_path / FOLDER).chmod(0o700)
        path = write(tmp_path, ORDER)
        assert path.exists() and stat.S_IMODE(path.stat().st_mode) == 0o600
        while not path.with_suffix(".answer").exists():
            await asyncio.sleep(0.01)
        assert stat.S_IMODE(path.with_suffix(".answer").stat().st_mode) == 0o600

    run(tmp_path, case)


def test_what_lay_there_before_the_start_is_answered_and_not_done(tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "ANSWER_S", 0.3)
    (tmp_path / FOLDER).mkdir(mode=0o755)
    old = [write(tmp_path, ORDER) for _ in range(3)]
    old[1].rename(old[1].with_suffix(".taken"))
    (tmp_path / FOLDER / "note.txt").write_text("somebody's")

    async def case(done: list[Order]) -> None:
        said = [(await answer(path)).said for path in old[:2]]
        assert "nothing was changed" in said[0] and "says how far it came" in said[1]
        while len(list((tmp_path / FOLDER).iterdir())) > 1:  # the third does not come for its answer
            await asyncio.sleep(0.01)
        await answer(write(tmp_path, ORDER._replace(ids=(7,))))
        assert [order.ids for order in done] == [(7,)]
        assert (tmp_path / FOLDER / "note.txt").exists(), "what is not ours stays"
        assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700

    run(tmp_path, case)


@pytest.mark.parametrize("withdrawn", [True, False])
def test_what_is_withdrawn_is_not_done_and_whoever_withdraws_knows(tmp_path, withdrawn):
    """While one request is being done, another is withdrawn; with its control."""
    gate, done = asyncio.Event(), []

    async def slow(order: Order) -> Answer:
        done.append(order.ids)
        await gate.wait()
        return DONE

    async def case(_) -> None:
        first = write(tmp_path, ORDER._replace(ids=(1,)))
        while not done:
            await asyncio.sleep(0.01)
        second = write(tmp_path, ORDER._replace(ids=(2,)))
        await asyncio.sleep(0.1)
        assert second.exists()
        if withdrawn:
            second.unlink()
        gate.set()
        await answer(first)
        await answer(write(tmp_path, ORDER._replace(ids=(3,))))
        if not withdrawn:
            await answer(second)
        assert sorted(done) == ([(1,), (3,)] if withdrawn else [(1,), (2,), (3,)])

    run(tmp_path, case, slow)


def test_what_goes_wrong_is_the_answer(tmp_path):
    async def fails(order: Order) -> Answer:
        raise JournalError("The disk is full.") if order.ids == (1,) else KeyError("ours")

    async def case(done: list[Order]) -> None:
        found = await answer(write(tmp_path, ORDER._replace(ids=(1,))))
        assert (found.said, found.ok) == ("The disk is full.", False)
        found = await answer(write(tmp_path, ORDER))
        assert not found.ok and "mistake in this program" in found.said

    run(tmp_path, case, fails)


def test_an_answer_that_nobody_comes_for_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "ANSWER_S", 0.3)

    async def case(done: list[Order]) -> None:
        path = write(tmp_path, ORDER).with_suffix(".answer")
        while not path.exists():
            await asyncio.sleep(0.01)
        while path.exists():
            await asyncio.sleep(0.01)

    run(tmp_path, case)


# Whatever somebody puts there -------------------------------------------------------------------------------


def order(**changed) -> bytes:
    return json.dumps({**ORDER._asdict(), **changed}).encode()


BAD = {
    "nothing": b"",
    "no JSON": b"release 1",
    "not text": b"\xff\xfe",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "more": order(more=1),
    "less": b'{"what": "release"}',
    "another verb": order(what="delete"),
    "no document": order(ids=[]),
    "no document to park": order(what="park", ids=[], destination="province"),
    "a text": order(ids="12"),
    "a truth": order(ids=[True]),
    "negative": order(ids=[-1]),
    "huge": order(ids=[1 << 63]),
    "broken": order(ids=[1.5]),
    "too many": order(ids=list(range(1, IDS_MAX + 2))),
    "two lines": order(reason="a\nb"),
    "nobody": order(who=None),
    "long": order(who="x" * 501),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_request_is_refused_with_a_sentence(data):
    with pytest.raises(ValueError) as caught:
        parse(data)
    assert str(caught.value)[-1] in ".?"


def test_control_what_is_one_is_taken():
    assert parse(order()) == ORDER
    assert parse(order(ids=[], destination="province", reason="")).ids == ()


def test_files_that_are_none_stop_nothing(tmp_path):
    names = [f"{i:016x}.request" for i in range(1, 8)]

    async def case(done: list[Order]) -> None:
        folder = tmp_path / FOLDER
        os.mkfifo(folder / names[0])
        (folder / names[1]).mkdir()
        (tmp_path / "elsewhere").write_bytes(ORDER.encode())
        (folder / names[2]).symlink_to(tmp_path / "elsewhere")
        (folder / names[3]).symlink_to("/dev/zero")
        (folder / names[4]).write_bytes(b" " * (BYTES_MAX + 1))
        (folder / names[5]).write_bytes(b"\x00" * 100)
        (folder / names[6]).symlink_to("nowhere")
        for name in names:
            assert not (await answer(folder / name)).ok
        (folder / "request").write_bytes(ORDER.encode())
        (folder / "0.request").write_bytes(ORDER.encode())
        (folder / f"{0:016x}.request.new").write_bytes(ORDER.encode())
        await answer(write(tmp_path, ORDER))
        assert done == [ORDER], "only that one"

    run(tmp_path, case)


def test_a_folder_that_cannot_be_made_or_goes_is_waited_for(tmp_path):
    (tmp_path / "state").write_text("in the way")
    folder = tmp_path / "state"

    async def main() -> None:
        async def do(order: Order) -> Answer:
            return DONE

        takes = Requests(folder, do)
        task = asyncio.create_task(takes.run())
        async with asyncio.timeout(20):
            await asyncio.sleep(0.1)
            folder.unlink()
            while not takes.ready:
                await asyncio.sleep(0.01)
            (folder / FOLDER).rmdir()
            await asyncio.sleep(0.1)
            (folder / FOLDER).mkdir(mode=0o700)
            assert (await answer(write(folder, ORDER))).ok
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
