"""Dialogues with one router: what went in, what came out."""

import pytest

from icn.kernel.errors import Invalid
from icn.kernel.limits import BLOCK_BYTES_MAX
from icn.protocol.libp2p.gossipsub.inputs import (
    PeerJoined,
    PeerLeft,
    Publish,
    RpcReceived,
    Subscribe,
    Unsubscribe,
    Verdict,
)
from icn.protocol.libp2p.gossipsub.rpc import Graft, Subscription
from icn.protocol.libp2p.gossipsub.settings import (
    MESHSUB_1_1,
    PAYLOAD_BYTES_MAX,
    OverlaySettings,
    RouterSettings,
)
from icn.protocol.libp2p.gossipsub.signing import read
from support.gossip_talk import TOPIC, Dialogue, message, peer


def test_a_peer_that_comes_is_told_our_topics_and_one_that_subscribes_is_grafted_with_the_next_heartbeat():
    us = Dialogue()
    us.names[peer("ann")] = "ann"
    assert us.words(us.tell(PeerJoined(peer("ann"), MESHSUB_1_1, outbound=False))) == ["ann <- subscribe"]
    assert us.say("ann", Subscription(TOPIC, subscribe=True)) == []
    assert us.wait(1_000) == ["ann <- GRAFT"]
    assert us.mesh() == ["ann"]


def test_a_message_is_delivered_once_and_travels_on_only_when_it_is_accepted():
    us = Dialogue()
    us.join("ann", "bob", "eve")
    us.wait(1_000)
    said = message("zoe", b"news")
    assert us.say("ann", said) == ["deliver news from ann"]
    assert us.say("bob", said) == []
    assert us.judge(said, Verdict.ACCEPT) == ["eve <- message news"]
    assert us.say("eve", said) == []
    assert us.judge(said, Verdict.ACCEPT) == []


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
def test_what_is_not_accepted_does_not_travel_on_and_is_not_delivered_again(verdict):
    us = Dialogue()
    us.join("ann", "bob")
    us.wait(1_000)
    said = message("zoe", b"doubtful")
    us.say("ann", said)
    assert us.judge(said, verdict) == []
    assert us.say("bob", said) == []
    assert "bob <- message doubtful" not in us.wait(3_000)


def test_a_message_goes_back_neither_to_its_author_nor_to_who_brought_it():
    us = Dialogue()
    us.join("ann", "bob")
    us.wait(1_000)
    said = message("ann", b"mine")
    us.say("bob", said)
    assert us.judge(said, Verdict.ACCEPT) == []


def test_our_own_messages_go_to_everybody_in_the_topic_and_come_back_to_nobody():
    us = Dialogue(RouterSettings(OverlaySettings(d=1, d_lo=1, d_hi=1, d_score=1, d_out=0)))
    us.join("ann", "bob", "eve")
    us.wait(1_000)
    assert len(us.mesh()) == 1
    assert us.publish(b"hello") == ["ann <- message hello", "bob <- message hello", "eve <- message hello"]


def test_what_we_published_and_is_brought_back_after_a_restart_is_not_taken():
    us = Dialogue()
    us.join("ann")
    [sent] = [effect for effect in us.tell(Publish(TOPIC, b"before")) if hasattr(effect, "data")]
    later = Dialogue()
    later.join("ann")
    assert later.tell(RpcReceived(peer("ann"), sent.data)) == []


def test_two_publications_of_the_same_bytes_are_two_messages():
    us = Dialogue()
    us.join("ann")
    first, second = us.tell(Publish(TOPIC, b"same")), us.tell(Publish(TOPIC, b"same"))
    assert first != second


def test_without_flooding_a_topic_that_is_not_ours_has_a_fanout_that_ages():
    us = Dialogue(RouterSettings(OverlaySettings(flood_publish=False)), subscribed=False)
    us.join("ann")
    us.join("bob", topic="/other")
    assert us.publish(b"one") == ["ann <- message one"]
    us.join("eve")
    assert us.wait(1_000) == []
    assert us.publish(b"two") == ["ann <- message two", "eve <- message two"]
    us.wait(70_000)
    us.tell(PeerLeft(peer("ann")))
    assert us.publish(b"three") == ["eve <- message three"]


def test_without_flooding_our_messages_go_to_the_mesh_and_are_advertised_to_the_others():
    us = Dialogue(RouterSettings(OverlaySettings(d=1, d_lo=1, d_hi=1, d_score=1, d_out=0, flood_publish=False)))
    us.join("ann", "bob")
    us.wait(1_000)
    [inside] = us.mesh()
    [outside] = {"ann", "bob"} - {inside}
    assert us.publish(b"hello") == [f"{inside} <- message hello"]
    assert us.wait(1_000) == [f"{outside} <- IHAVE 1"]


def test_subscribing_moves_the_fanout_into_the_mesh():
    us = Dialogue(RouterSettings(OverlaySettings(flood_publish=False)), subscribed=False)
    us.join("ann")
    us.publish(b"one")
    assert us.words(us.tell(Subscribe(TOPIC))) == ["ann <- subscribe", "ann <- GRAFT"]


def test_leaving_a_topic_prunes_the_mesh_for_a_short_while():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    assert us.words(us.tell(Unsubscribe(TOPIC))) == ["ann <- unsubscribe", "ann <- PRUNE for 10 s"]
    assert us.router.topics == ()
    assert us.say("ann", message("zoe", b"late")) == []


def test_who_comes_back_to_a_topic_keeps_to_the_back_off_that_it_told_others():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    us.tell(Unsubscribe(TOPIC))
    assert us.words(us.tell(Subscribe(TOPIC))) == ["ann <- subscribe"]
    assert us.wait(10_000) == []
    assert us.wait(2_000) == ["ann <- GRAFT"]


