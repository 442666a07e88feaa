"""The department's side of commands: its key, commands made and signed, answers checked, a desk to send from.

    department = Department.made("dept.example")           department.vkey is pinned at the station
    note = department.command(station, "sample", bottles=1, reason="...")
    department.checked(answer, log_vkey, note)             raises ValueError unless the station signed it

Rule 1: nothing here is shared with the gateway but protocol/: what it writes, the gateway has to read by what
        is agreed on (gateway/commands/message.py), byte for byte.
Rule 2: a command stays on the desk until an answer that names it came; so it does at a real one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol import note
from protocol.merkle import EvidenceError
from protocol.note import Signer

ZONE_S = 7 * 3600
LIFE_S = 3600
CONNECT_S_MAX = 20.0


def stamp(time_s: float) -> str:
    """2026-03-25T00:05:00+07:00 of Unix seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_s + ZONE_S)) + "+07:00"


def digest_of(command: bytes) -> str:
    """What an answer calls a command: the hash of what is signed of it."""
    return sha256(note.parse(command).text.encode()).hexdigest()


class Department:
    """Signs as `signer`. Counters are milliseconds, and only rise."""

    def __init__(self, signer: Signer):
        self._signer = signer
        self.counter = 0

    @classmethod
    def made(cls, name: str) -> Department:
        """With a new key."""
        return cls(Signer(name, Ed25519PrivateKey.generate()))

    @property
    def vkey(self) -> str:
        return self._signer.verifier.vkey

    def command(
        self,
        station: str,
        verb: str,
        *,
        counter: int | None = None,
        issued_s: float | None = None,
        life_s: float = LIFE_S,
        **args: Any,
    ) -> bytes:
        """A signed command; `args` in the order in which they are given. Times are Unix seconds."""
        now_s = time.time() if issued_s is None else issued_s
        if counter is None:
            counter = self.counter = max(self.counter + 1, int(now_s * 1000))
        lines = [
            "quantrac-command/v1", f"station {station}", f"counter {counter}", f"issued {stamp(now_s)}",
            f"expires {stamp(now_s + life_s)}", f"verb {verb}",
        ]  # fmt: skip
        lines += [f"{name.removesuffix('_')} {value}" for name, value in args.items()]
        return self.signed("\n".join([*lines, ""]))

    def signed(self, text: str) -> bytes:
        """Any text, signed."""
        return f"{text}\n{self._signer.sign(text)}".encode()

    @staticmethod
    def checked(answer: bytes, log_vkey: str, command: bytes | None = None) -> dict[str, Any]:
        """What an answer says, once the log's key signed it and it is about this command. ValueError."""
        found = note.parse(answer)
        note.verify(found, [note.parse_vkey(log_vkey.strip())])
        head, *lines = found.text.splitlines()
        told: dict[str, Any] = dict(line.split(" ", 1) for line in lines)
        if head != "quantrac-result/v1" or (command and told["command"] != digest_of(command)):
            raise ValueError(f"this is no answer to that command: {head}, {told.get('command')}")
        told["details"] = json.loads(told["details"])
        return told


class Desk:
    """Commands that wait for stations, and the answers that came. Threads may use it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, bytes]] = []  # (station, command)
        self.answers: list[bytes] = []
        self._news = threading.Condition()

    def give(self, station: str, command: bytes) -> None:
        """To be fetched by the station."""
        with self._news:
            self.waiting.append((station, command))

    def next_for(self, station: str) -> bytes | None:
        """The oldest command for a station."""
        return next((command for name, command in self.waiting if name == station), None)

    def answered(self, answer: bytes) -> None:
        """An answer came: its command need not wait any longer. Whether it is true is for who reads it."""
        named = next((line for line in answer.decode("utf-8", "replace").splitlines()
                      if line.startswith("command ")), "command -")  # fmt: skip
        with self._news:
            self.waiting = [one for one in self.waiting if f"command {_name(one[1])}" != named]
            self.answers.append(answer)
            self._news.notify_all()

    def wait_for(self, count: int, timeout_s: float = 30.0) -> bool:
        """Whether so many answers have come, waiting for them."""
        with self._news:
            return self._news.wait_for(lambda: len(self.answers) >= count, timeout_s)


def _name(command: bytes) -> str:
    """As a station names it, whatever it is."""
    try:
        return digest_of(command)
    except EvidenceError:
        return sha256(command).hexdigest()


class HttpsDesk(Desk):
    """Where stations ask: GET /commands?station=, POST /results; `token`: who may."""

    def __init__(self, context: ssl.SSLContext | None = None, token: str = ""):
        super().__init__()
        self._context, self._token = context, token
        self.path = "/station"
        self.asked = 0  # requests for commands
        self.broken = False  # answers 503 to everything
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http, head, body = h11.Connection(h11.SERVER), None, b""
        try:
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    http.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                else:
                    break
            if head is None:
                return
            status, answer = self._answer(head, body)
            headers = [("Content-Length", str(len(answer))), ("Connection", "close")]
            writer.write(http.send(h11.Response(status_code=status, headers=headers)) or b"")
            writer.write((http.send(h11.Data(data=answer)) or b"") if answer else b"")
            writer.write(http.send(h11.EndOfMessage()) or b"")
            await writer.drain()
        except (OSError, h11.RemoteProtocolError):
            pass
        finally:
            writer.close()

    def _answer(self, head: h11.Request, body: bytes) -> tuple[int, bytes]:
        place, given = urlsplit(head.target.decode()), dict(head.headers)
        if self._token and given.get(b"authorization") != f"Bearer {self._token}".encode():
            return 401, b""
        if self.broken:
            return 503, b""
        if head.method == b"GET" and place.path == f"{self.path}/commands":
            self.asked += 1
            command = self.next_for(parse_qs(place.query).get("station", [""])[0])
            return (200, command) if command else (204, b"")
        if head.method == b"POST" and place.path == f"{self.path}/results":
            self.answered(body)
            return 204, b""
        return 404, b""


class MqttDesk(Desk):
    """Beside a broker: publishes commands, and hears every answer."""

    def __init__(self, port: int, user: str = "", password: str = "", prefix: str = "quantrac"):
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        super().__init__()
        subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="department", clean_session=False)
        client.reconnect_delay_set(1, 1)
        if user:
            client.username_pw_set(user, password)

        def connected(*_: Any) -> None:
            client.subscribe(f"{prefix}/+/+/+/result", qos=1)

        client.on_connect = connected
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _, __, message: self.answered(bytes(message.payload))
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client
        if not subscribed.wait(20):
            raise OSError("the broker did not take the subscription")

    def give(self, station: str, command: bytes) -> None:
        """`station` is the first level of its topics and all that follows: its log's first name."""
        super().give(station, command)
        end_s = time.monotonic() + CONNECT_S_MAX
        while not self._client.is_connected() and time.monotonic() < end_s:
            time.sleep(0.02)
        self._client.publish(f"{station}/command", command, qos=1).wait_for_publish(20)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
