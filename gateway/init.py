"""`quantrac gateway init`: a new configuration with safe defaults, every setting explained, and its secrets.

Rule 1: nothing that exists is overwritten.
Rule 2: secrets go into files of mode 0600 in a folder of mode 0700; what a person must know is returned,
        to be shown once, and is not kept in the clear anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import textwrap
from pathlib import Path
from typing import NamedTuple

from gateway.errors import ConfigFaults, Fault
from gateway.reports.layout import PRESETS

# scrypt's parameters: 16 MiB and some 50 ms on a Raspberry Pi (RFC 7914 recommends r = 8, p = 1).
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 14, 8, 1
PASSWORD_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that are read as another
PASSWORD_GROUPS = 4  # of 4 letters: 79 bits

DEVICE = "st-01"

TEMPLATE = """\
# Configuration of a Quantrac gateway. Check it with: quantrac gateway check {path}
# A line that begins with '#' is not in force; what it shows is the default, or an example.

[station]
province = "XX"                   # the three codes exactly as the department assigned them:
facility = "XXXX"                 # letters, digits and '-', upper and lower case matter
code = "XX0001"
name = "Trạm quan trắc"           # for people
kind = "wastewater"       # wastewater | stack | surface-water | ambient-air | groundwater | water-level
timezone = "Asia/Ho_Chi_Minh"     # the grid of windows and files: GMT+7 by regulation
# coordinates = [22.4856, 103.9707]      # latitude and longitude in degrees, for maps

[gateway]
state_dir = "gateway"             # journal and keys; relative to this file
window_minutes = 5                # length of a window; 5 by regulation
valid_share_min = 0.75            # share of a window's readings that must be OK for status 00
retention_days = 400              # how long readings are kept, days; never below 60
grace_s = 120                     # how long a window waits for readings still under way, seconds
label = "end"                     # a window is named after its "end" or its "start"
web = {{ host = "127.0.0.1", port = 8080 }}   # the local page; 127.0.0.1 keeps it on this machine

# A station device with our firmware. Its link key is in {key} (mode 0600): give the device the same.
[[device]]
id = "{device}"
link = "serial:/dev/ttyACM0?baud=115200"      # or "tcp-listen://127.0.0.1:7311"; over a network, with TLS:
#      "tls-listen://0.0.0.0:7312?cert=gateway/keys/tls.crt&key=gateway/keys/tls.key"
key_file = "{key}"

# Instruments wired to the gateway itself.
# [[bus]]
# id = "tank"
# link = "modbus-rtu:/dev/ttyUSB0?baud=9600&parity=N&stopbits=1"    # or "modbus-tcp://192.168.1.20:502"
# timeout_ms = 500                # how long an instrument may take to answer, ms
# retries = 2                     # how often a request is repeated within a poll
# gap_registers = 8               # unused registers read along to merge two requests

# One channel for each line of the provincial file.
[[channel]]
symbol = "COD"                    # exactly as the department knows it
unit = "mg/l"                     # "" for none
decimals = 4                      # in the provincial file
source = {{ device = "{device}", quantity = "cod" }}
# limits = {{ max = 75.0, basis = "QCVN 40:2011 A" }}       # what the permit allows; also min
# plausible = [0.0, 1000.0]       # beyond it a reading is OUT_OF_RANGE

[[channel]]
symbol = "pH"
unit = ""
unit_when_none = "-"              # "" as in the department's samples; "-" keeps a fault flag visible to it
decimals = 2
source = {{ device = "{device}", quantity = "ph" }}
# limits = {{ min = 6.0, max = 9.0, basis = "QCVN 40:2011 A" }}
plausible = [0.0, 14.0]

# A channel read by the gateway itself:
# [[channel]]
# symbol = "Flow"
# unit = "m3/h"
# source = {{ bus = "tank", unit = 1, table = "holding", register = 0, type = "float32", poll_ms = 1000 }}
#   table: coil | discrete | input | holding; register: as sent on the wire (40001 printed is 0)
#   type: int16 | uint16 | int32 | uint32 | float32 | float64; word_order: ABCD (default) | CDAB | BADC | DCBA
#   scale = 1.0, offset = 0.0: number x scale + offset; phase_ms = 0: shift of the poll on the clock's grid

# Where documents go. A setting that ends in _file names a file (mode 0600 for secrets), or "credential:NAME"
# for one that systemd hands to the service (LoadCredential=NAME:FILE in its unit).
#
# A local folder with the same files as the department gets. Put the department's server below it.
[[destination]]
id = "local"
kind = "directory"                # directory | sftp | ftps | ftp | mqtt | https
path = "sent"
layout = "default"                # a preset or a template
#         {presets}
#         or a template of {{station}} {{yyyy}} {{MM}} {{dd}} {{yyyyMMdd}} {{ddMMyyyy}}
send = ["windows"]                # windows hours alerts events checkpoints; mqtt, https: status readings

# [[destination]]
# id = "province"
# kind = "sftp"
# host = "10.0.0.5"
# port = 22
# user = "station"
# password_file = "gateway/keys/province.password"   # or key_file = a private SSH key; mode 0600
# host_key_file = "gateway/keys/province.hostkey"    # the server's public host key, as ssh-keyscan prints it
# path = ""                       # folder on the server, before the layout
# layout = "default"
# send = ["windows"]
# connect_timeout_s = 10.0        # how long connecting may take, seconds
# timeout_s = 30.0                # how long the server may take to confirm, seconds
# keepalive_s = 15                # silence after which the connection is tested, seconds

