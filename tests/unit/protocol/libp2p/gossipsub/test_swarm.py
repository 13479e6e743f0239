"""Twenty routers in virtual time: everything reaches everybody, meshes stay in bounds, misbehaviour shows in scores."""

import dataclasses
from random import Random

import pytest

from icn.protocol.libp2p.gossipsub.inputs import RpcReceived, Verdict
from icn.protocol.libp2p.gossipsub.rpc import IHave, Rpc, encode
from icn.protocol.libp2p.gossipsub.settings import OverlaySettings, RouterSettings, ScoreSettings, TopicScoring
from support.gossip_talk import TOPIC, Swarm, message, peer

NAMES = [f"r{number}" for number in range(20)]
EVERYBODY = [(a, b) for a in range(20) for b in range(a)]
SPARSE = [(a, b) for a in range(1, 20) for b in Random(a).sample(range(a), min(a, 4))]
"""Each dials up to four of those before it."""


def talk(swarm: Swarm, messages: int, pause: int = 100) -> list[bytes]:
    said = []
    for number in range(messages):
        payload = b"message %d" % number
        swarm.publish(number % len(swarm.names), payload)
        said.append(payload)
        swarm.run(pause)
    return said


@pytest.mark.slow
@pytest.mark.parametrize("links", [EVERYBODY, SPARSE], ids=["everybody", "sparse"])
@pytest.mark.parametrize("flood", [True, False], ids=["flooding", "mesh only"])
def test_every_message_reaches_everybody_once_and_meshes_stay_in_bounds(links, flood):
    swarm = Swarm(NAMES, links, RouterSettings(OverlaySettings(flood_publish=flood)))
    swarm.run(5_000)
    said = talk(swarm, 40)
    swarm.run(10_000)
    assert all(seen == dict.fromkeys(said, 1) for seen in swarm.delivered)
    neighbours = [sum(at in link for link in links) for at in range(20)]
    for router, has in zip(swarm.routers, neighbours, strict=True):
        assert min(4, has) <= len(router.mesh(TOPIC)) <= 12 + 2
    assert swarm.disconnected == []
    assert min(swarm.score(of, by) for of in NAMES for by in NAMES) >= 0


@pytest.mark.slow
def test_losses_and_repetitions_are_made_up_for_by_gossip():
    swarm = Swarm(NAMES, EVERYBODY, lost_percent=10, twice_percent=10)
    swarm.run(5_000)
    said = talk(swarm, 40)
    swarm.run(20_000)
    assert all(seen == dict.fromkeys(said, 1) for seen in swarm.delivered)
    assert swarm.disconnected == []


def test_after_the_last_message_the_swarm_falls_silent():
    swarm = Swarm(NAMES[:6], [link for link in EVERYBODY if max(link) < 6])
    swarm.run(5_000)
    talk(swarm, 5)
    swarm.run(2 * 3_600_000)
    sent = swarm.rpcs
    swarm.run(3_600_000)
    assert swarm.rpcs == sent
    assert [router.wake_at for router in swarm.routers] == [None] * 6


@pytest.mark.slow
def test_who_never_forwards_is_thought_less_of_than_everybody_else():
    settings = RouterSettings(
        OverlaySettings(flood_publish=False),
        scores=ScoreSettings(topic=TopicScoring(mesh_deliveries_activation_ms=10_000)),
    )
    swarm = Swarm(NAMES[:10], [link for link in EVERYBODY if max(link) < 10], settings, mute=frozenset({"r3"}))
    swarm.run(20_000)
    judges = [by for by, router in zip(NAMES, swarm.routers, strict=False) if peer("r3") in router.mesh(TOPIC)]
    assert len(judges) >= 3
    for number in range(60):
        swarm.publish((0, 1, 2, 4, 5, 6, 7, 8, 9)[number % 9], b"%d" % number)
        swarm.run(200)
    for by in judges:
        others = [of for of in NAMES[:10] if peer(of) in swarm.routers[NAMES.index(by)].mesh(TOPIC) and of != "r3"]
        assert swarm.score("r3", by) < min(swarm.score(of, by) for of in others), by


@pytest.mark.slow
def test_a_spammer_of_advertisements_is_let_go_by_everybody_and_nobody_else_is():
    swarm = Swarm(NAMES[:10], [link for link in EVERYBODY if max(link) < 10])
    swarm.run(3_000)
    for second in range(10):
        for at in range(1, 10):
            for number in range(10):
                bogus = IHave(TOPIC, (b"bogus %d %d %d" % (second, at, number),))
                swarm.plan(0, at, RpcReceived(peer("r0"), encode(Rpc(controls=(bogus,)))))
        swarm.run(1_000)
    assert sorted(dict.fromkeys(swarm.disconnected)) == [(name, "r0") for name in NAMES[1:10]]


@pytest.mark.slow
def test_a_spammer_of_invalid_messages_is_let_go_and_its_messages_go_nowhere():
    swarm = Swarm(NAMES[:10], [link for link in EVERYBODY if max(link) < 10])
    swarm.verdict = lambda _, payload: Verdict.REJECT if payload.startswith(b"bad") else Verdict.ACCEPT
    swarm.run(3_000)
    for number in range(10):
        bad = message("r0", b"bad %d" % number, number)
        swarm.plan(0, 1, RpcReceived(peer("r0"), encode(Rpc(messages=(bad.raw,)))))
        swarm.run(100)
    said = talk(swarm, 20)
    swarm.run(5_000)
    assert swarm.score("r0", "r1") < -2_500
    assert dict.fromkeys(swarm.disconnected) == {("r1", "r0"): None}
    reached = [{payload for payload in seen if payload.startswith(b"bad")} for seen in swarm.delivered]
    assert [len(bad) for bad in reached[2:]] == [0] * 8
    assert all(set(said) <= set(seen) for seen in swarm.delivered[2:])


def test_a_swarm_is_the_same_for_the_same_seed():
    def run() -> tuple[int, list[tuple[int, ...]]]:
        swarm = Swarm(NAMES[:8], [link for link in EVERYBODY if max(link) < 8])
        swarm.run(2_000)
        talk(swarm, 5)
        return swarm.rpcs, [tuple(map(swarm.ids.index, router.mesh(TOPIC))) for router in swarm.routers]

    assert run() == run()


def test_the_parameters_are_those_of_the_specification():
    overlay = OverlaySettings()
    assert (overlay.d, overlay.d_lo, overlay.d_hi, overlay.d_lazy) == (6, 4, 12, 6)
    assert overlay.d_out < overlay.d_lo
    assert 2 * overlay.d_out <= overlay.d
    scores = ScoreSettings()
    assert 0 > scores.gossip_threshold > scores.publish_threshold > scores.graylist_threshold
    assert dataclasses.asdict(scores.topic)["invalid_weight"] < 0
