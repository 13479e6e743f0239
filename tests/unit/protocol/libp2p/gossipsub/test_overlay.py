"""Dialogues about the mesh: who is grafted, who is pruned, who may come back when."""

import pytest

from icn.protocol.libp2p.gossipsub.inputs import PeerLeft, RpcReceived, Verdict
from icn.protocol.libp2p.gossipsub.rpc import Graft, Prune
from icn.protocol.libp2p.gossipsub.settings import MESHSUB_1_0
from icn.protocol.libp2p.protobuf import bytes_field
from support.gossip_talk import TOPIC, Dialogue, message, peer

MANY = [f"p{number}" for number in range(20)]


def grafted(said: list[str]) -> list[str]:
    return [line.removesuffix(" <- GRAFT") for line in said if line.endswith(" <- GRAFT")]


def pruned(said: list[str]) -> list[str]:
    return [line.partition(" <- PRUNE")[0] for line in said if " <- PRUNE" in line]


def test_too_few_are_filled_up_to_d():
    us = Dialogue()
    us.join(*MANY)
    assert len(grafted(us.wait(1_000))) == 6
    assert len(us.mesh()) == 6
    assert us.wait(10_000) == []


def test_from_d_lo_on_nobody_more_is_grafted():
    us = Dialogue()
    us.join("a", "b", outbound=True)
    us.join("c", "d")
    us.wait(1_000)
    us.join(*MANY)
    assert grafted(us.wait(5_000)) == []


def test_who_grafts_us_is_taken_in_up_to_d_hi_and_beyond_that_only_if_we_dialled_it():
    us = Dialogue()
    us.join(*MANY)
    us.join("dialled", outbound=True)
    for name in MANY[:12]:
        assert us.say(name, Graft(TOPIC)) == []
    assert us.say(MANY[12], Graft(TOPIC)) == [f"{MANY[12]} <- PRUNE for 60 s"]
    assert us.say("dialled", Graft(TOPIC)) == []
    assert len(us.mesh()) == 13


def test_too_many_are_pruned_to_d_and_the_best_and_enough_that_we_dialled_stay():
    us = Dialogue()
    us.join(*MANY)
    us.join("out1", "out2", outbound=True)
    for name in [*MANY[:12], "out1", "out2"]:
        us.say(name, Graft(TOPIC))
    best = MANY[:4]
    for number, name in enumerate(best):
        news = message("zoe", b"%d" % number, number)
        us.say(name, news)
        us.judge(news, Verdict.ACCEPT)
    gone = pruned(us.wait(1_000))
    assert len(gone) == 8
    assert set(best) | {"out1", "out2"} == set(us.mesh())


def test_enough_but_none_that_we_dialled_has_some_of_those_grafted():
    us = Dialogue()
    us.join("a", "b", "c", "d", "e")
    us.wait(1_000)
    us.join("out1", "out2", "out3", outbound=True)
    assert len(grafted(us.wait(1_000))) == 2
    assert us.wait(3_000) == []


def test_a_negative_score_costs_the_place_in_the_mesh():
    us = Dialogue()
    us.join("ann", "eve")
    us.wait(1_000)
    bad = message("zoe", b"bad")
    us.say("eve", bad)
    us.judge(bad, Verdict.REJECT)
    assert us.wait(1_000) == ["eve <- PRUNE for 60 s"]
    assert us.mesh() == ["ann"]
    assert us.wait(70_000) == []
    assert us.say("eve", Graft(TOPIC)) == ["eve <- PRUNE for 60 s"]


def test_who_was_pruned_is_not_grafted_before_the_back_off_and_some_slack_are_over():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    us.say("ann", Prune(TOPIC, 5))
    assert us.mesh() == []
    assert us.wait(5_900) == []
    assert us.wait(1_200) == ["ann <- GRAFT"]


def test_a_back_off_survives_the_connection():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    us.say("ann", Prune(TOPIC, 60))
    us.tell(PeerLeft(peer("ann")))
    us.join("ann")
    assert us.wait(50_000) == []


@pytest.mark.parametrize(("told", "kept"), [(None, 61_000), (10**12, 3_601_000)])
def test_a_prune_without_a_time_or_with_an_endless_one_has_ours(told, kept):
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    us.say("ann", Prune(TOPIC, told))
    assert us.wait(kept - 1_100) == []
    assert us.wait(2_200) == ["ann <- GRAFT"]


def test_coming_back_too_early_is_pruned_again_and_counts_and_right_after_the_prune_twice():
    us = Dialogue()
    us.join("eve")
    us.wait(1_000)
    us.say("eve", Prune(TOPIC, 60))
    us.wait(30_000)
    for _ in range(8):
        assert us.say("eve", Graft(TOPIC)) == ["eve <- PRUNE for 60 s"]
    assert us.score("eve") == -10 * (1 + 7 * 2 - 6) ** 2


def test_the_first_graft_of_a_process_that_cannot_know_of_the_back_off_is_pruned_and_does_not_count():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    us.say("ann", Prune(TOPIC, 60))
    us.tell(PeerLeft(peer("ann")))
    us.join("ann")
    assert us.say("ann", Graft(TOPIC)) == ["ann <- PRUNE for 60 s"]
    assert us.score("ann") == 0
    for _ in range(8):
        us.say("ann", Graft(TOPIC))
    assert us.score("ann") == -10 * (8 * 2 - 6) ** 2


def test_a_flood_of_grafts_ends_in_the_graylist():
    us = Dialogue()
    us.join("eve")
    us.wait(1_000)
    us.say("eve", Prune(TOPIC, 60))
    for _ in range(20):
        us.say("eve", Graft(TOPIC))
    assert us.say("eve", Graft(TOPIC)) == []
    assert us.score("eve") < -2_500


def test_the_peers_in_a_prune_are_ignored():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    info = bytes_field(1, peer("stranger").multihash)
    prune = bytes_field(4, bytes_field(1, TOPIC.encode()) + bytes_field(2, info))
    assert us.tell(RpcReceived(peer("ann"), bytes_field(3, prune))) == []
    assert us.wait(5_000) == []


def test_a_peer_of_1_0_gets_a_prune_without_a_time():
    us = Dialogue()
    us.join("old", protocol=MESHSUB_1_0)
    assert us.wait(1_000) == ["old <- GRAFT"]
    us.say("old", Prune(TOPIC))
    assert us.say("old", Graft(TOPIC)) == ["old <- PRUNE"]


def test_a_graft_of_who_is_not_in_the_topic_is_pruned():
    us = Dialogue()
    us.join("ann", topic="/elsewhere")
    assert us.say("ann", Graft(TOPIC)) == ["ann <- PRUNE for 60 s"]


def test_a_poor_mesh_takes_in_two_that_are_better_than_its_median():
    us = Dialogue()
    us.join("a", "b", outbound=True)
    us.join("c", "d")
    us.wait(1_000)
    us.join("good", "better", "fair")
    for number, name in enumerate(["good", "better"] * 5):
        news = message("zoe", b"%d" % number, number)
        us.say(name, news)
        us.judge(news, Verdict.ACCEPT)
        us.wait(10_000)
    assert {"good", "better"} <= set(us.mesh())
    assert "fair" not in us.mesh()
