"""What no single table of the configuration can know: that names are unique, that what is named exists,
that two things do not want the same port, and that the files with secrets are there and private.

`across(table, parts, base)` yields (place, what, instead). `table` is the raw TOML (names and files are
checked even where a table has other faults); `parts` holds the tables that are good, by index; relative paths
start at `base`.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from gateway import config_camera
from gateway.config_derived import faults
from gateway.config_keys import witness_key
from gateway.config_lines import Place
from gateway.config_links import LinkFault, ModbusRtu, SerialLink, TcpListen, TlsListen
from gateway.config_model import (
    BusSource,
    FileDestination,
    MqttDestination,
    NotifyDestination,
    SftpDestination,
    TlsClient,
)
from gateway.config_notify import parse
from gateway.config_types import credential, is_credential
from protocol.merkle import EvidenceError

Found = tuple[Place, str, str]
_NAMES = (("device", "id"), ("bus", "id"), ("destination", "id"), ("channel", "symbol"), ("camera", "id"))
WORDS = {"int32": 2, "uint32": 2, "float32": 2, "float64": 4}  # registers of a type, 1 for the others
MESSAGES_ONLY = {"readings": "Readings have", "status": "A status has"}  # what makes no files: documents.py
SECRET_BYTES_MAX = 64_000


def across(table: dict[str, Any], parts: dict[str, Any], base: Path) -> Iterator[Found]:
    """Every fault between tables and in the files they name."""
    yield from _unique(table)
    yield from _sources(table, parts["channel"])
    yield from faults(parts["channel"], {str(item.get("symbol")) for _, item in _tables(table, "channel")})
    yield from _shared(parts)
    yield from _public(table, parts)
    yield from _fees(table, parts["fees"])
    yield from _files(table, base)
    yield from _web(table, parts["gateway"], base)
    for index, device in parts["device"].items():
        if isinstance(device.link, TlsListen):
            yield from _tls(("device", index, "link"), device.link)
    for index, destination in parts["destination"].items():
        yield from _destination(("destination", index), destination)
    for index, camera in parts["camera"].items():
        yield from config_camera.faults(index, camera)
        if camera.ca_file and camera.ca_file.is_file():
            yield from _authority(("camera", index, "ca_file"), camera.ca_file)
    if not table.get("channel"):
        yield ("channel",), "There is no channel, so there is nothing to measure.", "Add a [[channel]]."


def _tables(table: dict[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    items = table.get(key)
    return (
        [(i, item) for i, item in enumerate(items) if isinstance(item, dict)]
        if isinstance(items, list)
        else []
    )


def _unique(table: dict[str, Any]) -> Iterator[Found]:
    for key, name in _NAMES:
        seen: dict[str, int] = {}
        for index, item in _tables(table, key):
            value = item.get(name)
            if not isinstance(value, str):
                continue
            if value in seen:
                what = f"'{value}' is already the {name} of {key}[{seen[value]}]."
                yield (key, index, name), what, f"Give each {key} its own {name}."
            seen.setdefault(value, index)


def _sources(table: dict[str, Any], channels: dict[int, Any]) -> Iterator[Found]:
    known = {
        key: {item["id"] for _, item in _tables(table, key) if isinstance(item.get("id"), str)}
        for key in ("device", "bus")
    }
    for index, item in _tables(table, "channel"):
        source = item.get("source")
        for key in ("device", "bus"):
            name = source.get(key) if isinstance(source, dict) else None
            if isinstance(name, str) and name not in known[key]:
                there = ", ".join(sorted(known[key])) or "none"
                instead = f'Add a [[{key}]] with id = "{name}", or use one that exists: {there}.'
                yield ("channel", index, "source", key), f"There is no {key} '{name}'.", instead
    for index, channel in channels.items():
        if isinstance(channel.source, BusSource):
            yield from _registers(("channel", index, "source"), channel.source)
        limits = channel.limits
        if limits.max is not None and limits.min is not None and limits.min >= limits.max:
            what = f"The lower limit {limits.min:g} is not below the upper limit {limits.max:g}."
            yield ("channel", index, "limits"), what, "Write min smaller than max."
        if channel.calibration.span == channel.calibration.zero:
            what = f"Zero and span of its calibrations are both {channel.calibration.zero:g}."
            yield ("channel", index, "calibration"), what, "Write two that differ, as zero = 7.0, span = 4.0."


def _registers(place: Place, source: BusSource) -> Iterator[Found]:
    bits = source.table in ("coil", "discrete")
    words = WORDS.get(source.type, 1)
    if bits and source.type != "uint16":
        yield (*place, "type"), f"A {source.table} is one bit, not a {source.type}.", "Leave type out."
    elif source.register + words > 65536:
        what = f"A {source.type} at register {source.register} ends behind the last register, 65535."
        yield (*place, "register"), what, f"Write a register from 0 to {65536 - words}."
    if source.phase_ms >= source.poll_ms:
        what = f"phase_ms {source.phase_ms} is not below poll_ms {source.poll_ms}."
        yield (*place, "phase_ms"), what, f"Write a number from 0 to {source.poll_ms - 1} ms."


def _shared(parts: dict[str, Any]) -> Iterator[Found]:
    """Two owners of one serial port or one listening port."""
    owners: dict[tuple[str, str], str] = {}
    for key in ("device", "bus"):
        for index, item in parts[key].items():
            link = item.link
            match link:
                case SerialLink() | ModbusRtu():
                    resource = ("serial port", link.path)
                case TcpListen() | TlsListen():
                    resource = ("address", f"{link.host}:{link.port}")
                case _:
                    continue  # several lines may lead to one Modbus TCP server
            if resource in owners:
                what = f"The {resource[0]} {resource[1]} belongs to {owners[resource]} already."
                yield (key, index, "link"), what, "Give each its own."
            owners.setdefault(resource, f"{key}[{index}]")


def _public(table: dict[str, Any], parts: dict[str, Any]) -> Iterator[Found]:
    """What is public is there, and goes nowhere earlier than it was agreed."""
    public = parts["public"]
    if public is None:
        return
    known = [item["symbol"] for _, item in _tables(table, "channel") if isinstance(item.get("symbol"), str)]
    for symbol in public.channels:
        if symbol not in known:
            what = f"There is no channel '{symbol}' to be shown."
            yield ("public", "channels"), what, f"Write symbols of channels: {', '.join(known) or 'none'}."
    for index, destination in parts["destination"].items():
        if "public" not in destination.send:
            continue
        if not public.channels:
            what = f"'{destination.id}' gets public data, and no channel is public."
            instead = 'Write [public] with channels = ["COD"], those that were agreed.'
            yield ("destination", index, "send"), what, instead
        elif destination.delay_min < public.delay_min:
            what = f"'{destination.id}' would get public data before they are {public.delay_min} minutes old."
            yield ("destination", index, "delay_min"), what, f"Write delay_min = {public.delay_min} here too."


def _fees(table: dict[str, Any], fees: Any) -> Iterator[Found]:
    """What fees are computed from is measured, and by a flow that is named."""
    if fees is None:
        return
    known = [item["symbol"] for _, item in _tables(table, "channel") if isinstance(item.get("symbol"), str)]
    there = f"Write symbols of channels: {', '.join(known) or 'none'}."
    if fees.flow is not None and fees.flow not in known:
        yield ("fees", "flow"), f"There is no channel '{fees.flow}' that measures the flow.", there
    for symbol in fees.rates:
        if symbol not in known:
            yield ("fees", "rates"), f"There is no channel '{symbol}' to compute a fee from.", there
    if fees.rates and fees.flow is None:
        what = "Rates give no fee without the flow."
        yield ("fees", "rates"), what, 'Write flow = "Flow", the symbol of its channel.'


def _destination(place: Place, destination: Any) -> Iterator[Found]:
    for kind, what in MESSAGES_ONLY.items():
        if isinstance(destination, FileDestination) and kind in destination.send:
            instead = f'Write send = ["windows"]; "{kind}" is for mqtt and https destinations.'
            yield (*place, "send"), f"{what} no file format.", instead
    if isinstance(destination, SftpDestination):
        keys = [name for name in ("password_file", "key_file") if getattr(destination, name) is not None]
        if len(keys) != 1:
            both = "both a password_file and a key_file" if keys else "neither a password_file nor a key_file"
            what = f"There is {both}."
            yield (*place, "password_file"), what, 'Write one of them, as "gateway/keys/province.password".'
    if isinstance(destination, NotifyDestination):
        for kind in destination.send:
            if kind != "alerts":
                what = f"People are told of alerts, not of {kind}."
                yield (*place, "send"), what, 'Write send = ["alerts"]; other kinds take the rest.'
        if destination.ca_file and destination.ca_file.is_file():
            yield from _authority((*place, "ca_file"), destination.ca_file)
    if isinstance(destination, MqttDestination):
        if bool(destination.user) != bool(destination.password_file):
            what = "user and password_file belong together."
            yield (*place, "user"), what, "Write both, or none for a broker without log-in."
        for name in ("ca_file", "cert_file"):
            if getattr(destination, name) and not destination.tls:
                yield (*place, name), f"{name} has no meaning without TLS.", "Write tls = true as well."
        if re.search(r"[+#\x00-\x1f]|^/|/$", destination.topic_prefix):
            what = f"'{destination.topic_prefix}' cannot begin a topic."
            yield (*place, "topic_prefix"), what, 'Write it without +, # and outer slashes, as "quantrac".'
    if isinstance(destination, TlsClient):
        yield from _tls_client(place, destination)


def _tls_client(place: Place, settings: TlsClient) -> Iterator[Found]:
    """Certificate and key are both there and belong together. That a file is missing says _files()."""
    cert, key = settings.cert_file, settings.key_file
    if bool(cert) != bool(key):
        yield (*place, "cert_file"), "cert_file and key_file belong together.", "Write both, or none."
    if cert and key and cert.is_file() and key.is_file():
        yield from _pair((*place, "cert_file"), cert, key)
    if settings.ca_file and settings.ca_file.is_file():
        yield from _authority((*place, "ca_file"), settings.ca_file)


def _web(table: dict[str, Any], gateway: Any, base: Path) -> Iterator[Found]:
    """The page's certificate and its key, where they are given."""
    place = ("gateway", "web")
    given = table.get("gateway")
    web = given.get("web") if isinstance(given, dict) else None
    told: dict[str, Any] = web if isinstance(web, dict) else {}
    for name, look in (("cert_file", _file), ("key_file", _secret)):
        path = _path(told.get(name), base)
        if path is not None:
            yield from look((*place, name), path)
    if gateway is None:
        return
    cert, key = gateway.web.cert_file, gateway.web.key_file
    if bool(cert) != bool(key):
        yield (*place, "cert_file"), "cert_file and key_file belong together.", "Write both, or none."
    elif cert and gateway.web.tls is False:
        yield (*place, "tls"), "There is a certificate, and tls = false.", "Leave one of them out."
    if cert and key and cert.is_file() and key.is_file():
        yield from _pair((*place, "cert_file"), cert, key)


