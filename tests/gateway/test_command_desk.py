"""Commands at the desk: refused ones are entered and answered, others are done once, whatever crashes."""

from __future__ import annotations

import asyncio

import pytest

from gateway.commands import desk as desk_module
from gateway.commands import message as m
from gateway.commands.desk import OWN, STRANGERS
from gateway.errors import JournalError
from protocol import note
from protocol.merkle import EvidenceError
from simulator.department import Department
from tests.gateway.command_rig import At, Site

MINUTE = 60


def run(case, *arguments) -> None:
    asyncio.run(case(*arguments))


def test_a_command_is_written_down_done_and_answered(tmp_path):
    async def case(site: Site) -> None:
        async with site.started() as at:
            command = site.command(at, counter=41, reason="vượt giới hạn")
            said = await at.say(command)
            assert said is not None
            assert (said["state"], said["reason"], said["counter"]) == ("done", "Bottle 1 is filled.", "41")
            assert said["details"] == {"bottle": 1} and said["verb"] == "sample"
        taken, answered = site.entries()
        digest = m.digest_of(command)
        assert taken == ["department", "dept.example", 41, digest, "sample", "test", command]
        assert answered[:5] == ["department result", "dept.example", 41, digest, "done"]
        assert [one.args["reason"] for one in site.done] == ["vượt giới hạn"]

    run(case, Site(tmp_path))


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (m.WRONG_KEY, {"by": Department.made("dept.example")}),
        (m.WRONG_KEY, {"by": Department.made("someone.example")}),
        (m.OTHER_STATION, {"station": "quantrac/LCa/DEMO/NUO002"}),
        (m.OTHER_STATION, {"station": "quantrac/LCa/DEMO/NUO001/epoch-2"}),
        (m.OLD_COUNTER, {"counter": 40, "reason": "another"}),
        (m.OLD_COUNTER, {"counter": 39}),
        (m.EXPIRED, {"issued_s": -2 * 3600}),
        (m.TOO_EARLY, {"issued_s": 61}),
        (m.UNKNOWN_VERB, {"verb": "reboot"}),
        (m.UNKNOWN_VERB, {"verb": "resend", "from_": "2026-03-24T00:05:00+07:00",
                          "to": "2026-03-25T00:00:00+07:00", "symbols": "*", "what": "windows"}),
        (m.MALFORMED, {"bottles": 0}),
        (m.TOO_LARGE, {"reason": "x" * m.BYTES_MAX}),
    ],
)  # fmt: skip
def test_refused_entered_answered(tmp_path, code, change):
    """A wrong key, an old counter, after its expiry, for another station: nothing is done."""

    async def case(site: Site) -> None:
        async with site.started() as at:
            await at.say(site.command(at, counter=40))
            given = {"counter": 50, **change}
            if "issued_s" in given:
                given["issued_s"] += at.now_s
            wrong = site.command(at, **given)
            said = await at.say(wrong)
            assert said is not None
            assert said["state"] == "refused" and said["details"]["code"] == code and said["reason"]
            assert len(site.done) == 1
            # and no counter was used up by it
            assert (await at.say(site.command(at, counter=41)))["state"] == "done"
        assert site.codes() == [code]
        refused = site.entries()[2]
        assert refused[3] == m.digest_of(wrong) and refused[4] == "test" and refused[6] == 0
        assert refused[1] == ("" if code in (m.WRONG_KEY, m.TOO_LARGE) else "dept.example")

    run(case, Site(tmp_path))


@pytest.mark.parametrize(
    ("name", "code", "change"),
    [
        ("_check", m.EXPIRED, {"issued_s": -2 * 3600}),
        ("_check", m.OTHER_STATION, {"station": "quantrac/LCa/DEMO/NUO002"}),
        ("_check", m.OLD_COUNTER, {"counter": 39}),
    ],
)
def test_the_control_an_unchecked_command_would_be_done(tmp_path, monkeypatch, name, code, change):
    monkeypatch.setattr(desk_module.Desk, name, lambda self, key, command: None)
    with pytest.raises(AssertionError):
        test_refused_entered_answered(tmp_path, code, change)


def test_times_at_their_edges(tmp_path):
    """Issued up to 60 s ahead of our clock, and until the very moment at which it expires."""

    async def case(site: Site) -> None:
        async with site.started() as at:
            assert (await at.say(site.command(at, issued_s=at.now_s + 60)))["state"] == "done"
            last = site.command(at, issued_s=at.now_s, life_s=600)
            early = site.command(at, issued_s=at.now_s + 200)
            assert (await at.say(early))["details"]["code"] == m.TOO_EARLY
            at.written.now_ms += 600_000
            assert (await at.say(last))["state"] == "done"
            at.mono_ms += 600_000
            assert (await at.say(early))["state"] == "done"  # its time has come
        assert len(site.done) == 3

    run(case, Site(tmp_path))


def test_a_station_that_does_not_know_the_time_does_nothing(tmp_path):
    async def case(site: Site) -> None:
        async with site.started() as at:
            command = site.command(at)
            at.trusted = False
            assert (await at.say(command))["details"]["code"] == m.CLOCK
            at.trusted = True
            assert (await at.say(command))["state"] == "done"
        assert site.codes() == [m.CLOCK] and len(site.done) == 1

    run(case, Site(tmp_path))


