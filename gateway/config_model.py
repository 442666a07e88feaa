"""Every setting of the gateway: name, type, default, unit, limits and a sentence.

Rule 1: a setting that is not on this page does not exist; an unknown key is an error.
Rule 2: nothing is guessed from a wrong type: "5" is not 5.
Rule 3: an attribute is called what the TOML key is called; arrays of tables keep their singular names.
Rule 4: a secret is never a value here. A setting whose name ends in _file names the file that holds it: a
        path, or "credential:NAME" for one that systemd hands to the service.
The sentences for people are made in config_words.py, checks across tables in config_cross.py.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from gateway import config_links as links
from gateway.config_types import (
    BusLink,
    Code,
    Coordinates,
    DeviceLink,
    FilePath,
    FolderPath,
    Host,
    Id,
    Layout,
    PostUrl,
    Range,
    Send,
    Symbol,
    Symbols,
    Url,
    Word,
)
from gateway.reports.layout import PRESETS

RETENTION_DAYS_MIN = 60  # Thông tư 10/2021, Điều 39: the logger keeps at least the last 60 days
PRINTABLE = r"^\P{C}*$"  # no control characters


def setting(
    description: str, default: Any = ..., *, unit: str = "", example: Any = None, **limits: Any
) -> Any:
    """One setting; `unit` is shown behind its limits, `example` when it is missing."""
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    examples = None if example is None else [example]
    return Field(default, description=description, examples=examples, json_schema_extra=extra, **limits)


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


# Station and gateway


class Station(Section):
    """`[station]`: who this station is to the department."""

    province: Code = setting("Province code, exactly as the department assigned it.", example="LCa")
    facility: Code = setting("Facility code, exactly as the department assigned it.", example="DEMO")
    code: Code = setting("Station code, exactly as the department assigned it.", example="NUO001")
    name: str = setting(
        "The station's name for people.", example="Trạm", min_length=1, max_length=200, pattern=PRINTABLE
    )
    kind: Literal["wastewater", "stack", "surface-water", "ambient-air", "groundwater", "water-level"] = (
        setting("What is monitored.", example="wastewater")
    )
    timezone: Literal["Asia/Ho_Chi_Minh"] = setting(
        "The grid of windows and files: GMT+7 by regulation.", "Asia/Ho_Chi_Minh"
    )
    coordinates: Coordinates | None = setting(
        "Where it stands, for maps: latitude and longitude (WGS 84).",
        None,
        unit="degrees",
        example=[22.4856, 103.9707],
    )


class Web(Section):
    """`gateway.web`: the local page."""

    host: Host = setting("Address the page listens on; 127.0.0.1 keeps it on this machine.", "127.0.0.1")
    port: int = setting("Port of the page.", 8080, unit="(port)", ge=1, le=65535)


class Gateway(Section):
    """`[gateway]`: how this gateway works."""

    state_dir: FolderPath = setting(
        "Folder of the journal and keys.", "gateway", example="gateway", validate_default=True
    )
    window_minutes: Literal[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60] = setting(
        "Length of a window; it divides an hour. 5 by regulation.", 5, unit="minutes"
    )
    valid_share_min: float = setting(
        "Share of a window's expected readings that must be OK for status 00.",
        0.75,
        unit="(a share)",
        ge=0,
        le=1,
    )
    retention_days: int = setting(
        "How long readings are kept; never below the 60 days of the regulation.",
        400,
        unit="days",
        ge=RETENTION_DAYS_MIN,
        le=36500,
    )
    grace_s: int = setting(
        "How long a window waits for readings still under way from a device.",
        120,
        unit="seconds",
        ge=0,
        le=3600,
    )
    label: Literal["end", "start"] = setting("Which end of the window its stamp names.", "end")
    web: Web = setting("The local page.", Web())


class Public(Section):
    """`[public]`: what anybody may see at /public.json and /public.csv, and where `send` says "public"."""

    channels: Symbols = setting(
        "Symbols of the channels that may be shown, as agreed with the department; none by default.",
        (),
        example=["COD", "pH"],
    )
    delay_min: int = setting(
        "How long ago a window must have ended to be shown.", 0, unit="minutes", ge=0, le=525_600
    )
    title: str = setting(
        "Heading for people; empty for the station's name.", "", max_length=200, pattern=PRINTABLE
    )


# Where values come from


class Device(Section):
    """`[[device]]`: a station device with our firmware."""

    id: Id = setting("The device's name in its own station.json.", example="st-01")
    link: DeviceLink = setting("How it is reached.", example=links.DEVICE_EXAMPLE)
    key_file: FilePath = setting(
        "File with the link key, 32 bytes in hex.", example="gateway/keys/st-01.link"
    )


class Bus(Section):
    """`[[bus]]`: instruments wired to the gateway itself."""

    id: Id = setting("The line's name, for channels to refer to.", example="tank")
    link: BusLink = setting("How it is reached.", example=links.BUS_EXAMPLE)
    timeout_ms: int = setting("How long an instrument may take to answer.", 500, unit="ms", ge=10, le=60_000)
    retries: int = setting("How often a request is repeated within a poll.", 2, unit="times", ge=0, le=10)
    gap_registers: int = setting(
        "Unused registers read along to merge two requests.", 8, unit="registers", ge=0, le=124
    )


class DeviceSource(Section):
    """`source = { device, quantity }`."""

    device: Id = setting("The id of a [[device]].", example="st-01")
    quantity: Id = setting("The quantity's name on that device.", example="cod")


with warnings.catch_warnings():
    # "register" is what everyone calls it; pydantic only fears for ABCMeta.register, which no model needs.
    warnings.filterwarnings("ignore", message='Field name "register"')

    class BusSource(Section):
        """`source = { bus, unit, table, register, type, ... }`."""

        bus: Id = setting("The id of a [[bus]].", example="tank")
        unit: int = setting("The instrument's Modbus unit.", ge=0, le=255, example=1, unit="(Modbus unit)")
        table: Literal["coil", "discrete", "input", "holding"] = setting("The Modbus table.", "holding")
        register: int = setting(
            "Address as sent on the wire (40001 printed is 0).", ge=0, le=65535, example=0, unit="(address)"
        )
        type: Literal["int16", "uint16", "int32", "uint32", "float32", "float64"] = setting("Type.", "uint16")
        word_order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = setting("Order of bytes and words.", "ABCD")
        scale: float = setting(
            "The register's number is multiplied by this.", 1.0, unit="(factor)", ge=-1e9, le=1e9
        )
        offset: float = setting("Then this is added.", 0.0, unit="(in the channel's unit)", ge=-1e9, le=1e9)
        poll_ms: int = setting("Time between two readings.", 1000, unit="ms", ge=50, le=3_600_000)
        merge: bool = setting("False for an instrument that answers single values only.", True)
        phase_ms: int = setting("Shift of the poll on the clock's grid.", 0, unit="ms", ge=0, le=3_599_999)


def _source_tag(value: Any) -> str | None:
    if isinstance(value, dict) and ("device" in value) != ("bus" in value):
        return "device" if "device" in value else "bus"
    return None


Source = Annotated[
    Annotated[DeviceSource, Tag("device")] | Annotated[BusSource, Tag("bus")],
    Discriminator(
        _source_tag,
        custom_error_type="said",
        custom_error_message="{what}",
        custom_error_context={
            "what": "A source names either a device or a bus.",
            "instead": 'Write { device = "st-01", quantity = "cod" } or { bus = "tank", ... }.',
        },
    ),
]


class Limits(Section):
    """`limits = { max, min, basis }`: what the permit allows."""

    max: float | None = setting(
        "Highest value allowed.", None, unit="(in the channel's unit)", ge=-1e12, le=1e12
    )
    min: float | None = setting(
        "Lowest value allowed.", None, unit="(in the channel's unit)", ge=-1e12, le=1e12
    )
    basis: str = setting(
        "The rule it comes from.", "", example="QCVN 40:2011 A", max_length=200, pattern=PRINTABLE
    )


class Channel(Section):
    """`[[channel]]`: one line of the provincial file."""

    symbol: Symbol = setting("The parameter as it stands in the provincial file.", example="COD")
    unit: Word = setting("Its unit, empty for none.", "", example="mg/l")
    decimals: int = setting("Decimals in the provincial file.", 4, unit="digits", ge=0, le=9)
    source: Source = setting("Where it is read.", example='{ device = "st-01", quantity = "cod" }')
    limits: Limits = setting("What the permit allows.", Limits())
    plausible: Range | None = setting(
        "What the instrument can show; beyond it a reading is OUT_OF_RANGE.",
        None,
        unit="(in the channel's unit)",
    )
    unit_when_none: Word = setting(
        "What the file says where the unit is empty. '-' keeps a fault flag visible to the receiver.", ""
    )


# Where documents go


class DestinationBase(Section):
    id: Id = setting("The destination's name in reports.", example="province")
    send: Send = setting("What it gets.", ("windows",), example=["windows"])
    delay_min: int = setting(
        "How old something is before it goes there; for public feeds.", 0, unit="minutes", ge=0, le=525_600
    )


class FileDestination(DestinationBase):
    layout: Layout = setting("Folder template, or a preset's name.", PRESETS["default"])


class ServerSettings(Section):
    connect_timeout_s: float = setting("How long connecting may take.", 10.0, unit="seconds", ge=0.1, le=300)
    timeout_s: float = setting(
        "How long the server may take to confirm.", 30.0, unit="seconds", ge=0.1, le=600
    )
    keepalive_s: int = setting(
        "Silence after which the connection is tested.", 15, unit="seconds", ge=1, le=3600
    )


class DirectoryDestination(FileDestination):
    """`kind = "directory"`: a local folder with the rules of the others."""

    kind: Literal["directory"] = setting("A local folder.")
    path: FolderPath = setting("The folder; made when missing.", example="sent")


class SftpDestination(FileDestination, ServerSettings):
    """`kind = "sftp"`: the department's SFTP server."""

    kind: Literal["sftp"] = setting("An SFTP server.")
    host: Host = setting("Name or address of the server.", example="10.0.0.5")
    port: int = setting("Its port.", 22, unit="(port)", ge=1, le=65535)
    user: str = setting("User name there.", example="station", min_length=1, max_length=64, pattern=PRINTABLE)
    password_file: FilePath | None = setting(
        "File with the password.", None, example="gateway/keys/p.password"
    )
    key_file: FilePath | None = setting("File with a private SSH key.", None, example="gateway/keys/p.key")
    host_key_file: FilePath = setting(
        "File with the server's public host key: without it anyone could pose as the department.",
        example="gateway/keys/province.hostkey",
    )
    path: str = setting(
        "Folder on the server, before the layout.", "", example="upload", max_length=200, pattern=PRINTABLE
    )


