"""One notification to a webhook: a POST with subject and text in the fields that Apprise gives them.

    json   {"version", "title", "message", "type", "attachments": [], "alerts": [the messages of alerts]}
    form   the same fields but for the last two
    type   "warning" where something was raised or nobody acted, else "info"

    2xx, 409                      delivered
    408, 425, 429, 5xx, silence   Unreachable: tried again, not before Retry-After says
    401, 403, 407, 404, 405, 410  Refused: it waits for a person with everything behind it
    3xx                           the same: never followed
    any other 4xx                 Rejected: parked

Rule 1: path, password and headers of the address are secrets: no sentence has them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from gateway import tls
from gateway.config_notify import Hook
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.answers import shown
from gateway.forward.https import LET_IN, NO_PLACE, SOON, retry_after_s
from gateway.forward.port import Confirmation
from gateway.reports.alert_text import Notice
from gateway.web.client import Answer, connect

if TYPE_CHECKING:
    from gateway.config_model import NotifyDestination as Settings

VERSION = "1.0"


async def send(
    settings: Settings, hook: Hook, notice: Notice, name: str, alerts: Sequence[Mapping[str, Any]]
) -> Confirmation:
    """Return when the server has answered that it took it."""
    kind, body = written(hook, notice, alerts)
    context = None
    if hook.url.startswith("https:"):
        context = await asyncio.to_thread(tls.context, settings.ca_file)
    headers = [("Content-Type", kind), ("Idempotency-Key", name), ("Connection", "close"), *hook.headers]
    if hook.user:
        whole = base64.b64encode(f"{hook.user}:{hook.password}".encode()).decode()
        headers.append(("Authorization", f"Basic {whole}"))
    connection = await connect(
        hook.url, seconds=settings.connect_timeout_s, context=context, name=hook.server
    )
    try:
        answer = await connection.exchange("POST", body, headers, seconds=settings.timeout_s)
    finally:
        connection.close()
    said = f"{answer.status} {answer.reason}"
    for secret in (*hook.secrets, *filter(None, [urlsplit(hook.url).path.strip("/")])):
        said = said.replace(secret, "...")
    said = shown(said, length=120)
    if error := _told(answer, hook, said):
        raise error
    return Confirmation(f"{hook.url.partition(':')[0]}://{hook.server}", len(body), f"HTTP {said}")


def written(hook: Hook, notice: Notice, alerts: Sequence[Mapping[str, Any]]) -> tuple[str, bytes]:
    """Content-Type and body; the address's own fields as rule 3 of gateway/config_notify.py says."""
    fields: dict[str, Any] = {
        "version": VERSION, "title": notice.subject, "message": notice.text,
        "type": "warning" if notice.urgent else "info",
    }  # fmt: skip
    if hook.form == "json":
        fields |= {"attachments": [], "alerts": list(alerts)}
    for name, value in hook.fields:
        if name not in fields:
            fields[name] = value
        elif (had := fields.pop(name)) is not None and value:
            fields[value] = had
    if hook.form == "form":
        return "application/x-www-form-urlencoded", urlencode(fields).encode()
    return "application/json", json.dumps(fields, ensure_ascii=False).encode()


def _told(answer: Answer, hook: Hook, said: str) -> DestinationError | None:
    """What an answer means, as in the table above; None: delivered."""
    status = answer.status
    if 200 <= status < 300 or status == 409:
        return None
    what = f"{hook.server} answers {said}"
    if status in SOON or status >= 500:
        return Unreachable(f"{what}. Trying again.", retry_after_s(answer.headers))
    if status in LET_IN:
        return Refused(f"{what}: it refused us. Correct the user, password or token in url_file.")
    if status in NO_PLACE:
        return Refused(
            f"{what}: nobody takes notifications there. Correct url_file. All of them wait until then."
        )
    if 300 <= status < 400:
        return Refused(f"{what}: it points elsewhere, where nothing goes by itself. Correct url_file.")
    return Rejected(f"{what}. It will not take this notification.")
