"""Commands over HTTPS, which a station behind a router asks for: a real server with TLS and a token."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.poll import AT_ONCE_MAX, Poll, Server
from gateway.errors import Refused, Unreachable
from simulator.department import Department, HttpsDesk
from tests.gateway.command_rig import STATION, At, Site
from tests.servers.certificates import Authority


class Bench:
    """A server of the department, and a station that asks it."""

    def __init__(self, folder: Path):
        authority = Authority(folder / "authority")
        cert, key = authority.issue("server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.desk = HttpsDesk(context, "secret-token")
        self.site = Site(folder / "station")
        self.token = folder / "token"
        self.token.write_text("secret-token\n")
        self.files: dict[str, Any] = {"token_file": self.token, "ca_file": authority.ca_file}
        self.path = "/station"
        self.other = Authority(folder / "other").ca_file

    @contextlib.asynccontextmanager
    async def station(self, **more: Any) -> AsyncIterator[tuple[At, Poll]]:
        async with self.site.started() as at:
            url = f"https://127.0.0.1:{self.desk.port}{self.path}"
            yield at, Poll(Server(url, 1, **{**self.files, **more}), STATION, at.desk.take)

    def answers(self) -> list[dict[str, Any]]:
        vkey = (self.site.config.gateway.state_dir / "log.vkey").read_text()
        return [Department.checked(answer, vkey) for answer in self.desk.answers]


def run(folder: Path, case) -> None:
    async def main() -> None:
        bench = Bench(folder)
        await bench.desk.start()
        try:
            async with asyncio.timeout(60):
                await case(bench)
        finally:
            await bench.desk.stop()

    asyncio.run(main())


def test_commands_are_fetched_done_and_answered(tmp_path):
    async def case(bench: Bench) -> None:
        async with bench.station() as (at, way):
            assert not await way.look()  # there is none
            bench.desk.give(STATION, bench.site.command(at, reason="one"))
            bench.desk.give("quantrac/LCa/DEMO/NUO002", bench.site.command(at, reason="another station's"))
            bench.desk.give(STATION, bench.site.command(at, "status"))
            assert await way.look() and await way.look() and not await way.look()
        assert [(one["verb"], one["state"]) for one in bench.answers()] == [
            ("sample", "done"), ("status", "done")
        ]  # fmt: skip
        assert [one.args["reason"] for one in bench.site.done] == ["one"] and len(bench.desk.waiting) == 1

    run(tmp_path, case)


def test_an_answer_that_did_not_arrive_is_given_again(tmp_path):
    async def case(bench: Bench) -> None:
        async with bench.station() as (at, way):
            bench.desk.give(STATION, bench.site.command(at))
            take = way._take

            async def breaks(data, via):
                answer = await take(data, via)
                bench.desk.broken = True
                return answer

            way._take = breaks
            with pytest.raises(Unreachable, match="503 to the answer"):
                await way.look()
            way._take, bench.desk.broken = take, False
            assert await way.look()
        assert len(bench.answers()) == 1 and len(bench.site.done) == 1

    run(tmp_path, case)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("token", "answers 401"),
        ("path", "answers 404"),
        ("ca", "cannot be trusted"),
        ("down", "cannot be reached"),
        ("empty", "is empty"),
    ],
)
def test_what_is_wrong_with_a_server_is_said(tmp_path, change, error):
    async def case(bench: Bench) -> None:
        if change == "token":
            bench.token.write_text("wrong\n")
        elif change == "path":
            bench.path = "/nowhere"
        elif change == "empty":
            bench.token.write_text("")
        more = {"ca_file": bench.other} if change == "ca" else {}
        async with bench.station(**more) as (_, way):
            if change == "down":
                await bench.desk.stop()
            with pytest.raises((Refused, Unreachable), match=error):
                await way.look()

    run(tmp_path, case)


def test_it_goes_on_asking_whatever_happens(tmp_path):
    async def case(bench: Bench) -> None:
        async with bench.station() as (at, way):
            bench.desk.broken = True
            task = asyncio.create_task(way.run())
            while "503" not in way.last_error:
                await asyncio.sleep(0.02)
            assert not way.connected
            bench.desk.give(STATION, bench.site.command(at))
            bench.desk.broken = False
            assert await asyncio.to_thread(bench.desk.wait_for, 1)
            while not way.connected:
                await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(tmp_path, case)


def test_a_server_that_never_has_enough_is_left_alone(tmp_path):
    """The same command again and again, since it loses our answers: so often, then after poll_s."""

    async def case(bench: Bench) -> None:
        async with bench.station() as (at, way):
            bench.desk.give(STATION, bench.site.command(at))
            bench.desk.answered = lambda answer: bench.desk.answers.append(answer)  # keeps the command
            task = asyncio.create_task(way.run())
            while bench.desk.asked < AT_ONCE_MAX:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            assert bench.desk.asked == AT_ONCE_MAX
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(set(bench.desk.answers)) == 1 and len(bench.site.done) == 1

    run(tmp_path, case)


def test_strangers_commands_are_refused_here_too(tmp_path):
    async def case(bench: Bench) -> None:
        async with bench.station() as (at, way):
            bench.desk.give(STATION, bench.site.command(at, by=Department.made("dept.example")))
            assert await way.look()
        ((said,), codes) = bench.answers(), bench.site.codes()
        assert said["state"] == "refused" and codes == ["wrong key"] and not bench.site.done

    run(tmp_path, case)
