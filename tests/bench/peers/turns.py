"""One turn of one gateway on one task: everything fresh, nothing shared with another turn.

Rule 1: a turn begins with an empty folder, a broker of its own and instruments that begin to number anew;
        what is measured begins when readings have arrived for WARM_S.
Rule 2: a turn ends with the instruments switched off. Then nothing more is made, and whatever the gateway
        still has may arrive: it is waited for until all is there, or until nothing new came for a time
        that is longer than the longest pause of its reconnecting.
Rule 3: lost is what the instruments answered and what never arrived, twice what arrived again. An answer on
        its way when a gateway is killed counts as lost, for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from simulator.network import TcpProxy
from tests.bench.peers.arrivals import Subscriber
from tests.bench.peers.gateways import Gateway
from tests.bench.peers.instruments import Instruments
from tests.bench.peers.thingsboard_side import ThingsBoardSide
from tests.servers.mosquitto import Mosquitto

WARM_S = 4.0
FIRST_S_MAX = 180.0
QUIET_S = 15.0
AWAY_QUIET_S = 140.0
"""After an outage: the peer's pauses between attempts to connect grow to two minutes."""
DRAIN_S_MAX = 240.0
KILLS = 5
LOOK_S = 0.25


class Load(NamedTuple):
    """What is asked of a gateway."""

    instruments: int
    quantities: int
    poll_ms: int

    @property
    def asked_per_s(self) -> float:
        return self.instruments * self.quantities * 1000 / self.poll_ms


Make = Callable[[Path], Gateway]


