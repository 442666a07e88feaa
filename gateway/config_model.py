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

from gateway import config_links as links
from gateway.config_arithmetic import CHANNEL_UNIT, ChecksSection, Contacts, CorrectedSource, MassSource
from gateway.config_base import PRINTABLE, Discriminator, Section, Tag, setting
from gateway.config_calibration import Calibration
from gateway.config_camera import Camera
from gateway.config_department import Department, Sampler
from gateway.config_permit import AlertSettings, LimitFiles, Limits
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
    Rates,
    RateTable,
    Rules,
    Send,
    States,
    Symbol,
    Symbols,
    Url,
    Word,
)
from gateway.config_web import Web
from gateway.reports.layout import PRESETS

RETENTION_DAYS_MIN = 60  # Thông tư 10/2021, Điều 39: the logger keeps at least the last 60 days


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


class Fees(Section):
    """`[fees]`: what the quarterly declaration of the fee on wastewater or emissions is computed from."""

    flow: Symbol | None = setting(
        "Symbol of the channel that measures what is discharged: a flow, or a meter's increase.",
        None,
        example="Flow",
    )
    monitored: bool = setting(
        "The fee follows what is measured; false where the decree takes its flat figure, without monitoring.",
        True,
    )
    rates: Rates = setting(
        "What a kilogram costs, by symbol of a channel, as the decree gives it; none is built in.",
        RateTable(),
        unit="đ/kg",
        example="{ COD = 2000, TSS = 2400 }",
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


SOURCE_KEYS = ("device", "bus", "corrects", "mass_of")
"""By which a source is known for what it is: exactly one of them stands in it."""


def _source_tag(value: Any) -> str | None:
    keys = [key for key in SOURCE_KEYS if key in value] if isinstance(value, dict) else []
    return keys[0] if len(keys) == 1 else None


Source = Annotated[
    Annotated[DeviceSource, Tag("device")]
    | Annotated[BusSource, Tag("bus")]
    | Annotated[CorrectedSource, Tag("corrects")]
    | Annotated[MassSource, Tag("mass_of")],
    Discriminator(
        _source_tag,
        custom_error_type="said",
        custom_error_message="{what}",
        custom_error_context={
            "what": "A source names either a device or a bus. (Or the channel that this one is made of.)",
            "instead": 'Write { device = "st-01", quantity = "cod" } or { bus = "tank", ... }; '
            'or { corrects = "SO2m", ... }, { mass_of = "SO2", flow = "Flow" }.',
        },
    ),
]


class Qal3(Section):
    """`qal3 = { s_zero, s_span, ... }`: how the zero and span checks of its instrument are judged."""

    s_zero: float | None = setting(
        "Standard deviation at zero, s_AMS, of its certificate (QAL1).",
        None,
        unit="(in the channel's unit)",
        ge=1e-12,
        le=1e12,
    )
    s_span: float | None = setting(
        "Standard deviation at span, s_AMS, of its certificate (QAL1).",
        None,
        unit="(in the channel's unit)",
        ge=1e-12,
        le=1e12,
    )
    hx: float = setting("Sum beyond which a drift is found.", 2.85, unit="(x s)", ge=0.01, le=1000)
    kx: float = setting("What each check takes off a drift's sum.", 0.501, unit="(x s)", ge=0, le=1000)
    hs: float = setting("Sum beyond which precision is lost.", 6.90, unit="(x s²)", ge=0.01, le=1000)
    ks: float = setting("What each check takes off precision's sum.", 1.85, unit="(x s²)", ge=0, le=1000)


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
    average: Literal["mean", "vector", "total", "last"] = setting(
        "What a window's value is: the mean; the mean direction (degrees); a meter's increase; the newest "
        "state.",
        "mean",
    )
    rollover: float | None = setting(
        "What a meter counts up to before it begins again at 0.", None, unit=CHANNEL_UNIT, ge=1e-12, le=1e15
    )
    update_s: int | None = setting(
        "How often the instrument has a new value, where that is less often than it is read.",
        None,
        unit="seconds",
        ge=1,
        le=86_400,
    )
    checks: ChecksSection = setting("Rules by which its readings are flagged.", ChecksSection())
    busy: Contacts = setting("Contacts that say that it is calibrated or maintained.", Contacts())
    contact: Literal["", "door", "mains"] = setting(
        "What its instrument's contact says while it is 1: the door is open, the mains are lost.", ""
    )
    calibrate_days: int | None = setting(
        "How often it has to be calibrated; an alert when it was not.", None, unit="days", ge=1, le=3650
    )
    calibration: Calibration = setting("What its calibrations are held against.", Calibration())
    sent: bool = setting("Whether it stands in the provincial file.", True)
    qal3: Qal3 = setting("How its zero and span checks are judged (EN 14181).", Qal3())


# Where documents go


class DestinationBase(Section):
    id: Id = setting("The destination's name in reports.", example="province")
    send: Send = setting("What it gets.", ("windows",), example=["windows"])
    delay_min: int = setting(
        "How old something is before it goes there; for public feeds.", 0, unit="minutes", ge=0, le=525_600
    )


class FileDestination(DestinationBase):
    layout: Layout = setting("Folder template, or a preset's name.", PRESETS["default"])


class ServerTimes(Section):
    connect_timeout_s: float = setting("How long connecting may take.", 10.0, unit="seconds", ge=0.1, le=300)
    timeout_s: float = setting(
        "How long the server may take to confirm.", 30.0, unit="seconds", ge=0.1, le=600
    )


class ServerSettings(ServerTimes):
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


class NotifyDestination(DestinationBase, ServerTimes):
    """`kind = "notify"`: people, by e-mail or through a webhook."""

    kind: Literal["notify"] = setting("People.")
    send: Send = setting("What they are told: alerts.", ("alerts",), example=["alerts"])
    url_file: FilePath = setting(
        "File with the address: mailtos://, jsons:// or forms:// (config_notify.py).",
        example="gateway/keys/people.url",
    )
    ca_file: FilePath | None = setting("Certificates that may have signed the server's (PEM).", None)
    lang: Literal["vi", "en"] = setting("Language of the messages.", "vi")
    least_s: int = setting(
        "At most one message in so long; what comes meanwhile is joined into the next.",
        60,
        unit="seconds",
        ge=0,
        le=600,
    )
    rules: Rules = setting("Rules of alerts that are told; empty for all.", (), example=["limit"])
    states: States = setting("States that are told; empty for all.", (), example=["raised", "escalated"])


DESTINATION_KINDS = {
    "sftp": SftpDestination,
    "ftp": FtpDestination,
    "ftps": FtpsDestination,
    "mqtt": MqttDestination,
    "https": HttpsDestination,
    "notify": NotifyDestination,
    "directory": DirectoryDestination,
}
Destination = (
    SftpDestination
    | FtpDestination
    | FtpsDestination
    | MqttDestination
    | HttpsDestination
    | NotifyDestination
    | DirectoryDestination
)


class Witness(Section):
    """`[[witness]]`: someone outside who keeps our checkpoints."""

    url: Url = setting("Where it answers, without /add-checkpoint.", example="http://127.0.0.1:8099")
    vkey_file: FilePath = setting(
        "File with its verifier key, one line; the witness's name is in it.",
        example="gateway/keys/witness.vkey",
    )


SINGLE = {
    "station": Station,
    "gateway": Gateway,
    "public": Public,
    "limits": LimitFiles,
    "alerts": AlertSettings,
    "fees": Fees,
    "department": Department,
    "sampler": Sampler,
}
ARRAYS = {
    "device": Device,
    "bus": Bus,
    "channel": Channel,
    "destination": Destination,
    "witness": Witness,
    "camera": Camera,
}


class Config(Section):
    """A whole configuration, checked."""

    station: Station
    gateway: Gateway
    public: Public = Public()
    limits: LimitFiles = LimitFiles()
    alerts: AlertSettings = AlertSettings()
    fees: Fees = Fees()
    department: Department = Department()
    sampler: Sampler = Sampler()
    device: tuple[Device, ...] = ()
    bus: tuple[Bus, ...] = ()
    channel: tuple[Channel, ...] = ()
    destination: tuple[Destination, ...] = ()
    witness: tuple[Witness, ...] = ()
    camera: tuple[Camera, ...] = ()
    path: Path  # the file it was read from
    fingerprint: str  # sha256 of that file's bytes, hex
