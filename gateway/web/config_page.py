"""/configuration: what runs, and another one: checked, told as a difference, applied, confirmed.

Rule 1: what is done is an order as the command line gives it (config_change/keeper.py), and an entry of the
        log before the answer goes out; the text itself stands in no entry of ours.
Rule 2: a text that was sent comes back in the answer: nobody types a configuration twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import GatewayError
from gateway.requests import APPLY, CANCEL, CONFIG_MAX, CONFIGURE, CONFIRM, Answer, Order
from gateway.web.door import guard, tell

WHERE = "/configuration"
FORM_BYTES_MAX = 3 * CONFIG_MAX
MINUTES_MAX = 60


class Shown(NamedTuple):
    """What the page begins with."""

    file: str  # its path
    text: str  # that runs
    unconfirmed: str  # whose change waits for being confirmed; "" for none
    minutes: float  # for so long
    edited: str  # a sentence; "" where the file is what runs


class Changes(Protocol):
    """The running gateway's configuration: config_change/keeper.py."""

    def shown(self) -> Shown: ...
    async def propose(self, text: str) -> Any: ...
    async def do(self, order: Order) -> Answer: ...


def routes(changes: Changes) -> list[Route]:
    """Of this gateway's configuration."""
    page = _Pages(changes)
    posts: Sequence[tuple[str, Callable[[Request], Awaitable[Response]]]] = (
        ("check", page.check), (APPLY, page.apply), (CONFIRM, page.confirm), (CANCEL, page.cancel),
    )  # fmt: skip
    return [
        Route(WHERE, guard("configure", page.show)),
        *(
            Route(f"{WHERE}/{name}", guard("configure", end, FORM_BYTES_MAX), methods=["POST"])
            for name, end in posts
        ),
    ]


class _Pages:
    def __init__(self, changes: Changes):
        self._changes = changes

    async def show(self, request: Request) -> Response:
        return self._page(request)

    async def check(self, request: Request) -> Response:
        """What the text would change; nothing is changed, so there is no entry of it."""
        text = _text(request)
        return self._page(request, text=text, proposal=await self._changes.propose(text))

    async def apply(self, request: Request) -> Response:
        """The text, or the file as it was edited where there is none."""
        text, asked = _text(request), request.state.form.line("minutes")
        minutes = int(asked) if re.fullmatch("[0-9]{1,2}", asked) else 0
        if asked and not 1 <= minutes <= MINUTES_MAX:
            return self._page(request, f"'minutes' is a whole number from 1 to {MINUTES_MAX}.", False, text)
        answer = await self._done(request, APPLY, text, minutes)
        if answer.ok and text != self._changes.shown().text:
            return self._page(request, text=text, applied=True)
        if answer.ok or not text:
            return self._page(request, answer.said, answer.ok)
        return self._page(request, answer.said, False, text, await self._changes.propose(text))

    async def confirm(self, request: Request) -> Response:
        answer = await self._done(request, CONFIRM)
        return self._page(request, answer.said, answer.ok)

    async def cancel(self, request: Request) -> Response:
        answer = await self._done(request, CANCEL)
        return self._page(request, answer.said, answer.ok)

    async def _done(self, request: Request, what: str, text: str = "", minutes: float = 0) -> Answer:
        who, address = request.state.who, request.state.address
        order = Order(CONFIGURE, (), "", who.name, "", mark=what, minutes=minutes, at=address, text=text)
        try:
            # somebody who leaves meanwhile leaves nothing half done
            answer = await asyncio.shield(self._changes.do(order))
        except GatewayError as error:
            answer = Answer(str(error), ok=False)
        await tell(request, "configure", (what,), answer.ok, answer.said)
        return answer

    def _page(
        self, request: Request, said: str = "", ok: bool = True, text: str = "", proposal: Any = None,
        applied: bool = False,
    ) -> Response:  # fmt: skip
        return request.state.door.page(
            request, "configuration.html", 200 if ok else 409, said=said, ok=ok, proposal=proposal,
            applied=applied, text=text or self._changes.shown().text, now=self._changes.shown(),
        )  # fmt: skip


def _text(request: Request) -> str:
    """As it was sent: browsers end lines with CR LF."""
    return request.state.form.get("text", "").replace("\r\n", "\n")
