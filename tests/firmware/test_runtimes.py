"""The dual-runtime modules of this folder inside MicroPython, and starts that cannot succeed."""

import json
import re
from pathlib import Path

import pytest

from tests.protocol.test_runtimes import MARK, micropython

HERE = Path(__file__).parent
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


def test_a_board_without_a_module_says_so():
    done = micropython(
        "-c",
        (
            "import sys, firmware.board as b\n"
            "class S: platform = 'stm32'\n"
            "b.sys = S\n"
            "try: b.open_board('/')\n"
            "except Exception as e: print(type(e).__name__, e)\n"
        ),
    )
    assert "ConfigError" in done.stdout and "firmware/boards/stm32.py" in done.stdout


@pytest.mark.parametrize(
    "content", [None, b"{", b'{"id": "st-01"}', b'{"id": "st-01", "link": {"kind": "tcp"}}']
)
def test_without_an_identity_it_is_a_sentence_and_exit_2(tmp_path, content):
    (tmp_path / "link.key").write_text("ab" * 32)
    if content is not None:
        (tmp_path / "identity.json").write_bytes(content)
    done = micropython("-X", "heapsize=512k", "-m", "firmware.main", str(tmp_path))
    assert done.returncode == 2 and "cannot start" in done.stderr and "Traceback" not in done.stderr
    assert "identity.json" in done.stderr and not (tmp_path / "boot").exists()
