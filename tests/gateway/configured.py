"""Configurations for tests: the interface page's sample with its key files, and small ones from parts."""

from __future__ import annotations

from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config import Config, load
from protocol.note import COSIGNATURE, Signer

SAMPLE = """
[station]
province = "LCa"                  # codes exactly as the department assigned them
facility = "DEMO"
code = "NUO001"
name = "Trạm quan trắc nước thải"
kind = "wastewater"               # wastewater | stack | surface-water | ambient-air | ...
timezone = "Asia/Ho_Chi_Minh"

[gateway]
state_dir = "gateway"             # relative to this file
window_minutes = 5
valid_share_min = 0.75
retention_days = 400              # never below 60
web = { host = "127.0.0.1", port = 8080 }

[[device]]                        # a station device with our firmware
id = "st-01"
link = "serial:/dev/ttyACM0?baud=115200"     # or "tcp-listen://127.0.0.1:7311"
key_file = "gateway/keys/st-01.link"         # 32 bytes, hex

[[bus]]                           # instruments wired to the gateway itself
id = "tank"
link = "modbus-tcp://127.0.0.1:5020"         # or "modbus-rtu:/dev/ttyUSB0?baud=9600&parity=N&stopbits=1"
timeout_ms = 500
retries = 2

[[channel]]
symbol = "COD"                    # as it stands in the provincial file
unit = "mg/l"
decimals = 4
source = { device = "st-01", quantity = "cod" }
limits = { max = 75.0, basis = "QCVN 40:2011 A" }

[[channel]]
symbol = "Flow"
unit = "m3/h"
decimals = 4
source = { bus = "tank", unit = 1, table = "holding", register = 0, type = "float32", \
word_order = "ABCD", poll_ms = 1000 }
plausible = [0.0, 500.0]

[[destination]]
id = "province"
kind = "sftp"                     # sftp | ftp | ftps | mqtt | https | directory
host = "127.0.0.1"
port = 2222
user = "station"
password_file = "gateway/keys/province.password"   # or key_file
host_key_file = "gateway/keys/province.hostkey"    # sftp; ca_file for ftps, mqtt, https
layout = "{station}/{yyyy}/{MM}/{dd}"
send = ["windows"]                # windows | hours | alerts | events | checkpoints | status

[[witness]]
url = "http://127.0.0.1:8099"
vkey_file = "gateway/keys/witness.vkey"
""".replace("\\\n", "")

STATION = SAMPLE[: SAMPLE.index("[[device]]")]

WITNESS = Signer("witness.example/w1", Ed25519PrivateKey.from_private_bytes(b"w" * 32), COSIGNATURE)
HOST_KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()


def keys(folder: Path) -> None:
    """The files that SAMPLE names."""
    kept = folder / "gateway" / "keys"
    kept.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "st-01.link": "ab" * 32 + "\n",
        "province.password": "secret\n",
        "province.hostkey": HOST_KEY,
        "witness.vkey": WITNESS.verifier.vkey + "\n",
    }.items():
        (kept / name).write_text(text)
        (kept / name).chmod(0o600)


def written(folder: Path, text: str) -> Path:
    """A configuration file with the keys beside it."""
    keys(folder)
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def configured(folder: Path, channels: str = "", destinations: str = "") -> Config:
    """A loaded configuration with one device; `channels` and `destinations` are TOML."""
    device = '[[device]]\nid = "st-01"\nlink = "tcp-listen://127.0.0.1:7311"\n'
    device += 'key_file = "gateway/keys/st-01.link"\n'
    channels = channels or channel("COD", "mg/l")
    return load(written(folder, STATION + device + channels + destinations))


def channel(symbol: str, unit: str, decimals: int = 4, more: str = "") -> str:
    """TOML of one channel read from the device."""
    return (
        f'[[channel]]\nsymbol = "{symbol}"\nunit = "{unit}"\ndecimals = {decimals}\n'
        f'source = {{ device = "st-01", quantity = "{symbol.lower()[:20].encode().hex()}" }}\n{more}\n'
    )