def _authority(place: Place, path: Path) -> Iterator[Found]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        what = f"{path} holds no certificates."
        yield place, what, "Put the PEM file there that the server's people gave you."


def _files(table: dict[str, Any], base: Path) -> Iterator[Found]:
    checks = {
        ("device", "key_file"): _link_key,
        ("destination", "key_file"): _secret,
        ("destination", "password_file"): _secret,
        ("destination", "token_file"): _secret,
        ("destination", "url_file"): _address,
        ("destination", "host_key_file"): _file,
        ("destination", "ca_file"): _file,
        ("destination", "cert_file"): _file,
        ("camera", "password_file"): _secret,
        ("camera", "ca_file"): _file,
    }
    for (key, name), look in checks.items():
        for index, item in _tables(table, key):
            path = _path(item.get(name), base)
            if path is not None:
                yield from look((key, index, name), path)
    yield from _witnesses(table, base)


def _path(value: Any, base: Path) -> Path | None:
    """Where a file is, None when the model has said already that this cannot be."""
    try:
        if is_credential(value):
            return credential(value)
    except PydanticCustomError:
        return None
    return base / value if isinstance(value, str) and value and value.isprintable() else None


def _witnesses(table: dict[str, Any], base: Path) -> Iterator[Found]:
    """Each has a vkey of its own: one that signs twice is one witness."""
    seen: dict[bytes | str, int] = {}
    for index, item in _tables(table, "witness"):
        path = _path(item.get("vkey_file"), base)
        if path is None:
            continue
        place = ("witness", index, "vkey_file")
        what, content = _content(path)
        if what:
            yield (
                place,
                what,
                "Put the file there that the witness's operator gave you, or correct vkey_file.",
            )
            continue
        try:
            verifier = witness_key(content)
        except EvidenceError as error:
            instead = "Ask the witness's operator for its vkey of type 4 (Ed25519), one line."
            yield place, f"{path} holds no vkey of a witness: {error}.", instead
            continue
        known = seen.get(verifier.public, seen.get(verifier.name))
        if known is not None:
            yield place, f"This is witness[{known}] already, by key or name.", "Name each one once."
        seen |= {verifier.public: index, verifier.name: index}