# FTP over TLS instead; without TLS it is kind = "ftp", and anyone on the way can read along.
# [[destination]]
# id = "province-ftps"
# kind = "ftps"
# host = "10.0.0.5"
# port = 21                       # 990 with tls = "implicit"
# tls = "explicit"                # explicit | implicit
# ca_file = "gateway/keys/province.ca"     # who signed the server's certificate, or that certificate itself
# user = "station"
# password_file = "gateway/keys/province.password"
# passive = true                  # false: the server opens the data connections to us
#   cert_file and key_file: our certificate, where the server asks for one (PEM)
#   path, layout, send and the times as with sftp; the connection is left after keepalive_s without a file

# [[destination]]
# id = "national"
# kind = "mqtt"
# host = "10.0.0.6"
# port = 8883
# tls = true
# ca_file = "gateway/keys/national.ca"               # who signed the broker's certificate
# user = "station"
# password_file = "gateway/keys/national.password"
# client_id = ""                  # empty: made of the codes
# topic_prefix = "quantrac"       # quantrac/<province>/<facility>/<station>/window
# in_flight_max = 64              # messages unconfirmed at once
# version = "auto"                # of MQTT: 5, and 3.1.1 with a broker that does not know 5
# cert_file = "gateway/keys/station.pem"             # our certificate, where the broker asks for one, and
# key_file = "gateway/keys/station.key"              # its private key
# send = ["windows"]

# [[destination]]
# id = "feed"
# kind = "https"
# url = "https://data.example.org/v1/documents"      # each document is one POST with an Idempotency-Key
# ca_file = "gateway/keys/feed.ca"                   # who signed its certificate; without it, the system's
# token_file = "gateway/keys/feed.token"             # or cert_file and key_file
# delay_min = 60                  # nothing goes there before it is that old; 0 for at once
# send = ["windows"]

# What anybody may see: /public.json and /public.csv of the page, and what goes where send = ["public"].
# [public]
# channels = ["COD", "pH"]        # only those that you and the department agreed on; none by default
# delay_min = 0                   # how long ago a window must have ended to be shown, minutes
# title = ""                      # heading for people; empty for the station's name

# Someone outside who keeps our checkpoints.
# [[witness]]
# url = "http://127.0.0.1:8099"
# vkey_file = "gateway/keys/witness.vkey"
"""


class Made(NamedTuple):
    """What `init` wrote, and what the person in front of the screen must see now or never."""

    config: Path
    files: list[Path]
    show_once: list[str]


def init(folder: Path | str) -> Made:
    """Write a configuration into `folder`. ConfigFaults when something is there or cannot be written."""
    folder = Path(folder)
    config = folder / "config.toml"
    keys = folder / "gateway" / "keys"
    link, operator = keys / f"{DEVICE}.link", keys / "operator.scrypt"
    there = [path for path in (config, link, operator) if path.exists() or path.is_symlink()]
    if there:
        instead = "Give another folder, or move it away first; nothing was changed."
        raise ConfigFaults(folder, [Fault(str(path), "This exists already.", instead) for path in there])
    password = "-".join(
        "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(4)) for _ in range(PASSWORD_GROUPS)
    )
    presets = "\n#         ".join(textwrap.wrap(" | ".join(PRESETS), 90, break_on_hyphens=False))
    text = TEMPLATE.format(path=config, device=DEVICE, key=link.relative_to(folder), presets=presets)
    try:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(link, secrets.token_hex(32) + "\n")
        _write(operator, hash_password(password) + "\n")
        _write(config, text, mode=0o644)
    except OSError as error:
        what = f"The configuration cannot be written: {error.strerror or error}."
        raise ConfigFaults(
            folder, [Fault(str(error.filename or folder), what, "Give a folder of yours.")]
        ) from error
    return Made(config, [config, link, operator], [f"Operator password (shown only now): {password}"])


def hash_password(password: str, salt: bytes | None = None) -> str:
    """scrypt$n$r$p$salt$hash, the last two in base64: what is kept of a password."""
    salt = secrets.token_bytes(16) if salt is None else salt
    key = hashlib.scrypt(password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=32)
    coded = [base64.b64encode(part).decode() for part in (salt, key)]
    return "$".join(["scrypt", str(SCRYPT_N), str(SCRYPT_R), str(SCRYPT_P), *coded])


def password_matches(password: str, stored: str) -> bool:
    """Whether `stored`, a line of hash_password(), is that of this password. False for any other text."""
    try:
        name, n, r, p, salt, key = stored.strip().split("$")
        cost, width, lanes = int(n), int(r), int(p)
        if name != "scrypt" or cost > 1 << 17 or width > 16 or lanes > 4:
            return False
        wanted = base64.b64decode(key, validate=True)
        made = hashlib.scrypt(
            password.encode(),
            salt=base64.b64decode(salt, validate=True),
            n=cost,
            r=width,
            p=lanes,
            maxmem=1 << 28,
            dklen=len(wanted),
        )
    except ValueError:
        return False
    return secrets.compare_digest(made, wanted)


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Create a file that did not exist, with this mode from its first moment on."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask says
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
