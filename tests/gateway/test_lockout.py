# runs on: cpython
"""gateway.people.lockout, devices, logins: nobody guesses passwords, nobody locks the owner out by trying."""

from __future__ import annotations

import asyncio
import time

from gateway.people import devices, logins
from gateway.people.accounts import People
from gateway.people.lockout import (
    DELAY_S_MAX,
    FORGET_S,
    KEYS_MAX,
    Lockout,
    address_key,
    delay_s,
    whole,
)
from gateway.people.logins import WAITING_MAX, Logins
from tests.gateway.test_people import KEPT, people, person

LAN = person("lan", "technician")  # her password: a sentence number 0
SOME = people(LAN, person("an", "viewer", KEPT[1]))
RIGHT = "a sentence number 0"
HOUR_S, YEAR_S = 3600.0, 365 * 86_400.0


# The arithmetic ---------------------------------------------------------------------------------------------


def test_the_delay_doubles_up_to_a_quarter_of_an_hour():
    # 1 s, 2 s, 4 s, ... 512 s (the 10th), then 900 s
    assert [delay_s(step) for step in (0, 1, 2, 3, 10, 11, 1000)] == [0, 1, 2, 4, 512, 900, 900]
    lock, key, waits, now_s = Lockout(), ("account", "lan"), [], 0.0
    for _ in range(12):
        waits.append(lock.failed([key], now_s))
        now_s += lock.wait_s([key], now_s)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert lock.wait_s([key], now_s) == 0, "and never for ever"


def test_a_year_of_guessing_is_a_few_ten_thousand_guesses():
    lock, key, now_s, guesses = Lockout(), ("account", "lan"), 0.0, 0
    while now_s < YEAR_S:
        now_s += max(lock.failed([key], now_s), 0.001)
        guesses += 1
    # 31,536,000 s / 900 s = 35,040, and the first ten
    assert guesses < 35_100


def test_what_is_right_or_long_ago_counts_no_more():
    lock, key = Lockout(), ("device", "lan", "1")
    for _ in range(5):
        lock.failed([key], 0.0)
    lock.passed(key)
    assert lock.wait_s([key], 0.0) == 0 and lock.failed([key], 0.0) == 1
    lock.failed([key], 0.0)  # until 2 s
    assert lock.failed([key], 2 + FORGET_S) == 4
    assert lock.failed([key], 6 + 2 * FORGET_S + 1) == 1


def test_memory_is_bounded_and_the_quiet_are_forgotten_first():
    lock, first = Lockout(), ("address", "192.0.2.1")
    lock.failed([first, ("account", "lan")], 0.0)
    for number in range(KEYS_MAX - 1):
        lock.failed([("address", str(number))], 0.0)
    lock.failed([first], 0.5)  # touched again
    for number in range(KEYS_MAX, KEYS_MAX + 100):
        lock.failed([("address", str(number)), ("name", str(number))], 0.5)
    assert len(lock) == KEYS_MAX + 100 + 1 and lock.wait_s([first], 0.5) == 2
    assert lock.wait_s([("address", "0")], 0.5) == 0, "the longest quiet went"
    assert lock.wait_s([("account", "lan")], 0.5) == 0.5, "and no account for names and addresses"


def test_addresses_are_counted_as_somebody_has_them():
    assert address_key("192.0.2.7") == ("address", "192.0.2.7") == address_key("::ffff:192.0.2.7")
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:2") != address_key("2001:db8:0:1::1")
    assert address_key("fe80::1%eth0") == address_key("fe80::2")
    assert address_key("testclient" * 20)[1] == ("testclient" * 20)[:64]
    assert (whole(0.2), whole(1.0), whole(1.2)) == (1, 1, 2)


# With real passwords ----------------------------------------------------------------------------------------


class Rig:
    """Logins whose time is given."""

    def __init__(self, some: People = SOME):
        self.some, self.time_s = some, 0.0
        self.logins = Logins(lambda: self.some, lambda: self.time_s, b"s" * 32)

    async def enter(self, name="lan", password="wrong", address="192.0.2.66", cookie=""):
        return await self.logins.enter(name, password, address, cookie)


