"""`quantrac station update` and `package`: the real firmware in its slots, over a pty, and interrupted."""

from __future__ import annotations

import asyncio
import functools
import json
import signal
import time
from collections.abc import Callable, Coroutine

import pytest
from typer.testing import CliRunner

from protocol import messages
from tests.firmware import update_rig as rig
from tests.firmware.bench import until
from tests.tools.update_bench import CRASHES, NEW, OLD, Bench, key, made, shared
from tools.cli import app
from tools.people import Failure, UsageError
from tools.station import bring, kept, package, send
from tools.station.folder import Folder
from tools.station.link import StationLink
from tools.station.steady import SteadyLink
from tools.station.update import UpdateOptions, run_update

pytestmark = pytest.mark.timeout(900)  # compiles, and restarts a station many times

OTHER = 5  # which of update_rig's keys


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder that all workers of this run share: packages are compiled once."""
    return shared(tmp_path_factory)


def quantrac(*arguments: object):
    result = CliRunner().invoke(app, ["station", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def scenario(test):
    """An async test as pytest takes it."""

    @functools.wraps(test)
    def wrapped(*arguments, **named):
        asyncio.run(test(*arguments, **named))

    return wrapped


def call(bench: Bench, counter: int | None = None, **more):
    """run_update() in a thread: the test's loop goes on carrying bytes."""
    given = None if counter is None else bench.package(counter)
    options = UpdateOptions(bench.access(), given, yes=True, **{"patience_s": 20.0, **more})
    return asyncio.to_thread(run_update, options)


class Hook:
    """Runs what a test wants, in the test's loop, before the n-th command of a name; `seen`: all asked."""

    def __init__(self, monkeypatch) -> None:
        self.seen: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._wanted: dict[tuple[str, int], Callable[[], Coroutine]] = {}
        plain = StationLink.command

        async def command(link, name, *args, **more):
            self.seen.append(name)
            act = self._wanted.pop((name, self.seen.count(name)), None)
            if act is not None:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act(), self._loop))
            return await plain(link, name, *args, **more)

        monkeypatch.setattr(StationLink, "command", command)

    def before(self, name: str, n: int, act) -> None:
        self._wanted[name, n] = act

    @property
    def left(self) -> list[tuple[str, int]]:
        """What never came to be: a test that does not do what it says."""
        return list(self._wanted)


def ends(bench: Bench) -> list:
    return [
        (one["from"], one["to"], one["counter"], one["confirmed"]) for one in bench.folder.records("updated")
    ]


# ---- the whole way


@scenario
async def test_shown_sent_tried_confirmed_and_back_from_one_that_does_not_live(tmp_path, base):
    async with Bench(tmp_path, base) as bench:
        way = ("--port", bench.port, "--dir", bench.folder.path, "--by", "An")
        status, out, errors = await bench.command("update", bench.package(NEW), *way, typed=b"n\n")
        assert status == 1 and "Nothing was sent" in out and not (bench.directory / "stage").exists(), errors
        await bench.replug()
        status, out, errors = await bench.command("update", bench.package(NEW), *way, typed=b"y\n")
        assert status == 0, (out, errors)
        for words in (
            "0.1.0 -> 0.2.0",
            "counter  1 -> 2",
            "changed  firmware/station.mpy",
            "61 of 62 files stay",
        ):
            assert words in out
        assert "Confirmed: the station keeps 0.2.0. 0.1.0 stays in the other slot." in out
        assert max(map(len, out.splitlines())) <= 80 and "\x1b" not in out
        assert ends(bench) == [("0.1.0", "0.2.0", NEW, True)] and kept.under_way(bench.folder) is None
        state = bench.state()
        assert (state["slot"], state["old"], state["trying"]) == ("b", "a", False)
        assert (bench.directory / "a.pkg").read_bytes() == made(base)[OLD]

        await bench.replug()
        status, out, errors = await bench.command("update", bench.package(CRASHES), *way, "--yes", "--json")
        assert status == 1, (out, errors)
        told = json.loads(out)
        assert told["confirmed"] is False and told["why"] == "ValueError: this firmware cannot start"
        assert "the station runs 0.2.0 again" in errors and "higher counter" in errors
        assert ends(bench)[1:] == [("0.2.0", "0.3.0", CRASHES, False)] and bench.state()["slot"] == "b"
        # it is known to have gone back: nothing is sent twice; and the former one runs already
        with pytest.raises(Failure, match="takes no package twice"):
            await call(bench, CRASHES)
        await bench.replug()
        status, out, _ = await bench.command("update", *way)
        assert status == 0 and "runs quantrac 0.2.0" in out and "went back: ValueError" in out


