"""A program's system calls on one directory, recorded by strace, in the order in which they count.

    calls = record([sys.executable, "-m", "victim", ...], directory, said, log)

`said` is a file outside of the directory: what the program writes to it stands in the same stream as
Call("said"), so that it is known which promise was given before which call.

Rule 1: a call that changes something counts from its beginning (it may be on the disk before it returns), and
        so does what is said; a sync counts from its end, and only for what had ended when it began.
Rule 2: a call on the directory that this module does not understand is an error, never left out. The only
        memory mapped for writing may be that of VOLATILE files, which nobody expects back after a crash.
Rule 3: faults are strace's own (`fdatasync:error=EIO:when=3`), counted for each thread over the files named
        in `only`.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

CHANGES = "creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate"
NAMES = (
    "open,openat,openat2,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink"
)
SYNCS = "fsync,fdatasync,sync_file_range,msync,sync,syncfs"
OTHERS = "mmap,lseek,copy_file_range,sendfile,io_submit,io_uring_setup"
TRACED = ",".join((CHANGES, NAMES, SYNCS, OTHERS))
VOLATILE = ("-shm",)
"""Ends of names of files that are rebuilt after a crash: SQLite's index of its log."""

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(.*)", re.DOTALL)
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_FD = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_VECTOR = re.compile(r'iov_base="((?:\\x[0-9a-f]{2})*)"')


class Call(NamedTuple):
    """kind: create, mkdir, write, size, unlink, rename, sync, unsynced (a sync that failed), failed, said."""

    kind: str
    name: str = ""  # of the file, relative to the directory; "" is the directory itself
    offset: int = (
        0  # write: where, -1 at the end; size: the new length; sync: covers the calls before this one
    )
    data: bytes = b""  # write, said: the bytes; rename: the new name


class NotUnderstood(Exception):
    """The program did something with its files that a replay could not repeat."""


def command(
    argv: Sequence[str], log: Path, faults: Iterable[str] = (), only: Iterable[Path] = ()
) -> list[str]:
    """The command line that runs `argv` under strace. `only` limits recording and faults to these paths."""
    start = ["strace", "-f", "-qq", "-y", "-xx", "-s", "16777216", "-o", str(log), "-e", f"trace={TRACED}"]
    for path in only:
        start += ["-P", str(path)]
    for fault in faults:
        start += ["-e", f"inject={fault}"]
    return [*(start if faults else [*start, "--seccomp-bpf"]), *argv]


