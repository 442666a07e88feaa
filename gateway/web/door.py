"""Who may come in, on every request: the middleware that knows who asks, and the guards of the pages.

Rule 1: request.state.who is a Who on every request; what he may is in gateway/people/may.py, nowhere else.
Rule 2: every route is guarded, or says that it is open: unguarded() names the others, and nothing starts.
Rule 3: what changes something is a POST of a form with the session's own token; all of it is bounded.
Rule 4: a person without an account may look only where the configuration says so; on a page that listens on
        this machine only, and nobody said so, under its own address alone (no site that calls itself that).
Rule 5: what somebody is refused who is logged in becomes an entry of the log, as what he does (deeds.py).
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.bucket import Bucket
from gateway.errors import JournalError
from gateway.logs import get_logger
from gateway.people.deeds import LOG_IN, Deed
from gateway.people.logins import Logins
from gateway.people.may import ACTIONS, ANYBODY, NOBODY, Who, may
from gateway.people.sessions import Flash, Session
from gateway.web import headers
from gateway.web.answers import sentence
from gateway.web.forms import BYTES_MAX, FORM, BadForm, Form, own_path, read_form

log = get_logger("door")

OPEN = "open"
"""In the place of an action: everybody may, whoever he is."""
OPEN_PATHS = ("/static/{name}",)
"""Files that hold nothing of the station's."""
LOOK = "look"
"""All that somebody without an account ever may."""
CSRF = "csrf"
CSRF_HEADER = "x-csrf-token"
"""Of what is no form, such as a picture."""
REFUSALS = (60, 60.0)
"""Those of one account that become entries: so many at once, and one more in so many s."""
TELL_S_MAX = 5.0
"""How long an answer waits for its entry; it is written all the same."""
LOCAL = ("127.0.0.1", "::1", "localhost")

Endpoint = Callable[[Request], Awaitable[Response]]
Tell = Callable[[bytes], Awaitable[None]]
Page = Callable[..., Response]
"""page(request, "login.html", status, **context): as gateway/web/page/shell.py draws it."""


class Settings(NamedTuple):
    """How this door is: see `[gateway.web]`."""

    anonymous: bool = True  # whoever has no account may look,
    any_name: bool = False  # under whatever name he calls this machine (rule 4)
    tls: bool = False
    hsts: bool = False  # the certificate is one that browsers know


class Door:
    """`tell` writes the body of an EVENT entry (JournalError)."""

    def __init__(self, logins: Logins, tell: Tell, page: Page, settings: Settings | None = None):
        self.logins, self.page = logins, page
        self.settings = settings or Settings()
        prefix = "__Host-" if self.settings.tls else ""
        self.cookie, self.device_cookie = f"{prefix}quantrac", f"{prefix}quantrac-device"
        self._tell = tell
        self._refusals: dict[str, Bucket] = {}  # by account; "" for log-ins

    def who(self, request: Request) -> tuple[Who, Session | None]:
        """Who asks, and his session where he is logged in."""
        used = not request.url.path.startswith("/api/")  # an open page asks there by itself
        session = self.logins.session(request.cookies.get(self.cookie, ""), used)
        if session is not None:
            return Who(session.name, session.role, session.csrf), session
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind == "Bearer" and self.logins.is_local(token):
            return ANYBODY, None
        local = self.settings.any_name or _is_address(request.headers.get("host", ""))
        return (ANYBODY if self.settings.anonymous and local else NOBODY), None

    async def did(self, deed: Deed) -> None:
        """Let the log say it before the answer goes out. A journal that fails is told where logs go."""
        log.info("somebody acts", who=deed.who, action=deed.action, ok=deed.ok, address=deed.address)
        told = asyncio.ensure_future(self._tell(deed.event()))
        try:
            await asyncio.wait_for(asyncio.shield(told), TELL_S_MAX)
        except (JournalError, TimeoutError) as error:
            log.error("the log was not told what somebody did", who=deed.who, action=deed.action,
                      reason=str(error) or "the disk is slow")  # fmt: skip
        told.add_done_callback(_looked_at)

    async def refused(self, deed: Deed) -> None:
        """As did(), for what may come as often as somebody likes: told in bounds."""
        whose = "" if deed.action == LOG_IN else deed.who  # strangers use up nobody's
        untold = self._refusals.setdefault(whose, Bucket(*REFUSALS)).take(self.logins.now_s())
        if untold is None:
            return
        more = (f"{untold} more refused before",) if untold else ()
        await self.did(deed._replace(ok=False, details=(*deed.details, *more)))

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The middleware."""

        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            request = Request(scope, receive)
            who, session = self.who(request)
            state: dict[str, Any] = scope.setdefault("state", {})
            state |= {
                "who": who, "session": session, "door": self, "form": Form({}), "address": _address(scope),
                "flash": session.said() if session and _is_page(request) else Flash(),
            }  # fmt: skip
            answer = _Answer(self, scope["path"], session, receive, send)
            await app(scope, answer.receive, answer.send)
            await answer.finish()

        return middleware

    def holds(self, session: Session) -> bool:
        """Whether it has not ended meanwhile."""
        return session.holds(self.logins.people(), self.logins.now_s())


class _Answer:
    """One answer on its way: with its headers, and over when its reader's session is (live values)."""

    def __init__(self, door: Door, path: str, session: Session | None, receive: Receive, send: Send):
        self._door, self._path, self._session = door, path, session
        self._receive, self._send = receive, send
        self._over = asyncio.Event()
        self._whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers.put(MutableHeaders(scope=message), self._path, self._door.settings.hsts)
        elif message.get("more_body") and self._session and not self._door.holds(self._session):
            self._over.set()
            return
        else:
            self._whole = not message.get("more_body")
        await self._send(message)

    async def receive(self) -> Message:
        """As the server gives it; that the reader left, when his session is over."""
        if self._session is None:
            return await self._receive()
        heard = asyncio.ensure_future(self._receive())
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((heard, over), return_when=asyncio.FIRST_COMPLETED)
            return heard.result() if heard.done() else {"type": "http.disconnect"}
        finally:
            heard.cancel()
            over.cancel()

    async def finish(self) -> None:
        if self._over.is_set() and not self._whole:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def guard(action: str, endpoint: Endpoint, bytes_max: int = BYTES_MAX) -> Endpoint:
    """The endpoint for those only who may do this. After a POST request.state.form is what was sent. What is
    no form (a picture) comes with the token in CSRF_HEADER, and the endpoint reads it: forms.read_body().
    """
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is not in the table of roles")

    @functools.wraps(endpoint)
    async def guarded(request: Request) -> Response:
        who: Who = request.state.who
        changes = request.method not in ("GET", "HEAD")
        if not who.name and (changes or action != LOOK or not may(who.role, action)):
            return _stranger(request)
        if changes:
            try:
                await _own_form(request, bytes_max)
            except BadForm as error:
                return refusal(request, error.status, str(error))
        if not may(who.role, action):
            said = f"The role {who.role} may not: {action}."
            if changes:
                await request.state.door.refused(_deed(request, action, (), False, said))
            return refusal(request, 403, said)
        return await endpoint(request)

    return _marked(guarded, action)


