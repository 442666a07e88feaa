"""The rig of the https destination: nginx with TLS and client certificates before a store of documents."""

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


class HttpsRig(Rig):
    """A token lets in. `password_file` is the token's, under the name that all rigs have for a secret."""

    message = True
    passwords = True
    certificates = True
    fills = denies = True
    once = True  # messages, and yet each shows once: the store knows them by their Idempotency-Key
    client_certificates = False

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.store = Store()
        self.clients = Authority(folder / "clients", "clients")
        self.cert_file, self.key_file = self.clients.issue("station", client=True)

    async def server_up(self) -> None:
        if not hasattr(self, "server"):
            await self.store.start()
            clients = self.clients if self.client_certificates else None
            self.server = Nginx(self.folder / "nginx", self.store.port, clients)
        await asyncio.to_thread(self.server.start)

    async def server_down(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            await self.store.stop()

    def new_identity(self) -> None:
        """The certificate of somebody else's authority, for the same name."""
        other = Authority(self.folder / "other")
        self.server.cert_file, self.server.key_file = other.issue("server")

    async def fill(self) -> None:
        self.store.answer = 507, ""

    async def deny_writing(self) -> None:
        self.store.answer = 403, ""

    async def allow(self) -> None:
        self.store.answer = None

    make_room = allow

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

    client_certificates = True

    def settings(self, **more: object) -> HttpsSettings:
        own = {"cert_file": str(self.cert_file), "key_file": str(self.key_file)}
        return super().settings(**{**own, **more})


HTTPS_RIGS = {"https": HttpsRig, "https-certificate": ClientCertificateRig}