def test_of_an_rpc_full_of_forgeries_only_as_many_are_looked_at_as_it_takes():
    us = Dialogue()
    us.join("eve")
    us.wait(1_000)
    forged = [read(message("zoe", b"news", number).raw.replace(b"news", b"lies")) for number in range(500)]
    us.say("eve", *forged)
    assert us.router.figures.malformed == 6


def test_who_leaves_the_topic_leaves_the_mesh():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    us.say("ann", Subscription(TOPIC, subscribe=False))
    assert us.mesh() == []
    assert us.wait(5_000) == []


def test_a_peer_that_is_gone_is_forgotten_and_may_come_again():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    us.tell(PeerLeft(peer("ann")))
    assert us.mesh() == []
    assert us.publish(b"hello") == []
    us.join("ann")
    assert us.wait(1_000) == ["ann <- GRAFT", "ann <- IHAVE 1"] or us.mesh() == ["ann"]


def test_a_publication_that_is_too_long_is_an_error_and_the_longest_is_taken():
    us = Dialogue()
    with pytest.raises(Invalid):
        us.tell(Publish(TOPIC, bytes(PAYLOAD_BYTES_MAX + 1)))
    assert us.router.figures.published == 0
    us.tell(Publish(TOPIC, bytes(BLOCK_BYTES_MAX)))
    with pytest.raises(Invalid):
        us.tell(Publish("", b""))
    with pytest.raises(Invalid):
        us.tell(Subscribe("x" * 257))


@pytest.mark.parametrize("garbage", [b"\x0a", b"\xff" * 20, b"\x0a\x02\x0a\x00", b"\x1a\x03\x1a\x01\x0a", bytes(100)])
def test_what_is_no_rpc_costs_the_stream_and_counts_against_the_peer(garbage):
    us = Dialogue()
    us.join("ann")
    assert us.hear("ann", garbage) == ["ann is reset"]
    for _ in range(30):
        us.hear("ann", garbage)
    assert us.score("ann") < -2_500


def test_who_scores_too_low_is_not_heard_any_more_and_let_go():
    us = Dialogue()
    us.join("eve", "ann")
    us.wait(1_000)
    for number in range(6):
        bad = message("eve", b"bad %d" % number, number)
        us.say("eve", bad)
        us.judge(bad, Verdict.REJECT)
    assert us.score("eve") < -2_500
    assert us.say("eve", message("zoe", b"good")) == []
    assert us.router.figures.graylisted == 1
    assert us.wait(1_000) == ["eve is disconnected", "eve <- PRUNE for 60 s"]
    us.tell(PeerLeft(peer("eve")))
    us.join("eve")
    assert us.score("eve") < -2_500


def test_a_bad_signature_counts_against_who_brought_it_and_does_not_hide_the_real_message():
    us = Dialogue()
    us.join("eve", "ann")
    us.wait(1_000)
    good = message("zoe", b"news")
    forged = read(good.raw.replace(b"news", b"lies"))
    assert us.say("eve", forged) == []
    assert us.router.figures.malformed == 1
    assert us.score("eve") == -100
    assert us.say("ann", good) == ["deliver news from ann"]


def test_a_verdict_that_never_comes_frees_its_place():
    us = Dialogue()
    us.join("ann", "bob")
    us.wait(1_000)
    lost = message("zoe", b"lost")
    us.say("ann", lost)
    us.wait(61_000)
    us.say("ann", message("zoe", b"next", 2))
    us.wait(1_000)
    assert us.router.figures.verdicts[Verdict.IGNORE] == 1
    assert us.judge(lost, Verdict.ACCEPT) == []


@pytest.mark.slow
def test_messages_beyond_what_can_be_validated_at_once_are_dropped_and_may_come_again():
    us = Dialogue()
    us.join("ann", "bob")
    us.wait(1_000)
    many = [message("zoe", b"%d" % number, number) for number in range(1_025)]
    for one in many:
        us.say("ann", one)
    assert us.router.figures.crowded == 1
    us.judge(many[0], Verdict.ACCEPT)
    assert us.say("ann", many[-1]) == ["deliver 1024 from ann"]


def test_a_peer_whose_stream_is_another_one_is_greeted_again_and_nothing_else_changes():
    us = Dialogue()
    us.join("ann")
    us.wait(1_000)
    assert us.words(us.tell(PeerJoined(peer("ann"), MESHSUB_1_1, outbound=False))) == ["ann <- subscribe"]
    assert us.mesh() == ["ann"]


def test_an_rpc_of_somebody_who_is_not_here_is_not_read():
    us = Dialogue()
    assert us.tell(RpcReceived(peer("nobody"), b"\xff")) == []


def test_a_quiet_router_asks_for_no_heartbeat():
    us = Dialogue()
    us.join("ann", "bob")
    us.wait(120_000)
    assert us.router.wake_at is None
    us.say("ann", message("zoe", b"news"))
    assert us.router.wake_at == us.now + 1_000


def test_a_flood_of_subscriptions_is_bounded_and_counts_against_the_peer():
    us = Dialogue()
    us.join("eve")
    for number in range(1_000):
        us.say("eve", *(Subscription(f"t{number}/{part}", subscribe=True) for part in range(10)))
    assert us.score("eve") < -2_500
    assert len(us.router.peers_in("t999/9")) == 0


def test_a_graft_for_a_topic_that_is_not_ours_is_not_answered():
    us = Dialogue()
    us.join("eve")
    us.wait(1_000)
    assert us.say("eve", Graft("/elsewhere")) == []
