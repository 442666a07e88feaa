"""One e-mail, over SMTP: written, sent, and what a mail server's answers mean.

    the server                                   what it means

    250 to the whole message                     delivered
    4xx, 421, cut, silent, not there             Unreachable: tried again; nobody got it yet
    5xx to user and password, or to the sender,  Refused: it waits for a person with everything behind it
    to all recipients, no STARTTLS, no AUTH,
    a certificate that does not hold
    5xx to some of the recipients                the others get it; the confirmation says how many do not
    5xx to the message itself                    Rejected: parked

Rule 1: all recipients are asked before the message goes: where one is told "later" (4xx), nobody gets it yet,
        so that nobody gets it twice.
Rule 2: STARTTLS or TLS is never left out where it was asked for, and comes before the password.
Rule 3: one connection for each message: they are rare.
aiosmtplib, since a coroutine that is cancelled lets go of its connection (decision 0018).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from email.charset import QP, Charset
from email.header import Header
from email.mime.text import MIMEText
from email.policy import compat32
from typing import TYPE_CHECKING

import aiosmtplib

from gateway import tls
from gateway.config_notify import Mail
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.answers import LENGTH_MAX, shown
from gateway.forward.port import Confirmation
from gateway.reports.alert_text import Notice, date_header

if TYPE_CHECKING:
    from gateway.config_model import NotifyDestination as Settings

OUR_NAME = "[127.0.0.1]"  # an address literal: no name is looked up, and none of ours told
GOODBYE_S_MAX = 1.0
CRLF = compat32.clone(linesep="\r\n")
UTF8 = Charset("utf-8")
UTF8.body_encoding = QP  # read by people even where a program cannot
_AUTH = (530, 534, 535, 538)  # RFC 4954: about user and password, wherever it is said

log = logging.getLogger(__name__)


def written(mail: Mail, notice: Notice, name: str, at_ms: int) -> bytes:
    """The whole message. `name` makes its id permanent; at_ms (Unix ms, station time) is its date."""
    message = MIMEText(notice.text, "plain", UTF8)  # type: ignore[arg-type] - a Charset is what it wants
    message["From"] = f"Quantrac <{mail.sender}>"
    message["To"] = ", ".join(mail.to)
    # Encoded as a whole: where EmailMessage folds a subject of both sorts of words, a space can get lost.
    message["Subject"] = Header(notice.subject, UTF8, header_name="Subject").encode()
    message["Date"] = date_header(at_ms)
    message["Message-ID"] = f"<{name}@{mail.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    message["Importance"] = "high" if notice.urgent else "normal"
    return message.as_bytes(policy=CRLF)


async def send(settings: Settings, mail: Mail, message: bytes) -> Confirmation:
    """Return when the server has answered that it took the message, for at least one recipient."""
    context = None
    if mail.mode != "none":
        context = await asyncio.to_thread(tls.context, settings.ca_file)
    client = aiosmtplib.SMTP(
        hostname=mail.host, port=mail.port, local_hostname=OUR_NAME, timeout=None, tls_context=context,
        use_tls=mail.mode == "ssl", start_tls=mail.mode == "starttls",
    )  # fmt: skip
    step = "connect"
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            await client.connect()
            step = "login"
            if mail.user:
                await client.login(mail.user, mail.password)
        async with asyncio.timeout(settings.timeout_s):
            step = "from"
            await client.mail(mail.sender)
            step = "to"
            refused = await _recipients(client, mail)
            step = "data"
            answer = await client.data(message)
        said = shown(f"{answer.code} {answer.message}", length=LENGTH_MAX // 2)
    except Exception as error:
        raise told(error, mail, step) from error
    else:
        await _goodbye(client)
    finally:
        _cut(client)
    if refused:
        log.warning(
            "%s takes nothing for %d of %d recipients: %s",
            mail.server,
            len(refused),
            len(mail.to),
            refused[0],
        )
        said = f"{said} / not to {len(refused)} of {len(mail.to)}: {refused[0]}"
    return Confirmation(f"smtp://{mail.server}", len(message), _hidden(said, mail)[:LENGTH_MAX])


async def _recipients(client: aiosmtplib.SMTP, mail: Mail) -> list[str]:
    """What was said to those who were refused. Raises at the first "later", and where all were refused."""
    refused: list[str] = []
    for one in mail.to:
        try:
            await client.rcpt(one)
        except aiosmtplib.SMTPRecipientRefused as error:
            if error.code < 500 or len(refused) + 1 == len(mail.to):
                raise
            refused.append(_said(error, mail))
    return refused


async def _goodbye(client: aiosmtplib.SMTP) -> None:
    """It was taken: whatever becomes of QUIT."""
    try:
        async with asyncio.timeout(GOODBYE_S_MAX):
            await client.quit()
    except (TimeoutError, OSError, aiosmtplib.SMTPException):
        pass


def _cut(client: aiosmtplib.SMTP) -> None:
    transport = client.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def told(error: Exception, mail: Mail, step: str) -> DestinationError:
    """What an error means for us, and to a person."""
    server = mail.server
    if isinstance(error, DestinationError):
        return error
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return tls.told(cause, server)
        if isinstance(cause, TimeoutError):
            return Unreachable(f"{server} did not answer in time. Trying again.")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _no(error, mail, step)
    if isinstance(error, OSError | UnicodeError):  # also not connected, lost; no name that could be known
        why = shown(str(error)).rstrip(".") or "the connection ended"
        return Unreachable(f"{server} cannot be reached or broke the connection ({_hidden(why, mail)}).")
    if isinstance(error, aiosmtplib.SMTPException):
        what = (
            f"{server} refused us: it offers no STARTTLS"
            if step == "connect"
            else f"{server} refused us: no log-in"
        )
        return Refused(
            f"{what} ({_hidden(shown(str(error)).rstrip('.'), mail)}). Correct url_file, or ask its people."
        )
    raise error  # our own mistake: the worker logs it with its traceback


def _no(error: aiosmtplib.SMTPResponseException, mail: Mail, step: str) -> DestinationError:
    said = f"{mail.server} answers {_said(error, mail)}"
    if not 500 <= error.code < 600:
        return Unreachable(f"{said}. Trying again.")
    if step == "login" or error.code in _AUTH:
        return Refused(
            f"{mail.server} refused user or password ({_said(error, mail)}). Correct them in url_file."
        )
    if step == "data":
        return Rejected(f"{said} to the message. It will not take this one.")
    about = {"from": " to our sender", "to": " to every recipient"}.get(step, "")
    return Refused(
        f"{said}{about}: refused. Correct url_file, or ask its people. All of them wait until then."
    )


def _said(error: aiosmtplib.SMTPResponseException, mail: Mail) -> str:
    return _hidden(shown(f"{error.code} {error.message}", length=120).rstrip("."), mail)


def _hidden(text: str, mail: Mail) -> str:
    for secret in mail.secrets:
        text = text.replace(secret, "...")
    return text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