def _file(place: Place, path: Path) -> Iterator[Found]:
    """A file that must be there, be readable and hold something."""
    what, _ = _content(path)
    if what:
        yield place, what, f"Put the file there, or correct {place[-1]}."


def _secret(place: Place, path: Path) -> Iterator[Found]:
    """A file as above that nobody else may read. Those of systemd stand in a folder that only the service may
    enter; their mode shows the mask of an access list.
    """
    what, _ = _content(path)
    if what:
        yield place, what, f"Put the file there (mode 0600), or correct {place[-1]}."
    elif path.parent == Path(os.environ.get("CREDENTIALS_DIRECTORY", "")):
        return
    elif stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        yield place, f"The secret in {path} can be read by others.", f"Run: chmod 600 '{path}'"


def _address(place: Place, path: Path) -> Iterator[Found]:
    """A secret as above, whose first line says whom to notify; it is not shown."""
    yield from _secret(place, path)
    what, content = _content(path)
    if not what:
        try:
            parse(content.decode().split("\n", 1)[0].rstrip("\r"))
        except UnicodeDecodeError:
            yield place, f"{path} holds no text.", "Write the address into its first line."
        except LinkFault as fault:
            yield place, f"The address in {path} cannot be used. {fault.what}", fault.instead


def _link_key(place: Place, path: Path) -> Iterator[Found]:
    yield from _secret(place, path)
    what, content = _content(path)
    if not what and not re.fullmatch(rb"[0-9a-fA-F]{64}\s*", content):
        instead = "Make one with: openssl rand -hex 32, and give the device the same."
        yield place, f"{path} does not hold 32 bytes in hex (64 digits).", instead


