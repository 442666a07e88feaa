# What is wired to the station itself: switches and contacts, relays, the sampler, the local alarm.
#
# Rule 1: outputs are inactive from the moment this is made, and when run() ends, however it ends.
# Rule 2: an input counts as changed when it has shown the other level for debounce_ms. At the start what is
#         "on" is an event, what is "off" is not; mains are the other way round.
# Rule 3: while a maintenance switch is on, readings of its channels that are OK become MAINTENANCE; their
#         values stay, and every other quality stays. put() stands where the store's put() would: pollers and
#         analog inputs are given this object for their store.
# Rule 4: the sampler draws at most per_day samples a day, and none within lock_ms of the one before. A day is
#         one of Vietnam's (GMT+7); while nobody has told the time, it is 24 hours of running. The count is in
#         state/sampler before the pulse begins: a restart forgets none. After one, without knowing the time,
#         what was counted counts on, and the lock begins anew.
# Rule 5: an alarm looks at OK readings only, as engineering values, and needs no gateway: on after delay_ms
#         beyond a limit, off when back by the hysteresis and hold_ms have passed. Its output is on while any
#         of its alarms is.
#
# Rows, as config.py makes them:
#   input    id, kind (door mains maintenance sampler float other), pin, level that means "on", pull,
#            debounce_ms, channels (of a maintenance switch; none: all)
#   output   id, kind (relay sampler alarm), pin, active level, pulse_ms (of a relay: longest time on or 0),
#            per_day, lock_ms, feedback (id of an input or None), feedback_ms (from the begin of the pulse on)
#   alarm    output (id or None), channel, min, max, hysteresis, delay_ms, hold_ms

import json

from protocol import messages, quality
from protocol._compat import const
from protocol.calibration import engineering
from protocol.reading import bits_float

_FILE = "state/sampler"
_TICK_MS = const(20)
_IDLE_MS = const(500)  # with nothing wired
_DAY_MS = const(86400000)
_ZONE_MS = const(25200000)

_IDLE = const(0)
_ASKED = const(1)  # accepted, the count is not written yet
_PULSE = const(2)
_ANSWER = const(3)  # the pulse is over, the feedback has not come


class Input:
    def __init__(self, row, read):
        self.row = row
        self.read = read
        self.on = None  # not known yet
        self.seen = None
        self.since = 0


class Output:
    def __init__(self, row, write):
        self.row = row
        self.write = write
        self.on = False
        self.since = 0  # real ticks when it was switched on
        self.most_ms = 0  # then off after so long; 0: stays on
        self.phase = _IDLE
        self.reason = ""
        self.drawn_at = None  # station ticks of the newest sample of this run

    def set(self, on):
        if on != self.on:
            self.write(on)
            self.on = on


