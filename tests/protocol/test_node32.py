"""Every dual-runtime test module of this folder, again, in a MicroPython with 32-bit words (under Node)."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.protocol.test_runtimes import ROOT, dual_runtime_modules

PACKAGE = ROOT / ".node" / "node_modules" / "@micropython" / "micropython-webassembly-pyscript"


def run(package: Path, *modules: str) -> subprocess.CompletedProcess:
    node = shutil.which("node")
    if node is None:
        pytest.fail("no Node on PATH: install Node 20 or later")
    if not package.exists():
        pytest.fail("no 32-bit MicroPython: install it as tests/node/README.md says")
    return subprocess.run(
        [node, str(ROOT / "tests/node/run.mjs"), str(ROOT), str(package), *modules],
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.parametrize("module", dual_runtime_modules())
def test_in_32_bits(module):
    done = run(PACKAGE, f"tests.protocol.{module}")
    assert done.returncode == 0, done.stdout + done.stderr
    source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "passed": len(re.findall(r"^def test_", source, re.M)),
        "failed": 0,
    }


def test_a_changed_package_is_not_loaded(tmp_path):
    if not PACKAGE.exists():
        pytest.fail("no 32-bit MicroPython: install it as tests/node/README.md says")
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy)
    with open(copy / "micropython.mjs", "a", encoding="utf-8") as file:
        file.write("\n")
    done = run(copy, "tests.protocol.test_quality")
    assert done.returncode == 3 and "passed" not in done.stdout


def test_the_project_names_one_exact_version():
    named = json.loads((ROOT / "tests/node/package.json").read_text(encoding="utf-8"))
    (version,) = named["devDependencies"].values()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    if not PACKAGE.exists():
        pytest.fail("no 32-bit MicroPython: install it as tests/node/README.md says")
    assert json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))["version"] == version
