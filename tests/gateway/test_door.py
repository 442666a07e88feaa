# runs on: cpython
"""gateway/web/door.py, login.py, forms.py, headers.py on a real port: who comes in, and how it is kept so."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote, urlencode

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.people import sessions
from gateway.people.deeds import Deed
from gateway.people.lockout import DELAY_S_MAX
from gateway.people.may import ACTIONS, EVERYBODY, may
from gateway.web import door as module
from gateway.web import forms, headers
from gateway.web.door import OPEN, Settings, action_of, guard, guarded_route, opened, unguarded
from gateway.web.forms import BadForm, own_path
from gateway.web.server import Server
from tests.gateway.door_rig import EVERY_ROLE, RIGHT, WHO, serving
from tests.gateway.test_people import KEPT

STRICT = Settings(anonymous=False)
HTTPS = Settings(anonymous=False, tls=True, hsts=True)


# Who may ----------------------------------------------------------------------------------------------------


async def nothing(request: Request) -> Response:
    return JSONResponse({})


def test_a_guard_is_of_the_table_and_a_route_without_one_stops_the_server():
    with pytest.raises(ValueError, match="not in the table"):
        guard("everything", nothing)
    assert action_of(Route("/x", guard("look", nothing))) == "look"
    assert action_of(Route("/x", opened(nothing))) == OPEN
    assert action_of(guarded_route(Route("/x", nothing))) == "look", "what only shows needs that"
    assert action_of(guarded_route(Route("/x", guard("people", nothing)))) == "people"
    forgotten = guarded_route(Route("/x", nothing, methods=["POST"]))
    assert unguarded([forgotten]) == ["/x"]
    with pytest.raises(ValueError, match="nobody said who may: /x"):
        Server("127.0.0.1", 1, dict, list, lambda: b"", pages=[forgotten])


def test_every_role_gets_what_the_table_says_and_strangers_the_log_in():
    """A route for each action, asked for by each role and by nobody, as a page and as a program."""
    every = [
        Route(f"{folder}/{index}", guard(action, nothing))
        for folder in ("/a", "/api/v1")
        for index, action in enumerate(ACTIONS)
    ]

    async def case(rig):
        stranger, browsers = rig.browser(), {role: rig.browser() for role in EVERYBODY}
        for role, browser in browsers.items():
            assert (await browser.log_in(role)).status == 303
        for index, action in enumerate(ACTIONS):
            said = await stranger.get(f"/a/{index}?day=1")
            assert (said.status, said.to) == (303, f"/login?next=/a/{index}%3Fday%3D1")
            assert (await stranger.get(f"/api/v1/{index}")).status == 401
            for role, browser in browsers.items():
                wanted = 200 if role in ACTIONS[action] else 403
                assert (await browser.get(f"/a/{index}")).status == wanted, (role, action)
                assert (await browser.get(f"/api/v1/{index}")).status == wanted, (role, action)
        assert json.loads((await browsers["viewer"].get("/api/v1/8")).body)["error"].startswith("The role")

    serving(case, STRICT, routes=lambda rig: every)


def test_what_is_open_is_open_and_what_is_not_is_not():
    async def case(rig):
        stranger = rig.browser()
        for path in ("/healthz", "/metrics", "/login"):
            assert (await stranger.get(path)).status == 200
        assert (await stranger.get("/public.json")).status == 404, "it shows nothing here, and is no secret"
        for path in ("/api/v1/current", "/api/v1/windows", "/api/v1/receipt/COD/20260325100000"):
            assert (await stranger.get(path)).status == 401
        assert (await stranger.get("/etc/passwd")).status == 404

    serving(case, STRICT)


def test_where_anybody_may_look_he_changes_nothing():
    async def case(rig):
        stranger = rig.browser()
        assert (await stranger.get("/api/v1/current")).status == 200
        assert json.loads((await stranger.get(WHO)).body)["who"] == ["", "viewer"]
        said = await stranger.post("/change")
        assert (said.status, said.to) == (303, "/login")
        assert (await stranger.post("/api/v1/change")).status == 401
        assert (await stranger.post("/logout")).status == 303
        assert (await stranger.get("/admin")).to == "/login?next=/admin"
        assert rig.told == []

    serving(case)


@pytest.mark.parametrize(
    ("host", "any_name", "status"),
    [
        ("127.0.0.1:8080", False, 200),
        ("[::1]:8080", False, 200),
        ("localhost", False, 200),
        ("evil.example:8080", False, 401),
        ("localhost.evil.example", False, 401),
        ("station.example", True, 200),
    ],
)
def test_a_site_that_calls_itself_this_machine_reads_nothing(host, any_name, status):
    """DNS rebinding: the browser on the machine asks us under the other site's name."""

    async def case(rig):
        assert (await rig.browser().get("/api/v1/current", Host=host)).status == status

    serving(case, Settings(anonymous=True, any_name=any_name))