class TlsClient(Section):
    """Who we are to a server that speaks TLS, and whom it has to be."""

    ca_file: FilePath | None = setting("Certificates that may have signed the server's (PEM).", None)
    cert_file: FilePath | None = setting("Our certificate (PEM), where the server asks for one.", None)
    key_file: FilePath | None = setting("The private key to cert_file (PEM), without a password.", None)


class HttpsDestination(DestinationBase, ServerSettings, TlsClient):
    """`kind = "https"`: a server that takes each document as one POST."""

    kind: Literal["https"] = setting("An HTTPS server.")
    url: PostUrl = setting("Where documents are posted.", example="https://data.example.org/v1/documents")
    token_file: FilePath | None = setting(
        "File with a token (Authorization: Bearer).", None, example="gateway/keys/national.token"
    )


class FtpServer(FileDestination, ServerSettings):
    """What `kind = "ftp"` and `kind = "ftps"` have in common."""

    host: Host = setting("Name or address of the server.", example="10.0.0.5")
    port: int = setting("Its port.", 21, unit="(port)", ge=1, le=65535)
    user: str = setting("User name there.", example="station", min_length=1, max_length=64, pattern=PRINTABLE)
    password_file: FilePath = setting("File with the password.", example="gateway/keys/p.password")
    path: str = setting(
        "Folder on the server, before the layout.", "", example="upload", max_length=200, pattern=PRINTABLE
    )
    passive: bool = setting("We open the data connections; false lets the server open them to us.", True)