def _tls(place: Place, link: TlsListen) -> Iterator[Found]:
    """The certificate and the key are there, the key is private, and they belong together."""
    for name, path in (("cert", link.cert), ("key", link.key)):
        if what := _content(path)[0]:
            yield place, what, f"Put the file there, or correct the {name} of this link."
            return
    yield from _secret(place, link.key)
    yield from _pair(place, link.cert, link.key)


def _pair(place: Place, cert: Path, key: Path) -> Iterator[Found]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, lambda: b"")
    except (OSError, ValueError):
        names = ("cert_file", "key_file") if place[-1] == "cert_file" else ("cert", "key")
        instead = (
            f"Write PEM files: the certificate first in {names[0]}, "
            f"its private key without a password in {names[1]}."
        )
        yield place, f"{cert} and {key} are not a certificate and its key.", instead


def named_file(place: Place, path: Path, secret: bool = False) -> Iterator[Found]:
    """What is wrong with a file that a setting names; one with a secret is nobody else's to read."""
    return _secret(place, path) if secret else _file(place, path)


def content(path: Path) -> bytes:
    """What a file holds; b"" for one that named_file() has something to say about."""
    return _content(path)[1]


def _content(path: Path) -> tuple[str, bytes]:
    """(what is wrong or "", the bytes)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return f"{path} is not a file.", b""
        with open(path, "rb") as file:
            data = file.read(SECRET_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not a usable path'}.", b""
    if not data.strip():
        return f"{path} is empty.", b""
    if len(data) > SECRET_BYTES_MAX:
        return f"{path} is too large to be what it should be.", b""
    return "", data
