"""What thingsboard-gateway needs of ThingsBoard beside a broker: answers to what it asks after connecting.

It connects (MQTT 5, anonymous but for an access token as its user name) and asks for its session's limits on
v1/devices/me/rpc/request/<n>. Until somebody answers on .../rpc/response/<n> it polls, stores, and sends
nothing. So a plain broker is not enough: this sits beside it and answers as ThingsBoard does with its rate
limits off. Attributes, which it asks for too, there are none of.
"""

from __future__ import annotations

import json
import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

LIMITS = {"maxPayloadSize": 65536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}}
CALLS, ANSWERS = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
ASKED, TOLD = "v1/devices/me/attributes/request/", "v1/devices/me/attributes/response/"
DEVICE_ASKED, DEVICE_TOLD = "v1/gateway/attributes/request", "v1/gateway/attributes/response"
WAIT_S_MAX = 20.0


class ThingsBoardSide:
    """Answers until stopped, across restarts of the broker."""

    def __init__(self, port: int):
        self.asked = 0  # calls for the session's limits
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="peers-thingsboard-side")
        self._client.reconnect_delay_set(1, 1)

        def subscribe(client: paho.Client) -> None:
            client.subscribe([(CALLS + "+", 1), (ASKED + "+", 1), (DEVICE_ASKED, 1)])

        self._client.on_connect = lambda client, *_: subscribe(client)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._answer
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not subscribed.wait(WAIT_S_MAX):
            raise TimeoutError("the broker did not let ThingsBoard's side subscribe")

    def _answer(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        topic = message.topic
        told = json.loads(message.payload)
        if topic == DEVICE_ASKED:
            answer = {"id": told.get("id"), "device": told.get("device"), "values": {}}
            client.publish(DEVICE_TOLD, json.dumps(answer), 1)
        elif topic.startswith(ASKED):
            client.publish(TOLD + topic.removeprefix(ASKED), "{}", 1)
        elif told.get("method") == "getSessionLimits":
            self.asked += 1
            client.publish(ANSWERS + topic.removeprefix(CALLS), json.dumps(LIMITS), 1)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
