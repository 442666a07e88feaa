"""Mosquitto on loopback ports, and a subscriber that keeps every message it is given."""

from __future__ import annotations

import getpass
import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as paho

from tests.servers.certificates import Authority
from tests.servers.process import Server, free_port, program


class Mosquitto:
    """One broker below `folder`; with `password` only the user "station" may enter.

    With an `authority` clients come by TLS to `port`, with `clients` only those with a certificate of that
    one; `plain_port` is for whoever looks at what arrived. `more` are lines of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        password: str = "",
        authority: Authority | None = None,
        clients: Authority | None = None,
        more: tuple[str, ...] = (),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = self.plain_port = free_port()
        self.user = "station"
        self.more = more
        self.clients = clients
        self._lines = [f"user {getpass.getuser()}", "max_queued_messages 0"]
        self._lines += ["max_inflight_messages 0", "persistence true", f"persistence_location {folder}/"]
        if password:
            self.set_password(password)
            self._lines += ["allow_anonymous false", f"password_file {folder / 'passwords'}"]
        else:
            self._lines += ["allow_anonymous true"]
        self.cert_file: Path | None = None
        if authority is not None:
            self.port = free_port()
            self.cert_file, self.key_file = authority.issue("broker")

    def _listeners(self) -> list[str]:
        lines = [f"listener {self.plain_port} 127.0.0.1"]
        if self.cert_file is not None:
            lines += [
                f"listener {self.port} 127.0.0.1",
                f"certfile {self.cert_file}",
                f"keyfile {self.key_file}",
            ]
        if self.clients is not None:
            lines += [f"cafile {self.clients.ca_file}", "require_certificate true"]
        return lines

    def set_password(self, password: str) -> None:
        """Takes effect at the next start."""
        path = self.folder / "passwords"
        path.unlink(missing_ok=True)
        command = [program("mosquitto_passwd", "mosquitto"), "-b", "-c", str(path), self.user, password]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        settings = self.folder / "mosquitto.conf"
        settings.write_text("\n".join([*self._lines, *self.more, *self._listeners()]) + "\n")
        command = [program("mosquitto", "mosquitto"), "-c", str(settings)]
        self._server = Server(command, self.port, self.folder / "mosquitto.log")
        self._server.start()

    def stop(self) -> None:
        self._server.stop()


class Subscriber:
    """A persistent QoS 1 session on every topic; `messages` holds (topic, body) as they came."""

    def __init__(self, port: int, user: str = "", password: str = ""):
        self.messages: list[tuple[str, bytes]] = []
        self._news = threading.Condition()
        subscribed = threading.Event()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="archive", clean_session=False)
        client.reconnect_delay_set(0.05, 0.2)
        if user:
            client.username_pw_set(user, password)
        client.on_connect = lambda *_: client.subscribe("#", qos=1)
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = self._take
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client
        assert subscribed.wait(20), "the subscriber could not subscribe"

    def _take(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        one = message.topic, bytes(message.payload)
        with self._news:
            if message.dup and one in self.messages:
                return  # the broker was restarted before it had our own confirmation
            self.messages.append(one)
            self._news.notify_all()

    def wait_for(self, bodies: set[bytes], timeout_s: float = 30.0) -> bool:
        """Whether all these bodies have come, waiting for them if need be."""
        with self._news:
            return self._news.wait_for(lambda: bodies <= {body for _, body in self.messages}, timeout_s)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