class Turn:
    """A broker, instruments, a subscriber and a gateway that has begun to deliver."""

    def __init__(self, folder: Path, make: Make, load: Load, proxied: bool):
        self.load = load
        self.broker = Mosquitto(folder / "broker")
        self.broker.start()
        self.subscriber = Subscriber(self.broker.port)
        self.side = ThingsBoardSide(self.broker.port)
        self.link = Link(self.broker.port) if proxied else None
        self.instruments = Instruments(load.instruments, load.quantities)
        inside = folder / "gateway"
        inside.mkdir()
        self.gateway = make(inside)
        port = self.link.port if self.link else self.broker.port
        self.gateway.configure(self.instruments.ports, load.quantities, load.poll_ms, port)

    def begin(self) -> float:
        """Start the gateway; returns the seconds to its first reading at the subscriber."""
        began = time.monotonic()
        self.gateway.start()
        while not self._begun():
            if not self.gateway.running() or time.monotonic() - began > FIRST_S_MAX:
                raise RuntimeError(f"{self.gateway.name} delivers nothing:\n{self.gateway.last_words()}")
            time.sleep(0.05)
        took = time.monotonic() - began
        self.wait(WARM_S)
        return took

    def _begun(self) -> bool:
        return bool(
            self.subscriber.look().arrived if self.gateway.tells_readings else self.instruments.made()
        )

    def wait(self, seconds: float) -> None:
        """Real time passes; what comes is looked at, so that it does not pile up."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
            self.subscriber.look()

    def end(self, quiet_s: float) -> dict[str, Any]:
        """Rules 2 and 3."""
        self.instruments.silence()
        made, count = self.instruments.made(), self.subscriber.look()
        began = news = time.monotonic()
        arrived = count.arrived
        while (
            count.arrived < made
            and time.monotonic() - news < quiet_s
            and time.monotonic() - began < DRAIN_S_MAX
        ):
            time.sleep(LOOK_S)
            if self.subscriber.look().arrived != arrived:
                arrived, news = count.arrived, time.monotonic()
        self.wait(1.0)  # for what comes twice
        return {
            "made": made, "arrived": count.arrived, "lost": made - count.arrived, "twice": count.twice,
            "wrong": count.wrong, "messages": count.messages, "drain_s": round(news - began, 1),
        }  # fmt: skip

    def close(self) -> None:
        self.gateway.stop()
        self.instruments.silence()
        self.subscriber.stop()
        self.side.stop()
        if self.link:
            self.link.stop()
        self.broker.stop()


class Link:
    """A line to the broker that can die without a word, in a thread of its own."""

    def __init__(self, broker_port: int):
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_unless_cancelled)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._proxy = TcpProxy("127.0.0.1", broker_port)
        self._run(self._proxy.start())
        self.port = self._proxy.port

    def _run(self, what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def die(self) -> None:
        """From now on what is sent is taken and goes nowhere, as with a modem that has lost its network."""
        self._proxy.blackhole = True

    def revive(self) -> None:
        """It works again for new connections; those of before are reset."""
        self._run(self._proxy.drop(reset=True))
        self._proxy.blackhole = False

    def stop(self) -> None:
        self._run(self._proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _unless_cancelled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Python 3.11 complains of a connection's task that was cancelled, which is how a line is reset here."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


@contextlib.contextmanager
def turn(work: Path, make: Make, load: Load, proxied: bool = False) -> Iterator[Turn]:
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-", dir=work) as name:
        it = Turn(Path(name), make, load, proxied)
        try:
            yield it
        finally:
            it.close()


def steady(
    work: Path, make: Make, load: Load, seconds: float, keep: list[bytes] | None = None
) -> dict[str, Any]:
    """A load for some seconds: rate, cost, bytes written, and what of all of it arrived. Its messages go to
    `keep`. Of a gateway that tells no readings nothing can be said to have arrived: it is what it polled.
    """
    with turn(work, make, load) as it:
        first_s = it.begin()
        made, before, written, began = (
            it.instruments.made(),
            it.gateway.cost(),
            it.gateway.written(),
            time.monotonic(),
        )
        memory = []
        for _ in range(4):
            it.wait(seconds / 4)
            memory.append(it.gateway.cost().rss_mib)
        ended, after = time.monotonic(), it.gateway.cost()
        made, written = it.instruments.made() - made, it.gateway.written() - written
        took, cpu_s = ended - began, after.cpu_s - before.cpu_s
        it.subscriber.look()
        tells = it.gateway.tells_readings
        delivered = it.subscriber.between(began, ended) if tells else made
        told = it.end(QUIET_S) if tells else {}
        if keep is not None:
            keep[:] = it.subscriber.payloads
    return {
        "asked_per_s": round(load.asked_per_s), "polled_per_s": round(made / took),
        "delivered_per_s": round(delivered / took), "cores": round(cpu_s / took, 4),
        "cpu_us_per_reading": round(cpu_s / delivered * 1e6, 2) if delivered else None,
        "readings_per_cpu_s": round(delivered / cpu_s) if cpu_s else None,
        "rss_mib": statistics.median(memory), "peak_mib": after.peak_mib,
        "written_per_s": round(written / took), "first_s": round(first_s, 1), "seconds": round(took, 1),
        **told,
    }  # fmt: skip


def outage(work: Path, make: Make, load: Load, away_s: float, silent: bool) -> dict[str, Any]:
    """The broker is away during load: ended and started again, or (`silent`) behind a line that is dead."""
    with turn(work, make, load, proxied=silent) as it:
        it.begin()
        it.wait(away_s / 6)
        arrived, before = it.subscriber.look().arrived, it.gateway.cost()
        if it.link:
            it.link.die()
            it.wait(away_s)
            it.link.revive()
        else:
            it.broker.stop()
            time.sleep(away_s)
            it.broker.start()
        back, made = time.monotonic(), it.instruments.made()
        missing = made - arrived
        it.wait(away_s / 2)
        peak_mib = it.gateway.cost().peak_mib
        told = it.end(AWAY_QUIET_S)
        news = [at for at, new in it.subscriber.arrivals if at > back and new]
        first_news_s = round(min(news) - back, 1) if news else None
    return {
        "asked_per_s": round(load.asked_per_s), "away_s": away_s, "silent": silent, "made_meanwhile": missing,
        "first_after_s": first_news_s, "rss_before_mib": before.rss_mib, "peak_mib": peak_mib, **told,
    }  # fmt: skip


def kills(work: Path, make: Make, load: Load, seconds: float) -> dict[str, Any]:
    """kill -9 during load, KILLS times, and started again at once."""
    with turn(work, make, load) as it:
        it.begin()
        lost_polls_s = []
        for number in range(KILLS):
            it.wait(seconds + 0.37 * number)  # not always at the same place between two polls
            made, killed = it.instruments.made(), time.monotonic()
            it.gateway.kill()
            it.gateway.start()
            while it.instruments.made() - made < load.instruments * load.quantities:
                if time.monotonic() - killed > FIRST_S_MAX:
                    raise RuntimeError(f"{it.gateway.name} does not poll again:\n{it.gateway.last_words()}")
                time.sleep(0.02)
            lost_polls_s.append(round(time.monotonic() - killed, 1))
            it.subscriber.look()
        it.wait(seconds)
        told = it.end(QUIET_S)
    return {
        "asked_per_s": round(load.asked_per_s), "kills": KILLS, "back_polling_s": lost_polls_s, **told,
        "lost_per_kill": round(told["lost"] / KILLS), "twice_per_kill": round(told["twice"] / KILLS),
    }  # fmt: skip
