"""/people and /password: who may log in, for those who may see or change it; one's own password.

Rule 1: what is changed is in the file and in the log before the answer goes out (keeper.py tells what became
        different, deeds.py who did it, from where).
Rule 2: a password that was made here is shown once, in the answer itself: in no address, flash, log or entry.
Rule 3: nobody changes his own role or removes himself: so an administrator is always left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.errors import GatewayError, PeopleError
from gateway.people import passwords
from gateway.people.accounts import ROLES, Account, People
from gateway.people.lockout import whole
from gateway.people.logins import Logins
from gateway.web.door import guard, tell
from gateway.web.login import enter

WHERE = "/people"
OWN = "/password"
HIMSELF = "Ask another administrator: nobody changes his own role or removes himself."

Step = Callable[[People], People]
Change = Callable[[Step], Awaitable[None]]
"""Changes the list, in the file and in the log. PeopleError, JournalError, OSError."""


def routes(logins: Logins, change: Change) -> list[Route]:
    """Of these people."""
    page = _Pages(logins, change)
    return [
        Route(WHERE, guard("see people", page.show)),
        *(Route(f"{WHERE}/{what}", guard("see people", page.back)) for what in ("add", "password")),
        Route(f"{WHERE}/add", guard("people", page.add), methods=["POST"]),
        Route(f"{WHERE}/role", guard("people", page.role), methods=["POST"]),
        Route(f"{WHERE}/password", guard("people", page.password), methods=["POST"]),
        Route(f"{WHERE}/remove", guard("people", page.remove), methods=["POST"]),
        Route(OWN, guard("own password", page.ask_own)),
        Route(OWN, guard("own password", page.own), methods=["POST"]),
    ]


class _Pages:
    def __init__(self, logins: Logins, change: Change):
        self._logins, self._change = logins, change

    async def show(self, request: Request) -> Response:
        return self._page(request)

    async def back(self, request: Request) -> Response:
        """From the answer of a form, such as by the link to the other language."""
        return RedirectResponse(f"{WHERE}?{request.url.query}" if request.url.query else WHERE, 303)

    async def add(self, request: Request) -> Response:
        """A new person, with a password that is made here."""
        name, role = request.state.form.line("name").lower(), request.state.form.line("role")

        def step(people: People) -> People:
            return people.with_new(Account(name, role, kept), request.state.who.name)

        once = passwords.generated()
        kept = await self._logins.keep(once)
        return await self._made(request, ("add", name, role), step, name, once)

    async def password(self, request: Request) -> Response:
        """Another password, made here, for somebody who forgot his."""
        name = request.state.form.line("name")
        once = passwords.generated()
        kept = await self._logins.keep(once)
        return await self._made(
            request, ("password", name),
            lambda people: people.with_password(name, kept, request.state.who.name), name, once,
        )  # fmt: skip

    async def role(self, request: Request) -> Response:
        name, role = request.state.form.line("name"), request.state.form.line("role")
        return await self._changed(
            request, ("role", name, role),
            lambda people: people.with_role(name, role, request.state.who.name),
            f"{name} has the role {role} from now on.",
        )  # fmt: skip

    async def remove(self, request: Request) -> Response:
        name = request.state.form.line("name")
        return await self._changed(
            request, ("remove", name),
            lambda people: people.without(name, request.state.who.name), f"{name} may log in no more.",
        )  # fmt: skip

    async def ask_own(self, request: Request) -> Response:
        return self._own_page(request)

    async def own(self, request: Request) -> Response:
        """Another password of one's own: whoever sits there must know the old one."""
        form, account = request.state.form, self._logins.people().of(request.state.who.name)
        old, new = form.get("old", ""), form.get("new", "")
        found = await self._logins.knows(account, old)
        if not found.right:
            said = "The old password is wrong." if found.tried else "Too many attempts."
            return await self._own_refused(request, f"{said} Try again in {whole(found.wait_s)} s.")
        weak = passwords.weakness(new, account.name)
        if weak or new != form.get("again", ""):
            return await self._own_refused(request, weak or "The new password is not twice the same.")
        kept = await self._logins.keep(new)
        refused = await self._does(lambda people: people.with_password(account.name, kept, account.name))
        if refused:
            return await self._own_refused(request, refused)
        said = "Your password is another one now."
        await tell(request, "own password", (), True, said)
        answer = RedirectResponse("/", 303)
        enter(request, answer, account._replace(password=kept), said)
        return answer

    # What they have in common -------------------------------------------------------------------------------

    async def _made(
        self, request: Request, details: tuple[str, ...], step: Step, name: str, once: str
    ) -> Response:
        """Change the list, and show the password that was made (rule 2)."""
        refused = await self._does(step)
        said = refused or f"{name} may log in with the password below."
        await tell(request, "people", details, not refused, said)
        return self._page(request, said, not refused, name, "" if refused else once)

    async def _changed(
        self, request: Request, details: tuple[str, ...], step: Callable[[People], People], said: str
    ) -> Response:
        own = details[1] == request.state.who.name
        refused = HIMSELF if own else await self._does(step)
        await tell(request, "people", details, not refused, refused or said)
        request.state.session.say(refused or said, not refused)
        return RedirectResponse(WHERE, 303)

    async def _does(self, step: Callable[[People], People]) -> str:
        """Why it was not done; "" where it was."""
        try:
            # somebody who leaves meanwhile leaves nothing half done
            await asyncio.shield(self._change(step))
        except (PeopleError, GatewayError) as error:
            return str(error)
        except OSError as error:
            return f"The list of people cannot be written: {error.strerror or error}."
        return ""

    async def _own_refused(self, request: Request, said: str) -> Response:
        await tell(request, "own password", (), False, said)
        return self._own_page(request, said)

    def _own_page(self, request: Request, error: str = "") -> Response:
        return request.state.door.page(
            request, "password.html", 403 if error else 200, error=error, least=passwords.LENGTH_MIN
        )

    def _page(
        self, request: Request, said: str = "", ok: bool = True, name: str = "", once: str = ""
    ) -> Response:
        people = self._logins.people()
        order = list(ROLES)
        rows = sorted(people.accounts.values(), key=lambda each: (-order.index(each.role), each.name))
        inside = self._logins.sessions.names(people, self._logins.now_s())
        return request.state.door.page(
            request, "people.html", 200 if ok else 403, said=said, ok=ok, name=name, once=once, roles=ROLES,
            people=[{"name": one.name, "role": one.role, "inside": one.name in inside} for one in rows],
            by=people.by,
        )  # fmt: skip
