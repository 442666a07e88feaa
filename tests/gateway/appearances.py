"""What a receiver's software sees of the files that are sent to it, and whether it may."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.forward.port import Document
from tests.servers.watch import DELETE, MODIFY, MOVED_FROM, Watch


class Appearances:
    """Watches, while it is entered, the folders below `root` that `documents` go to (and makes them).

    `names` in the order in which they appeared; `wrong` says what must never be seen; `again` counts names
    that were put there once more with the same bytes; `cut` names that end too early: ProFTPD carries out a
    command whose end never came. Our proxy cuts within a command, a network between packets, of which a
    command fills one.
    """

    def __init__(self, root: Path, documents: list[Document]):
        self.names: list[str] = []
        self.wrong: list[str] = []
        self.again = self.cut = 0
        self._paths = {one.name: root / one.folder / one.name for one in documents}
        self._wanted = {one.name: one.body for one in documents}

    def __enter__(self) -> Appearances:
        folders = {path.parent for path in self._paths.values()}
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        self._watch = Watch(folders)
        asyncio.get_running_loop().add_reader(self._watch.fd, self.look)
        return self

    def __exit__(self, *_: object) -> None:
        self.look()
        asyncio.get_running_loop().remove_reader(self._watch.fd)
        self._watch.close()

    def look(self) -> None:
        """Take in what happened up to now."""
        for mask, name in self._watch.take():
            if "_NUO001_" not in name:
                continue  # the receiving software passes over it
            if mask & MODIFY:
                self.wrong.append(f"{name} is written under its final name")
            elif mask & (MOVED_FROM | DELETE):
                self.wrong.append(f"{name} was visible and is gone")
            elif any(whole.startswith(name) and whole != name for whole in self._wanted):
                self.cut += 1
            elif name not in self._wanted:
                self.wrong.append(f"{name} was never queued")
            else:
                self._appeared(name)

    def bodies(self) -> list[bytes]:
        """What is there now, in the order in which it appeared."""
        return [self._paths[name].read_bytes() for name in self.names if self._paths[name].exists()]

    def _appeared(self, name: str) -> None:
        try:
            if self._paths[name].read_bytes() != self._wanted[name]:
                self.wrong.append(f"{name} is visible with other bytes")
        except FileNotFoundError:
            pass  # that it is gone again comes next
        if name in self.names:
            self.again += 1
        else:
            self.names.append(name)
