"""What thingsboard-gateway needs of ThingsBoard beside a broker: answers to what it asks after connecting.

It connects (MQTT 5, anonymous but for an access token as its user name) and asks for its session's limits on
v1/devices/me/rpc/request/<n>. Until somebody answers on .../rpc/response/<n> it polls, stores, and sends
nothing. So a plain broker is not enough: this sits beside it and answers as ThingsBoard does with its rate
limits off. Attributes, which it asks for too, there are none of.
"""

from __future__ import annotations

import json

import paho.mqtt.client as paho

from tools.bench.broker import subscribed

LIMITS = {"maxPayloadSize": 65536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}}
CALLS, ANSWERS = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
ASKED, TOLD = "v1/devices/me/attributes/request/", "v1/devices/me/attributes/response/"
DEVICE_ASKED, DEVICE_TOLD = "v1/gateway/attributes/request", "v1/gateway/attributes/response"


class ThingsBoardSide:
    """Answers until stopped, across restarts of the broker."""

    def __init__(self, port: int):
        self.asked = 0  # calls for the session's limits
        topics = (CALLS + "+", ASKED + "+", DEVICE_ASKED)
        self._client = subscribed(port, "peers-thingsboard-side", topics, self._answer, kept=False)

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
