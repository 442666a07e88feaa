"""An event loop in virtual time, with real sockets and files in it: when nothing happens, it jumps.

Rule 1: time stands still while anything can go on: a handle is ready, a socket has something, a stepped
        thread (stepped.py) has work. Only then it jumps, to the next timer or to the end of a thread's wait.
Rule 2: everything is in this one loop and this one process: servers, clients, devices. What is sent over
        loopback is there when send() returns; bytes that TCP still holds back are waited for in real time.
Rule 3: who runs inside of a Part is of that part, with all of its tasks, timers and sockets. A part can be
        killed: none of these ever runs again, its sockets are closed by nobody but the kernel.
Rule 4: a part may have slack: its timers are late by up to so much, never early, as on a busy machine. A
        program that looks five times a second whether anything is to be done looks once. Its `prompt` tasks,
        and what they start, have little of it, and none for what takes less than a second: whoever asks
        instruments, and waits for their answers, cannot be that late.
Rule 5: what is handed to threads is done at once, in the loop (Inline): it must not wait for the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import fcntl
import math
import selectors
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

T = TypeVar("T")

BEGIN_S = 1000.0
"""What the loop's clock shows first: a clock that never steps has run for a while when a program starts."""
SIOCOUTQNSD = 0x894B
"""linux/sockios.h: bytes that were written and not yet sent."""
HELD_S_MAX = 0.05
"""Real seconds in which TCP sends what it holds back (a delayed acknowledgement takes 40 ms), unless the
other side does not read: that may go on for ever."""
SHORT_S, PROMPT_S = 1.0, 5.0
"""A prompt task's timers are exact below the one, and else late by up to the other."""
REAL_S_MAX = 60.0
"""Real seconds without anything to wait for, after which this is a mistake."""


class Thread(Protocol):
    """A thread that runs only when it is told to (stepped.py)."""

    until_s: float
    """Until when it waits, loop time; infinite when it waits for work only."""

    def ready(self) -> bool:
        """Whether there is work for it before that."""
        ...

    def step(self) -> None:
        """Let it run until it waits again."""
        ...


class Part:
    """A program within the loop; call() and create_task() of it make things its own. `prompt`: the
    coroutines of rule 4, as Python calls them.
    """

    def __init__(self, name: str, slack_s: float = 0.0, prompt: tuple[str, ...] = ()) -> None:
        self.name, self.slack_s, self.prompt = name, slack_s, prompt
        self.dead = False
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.transports: WeakSet[Any] = WeakSet()
        self.remains: list[Any] = []  # of a dead one: whoever is collected runs its `finally`
        self.woken: list[tuple[Callable[..., None], Any]] = []  # of a dead one: tasks that were to go on then
        self.context = contextvars.copy_context()
        self.context.run(PART.set, self)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call it as this part."""
        return self.context.run(function, *arguments)

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this part."""
        return asyncio.get_running_loop().create_task(work, name=self.name, context=self.context)


PART: contextvars.ContextVar[Part | None] = contextvars.ContextVar("part", default=None)
PROMPT: contextvars.ContextVar[bool] = contextvars.ContextVar("prompt", default=False)


