"""People as a destination: alerts by e-mail or to a webhook, at most one message in `least_s`.

    what comes while a message is awaited or under way is joined into the next one: the worker may begin
    TOGETHER_MAX documents, and each of them is delivered when the message that holds it was confirmed

Rule 1: a document is delivered when the mail server answered 250 to the whole message, or the webhook 2xx,
        never earlier; after any error all that were in that message are tried again. A message that is
        rejected is halved until the one alert is found for which it is.
Rule 2: the same alerts make the same message, byte for byte, under the same id (Message-ID, Idempotency-Key).
        After a crash between the answer and the mark it comes twice: perhaps with younger alerts beside; the
        log's entry in the text tells each of them.
Rule 3: a pause lasts `least_s` from one confirmed (or rejected) message to the next, on the loop's clock;
        what fails, waits as the worker says. After a restart the first message goes at once.
Rule 4: who stops the gateway does not tear off a message whose answer is about to come: it has LAST_S_MAX.
Rule 5: the address is a secret: it is read before each message, and no sentence or confirmation shows it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config_links import LinkFault
from gateway.config_notify import Hook, Mail, parse
from gateway.errors import Refused, Rejected
from gateway.forward import notify_hook, notify_mail
from gateway.forward.files import read_secret
from gateway.forward.port import Confirmation, Document
from gateway.reports.alert_text import Teller

if TYPE_CHECKING:
    from gateway.config_model import NotifyDestination as Settings

TOGETHER_MAX = 50
LAST_S_MAX = 1.0  # of the 2 s in which a worker ends what is under way


class _Waiting(NamedTuple):
    document: Document
    alert: Mapping[str, Any]
    confirmed: asyncio.Future[Confirmation]


class NotifyDestination:
    """Tells people of alerts."""

    in_flight_max = TOGETHER_MAX

    def __init__(self, settings: Settings, teller: Teller):
        self._settings = settings
        self._teller = teller
        self._waiting: list[_Waiting] = []
        self._under_way: list[_Waiting] = []
        self._sender: asyncio.Task[None] | None = None
        self._failed: Exception | None = None  # since then nothing goes until close(): it would overtake
        self._most = TOGETHER_MAX  # in one message; fewer after one was rejected
        self._free_s = 0.0  # from when on a message may go, on the loop's clock

    async def deliver(self, document: Document) -> Confirmation:
        """Return when a message that tells this alert was confirmed."""
        if self._failed is not None:
            raise self._failed
        one = _Waiting(document, self._alert(document), asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())
        try:
            return await asyncio.shield(one.confirmed)
        except asyncio.CancelledError:
            if one in self._under_way:
                await asyncio.wait([one.confirmed], timeout=LAST_S_MAX)
                if one.confirmed.done() and not one.confirmed.cancelled() and not one.confirmed.exception():
                    return one.confirmed.result()
            raise
        finally:
            if one in self._waiting:
                self._waiting.remove(one)
            one.confirmed.cancel()

    async def close(self) -> None:
        """Drop the connection, and what was not confirmed."""
        self._failed = None
        sender, self._sender = self._sender, None
        if sender is not None and not sender.done():
            sender.cancel()
            await asyncio.wait([sender])
        for one in self._waiting:
            one.confirmed.cancel()

    def _alert(self, document: Document) -> Mapping[str, Any]:
        """What a document tells; told once, so that one that cannot be told parks no other."""
        try:
            alert = json.loads(document.body)
            self._teller.notice([alert])
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Rejected(f"{document.key} is no alert that can be told to people.") from None
        return alert

    async def _send(self) -> None:
        """Messages, one after the other, until nothing waits or one fails."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(max(0.0, self._free_s - loop.time()))  # with 0: all that begin at once
            together, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._under_way = together
            try:
                found = await self._message(
                    [one.document for one in together], [one.alert for one in together]
                )
            except Rejected as error:
                self._free_s = loop.time() + self._settings.least_s
                if len(together) == 1:
                    _fail(together, error)
                else:
                    self._waiting, self._most = together + self._waiting, len(together) // 2
            except Exception as error:
                self._failed = error
                self._waiting = _fail(together + self._waiting, error)
            except BaseException:
                for one in together:
                    one.confirmed.cancel()
                raise
            else:
                self._free_s = loop.time() + self._settings.least_s
                self._most = min(2 * self._most, TOGETHER_MAX)
                for one in together:
                    if not one.confirmed.done():
                        one.confirmed.set_result(found)
            finally:
                self._under_way = []

    async def _message(
        self, documents: Sequence[Document], alerts: Sequence[Mapping[str, Any]]
    ) -> Confirmation:
        where, notice = self._where(), self._teller.notice(alerts)
        name = hashlib.sha256("\n".join(one.name for one in documents).encode()).hexdigest()[:32]
        at_ms = max(one.at_ms for one in documents)
        if isinstance(where, Mail):
            return await notify_mail.send(
                self._settings, where, notify_mail.written(where, notice, name, at_ms)
            )
        return await notify_hook.send(self._settings, where, notice, name, alerts)

    def _where(self) -> Mail | Hook:
        path = self._settings.url_file
        try:
            return parse(read_secret(path, "address"))
        except LinkFault as fault:
            raise Refused(f"The address in {path} cannot be used. {fault.what} {fault.instead}") from None


def _fail(together: Sequence[_Waiting], error: Exception) -> list[_Waiting]:
    for one in together:
        if not one.confirmed.done():
            one.confirmed.set_exception(error)
            one.confirmed.exception()  # whoever was cancelled meanwhile does not come to fetch it
    return []