def test_a_package_of_this_checkout(tmp_path):
    assert quantrac("package", "keygen", tmp_path / "keys")[0] == 0
    status, _, errors = quantrac("package", "keygen", tmp_path / "keys")
    assert status == 2 and "already" in errors
    pem, out = tmp_path / "keys" / "update.pem", tmp_path / "st.update"
    assert pem.stat().st_mode & 0o777 == 0o600
    status, said, errors = quantrac("package", "make", "--key", pem, "--version", "1.2.3", "--out", out)
    assert status == 0 and "version 1.2.3 for rp2" in said, errors
    read = package.read(out.read_bytes(), (tmp_path / "keys" / "update.pub").read_bytes())
    assert kept.greeting(read) == "quantrac 1.2.3" and read.ports == ("rp2",) and read.counter > 1_700_000_000
    status, said, _ = quantrac("package", "show", out, "--public", tmp_path / "keys" / "update.pub", "--json")
    assert status == 0 and json.loads(said)["signature"] == "checked"
    folder = Folder(tmp_path / "st-01")
    (folder.path / "device").mkdir(parents=True)
    (folder.path / "site.json").write_text("{}")
    folder.record("updated", "An", counter=1 << 40)
    words = ("make", "--key", pem, "--version", "1.2.4", "--out", out, "--dir", folder.path)
    assert quantrac("package", *words)[0] == 0
    assert package.read(out.read_bytes(), None).counter == (1 << 40) + 1
    out.write_bytes(out.read_bytes()[:-1])
    status, _, errors = quantrac("package", "show", out)
    assert status == 1 and "something missing" in errors
    for more, words in (
        (("--version", "a b"), "23 letters"),
        (("--version", "1", "--board", "pic"), "No board"),
        (("--version", "1", "--key", tmp_path / "keys" / "update.pub"), "PEM"),
    ):
        status, _, errors = quantrac("package", "make", "--key", pem, "--out", out, *more)
        assert status in (1, 2) and words in errors and "Traceback" not in errors


# ---- what must not get in


def bad(base, what: str) -> bytes:
    good = rig.make(key=key(base), counter=NEW, created_ms=rig.T, expires_ms=1 << 43)
    remake = {"key": key(base), "counter": NEW, "expires_ms": 1 << 43}
    return {
        "flipped": lambda: good[:-9] + bytes((good[-9] ^ 4,)) + good[-8:],
        "forged": lambda: good[:60] + bytes((good[60] ^ 1,)) + good[61:],
        "stranger": lambda: rig.make(**{**remake, "key": rig.key(OTHER)}),
        "older": lambda: rig.make(**{**remake, "counter": OLD}),
        "board": lambda: rig.make(**{**remake, "ports": ["rp2"]}),
        "expired": lambda: rig.make(**{**remake, "expires_ms": rig.T + 1}),
    }[what]()


REFUSED = {  # what is wrong -> what is said here, and by the device
    "flipped": ("contents are not what was signed", "is not what was signed"),
    "forged": ("signature is wrong", "signature is wrong"),
    "stranger": ("signature is wrong", "signature is wrong"),
    "older": ("counter 1 is not above 1", "counter 1 is not above 1"),
    "board": ("for rp2, and this board is unix", "for rp2, this board is unix"),
    "expired": ("expired on", "has expired"),
}


