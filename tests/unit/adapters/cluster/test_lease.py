"""Whatever is delayed or lost, a runner's lease is over when its bridge says that it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.cluster.lease import Lease

SECONDS = 15.0
delays = st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20), st.floats(0, 5)), max_size=12)
"""Of each round: until the ping arrives, until its answer does, until the next ping is sent."""


@given(delays, st.floats(0, 20), st.floats(0, 30))
def test_a_bridge_never_counts_less_than_the_runner(rounds, answer_delay, last_delay) -> None:
    """Both by one clock here. The last ping is sent, and never answered as far as the bridge knows."""
    lease = Lease(0.0, SECONDS)  # `begin` is answered at 0
    heard_at = answer_delay
    sent_at = heard_at
    for there, back, pause in rounds:
        arrives = sent_at + there
        if lease.is_over(arrives) or arrives + back > heard_at + SECONDS:
            break  # the runner has ended, or the bridge has given it up
        lease.pinged(arrives)
        heard_at = arrives + back
        sent_at = heard_at + pause
        if sent_at > heard_at + SECONDS:
            break
    if not lease.is_over(sent_at + last_delay):
        lease.pinged(sent_at + last_delay)
    assert lease.is_over(heard_at + SECONDS)


def test_a_lease_is_renewed_by_pings() -> None:
    lease = Lease(0.0, SECONDS)
    for second in range(1, 100):
        assert not lease.is_over(second)
        lease.pinged(second)
    assert lease.until == pytest.approx(98 + SECONDS)
    assert lease.is_over(98 + SECONDS)


def test_without_a_ping_it_ends() -> None:
    lease = Lease(100.0, SECONDS)
    assert not lease.is_over(114.9)
    assert lease.is_over(115.0)
