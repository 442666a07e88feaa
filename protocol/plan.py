# Which requests fetch a set of values: neighbours are read together.
#
# Rule 1: a value is never split over two requests; it would be torn between two instants.
# Rule 2: no request is longer than the instrument's limit; no hole between values is longer than `gap`.
# Rule 3: merge=False asks for every value by itself, for instruments that answer nothing else;
#         only values in the very same registers share a request.
#
# Taking the longest possible run each time gives the smallest number of requests among all ways to cut
# the items, sorted by address, into runs (tests/protocol/test_plan.py compares with all of them).

from protocol.errors import ConfigError

GAP_REGISTERS = 8  # a hole that costs less than a second request: 16 bytes against 13, and a silence
BITS_MAX = 2000  # of coils or discrete inputs in one request, whatever the limit for registers


def plan(items, max_block=125, gap=GAP_REGISTERS, merge=True):
    # items: [(table, address, words), ...] -> [(table, address, count, [index into items, ...]), ...]
    # Tables in order of first appearance, addresses ascending within one.
    tables = []
    for table, _, _ in items:
        if table not in tables:
            tables.append(table)
    blocks = []
    for table in tables:
        limit = BITS_MAX if table in ("coil", "discrete") else max_block
        chosen = sorted([(address, words, i) for i, (t, address, words) in enumerate(items) if t == table])
        blocks.extend(_runs(table, chosen, limit, gap, merge))
    return blocks


def _runs(table, chosen, limit, gap, merge):
    runs = []
    start = end = None
    indexes = []
    for address, words, i in chosen:
        if words > limit:
            raise ConfigError(
                f"a value of {words} registers does not fit a block of {limit}: raise max_block"
            )
        if start is not None:
            after = max(end, address + words)
            same = address == start and after == end == address + words
            if same or (merge and address <= end + gap and after - start <= limit):
                end = after
                indexes.append(i)
                continue
            runs.append((table, start, end - start, indexes))
        start, end, indexes = address, address + words, [i]
    if start is not None:
        runs.append((table, start, end - start, indexes))
    return runs