@scenario
async def test_what_is_wrong_is_refused_before_it_is_sent_and_by_the_device(tmp_path, base):
    async with Bench(tmp_path, base, rate=1) as bench:
        bench.folder.record("flashed", "An", counter=OLD)
        async with SteadyLink(bench.access()) as line:
            before = (await line.greeted()).hello
            # the device has to know the time to see that one has expired
            assert (await line.command("time", {"time_ms": time.time_ns() // 1_000_000})).ok
            for what, (_, there) in REFUSED.items():
                data = bad(base, what)
                await send.transfer(line, send.PACKAGE, data)
                result = await send.apply(line, send.PACKAGE)
                assert result is not None and not result.ok and there in result.text, (what, result)
            assert line.station and line.station.hello.boot == before.boot
        for name in ("b.pkg", "stage"):
            (bench.directory / name).unlink(missing_ok=True)
        for what, (here, _) in REFUSED.items():
            path = tmp_path / f"{what}.update"
            path.write_bytes(bad(base, what))
            if what == "board":
                await bench.replug()
            with pytest.raises(Failure) as caught:
                await asyncio.to_thread(run_update, UpdateOptions(bench.access(), path, yes=True))
            assert here in str(caught.value), what
        assert not (bench.directory / "stage").exists() and bench.state()["slot"] == "a" and not ends(bench)
    (bench.folder.path / "device" / "update.pub").unlink()
    with pytest.raises(UsageError, match=r"update\.pub is missing"):
        await call(bench, NEW)
    with pytest.raises(UsageError, match="one thing at a time"):
        await call(bench, NEW, config=True)


# ---- interrupted


@scenario
async def test_killed_at_every_step_the_next_call_goes_on(tmp_path, base):
    async with Bench(tmp_path, base) as bench:
        words = ("update", bench.package(NEW), "--port", bench.port, "--dir", bench.folder.path, "--yes")
        grown = []
        steps = (
            ("stage", 1),
            ("chunk", 1),
            ("chunk", 60),
            ("apply", 1),
            ("status", 3),
        )  # glance, board, verdict
        for name, n in steps:
            status, out, errors = await bench.command(*words, kill=(name, n))
            assert status == -signal.SIGKILL, (name, n, out, errors)
            stage = bench.directory / "stage"
            grown.append(stage.stat().st_size if stage.exists() else 0)
            await bench.replug()
            runs = b"0.2.0" if name == "status" else b"0.1.0"
            await until(lambda runs=runs: runs in _told(bench), f"it runs {runs!r} after {name}")
            assert not ends(bench)
        assert grown[0] == grown[1] == 0 and grown[2] >= 59 * 512 and grown[3] == len(made(base)[NEW])
        status, out, errors = await bench.command(*words)
        assert status == 0 and "0.2.0" in out, (out, errors)
        assert ends(bench) == [("0.1.0", "0.2.0", NEW, True)] and bench.state()["slot"] == "b"


def _told(bench: Bench) -> bytes:
    """The version of the slot that the device has as the one to start."""
    return bench.state()["version"].encode()


@scenario
async def test_the_cable_is_pulled_in_the_middle(tmp_path, base, monkeypatch):
    async with Bench(tmp_path, base) as bench:
        hook = Hook(monkeypatch)

        async def cut():
            bench.cable.cut()

        async def back():
            bench.cable.restore()

        async def apply_unheard():
            asyncio.get_running_loop().call_later(0.05, bench.cable.cut)
            asyncio.get_running_loop().call_later(2.5, bench.cable.restore)

        hook.before("chunk", 30, cut)
        with pytest.raises(Failure, match=r"Say the same again: it goes on from there") as caught:
            await call(bench, NEW, patience_s=4.0)
        assert "14,848 of" in str(caught.value)
        bench.cable.restore()
        await bench.replug()
        hook.before("chunk", 50, bench.replug)  # a board's own USB goes and comes back: nobody notices
        hook.before("chunk", 90, bench.power_cut)
        hook.before("apply", 1, cut)
        hook.before("status", 3, back)  # the first was of the call before
        monkeypatch.setattr(send, "APPLY_TIMES", 1)
        monkeypatch.setattr(bring, "LATE_S", 1.0)
        with pytest.raises(Failure, match="say the same again"):  # the command never came there
            await call(bench, NEW, patience_s=5.0)
        await bench.replug()
        hook.before("apply", 2, apply_unheard)  # its answer, and the greeting after the restart, are lost
        assert await call(bench, NEW) == 0
        assert not hook.left and hook.seen.count("chunk") < 60 + len(made(base)[NEW]) // 512
        assert ends(bench) == [("0.1.0", "0.2.0", NEW, True)]


@scenario
async def test_the_power_goes_at_every_step(tmp_path, base, monkeypatch):
    async with Bench(tmp_path, base) as bench:
        hook = Hook(monkeypatch)
        later: list[asyncio.Task] = []

        async def while_it_applies():
            """The command is on its way when this returns: the power goes while the device works on it."""

            async def soon():
                await asyncio.sleep(0.05)
                await bench.power_cut()

            later.append(asyncio.create_task(soon()))

        hook.before("stage", 1, bench.power_cut)
        hook.before("chunk", 1, bench.power_cut)
        hook.before("chunk", 60, bench.power_cut)
        hook.before("apply", 1, while_it_applies)
        for _ in range(4):
            try:
                if await call(bench, NEW) == 0:
                    break
            except Failure as failure:  # says what to do: the same again
                assert "Say the same again" in str(failure) or "say the same again" in str(failure), failure
        assert not hook.left
        assert ends(bench)[-1] == ("0.1.0", "0.2.0", NEW, True)
        state = bench.state()
        assert state["slot"] == "b" and not state["trying"]
        assert (bench.directory / "a.pkg").read_bytes() == made(base)[OLD]


@scenario
async def test_nobody_waits_and_somebody_looks_later(tmp_path, base, monkeypatch, capsys):
    async with Bench(tmp_path, base, rate=1) as bench:
        words = ("update", bench.package(NEW), "--port", bench.port, "--dir", bench.folder.path, "--yes")
        status, out, _ = await bench.command(*words, interrupt="Waiting for ten minutes")  # Ctrl-C
        assert status == 130 and "0.2.0 is on trial" in out and "station update --port" in out
        assert ends(bench) == [("0.1.0", "0.2.0", NEW, None)]
        await bench.replug()
        assert await call(bench, wait=False) == 0  # still on trial
        assert [confirmed for *_, confirmed in ends(bench)] == [None, None] and bench.state()["trying"]
        # another one cannot come now, and says so
        newer = tmp_path / "newer.update"
        newer.write_bytes(rig.make(key=key(base), version="0.4.0", counter=9, expires_ms=1 << 43))
        await bench.replug()
        with pytest.raises(Failure, match=r"0\.2\.0 is on trial"):
            await asyncio.to_thread(run_update, UpdateOptions(bench.access(), newer, yes=True))
        # the power goes twice before ten minutes have passed, while somebody waits: the old one is back
        hook = Hook(monkeypatch)
        hook.before("status", 3, bench.power_cut)
        hook.before("status", 5, bench.power_cut)
        await bench.replug()
        with pytest.raises(Failure, match=r"runs 0\.1\.0 again.*did not live ten minutes, 2 times"):
            await call(bench)
        assert not hook.left and "It has started anew" in capsys.readouterr().out
        assert ends(bench)[-1] == ("0.1.0", "0.2.0", NEW, False)


# ---- a configuration


def changed(bench: Bench, **more) -> None:
    path = bench.folder.path / "device" / "station.json"
    table = json.loads(path.read_bytes())
    for name, value in more.items():
        if name == "poll_ms":
            table["units"][0]["poll_ms"] = value
        else:
            table[name] = value
    path.write_text(json.dumps(table))


@scenario
async def test_a_configuration_is_shown_tried_kept_and_one_that_cannot_start_goes_back(tmp_path, base):
    async with Bench(tmp_path, base, slots=False) as bench:
        (bench.folder.path / "backups").mkdir()
        data = (bench.directory / "station.json").read_bytes()
        kept.keep_config(bench.folder, data)
        changed(bench, poll_ms=30_000, memory_records=500)
        way = ("update", "--config", "--port", bench.port, "--dir", bench.folder.path, "--yes")
        status, out, errors = await bench.command(*way)
        assert status == 0, (out, errors)
        assert "memory_records 0 -> 500" in out and "30000 ms" in out and "Confirmed" in out
        sent = (bench.folder.path / "device" / "station.json").read_bytes()
        assert (bench.directory / "station.json").read_bytes() == sent
        (one,) = bench.folder.records("updated")
        assert one["what"] == "configuration" and one["to"] == f"configuration {kept.config_hash(sent)}"
        await bench.replug()
        assert await call(bench, config=True) == 0  # it runs already

        changed(bench, memory_records=-1)
        await bench.replug()
        with pytest.raises(Failure, match=r"refuses it: .*memory_records"):
            await call(bench, config=True)
        changed(bench, memory_records=1_000_000)
        await bench.replug()
        with pytest.raises(Failure, match=r"It went back: .*not enough memory"):
            await call(bench, config=True)
        assert (bench.directory / "station.json").read_bytes() == sent
        assert [one["confirmed"] for one in bench.folder.records("updated")] == [True, False]
        (bench.folder.path / "device" / "station.json").write_text("{")
        with pytest.raises(Failure, match="no JSON"):
            await call(bench, config=True)


@scenario
async def test_another_station_on_the_port(tmp_path, base):
    async with Bench(tmp_path, base, slots=False) as bench:
        (bench.folder.path / "site.json").write_text('{"id": "st-02"}')
        with pytest.raises(UsageError, match="st-01 answers here"):
            await call(bench, NEW)


def test_the_hash_that_a_greeting_tells():
    assert kept.HASH_BYTES * 8 == 64 and messages.VERSION == 1
    assert kept.config_hash(b"{}") == "44136fa355b3678a"
