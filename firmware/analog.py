# Quantities that no bus carries: 4-20 mA through a resistor into the board's ADC, and pulses of a meter.
#
# Rule 1: due on the station's clock as polls are (schedule.py), one record for each due time, stamped when it
#         was taken. Due times that passed meanwhile are counted as skipped.
# Rule 2: a loop follows NAMUR NE 43. 3.8 to 20.5 mA is measured; down to 3.6 and up to 21 the transmitter has
#         reached its end (OUT_OF_RANGE); beyond, the loop is broken or shorted (OVERLOAD). The number that
#         the current stands for is kept in every case. An ADC that cannot be read is TIMEOUT, with no number.
# Rule 3: several samples, 2 ms apart, make one reading: their median, or their mean. Ten of them last one
#         cycle of the mains, whose hum goes out of the mean.
# Rule 4: a counter gives the pulses since its record before, scaled: as they are ("amount"), or per per_ms of
#         the time that really passed ("rate"). So an amount never loses a pulse while this runs, also where a
#         due time was skipped or the clock was set.
# Rule 5: the count is the board's and begins at the start of the device: pulses while it is off are not seen,
#         and neither are those of the interval in which it starts. That record, and one behind a count that
#         fell (without wrap), is NO_DATA.
# Rule 6: numbers reach float32 step by step, as registers do (registers.raw_bits): every runtime agrees.
#
# Rows, as config.py makes them:
#   analog    channel, pin, shunt_ohm, low, high (values at 4 and 20 mA), samples, take (median mean),
#             poll_ms, phase_ms, min, max
#   counter   channel, pin, pull, gap_ms (shorter gaps between pulses are bounces), take (amount rate),
#             multiply, divide, per_ms, wrap (the count after the highest one is 0; 0: never), poll_ms,
#             phase_ms, min, max

from firmware.schedule import Schedule
from firmware.values import plausible
from protocol import quality
from protocol._compat import const
from protocol.reading import bits_float, float_bits
from protocol.registers import raw_bits

_NAP_MS = const(200)  # the longest sleep: a step of the clock is noticed after it
_APART_MS = const(2)
_UA = (3600, 3800, 20500, 21000)  # below 3.6 mA ...


# Microvolts of several samples over so many ohms -> (bits of the mA, quality).
def current(samples, shunt_ohm, take):
    n = len(samples)
    if take == "median":
        samples = sorted(samples)
        samples = samples[(n - 1) // 2 : n // 2 + 1]
    total = max(sum(samples), 0)
    words = (total >> 16 & 0xFFFF, total & 0xFFFF)
    bits = raw_bits(words, "uint32", "ABCD", 1, shunt_ohm)
    bits = raw_bits((bits >> 16, bits & 0xFFFF), "float32", "ABCD", 1, 1000 * len(samples))
    broken_low, end_low, end_high, broken_high = [bits_float(float_bits(ua / 1000)) for ua in _UA]
    ma = bits_float(bits)
    if not broken_low <= ma <= broken_high:
        return bits, quality.OVERLOAD
    if not end_low <= ma <= end_high:
        return bits, quality.OUT_OF_RANGE
    return bits, quality.OK


# Bits of the mA -> bits of the value, by the values at 4 and 20 mA.
def scaled(bits, low, high):
    low = bits_float(float_bits(low))
    span = bits_float(float_bits(high)) - low
    bits = raw_bits((bits >> 16, bits & 0xFFFF), "float32", "ABCD", 1, 1, -4)
    return raw_bits((bits >> 16, bits & 0xFFFF), "float32", "ABCD", span, 16, low)


# Pulses, and the ms that they took -> bits of the amount, or of the rate where per_ms is not 0.
def counted(pulses, multiply, divide, per_ms, passed_ms):
    words = (pulses >> 16 & 0xFFFF, pulses & 0xFFFF)
    bits = raw_bits(words, "uint32", "ABCD", multiply, divide)
    if per_ms:
        bits = raw_bits((bits >> 16, bits & 0xFFFF), "float32", "ABCD", per_ms, passed_ms)
    return bits


class Analog:
    # store: whatever has put() and event()
    def __init__(self, board, clock, store, config):
        self._board = board
        self._clock = clock
        self._store = store
        self._channels = config.channels
        self._epoch = clock.epoch
        now = clock.now()
        self._entries = []  # [row, schedule, read of a counter or None, count before, ticks of it]
        for row in config.analogs:
            self._entries.append([row, Schedule(row[7], row[8], now), None, None, 0])
        for row in config.counters:
            read = board.counter(row[1], row[2], row[3])
            self._entries.append([row, Schedule(row[9], row[10], now), read, None, 0])

    @property
    def skipped(self):
        return sum([entry[1].skipped for entry in self._entries])

    async def run(self, alive=None):
        board, clock = self._board, self._clock
        while True:
            if alive:
                alive()
            now = clock.now()
            if self._epoch != clock.epoch:
                self._epoch = clock.epoch
                for entry in self._entries:
                    entry[1].restart(now)
            nap_ms = _NAP_MS
            for entry in self._entries:
                if entry[1].take(now) is not None:
                    await (self._loop(entry[0]) if entry[2] is None else self._pulses(entry))
                nap_ms = min(nap_ms, max(1, board.real_ms(entry[1].next - clock.now())))
            await board.sleep_ms(nap_ms)

    async def _loop(self, row):
        channel, pin, shunt_ohm, low, high, n, take, _, _, least, most = row
        samples = []
        why = quality.TIMEOUT
        bits = None
        try:
            while len(samples) < n:
                if samples:
                    await self._board.sleep_ms(_APART_MS)
                samples.append(self._board.adc_uv(pin))
            bits, why = current(samples, shunt_ohm, take)
        except OSError:
            pass
        if bits is not None:
            bits = scaled(bits, low, high)
        self._put(channel, bits, why, least, most)

    async def _pulses(self, entry):
        channel, _, _, _, take, multiply, divide, per_ms, wrap, _, _, least, most = entry[0]
        count = entry[2]()
        ticks = self._clock.ticks()
        before, passed_ms = entry[3], ticks - entry[4]
        entry[3], entry[4] = count, ticks
        bits = None
        if before is not None and passed_ms > 0:
            pulses = count - before
            if wrap:
                pulses %= wrap
            if 0 <= pulses <= 0xFFFFFFFF:
                bits = counted(pulses, multiply, divide, per_ms if take == "rate" else 0, passed_ms)
        self._put(channel, bits, quality.NO_DATA if bits is None else quality.OK, least, most)

    def _put(self, channel, bits, why, least, most):
        if why == quality.OK:
            why = plausible(bits_float(bits), least, most)
        calibration = self._channels[channel].calibration
        self._store.put(channel, self._clock.stamp(), bits, why, calibration)
