"""Rigs of nginx with TLS before a store of documents: the https destination's, with client certificates, and
what every rig of such a server has.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.config_model import HttpsDestination as HttpsSettings
from gateway.forward.https import HttpsDestination
from gateway.forward.port import Document
from gateway.reports.layout import stamp
from tests.gateway.forward_rig import Rig, document
from tests.servers.certificates import Authority
from tests.servers.nginx import Nginx, Store


class TlsRig(Rig):
    """Messages to a server of TLS that asks who one is."""

    message = True
    passwords = True
    certificates = True
    fills = denies = True

    def new_identity(self) -> None:
        """The certificate of somebody else's authority, for the same name."""
        other = Authority(self.folder / "other")
        self.server.cert_file, self.server.key_file = other.issue("server")


class StoreRig(TlsRig):
    """nginx before a store that knows what it has by the Idempotency-Key."""

    clients: Authority | None = None  # whose certificates nginx asks for

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.store = Store()

    async def server_up(self) -> None:
        if not hasattr(self, "server"):
            await self.store.start()
            self.server = Nginx(self.folder / "nginx", self.store.port, self.clients)
        await asyncio.to_thread(self.server.start)

    async def server_down(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            await self.store.stop()

    async def fill(self) -> None:
        self.store.answer = 507, ""

    async def deny_writing(self) -> None:
        self.store.answer = 403, ""

    async def allow(self) -> None:
        self.store.answer = None

    make_room = allow


class HttpsRig(StoreRig):
    """A token lets in. `password_file` is the token's, under the name that all rigs have for a secret."""

    once = True  # messages, and yet each shows once: the store knows them

    def destination(self, **more: object) -> HttpsDestination:
        return HttpsDestination(self.settings(**more))

    def settings(self, **more: object) -> HttpsSettings:
        port = self.proxy.port if self.proxy else self.server.port
        host = more.pop("host", "127.0.0.1")
        given: dict[str, object] = {
            "id": "d", "kind": "https", "url": f"https://{host}:{port}/v1/documents",
            "ca_file": str(self.server.authority.ca_file), "token_file": str(self.password_file),
            "connect_timeout_s": 10.0, "timeout_s": 10.0,
        }  # fmt: skip
        return HttpsSettings.model_validate({**given, **more})

    def document(self, i: int, **more: object) -> Document:
        one = document(i, message=True, **more)
        return one._replace(name=f"LCa/DEMO/NUO001/window/{stamp(one.at_ms)}/1")

    def seen(self) -> list[bytes]:
        return list(self.store.documents.values())

    async def arrived(self, bodies: set[bytes], timeout_s: float = 0.0) -> bool:
        return bodies <= set(self.seen())


class ClientCertificateRig(HttpsRig):
    """A client certificate lets in as well: nginx asks for one."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.clients = Authority(folder / "clients", "clients")
        self.cert_file, self.key_file = self.clients.issue("station", client=True)

    def settings(self, **more: object) -> HttpsSettings:
        own = {"cert_file": str(self.cert_file), "key_file": str(self.key_file)}
        return super().settings(**{**own, **more})


HTTPS_RIGS = {"https": HttpsRig, "https-certificate": ClientCertificateRig}