# Log-in -----------------------------------------------------------------------------------------------------


def test_log_in_and_log_out_and_each_is_told():
    async def case(rig):
        browser = rig.browser()
        said = await browser.log_in("technician", back="/history?day=1")
        assert (said.status, said.to) == (303, "/history?day=1")
        assert json.loads((await browser.get(WHO)).body)["who"] == ["technician", "technician"]
        said = await browser.post("/logout")
        assert (said.status, said.to) == (303, "/")
        assert "quantrac" not in browser.cookies and (await browser.get(WHO)).status == 303
        assert rig.told == [
            Deed("technician", "technician", "127.0.0.1", "log in"),
            Deed("technician", "technician", "127.0.0.1", "log out"),
        ]

    serving(case, STRICT)


def test_a_name_in_capitals_is_the_same_name():
    async def case(rig):
        assert (await rig.browser().log_in(" Technician ")).status == 303

    serving(case, STRICT)


def test_wrong_passwords_are_answered_and_told_in_bounds():
    async def case(rig):
        known, unknown = rig.browser("127.0.0.5"), rig.browser("127.0.0.6")
        one = await known.log_in("technician", "my secret password")
        two = await unknown.log_in("my secret name", "my secret password")
        assert (one.status, one.text) == (two.status, two.text) == (403, "/ wrong 1")
        assert not known.cookies and not unknown.cookies
        said = await known.log_in("technician")
        assert (said.status, said.headers["retry-after"], said.text) == (429, "1", "/ wait 1")
        told = "Wrong name or password; the next attempt in 1 s."
        assert rig.told == [
            Deed("technician", "", "127.0.0.5", "log in", (), False, told),
            Deed("", "", "127.0.0.6", "log in", (), False, told),
        ]
        assert "secret" not in repr(rig.told)
        rig.time_s = 2.0
        assert (await known.log_in("technician")).status == 303

    serving(case, STRICT)


def test_a_flood_of_wrong_passwords_does_not_fill_the_journal():
    async def case(rig):
        stranger = rig.browser("127.0.0.66")
        for _ in range(100):
            rig.time_s += DELAY_S_MAX / 100
            await stranger.log_in("technician", "wrong")
        # 1 + 2 + 4 + ... + 256 s, each told once, though 9 s pass between two attempts
        assert len(rig.told) < 12
        rig.told.clear()
        for number in range(100):
            await rig.door.refused(Deed("", "", f"198.51.100.{number}", "log in"))
        assert len(rig.told) <= 60, "and from however many addresses"
        await rig.door.refused(Deed("viewer", "viewer", "198.51.100.1", "mark"))
        assert rig.told[-1].action == "mark", "what somebody is refused who is logged in is told"
        rig.time_s += 120
        await rig.door.refused(Deed("", "", "198.51.100.1", "log in"))
        assert rig.told[-1].details[0].endswith("more refused before")

    serving(case, STRICT)


def test_a_stranger_cannot_lock_out_a_browser_that_was_here_before():
    async def case(rig):
        owner, stranger = rig.browser(), rig.browser("127.0.0.66")
        await owner.log_in("technician")
        await owner.post("/logout")
        for _ in range(12):
            await stranger.log_in("technician", "wrong")
            rig.time_s += DELAY_S_MAX
        await stranger.log_in("technician", "wrong")
        assert (await rig.browser().log_in("technician")).status == 429, "a browser that nobody knows"
        assert (await owner.log_in("technician")).status == 303
        rig.time_s += DELAY_S_MAX
        assert (await rig.browser().log_in("technician")).status == 303, "for a quarter of an hour at most"

    serving(case, STRICT)


def test_the_session_of_before_is_ended_and_one_that_somebody_planted_is_never_used():
    async def case(rig):
        victim, thief = rig.browser(), rig.browser()
        await thief.log_in("viewer")
        planted = thief.cookies["quantrac"]
        victim.cookies["quantrac"] = planted
        await victim.log_in("administrator")
        assert victim.cookies["quantrac"] != planted
        assert (await thief.get(WHO)).status == 303, "not even his own goes on"
        made_up = rig.browser()
        made_up.cookies["quantrac"] = "a" * 43
        await made_up.log_in("viewer")
        assert made_up.cookies["quantrac"] != "a" * 43

    serving(case, STRICT)


