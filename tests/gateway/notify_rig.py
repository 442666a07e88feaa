"""Rigs of the notify destination: a mail server (STARTTLS, TLS), and a webhook behind nginx with TLS."""

from __future__ import annotations

import json
import re
from pathlib import Path

from gateway.config_model import NotifyDestination as NotifySettings
from gateway.forward.notify import NotifyDestination
from gateway.forward.port import Document
from gateway.reports.alert_text import Channel, Teller
from gateway.reports.layout import stamp
from gateway.reports.message import rfc3339
from tests.gateway.forward_rig import document
from tests.gateway.https_rig import StoreRig, TlsRig
from tests.servers.smtp import MailServer

CHANNELS = {"COD": Channel("mg/l", 2), "pH": Channel("", 2), "Temp": Channel("oC", 1)}
SCHEDULE = 1000  # entries between those of two schedules
TO = ("lan@example.vn", "minh@example.vn")


def alert(i: int, at_ms: int, windows: int = 1, **more: object) -> dict[str, object]:
    """The i-th alert, as gateway.feed_entries makes it: COD beyond 75."""
    window = {
        "symbol": "COD", "start": rfc3339(at_ms), "start_ms": at_ms, "revision": 1, "receipt": "/x",
        "value": 80.0 + i / 100, "limit": 75.0,
    }  # fmt: skip
    return {
        "id": f"LCa/DEMO/NUO001/alert/{i}-00000000", "t": rfc3339(at_ms), "entry": i,
        "alert": f"limit/COD/{stamp(at_ms)}", "state": "raised", "rule": "limit", "about": "COD",
        "since": rfc3339(at_ms), "basis": "QCVN 40:2011 A", "windows": [window] * windows, **more,
    }  # fmt: skip


def alert_document(i: int, windows: int = 1, attempts: int = 0, **more: object) -> Document:
    one = document(i, message=True, attempts=attempts)
    told = alert(i, one.at_ms, windows, **more)
    name, key = str(told["id"]), f"alert/NUO001/{i}-00000000"
    return one._replace(key=key, kind="alerts", name=name, body=json.dumps(told).encode())


def teller(lang: str = "vi") -> Teller:
    return Teller("NUO001", "Trạm nước thải", CHANNELS, lang)


class _Password:
    """The password's place in the address: what the contract's cases write, ends up in url_file."""

    def __init__(self, rig: NotifyRig):
        self._rig = rig

    def write_text(self, text: str) -> None:
        self._rig.url_file.write_text(self._rig.url(text.strip()) + "\n" if text.strip() else "\n")

    def unlink(self) -> None:
        self._rig.url_file.unlink()


class NotifyRig(TlsRig):
    def __init__(self, folder: Path):
        super().__init__(folder)
        self.url_file = folder / "people.url"
        self.password_file = _Password(self)  # type: ignore[assignment]
        self._bodies: dict[int, bytes] = {}
        self.host, self._given = "127.0.0.1", "right"

    def url(self, password: str) -> str:
        raise NotImplementedError

    def entries(self) -> list[int]:
        """The entries that were told, each as often as it was."""
        raise NotImplementedError

    def destination(self, **more: object) -> NotifyDestination:
        self.host = str(more.pop("host", "127.0.0.1"))
        if not self.url_file.exists() or self.host != "127.0.0.1":
            self.password_file.write_text("right\n")
        return NotifyDestination(self.settings(**more), teller(str(more.get("lang", "vi"))))

    def settings(self, **more: object) -> NotifySettings:
        given: dict[str, object] = {
            "id": "d", "kind": "notify", "url_file": str(self.url_file),
            "ca_file": str(self.server.authority.ca_file),
            "connect_timeout_s": 10.0, "timeout_s": 10.0, "least_s": 0,
        }  # fmt: skip
        return NotifySettings.model_validate({**given, **more})

    def port(self) -> int:
        return self.proxy.port if self.proxy else self.server.port

    def document(self, i: int, **more: object) -> Document:
        """With a body of so many bytes, or more, where the case gives one."""
        body, attempts = more.get("body", b""), more.get("attempts", 0)
        assert isinstance(body, bytes) and isinstance(attempts, int)
        seed = re.match(rb"(\d+)\.\d+ ", body)  # of a schedule of faults
        entry = i + SCHEDULE * (1 + int(seed[1])) if seed else i
        one = alert_document(entry, 1 + len(body) // 100, attempts)
        self._bodies[entry] = one.body
        return one._replace(id=i + 1)

    def of_seed(self, body: bytes, seed: int) -> bool:
        return json.loads(body)["entry"] // SCHEDULE == 1 + seed

    def seen(self) -> list[bytes]:
        return [self._bodies[entry] for entry in self.entries()]

    async def arrived(self, bodies: set[bytes], timeout_s: float = 0.0) -> bool:
        return bodies <= set(self.seen())


class MailRig(NotifyRig):
    mode = "starttls"

    def url(self, password: str) -> str:
        return (
            f"mailtos://station%40example.vn:{password}@{self.host}:{self.port()}/"
            f"?from=station@example.vn&to={','.join(TO)}&mode={self.mode}"
        )

    async def server_up(self) -> None:
        if not hasattr(self, "server"):
            self.server = MailServer(self.folder / "smtp", self.mode)
        await self.server.start()

    async def server_down(self) -> None:
        await self.server.stop()

    async def fill(self) -> None:
        self.server.answers["DATA"] = "452 4.3.1 Insufficient system storage"

    async def deny_writing(self) -> None:
        self.server.answers["MAIL"] = "550 5.7.1 not this sender"

    async def allow(self) -> None:
        self.server.answers.clear()

    make_room = allow

    def entries(self) -> list[int]:
        texts = self.server.texts()
        return [int(entry) for text in texts for entry in re.findall(r"mục (\d+) của nhật ký", text)]


class TlsMailRig(MailRig):
    mode = "ssl"


class HookRig(StoreRig, NotifyRig):
    """A token lets in."""

    def url(self, password: str) -> str:
        return f"jsons://{self.host}:{self.port()}/v1/people?+Authorization=Bearer%20{password}"

    def entries(self) -> list[int]:
        return [one["entry"] for body in self.store.documents.values() for one in json.loads(body)["alerts"]]


NOTIFY_RIGS = {"notify-mail": MailRig, "notify-mail-tls": TlsMailRig, "notify-hook": HookRig}
