"""Progress of what takes minutes: a bar on a terminal, nothing in a pipe, and what happens meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tools.station.on_trial import HEALTHY_MS
from tools.station.voice import Voice, harmless, minutes


def left(done: float, total: float) -> str:
    return f"{minutes(int(total - done))} left"


def share(done: float, total: float) -> str:
    return f"{done:,.0f} of {total:,.0f} bytes"


@contextmanager
def bar(
    what: str, total: int, voice: Voice, words: Callable[[float, float], str] = share
) -> Iterator[Callable[[float], None]]:
    """A progress bar on a terminal, nothing elsewhere. Call it with how much is done."""
    if voice.quiet or not sys.stdout.isatty():
        yield lambda done: None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(what, total=total, said="")
        yield lambda done: progress.update(task, completed=done, said=words(done, total))


def watched(show: Callable[[float], None], voice: Voice) -> Callable[[int, dict], None]:
    """Remaining time on the bar; a start anew, a fault and safe mode as sentences, once each."""
    said: dict[str, Any] = {}

    def shown(left_ms: int, status: dict) -> None:
        show(HEALTHY_MS - left_ms)
        boot, crashes, safe = status["boot"], status["crashes"], str(status.get("safe") or "")
        if said and boot != said["boot"]:
            voice.say("It has started anew, before it was confirmed: the ten minutes begin again.")
        elif said and crashes != said["crashes"]:
            voice.say("A fault: the ten minutes begin again. `station console`, log, shows it.")
        if safe and safe != said.get("safe"):
            voice.say(f"It is in safe mode: {harmless(safe)}")
        said.update(boot=boot, crashes=crashes, safe=safe)

    return shown
