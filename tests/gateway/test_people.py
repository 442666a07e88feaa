"""Who may log in: the list, passwords, and that no change of it goes without an entry of the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import unicodedata

import pytest
from argon2.low_level import Type, hash_secret
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import JournalError, PeopleError
from gateway.journal.kinds import EVENT
from gateway.journal.reader import reading
from gateway.people import accounts, changes, keeper, passwords
from gateway.people.accounts import ROLES, Account, People
from gateway.people.changes import Change, Told
from gateway.people.keeper import Keeper
from protocol import cbor
from tests.gateway.app_rig import bus, bus_channel, running, until, write_config
from tests.gateway.feed_rig import config_of, written
from tests.servers.process import free_port

SALT = b"of every worker!"
"""The same in each process of the tests: what is kept stands in their names."""
KEPT = [
    hash_secret(b"a sentence number %d" % n, SALT, 3, passwords.MEMORY_KIB, 1, 32, Type.ID).decode()
    for n in range(3)
]


def person(name: str, role: str = "operator", kept: str = KEPT[0]) -> Account:
    return Account(name, role, kept)


def people(*given: Account, by: str = "Lan") -> People:
    return People({account.name: account for account in given}, by)


# Passwords --------------------------------------------------------------------------------------------------


def test_a_password_is_known_again_and_nothing_like_it():
    kept = passwords.hashed("mười hai con vịt")
    assert kept.startswith("$argon2id$v=19$m=19456,t=3,p=1$") and "vịt" not in kept
    assert passwords.matches("mười hai con vịt", kept)
    for other in ("mười hai con vit", "mười hai con vịt ", "", "x" * 500):
        assert not passwords.matches(other, kept)
    assert passwords.hashed("mười hai con vịt") != kept, "each has its own salt"


def test_a_password_is_the_same_on_every_keyboard():
    """Some write ế as one letter, some as e with two marks."""
    whole, apart = (unicodedata.normalize(form, "tiếng Việt có dấu") for form in ("NFC", "NFD"))
    assert whole != apart
    assert passwords.matches(apart, passwords.hashed(whole))
    assert passwords.matches(whole, passwords.hashed(apart))


EXPENSIVE = KEPT[0].replace("m=19456,t=3", "m=900000,t=200")
"""Verifying it would take a gigabyte and minutes."""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "$argon2id$",
        EXPENSIVE,
        KEPT[0][:-4],
        KEPT[0] + "\n",
    ],
)
def test_what_is_no_kept_password_is_refused_and_matches_nothing(text):
    assert not passwords.matches("a sentence number 0", text)
    with pytest.raises(PeopleError, match="password is not kept"):
        people().with_new(person("lan", kept=text), "Lan")


@pytest.mark.parametrize("password", ["short", "x" * 201, "aaaaaaaaaaaaaa", "lan is good", "ten chars\n\n"])
def test_weak_passwords_are_told_why(password):
    assert passwords.weakness(password, "lan").endswith(".")


def test_generated_ones_are_good_and_differ():
    made = {passwords.generated() for _ in range(100)}
    assert len(made) == 100
    assert not any(passwords.weakness(password, "operator") for password in made)


# The list ---------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "people.json"
    assert accounts.load(path) == People({})
    some = people(person("lan"), person("tran.van.an", "inspector", KEPT[1]))
    accounts.save(path, some)
    assert accounts.load(path) == some
    assert path.stat().st_mode & 0o777 == 0o600


def test_changes_of_the_list():
    some = people(person("lan"))
    more = some.with_new(person("an", "inspector"), "Minh")
    assert set(more.accounts) == {"lan", "an"} and more.by == "Minh" and set(some.accounts) == {"lan"}
    assert more.with_role("lan", "viewer", "An").of("lan").role == "viewer"
    assert more.with_password("lan", KEPT[2], "An").of("lan").password == KEPT[2]
    assert set(more.without("an", "Lan").accounts) == {"lan"}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda some: some.with_new(person("lan"), ""),
        lambda some: some.with_new(person("Lan"), ""),
        lambda some: some.with_new(person("../x"), ""),
        lambda some: some.with_new(person("x" * 33), ""),
        lambda some: some.with_new(person("an", "king"), ""),
        lambda some: some.with_role("lan", "", ""),
        lambda some: some.with_role("nobody", "viewer", ""),
        lambda some: some.with_password("nobody", KEPT[0], ""),
        lambda some: some.without("nobody", ""),
    ],
)
def test_what_cannot_be_is_a_sentence(wrong):
    with pytest.raises(PeopleError) as error:
        wrong(people(person("lan")))
    assert str(error.value).endswith(".") and "$argon2" not in str(error.value)


GOOD = json.loads(accounts.encode(people(person("lan"))))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"\xff", b"{" * 90_000, b" " * 100_001, b'{"by": 5, "people": []}',
        json.dumps(GOOD | {"people": GOOD["people"] * 2}).encode(),
        json.dumps(GOOD | {"people": [GOOD["people"][0] | {"role": ["viewer"]}]}).encode(),
        json.dumps(GOOD | {"people": [GOOD["people"][0] | {"name": None}]}).encode(),
        json.dumps(GOOD | {"people": [GOOD["people"][0] | {"password": 5}]}).encode(),
        json.dumps(GOOD | {"people": [{**GOOD["people"][0], "name": f"n{n}"} for n in range(101)]}).encode(),
        json.dumps(GOOD | {"by": "x" * 101}).encode(),
    ],
)  # fmt: skip
def test_a_list_that_is_none_is_refused_whole(data):
    with pytest.raises(PeopleError):
        accounts.parse(data)


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_else(data):
    with contextlib.suppress(PeopleError):
        accounts.parse(data)
    assert changes.parse(data) is None


# What the log says ------------------------------------------------------------------------------------------


ANY = st.dictionaries(
    st.sampled_from(["lan", "an", "minh"]),
    st.tuples(st.sampled_from(list(ROLES)), st.sampled_from(KEPT)),
    max_size=3,
).map(lambda found: people(*[Account(name, *rest) for name, rest in found.items()]))


@given(st.lists(ANY, max_size=5))
def test_what_the_log_says_is_who_there_is(lists):
    told = Told()
    for some in lists:
        for change in told.differences(some):
            again = changes.parse(change.event())
            assert again == change and b"argon2" not in change.event()
            told.take(again)
        assert told.differences(some) == []
        assert {name: known.role for name, known in told.known.items()} == {
            name: account.role for name, account in some.accounts.items()
        }


def test_each_difference_has_its_word():
    told = Told()
    for change in told.differences(people(person("lan"), person("an", "inspector"))):
        told.take(change)
    found = told.differences(people(person("lan", "viewer", KEPT[1]), person("minh"), by="Minh"))
    said = [(change.name, change.what, change.role, change.by) for change in found]
    assert said == [
        ("an", "removed", "inspector", "Minh"), ("lan", "password", "operator", "Minh"),
        ("lan", "role", "viewer", "Minh"), ("minh", "added", "operator", "Minh"),
    ]  # fmt: skip


# In a journal -----------------------------------------------------------------------------------------------


def said(path) -> list[tuple[str, str]]:
    with reading(path) as reader:
        found = [changes.parse(entry.body) for entry in reader.entries(kinds=(EVENT,))]
    return [(change.name, change.what) for change in found if isinstance(change, Change)]


def in_journal(tmp_path, case) -> None:
    async def story():
        async with written(config_of(tmp_path, "alerts")) as at:
            at.state_dir.joinpath("keys").mkdir(exist_ok=True)
            await case(at, lambda: Keeper(at.journal, at.state_dir, lambda: (at.now_ms, 5)))

    asyncio.run(story())


def test_every_change_of_the_file_is_an_entry_once_whoever_makes_it(tmp_path):
    async def case(at, made) -> None:
        path = accounts.path_of(at.state_dir)
        one = made()
        await one.look()
        assert said(at.journal.path) == [] and one.people.accounts == {}
        accounts.save(path, people(person("lan"), person("an", "inspector")))
        await one.look()
        await one.look()
        assert said(at.journal.path) == [("an", "added"), ("lan", "added")]
        assert set(one.people.accounts) == {"lan", "an"}
        accounts.save(path, people(person("lan")))  # while nobody looks: another start tells it
        two = made()
        await two.look()
        assert said(at.journal.path)[2:] == [("an", "removed")]
        os.unlink(path)
        await two.look()
        assert said(at.journal.path)[3:] == [("lan", "removed")] and two.people.accounts == {}

    in_journal(tmp_path, case)


def test_a_list_that_cannot_be_read_removes_nobody(tmp_path):
    async def case(at, made) -> None:
        path = accounts.path_of(at.state_dir)
        accounts.save(path, people(person("lan")))
        one = made()
        await one.look()
        for broken in (b"{", accounts.encode(people(person("lan"), person("an")))[:-5]):
            path.write_bytes(broken)
            await one.look()
            (problem,) = one.problems()
            assert "people.json" in problem and set(one.people.accounts) == {"lan"}
        accounts.save(path, people(person("an")))
        await one.look()
        assert one.problems() == [] and said(at.journal.path)[1:] == [("an", "added"), ("lan", "removed")]

    in_journal(tmp_path, case)


def test_what_the_disk_refused_is_said_at_the_next_look(tmp_path, monkeypatch):
    async def case(at, made) -> None:
        accounts.save(accounts.path_of(at.state_dir), people(person("lan")))
        one = made()
        commit = at.journal.commit

        async def refused(**work):
            raise JournalError("the disk")

        monkeypatch.setattr(at.journal, "commit", refused)
        with pytest.raises(JournalError):
            await one.look()
        assert one.people.accounts == {}, "nobody may log in of whom the log does not tell"
        monkeypatch.setattr(at.journal, "commit", commit)
        await one.look()
        assert said(at.journal.path) == [("lan", "added")] and "lan" in one.people.accounts

    in_journal(tmp_path, case)


def test_control_a_keeper_that_believes_the_file_of_its_start_lets_somebody_go_unseen(tmp_path, monkeypatch):
    async def case(at, made) -> None:
        path = accounts.path_of(at.state_dir)
        accounts.save(path, people(person("an", "inspector")))
        await made().look()
        accounts.save(path, people())
        monkeypatch.setattr(keeper, "_told", lambda reader: Told())
        await made().look()
        assert said(at.journal.path) == [("an", "added")]

    in_journal(tmp_path, case)


def test_a_running_gateway_hears_of_people(tmp_path):
    async def story():
        tank = bus("tank", f"modbus-tcp://127.0.0.1:{free_port()}")
        config = write_config(tmp_path, tank, bus_channel("COD", "tank", 0))
        path = accounts.path_of(config.parent / "gateway")
        async with running(config) as gateway:
            path.parent.mkdir(exist_ok=True)
            accounts.save(path, people(person("lan")))
            await until(lambda: said(config.parent / "gateway" / "journal.db") == [("lan", "added")])
            path.write_bytes(b"{")
            await until(lambda: "who may log in cannot be read" in gateway.log)
            assert any("people.json" in reason for reason in (await gateway.health())[1])
            assert "argon2" not in gateway.log

    asyncio.run(story())


def test_a_hash_of_a_hash_tells_nothing_of_a_password():
    mark = changes.mark_of(person("lan"))
    assert len(mark) == changes.MARK_BYTES
    assert cbor.loads(Change("lan", "added", "viewer", mark, "").event())[4] == mark