def test_the_right_password_of_somebody_who_is_there():
    async def case():
        rig = Rig()
        for name in ("lan", "LAN", "lan "):
            found = await rig.enter(name, RIGHT)
            assert (found.right, found.account) == ((True, LAN) if name == "lan" else (False, None))
            rig.time_s += 5
        rig.some = rig.some.without("lan", "minh")
        assert not (await rig.enter(password=RIGHT)).right

    asyncio.run(case())


def test_a_wrong_password_waits_and_while_it_waits_the_right_one_is_not_looked_at(monkeypatch):
    looked = []
    real = logins.matches
    monkeypatch.setattr(logins, "matches", lambda *given: looked.append(given) or real(*given))

    async def case():
        rig = Rig()
        assert (await rig.enter())[1:] == (LAN, 1.0, True)
        found = await rig.enter(password=RIGHT)
        assert not found.right and found.wait_s == 1.0 and not found.tried and len(looked) == 1
        rig.time_s = 1.0
        assert (await rig.enter(password=RIGHT)).right

    asyncio.run(case())


def test_a_name_that_nobody_has_is_answered_as_a_wrong_password(monkeypatch):
    costs = []
    real = logins.matches

    def counted(password, kept):
        costs.append(kept.rpartition("$")[0].rpartition("$")[0])  # what argon2 was told: memory and time
        return real(password, kept)

    monkeypatch.setattr(logins, "matches", counted)

    async def case():
        rig = Rig()
        known = await rig.enter("lan", address="192.0.2.1")
        unknown = await rig.enter("nobody", address="192.0.2.2")
        assert unknown.account is None and known.account == LAN
        assert unknown._replace(account=LAN) == known
        assert len(costs) == 2 and costs[0] == costs[1] == "$argon2id$v=19$m=19456,t=3,p=1"
        assert (await rig.enter("nobody", address="192.0.2.3")).wait_s == 1, "and it waits as one that is"
        assert (await rig.enter("lan", address="192.0.2.4")).wait_s == 1

    asyncio.run(case())


def test_a_stranger_who_never_stops_does_not_keep_the_owner_from_her_own_browser():
    """A day of attempts from as many addresses as he likes, each as soon as it may be."""

    async def case():
        rig = Rig()
        assert (await rig.enter(password=RIGHT, address="192.0.2.1")).right
        mine = rig.logins.device(LAN)
        for number in range(14):
            found = await rig.enter(address=f"198.51.100.{number}")
            rig.time_s += found.wait_s
            assert (await rig.enter(password=RIGHT, address="192.0.2.1", cookie=mine)).right
        found = await rig.enter(address="198.51.100.99")
        assert found.wait_s == DELAY_S_MAX
        assert (await rig.enter(password=RIGHT, cookie=mine, address="198.51.100.99")).right, (
            "his address, too"
        )
        fresh = await rig.enter(password=RIGHT, address="192.0.2.1")
        assert not fresh.right and fresh.wait_s <= DELAY_S_MAX, "a new browser waits, so long at most"
        rig.time_s += fresh.wait_s
        assert (await rig.enter(password=RIGHT, address="192.0.2.1")).right

    asyncio.run(case())


def test_control_without_devices_the_stranger_locks_the_owner_out(monkeypatch):
    monkeypatch.setattr(devices, "id_of", lambda *given: "")

    async def case():
        rig = Rig()
        assert (await rig.enter(password=RIGHT, address="192.0.2.1")).right
        mine = rig.logins.device(LAN)
        await rig.enter(address="198.51.100.1")
        assert not (await rig.enter(password=RIGHT, address="192.0.2.1", cookie=mine)).right

    asyncio.run(case())


