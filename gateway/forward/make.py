"""From a destination's settings to the object that delivers. The only place that knows all kinds."""

from __future__ import annotations

from gateway.config_model import Config, Destination
from gateway.config_model import DirectoryDestination as DirectorySettings
from gateway.config_model import FtpDestination as FtpSettings
from gateway.config_model import FtpsDestination as FtpsSettings
from gateway.config_model import HttpsDestination as HttpsSettings
from gateway.config_model import MqttDestination as MqttSettings
from gateway.config_model import NotifyDestination as NotifySettings
from gateway.config_model import SftpDestination as SftpSettings
from gateway.forward import port
from gateway.reports.alert_text import Channel, Teller


def make(config: Config, settings: Destination) -> port.Destination:
    """The destination for one `[[destination]]`. Nothing is opened before the first delivery."""
    match settings:
        case DirectorySettings():
            from gateway.forward.directory import DirectoryDestination

            return DirectoryDestination(settings.path)
        case SftpSettings():
            import asyncssh  # noqa: F401 - a third of a second that must not fall between two polls

            from gateway.forward.sftp import SftpDestination

            return SftpDestination(settings)
        case FtpSettings() | FtpsSettings():
            from gateway.forward.ftp import FtpDestination

            return FtpDestination(settings)
        case HttpsSettings():
            from gateway.forward.https import HttpsDestination

            return HttpsDestination(settings)
        case MqttSettings():
            import paho.mqtt.client  # noqa: F401 - as above

            from gateway.forward.mqtt import MqttDestination

            station = config.station
            client_id = f"quantrac-{station.province}-{station.facility}-{station.code}-{settings.id}"
            return MqttDestination(settings, client_id)
        case NotifySettings():
            from gateway.forward.notify import NotifyDestination

            station = config.station
            known = {channel.symbol: Channel(channel.unit, channel.decimals) for channel in config.channel}
            return NotifyDestination(settings, Teller(station.code, station.name, known, settings.lang))
    raise AssertionError(f"no destination for {type(settings).__name__}")