async def tell(
    request: Request, action: str, details: Sequence[str] = (), ok: bool = True, said: str = ""
) -> None:
    """Let the log say what he did who asks this (rule 1 of actions.py): as Door.did()."""
    await request.state.door.did(_deed(request, action, details, ok, said))


def opened(endpoint: Endpoint) -> Endpoint:
    """The endpoint, for everybody."""

    @functools.wraps(endpoint)
    async def through(request: Request) -> Response:
        return await endpoint(request)

    return _marked(through, OPEN)


def guarded_route(route: Route, action: str = LOOK) -> Route:
    """The route with a guard; one that has one already as it is. OPEN: for everybody."""
    if action_of(route) is not None:
        return route
    methods = sorted(route.methods or ())
    if set(methods) - {"GET", "HEAD"}:
        return route  # what changes something says itself who may
    end = opened(route.endpoint) if action == OPEN else guard(action, route.endpoint)
    return Route(route.path, end, methods=methods)


def action_of(route: BaseRoute) -> str | None:
    """What somebody has to be allowed for it: an action, or OPEN; None where nobody said."""
    if getattr(route, "path", "") in OPEN_PATHS:
        return OPEN
    return getattr(getattr(route, "endpoint", None), "action", None)


def unguarded(routes: Iterable[BaseRoute]) -> Sequence[str]:
    """Paths of those that rule 2 forgot."""
    return [str(getattr(route, "path", route)) for route in routes if action_of(route) is None]


def refusal(request: Request, status: int, said: str, after_s: int = 0) -> Response:
    """A sentence: on a page for a browser, else as JSON."""
    if request.url.path.startswith("/api/"):
        return sentence(status, said, after_s)
    return request.state.door.page(request, "refused.html", status, said=said)


def plain(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """What is in a page, without its frame."""
    return PlainTextResponse(" ".join(str(each) for each in context.values()), status)


def _deed(request: Request, action: str, details: Sequence[str], ok: bool, said: str) -> Deed:
    who: Who = request.state.who
    return Deed(who.name, who.role, request.state.address, action, details, ok, said)


def _stranger(request: Request) -> Response:
    if request.url.path.startswith("/api/"):
        answer = sentence(401, "Log in first: this station shows nothing to strangers.")
        answer.headers["WWW-Authenticate"] = 'Session realm="quantrac"'
        return answer
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = own_path(asked) if request.method in ("GET", "HEAD") else "/"
    return RedirectResponse("/login" if back == "/" else f"/login?next={quote(back, safe='/')}", 303)


async def _own_form(request: Request, bytes_max: int) -> None:
    """Read the form, and see that it is one of this session's pages. BadForm."""
    given = request.headers.get(CSRF_HEADER, "")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM or not given:
        request.state.form = await read_form(request, bytes_max)
        given = request.state.form.get(CSRF, "")
    wanted = request.state.who.csrf
    if not wanted or not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
        raise BadForm(403, "This form is not of your session: open the page again, and send it once more.")


def _marked(endpoint: Endpoint, action: str) -> Endpoint:
    endpoint.action = action  # pyright: ignore[reportFunctionMemberAccess]
    return endpoint


def _is_page(request: Request) -> bool:
    """Whether a person will see the answer."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def _is_address(host: str) -> bool:
    """Whether a Host line names an address, or this machine as itself: rule 4."""
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    name = name.strip("[]")
    if name in LOCAL:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _looked_at(told: asyncio.Future[None]) -> None:
    if not told.cancelled():
        told.exception()
