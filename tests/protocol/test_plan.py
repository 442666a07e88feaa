# runs on: cpython
# The rules of protocol/plan.py on any set of items (MicroPython has no Hypothesis; its own case is below).

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import ConfigError
from protocol.plan import BITS_MAX, plan
from tests.protocol._check import raises

tables = st.sampled_from(["holding", "input", "coil", "discrete"])
far = st.tuples(tables, st.integers(0, 300), st.integers(1, 4))
near = st.tuples(st.just("input"), st.integers(0, 12), st.integers(1, 4))  # overlapping and nested values
items_lists = st.one_of(st.lists(far, max_size=14), st.lists(near, max_size=6))


def spans_ok(run, limit, gap):
    """Whether sorted items may share a request: no hole above the gap, no span above the limit."""
    end = run[0][0] + run[0][1]
    for address, words in run[1:]:
        if address > end + gap:
            return False
        end = max(end, address + words)
    return end - run[0][0] <= limit


def fewest(items, limit, gap):
    """The least number of runs that sorted items can be cut into, by trying every cut."""
    best = [0] + [len(items) + 1] * len(items)
    for stop in range(1, len(items) + 1):
        for start in range(stop):
            if spans_ok(items[start:stop], limit, gap):
                best[stop] = min(best[stop], best[start] + 1)
    return best[len(items)]


@settings(max_examples=300)
@given(items_lists, st.integers(4, 125), st.integers(0, 30))
def test_merged(items, max_block, gap):
    blocks = plan(items, max_block, gap)
    assert sorted(i for block in blocks for i in block[3]) == list(range(len(items)))
    for table, address, count, indexes in blocks:
        limit = BITS_MAX if table in ("coil", "discrete") else max_block
        assert 1 <= count <= limit
        inside = sorted(items[i][1:] for i in indexes)
        assert all(items[i][0] == table for i in indexes)
        assert all(address <= start and start + words <= address + count for start, words in inside)
        assert inside[0][0] == address and max(a + w for a, w in inside) == address + count
        assert spans_ok(inside, limit, gap)
    for table in {item[0] for item in items}:
        limit = BITS_MAX if table in ("coil", "discrete") else max_block
        one = sorted((address, words) for t, address, words in items if t == table)
        assert sum(block[0] == table for block in blocks) == fewest(one, limit, gap)


@given(items_lists)
def test_not_merged(items):
    blocks = plan(items, merge=False)
    assert len(blocks) == len(set(items))
    for table, address, count, indexes in blocks:
        assert {items[i] for i in indexes} == {(table, address, count)}


def test_a_long_value_is_never_split():
    assert plan([("holding", 0, 3), ("holding", 3, 2)], max_block=4) == [
        ("holding", 0, 3, [0]),
        ("holding", 3, 2, [1]),
    ]
    raises(ConfigError, plan, [("holding", 0, 4)], 2)


def test_a_short_value_inside_a_long_one():
    items = [("holding", 0, 4), ("holding", 1, 1), ("holding", 12, 1)]
    assert plan(items) == [("holding", 0, 13, [0, 1, 2])]
    assert plan(items[:2]) == [("holding", 0, 4, [0, 1])]


def test_gaps():
    items = [("holding", 0, 2), ("holding", 10, 1), ("holding", 20, 1)]
    assert plan(items) == [("holding", 0, 11, [0, 1]), ("holding", 20, 1, [2])]
    assert plan(items, gap=7) == [("holding", 0, 2, [0]), ("holding", 10, 1, [1]), ("holding", 20, 1, [2])]
    assert plan(items, gap=9) == [("holding", 0, 21, [0, 1, 2])]


def test_tables_keep_their_order_of_appearance():
    items = [("input", 5, 1), ("holding", 0, 1), ("input", 0, 1)]
    assert plan(items) == [("input", 0, 6, [2, 0]), ("holding", 0, 1, [1])]
    assert plan([]) == []
