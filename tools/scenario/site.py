"""A scenario's folder: what a facility would have written there, and where the destinations' files come.

config.toml        the gateway's configuration        gateway/      its state_dir
province/          what the department received       national/     what the nation received
witness/           what the witness remembers         gateway.log   what the gateway said, in virtual time
memory/            what outlives the gateway's process, and not a power cut
st-01/             a real device's flash
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from gateway.journal.checkpoints import origin
from simulator.scenario import Scenario
from simulator.scene import TCP_ID, Scene, SceneUnit, load_scene
from tools.demo.site import HOST, secret, table
from tools.people import UsageError
from tools.scenario.devices import Quantity

PROVINCE, NATIONAL = "province", "national"
"""The destinations."""
PLACE = ("LCa", "DEMO")
"""Province and facility."""
USER, PASSWORD = "station", "right"
LAYOUT = "{station}/{yyyy}/{MM}/{dd}"
WITNESS_NAME = "witness.quantrac.example/scenario"
SFTP_KEEPALIVE_S = 60
ASK_S = 60
"""How often the station asks the department for orders."""
SAMPLER_UNIT, SAMPLE_S, BOTTLES = 9, 10.0, 12
KEEPALIVE_S = 3600
"""The connections' own tests run on real time in paho, and are of no use in virtual time."""


@dataclass(frozen=True)
class Ports:
    """Where the gateway finds the others, or a proxy before them; 0: there is none."""

    page: int
    devices: tuple[int, ...]
    province: int
    national: int = 0
    witness: int = 0
    buses: tuple[int, ...] = ()
    department: int = 0


class Site:
    """Paths, keys and the configuration, in a folder that is made."""

    def __init__(self, directory: Path, scenario: Scenario, random: Random) -> None:
        self.dir = directory.resolve()
        if self.dir.exists() and any(self.dir.iterdir()):
            raise UsageError(f"{directory} is not empty: name another folder with --dir, or empty it.")
        self.scenario = scenario
        self.scene: Scene = load_scene(scenario.station.kind)
        self.devices = [f"st-{number + 1:02}" for number in range(scenario.station.stations)]
        self.keys = {device: random.randbytes(32) for device in self.devices}
        self.config = self.dir / "config.toml"
        self.state_dir = self.dir / "gateway"
        self.journal = self.state_dir / "journal.db"
        self.province = self.dir / "province"
        self.national = self.dir / "national" / "messages.jsonl"
        self.witness = self.dir / "witness"
        self.log = self.dir / "gateway.log"
        self.memory = self.dir / "memory"
        self.host_key = self.dir / "province.key"
        self.keys_dir = self.state_dir / "keys"
        self.keys_dir.mkdir(parents=True)
        for device, key in self.keys.items():
            secret(self.keys_dir / f"{device}.link", key.hex())
        secret(self.keys_dir / "province.password", PASSWORD)
        secret(self.keys_dir / "national.password", PASSWORD)

    @property
    def log_name(self) -> str:
        """The log's first name, by which the department calls the station."""
        return origin(PLACE[0], PLACE[1], self.scene.code)

    def quantities(self, number: int) -> list[Quantity]:
        """What device `number` measures: all that the scene has, but for what the gateway polls itself."""
        return [
            Quantity(symbol_of(channel.symbol, number), channel.quantity.id, channel.symbol, place)
            for place, unit in enumerate(self.scene.units)
            if unit not in self.polled
            for channel in unit.channels
        ]

    @property
    def polled(self) -> list[SceneUnit]:
        """Instruments of the gateway's own, at each of the stations."""
        return self.scene.units_of("gateway") if self.scenario.station.polled else []

    def unit_of(self, channel: str) -> int:
        """The device's unit that measures a channel; KeyError."""
        return {one.channel: one.unit for one in self.quantities(0)}[channel]

    def write_config(
        self, ports: Ports, host_key: str, witness_vkey: str = "", department_vkey: str = ""
    ) -> None:
        """config.toml, and the public keys that it names."""
        station = self.scenario.station
        (self.keys_dir / "province.hostkey").write_text(host_key + "\n", encoding="ascii")
        parts = [
            table("[station]", {
                "province": PLACE[0], "facility": PLACE[1], "code": self.scene.code, "name": self.scene.name,
                "kind": self.scene.kind, "timezone": "Asia/Ho_Chi_Minh",
            }),
            table("[gateway]", {"state_dir": "gateway", "web": {"host": HOST, "port": ports.page}}),
            *(
                table("[[device]]", {
                    "id": device, "link": f"tcp-listen://{HOST}:{port}",
                    "key_file": f"gateway/keys/{device}.link",
                })
                for device, port in zip(self.devices, ports.devices, strict=True)
            ),
            *(
                table("[[bus]]", self.scene.bus(HOST, port, symbol_of(TCP_ID, number)))
                for number, port in enumerate(ports.buses)
            ),
            *(table("[[channel]]", one) for n in range(len(self.devices)) for one in self._channels(n)),
            table("[[destination]]", {
                "id": PROVINCE, "kind": "sftp", "host": HOST, "port": ports.province, "user": USER,
                "password_file": "gateway/keys/province.password",
                "host_key_file": "gateway/keys/province.hostkey",
                "layout": LAYOUT, "send": ["windows"], "keepalive_s": SFTP_KEEPALIVE_S,
            }),
        ]  # fmt: skip
        if station.national:
            parts.append(table("[[destination]]", {
                "id": NATIONAL, "kind": "mqtt", "host": HOST, "port": ports.national, "user": USER,
                "password_file": "gateway/keys/national.password", "send": ["windows"],
                "version": "3.1.1", "keepalive_s": KEEPALIVE_S,
            }))  # fmt: skip
        if station.witness:
            (self.keys_dir / "witness.vkey").write_text(witness_vkey + "\n", encoding="utf-8")
            url = f"http://{HOST}:{ports.witness}"
            parts.append(table("[[witness]]", {"url": url, "vkey_file": "gateway/keys/witness.vkey"}))
        if station.department:
            (self.keys_dir / "department.vkey").write_text(department_vkey + "\n", encoding="utf-8")
            parts.append(table("[department]", {
                "key_file": "gateway/keys/department.vkey", "url": f"http://{HOST}:{ports.department}/station",
                "poll_s": ASK_S, "resend_to": [NATIONAL] if station.national else [],
            }))  # fmt: skip
        if station.sampler:
            parts.append(table("[sampler]", {
                "bus": TCP_ID, "unit": SAMPLER_UNIT, "coil": 0, "feedback_input": 0, "seconds": SAMPLE_S,
                "bottles": BOTTLES,
            }))  # fmt: skip
        self.config.write_text("\n".join(parts), encoding="utf-8")

    def _channels(self, number: int) -> list[dict]:
        device, bus = self.devices[number], symbol_of(TCP_ID, number)
        measured = {one.channel: {"device": device, "quantity": one.id} for one in self.quantities(number)}
        found = []
        for channel in self.scene.channels(device, bus):
            symbol = channel["symbol"]
            source = measured.get(symbol, channel["source"])
            more = dict(self.scenario.station.channels.get(symbol, {}))
            found.append(channel | {"symbol": symbol_of(symbol, number), "source": source} | more)
        return found


def symbol_of(channel: str, number: int) -> str:
    """What the gateway calls a channel of station `number`."""
    return channel if number == 0 else f"{channel}_{number + 1}"
