"""NATS as a province's collector: the configuration that we ship, on a test's own ports and in its folder."""

from __future__ import annotations

import itertools
import json
import threading
import urllib.request
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.servers.process import Server, free_ports, program
from tools import fleet

COLLECTOR = Path(fleet.__file__).parent / "collector"
LIMIT_S = 60.0
_names = itertools.count()


class Nats:
    """One nats-server below `folder`; `restart()` after a kill keeps what it has on disk."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        client, http, self.port = free_ports(3)
        text = (COLLECTOR / "nats.conf").read_text(encoding="utf-8")
        for ours, theirs in (
            ("127.0.0.1:4222", f"127.0.0.1:{client}"), ("127.0.0.1:8222", f"127.0.0.1:{http}"),
            ("127.0.0.1:1883", f"127.0.0.1:{self.port}"), ("/var/lib/nats", str(folder / "jetstream")),
            ("200GB", "200MB"),
        ):  # fmt: skip
            assert text.count(ours) == 1, f"the configuration no longer has {ours}"
            text = text.replace(ours, theirs)
        config = folder / "nats.conf"
        config.write_text(text, encoding="utf-8")
        self._http = http
        command = [program("nats-server", "nats-server"), "-c", str(config)]
        self._server = Server(command, self.port, folder / "nats.log")
        self._log = folder / "nats.log"

    def start(self) -> None:
        self._server.start()

    def stop(self, kill: bool = False) -> None:
        self._server.stop(kill)

    def make_stream(self) -> None:
        """As a person does it: the file that we ship, published to JetStream's own address."""
        body = (COLLECTOR / "stream.json").read_bytes()
        with Client(self.port, "department", "change-me-department") as client:
            client.publish("$JS/API/STREAM/CREATE/QUANTRAC", body)

    def stored(self) -> int | None:
        """Messages in the stream QUANTRAC; None when there is none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/jsz?streams=true", timeout=10) as answer:
            told = json.load(answer)
        streams = [s for a in told.get("account_details") or () for s in a.get("stream_detail") or ()]
        return next((s["state"]["messages"] for s in streams if s["name"] == "QUANTRAC"), None)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


class Client:
    """An MQTT 3.1.1 client: publishes with QoS 1 and waits for the PUBACK. With a `name` it is a session that
    the broker keeps, and `messages` holds (topic, body) of what came on quantrac/#.
    """

    def __init__(self, port: int, user: str, password: str, name: str = ""):
        self.messages: list[tuple[str, bytes]] = []
        ready = threading.Event()
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name or f"test-{next(_names)}", clean_session=not name
        )
        client.username_pw_set(user, password)
        client.on_message = lambda _, __, message: self.messages.append(
            (message.topic, bytes(message.payload))
        )
        client.on_subscribe = lambda *_: ready.set()

        def connected(*_: object) -> None:
            if name:
                client.subscribe("quantrac/#", qos=1)
            else:
                ready.set()

        client.on_connect = connected
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client
        assert ready.wait(LIMIT_S), "NATS did not let us in"

    def publish(self, topic: str, body: bytes) -> None:
        """Returns when the broker has confirmed it."""
        sent = self._client.publish(topic, body, qos=1)
        sent.wait_for_publish(LIMIT_S)
        assert sent.is_published()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
