"""/login and /logout.

Rule 1: whatever was wrong, the answer is the same for a name that nobody has.
Rule 2: a log-in makes a new session and ends the one that the browser had.
Rule 3: no password is in an answer, a log line or an entry; a name only where somebody has it.
"""

from __future__ import annotations

import functools

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.people.accounts import Account
from gateway.people.deeds import LOG_IN, LOG_OUT, Deed
from gateway.people.lockout import whole
from gateway.people.logins import Result
from gateway.web.door import Door, guard, opened, refusal, tell
from gateway.web.forms import BadForm, from_elsewhere, own_path, read_form

DEVICE_S = 400 * 86_400
"""How long a browser is known as one of its person's: as long as browsers keep a cookie."""
FORM_BYTES_MAX = 8192
NAME_MAX = 200


def routes(door: Door) -> list[Route]:
    """Of this door."""
    return [
        Route("/login", opened(_asks)),
        Route("/login", opened(functools.partial(_tries, door)), methods=["POST"]),
        Route("/logout", guard("look", functools.partial(_leaves, door)), methods=["POST"]),
    ]


async def _asks(request: Request) -> Response:
    return _form(request, 200, own_path(request.query_params.get("next", "/")))


async def _tries(door: Door, request: Request) -> Response:
    if from_elsewhere(request):
        return refusal(request, 403, "This form came from another site's page.")
    try:
        form = await read_form(request, FORM_BYTES_MAX)
    except BadForm as error:
        return refusal(request, error.status, str(error))
    back, address = own_path(form.get("next", "/")), request.state.address
    name, cookie = form.line("name")[:NAME_MAX].lower(), request.cookies.get(door.device_cookie, "")
    found = await door.logins.enter(name, form.get("password", ""), address, cookie)
    if not found.right or found.account is None:
        return await _wrong(door, request, found, back)
    await door.did(Deed(found.account.name, found.account.role, address, LOG_IN))
    answer = RedirectResponse(back, 303)
    enter(request, answer, found.account)
    return answer


def enter(request: Request, answer: Response, account: Account, said: str = "") -> None:
    """Give the browser a new session (rule 2), and the cookie that says who was here (devices.py)."""
    door: Door = request.state.door
    door.logins.sessions.end(request.cookies.get(door.cookie, ""))
    token, session = door.logins.sessions.begin(account, door.logins.now_s())
    session.say(said)
    _set(door, answer, door.cookie, token, None)
    _set(door, answer, door.device_cookie, door.logins.device(account), DEVICE_S)


async def _wrong(door: Door, request: Request, found: Result, back: str) -> Response:
    """Rule 1. Nothing that had to wait becomes an entry: it was not tried."""
    if not found.tried:
        answer = _form(request, 429, back, error="wait", wait_s=whole(found.wait_s))
        answer.headers["Retry-After"] = str(whole(found.wait_s))
        return answer
    name = found.account.name if found.account else ""
    said = f"Wrong name or password; the next attempt in {whole(found.wait_s)} s."
    await door.refused(Deed(name, "", request.state.address, LOG_IN, (), False, said))
    return _form(request, 403, back, error="wrong", wait_s=whole(found.wait_s))


async def _leaves(door: Door, request: Request) -> Response:
    door.logins.sessions.end(request.cookies.get(door.cookie, ""))
    await tell(request, LOG_OUT)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(door.cookie, secure=door.settings.tls, httponly=True, samesite="strict")
    return answer


def _form(request: Request, status: int, back: str, error: str = "", wait_s: int = 0) -> Response:
    return request.state.door.page(request, "login.html", status, next=back, error=error, wait_s=wait_s)


def _set(door: Door, answer: Response, name: str, value: str, age_s: int | None) -> None:
    answer.set_cookie(name, value, max_age=age_s, secure=door.settings.tls, httponly=True, samesite="strict")