class Io:
    def __init__(self, board, clock, store, config, arbiter=None):
        self._board = board
        self._clock = clock
        self._store = store
        self._arbiter = arbiter
        self._channels = config.channels
        self._alarms = [[row, False, None, 0] for row in config.alarms]  # on, beyond since, on since
        self._maintained = []  # the channels of each maintenance switch that is on
        self._window = 0  # station ticks when 24 hours without known time began
        self.event = store.event
        self._outputs = [Output(row, board.output(row[2], row[3])) for row in config.outputs]
        self._inputs = [Input(row, board.input(row[2], row[4])) for row in config.inputs]
        self._samples = {}  # id of a sampler -> [day, count, Unix ms of the newest]; 0: time unknown
        try:
            self._samples.update(json.loads(board.files.read(_FILE)))
        except (OSError, ValueError, TypeError):
            pass

    # ---- readings on their way to the store

    def put(self, channel, stamp, raw_bits, why, calibration):
        if why == quality.OK:
            for channels in self._maintained:
                if not channels or channel in channels:
                    why = quality.MAINTENANCE
            if why == quality.OK:
                for alarm in self._alarms:
                    if alarm[0][1] == channel:
                        self._judge(alarm, raw_bits)
        self._store.put(channel, stamp, raw_bits, why, calibration)

    def _judge(self, alarm, raw_bits):
        _, channel, low, high, hysteresis, delay_ms, hold_ms = alarm[0]
        value = engineering(bits_float(raw_bits), self._channels[channel].points)
        now = self._clock.ticks()
        if (high is not None and value > high) or (low is not None and value < low):
            if alarm[2] is None:
                alarm[2] = now
            if alarm[1] or now - alarm[2] < delay_ms:
                return
            alarm[3] = now
        else:
            alarm[2] = None
            near = (high is not None and value > high - hysteresis) or (
                low is not None and value < low + hysteresis
            )
            if not alarm[1] or near or now - alarm[3] < hold_ms:
                return
        alarm[1] = not alarm[1]
        self.event(
            messages.ALARM, f"{'on' if alarm[1] else 'off'}, {self._channels[channel].name}, {value:.6g}"
        )

    def maintenance(self):
        return bool(self._maintained)

    # [id, on] of everything: 1, 0, or None while an input is not known
    def status(self):
        return [
            [wire.row[0], wire.on if wire.on is None else int(wire.on)]
            for wire in self._inputs + self._outputs
        ]

    # ---- what commands ask for: (ok, text)

    def relay(self, name, on, pulse_ms=0):
        relays = [output for output in self._outputs if output.row[1] == "relay"]
        for output in relays:
            if output.row[0] == name:
                most_ms = output.row[4]
                if pulse_ms and (not most_ms or pulse_ms < most_ms):
                    most_ms = pulse_ms
                output.since = self._board.ticks_ms()
                output.most_ms = most_ms
                output.set(bool(on))
                return True, name + (" off" if not on else f" on for {most_ms} ms" if most_ms else " on")
        return False, "no such relay: write one of " + ", ".join([output.row[0] for output in relays])

    # Draws a sample soon, or says why not.
    def sample(self, reason):
        for output in self._outputs:
            if output.row[1] == "sampler":
                refused = self._refusal(output)
                if refused:
                    self.event(messages.SAMPLER, f"refused, {reason}: {refused}")
                    return False, refused
                output.phase = _ASKED
                output.reason = reason
                return True, "started"
        return False, "no sampler is configured"

    def _refusal(self, output):
        name, per_day, lock_ms = output.row[0], output.row[5], output.row[6]
        if output.phase or output.on:
            return "the sampler is at work"
        _, count, at = self._counted(name)
        now, told = self._clock.stamp()
        ticks = self._clock.ticks()
        if output.drawn_at is not None:
            since_ms = ticks - output.drawn_at
        elif not count and not at:
            since_ms = lock_ms
        else:
            since_ms = now - at if told and 0 < at <= now else ticks
        if since_ms < lock_ms:
            return f"locked for another {lock_ms - since_ms} ms"
        if count >= per_day:
            return f"{count} samples have been drawn today, which is all"
        return None

    # [day, count, newest] as of now
    def _counted(self, name):
        now, told = self._clock.stamp()
        day, count, at = self._samples.get(name, (0, 0, 0))
        if told:
            today = (now + _ZONE_MS) // _DAY_MS
            return today, count if day in (0, today) else 0, at
        if self._clock.ticks() - self._window >= _DAY_MS:
            self._window = self._clock.ticks()
            self._samples[name] = 0, 0, at
            count = 0
        return day, count, at

    # ---- the task

    async def run(self, alive=None):
        board = self._board
        nap_ms = _TICK_MS if self._inputs or self._outputs else _IDLE_MS
        try:
            while True:
                if alive:
                    alive()
                for wire in self._inputs:
                    self._look(wire)
                for output in self._outputs:
                    kind = output.row[1]
                    if kind == "alarm":
                        output.set(any([alarm[1] for alarm in self._alarms if alarm[0][0] == output.row[0]]))
                        continue
                    on_ms = board.ticks_diff(board.ticks_ms(), output.since)
                    if output.on and output.most_ms and on_ms >= output.most_ms:
                        output.set(False)
                    if kind == "sampler" and output.phase:
                        await self._sampler(output, on_ms)
                await board.sleep_ms(nap_ms)
        finally:
            self.close()

    def close(self):
        for output in self._outputs:
            output.phase = _IDLE
            output.set(False)

    def _look(self, wire):
        name, kind, _, active, _, debounce_ms, channels = wire.row
        ticks = self._board.ticks_ms()
        seen = wire.read() == active
        if seen != wire.seen:
            wire.seen = seen
            wire.since = ticks
        if seen == wire.on or self._board.ticks_diff(ticks, wire.since) < debounce_ms:
            return
        before = wire.on
        wire.on = seen
        if before is None and seen == (kind == "mains"):
            return  # all is as it should be
        word = "on" if seen else "off"
        if kind == "mains":
            self.event(messages.MAINS_BACK if seen else messages.MAINS_LOST, name)
            if not seen:
                self._store.flush_soon()
        elif kind == "door":
            self.event(messages.DOOR, f"{name} {'open' if seen else 'closed'}")
        elif kind == "maintenance":
            if seen:
                self._maintained.append(channels)
            else:
                self._maintained.remove(channels)
            self.event(messages.MAINTENANCE, f"{word}, {name}")
        else:
            if seen:
                for output in self._outputs:
                    if output.row[7] == name and output.phase >= _PULSE:
                        self._drawn(output, "done")
                        return
            self.event(messages.INPUT, f"{name} {word}")

    async def _sampler(self, output, on_ms):
        name, _, _, _, pulse_ms, _, _, feedback, feedback_ms = output.row
        if output.phase == _ASKED:
            day, count, _ = self._counted(name)
            now, told = self._clock.stamp()
            before = self._samples.get(name, (0, 0, 0))
            self._samples[name] = day, count + 1, now if told else 0
            try:
                await self._keep(json.dumps(self._samples).encode())
            except OSError as error:
                self._samples[name] = before
                self.event(messages.SAMPLER, f"refused, {output.reason}: the count cannot be kept: {error}")
                output.phase = _IDLE
                return
            output.phase = _PULSE
            output.drawn_at = self._clock.ticks()
            output.since = self._board.ticks_ms()
            output.most_ms = pulse_ms
            output.set(True)
            self.event(messages.SAMPLER, f"started, {output.reason}")
        elif not feedback and not output.on:
            self._drawn(output, "done")
        elif feedback and on_ms >= feedback_ms:
            self._drawn(output, "no feedback")

    def _drawn(self, output, how):
        output.phase = _IDLE
        self.event(messages.SAMPLER, f"{how}, {output.reason}")

    async def _keep(self, data):
        def work():
            files = self._board.files
            files.make("state")
            files.replace(_FILE, data)

        if self._arbiter:
            await self._arbiter.flash(work)
        else:
            work()
