"""A mail server: aiosmtpd with STARTTLS or TLS from the first byte, and a log-in; does what a test says."""

from __future__ import annotations

import asyncio
import email
import re
import ssl
import warnings
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers.certificates import Authority
from tests.servers.process import free_port


class MailServer:
    """`mode`: "starttls", "ssl" or "none". `answers` replaces what it says to a command while it is set: to
    "MAIL", "DATA", or an address; `rejects` are words for which a message is refused.
    """

    def __init__(self, folder: Path, mode: str = "starttls"):
        self.mode = mode
        self.port = free_port()
        self.authority = Authority(folder)
        self.cert_file, self.key_file = self.authority.issue("server")
        self.user, self.password = "station@example.vn", "right"
        self.answers: dict[str, str] = {}
        self.rejects: list[str] = []
        self.logins: list[str] = []  # passwords that were tried
        self.received: list[tuple[list[str], bytes]] = []  # whole messages, with those they are for

    async def start(self) -> None:
        context = None
        if self.mode != "none":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.cert_file, self.key_file)
        later = context if self.mode == "starttls" else None

        def made() -> SMTP:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it misses STARTTLS where all of it is TLS
                return SMTP(
                    self, hostname="mail.example.vn", tls_context=later, require_starttls=later is not None,
                    authenticator=self._login, auth_required=self.mode != "none",
                    auth_require_tls=self.mode == "starttls", enable_SMTPUTF8=True,
                )  # fmt: skip

        secured = context if self.mode == "ssl" else None
        self._server = await asyncio.get_running_loop().create_server(
            made, "127.0.0.1", self.port, ssl=secured
        )

    async def stop(self) -> None:
        self._server.close()

    @property
    def messages(self) -> list[EmailMessage]:
        return [
            cast(EmailMessage, email.message_from_bytes(body, policy=default)) for _, body in self.received
        ]

    def texts(self) -> list[str]:
        return [message.get_content() for message in self.messages]

    def _login(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.password.decode())
        good = (data.login.decode(), data.password.decode()) == (self.user, self.password)
        return AuthResult(success=good, handled=False)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self.answers.get("MAIL"):
            return said
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self.answers.get(address):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        body = cast(bytes, envelope.original_content)
        if said := self.answers.get("DATA"):
            return said
        text = cast(EmailMessage, email.message_from_bytes(body, policy=default)).get_content()
        if any(re.search(word, text) for word in self.rejects):
            return "554 5.7.1 because of a test"
        self.received.append((list(envelope.rcpt_tos), body))
        return f"250 2.0.0 queued as {len(self.received)}"
