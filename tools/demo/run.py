"""`quantrac demo`: starts the whole chain on loopback, watches it, and counts at the end what came of it.

The order: receivers, then the gateway (its start is the slowest), then the clock is fixed, and with it the
instruments and the device come to life. At the end the other way round: the device stops measuring and
drains, the gateway sends what it has closed, then everything that was started here is stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.timeline import Timeline
from simulator.bus import PtyPair
from simulator.clock import SimClock, mono_ms
from simulator.receivers import MqttReceiver, SftpReceiver
from simulator.scene import KINDS, Scene, load_scene
from simulator.scene_process import SceneProcess
from simulator.station import StationProcess
from simulator.truth import newest_ms
from simulator.witness_server import WitnessProcess
from tools.demo import site as sites
from tools.demo.audit import count_checkpoints, count_files, count_journal, missing_records
from tools.demo.clock import fix_timeline
from tools.demo.ledger import Ledger
from tools.demo.screen import Screen
from tools.gateway_process import GatewayProcess
from tools.people import DOES_NOT_HOLD, Failure, UsageError

SETTLE_TIMEOUT_S = 60.0
"""Longest wait at the end for documents that the receivers have not confirmed yet."""
HEARTBEAT_S = 0.5
NO_MICROPYTHON = (
    "There is no MicroPython for this platform or on PATH: the same firmware files run under CPython."
)


@dataclass(frozen=True)
class DemoOptions:
    """What was asked for on the command line."""

    dir: Path
    seconds: float | None
    speed: float
    station: str
    port: int
    outage_s: float
    json: bool


def run_demo(options: DemoOptions) -> int:
    """Run it; returns the exit status."""
    if options.station not in KINDS:
        raise UsageError(f'There is no station kind "{options.station}": write one of {", ".join(KINDS)}.')
    if options.seconds is not None and options.outage_s >= options.seconds:
        raise UsageError("The outage is as long as the run: give a shorter --outage or more --seconds.")
    scene = load_scene(options.station)
    site = sites.open_site(options.dir, scene)
    with sites.occupied(site):
        return asyncio.run(_Demo(options, scene, site).run())


@dataclass
class _Parts:
    """What was started, in the order in which it has to be stopped."""

    province: SftpReceiver
    national: MqttReceiver
    witness: WitnessProcess
    gateway: GatewayProcess
    cable: PtyPair
    instruments: SceneProcess | None = None
    device: StationProcess | None = None
    tasks: list[asyncio.Task] = field(default_factory=list)


class _Demo:
    def __init__(self, options: DemoOptions, scene: Scene, site: sites.Site):
        self.options = options
        self.scene = scene
        self.site = site
        self.ledger = Ledger(site.run)
        self.clock = SimClock()
        self.alive = False  # the station's time runs
        self.stopping = asyncio.Event()
        self.hurrying = asyncio.Event()  # asked to stop a second time

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._asked_to_stop)
        last_ms = self._lived_until()
        web_port = sites.free_port(self.options.port)
        screen = Screen(self.site, web_port, self.options.json, sites.let_in(self.site))
        parts = await self._start(web_port, screen)
        try:
            timeline = fix_timeline(self.site.timeline, last_ms, self.options.speed)
            await self._bring_to_life(parts, timeline)
            await self._live(parts, screen)
            await self._end_outage(parts)
            screen.note("stopping: the device sends what it holds, then the gateway what it has closed")
            final = await parts.device.stop() if parts.device else None
            if final:
                self.ledger.device(final)
            await self._settle(parts, screen)
            gateway_status = await parts.gateway.stop()
        finally:
            await self._stop(parts)
            screen.close()
        summary = self._summary(parts, gateway_status)
        self.site.summary.write_text(
            json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        print(json.dumps(summary, indent=2, ensure_ascii=False))
        if problems := _problems(summary):
            print("\n".join(problems), file=sys.stderr)
            return DOES_NOT_HOLD
        return 0

    # Starting -----------------------------------------------------------------------------------------------

    async def _start(self, web_port: int, screen: Screen) -> _Parts:
        """Receivers, cable and gateway; the gateway waits for the clock when this returns."""
        site = self.site
        password = (site.keys / "province.password").read_text(encoding="ascii").strip()
        self.bus_port = sites.free_port()
        province = await SftpReceiver(
            site.province,
            sites.HOST,
            0,
            sites.SFTP_USER,
            password,
            site.run / "province_host_key",
            self.clock.now_ms,
        ).start()
        (site.keys / "province.hostkey").write_text(province.public_line + "\n", encoding="ascii")
        national = await MqttReceiver(sites.HOST, 0, site.messages, now_ms=self.clock.now_ms).start()
        witness = WitnessProcess(site.witness, sites.WITNESS_NAME, [site.log_vkey], site.run / "witness.log")
        try:
            await witness.start()
        except RuntimeError as error:
            raise Failure(f"The demo cannot start: {error}.") from error
        site.witness_vkey.write_text(witness.vkey + "\n", encoding="utf-8")
        sites.write_device(site, self.scene)
        sites.write_config(
            site, self.scene, web_port, self.bus_port, province.port, national.port, witness.url
        )
        cable = await PtyPair(site.device_tty, site.gateway_tty).start()
        site.timeline.unlink(missing_ok=True)
        gateway = GatewayProcess(site.config, site.timeline, site.run)
        parts = _Parts(province, national, witness, gateway, cable)
        screen.note("starting the gateway")
        try:
            await gateway.start()
        except BaseException:
            await self._stop(parts)
            raise
        return parts

    async def _bring_to_life(self, parts: _Parts, timeline: Timeline) -> None:
        """From here on the station's time runs."""
        self.clock = SimClock(timeline)
        self.alive = True
        parts.province.now_ms = parts.national.now_ms = self.clock.now_ms
        site = self.site
        parts.instruments = SceneProcess(
            self.scene.kind, site.timeline, site.truth, site.instrument_line, self.bus_port
        )
        try:
            await parts.instruments.start()
        except RuntimeError as error:
            raise Failure(f"The demo cannot go on: {error}.") from error
        parts.device = StationProcess(site.device, site.timeline)
        if parts.device.runtime == "CPython":
            print(NO_MICROPYTHON, file=sys.stderr)
        await parts.device.start()
        parts.tasks.append(asyncio.create_task(self._keep_books(parts), name="books"))
        if self.options.outage_s:
            parts.tasks.append(asyncio.create_task(self._cut_province_off(parts), name="outage"))

    def _lived_until(self) -> int | None:
        """The last moment of station time of an earlier run in this folder, None for a new station."""
        known = [self.ledger.last_ms, newest_ms(self.site.truth)]
        if self.site.journal.exists():
            known.append(count_journal(self.site.journal, sites.DEVICE_ID, self.site.link_key()).last_ms)
        return max((t for t in known if t is not None), default=None)

    # Living -------------------------------------------------------------------------------------------------

    async def _live(self, parts: _Parts, screen: Screen) -> None:
        """Until the time is over or somebody stops it; the device's death is noticed."""
        began = mono_ms()
        while not self.stopping.is_set():
            passed_s = (mono_ms() - began) / 1000
            if self.options.seconds is not None and passed_s >= self.options.seconds:
                return
            self._check(parts)
            await screen.show(
                {"province": len(parts.province.arrivals), "national": parts.national.messages},
                passed_s,
                self.options.seconds,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), 0.25)

    def _asked_to_stop(self) -> None:
        (self.hurrying if self.stopping.is_set() else self.stopping).set()

    def _check(self, parts: _Parts) -> None:
        """Failure when a part that should run does not."""
        if parts.device is not None and not parts.device.running:
            raise Failure("The device ended by itself. It said:\n" + "\n".join(parts.device.other_lines))
        if parts.instruments is not None and not parts.instruments.running:
            raise Failure("The simulated instruments ended by themselves.")
        if not parts.witness.running:
            raise Failure("The witness ended by itself: see run/witness.log.")
        if parts.gateway.given_up:
            raise Failure(f"The gateway ended. The end of its log:\n{parts.gateway.last_words()}")
        for task in parts.tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise Failure(f"The demo's {task.get_name()} ended: {error}.") from error

    async def _keep_books(self, parts: _Parts) -> None:
        """What the audit of a later run needs, written while this one may still be killed."""
        written = 0
        while True:
            if parts.device is not None and parts.device.ledger:
                self.ledger.device(parts.device.ledger)
            self.ledger.heartbeat(self.clock.now_ms())
            for arrival in parts.province.arrivals[written:]:
                self.ledger.arrival(arrival)
            written = len(parts.province.arrivals)
            await asyncio.sleep(HEARTBEAT_S)

    async def _cut_province_off(self, parts: _Parts) -> None:
        """The outage, in the middle of a run of known length, after ten seconds of an open one."""
        before = (self.options.seconds - self.options.outage_s) / 2 if self.options.seconds else 10.0
        await asyncio.sleep(before)
        await parts.province.cut()
        try:
            await asyncio.sleep(self.options.outage_s)
        finally:
            await parts.province.restore()

    async def _end_outage(self, parts: _Parts) -> None:
        """The province comes back, however early the demo was stopped."""
        for task in parts.tasks:
            if task.get_name() == "outage":
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _settle(self, parts: _Parts, screen: Screen) -> None:
        """Until every closed window has been confirmed by both receivers, and the log is cosigned."""
        deadline = mono_ms() + SETTLE_TIMEOUT_S * 1000
        while mono_ms() < deadline and not self.hurrying.is_set():
            current = await screen.fetch()
            if (
                current is not None
                and all(row["backlog"] == 0 for row in current["destinations"])
                and all(row["behind_s"] is None for row in current["witnesses"])
            ):
                return
            await asyncio.sleep(0.1)

    # Ending -------------------------------------------------------------------------------------------------

    async def _stop(self, parts: _Parts) -> None:
        for task in parts.tasks:
            task.cancel()
        await asyncio.gather(*parts.tasks, return_exceptions=True)
        if parts.device is not None:
            await parts.device.kill()
        await parts.gateway.stop()
        if parts.instruments is not None:
            await parts.instruments.stop()
        await parts.cable.stop()
        await parts.province.stop()
        await parts.national.stop()
        await parts.witness.stop()
        if self.alive:
            self.ledger.heartbeat(self.clock.now_ms())
        self.ledger.close(parts.province.arrivals)

    def _summary(self, parts: _Parts, gateway_status: int | None) -> dict[str, Any]:
        site = self.site
        count = count_journal(site.journal, sites.DEVICE_ID, site.link_key())
        source = f"device/{sites.DEVICE_ID}"
        acknowledged = self.ledger.acknowledged()
        held = {boot: len(seen) for (name, boot), seen in count.held.items() if name == source}
        # The notes on a device that was killed are up to a second old: it emitted at least what arrived.
        emitted = {boot: max(made, held.get(boot, 0)) for boot, made in self.ledger.emitted().items()}
        own = sum(len(seen) for (name, _), seen in count.held.items() if name != source)
        # A device that was killed takes what it had not sent with it: only one that drained owes all of it.
        owed = sum(emitted[boot] - held.get(boot, 0) for boot in self.ledger.drained() if boot in emitted)
        lost = max(owed, missing_records(count, source, acknowledged))
        files = count_files(site.journal, "province", site.province, self.ledger.arrivals())
        checkpoints, cosigned = count_checkpoints(site.journal, site.log_vkey, site.witness_vkey)
        return {
            "station": self.scene.kind,
            "readings": {
                "emitted": sum(emitted.values()) + own,
                "acknowledged": sum(acknowledged.values()) + own,
                "journaled": sum(held.values()) + own,
                "lost": lost,
                "duplicated": count.duplicated,
            },
            "windows": count.windows,
            "checkpoints": checkpoints,
            "cosigned_checkpoints": cosigned,
            "files": {
                "expected": files.expected,
                "delivered": files.delivered,
                "missing": files.missing,
                "doubled": files.doubled,
            },
            "messages": {"received": parts.national.messages, "duplicated": parts.national.duplicates},
            "outage_s": self.options.outage_s,
            "device": {
                "runtime": parts.device.runtime if parts.device else "none",
                "boots": len(emitted),
                "timeouts": parts.device.ledger.get("timeouts", 0) if parts.device else 0,
            },
            "gateway": {"restarts": parts.gateway.restarts, "exit_status": gateway_status},
        }


def _problems(summary: dict[str, Any]) -> list[str]:
    """What should not be, as sentences."""
    found = []
    readings, files = summary["readings"], summary["files"]
    if readings["lost"]:
        found.append(f"{readings['lost']} acknowledged readings are not in the journal.")
    if readings["duplicated"]:
        found.append(f"{readings['duplicated']} readings are in the journal twice.")
    if files["missing"]:
        found.append(
            f"{len(files['missing'])} files did not reach the province: {', '.join(files['missing'][:3])} ..."
        )
    if files["doubled"]:
        found.append(f"{len(files['doubled'])} files appeared twice at the province.")
    if summary["checkpoints"] and not summary["cosigned_checkpoints"]:
        found.append("The witness has cosigned no checkpoint: see run/witness.log and run/gateway.log.")
    if summary["gateway"]["exit_status"] not in (0, None):
        found.append(
            f"The gateway ended with status {summary['gateway']['exit_status']}: see run/gateway.log."
        )
    return found
