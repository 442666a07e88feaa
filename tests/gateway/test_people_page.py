# runs on: cpython
"""gateway/web/people_page.py on a real port, drawn by the real frame: who may log in, seen and changed."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

import pytest

from gateway.errors import JournalError
from gateway.people import accounts, passwords
from gateway.people.deeds import Deed
from gateway.people.may import EVERYBODY
from gateway.web import people_page
from gateway.web.door import Settings
from gateway.web.page.shell import Shell
from tests.gateway.configured import configured
from tests.gateway.door_rig import RIGHT, serving
from tests.gateway.test_people import person

STRICT = Settings(anonymous=False)
ONCE = re.compile(r'<code id="once">([a-z0-9-]+)</code>')
NEW = "mười hai con vịt"


def peopled(tmp_path, case) -> None:
    """The case with the page's people; the list is the rig's own."""

    def routes(rig):
        async def change(step):
            if rig.unwritable:
                raise rig.unwritable
            rig.people = step(rig.people)

        return people_page.routes(rig.logins, change)

    shell = Shell(configured(tmp_path))
    serving(case, STRICT, routes=routes, page=shell.page)


def test_who_sees_the_page_and_who_changes_it(tmp_path):
    async def case(rig):
        for role in EVERYBODY:
            browser = rig.browser()
            await browser.log_in(role)
            said = await browser.get("/people")
            assert said.status == (200 if role in ("inspector", "administrator") else 403)
            assert ('action="/people/add"' in said.text) == (role == "administrator")
            forms = {
                "add": {"name": f"of-{role}", "role": "viewer"},
                "role": {"name": "viewer", "role": "viewer"},
                "password": {"name": "nobody"},
                "remove": {"name": "nobody"},
            }
            before = rig.people
            for what, fields in forms.items():
                status = (await browser.post(f"/people/{what}", fields)).status
                assert (status == 403 and rig.people == before) or role == "administrator"
        assert "of-administrator" in rig.people.accounts

    peopled(tmp_path, case)


def test_a_new_person_gets_a_password_that_is_shown_once_and_kept_nowhere(tmp_path, caplog):
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("administrator")
        rig.told.clear()
        said = await browser.post("/people/add", {"name": "Lan", "role": "technician"})
        (once,) = ONCE.findall(said.text)
        assert said.status == 200 and not passwords.weakness(once, "lan")
        assert said.headers["cache-control"] == "no-store"
        assert rig.people.by == "administrator"
        told = "lan may log in with the password below."
        deed = Deed("administrator", "administrator", "127.0.0.1", "people", ("add", "lan", "technician"))
        assert rig.told == [deed._replace(said=told)]
        assert once not in repr(rig.told) and once not in caplog.text
        assert (await browser.get("/people/add?lang=en")).to == "/people?lang=en", "the other language"
        assert once not in (await browser.get("/people")).text and rig.people.of("lan").password != once
        hers = rig.browser()
        assert (await hers.log_in("lan", once)).status == 303
        again = await browser.post("/people/password", {"name": "lan"})
        assert ONCE.findall(again.text) != [once]
        assert (await hers.get("/password")).status == 303, "her session ended with the old password"

    peopled(tmp_path, case)


def test_roles_and_removal_are_told_and_nobody_does_it_to_himself(tmp_path):
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("administrator")
        rig.told.clear()
        for what, fields in (
            ("role", {"name": "viewer", "role": "operator"}),
            ("remove", {"name": "inspector"}),
            ("role", {"name": "administrator", "role": "viewer"}),
            ("remove", {"name": "administrator"}),
            ("remove", {"name": "nobody"}),
            ("role", {"name": "viewer", "role": "king"}),
        ):
            said = await browser.post(f"/people/{what}", fields)
            assert (said.status, said.to) == (303, "/people")
        assert [deed.ok for deed in rig.told] == [True, True, False, False, False, False]
        assert rig.people.of("viewer").role == "operator" and "inspector" not in rig.people.accounts
        assert rig.people.of("administrator").role == "administrator"
        page = (await browser.get("/people")).text
        assert "role is one of" not in page and "vai trò là một trong" in page, "the last one, in Vietnamese"
        assert 'class="flash bad"' in page

    peopled(tmp_path, case)


def test_one_changes_ones_own_password_and_every_other_session_ends(tmp_path):
    async def case(rig):
        here, elsewhere = rig.browser(), rig.browser()
        await here.log_in("operator")
        await elsewhere.log_in("operator")
        token = here.cookies["quantrac"]
        assert (await here.get("/password")).status == 200
        said = await here.post("/password", {"old": RIGHT, "new": NEW, "again": NEW})
        assert (said.status, said.to) == (303, "/")
        assert here.cookies["quantrac"] != token
        assert (await here.get("/password")).status == 200 and (
            await elsewhere.get("/password")
        ).status == 303
        assert (await rig.browser().log_in("operator")).status == 403
        rig.time_s += 10
        assert (await rig.browser().log_in("operator", NEW)).status == 303
        assert NEW not in repr(rig.told) and RIGHT not in repr(rig.told)

    peopled(tmp_path, case)


@pytest.mark.parametrize(
    "wrong", [{"old": "wrong"}, {"again": "x"}, {"new": "short", "again": "short"}, {"new": "operator 12345"}]
)
def test_a_password_that_will_not_do_changes_nothing(tmp_path, wrong):
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("operator")
        before = rig.people
        fields = {"old": RIGHT, "new": NEW, "again": wrong.get("new", NEW)}
        said = await browser.post("/password", fields | wrong)
        assert said.status == 403 and rig.people == before
        assert not any(value in said.text for value in (RIGHT, NEW, "short<"))
        assert [deed.ok for deed in rig.told] == [True, False]
        assert repr(rig.told).count(NEW) == 0

    peopled(tmp_path, case)


def test_whoever_finds_an_open_session_cannot_guess_its_password(tmp_path):
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("operator")
        for old in ("wrong", RIGHT):
            said = await browser.post("/password", {"old": old, "new": NEW, "again": NEW})
            assert said.status == 403
        assert "Thử quá nhiều lần" in said.text

    peopled(tmp_path, case)


def test_a_list_that_cannot_be_written_shows_no_password(tmp_path):
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("administrator")
        for rig.unwritable in (JournalError("The disk is full."), OSError(28, "No space left")):
            said = await browser.post("/people/add", {"name": "lan", "role": "viewer"})
            assert said.status == 403 and not ONCE.findall(said.text)
            assert "lan" not in rig.people.accounts

    peopled(tmp_path, case)


EVIL = "<script>alert(1)</script>"


def test_what_somebody_writes_into_a_name_is_never_a_script(tmp_path):
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("administrator")
        said = await browser.post("/people/add", {"name": EVIL, "role": EVIL})
        assert EVIL not in said.text and "&lt;script&gt;" in said.text
        await browser.post("/people/role", {"name": EVIL, "role": "viewer"})
        page = (await browser.get("/people")).text
        assert EVIL not in page and "&lt;script&gt;" in page
        page = (await browser.get(f"/login?next=/x?{EVIL}")).text
        assert EVIL not in page
        for lang in ("en\r\nSet-Cookie: a=b", EVIL, "xx"):
            said = await browser.get(f"/login?lang={quote(lang)}")
            assert said.status == 200 and EVIL not in said.text and "set-cookie" not in said.headers

    peopled(tmp_path, case)


def test_control_a_frame_that_does_not_escape_is_noticed(tmp_path):
    async def case(rig):
        rig.door.page.__self__._templates.autoescape = False
        browser = rig.browser()
        await browser.log_in("administrator")
        assert EVIL in (await browser.post("/people/add", {"name": EVIL, "role": EVIL})).text.lower()

    peopled(tmp_path, case)


def test_two_who_change_the_list_at_once_lose_nothing(tmp_path):
    path = accounts.path_of(tmp_path)
    path.parent.mkdir(parents=True)

    async def case():
        add = [
            asyncio.to_thread(
                accounts.change, path, lambda people, n=n: people.with_new(person(f"p{n}"), "x")
            )
            for n in range(20)
        ]
        await asyncio.gather(*add)

    asyncio.run(case())
    assert len(accounts.load(path).accounts) == 20
