"""Gossip in the simulator: the shipped routers carry the blocks, and where they cannot, comparing makes up for them."""

from dataclasses import replace

import pytest

from icn.services.effects import Publish
from icn.services.inputs import Gossiped
from icn.sim import gossip
from icn.sim.faults import CALM, CERTAIN
from icn.sim.plan import Plan
from icn.sim.tempo import Tempo
from icn.sim.world import World

pytestmark = pytest.mark.slow

PLAN = Plan(seed=7, nodes=4, seconds=3, tempo=Tempo.DENSE)


def counted(monkeypatch, faults):
    """A run, with how many publications went out and how many inputs they were."""
    counts = {Publish: 0, Gossiped: 0}
    carry_out, push = gossip.Gossip.carry_out, gossip.Gossip._deliver

    def carrying(self, effect):
        counts[Publish] += isinstance(effect, Publish)
        carry_out(self, effect)

    def delivering(self, said):
        counts[Gossiped] += 1
        push(self, said)

    monkeypatch.setattr(gossip.Gossip, "carry_out", carrying)
    monkeypatch.setattr(gossip.Gossip, "_deliver", delivering)
    run = World(PLAN, faults=faults).run()
    assert run.finding is None, run.finding
    return counts[Publish], counts[Gossiped]


def test_blocks_reach_everybody_by_gossip(monkeypatch):
    published, delivered = counted(monkeypatch, CALM)
    assert published > 20
    assert delivered > 2 * published, "most reach the three others; the first ones come before anybody has subscribed"


def test_where_no_gossip_gets_through_comparing_what_is_here_makes_up_for_it(monkeypatch):
    published, delivered = counted(monkeypatch, replace(CALM, gossip_dropped=CERTAIN))
    assert published > 20
    assert delivered == 0


def test_where_some_of_it_is_dropped_nobody_is_accused(monkeypatch):
    published, delivered = counted(monkeypatch, replace(CALM, gossip_dropped=2_000))
    assert 0 < delivered < 3 * published
