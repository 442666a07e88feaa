"""`quantrac gateway check`: what is wrong with a configuration, and what is allowed but probably not meant.

A fault stops the gateway from starting. A warning does not: it names a trap, with what to do about it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from gateway import config as configuration
from gateway import config_camera
from gateway.check_limits import limits_of
from gateway.clock import Clock
from gateway.config import (
    BusSource,
    Channel,
    Config,
    DeviceSource,
    FileDestination,
    FtpDestination,
    FtpsDestination,
    HttpsDestination,
    MqttDestination,
)
from gateway.config_arithmetic import CorrectedSource, MassSource
from gateway.config_lines import Place, line_of, lines
from gateway.errors import Fault

LOOPBACK = ("127.0.0.1", "::1", "localhost")
FTP_PORT = 21
PLACEHOLDER = "XX"  # how the codes begin that `init` writes

Found = tuple[Place, str, str]


def check(path: Path | str, now_ms: int | None = None) -> tuple[list[Fault], list[Fault]]:
    """(faults, warnings) of the configuration in `path`; warnings only when there are no faults. `now_ms`:
    another moment than this one.
    """
    config, faults = configuration.read(path)
    if config is None:
        return faults, []
    return faults, warnings_of(config, Path(path), Path(path).read_bytes(), now_ms)


def warnings_of(config: Config, path: Path, data: bytes, now_ms: int | None = None) -> list[Fault]:
    """What is allowed in it and probably not meant; `data`: the text that `config` was made of."""
    places = lines(data.decode("utf-8-sig").replace("\r\n", "\n"))
    warnings = []
    now_ms = Clock().now_ms() if now_ms is None else now_ms
    for place, what, instead in _warnings(config, now_ms):
        line = line_of(places, place)
        at = f"{path}:{line}" if line else str(path)
        warnings.append(Fault(f"{at}: {configuration.spoken(place)}", what, instead))
    return warnings


def _warnings(config: Config, now_ms: int) -> Iterator[Found]:
    yield from _station(config)
    yield from _gateway(config)
    files = any(isinstance(destination, FileDestination) for destination in config.destination)
    for index, channel in enumerate(config.channel):
        yield from _channel(("channel", index), channel, config.gateway.window_minutes, files)
        yield from limits_of(("channel", index), channel, now_ms)
    yield from _sources(config)
    for index, camera in enumerate(config.camera):
        yield from config_camera.warnings(index, camera)
    yield from _destinations(config)
    yield from _commanded(config)


def _commanded(config: Config) -> Iterator[Found]:
    sampler, department = config.sampler, config.department
    if sampler.bus is not None and sampler.feedback_input is None and sampler.feedback_channel is None:
        what = "No contact tells whether a bottle was filled."
        yield ("sampler", "feedback_input"), what, "Wire the sampler's contact, and write its discrete input."
    if department.key_file is not None and not department.resend_to:
        what = "The department can ask for a range again, and nothing is sent to it."
        yield ("department", "resend_to"), what, 'Write the ids of its destinations, as ["province"].'


def _station(config: Config) -> Iterator[Found]:
    for name in ("province", "facility", "code"):
        value = getattr(config.station, name)
        if value.startswith(PLACEHOLDER):
            what = f"'{value}' is the placeholder that init wrote."
            yield ("station", name), what, "Write the code exactly as the department assigned it."


def _gateway(config: Config) -> Iterator[Found]:
    gateway = config.gateway
    if gateway.window_minutes != 5:
        what = f"Windows of {gateway.window_minutes} minutes are not the regulation's 5."
        yield ("gateway", "window_minutes"), what, "Write 5, unless the department agreed to another length."
    web = gateway.web
    if web.here_only:
        return
    if web.anybody_looks:
        what = f"The page listens on {web.host}: everyone in that network may look at it without an account."
        yield ("gateway", "web"), what, "Leave anonymous out, unless that is meant."
    if not web.encrypted:
        what = f"The page listens on {web.host} without TLS: passwords can be read on their way."
        yield ("gateway", "web"), what, "Leave tls out: a certificate is made at the start."


def _channel(place: Place, channel: Channel, window_minutes: int, files: bool) -> Iterator[Found]:
    if files and not channel.unit and not channel.unit_when_none:
        yield (
            (*place, "unit"),
            f"{channel.symbol} has no unit: receivers that split at white space lose its fault flag (02).",
            "Ask the department; if it takes a '-', write unit_when_none = \"-\".",
        )
    if unicodedata.normalize("NFC", channel.symbol) != channel.symbol:
        what = (
            f"{channel.symbol} is written with separate accents; the receiver compares symbols byte by byte."
        )
        yield (
            (*place, "symbol"),
            what,
            f'Write the composed form "{unicodedata.normalize("NFC", channel.symbol)}".',
        )
    source = channel.source
    if isinstance(source, BusSource) and source.poll_ms > window_minutes * 60_000:
        what = f"{channel.symbol} is read every {source.poll_ms} ms, less than once in a window."
        yield (*place, "source", "poll_ms"), what, f"Write at most {window_minutes * 60_000} ms."


def _sources(config: Config) -> Iterator[Found]:
    seen: dict[tuple[object, ...], str] = {}
    used: set[tuple[str, str]] = set()
    for index, channel in enumerate(config.channel):
        source = channel.source
        if isinstance(source, CorrectedSource | MassSource):
            continue
        if isinstance(source, DeviceSource):
            key: tuple[object, ...] = ("device", source.device, source.quantity)
            used.add(("device", source.device))
        else:
            key = ("bus", source.bus, source.unit, source.table, source.register)
            used.add(("bus", source.bus))
        if key in seen:
            what = f"{channel.symbol} is read from the same place as {seen[key]}."
            yield ("channel", index, "source"), what, "Correct one of them, unless both are meant."
        seen.setdefault(key, channel.symbol)
    for kind, items in (("device", config.device), ("bus", config.bus)):
        for index, item in enumerate(items):
            if (kind, item.id) not in used:
                yield (
                    (kind, index),
                    f"No channel is read from the {kind} '{item.id}'.",
                    "Add one, or remove it.",
                )


def _destinations(config: Config) -> Iterator[Found]:
    if not config.destination:
        what = "There is no destination: values are measured and kept, but sent to nobody."
        yield ("destination",), what, "Add a [[destination]]."
    limited = [channel for channel in config.channel if channel.limits.figures]
    for index, destination in enumerate(config.destination):
        place = ("destination", index)
        if "alerts" in destination.send and not limited:
            what = "No channel has limits: alerts will tell of interruptions and faults only."
            yield (*place, "send"), what, "Write limits = { max = 75.0 } where the permit has one."
        if not destination.send:
            yield (*place, "send"), f"'{destination.id}' gets nothing.", 'Write send = ["windows"].'
        late_files = destination.delay_min and "windows" in destination.send
        if late_files and isinstance(destination, FileDestination):
            what = f"'{destination.id}' gets its files {destination.delay_min} minutes late."
            yield (*place, "delay_min"), what, "Leave it out: the department's files are due at once."
        if isinstance(destination, HttpsDestination) and not (
            destination.token_file or destination.cert_file
        ):
            what = "Nothing proves to the server that documents are ours."
            yield (
                (*place, "url"),
                what,
                "Write token_file, or cert_file and key_file, unless it asks for none.",
            )
        if isinstance(destination, MqttDestination) and destination.version == "3.1.1":
            what = "MQTT 3.1.1 has no way to say no: what the broker's rules forbid is confirmed and dropped."
            yield (*place, "version"), what, 'Leave it out, unless the broker fails with version "auto".'
        if isinstance(destination, FtpDestination | FtpsDestination):
            yield from _ftp(place, destination)
        if isinstance(destination, MqttDestination) and not destination.tls:
            if destination.password_file is not None:
                what = "The password goes to the broker unencrypted, where anyone on the way can read it."
                yield (*place, "tls"), what, "Write tls = true and ca_file, unless the line is private."
            elif destination.host not in LOOPBACK:
                what = (
                    "Nothing proves that the broker is the right one, and anyone on the way can read along."
                )
                yield (*place, "tls"), what, "Write tls = true and ca_file, unless the line is private."


def _ftp(place: Place, destination: FtpDestination | FtpsDestination) -> Iterator[Found]:
    if isinstance(destination, FtpDestination):
        if destination.host not in LOOPBACK:
            what = "FTP sends password and files unencrypted: anyone on the way can read and change them."
            yield (*place, "kind"), what, 'Write kind = "ftps" or "sftp", unless the department has neither.'
    elif destination.tls == "implicit" and destination.port == FTP_PORT:
        what = f"A server with implicit TLS hardly listens on port {FTP_PORT}."
        yield (*place, "tls"), what, "Write port = 990, or what the department says."
