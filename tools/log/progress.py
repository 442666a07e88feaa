"""A progress bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, TaskID


class Bar:
    """`with Bar("entries", 1000) as bar: bar.advance()`; to() for those who count themselves."""

    def __init__(self, what: str, total: int):
        self._progress = Progress(
            console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
            auto_refresh=False,  # no thread: the process may be copied (gateway/verify_beside.py)
        )  # fmt: skip
        self._task: TaskID = self._progress.add_task(what, total=total)
        self._done = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if not self._done % 1024:
            self._progress.update(self._task, completed=self._done, refresh=True)

    def to(self, what: str, done: int, of: int) -> None:
        """So many of `of` are done, of `what`."""
        self._progress.update(self._task, description=what, completed=done, total=of, refresh=True)
