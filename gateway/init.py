"""`quantrac gateway init`: a new configuration with safe defaults, every setting explained, and its secrets.

Rule 1: nothing that exists is overwritten.
Rule 2: secrets go into files of mode 0600 in a folder of mode 0700; what a person must know is returned,
        to be shown once, and is not kept in the clear anywhere.
"""

from __future__ import annotations

import os
import secrets
import textwrap
from pathlib import Path
from typing import NamedTuple

from gateway.errors import ConfigFaults, Fault
from gateway.people import accounts, passwords
from gateway.people.accounts import Account, People, encode
from gateway.reports.layout import PRESETS

OPERATOR = "operator"
"""The name of the account that is made, and its role."""
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
#   On another address it speaks HTTPS, with cert_file and key_file or a certificate made at the first start
#   (tls = false: not), and shows nothing without a log-in (anonymous = "viewer": whoever is there may look).

# A station device with our firmware. Its link key is in {key} (mode 0600): give the device the same.
[[device]]
id = "{device}"
link = "serial:/dev/ttyACM0?baud=115200"      # or "tcp-listen://127.0.0.1:7311"; over a network, with TLS:
#      "tls-listen://0.0.0.0:7312?cert=gateway/keys/tls.crt&key=gateway/keys/tls.key"
key_file = "{key}"

# Regulations and permits in files of your own, in the form of those in gateway/limits:
# [limits]
# files = ["permit.toml"]

# [alerts]
# escalate_min = 60               # an alert that nobody acknowledged for so long is escalated; 0 for never

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
#   or a row of a regulation, and of it the permit's own max and min:
#   limits = {{ rule = "QCVN 40:2011", column = "A", kq = 0.9, kf = 1.1 }}   # Cmax = C x Kq x Kf; kp, kv
#   size = "20 t/h or more" where the rule has some; parameter = "NH4" where the channel is called otherwise
#   compare = ["window"]: also "hour", "day", where the rule names no span; warn_share = 0.8: warned beyond so
#   much of the limit; clear_share = 0.95: an alert ends below so much of what was exceeded; 1 for neither
# plausible = [0.0, 1000.0]       # what the instrument can show: beyond it a reading is OUT_OF_RANGE
# update_s = 1800                 # the analyser has a new value so often, however often it is read
# contact = "door"                # a channel of a contact: "door" or "mains", an alert while it is 1
# calibrate_days = 90             # an alert when it was not calibrated for so long
# calibration = {{ zero_drift_max = 1.5, span_drift_max = 3.0 }}   # what drift since the calibration before
#                                 is held against, in its unit; also zero = 0.0, span = 100.0: taken there
# sent = true                     # false: measured, kept and shown, but not in the provincial file
# qal3 = {{ s_zero = 0.5, s_span = 1.0 }}   # of its certificate, for zero and span checks (EN 14181);
#                                 also hx = 2.85, kx = 0.501, hs = 6.90, ks = 1.85
#   busy = {{ calibrating = "K1", maintenance = "K2" }}: channels of contacts that say so while they are 1
#
# Rules by which readings are flagged: kept, and not in the mean. In the channel's unit.
# checks = {{ plausible = [0.0, 800.0], rate_per_min = 50.0, spike = 100.0, stuck_min = 120 }}
#   plausible: what this water or gas can be; rate_per_min: the fastest change; spike: away from both
#   neighbours; stuck_min: minutes without any change (beyond resolution = 0.1); negative_min = -0.5: below
#   it a concentration is negative

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
# average = "mean"                # what a window's value is: mean | vector | total | last
#   vector: wind direction; total: a meter's increase (rollover = 1e6: it counts up to that); last: a state
#
# Channels made of others, for stacks: at 25 oC, 760 mmHg, dry, at the rule's oxygen; and loads in kg/h.
#   source = {{ corrects = "SO2m", oxygen = "O2", oxygen_reference = 7.0, temperature = "T", pressure = "P" }}
#   each only where it is measured; also moisture = "H2O", and oxygen_is_wet = true where it is
#   source = {{ mass_of = "SO2", flow = "Flow" }}

# Where documents go. A setting that ends in _file names a file (mode 0600 for secrets), or "credential:NAME"
# for one that systemd hands to the service (LoadCredential=NAME:FILE in its unit).
#
# A local folder with the same files as the department gets. Put the department's server below it.
[[destination]]
id = "local"
kind = "directory"                # directory | sftp | ftps | ftp | mqtt | https | notify
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

