"""A broker on loopback and a subscriber that looks at every message of the raw feed."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from simulator.broker import Broker
from simulator.modbus_load import origin
from tools.demo.site import HOST, free_port
from tools.people import Failure

START_S_MAX = 10.0
SUBSCRIBED_S_MAX = 20.0
TOPIC = "quantrac/#"


@contextlib.contextmanager
def running_broker(folder: Path) -> Iterator[tuple[str, int]]:
    """(its name, its port): Mosquitto where it is installed, else the simulator's broker in a thread."""
    port = free_port()
    program = shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin")
    with _mosquitto(program, folder, port) if program else _own(port):
        deadline = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                break
            if time.monotonic() > deadline:
                raise Failure("The broker did not start: is its port free, and is Mosquitto whole?")
            time.sleep(0.05)
        yield ("mosquitto" if program else "the simulator's"), port


@contextlib.contextmanager
def _mosquitto(program: str, folder: Path, port: int) -> Iterator[None]:
    config = folder / "mosquitto.conf"
    lines = [
        f"listener {port} {HOST}",
        "allow_anonymous true",
        f"user {getpass.getuser()}",
        "max_queued_messages 0",
    ]
    config.write_text("\n".join([*lines, "max_inflight_messages 0"]) + "\n")
    process = subprocess.Popen(
        [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _own(port: int) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    broker = Broker(lambda topic, payload, dup: None)
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(broker.serve, HOST, port), loop).result()

    async def end() -> None:
        server.close()
        broker.drop_all()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def subscribed(
    port: int,
    client_id: str,
    topics: Sequence[str],
    heard: Callable[[paho.Client, Any, paho.MQTTMessage], None],
    kept: bool = True,
) -> paho.Client:
    """A client that has subscribed with QoS 1, and does so again when the broker has been away; `kept`: in a
    session that the broker keeps meanwhile. Failure when it lets nobody subscribe.
    """
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=not kept)

    def connected(*_: object) -> None:
        client.subscribe([(topic, 1) for topic in topics])

    client.reconnect_delay_set(1, 1)
    client.on_connect = connected
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = heard
    client.connect(HOST, port)
    client.loop_start()
    if not ready.wait(SUBSCRIBED_S_MAX):
        raise Failure("The broker did not let us subscribe.")
    return client


class _Message(msgspec.Struct):
    id: str
    rows: list[tuple[str, int, float | None, str]]


class Subscriber:
    """Counts readings with a value: `readings` once each, `twice` again, `wrong` not from what their symbol
    names.
    """

    def __init__(self, port: int, quantities: int):
        self.readings = self.twice = self.wrong = self.messages = 0
        self._seen: set[str] = set()
        self._decode = msgspec.json.Decoder(_Message).decode
        self._symbols = {f"I{i}Q{q}": (i, q) for i in range(256) for q in range(quantities)}
        self._client = subscribed(port, "bench", [TOPIC], self._message)

    def _message(self, client: object, data: object, received: paho.MQTTMessage) -> None:
        message = self._decode(received.payload)
        self.messages += 1
        known = message.id in self._seen
        self._seen.add(message.id)
        symbols = self._symbols
        for symbol, _, value, _ in message.rows:
            if value is None:
                continue
            if known:
                self.twice += 1
            elif origin(value) == symbols[symbol]:
                self.readings += 1
            else:
                self.wrong += 1

    def wait_for(self, readings: int, seconds: float) -> None:
        """Until so many have come, or the time is over."""
        deadline = time.monotonic() + seconds
        while self.readings < readings and time.monotonic() < deadline:
            time.sleep(0.1)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