@pytest.mark.parametrize(
    "change",
    [
        lambda some: some.with_role("technician", "viewer", "x"),
        lambda some: some.with_password("technician", KEPT[1], "x"),
        lambda some: some.without("technician", "x"),
    ],
    ids=["role", "password", "removed"],
)
def test_a_session_ends_when_its_person_changes(change):
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("technician")
        assert (await browser.post("/change")).status == 200
        rig.people = change(rig.people)
        assert (await browser.post("/change")).to == "/login"
        assert (await browser.get(WHO)).status == 303

    serving(case, STRICT)


def test_a_session_ends_by_itself_and_an_open_page_does_not_keep_it():
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("technician")
        rig.time_s = sessions.IDLE_S - 1
        assert (await browser.get("/api/v1/current")).status == 200
        rig.time_s = sessions.IDLE_S
        assert (await browser.get("/api/v1/current")).status == 401

    serving(case, STRICT)


def test_values_stop_coming_when_the_session_is_over():
    """A stream that never ends by itself, as the live values are."""

    async def live(request: Request) -> Response:
        async def values():
            while True:
                yield b"data: 1\n\n"
                await asyncio.sleep(0.02)

        return StreamingResponse(values(), media_type="text/event-stream")

    async def case(rig):
        browser = rig.browser()
        await browser.log_in("viewer")
        task = asyncio.create_task(browser.get("/live"))
        await asyncio.sleep(0.2)
        assert not task.done()
        await browser.post("/logout")
        said = await asyncio.wait_for(task, 10)
        assert said.status == 200 and said.body.startswith(b"data: 1\n\ndata: 1\n\n")

    serving(case, STRICT, routes=lambda rig: [Route("/live", guard("look", live))])


# CSRF -------------------------------------------------------------------------------------------------------


def test_a_form_needs_the_token_of_its_own_session():
    async def case(rig):
        browser, other = rig.browser(), rig.browser()
        await browser.log_in("technician")
        await other.log_in("technician")
        good = browser.csrf
        for wrong in ("", "x", good[:-1], good + "x", other.csrf, "é", good.swapcase()):
            browser.csrf = wrong
            assert (await browser.post("/change")).status == 403, wrong
        assert (await browser.ask("POST", "/change")).status == 415, "no form at all"
        kind = {"Content-Type": "text/plain"}
        assert (await browser.ask("POST", "/change", f"csrf={good}", kind)).status == 415
        token = {"Content-Type": "image/jpeg", "X-CSRF-Token": other.csrf}
        assert (await browser.ask("POST", "/change", b"\xff\xd8", token)).status == 403
        browser.csrf = good
        said = await browser.post("/change", {"reason": "làm sạch"})
        assert said.status == 200 and json.loads(said.body)["form"]["reason"] == "làm sạch"
        token["X-CSRF-Token"] = good
        assert (await browser.ask("POST", "/change", b"\xff\xd8", token)).status == 200

    serving(case, STRICT)


def test_control_without_the_look_at_the_token_any_site_sends_forms(monkeypatch):
    monkeypatch.setattr(module.hmac, "compare_digest", lambda given, wanted: True)

    async def case(rig):
        browser = rig.browser()
        await browser.log_in("technician")
        browser.csrf = "x"
        assert (await browser.post("/change")).status == 200

    serving(case, STRICT)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({}, 303),
    ],
)
def test_another_sites_page_logs_nobody_in(given, status):
    async def case(rig):
        body = urlencode({"name": "viewer", "password": RIGHT})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await rig.browser().ask("POST", "/login", body, {**kind, **given})).status == status
        own = {**kind, "Origin": f"http://127.0.0.1:{rig.port}"}
        assert (await rig.browser().ask("POST", "/login", body, own)).status == 303
        assert len(rig.told) == 1 + (status == 303)

    serving(case, STRICT)


def test_what_a_role_may_not_is_told_and_what_was_forged_is_not():
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("viewer")
        rig.told.clear()
        assert (await browser.post("/change")).status == 403
        assert (await browser.get("/admin")).status == 403
        said = "The role viewer may not: mark."
        assert rig.told == [Deed("viewer", "viewer", "127.0.0.1", "mark", (), False, said)]
        browser.csrf = "x"
        await browser.post("/change")
        assert len(rig.told) == 1

    serving(case, STRICT)


# Where one is sent ------------------------------------------------------------------------------------------


OTHER_PLACES = [
    "//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
    "evil.example", "///evil.example", "/\t/evil.example", "/x\r\nSet-Cookie: a=b", "/x\nLocation: //e",
    " /x", "/x y", "/é", "", "/%", "/" + "x" * 600, "/x\0", "http:/x",
]  # fmt: skip
OWN_PLACES = ["/", "/history?from=2026-03-25&symbol=COD", "/a/b;c@d:e/%C3%A9", "/x?u=https://evil.example"]