def record(
    argv: Sequence[str],
    directory: Path,
    said: Path,
    log: Path,
    faults: Sequence[str] = (),
    only: Sequence[Path] = (),
    seconds: float = 60,
    cwd: Path | None = None,
    killed: bool = False,
) -> list[Call]:
    """Run the program to its end and return its calls. RuntimeError with its output when it failed.

    With `killed` it must end by SIGKILL instead (an injected one).
    """
    limited = [*only, said] if only else ()
    done = subprocess.run(
        command(argv, log, faults, limited), cwd=cwd, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode != (-signal.SIGKILL if killed else 0):
        raise RuntimeError(f"{argv[0]} ended with {done.returncode} under strace: {done.stdout}{done.stderr}")
    with log.open(encoding="ascii", errors="replace") as lines:
        return parse(lines, directory, said)


def parse(lines: Iterable[str], directory: Path, said: Path) -> list[Call]:
    """The calls of a log of strace."""
    return _Parser(directory, said).parse(lines)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


class _Parser:
    def __init__(self, directory: Path, said: Path):
        self._root = str(directory.resolve())
        self._said = str(said.resolve())
        self._at: dict[int, int | None] = {}  # where write() goes on in a descriptor; None: at the end

    def parse(self, lines: Iterable[str]) -> list[Call]:
        begun: dict[str, tuple[int, str]] = {}  # thread -> its unfinished call
        found: list[tuple[int, int, int, Call]] = []  # (when it counts, beginning, end, call)
        for number, line in enumerate(lines):
            line, start = line.rstrip("\n"), number
            if line.endswith("<unfinished ...>"):
                begun[line.split(" ", 1)[0]] = number, line.removesuffix("<unfinished ...>")
                continue
            if resumed := _RESUMED.fullmatch(line):
                start, first = begun.pop(resumed[1])
                line = first + resumed[3]
            if matched := _LINE.fullmatch(line):
                for call in self._calls(matched[2], matched[3], matched[4]):
                    counts = number if call.kind in ("sync", "unsynced") else start
                    found.append((counts, start, number, call))
        found.sort(key=lambda each: each[0])
        calls: list[Call] = []
        for _, start, _, call in found:
            if call.kind in ("sync", "unsynced"):
                before = found[: len(calls)]
                open_ones = (
                    i for i, each in enumerate(before) if each[3].name == call.name and each[2] > start
                )
                call = call._replace(offset=next(open_ones, len(calls)))
            calls.append(call)
        return calls

    def _relative(self, path: str) -> str | None:
        if path == self._root:
            return ""
        return path.removeprefix(self._root + "/") if path.startswith(self._root + "/") else None

    def _calls(self, name: str, rest: str, result: str) -> list[Call]:
        """What this call means for the directory: mostly one Call, or none."""
        fd = _FD.match(rest)
        path = _bytes(fd[2]).decode() if fd else None
        if path == self._said:
            return [Call("said", data=_bytes(_TEXT.findall(rest)[0]))] if name == "write" else []
        by_name = name in NAMES.split(",") or name == "truncate" or name == "creat"
        named = [_bytes(text).decode(errors="replace") for text in _TEXT.findall(rest)] if by_name else [path]
        inside = [self._relative(each) for each in named if each is not None]
        if all(each is None for each in inside) or (fd and fd[3]):
            return []  # elsewhere, or a file whose last name is gone
        target = inside[0] or ""
        if result == "?":  # killed in it
            if name in SYNCS.split(","):
                return []
            raise NotUnderstood(f"killed in {name} of {target}: was it carried out?")
        failed = result.startswith("-")
        if name in ("fsync", "fdatasync"):
            return [Call("unsynced" if failed else "sync", target)]
        if failed:
            return [Call("failed", target, data=name.encode())]
        if name in ("open", "openat", "creat"):
            return self._opened(target, name, rest, int(result))
        if name in ("mkdir", "mkdirat"):
            return [Call("mkdir", target)] if target else []
        if name == "unlink" or (name == "unlinkat" and "AT_REMOVEDIR" not in rest):
            return [Call("unlink", target)]
        if (
            name in ("rename", "renameat", "renameat2")
            and None not in inside
            and "RENAME_EXCHANGE" not in rest
        ):
            return [Call("rename", target, data=(inside[1] or "").encode())]
        if fd is not None:
            return self._changed(name, int(fd[1]), target, rest, int(result, 0))
        raise NotUnderstood(f"{name}({', '.join(filter(None, named))})")

    def _opened(self, name: str, call: str, rest: str, fd: int) -> list[Call]:
        self._at[fd] = None if "O_APPEND" in rest else 0
        calls = []
        if call == "creat" or "O_CREAT" in rest:
            calls.append(Call("create", name))  # of a file that is there: changes nothing
        if call == "creat" or "O_TRUNC" in rest:
            calls.append(Call("size", name, 0))
        return calls

    def _changed(self, name: str, fd: int, target: str, rest: str, result: int) -> list[Call]:
        if name == "mmap":
            if "PROT_WRITE" in rest and "MAP_SHARED" in rest and not target.endswith(VOLATILE):
                raise NotUnderstood(f"{target} is written through memory")
            return []
        if name == "lseek":
            self._at[fd] = result
            return []
        last = rest.rsplit(", ", 1)[-1]
        if name == "ftruncate":
            return [Call("size", target, int(last))]
        if name in ("write", "writev", "pwrite64", "pwritev"):
            found = _VECTOR.findall(rest) if name.endswith("v") else _TEXT.findall(rest)
            data = _bytes("".join(found))[:result]
            if name.startswith("p"):
                return [Call("write", target, int(last), data)]
            at = self._at.get(fd, 0)
            if at is not None:
                self._at[fd] = at + len(data)
            return [Call("write", target, -1 if at is None else at, data)]
        raise NotUnderstood(f"{name} of {target}")
