"""What the simulator does to nodes beyond what breaks by itself: each kind, in a world that is calm otherwise."""

from dataclasses import replace
from functools import partial
from io import StringIO
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.instant import Instant
from icn.kernel.signing import SeedSigner
from icn.protocol.messages import Want
from icn.services.inputs import PeerDown, Received
from icn.sim.clock import SkewedClock
from icn.sim.faults import CALM
from icn.sim.network import Cut, Network
from icn.sim.plan import Plan, Scenario
from icn.sim.platter import SORTED_AT_ONCE, Platter
from icn.sim.tempo import Tempo, draw_rhythm
from icn.sim.timeline import SECOND, Timeline
from icn.sim.world import World
from icn.stores.kv import Batch, FenceLost

dense = partial(Plan, tempo=Tempo.DENSE)


class Listener:
    is_up = True
    life = 0

    def __init__(self, number):
        self.did = SeedSigner(bytes([number]) * 32).did
        self.heard = []

    def push(self, input_):
        self.heard.append(input_)


@pytest.mark.parametrize(("cut", "hears"), [(Cut.FEW_DEAF, False), (Cut.FEW_MUTE, True)])
def test_over_a_cable_that_works_one_way_one_side_hears_until_the_connection_breaks(cut, hears):
    timeline = Timeline()
    network = Network(timeline, Random(1), CALM, lambda _: None)
    few, other = Listener(1), Listener(2)
    network.attach([few, other])
    timeline.run_until(SECOND)
    network.partition([0], cut)
    network.send(few.did, other.did, Want(()))
    network.send(other.did, few.did, Want(()))
    timeline.run_until(timeline.now_us + 20 * SECOND)
    got = {who: any(isinstance(one, Received) for one in who.heard) for who in (few, other)}
    assert got == {few: hears, other: not hears}
    assert all(isinstance(who.heard[-1], PeerDown) for who in (few, other))
    network.mend()
    timeline.run_until(timeline.now_us + 2 * SECOND)
    assert not any(isinstance(who.heard[-1], PeerDown) for who in (few, other))


def test_a_clock_that_is_set_back_goes_on_at_half_speed_until_time_has_caught_up():
    now = [0]
    clock = SkewedClock(lambda: now[0], offset_ms=0, drift_ppm=0)
    now[0] = 5 * SECOND
    before = clock.now()
    clock.set_off(-3_000)
    assert clock.now() == before
    now[0] = 9 * SECOND
    assert clock.now() == before + 2_000
    assert clock.reached_at_us(Instant(before + 2_500)) == 10 * SECOND
    now[0] = 10 * SECOND
    assert clock.now() == before + 2_500
    now[0] = 12 * SECOND
    assert clock.now() == before + 4_000, "time has caught up"
    clock.set_off(2_000)
    assert clock.now() == before + 9_000
    assert clock.reached_at_us(clock.now()) == now[0]


def test_bursts_leave_stretches_in_which_nobody_asks():
    rhythm = draw_rhythm(Random(1), Tempo.BURSTS, 60, dense_pause_ms=500)
    assert rhythm.opens_in(0) == 0
    still = [second for second in range(60) if rhythm.opens_in(second * SECOND)]
    assert 30 < len(still) < 58
    assert rhythm.opens_in(60 * SECOND) == 0
    assert draw_rhythm(Random(1), Tempo.DENSE, 60, dense_pause_ms=500).opens_in(30 * SECOND) == 0
    tempos = [draw_rhythm(Random(seed), None, 60, dense_pause_ms=500).tempo for seed in range(2_000)]
    assert 5 < tempos.count(Tempo.DENSE) < 30
    assert tempos.count(Tempo.BURSTS) > 2 * tempos.count(Tempo.SELDOM) > 800


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "seen"),
    [
        ({"leave_every": 3_000, "leave_for": 6_000}, "leaves for long"),
        ({"late": 1, "late_for": 3_000}, "n3 starts"),
        ({"slow": 1, "slow_for": 800}, "n0 starts"),
        ({"jump_every": 500, "jump": 8_000, "skew": 500}, "its clock is set"),
        ({"partition_every": 1_500, "partition_for": 3_000, "one_way": 10_000}, "hear"),
    ],
)
def test_each_later_trouble_alone_is_borne(trouble, seen):
    trace = StringIO()
    runs = [World(dense(seed, 4, 6), faults=replace(CALM, **trouble), sink=trace).run() for seed in (0, 2)]
    assert [f"seed {run.plan.seed}: {run.finding}" for run in runs if run.finding is not None] == []
    assert sum(run.answered for run in runs) > 20
    assert seen in trace.getvalue()


@pytest.mark.slow
def test_a_federation_cut_in_two_takes_writes_on_both_sides_and_loses_none():
    runs = [World(Plan(seed, 5, 40, scenario=Scenario.CUTS)).run() for seed in range(3)]
    assert [f"seed {run.plan.seed}: {run.finding}" for run in runs if run.finding is not None] == []
    assert all(run.cuts for run in runs)
    assert sum(run.cut_writes_few for run in runs) > 3
    assert sum(run.cut_writes_many for run in runs) > 3


def test_keys_that_came_in_any_order_are_walked_over_in_theirs():
    platter, rng = Platter(sorted_at_once=4), Random(1)
    fence, keys = platter.claim(), [b"ab"[n % 2 :][:1] + bytes([n]) for n in range(100)]
    rng.shuffle(keys)
    platter.commit(Batch(dict.fromkeys(keys, b"")), fence)
    copy = platter.copied()
    gone = keys[::3]
    platter.commit(Batch(dict.fromkeys(gone)), fence)
    assert [key for key, _ in copy.scan(b"b")] == sorted(key for key in keys if key[:1] == b"b")
    assert [key for key, _ in platter.scan(b"")] == sorted(key for key in keys if key not in gone)
    platter.commit(Batch(dict.fromkeys(gone, b"")), fence)
    assert [key for key, _ in platter.scan_down(b"a", before=b"a\x20")] == [
        key for key in sorted(keys, reverse=True) if key < b"a\x20"
    ]


@given(
    st.lists(
        st.dictionaries(st.binary(max_size=3), st.none() | st.binary(max_size=2), min_size=1, max_size=4), max_size=12
    ),
    st.binary(max_size=2),
    st.none() | st.binary(max_size=3),
)
@pytest.mark.parametrize("sorted_at_once", [1, 2, SORTED_AT_ONCE])
def test_a_platter_holds_what_a_memory_store_does(sorted_at_once, batches, prefix, bound):
    platter, memory = Platter(sorted_at_once), MemoryStore()
    fences = platter.claim(), memory.claim()
    for operations in batches:
        before = platter.copied()
        kept = list(before.scan(b""))
        walk = platter.scan(b"")
        platter.commit(Batch(dict(operations)), fences[0])
        memory.commit(Batch(dict(operations)), fences[1])
        assert list(walk) == list(before.scan(b"")) == kept
    assert list(platter.scan(prefix, after=bound)) == list(memory.scan(prefix, after=bound))
    assert list(platter.scan_down(prefix, before=bound)) == list(memory.scan_down(prefix, before=bound))
    names = [b"", b"\0", *(key for operations in batches for key in operations)]
    assert platter.get_many(names) == memory.get_many(names) == [platter.get(name) for name in names]
    platter.claim()
    with pytest.raises(FenceLost):
        platter.commit(Batch({b"k": b"v"}), fences[0])
