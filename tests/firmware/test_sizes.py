"""How large the firmware is, file by file, for every processor it is made for.

python -m tests.firmware.test_sizes        prints the table, as it stands in firmware/README.md
"""

import tempfile
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from tools.station.bytecode import ARCHITECTURES, NOT_ON, ROOT, compile_to, modules, shortened

ON_CPYTHON = ("posix_cpython", "tls_cpython")
# A Pico W has 848 KB for files. Two slots and an update that is being received are three copies; what is left
# for records must be at least half of it.
PORT_BYTES_MAX = 140_000


def sources() -> dict[str, Path]:
    """Every module of firmware/, boards of all ports included, and what those import of protocol/."""
    found = {name: path for port in NOT_ON for name, path in modules(port).items()}
    for path in sorted((ROOT / "firmware").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if path.stem not in ON_CPYTHON:
            found[name] = path
    return dict(sorted(found.items()))


def sizes(folder: Path) -> dict[str, dict[str, int]]:
    """Bytes of bytecode by file and architecture. ConfigError for what does not compile."""
    found = sources()
    short = shortened({name: path.read_text(encoding="utf-8") for name, path in found.items()})
    result: dict[str, dict[str, int]] = {}
    for name, path in found.items():
        file = str(path.relative_to(ROOT))
        result[file] = {}
        for architecture in ARCHITECTURES:
            target = folder / "one.mpy"
            compile_to(target, short[name], file, architecture)
            result[file][architecture] = target.stat().st_size
    return result


def totals(measured: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Bytes by port and architecture: what one device of that port holds of the firmware, once."""
    return {
        port: {
            architecture: sum(
                measured[str(path.relative_to(ROOT))][architecture] for path in modules(port).values()
            )
            for architecture in ARCHITECTURES
        }
        for port in NOT_ON
    }


def table(measured: dict[str, dict[str, int]]) -> str:
    lines = [
        "| bytes of bytecode | " + " | ".join(ARCHITECTURES) + " |",
        "|---|" + "---:|" * len(ARCHITECTURES),
    ]
    rows = {f"`{file}`": row for file, row in measured.items()}
    rows |= {f"**all that {port} runs**": row for port, row in totals(measured).items()}
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[one]:,}" for one in ARCHITECTURES) + " |")
    return "\n".join(lines)


def test_everything_compiles_for_every_processor_and_is_small(tmp_path, capsys):
    measured = sizes(tmp_path)
    with capsys.disabled():
        print("\n\n" + table(measured))
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "firmware").rglob("*.py")}
    assert files - set(measured) == {f"firmware/boards/{name}.py" for name in ON_CPYTHON}
    for port, row in totals(measured).items():
        assert max(row.values()) <= PORT_BYTES_MAX, f"{port} leaves too little room for records"


def test_control_a_file_that_does_not_compile_is_found(tmp_path):
    with pytest.raises(ConfigError, match=r"bad\.py does not compile"):
        compile_to(tmp_path / "bad.mpy", "match x:\n    case 1: pass\n", "bad.py", "armv6m")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(table(sizes(Path(folder))))
