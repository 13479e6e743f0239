"""The bounds that every engine scans between, against the words of the port."""

from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.storage.ranges import ascending, descending, end_of

KEYS = st.binary(max_size=4).map(lambda key: bytes(255 if byte > 127 else byte & 1 for byte in key))
"""Made of 00, 01 and ff, so that prefixes and neighbours are frequent."""


def within(key, low, high):
    return low <= key and (high is None or key < high)


@given(key=KEYS, prefix=KEYS, bound=st.none() | KEYS)
def test_a_key_lies_in_the_range_exactly_when_the_port_says_so(key, prefix, bound):
    bears = key.startswith(prefix)
    assert within(key, *ascending(prefix, bound)) == (bears and (bound is None or key > bound))
    assert within(key, *descending(prefix, bound)) == (bears and (bound is None or key < bound))


def test_nothing_comes_after_a_prefix_of_only_ff():
    assert [end_of(prefix) for prefix in (b"", b"\xff", b"\xff\xff")] == [None, None, None]
    assert [end_of(prefix) for prefix in (b"a", b"a\xff", b"\xff\x00")] == [b"b", b"b", b"\xff\x01"]
