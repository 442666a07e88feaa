"""The gateway's blocks of a new station: the gateway takes them, and what its device measures arrives."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from gateway.check import check
from gateway.config import DeviceSource, load
from gateway.init import init
from simulator.bus import PtyPair
from simulator.clock import SimClock, mono_ms, write_timeline
from simulator.scene import Scene, load_scene, start_instruments
from simulator.station import StationProcess
from simulator.truth import Truth
from tests.gateway.app_rig import until
from tests.servers.process import free_port
from tests.simulator._rig import T0_MS
from tests.tools.test_cli import quantrac
from tests.tools.test_station_new import BUS, PH, TSS, USUAL, new, refused
from tools.gateway_process import GatewayProcess
from tools.station import blocks
from tools.station.folder import Folder

EXAMPLE = re.compile(
    r"(?ms)^# A station device with our firmware.*?^(?=# Regulations)"
    r"|^# One channel for .*?^(?=# A channel read)"
)
"""What `gateway init` writes of a device and its channels."""
SPEED = 100


def gateway(folder: Path, codes: bool = True) -> Path:
    """A configuration as `quantrac gateway init` makes it, with codes and without its example."""
    path = init(folder).config
    text = path.read_text(encoding="utf-8")
    if codes:
        for placeholder, code in (("XXXX", "DEMO"), ("XX0001", "NUO001"), ("XX", "LCa")):
            text = text.replace(f'= "{placeholder}"', f'= "{code}"')
        text = EXAMPLE.sub("", text)
        assert "\n[[device]]" not in text and "\n[[channel]]" not in text
        (folder / "gateway" / "keys" / "st-01.link").unlink()
    path.write_text(text.replace("port = 8080", f"port = {free_port()}"), encoding="utf-8")
    return path


def join(config: Path, station: Path) -> None:
    """As a person does it: the blocks into the configuration, the key to its place."""
    with config.open("a", encoding="utf-8") as file:
        file.write("\n" + (station / blocks.NAME).read_text(encoding="utf-8"))
    folder = Folder.at(station)
    key = config.parent / blocks.key_file(folder.id)
    key.touch(mode=0o600)
    key.write_text(folder.key().hex() + "\n")


# Alone


def test_blocks_in_a_configuration_of_init(tmp_path):
    config = gateway(tmp_path / "g")
    new(
        tmp_path / "kr-01", *USUAL, "--instrument", "supmea-sup-ph8001@rs485:1,quantities=ph+temperature",
        "--instrument", "hach-codmax2@rs485:2,range=0..250,symbol.cod=COD,decimals.cod=1",
        "--instrument", "eh-promag-53@rs485:3,baud=9600,parity=N,sent.total=no",
        "--limit", "pH=6..9 QCVN 40:2011 A",
        "--limit", "COD=rule QCVN 40:2011; column=A; kq=0.9; kf=1.1",
    )  # fmt: skip
    join(config, tmp_path / "kr-01")
    faults, _ = check(config)
    assert faults == []
    loaded = load(config)
    (device,) = loaded.device
    assert (device.id, device.link.path) == ("kr-01", "/dev/ttyACM0")  # type: ignore[union-attr]
    assert device.key_file.read_text().strip() == Folder.at(tmp_path / "kr-01").key().hex()
    found = {channel.symbol: channel for channel in loaded.channel}
    assert list(found) == ["pH", "Temp", "COD", "Flow", "FlowTotal"]
    cod = found["COD"]
    assert (cod.unit, cod.decimals, cod.plausible, cod.update_s) == ("mg/l", 1, (0.0, 250.0), 900)
    assert isinstance(cod.source, DeviceSource) and cod.source.quantity == "cod"
    assert cod.limits.max == 74.25  # 75 x 0.9 x 1.1
    assert found["pH"].limits.basis == "QCVN 40:2011 A" and found["pH"].update_s is None
    assert found["FlowTotal"].average == "total" and not found["FlowTotal"].sent and found["Flow"].sent


def test_a_direction_and_what_is_wired_to_the_board(tmp_path):
    (tmp_path / "c.toml").write_text(
        'kind = "surface-water"\nlink = "usb"\n[buses]\nrs485 = "uart1 tx=4 rx=5"\n'
        '[[instrument]]\nprofile = "vaisala-wxt530"\nquantities = ["wind-direction"]\n'
        '[[analogs]]\nchannel = "level"\npin = 26\nshunt_ohm = 150.0\n'
        "low = 5.0\nhigh = 0.0\npoll_ms = 10000\n"
        '[channels.level]\nsymbol = "Level"\nunit = "m"\nlimits = { max = 1.5, basis = "permit" }\n'
    )
    new(tmp_path / "s", "--from", tmp_path / "c.toml")
    config = gateway(tmp_path / "g")
    join(config, tmp_path / "s")
    direction, level = load(config).channel
    assert direction.average == "vector"
    assert (level.symbol, level.unit, level.plausible, level.limits.max) == ("Level", "m", (0.0, 5.0), 1.5)
    (tmp_path / "c.toml").write_text(
        (tmp_path / "c.toml")
        .read_text()
        .replace('[channels.level]\nsymbol = "Level"\n', "[channels.level]\n")
    )
    said = refused(tmp_path / "t", "--from", tmp_path / "c.toml")
    assert "channel level" in said and "symbol" in said  # no profile gives one


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("usb", "serial:/dev/ttyACM0?baud=115200"),
        ("uart0 tx=0 rx=1", "serial:/dev/ttyUSB0?baud=115200"),
        ("/dev/ttyS0 baud=57600", "serial:/dev/ttyUSB0?baud=57600"),
        ("tcp 192.168.1.10:7311", "tcp-listen://192.168.1.10:7311"),
    ],
)
def test_a_link_has_two_ends(tmp_path, link, expected):
    new(tmp_path / "s", "--kind", "wastewater", "--link", link, *BUS, *PH)
    assert f'link = "{expected}"' in (tmp_path / "s" / blocks.NAME).read_text()
    identity = json.loads((tmp_path / "s" / "device" / "identity.json").read_text())
    assert identity["link"]["kind"] == ("usb" if link == "usb" else "tcp" if "tcp" in link else "serial")


def test_the_links_other_end_as_it_was_said(tmp_path):
    new(tmp_path / "s", *USUAL, *PH, "--gateway-link", "serial:/dev/serial/by-id/pico?baud=115200")
    assert "by-id/pico" in (tmp_path / "s" / blocks.NAME).read_text()


# Beside what is there


def test_clashes_with_a_gateway_that_is_there(tmp_path):
    config = gateway(tmp_path / "g")
    new(tmp_path / "st-01", *USUAL, *PH, "--gateway", config)
    join(config, tmp_path / "st-01")
    before = config.read_bytes()
    said = refused(tmp_path / "b", *USUAL, *PH, *TSS, "--id", "st-01", "--gateway", config)
    for words in (
        "'st-01' is already the id of device",
        "'pH' is already the symbol of channel pH",
        "'Temp' is already the symbol of channel Temp",
        "The serial port /dev/ttyACM0 belongs to device",
    ):
        assert words in said
    other = ("--gateway-link", "serial:/dev/ttyACM1?baud=115200", "--gateway", config)
    new(tmp_path / "st-02", *USUAL, *TSS, *other)  # another id, symbol and port
    assert config.read_bytes() == before
    join(config, tmp_path / "st-02")
    assert check(config)[0] == []


def test_control_such_a_clash_is_one_to_the_gateway(tmp_path):
    config = gateway(tmp_path / "g")
    for name in ("a", "b"):
        new(tmp_path / name, *USUAL, *PH)
        join(config, tmp_path / name)
    assert any("'pH' is already the symbol" in fault.what for fault in check(config)[0])


def test_again_at_a_gateway_that_has_the_station(tmp_path):
    config = gateway(tmp_path / "g")
    new(tmp_path / "st-01", *USUAL, *PH, "--gateway", config)
    new(tmp_path / "st-02", *USUAL, *TSS, "--gateway-link", "serial:/dev/ttyACM1", "--gateway", config)
    for name in ("st-01", "st-02"):
        join(config, tmp_path / name)
    out = new(tmp_path / "st-01", "--again", "--gateway", config, "--limit", "pH=6..9 X")
    assert "has station st-01 already" in " ".join(out.split())
    said = refused(
        tmp_path / "st-01", "--again", "--gateway", config, "--gateway-link", "serial:/dev/ttyACM1?baud=9600",
        *PH, "--instrument", "generic-tss@rs485:2,quantities=tss",
    )  # fmt: skip
    assert "'TSS' is another channel's symbol there" in said and "belongs to st-02 there" in said


def test_a_configuration_that_init_just_wrote_has_an_example_to_replace(tmp_path):
    config = gateway(tmp_path / "g", codes=False)
    out = new(tmp_path / "st-01", "--link", "usb", *BUS, *PH, "--gateway", config)
    assert "in the place of its example" in " ".join(out.split())
    assert Folder.at(tmp_path / "st-01").site()["gateway"]["kind"] == "wastewater"  # as the gateway's


def test_a_configuration_that_cannot_be_used(tmp_path):
    (tmp_path / "c.toml").write_text("x = 1\n")
    assert "c.toml: station" in refused(tmp_path / "s", *USUAL, *PH, "--gateway", tmp_path / "c.toml")
    assert "There is no such file" in refused(tmp_path / "s", *USUAL, *PH, "--gateway", tmp_path / "d.toml")


# The whole chain


def arguments(scene: Scene, line: Path, device_tty: Path, gateway_tty: Path) -> list[str]:
    """The command line for what the scene's device reads, as a technician would type it."""
    words = ["--kind", scene.kind, "--link", f"{device_tty} baud=115200", "--bus", f"rs485={line}"]
    words += ["--gateway-link", f"serial:{gateway_tty}?baud=115200"]
    for unit in scene.units_of("device"):
        quantities = [channel.quantity.id for channel in unit.channels]
        symbols = [
            f"symbol.{c.quantity.id}={c.symbol}" for c in unit.channels if c.symbol != c.quantity.symbol
        ]
        words += ["--instrument", ",".join([
            f"{unit.profile.name}@rs485:{unit.unit}", f"poll_ms={unit.poll_ms}", f"phase_ms={unit.phase_ms}",
            "quantities=" + "+".join(quantities), "baud=9600", "parity=N", "stopbits=1", *symbols,
        ])]  # fmt: skip
        for channel in unit.channels:
            if channel.limits:
                low, high = channel.limits.get("min"), channel.limits["max"]
                figure = f"{high:g}" if low is None else f"{low:g}..{high:g}"
                words += ["--limit", f"{channel.symbol}={figure} {channel.limits['basis']}"]
    return words