# People, told of alerts by e-mail or through a webhook. The file holds one line, the address:
#   mailtos://USER:PASSWORD@HOST:587/?from=A@EXAMPLE.VN&to=B@EXAMPLE.VN,C@EXAMPLE.VN   or   jsons://HOST/PATH
# [[destination]]
# id = "people"
# kind = "notify"
# url_file = "gateway/keys/people.url"
# lang = "vi"                     # vi | en
# least_s = 60                    # at most one message in so long; what comes meanwhile is joined, seconds
# rules = []                      # ["limit", "near", "instrument fault"]: of these alerts only
# states = []                     # ["raised", "escalated"]: only these; also acknowledged, cleared, past
# send = ["alerts"]

# What anybody may see: /public.json and /public.csv of the page, and what goes where send = ["public"].
# [public]
# channels = ["COD", "pH"]        # only those that you and the department agreed on; none by default
# delay_min = 0                   # how long ago a window must have ended to be shown, minutes
# title = ""                      # heading for people; empty for the station's name

# What the quarterly declaration of the fee on wastewater or emissions is computed from.
# [fees]
# flow = "Flow"                   # the channel of what is discharged: a flow, or a meter's increase
# monitored = true                # false where the decree takes its flat figure, without monitoring
# rates = {{ COD = 2000 }}          # what a kilogram costs, đ/kg: look it up in the decree

# The department's commands: take a sample, send a range again, say how you are. They are signed; the key is
# pinned here at commissioning, from the department's own hand.
# [department]
# key_file = "gateway/keys/department.vkey"          # its verifier key, one line; several: one a line
# via = "national"                # the mqtt destination whose broker brings them (topic .../command), and/or
# url = "https://dept.example.vn/station"            # asked for them: GET URL/commands, POST URL/results
# token_file = "gateway/keys/department.token"       # for url; also ca_file, cert_file and cert_key_file
# poll_s = 30                     # how often url is asked, seconds
# tolerance_s = 60                # how far ahead of our clock a command may be issued, seconds
# resend_to = ["local"]           # destinations that get documents again when the department asks

# What draws samples: a station device with an output of kind sampler, or a coil of a Modbus unit.
# [sampler]
# device = "st-01"                # or: bus = "tank", unit = 1, coil = 0
#   feedback_input = 0 (a discrete input of that unit) or feedback_channel = "Full" (a channel that becomes 1)
# feedback_s = 120                # how long after its begin a bottle may take to be reported filled, seconds
# seconds = 10.0                  # how long the coil is on for a bottle
# bottles = 24                    # in the carousel
# per_day = 4                     # bottles a day at most because a limit is exceeded; 0 for none

# A picture when an alert is raised, when a sample is taken, every so many minutes.
# [[camera]]
# id = "gate"
# kind = "http"                   # http: a snapshot's address; onvif: its device service; rtsp: needs ffmpeg
# url = "http://192.168.1.64/snapshot.jpg"
# user = "viewer"                 # with password_file; of an account that may have pictures and nothing else
# password_file = "gateway/keys/gate.password"
# ca_file = "gateway/keys/gate.ca"                   # with https: who signed its certificate, or itself
# timeout_s = 15.0                # how long a picture may take, seconds
# every_minutes = 0               # 0 for never
# on_alert = true
# on_sample = true
# keep_days = 60                  # how long its pictures are kept,
# keep_mb = 1000                  # and how much room they take at the most

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
    link, people = keys / f"{DEVICE}.link", accounts.path_of(folder / "gateway")
    there = [path for path in (config, link, people) if path.exists() or path.is_symlink()]
    if there:
        instead = "Give another folder, or move it away first; nothing was changed."
        raise ConfigFaults(folder, [Fault(str(path), "This exists already.", instead) for path in there])
    password = passwords.generated()
    operator = Account(OPERATOR, OPERATOR, passwords.hashed(password))
    presets = "\n#         ".join(textwrap.wrap(" | ".join(PRESETS), 90, break_on_hyphens=False))
    text = TEMPLATE.format(path=config, device=DEVICE, key=link.relative_to(folder), presets=presets)
    try:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(link, secrets.token_hex(32) + "\n")
        _write(people, encode(People({OPERATOR: operator}, "quantrac gateway init")).decode())
        _write(config, text, mode=0o644)
    except OSError as error:
        what = f"The configuration cannot be written: {error.strerror or error}."
        raise ConfigFaults(
            folder, [Fault(str(error.filename or folder), what, "Give a folder of yours.")]
        ) from error
    return Made(config, [config, link, people], [f"Operator password (shown only now): {password}"])


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Create a file that did not exist, with this mode from its first moment on."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask says
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
