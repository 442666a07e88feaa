"""What ran inside MicroPython: our modules with marks (marks.py), and their points brought to coverage.py.

MicroPython's builds carry no `sys.settrace`. So $MICROPYTHON names a small program to the tests: it puts a
copy of the tree in front whose firmware/ and protocol/ have marks, makes the heap as much larger as the marks
need, and becomes the real interpreter.

Rule 1: only where the tests run this checkout's own files. A test's copy of them, changed or not, and
        bytecode made of them run as they are and count for nothing.
Rule 2: a point is written, by one write of its own, the first time that a process gets there: a process that
        is killed has told all that it did until then.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from coverage import CoverageData

from simulator.station import find_micropython
from tests.coverage.marks import Arc, mark

MARKED = ("firmware", "protocol")
POINT_BYTES = 3
HEAP_MORE = 768 * 1024  # marks double the bytecode, and the text that is compiled

TOLD = """# The points that were reached, three bytes each, at the first time. Written by tests/coverage.
_file = open({path!r}, "ab")
_known = {{}}


def of(base, count):
    if (base, count) not in _known:
        seen, word = bytearray(count), bytearray(3)

        def hit(at):
            seen[at] = 1
            number = base + at
            word[0], word[1], word[2] = number >> 16, number >> 8 & 255, number & 255
            _file.write(word)

        _known[base, count] = seen, hit
    return _known[base, count]
"""

INTERPRETER = """#!{python} -IS
# MicroPython, with marks in the modules of {root}. Written by tests/coverage.
import os, re, sys

ROOT, MARKED, REAL = {root!r}, {marked!r}, {real!r}


def more(word):
    size = re.fullmatch("heapsize=([0-9]+)([kmKM]?)", word)
    if not size:
        return word
    unit = {{"": 1, "k": 1024, "m": 1024 * 1024}}[size[2].lower()]
    return "heapsize=%d" % (int(size[1]) * unit + {more})


path = os.environ.get("MICROPYPATH", "").split(":")
if os.getcwd() == ROOT:
    os.chdir(MARKED)  # a link back to all that has no marks
if ROOT in path:
    os.environ["MICROPYPATH"] = ":".join(MARKED if one == ROOT else one for one in path)
os.execv(REAL, [REAL, *map(more, sys.argv[1:])])
"""


class Marks:
    """The marked tree in `folder`, for the checkout `root`. `interpreter` is what $MICROPYTHON must name."""

    def __init__(self, root: Path, folder: Path, exclude: str) -> None:
        real = find_micropython()
        if real is None:
            raise FileNotFoundError("no MicroPython: `make test` installs one, or set $MICROPYTHON")
        self._points: list[tuple[str, Arc]] = []
        self._told = folder / "told"
        self.interpreter = folder / "micropython"
        tree = folder / "tree"
        tree.mkdir(parents=True)
        self._told.touch()
        for one in root.iterdir():
            if one.name not in MARKED:
                (tree / one.name).symlink_to(one)
        for part in MARKED:
            self._copy(root, tree, part, exclude)
        (tree / "_quantrac_hits.py").write_text(TOLD.format(path=str(self._told)), encoding="utf-8")
        names = {"root": str(root), "marked": str(tree), "real": str(real), "python": sys.executable}
        self.interpreter.write_text(INTERPRETER.format(more=HEAP_MORE, **names), encoding="utf-8")
        os.chmod(self.interpreter, 0o755)

    def _copy(self, root: Path, tree: Path, part: str, exclude: str) -> None:
        for source in sorted((root / part).rglob("*")):
            target = tree / source.relative_to(root)
            if source.is_dir() or "__pycache__" in source.parts:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix != ".py":
                target.symlink_to(source)
                continue
            text, name = source.read_text(encoding="utf-8"), str(source)
            marked = mark(text, name, len(self._points), exclude)
            self._points += [(name, arc) for arc in marked.points]
            target.write_text(marked.text, encoding="utf-8")

    def write(self, path: Path) -> int:
        """All points that were reached, as a data file of coverage.py; how many they are."""
        told = self._told.read_bytes()
        reached = {told[at : at + POINT_BYTES] for at in range(0, len(told), POINT_BYTES)}
        arcs: dict[str, set[Arc]] = {}
        for word in reached:
            name, arc = self._points[int.from_bytes(word, "big")]
            arcs.setdefault(name, set()).add(arc)
        data = CoverageData(basename=str(path))
        data.add_arcs(arcs)
        data.close()
        return len(reached)