def test_a_device_is_of_one_person_and_one_password_and_guesses_as_slowly():
    async def case():
        rig = Rig()
        assert (await rig.enter(password=RIGHT, address="192.0.2.1")).right
        mine = rig.logins.device(LAN)
        for _ in range(2):
            assert (await rig.enter(cookie=mine)).tried
            assert not (await rig.enter(cookie=mine)).tried
            rig.time_s += 2
        assert (await rig.enter("an", cookie=mine, address="192.0.2.5")).wait_s == 1
        assert not (await rig.enter("an", cookie=mine, address="192.0.2.6")).tried, "no device of hers"
        rig.some = rig.some.with_password("lan", KEPT[2], "minh")
        assert devices.id_of(b"s" * 32, rig.some.of("lan"), mine) == ""

    asyncio.run(case())
    for cookie in ("", "x", "0" * 16 + "." + "0" * 64, "\ud800", "0" * 16 + "." + "é" * 64):
        assert devices.id_of(b"s" * 32, LAN, cookie) == ""
    assert devices.id_of(b"t" * 32, LAN, devices.made(b"s" * 32, LAN)) == "", "of another gateway"


def test_another_password_given_at_the_machine_lets_the_owner_in_at_once():
    async def case():
        rig = Rig()
        for number in range(12):
            rig.time_s += (await rig.enter(address=f"198.51.100.{number}")).wait_s
        await rig.enter(address="198.51.100.99")
        assert not (await rig.enter(password=RIGHT, address="192.0.2.1")).tried
        rig.some = rig.some.with_password("lan", KEPT[2], "minh")
        assert (await rig.enter(password="a sentence number 2", address="192.0.2.1")).right

    asyncio.run(case())


def test_an_account_of_ones_own_does_not_help_to_guess_at_others():
    """A right log-in of his own between guesses takes nothing off what his address waits."""

    async def case():
        rig = Rig()
        waits = []
        for _ in range(3):
            found = await rig.enter("lan", address="192.0.2.5")
            waits.append(found.wait_s)
            rig.time_s += found.wait_s
            assert (await rig.enter("an", "a sentence number 1", "192.0.2.5")).right
        assert waits == [1, 2, 4]

    asyncio.run(case())


def test_one_is_computed_at_a_time_and_few_wait(monkeypatch):
    running, most = [], []

    def slow(password, kept):
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return False

    monkeypatch.setattr(logins, "matches", slow)

    async def case():
        rig = Rig()
        many = [rig.enter(f"p{n}", address=f"198.51.100.{n}") for n in range(50)]
        found = await asyncio.gather(*many, rig.enter("x", address="198.51.100.0"))
        assert max(most) == 1 and len(most) == WAITING_MAX
        assert sum(one.tried for one in found) == WAITING_MAX
        assert all(one.wait_s == logins.BUSY_S for one in found if not one.tried)
        crowd = [asyncio.ensure_future(rig.enter(f"q{n}", address=f"203.0.113.{n}")) for n in range(50)]
        await asyncio.sleep(0)
        mine = rig.logins.device(LAN)
        assert (await rig.enter(cookie=mine, address="203.0.113.0")).tried, "a browser that was here before"
        await asyncio.gather(*crowd)
        assert (await rig.enter("late", address="203.0.113.200")).tried

    asyncio.run(case())


def test_before_it_was_read_who_there_is_nobody_is_told_that_he_is_wrong():
    async def case():
        known = []
        some = Logins(lambda: SOME, lambda: 0.0, known=lambda: bool(known))
        found = await some.enter("lan", RIGHT, "192.0.2.1")
        assert not found.tried and found.wait_s == logins.BUSY_S
        known.append(1)
        assert (await some.enter("lan", RIGHT, "192.0.2.1")).right

    asyncio.run(case())


def test_whoever_sits_at_an_open_session_does_not_guess_its_password():
    async def case():
        rig = Rig()
        assert (await rig.logins.knows(LAN, RIGHT)).right
        assert (await rig.logins.knows(LAN, "wrong")).wait_s == 1
        again = await rig.logins.knows(LAN, RIGHT)
        assert again.wait_s == 1 and not again.tried
        rig.time_s = HOUR_S
        assert (await rig.logins.knows(LAN, RIGHT)).wait_s == 0
        kept = await rig.logins.keep("mười hai con vịt")
        assert kept.startswith("$argon2id$") and "vịt" not in kept

    asyncio.run(case())