@pytest.mark.parametrize("asked", OTHER_PLACES)
def test_nobody_is_sent_elsewhere(asked):
    assert own_path(asked) == "/" and own_path(asked, "/alerts") == "/alerts"

    async def case(rig):
        said = await rig.browser().log_in("viewer", back=asked)
        assert (said.status, said.to) == (303, "/")
        assert "a" not in rig.browser().cookies and said.headers.get_all("location") == ["/"]
        page = await rig.browser().get(f"/login?next={quote(asked)}")
        assert page.text.startswith("/ ")

    serving(case, STRICT)


@pytest.mark.parametrize("asked", OWN_PLACES)
def test_own_places_are_reached(asked):
    assert own_path(asked) == asked


def test_control_a_look_at_the_first_sign_only_sends_people_to_another_site(monkeypatch):
    monkeypatch.setattr("gateway.web.login.own_path", lambda asked: asked if asked[:1] == "/" else "/")

    async def case(rig):
        assert (await rig.browser().log_in("viewer", back="//evil.example")).to == "//evil.example"

    serving(case, STRICT)


# What answers say to browsers -------------------------------------------------------------------------------


def test_every_answer_says_what_browsers_may():
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("viewer")
        for path in ("/healthz", "/login", WHO, "/admin", "/nowhere", "/api/v1/current", "/public.json"):
            found = (await browser.get(path)).headers
            for name, said in headers.EVERYWHERE.items():
                assert name in found and (found[name] == said or name == "Cache-Control"), (path, name)
            assert len(found.get_all("x-content-type-options")) == 1
            assert ("cross-origin-resource-policy" in found) == (path != "/public.json")
            assert "strict-transport-security" not in found and "server" not in found
        assert (await browser.get("/public.json")).headers["access-control-allow-origin"] == "*"
        assert "unsafe-eval" not in headers.CSP and "script-src" not in headers.CSP

    serving(case, STRICT)


def test_cookies_are_for_nobody_else():
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("viewer")
        for line in browser.set:
            assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(line.split("; ")) and "Domain" not in line
        assert [line.split("=")[0] for line in browser.set] == ["quantrac", "quantrac-device"]

    serving(case, STRICT)


def test_with_tls_cookies_are_bound_to_this_name_and_to_tls():
    async def case(rig):
        browser = rig.browser()
        said = await browser.log_in("viewer")
        for line in browser.set:
            assert line.startswith("__Host-quantrac") and "Secure" in line.split("; ")
        assert said.headers["strict-transport-security"] == headers.HSTS
        assert rig.door.logins.session(browser.cookies["__Host-quantrac"]).name == "viewer"

    serving(case, HTTPS)


# Bounds -----------------------------------------------------------------------------------------------------


def test_forms_are_read_in_bounds():
    async def case(rig):
        browser = rig.browser()
        await browser.log_in("technician")
        assert (await browser.post("/change", {"x": "y" * forms.BYTES_MAX})).status == 413
        assert (await browser.post("/change", {f"f{n}": "" for n in range(300)})).status == 400
        assert (await browser.post("/login", {"name": "x" * 9000})).status == 413
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Transfer-Encoding": "chunked"}
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        assert (await browser.ask("POST", "/change", piece * 2 + b"0\r\n\r\n", kind)).status == 413
        assert (await browser.post("/change")).status == 200

    serving(case, STRICT)


@pytest.mark.parametrize("body", [b"\xff=1", b"a=%FF", "é=1".encode()])
def test_what_is_no_text_is_no_form(body):
    with pytest.raises(BadForm):
        forms.parse(body)


def test_garbage_in_cookies_and_names_harms_nobody():
    async def case(rig):
        for cookie in ("x" * 5000, "a=b; ; =;quantrac=\xff\xfe", 'quantrac="\\"', "quantrac-device=.."):
            said = await rig.browser().ask("GET", WHO, None, {"Cookie": cookie})
            assert said.status == 303
        for name in ("", "\0", "../lan", "x" * 4000, "<script>alert(1)</script>", "\ud800"):
            body = urlencode({"name": name, "password": RIGHT}, errors="surrogatepass")
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            assert (await rig.browser().ask("POST", "/login", body, kind)).status in (400, 403, 429)
            rig.time_s += DELAY_S_MAX

    serving(case, STRICT)


def test_every_role_is_there():
    assert all(may(role, "look") for role in EVERY_ROLE.accounts)
