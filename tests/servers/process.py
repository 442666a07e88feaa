"""Starting a server process and waiting until it listens."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

START_S_MAX = 60.0
STOP_S_MAX = 10.0


def free_port() -> int:
    """A port nobody listens on just now."""
    return free_ports(1)[0]


def free_ports(count: int, host: str = "127.0.0.1", also: str = "127.0.0.2") -> range:
    """Ports in a row that nobody uses just now, below those that the system gives away by itself: one of
    those could be taken by another test's listener while a server restarts.
    """
    while True:
        ports = range(start := random.randrange(11_000, 32_000), start + count)
        try:
            for port in ports:
                for address in (host, also):
                    with socket.socket() as probe:
                        probe.bind((address, port))
        except OSError:
            continue
        return ports


def program(name: str, package: str) -> str:
    """The path of a server's program; AssertionError when it is not installed."""
    own = Path(__file__).resolve().parents[2] / ".servers" / "usr"  # see tests/setup/servers
    path = shutil.which(
        name, path=f"{own}/sbin:{own}/bin:" + os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/openssh"
    )
    assert path, f"{name} is not installed: apt-get install {package} (make test does it)"
    return path


class Server:
    """A server process in a session of its own; `stop()` ends it and all its children."""

    def __init__(self, command: list[str], port: int, log: Path):
        # A file that may not grow any more is an error for the server (EFBIG), not its end: see limit_files.
        self.command = ["env", "--ignore-signal=XFSZ", *command]
        self.port = port
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when the process listens: that somebody answers at its port need not mean that it does."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + START_S_MAX
        while not _listen([self.process.pid, *_descendants(self.process.pid)], self.port):
            ended = self.process.poll() is not None
            assert not ended and time.monotonic() < end, f"{self.command[2]}: {self.log.read_text()}"
            time.sleep(0.01)

    def limit_files(self, bytes_max: int | None) -> None:
        """As if the disk were full: no file may grow beyond this any more; None takes it back."""
        assert self.process is not None
        for pid in [self.process.pid, *_descendants(self.process.pid)]:
            soft = resource.RLIM_INFINITY if bytes_max is None else bytes_max
            try:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
            except (ProcessLookupError, PermissionError):
                pass  # it ended, or is the part of sshd that has let nobody in yet: it has another user

    def stop(self, kill: bool = False) -> None:
        """End it and every child, and every connection with them; `kill`: without asking it first."""
        if self.process is None:
            return
        self._freeze()
        all_of_it = [self.process.pid, *_descendants(self.process.pid)]
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)  # Mosquitto saves its sessions
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(timeout=STOP_S_MAX)
        except subprocess.TimeoutExpired:
            pass
        for pid in all_of_it:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(timeout=STOP_S_MAX)
        for pid in all_of_it:  # until the last has ended, one that was only just forked may hold the port
            _wait_for(pid, "Z")
        self.process = None

    def _freeze(self) -> None:
        """A session that it forked while we look would outlive it, and hold the port on which it listens."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        _wait_for(self.process.pid, "TZ")


def _wait_for(pid: int, states: str) -> None:
    end = time.monotonic() + STOP_S_MAX
    while _state(pid) not in states and time.monotonic() < end:
        time.sleep(0.001)


def _state(pid: int) -> str:
    """A letter of proc(5): T when it is stopped, Z when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _listen(pids: list[int], port: int) -> bool:
    """Whether one of these processes listens on the port."""
    tables = [Path(f"/proc/self/net/{name}") for name in ("tcp", "tcp6")]  # tcp6: where there is IPv6
    lines = [line.split() for table in tables if table.exists() for line in table.open()]
    wanted = {f"socket:[{one[9]}]" for one in lines if one[3] == "0A" and one[1].endswith(f":{port:04X}")}
    return bool(wanted) and any(_open_files(pid) & wanted for pid in pids)


def _open_files(pid: int) -> set[str]:
    try:
        return {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()}
    except FileNotFoundError:
        return set()  # one was closed, or the process ended, while we looked


def _descendants(pid: int) -> list[int]:
    """Processes started by this one, and by those: sshd's children leave its process group."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [grandchild for child in children for grandchild in _descendants(child)]