class FtpDestination(FtpServer):
    """`kind = "ftp"`: the department's FTP server, nothing encrypted."""

    kind: Literal["ftp"] = setting("An FTP server.")


class FtpsDestination(FtpServer, TlsClient):
    """`kind = "ftps"`: FTP over TLS, its certificate checked, data encrypted as well."""

    kind: Literal["ftps"] = setting("An FTP server with TLS.")
    tls: Literal["explicit", "implicit"] = setting(
        "explicit begins on the usual port (21), implicit has a port of its own (990).", "explicit"
    )
    ca_file: FilePath | None = setting(
        "Certificates that may have signed the server's, or its own (PEM); without it, those of the system.",
        None,
        example="gateway/keys/province.ca",
    )


class MqttDestination(DestinationBase, ServerSettings, TlsClient):
    """`kind = "mqtt"`: a broker, QoS 1."""

    kind: Literal["mqtt"] = setting("An MQTT broker.")
    host: Host = setting("Name or address of the broker.", example="10.0.0.6")
    port: int = setting("Its port; 8883 is usual with TLS.", 1883, unit="(port)", ge=1, le=65535)
    user: str = setting(
        "User name there, empty for none.", "", example="station", max_length=64, pattern=PRINTABLE
    )
    password_file: FilePath | None = setting(
        "File with the password.", None, example="gateway/keys/n.password"
    )
    tls: bool = setting("Encrypt, and check the broker's certificate.", False)
    version: Literal["auto", "5", "3.1.1"] = setting(
        'Of MQTT; "auto" is 5, and 3.1.1 with a broker that does not know 5.', "auto"
    )
    client_id: str = setting(
        "Client identifier; empty makes one of the codes.", "", example="st", max_length=64, pattern=PRINTABLE
    )
    topic_prefix: str = setting(
        "First level of every topic.", "quantrac", min_length=1, max_length=100, pattern=PRINTABLE
    )
    in_flight_max: int = setting("Messages unconfirmed at once.", 64, unit="messages", ge=1, le=1000)