class _Jumping(selectors.EpollSelector):
    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        return self.loop.idle(super().select)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock begins at BEGIN_S. `threads` are stepped by it. `pace`: real seconds for each
    of its own, 1 for a run that people look at, 0 to jump.
    """

    _ready: Any  # of asyncio's own loops, whose handles, timers and sockets have to be found
    _scheduled: Any
    _selector: Any
    _transports: Any

    def __init__(self, pace: float = 0.0) -> None:
        selector = _Jumping()
        selector.loop = self
        self.now_s = BEGIN_S
        self.pace = pace
        self._paced_from = 0.0
        self.threads: list[Thread] = []
        self.uncaught: list[str] = []  # exceptions that nobody waited for
        self._stuck: dict[int, int] = {}  # fd -> bytes that nobody takes
        super().__init__(selector)
        self._clock_resolution = 1e-6
        self.set_exception_handler(self._complain)
        self.set_default_executor(Inline())

    def time(self) -> float:
        return self.now_s

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        """Signals are of the process, not of a part."""
        if PART.get() is None:
            super().add_signal_handler(sig, callback, *args)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        part, prompt = PART.get(), PROMPT.get()
        if context is not None:
            part, prompt = context.get(PART), context.get(PROMPT, False)
        slack_s = 0.0 if part is None else part.slack_s
        if prompt:
            slack_s = 0.0 if when - self.now_s < SHORT_S else min(slack_s, PROMPT_S)
        if slack_s:
            when = math.ceil(when / slack_s) * slack_s
        return super().call_at(when, callback, *args, context=context)

    def create_task(self, coro: Any, **more: Any) -> asyncio.Task[Any]:
        context = more.get("context")
        part = PART.get() if context is None else context.get(PART)
        if part is not None and getattr(coro, "__qualname__", "") in part.prompt:
            more["context"] = contextvars.copy_context() if context is None else context.copy()
            more["context"].run(PROMPT.set, True)
        task = super().create_task(coro, **more)
        if part is not None:
            part.tasks.add(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Without the detour that asyncio makes for a thread's answer."""
        if executor is not None and not isinstance(executor, Inline):
            return super().run_in_executor(executor, func, *args)
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    # ---- when nothing is ready

    def idle(self, select: Callable[[float], list[Any]]) -> list[Any]:
        """Do what threads have to do; else wait for what TCP holds back; else jump. What sockets have."""
        began = time.monotonic()
        while True:
            for thread in self.threads:
                if thread.ready() or thread.until_s <= self.now_s:
                    thread.step()
                    return select(0)
            if self._held():
                if events := select(0.001):
                    return events
                if time.monotonic() - began < HELD_S_MAX:
                    continue
                self._stuck = self._unsent()
            if events := select(0):
                return events
            timer_s = self._scheduled[0]._when if self._scheduled else math.inf
            next_s = min([timer_s, *(thread.until_s for thread in self.threads)])
            if next_s < math.inf and self.pace and (events := self._pass(next_s, select)):
                return events
            if next_s < math.inf:
                self.now_s = max(self.now_s, next_s)
                if timer_s <= self.now_s:
                    return []
                continue
            if events := select(0.05):
                return events
            if time.monotonic() - began > REAL_S_MAX:
                raise RuntimeError("in virtual time nothing will ever happen again")

    def _pass(self, next_s: float, select: Callable[[float], list[Any]]) -> list[Any]:
        """Let real time pass until then, or until a socket has something."""
        if not self._paced_from:
            self._paced_from = time.monotonic() - (self.now_s - BEGIN_S) * self.pace
        left_s = self._paced_from + (next_s - BEGIN_S) * self.pace - time.monotonic()
        events = select(max(0.0, left_s))
        passed_s = BEGIN_S + (time.monotonic() - self._paced_from) / self.pace
        self.now_s = max(self.now_s, min(next_s, passed_s))
        return events

    def _unsent(self) -> dict[int, int]:
        found = {}
        for fd in list(self._selector.get_map() or ()):
            try:
                count = struct.unpack("i", fcntl.ioctl(fd, SIOCOUTQNSD, b"\0\0\0\0"))[0]
            except OSError:
                continue  # no TCP connection
            if count:
                found[fd] = count
        return found

    def _held(self) -> bool:
        return any(self._stuck.get(fd) != count for fd, count in self._unsent().items())

    # ---- killing

    def kill(self, part: Part) -> None:
        """Rule 3. Its tasks stay as they are, for ever; bury() at the very end."""
        part.dead = True
        part.remains = [*part.tasks, *part.transports]
        for handle in [*self._ready, *self._scheduled]:
            if _of(handle, part):
                if isinstance(getattr(handle._callback, "__self__", None), asyncio.Task):
                    part.woken.append((handle._callback, handle._args))
                handle.cancel()
        for key in list((self._selector.get_map() or {}).values()):
            handles = [handle for handle in key.data if handle is not None]
            if any(_of(handle, part) for handle in handles):
                self._selector.unregister(key.fileobj)
                for found in _sockets(key, handles):
                    found.close()
        for transport in list(part.transports):
            if transport._sock is not None:
                transport._closing, transport._conn_lost = True, 1  # its number may be another's from now on
                self._transports.pop(transport._sock_fd, None)
                transport._sock.close()

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """asyncio's streams complain of a server's connection that was cancelled, as a cut does."""
        error = context.get("exception")
        if not isinstance(error, asyncio.CancelledError):
            self.uncaught.append(f"{context.get('message')}: {error!r:.300}")
            loop.default_exception_handler(context)

    @property
    def busy(self) -> bool:
        """Whether something is ready to run now."""
        return bool(self._ready)

    def _make_socket_transport(self, *arguments: Any, **more: Any) -> Any:
        made: Any = super()
        transport = made._make_socket_transport(*arguments, **more)
        if (part := PART.get()) is not None:
            part.transports.add(transport)
        return transport


def _sockets(key: Any, handles: list[Any]) -> list[Any]:
    """Those of a listener, of a library, of a connection under way; transports are known otherwise."""
    if hasattr(key.fileobj, "close"):
        return [key.fileobj]
    arguments = [argument for handle in handles for argument in handle._args or ()]
    return [one for one in arguments if isinstance(one, socket.socket) and one.fileno() == key.fd]


def _of(handle: Any, part: Part) -> bool:
    context = handle._context
    return context is not None and context.get(PART) is part


async def bury(part: Part) -> None:
    """Let the coroutines of a killed part end, so that Python need not complain of them. What they do
    meanwhile can reach nobody: do it when all is over, and what is on the disk was looked at.

    A task that had been woken when it was killed is woken now: cancel() alone would wait for that for ever.
    """
    tasks = [task for task in part.tasks if not task.done()]
    for task in tasks:
        task.cancel()
    for wake, arguments in part.woken:
        asyncio.get_running_loop().call_soon(wake, *arguments, context=part.context)
    if tasks:
        await asyncio.wait(tasks, timeout=60)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


class Inline(ThreadPoolExecutor):
    """Rule 5."""

    def __init__(self) -> None:
        super().__init__(1)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


def run(main: Coroutine[Any, Any, T], pace: float = 0.0) -> T:
    """asyncio.run() in virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(pace)) as runner:
        return runner.run(main)
