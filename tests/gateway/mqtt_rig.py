"""Rigs of the mqtt destination beside that of forward_rig: one for each version, and one with TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.config_model import MqttDestination as MqttSettings
from gateway.forward.mqtt import MqttDestination
from tests.gateway.forward_rig import MqttRig
from tests.servers.certificates import Authority
from tests.servers.mosquitto import Mosquitto, Subscriber


class VersionRig(MqttRig):
    """Mosquitto, spoken to in `version`."""

    version = "auto"

    def settings(self, **more: object) -> dict[str, object]:
        given = {"kind": "mqtt", "user": "station", "password_file": str(self.password_file)}
        return self._settings(**{**given, "version": self.version, **more})

    def destination(self, **more: object) -> MqttDestination:
        return MqttDestination(MqttSettings.model_validate(self.settings(**more)), "test")


class Mqtt5Rig(VersionRig):
    version = "5"


class Mqtt311Rig(VersionRig):
    version = "3.1.1"


class MqttTlsRig(VersionRig):
    """TLS with certificates of both sides, and a password."""

    certificates = True

    async def server_up(self) -> None:
        first = not hasattr(self, "server")
        if first:
            self.authority = Authority(self.folder / "brokers")
            self.clients = Authority(self.folder / "clients", "clients")
            self.cert_file, self.key_file = self.clients.issue("station", client=True)
            self.server = Mosquitto(self.folder / "mosquitto", "right", self.authority, self.clients)
        await asyncio.to_thread(self.server.start)
        if first:
            self.subscriber = await asyncio.to_thread(Subscriber, self.server.plain_port, "station", "right")

    def new_identity(self) -> None:
        """The certificate of somebody else's authority, for the same name."""
        self.server.cert_file, self.server.key_file = Authority(self.folder / "other").issue("broker")

    def settings(self, **more: object) -> dict[str, object]:
        own = {"tls": True, "ca_file": str(self.authority.ca_file)}
        own |= {"cert_file": str(self.cert_file), "key_file": str(self.key_file)}
        return super().settings(**{**own, **more})


MQTT_RIGS = {"mqtt-3.1.1": Mqtt311Rig, "mqtt-tls": MqttTlsRig}


def run(rig_class: type[VersionRig], folder: Path, case) -> None:
    """Run `await case(rig)` with the rig's server up."""

    async def main() -> None:
        rig = rig_class(folder)
        await rig.start()
        try:
            await case(rig)
        finally:
            await rig.stop()

    asyncio.run(main())
