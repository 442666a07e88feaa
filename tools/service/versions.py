"""Versions side by side below /opt/quantrac: each in an environment of its own; `current` is what runs.

Rule 1: a version's name has its number and a part of the SHA-256 of its sources: the same sources are the
        same version, and are not made again.
Rule 2: a version that was not finished is no version: its mark comes last.
Rule 3: `current` and `previous` are links, each switched in one moment.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tools.people import Failure, UsageError
from tools.service.place import CURRENT, OPT, PREVIOUS, Place
from tools.service.steps import Done, Link, run

PACKAGES = ("firmware", "gateway", "protocol", "simulator", "tools")
BESIDE = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE")
FINISHED = ".finished"
PYTHON = "/usr/bin/python3"
PYTHONS = ((3, 11), (3, 13))
"""From, to."""

Build = Callable[[Path, Path, str], None]
"""build(sources, folder, python): makes an environment with the command in `folder`."""


class Sources(NamedTuple):
    """A folder with a release of ours."""

    folder: Path
    version: str  # "0.1.0-1a2b3c4d"


def sources_in(folder: Path) -> Sources:
    """What the folder holds. UsageError."""
    for name in (*BESIDE[:2], *PACKAGES):
        if not (folder / name).exists():
            raise UsageError(
                f"{folder} is no release of Quantrac ({name} is missing): name its folder with --from."
            )
    number = tomllib.loads((folder / BESIDE[0]).read_text("utf-8"))["project"]["version"]
    made = hashlib.sha256()
    for path in _files(folder):
        made.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        made.update(path.read_bytes())
    return Sources(folder, f"{number}-{made.hexdigest()[:8]}")


def own_sources() -> Path | None:
    """The folder that this command runs from, where it is a release; None in an installed version."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / BESIDE[0]).exists() else None


def _files(folder: Path) -> list[Path]:
    found = [folder / name for name in BESIDE if (folder / name).exists()]
    for name in PACKAGES:
        found += [
            path
            for path in (folder / name).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
        ]
    return sorted(found)


def make(place: Place, sources: Sources, python: str, build: Build) -> Done:
    """Make that version, if it is not there. Failure, and nothing of it is left."""
    folder = OPT / sources.version
    real = place.real(folder)
    if (real / FINISHED).exists():
        return Done("same", str(folder))
    shutil.rmtree(real, ignore_errors=True)
    real.parent.mkdir(parents=True, exist_ok=True)
    try:
        build(sources.folder, real, python)
        if not place.live:
            _relocate(real, folder)
        (real / FINISHED).touch()
    except BaseException:
        shutil.rmtree(real, ignore_errors=True)
        raise
    return Done("made", str(folder))


def _relocate(real: Path, folder: Path) -> None:
    """Let the programs of an environment that was made at `real` find their Python at `folder`."""
    for program in (real / "bin").iterdir():
        data = b"" if program.is_symlink() else program.read_bytes()
        first, newline, rest = data.partition(b"\n")
        if first.startswith(b"#!" + str(real).encode()):
            program.write_bytes(first.replace(str(real).encode(), str(folder).encode()) + newline + rest)


def build(sources: Path, folder: Path, python: str) -> None:
    """An environment with all pinned libraries, checked by their hashes, and ours."""
    check_python(python)
    run([python, "-m", "venv", str(folder)], "an environment of its own; apt-get install python3-venv")
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "-r", str(sources / "constraints.txt")], "the libraries, as pinned")
    with tempfile.TemporaryDirectory() as copied:  # building leaves files beside the sources
        for name in (*PACKAGES, *BESIDE):
            source = sources / name
            if source.is_dir():
                shutil.copytree(source, Path(copied) / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, Path(copied) / name)
        run([*pip, "--no-deps", "--no-build-isolation", copied], "Quantrac itself")


def shown(sources: Sources, python: str) -> str:
    """What build() would do, for --dry-run."""
    pip = f"{OPT / sources.version}/bin/python -m pip install"
    return (
        f"command {python} -m venv {OPT / sources.version}    (an environment of its own)\n"
        f"command {pip} --require-hashes -r {sources.folder}/constraints.txt    (the libraries, as pinned)\n"
        f"command {pip} --no-deps --no-build-isolation {sources.folder}    (Quantrac itself)\n"
    )


def check_python(python: str) -> None:
    """UsageError unless it is one that Quantrac runs on, at a place that a service sees."""
    if re.match(r"/(home|root)/", os.path.realpath(python)):
        raise UsageError(f"{python} lies where a service does not see it: give --python /usr/bin/python3.")
    try:
        asked = [python, "-c", "import sys; print(*sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
        found = tuple(map(int, done.stdout.split()))
    except (OSError, ValueError):
        found = ()
    if len(found) != 2 or not PYTHONS[0] <= found <= PYTHONS[1]:
        raise UsageError(
            f"{python} is not Python 3.11, 3.12 or 3.13: install one, and name it with --python."
        )


# Which one runs --------------------------------------------------------------------------------------------


def current(place: Place) -> str | None:
    """The version that `current` names."""
    return _named(place, CURRENT)


def previous(place: Place) -> str | None:
    """The one before it, if it is still there."""
    name = _named(place, PREVIOUS)
    return name if name is not None and (place.real(OPT / name) / FINISHED).exists() else None


def _named(place: Place, link: Path) -> str | None:
    real = place.real(link)
    return Path(os.readlink(real)).name if real.is_symlink() else None


def prune(place: Place) -> list[str]:
    """Remove all but the version that runs and the one before it: a card is small. Names of what went."""
    kept = {current(place), _named(place, PREVIOUS)}
    gone = [
        folder.name
        for folder in sorted(place.real(OPT).iterdir())
        if folder.is_dir() and not folder.is_symlink() and folder.name not in kept
    ]
    for name in gone:
        shutil.rmtree(place.real(OPT / name))
    return gone


def switch(place: Place, version: str) -> None:
    """Let `current` be that version, and `previous` the one that was. Failure."""
    if not (place.real(OPT / version) / FINISHED).exists():
        raise Failure(f"{OPT / version} is no finished version: say quantrac gateway upgrade again.")
    was = current(place)
    if was is not None and was != version:
        Link(PREVIOUS, Path(was)).do(place)
    Link(CURRENT, Path(version)).do(place)
