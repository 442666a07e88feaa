"""The demo's folder: what a technician and a facility would have written there, for a station of one kind.

config.toml          the gateway's configuration          gateway/keys/     its secrets, mode 0600
device/              the device's identity.json, link.key and station.json
run/                 sockets, clock, logs of this run
province/            what the department received         national/         what the nation received
witness/             what the witness remembers, and its vkey
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.people import accounts, passwords
from gateway.people.accounts import Account
from simulator.scene import Scene
from tools.people import UsageError
from tools.station.build import write

DEVICE_ID = "st-01"
MARKER = "demo.json"
HOST = "127.0.0.1"
SFTP_USER = "station"
PERSON = "demo"
"""Who may log in at the page, as an administrator."""
WITNESS_VKEY = "gateway/keys/witness.vkey"
WITNESS_NAME = "witness.quantrac.example/demo"
BAUD = 115_200


@dataclass(frozen=True)
class Site:
    """Paths of a demo folder."""

    dir: Path

    @property
    def config(self) -> Path:
        return self.dir / "config.toml"

    @property
    def keys(self) -> Path:
        return self.dir / "gateway" / "keys"

    @property
    def journal(self) -> Path:
        return self.dir / "gateway" / "journal.db"

    @property
    def device(self) -> Path:
        return self.dir / "device"

    @property
    def run(self) -> Path:
        return self.dir / "run"

    @property
    def province(self) -> Path:
        return self.dir / "province"

    @property
    def witness(self) -> Path:
        return self.dir / "witness"

    @property
    def log_vkey(self) -> Path:
        """The journal's verifier key, which the gateway makes."""
        return self.dir / "gateway" / "log.vkey"

    @property
    def witness_vkey(self) -> Path:
        """The witness's, as its operator gave it to the facility."""
        return self.dir / WITNESS_VKEY

    @property
    def truth(self) -> Path:
        return self.dir / "truth.jsonl"

    @property
    def messages(self) -> Path:
        return self.dir / "national" / "messages.jsonl"

    @property
    def summary(self) -> Path:
        return self.dir / "summary.json"

    @property
    def timeline(self) -> Path:
        return self.run / "timeline.json"

    @property
    def instrument_line(self) -> Path:
        """The device's end of the RS-485 line."""
        return self.run / "ttyRS485"

    @property
    def device_tty(self) -> Path:
        """The device's end of the serial cable to the gateway."""
        return self.run / "ttyDEVICE"

    @property
    def gateway_tty(self) -> Path:
        """The gateway's end of that cable."""
        return self.run / "ttyGATEWAY"

    def link_key(self) -> bytes:
        return bytes.fromhex((self.keys / f"{DEVICE_ID}.link").read_text(encoding="ascii").strip())


def open_site(directory: Path, scene: Scene) -> Site:
    """Make the folder, or open one of the same kind of station. UsageError when it is something else."""
    site = Site(directory.resolve())
    marker = site.dir / MARKER
    if site.dir.exists() and any(site.dir.iterdir()):
        kind = _kind(marker)
        if kind is None:
            raise UsageError(f"{directory} is not empty and not a demo's folder: name another with --dir.")
        if kind != scene.kind:
            raise UsageError(
                f"{directory} holds a {kind} station: name another folder with --dir, or --station {kind}."
            )
    for folder in (site.keys, site.device, site.run, site.province, site.messages.parent):
        folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"station": scene.kind}) + "\n", encoding="utf-8")
    secret(site.keys / f"{DEVICE_ID}.link", secrets.token_hex(32))
    secret(site.keys / "province.password", secrets.token_urlsafe(18))
    return site


def let_in(site: Site) -> str:
    """Let PERSON log in at the page: a new password each time, since nobody keeps the old one. It."""
    path, password = accounts.path_of(site.keys.parent), passwords.generated()
    people, kept = accounts.load(path), passwords.hashed(password)
    if PERSON in people.accounts:
        people = people.with_password(PERSON, kept, "quantrac demo")
    else:
        people = people.with_new(Account(PERSON, "administrator", kept), "quantrac demo")
    accounts.save(path, people)
    return password


def _kind(marker: Path) -> str | None:
    """The kind of station that a demo's folder says it holds; None when it is no demo's folder."""
    try:
        return str(json.loads(marker.read_text(encoding="utf-8"))["station"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def occupied(site: Site) -> Iterator[None]:
    """Hold the folder for one demo; UsageError when another one runs in it."""
    with (site.dir / MARKER).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"A demo already runs in {site.dir}: stop it, or name another folder with --dir."
            ) from None
        yield


def secret(path: Path, text: str) -> None:
    """Write a secret once, readable by its owner alone."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")


def write_device(site: Site, scene: Scene) -> None:
    """Write the device's files, station.json compiled from the profiles, as `quantrac station new` will."""
    link = {"kind": "serial", "path": str(site.device_tty), "baud": BAUD}
    write(site.device, scene.site(DEVICE_ID, site.link_key().hex(), link, site.instrument_line))


def write_config(
    site: Site,
    scene: Scene,
    web_port: int,
    bus_port: int,
    sftp_port: int,
    mqtt_port: int,
    witness_url: str = "",
) -> None:
    """The gateway's configuration, as a facility would write it; without a witness when it has no address."""
    parts = [
        "# The demo station's gateway. Written at every start of the demo: copy it before you change it.\n",
        table("[station]", {
            "province": "LCa", "facility": "DEMO", "code": scene.code, "name": scene.name,
            "kind": scene.kind, "timezone": "Asia/Ho_Chi_Minh",
        }),
        table("[gateway]", {
            "state_dir": "gateway", "window_minutes": 5, "valid_share_min": 0.75, "retention_days": 400,
            "web": {"host": HOST, "port": web_port},
        }),
        table("[[device]]", {
            "id": DEVICE_ID, "link": f"serial:{site.gateway_tty}?baud={BAUD}",
            "key_file": f"gateway/keys/{DEVICE_ID}.link",
        }),
        table("[[bus]]", scene.bus(HOST, bus_port)),
        *(table("[[channel]]", channel) for channel in scene.channels(DEVICE_ID)),
        table("[[destination]]", {
            "id": "province", "kind": "sftp", "host": HOST, "port": sftp_port, "user": SFTP_USER,
            "password_file": "gateway/keys/province.password",
            "host_key_file": "gateway/keys/province.hostkey",
            "layout": "{station}/{yyyy}/{MM}/{dd}", "send": ["windows"],
        }),
        table("[[destination]]", {
            "id": "national", "kind": "mqtt", "host": HOST, "port": mqtt_port, "send": ["windows"],
        }),
        table("[public]", {"channels": scene.symbols}),
        *([table("[[witness]]", {"url": witness_url, "vkey_file": WITNESS_VKEY})] if witness_url else []),
    ]  # fmt: skip
    site.config.write_text("\n".join(parts), encoding="utf-8")


def table(head: str, values: dict[str, Any]) -> str:
    """One TOML table: its head, then a line for each value."""
    return head + "\n" + "".join(f"{key} = {toml(value)}\n" for key, value in values.items())


def toml(value: Any) -> str:
    """A value as TOML; inline for tables. Only what a configuration here needs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's one character more
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    raise TypeError(f"no TOML for {value!r}")


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there, else any free port of the loopback."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError("no free port on the loopback")