def test_counters_are_of_each_key_and_outlive_a_restart(tmp_path):
    async def case(site: Site) -> None:
        site.departments.append(Department.made("second.example"))
        second = site.departments[1]
        async with site.started() as at:
            assert (await at.say(site.command(at, counter=1000)))["state"] == "done"
            assert (await at.say(site.command(at, counter=3, by=second)))["state"] == "done"
        async with site.started() as at:
            old = await at.say(site.command(at, counter=1000, reason="another"))
            assert old["details"] == {"code": m.OLD_COUNTER, "newest_counter": 1000}
            assert (await at.say(site.command(at, counter=3, by=second, reason="another")))[
                "state"
            ] == "refused"
            assert (await at.say(site.command(at, counter=4, by=second)))["state"] == "done"
        assert len(site.done) == 3

    run(case, Site(tmp_path))


def test_the_same_command_gets_the_same_answer_and_no_second_sample(tmp_path):
    async def case(site: Site) -> None:
        async with site.started() as at:
            command = site.command(at)
            first = await at.desk.take(command, "mqtt")
            at.written.now_ms += 5_000_000  # by now it has expired
            assert await at.desk.take(command, "https") == first
        async with site.started() as at:
            assert await at.desk.take(command, "mqtt") == first
        assert len(site.done) == 1 and len(site.entries()) == 2

    run(case, Site(tmp_path))


def test_twice_at_once_is_once(tmp_path):
    async def case(site: Site) -> None:
        async with site.started() as at:
            at.hold = asyncio.Event()
            command = site.command(at)
            both = [asyncio.create_task(at.desk.take(command, way)) for way in ("mqtt", "https")]
            await at.begun.wait()
            await asyncio.sleep(0.05)
            # another one is not held up by it
            assert (await at.say(site.command(at, "status")))["state"] == "done"
            at.hold.set()
            one, other = await asyncio.gather(*both)
            assert one == other and one is not None
        assert len(site.done) == 1

    run(case, Site(tmp_path))


async def _broken_off(site: Site) -> bytes:
    """A gateway that ends between a command's entry and the end of its deed."""
    async with site.started() as at:
        at.hold = asyncio.Event()
        command = site.command(at)
        task = asyncio.create_task(at.desk.take(command, "mqtt"))
        await at.begun.wait()
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            if other is task or other.get_name().startswith("command"):
                other.cancel()
    return command


def test_a_stop_between_entry_and_deed_no_second_sample_and_the_answer_comes(tmp_path):
    async def case(site: Site) -> None:
        command = await _broken_off(site)
        async with site.started() as at:
            await at.desk.recall()  # whether or not anybody asks again
            found = [body[0] for body in site.entries()]
            said = await at.say(command)
            assert len(site.done) == 1, "done twice"
            assert found == ["department", "department result"]
            assert (said["state"], said["reason"]) == ("unknown", "It was broken off.")
            assert said["details"] == {"looked_up": "at night"}

    run(case, Site(tmp_path))


def test_the_control_an_entry_after_the_deed_would_do_it_twice(tmp_path, monkeypatch):
    """Nothing on disk before the deed: after the stop the same command is new."""

    async def late(self, key, command, digest, via, data):
        doing = asyncio.create_task(self._do(key, command, digest), name="command")
        self._doing[digest] = doing
        return doing

    monkeypatch.setattr(desk_module.Desk, "_begin", late)
    with pytest.raises(AssertionError, match="done twice"):
        test_a_stop_between_entry_and_deed_no_second_sample_and_the_answer_comes(tmp_path)


