"""simulator/scene.py: every scene can be built, read, checked by the gateway, and keeps up when sped up."""

import asyncio
import json
import tomllib

import pytest

from gateway.config import read as read_config
from protocol import registers
from protocol.calibration import engineering
from protocol.reading import bits_float
from simulator.clock import SimClock, mono_ms
from simulator.scene import KINDS, load_scene, parse_scene, start_instruments
from simulator.truth import Truth
from tests.simulator._rig import T0_MS, serial_client, tcp_client, until
from tools.station.build import build

KEY = "5a" * 32
LINK = {"kind": "serial", "path": "/dev/ttyLINK", "baud": 115200}
READERS = {1: "read_coils", 2: "read_discrete_inputs", 3: "read_holding_registers", 4: "read_input_registers"}


def truth_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_site_builds_and_the_gateway_accepts_the_channels(tmp_path, kind):
    scene = load_scene(kind)
    station = build(scene.site("st-01", KEY, LINK, "/dev/ttyBUS"))
    on_device = [c.quantity.id for u in scene.units_of("device") for c in u.channels]
    assert [channel["name"] for channel in station["channels"]] == on_device
    assert scene.units_of("device") and scene.units_of("gateway")

    def toml(value):  # as far as a scene's tables go
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {toml(entry)}" for key, entry in value.items()) + " }"
        return json.dumps(value, ensure_ascii=False)

    (tmp_path / "gateway/keys").mkdir(parents=True)
    key_file = tmp_path / "gateway/keys/st-01.link"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    text = (
        f'[station]\nprovince = "LCa"\nfacility = "DEMO"\ncode = "{scene.code}"\nname = "{scene.name}"\n'
        f'kind = "{kind}"\n[gateway]\nstate_dir = "gateway"\n'
        '[[device]]\nid = "st-01"\nlink = "tcp-listen://127.0.0.1:7311"\n'
        'key_file = "gateway/keys/st-01.link"\n'
    )
    tables = [("bus", scene.bus("127.0.0.1", 5020)), *(("channel", c) for c in scene.channels("st-01"))]
    for name, table in tables:
        text += f"[[{name}]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items())
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    config, faults = read_config(tmp_path / "config.toml")
    assert faults == [] and [c.symbol for c in config.channel] == scene.symbols


@pytest.mark.parametrize("kind", KINDS)
def test_what_station_json_reads_is_what_the_truth_says(tmp_path, kind):
    """Every read and value of the built station.json, done by pymodbus's client instead of the firmware."""

    async def main():
        scene = load_scene(kind)
        station = build(scene.site("st-01", KEY, LINK, tmp_path / "rs485"))
        clock = SimClock.from_segments([[int(mono_ms()), T0_MS, 0.001]])  # as good as standing still
        truth = Truth(tmp_path / "truth.jsonl")
        running = await start_instruments(scene, clock, truth, tmp_path / "rs485", seed=11)
        got = {}
        async with serial_client(tmp_path / "rs485") as client:
            for unit in station["units"]:
                blocks = []
                for read in unit["reads"]:
                    answer = await getattr(client, READERS[read["function"]])(
                        read["address"], count=read["count"], device_id=unit["unit"]
                    )
                    assert not answer.isError(), (unit["profile"], read)
                    blocks.append(answer.bits if read["function"] < 3 else answer.registers)
                for value in unit["values"]:
                    words = blocks[value["read"]][value["at"] :][: registers.words_of(value["type"])]
                    raw = bits_float(
                        registers.raw_bits(
                            words,
                            value["type"],
                            value["order"],
                            value["multiply"],
                            value["divide"],
                            value["offset"],
                        )
                    )
                    channel = station["channels"][value["channel"]]
                    got[channel["name"]] = engineering(raw, channel["points"])
        async with tcp_client(running.tcp_port) as client:
            for unit in scene.units_of("gateway"):
                for c in unit.channels:
                    q = c.quantity
                    reader = (
                        client.read_input_registers if q.table == "input" else client.read_holding_registers
                    )
                    words = (
                        await reader(q.register, count=registers.words_of(q.type), device_id=unit.unit)
                    ).registers
                    got[q.id] = registers.decode(words, q.type, q.word_order) * q.scale + q.offset
        truth.flush()
        held = {line["channel"]: line["value"] for line in truth_lines(truth.path)}
        await running.stop()
        truth.close()
        assert list(held) == scene.symbols
        for unit in scene.units:
            for c in unit.channels:
                assert abs(got[c.quantity.id] - held[c.symbol]) <= 1e-6 * abs(held[c.symbol]), c.symbol
                assert c.shape.low <= held[c.symbol] <= c.shape.high

    asyncio.run(main())


def test_truth_keeps_up_at_300_times_the_speed(tmp_path):
    async def main():
        scene = load_scene("wastewater")
        clock = SimClock.from_segments([[int(mono_ms()), T0_MS, 300]])
        truth = Truth(tmp_path / "truth.jsonl")
        running = await start_instruments(scene, clock, truth, tmp_path / "rs485")
        await until(lambda: clock.now_ms() > T0_MS + 900_000, "a quarter of an hour")
        await running.stop()
        truth.close()
        times = {}
        for line in truth_lines(truth.path):
            times.setdefault(line["channel"], []).append(line["t"])
        steps = {c.symbol: round(c.update_s * 1000) for u in scene.units for c in u.channels}
        for symbol, step in steps.items():
            assert times[symbol] == list(range(T0_MS, times[symbol][-1] + 1, step))
        assert (steps["COD"], steps["NH4"]) == (300_000, 150_000)

    asyncio.run(main())


def test_bad_scenes_say_what_is_wrong():
    with pytest.raises(ValueError, match="write one of wastewater"):
        load_scene("lake")
    table = tomllib.loads("""
        kind = "x"
        name = "x"
        code = "x"
        [[unit]]
        reader = "device"
        unit = 1
        profile = "generic-tss"
        poll_ms = 1000
        phase_ms = 0
        [[unit.channel]]
        quantity = "tss"
        symbol = "TSS"
        unit = "mg/l"
        decimals = 4
        update_s = 10
        signal = { level = 30.0 }
        """)
    assert parse_scene(table).symbols == ["TSS"]
    table["unit"][0]["channel"] *= 2
    with pytest.raises(ValueError, match="a symbol stands twice"):
        parse_scene(table)
