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
CONFIGURATION = {"gateway.config", "gateway.config_model", "gateway.config_keys", "gateway.config_links"}
CONFIGURATION |= {"gateway.errors"}
# module prefix (the longest counts) -> gateway modules it may import; app.py, which wires, may import all
INSIDE_GATEWAY = {
    "gateway.journal": CONFIGURATION
    | {"gateway.counters", "gateway.forward.port", "gateway.journal", "gateway.succession"}
    | {"gateway.lane", "gateway.windows"},
    "gateway.windows": CONFIGURATION
    | {"gateway.accumulate", "gateway.derive", "gateway.lane", "gateway.marks", "gateway.timed"}
    | {"gateway.zone"},
    "gateway.zone": set(),
    "gateway.bucket": set(),
    "gateway.people": {"gateway.errors", "gateway.journal", "gateway.logs", "gateway.people"},
    "gateway.marks": set(),
    "gateway.lane": {"gateway.accumulate", "gateway.windows"},
    "gateway.accumulate": {"gateway.flags"},
    "gateway.timed": {"gateway.accumulate", "gateway.checks", "gateway.circular", "gateway.flags"},
    "gateway.checks": {"gateway.flags"},
    "gateway.circular": set(),
    "gateway.derive": {"gateway.accumulate", "gateway.flags", "gateway.windows"},
    "gateway.flags": set(),
    "gateway.reports": CONFIGURATION
    | {"gateway.calibration", "gateway.circular", "gateway.columns", "gateway.fees", "gateway.flags"}
    | {"gateway.indices"}
    | {"gateway.interruptions", "gateway.loads", "gateway.loads_columns", "gateway.spans", "gateway.qal3"}
    | {"gateway.quality_words", "gateway.reports", "gateway.suspicion", "gateway.windows"}
    | {"gateway.zone"},
    "gateway.quality_words": {"gateway.flags"},
    "gateway.columns": set(),
    "gateway.loads_columns": {"gateway.columns", "gateway.loads", "gateway.spans"},
    "gateway.interruptions": {"gateway.flags", "gateway.windows"},
    # what is signed and believed: nothing but itself
    "gateway.commands.message": {"gateway.reports.message", "gateway.zone"},
    "gateway.commands.entries": set(),
    "gateway.commands.sign": {"gateway.commands.message", "gateway.errors", "gateway.journal.keys"},
    "gateway.commands.desk": {"gateway.bucket", "gateway.commands", "gateway.errors", "gateway.journal"}
    | {"gateway.logs", "gateway.reports.message"},
    "gateway.commands.broker": CONFIGURATION
    | {"gateway.commands.message", "gateway.forward.files", "gateway.logs", "gateway.tls"},
    "gateway.commands.poll": {"gateway.commands.message", "gateway.errors", "gateway.forward.files"}
    | {"gateway.logs", "gateway.tls", "gateway.web.client"},
    "gateway.commands": CONFIGURATION
    | {"gateway.commands", "gateway.documents"}
    | {"gateway.forward.worker", "gateway.journal", "gateway.parked", "gateway.reports"}
    | {"gateway.sampling", "gateway.zone"},
    "gateway.sampling.bottles": {"gateway.reports.layout", "gateway.zone"},
    "gateway.sampling.drive": {"gateway.config_department", "gateway.errors", "gateway.ingest"}
    | {"gateway.logs", "gateway.sampling.bottles"},
    "gateway.sampling": CONFIGURATION
    | {"gateway.alert_states", "gateway.config_department", "gateway.ingest", "gateway.journal"}
    | {"gateway.logs", "gateway.requests", "gateway.sampling"},
    "gateway.hours": {"gateway.accumulate", "gateway.circular", "gateway.windows", "gateway.zone"},
    "gateway.alerts": CONFIGURATION
    | {"gateway.alert_levels", "gateway.alert_states", "gateway.interruptions", "gateway.limits.choose"}
    | {"gateway.journal.kinds", "gateway.journal.reader", "gateway.reports", "gateway.windows"},
    "gateway.alert_states": {"gateway.reports.layout"},
    "gateway.alert_levels": {"gateway.alert_states"},
    "gateway.alert_people": {"gateway.alert_states", "gateway.interruptions", "gateway.reports.message"},
    "gateway.alert_spans": {"gateway.hours", "gateway.limits.choose", "gateway.windows", "gateway.zone"}
    | {"gateway.journal.kinds", "gateway.journal.reader"},
    "gateway.calibration.record": set(),
    "gateway.calibration.fit": {"gateway.calibration.record"},
    "gateway.calibration.given": {"gateway.calibration", "gateway.zone"},
    "gateway.calibration.correct": {"gateway.calibration.fit", "gateway.calibration.record"},
    "gateway.calibration.checks": {"gateway.calibration.record", "gateway.qal3"},
    "gateway.calibration": CONFIGURATION
    | {"gateway.calibration", "gateway.ingest.calibrations", "gateway.journal", "gateway.logs"}
    | {"gateway.pictures", "gateway.qal3", "gateway.requests", "gateway.zone"},
    "gateway.pictures": {"gateway.journal"},
    "gateway.camera.auth": set(),
    "gateway.camera.picture": set(),
    "gateway.camera.onvif": {"gateway.camera.faults"},
    "gateway.camera.rtsp": {"gateway.camera.faults"},
    "gateway.camera": CONFIGURATION
    | {"gateway.camera", "gateway.config_camera", "gateway.journal", "gateway.logs", "gateway.pictures"}
    | {"gateway.reports.layout", "gateway.tls", "gateway.web.client", "gateway.zone"},
    "gateway.picture_page": CONFIGURATION
    | {"gateway.camera.picture", "gateway.camera.store", "gateway.journal", "gateway.pictures"}
    | {"gateway.reports.message", "gateway.zone"},
    "gateway.conditions": CONFIGURATION,
    "gateway.watch": CONFIGURATION
    | {"gateway.alert_people", "gateway.alert_spans", "gateway.alert_states", "gateway.alerts"}
    | {"gateway.calibration.history", "gateway.conditions", "gateway.interruptions", "gateway.journal"}
    | {"gateway.logs", "gateway.requests", "gateway.windows"},
    "gateway.indices": {"gateway.indices", "gateway.zone"},
    "gateway.spans": {"gateway.zone"},
    "gateway.loads": {"gateway.spans", "gateway.windows"},
    "gateway.suspicion": {"gateway.columns", "gateway.spans", "gateway.suspicion", "gateway.windows"},
    "gateway.qal3": {"gateway.zone"},
    "gateway.fees": {"gateway.loads", "gateway.spans"},
    "gateway.forward": CONFIGURATION
    | {"gateway.config_notify", "gateway.forward", "gateway.reports.alert_text", "gateway.reports.layout"}
    | {"gateway.tls", "gateway.web.client"},
    "gateway.config_notify": {"gateway.config_links"},
    "gateway.limits": {"gateway.limits"},
    "gateway.tls": {"gateway.errors"},
    "gateway.web": {"gateway.errors", "gateway.logs", "gateway.people", "gateway.requests", "gateway.tls"}
    | {"gateway.bucket", "gateway.calibration.given", "gateway.journal.durable", "gateway.web"}
    | {"gateway.zone"},
    "gateway.web.page": CONFIGURATION  # words and figures for people; what it reads comes through page_reads
    | {"gateway.alert_history", "gateway.alert_levels", "gateway.alert_states", "gateway.flags"}
    | {"gateway.limits", "gateway.logs", "gateway.marks", "gateway.page_reads", "gateway.people"}
    | {"gateway.calibration", "gateway.camera.picture", "gateway.quality_words", "gateway.reports"}
    | {"gateway.web", "gateway.zone"},
    "gateway.report_child": {"gateway.logs"},
    "gateway.report_jobs": {"gateway.journal", "gateway.logs", "gateway.report_child"}
    | {"gateway.reports.period"},
    "gateway.page_reads": CONFIGURATION
    | {"gateway.calibration.history", "gateway.camera.picture"}
    | {"gateway.alert_history", "gateway.alert_states", "gateway.feed_entries", "gateway.journal"}
    | {"gateway.marks"},
    "gateway.chart_page": CONFIGURATION
    | {"gateway.alert_history", "gateway.alert_levels", "gateway.alert_states", "gateway.flags"}
    | {"gateway.journal", "gateway.limits", "gateway.reports", "gateway.zone"},
    "gateway.index_now": CONFIGURATION
    | {"gateway.hours", "gateway.indices", "gateway.journal", "gateway.logs", "gateway.reports"}
    | {"gateway.windows", "gateway.zone"},
    "gateway.pauses": {"gateway.forward.worker", "gateway.journal", "gateway.requests"},
    "gateway.alert_history": {"gateway.alert_states"},
    "gateway.window_page": CONFIGURATION
    | {"gateway.errors", "gateway.flags", "gateway.journal", "gateway.reports", "gateway.web"}
    | {"gateway.windows", "gateway.zone"},
    "gateway.witness": CONFIGURATION
    | {"gateway.forward.worker", "gateway.journal", "gateway.logs"}
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
        prefixes = [p for p in INSIDE_GATEWAY if name == p or name.startswith(p + ".")]
        if not prefixes:
            continue
        allowed = INSIDE_GATEWAY[max(prefixes, key=len)]
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