class Died(Exception):
    """The power went."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_whichever_entry_the_power_goes_at_it_is_done_at_most_once_and_answered(
    tmp_path, monkeypatch, number, after
):
    """Entries of a first start and its first command: whose keys, the command, its result."""
    honest, written = desk_module.Desk._write, []

    async def write(self, kind, body):
        written.append(kind)
        if len(written) == number and not after:
            raise Died
        await honest(self, kind, body)
        if len(written) == number:
            raise Died

    async def case(site: Site) -> None:
        monkeypatch.setattr(desk_module.Desk, "_write", write)
        async with site.started() as at:
            command = site.command(at)
            with pytest.raises(Died):
                await at.desk.take(command, "mqtt")
        monkeypatch.setattr(desk_module.Desk, "_write", honest)
        async with site.started() as at:
            said = await at.say(command)
        began = number == 3 or (number, after) == (2, True)  # its entry was on the disk
        ended = (number, after) == (3, True)  # and its result
        assert said["state"] == ("done" if not began or ended else "unknown")
        assert len(site.done) == (0 if (number, after) == (2, True) else 1)
        names = [body[0] for body in site.entries()]
        assert names == ["department", "department result"] and len(site.pinned()) == 1

    run(case, Site(tmp_path))


def test_whose_commands_are_taken_stands_in_the_log(tmp_path):
    """From the first start on, once, and again when the file holds another key."""

    async def case(site: Site) -> None:
        for _ in range(2):
            async with site.started() as at:
                task = asyncio.create_task(at.desk.run())
                await at.say(site.command(at, "status"))
                assert not task.done()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        first = site.department.vkey
        site.departments[:] = [Department.made("facility.example")]
        async with site.started() as at:
            await at.desk.recall()
        assert site.pinned() == [[first], [site.department.vkey]]

    run(case, Site(tmp_path))


def test_the_control_a_key_that_is_not_compared_is_exchanged_unseen(tmp_path, monkeypatch):
    monkeypatch.setattr(desk_module, "parse_pinned", lambda body: None)
    with pytest.raises(AssertionError):
        test_whose_commands_are_taken_stands_in_the_log(tmp_path)


def test_a_key_that_is_pinned_no_longer(tmp_path):
    """What it began is answered for the log; it commands no more."""

    async def case(site: Site) -> None:
        command = await _broken_off(site)
        site.departments[:] = [Department.made("new.example")]
        async with site.started() as at:
            assert (await at.say(command))["details"]["code"] == m.WRONG_KEY
        assert [body[4] for body in site.entries() if body[0] == "department result"] == ["unknown"]

    run(case, Site(tmp_path))


def test_a_deed_that_fails_is_answered(tmp_path, caplog):
    async def case(site: Site) -> None:
        async with site.started() as at:
            for error, state in ((JournalError("The disk is full."), "refused"), (KeyError("x"), "unknown")):

                async def fails(command, digest, error=error):
                    raise error

                at.desk._deeds = {"sample": fails}
                said = await at.say(site.command(at))
                assert said["state"] == state and ("disk is full" in said["reason"]) == (state == "refused")

    run(case, Site(tmp_path))


# Strangers --------------------------------------------------------------------------------------------------


async def _flood(at: At, count: int) -> int:
    """How many of so many messages of a stranger are answered."""
    stranger = Department.made("dept.example")
    answers = [
        await at.desk.take(at.site.command(at, by=stranger, counter=n + 1), "mqtt") for n in range(count)
    ]
    return len(answers) - answers.count(None)


def test_a_flood_of_strangers_costs_few_entries_and_shuts_nobody_out(tmp_path):
    async def case(site: Site) -> None:
        async with site.started() as at:
            assert await _flood(at, 500) == STRANGERS[0]
            assert len(site.codes()) == STRANGERS[0]
            assert (await at.say(site.command(at)))["state"] == "done"  # the department is let in
            at.mono_ms += 1000 * int(STRANGERS[1])
            assert await _flood(at, 100) == 1
        assert len(site.codes()) == STRANGERS[0] + 1
        # the next entry says how many there were between: 500 - 10
        assert [body[6] for body in site.entries() if body[0] == "command refused"] == [0] * 10 + [490]

    run(case, Site(tmp_path))


def test_the_control_without_a_measure_a_stranger_fills_the_journal(tmp_path, monkeypatch):
    monkeypatch.setattr(desk_module.Bucket, "take", lambda self, now_s: 0)
    with pytest.raises(AssertionError):
        test_a_flood_of_strangers_costs_few_entries_and_shuts_nobody_out(tmp_path)


def test_old_commands_sent_again_and_again_cost_no_more(tmp_path):
    """Somebody kept commands that were signed; one that was answered, and one that never came here."""

    async def case(site: Site) -> None:
        async with site.started() as at:
            kept, answered = site.command(at, counter=1), site.command(at, counter=2)
            await at.desk.take(answered, "mqtt")
            for _ in range(300):
                await at.desk.take(kept, "mqtt")
                await at.desk.take(answered, "mqtt")
        assert site.codes() == [m.OLD_COUNTER] * OWN[0] and len(site.done) == 1

    run(case, Site(tmp_path))


# Answers ----------------------------------------------------------------------------------------------------


def test_an_answer_is_the_logs_and_of_this_command(tmp_path):
    async def case(site: Site) -> None:
        async with site.started() as at:
            command, other = site.command(at), site.command(at, reason="another")
            answer = await at.desk.take(command, "mqtt")
            vkey = (at.written.state_dir / "log.vkey").read_text()
            Department.checked(answer, vkey, command)
            with pytest.raises(ValueError, match="no answer to that command"):
                Department.checked(answer, vkey, other)
            changed = answer.replace(b"state done", b"state gone")
            with pytest.raises(EvidenceError):
                Department.checked(changed, vkey, command)
            with pytest.raises(EvidenceError):
                Department.checked(answer, site.department.vkey, command)
            assert note.parse(answer).signatures[0].name == "quantrac/LCa/DEMO/NUO001"

    run(case, Site(tmp_path))


def test_without_the_logs_key_it_is_done_and_answered_later(tmp_path, caplog):
    async def case(site: Site) -> None:
        async with site.started() as at:
            key = at.written.state_dir / "keys" / "log.key"
            command = site.command(at)
            key.rename(key.with_suffix(".away"))
            assert await at.desk.take(command, "mqtt") is None
            key.with_suffix(".away").rename(key)
            assert (await at.say(command))["state"] == "done"
        assert len(site.done) == 1

    run(case, Site(tmp_path))
