# From the answers of one poll to (raw bits, quality) of one value. No I/O; the poller stamps and stores.
#
# Rule 1: no number without its reason: without an answer, raw is None and the quality says why.
# Rule 2: the instrument's own state, read in the same poll, outranks what its number looks like. The number
#         is kept, unless that state means that there is none (quality.has_value). Of several, the first that
#         is not OK counts.
# Rule 3: a NaN is FAULT; an infinity, or a number outside of [min, max], is OUT_OF_RANGE. Both keep their
#         bits.

from protocol import quality, reading, registers


# value, statuses: of config.Unit. replies: read number -> registers. reason: the quality where one is
# missing.
def judge(value, statuses, replies, reason):
    words = replies.get(value.read)
    if words is None:
        return None, reason
    state = quality.OK
    for number in value.watched:
        status = statuses[number]
        if status.read not in replies:
            return None, reason
        if state == quality.OK:
            state = status_quality(status, replies[status.read])
    if not quality.has_value(state):
        return None, state
    words = words[value.at : value.at + registers.words_of(value.type)]
    bits = registers.raw_bits(words, value.type, value.order, value.multiply, value.divide, value.offset)
    if state != quality.OK:
        return bits, state
    return bits, plausible(reading.bits_float(bits), value.min, value.max)


def status_quality(status, words):
    word = registers.decode(
        words[status.at : status.at + registers.words_of(status.type)], status.type, "ABCD"
    )
    return status.values.get(word & status.mask, status.otherwise)


def plausible(number, low, high):
    if number != number:
        return quality.FAULT
    if number - number != 0 or (low is not None and number < low) or (high is not None and number > high):
        return quality.OUT_OF_RANGE
    return quality.OK