def test_a_new_station_measures_and_its_seals_are_good(tmp_path):
    """The device from device/, the gateway with the blocks, a few windows: every value is the truth, and the
    inspector's paper, typed in, proves the records.
    """

    async def main():
        scene = load_scene("wastewater")
        line, device_tty, gateway_tty = (tmp_path / name for name in ("rs485", "ttyDEVICE", "ttyGATEWAY"))
        config = gateway(tmp_path / "g")
        out = new(tmp_path / "st-01", *arguments(scene, line, device_tty, gateway_tty), "--gateway", config)
        join(config, tmp_path / "st-01")
        (tmp_path / "typed").write_text(out)  # the whole screen: other lines are passed over
        timeline = tmp_path / "timeline.json"
        write_timeline(timeline, [[int(mono_ms()), T0_MS, SPEED]])
        truth = Truth(tmp_path / "truth.jsonl")
        running = await start_instruments(scene, SimClock.from_file(timeline), truth, line)
        cable = await PtyPair(device_tty, gateway_tty).start()
        process = GatewayProcess(config, timeline, tmp_path)
        device = StationProcess(tmp_path / "st-01" / "device", timeline)
        try:
            await process.start()
            await device.start()
            sent = tmp_path / "g" / "sent"
            await until(lambda: len(whole(sent, 4)) >= 3, 90)
            final = await device.stop()
        finally:
            await device.kill()
            await process.stop()
            await running.stop()
            await cable.stop()
            truth.close()
        assert final and final["crashes"] == 0 and not final.get("safe"), final
        assert final["emitted"] > 50 and not final["exceptions"], final
        return config

    config = asyncio.run(main())
    held: dict[str, list[float]] = {}
    for one in map(json.loads, (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()):
        held.setdefault(one["channel"], []).append(one["value"])
    for path in whole(tmp_path / "g" / "sent", 4):
        for row in path.read_text(encoding="utf-8").splitlines():
            symbol, value, _, _, status = row.split("\t")
            assert status == "00" and min(held[symbol]) - 0.1 <= float(value) <= max(held[symbol]) + 0.1, row
    bundle = tmp_path / "bundle"
    span = ("--from", "2026-03-25T00:00", "--to", "2026-03-25T06:00")
    assert quantrac("export", config, *span, "--out", bundle)[0] == 0
    status, out, errors = quantrac("verify", bundle, "--seal-key", tmp_path / "typed")
    assert status == 0 and re.search(r"\d\d+ records of device/st-01 .* are those sealed", out), (out, errors)
    (tmp_path / "wrong").write_text("ab" * 32)
    assert quantrac("verify", bundle, "--seal-key", tmp_path / "wrong")[0] == 1  # control


def whole(sent: Path, rows: int) -> list[Path]:
    """Provincial files in which every channel was measured."""
    return [
        path
        for path in sorted(sent.rglob("*.txt"))
        if (text := path.read_text(encoding="utf-8")).count("\t00\r\n" if "\r\n" in text else "\t00\n")
        >= rows
    ]
