"""The rules of the house as tests: who may import whom, where time comes from, what a folder must explain."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("firmware", "gateway", "protocol", "simulator", "tools")

MAY_IMPORT = {
    "protocol": set(),
    "firmware": {"protocol"},
    "gateway": {"protocol"},
    "simulator": {"protocol"},
    "tools": {"protocol", "gateway", "simulator"},
}
CONFIGURATION = {"gateway.config", "gateway.config_model", "gateway.config_links", "gateway.errors"}
INSIDE_GATEWAY = {  # module prefix -> gateway modules it may import; app.py, which wires, may import all
    "gateway.journal": CONFIGURATION
    | {"gateway.counters", "gateway.forward.port", "gateway.journal", "gateway.succession"}
    | {"gateway.lane", "gateway.windows"},
    "gateway.windows": CONFIGURATION | {"gateway.accumulate", "gateway.lane"},
    "gateway.lane": {"gateway.accumulate", "gateway.windows"},
    "gateway.accumulate": set(),
    "gateway.reports": CONFIGURATION | {"gateway.interruptions", "gateway.reports", "gateway.windows"},
    "gateway.interruptions": {"gateway.windows"},
    "gateway.hours": {"gateway.accumulate", "gateway.windows"},
    "gateway.alerts": CONFIGURATION
    | {"gateway.journal.kinds", "gateway.journal.reader", "gateway.reports", "gateway.windows"},
    "gateway.forward": CONFIGURATION
    | {"gateway.forward", "gateway.reports.layout", "gateway.tls", "gateway.web.client"},
    "gateway.tls": {"gateway.errors"},
    "gateway.web": {"gateway.errors", "gateway.logs", "gateway.tls", "gateway.web"},
    "gateway.witness": CONFIGURATION
    | {"gateway.config_cross", "gateway.forward.worker", "gateway.journal", "gateway.logs"}
    | {"gateway.succession", "gateway.web.client"},
}
HARDWARE = {"machine", "network", "vfs", "rp2", "esp32", "termios", "select", "socket", "usb"}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module a file imports, absolute, wherever in the file the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_folders_import_only_downwards():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in FOLDERS
        for path in sources(folder)
        for name in imports(path)
        if (top := name.split(".")[0]) in (*FOLDERS, "tests")
        and top != folder
        and top not in MAY_IMPORT[folder]
    ]
    assert wrong == []


def test_gateway_parts_keep_apart():
    wrong = []
    for path in sources("gateway"):
        name = module_name(path)
        for prefix, allowed in INSIDE_GATEWAY.items():
            if name != prefix and not name.startswith(prefix + "."):
                continue
            for imported in imports(path):
                if imported.startswith("gateway.") and not any(
                    imported == a or imported.startswith(a + ".") for a in allowed
                ):
                    wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_hardware_only_behind_the_board():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("firmware")
        if path.parent.name != "boards"
        for name in imports(path)
        if name.split(".")[0] in HARDWARE
    ]
    assert wrong == []


def test_gateway_time_comes_from_the_clock():
    pattern = re.compile(r"\btime\.(time|time_ns)\(|datetime\.(now|utcnow|today)\(")
    wrong = [
        f"{path.relative_to(ROOT)}: {match.group(0)}"
        for path in sources("gateway")
        if path.name != "clock.py"
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_protocol_does_no_io():
    forbidden = {"socket", "asyncio", "time", "os", "select", "threading", "sqlite3", "datetime", "random"}
    loader = ROOT / "protocol" / "instruments" / "__init__.py"  # reads the profiles; CPython only, says so
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("protocol")
        if path != loader
        for name in imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert wrong == []


def test_every_folder_explains_itself():
    for folder in (*FOLDERS, "tests"):
        text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
        for path in sorted((ROOT / folder).glob("*.py")):
            if path.name != "__init__.py" and folder != "tests":
                assert path.name in text, f"{folder}/README.md does not say what {path.name} is for"


def test_modules_hold_one_idea():
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for folder in FOLDERS
        for path in sources(folder)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 700
    ]
    assert long == []


def test_promises_name_tests_that_exist():
    text = (ROOT / "tests" / "PROMISES.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert named
    for file, test in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not test or re.search(rf"\bdef {test}\b", source), f"PROMISES.md names {file}::{test}"


def test_all_packages_are_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    present = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == present


def test_pins_carry_hashes_and_no_addresses():
    for path in ROOT.glob("constraints*.txt"):
        text = path.read_text(encoding="utf-8")
        pins = re.findall(r"^[a-z0-9][\w.\-\[\]]*==", text, re.MULTILINE | re.IGNORECASE)
        assert pins and "--hash=sha256:" in text
        assert "://" not in text


def test_no_path_of_a_machine_is_committed():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\0")
    pattern = re.compile(r"(?<![\w/])/(?:home|root|work)/\w+")
    wrong = []
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".json", ".cddl", ".sql", ""} and path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            wrong += [f"{name}: {match.group(0)}" for match in pattern.finditer(text)]
    assert wrong == []
