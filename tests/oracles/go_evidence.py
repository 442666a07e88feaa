"""Go's own reader of evidence: built from evidence/oracle.go, asked over a pipe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

SOURCE = Path(__file__).parent / "evidence" / "oracle.go"
GOPATH = Path("/usr/share/gocode")  # where Debian's golang-*-dev packages put their sources


def build(folder: Path) -> Path:
    """Compiles the oracle into the folder; takes a second or two."""
    go = shutil.which("go")
    if go is None or not (GOPATH / "src/golang.org/x/mod/sumdb/note").is_dir():
        raise AssertionError(
            "Go or golang.org/x/mod is missing: run tests/setup/servers, which installs both"
        )
    program = folder / "oracle"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(folder / "cache"),
        "GOTOOLCHAIN": "local",
    }
    command = [go, "build", "-o", str(program), str(SOURCE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{SOURCE.name} does not compile: {done.stderr}"
    return program


class Oracle:
    def __init__(self, program: Path):
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, do: str, **fields) -> dict:
        """The answer to one request. bytes, and lists of bytes, travel as base64."""
        request = json.dumps({"do": do, **{k: _plain(v) for k, v in fields.items()}})
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(request.encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def believes(self, do: str, **fields) -> bool:
        answer = self.ask(do, **fields)
        assert "unmarshal" not in answer.get("error", "") and answer.get("error") != "unknown request", answer
        return "error" not in answer


def _plain(value):
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return b64encode(value).decode() if isinstance(value, bytes) else value