DESTINATION_KINDS = {
    "sftp": SftpDestination,
    "ftp": FtpDestination,
    "ftps": FtpsDestination,
    "mqtt": MqttDestination,
    "https": HttpsDestination,
    "directory": DirectoryDestination,
}
Destination = (
    SftpDestination
    | FtpDestination
    | FtpsDestination
    | MqttDestination
    | HttpsDestination
    | DirectoryDestination
)


class Witness(Section):
    """`[[witness]]`: someone outside who keeps our checkpoints."""

    url: Url = setting("Where it answers, without /add-checkpoint.", example="http://127.0.0.1:8099")
    vkey_file: FilePath = setting(
        "File with its verifier key, one line; the witness's name is in it.",
        example="gateway/keys/witness.vkey",
    )


SINGLE = {"station": Station, "gateway": Gateway, "public": Public}
ARRAYS = {"device": Device, "bus": Bus, "channel": Channel, "destination": Destination, "witness": Witness}


class Config(Section):
    """A whole configuration, checked."""

    station: Station
    gateway: Gateway
    public: Public = Public()
    device: tuple[Device, ...] = ()
    bus: tuple[Bus, ...] = ()
    channel: tuple[Channel, ...] = ()
    destination: tuple[Destination, ...] = ()
    witness: tuple[Witness, ...] = ()
    path: Path  # the file it was read from
    fingerprint: str  # sha256 of that file's bytes, hex
