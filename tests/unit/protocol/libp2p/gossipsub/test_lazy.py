"""Dialogues about gossip: what is advertised, what is asked for, and who does not keep their word."""

from icn.protocol.libp2p.gossipsub.inputs import PeerLeft, Verdict
from icn.protocol.libp2p.gossipsub.rpc import IHave, IWant
from icn.protocol.libp2p.gossipsub.settings import OverlaySettings, RouterSettings
from support.gossip_talk import TOPIC, Dialogue, message, peer

NARROW = RouterSettings(OverlaySettings(d=1, d_lo=1, d_hi=1, d_score=1, d_out=0, d_lazy=2))


def test_what_was_not_seen_is_asked_for_and_what_was_seen_is_not():
    us = Dialogue()
    us.join("ann", "bob")
    old, new = message("zoe", b"old", 1), message("zoe", b"new", 2)
    us.say("ann", old)
    assert us.say("bob", IHave(TOPIC, (old.id, new.id, new.id))) == ["bob <- IWANT 1"]
    assert us.say("bob", IHave(TOPIC, (old.id,))) == []


def test_an_advertisement_of_a_topic_that_is_not_ours_is_not_answered():
    us = Dialogue()
    us.join("ann")
    assert us.say("ann", IHave("/elsewhere", (b"id",))) == []


def test_accepted_messages_are_advertised_outside_of_the_mesh_for_three_heartbeats():
    us = Dialogue(NARROW)
    us.join("ann", "bob", "eve", "dan")
    us.wait(1_000)
    [inside] = us.mesh()
    news = message("zoe", b"news")
    us.say(inside, news)
    us.judge(news, Verdict.ACCEPT)
    for _ in range(3):
        told = us.wait(1_000)
        assert len(told) == 2
        assert all(line.endswith(" <- IHAVE 1") for line in told)
        assert not any(line.startswith(inside) for line in told)
    assert us.wait(10_000) == []


def test_a_quarter_of_many_peers_is_told_when_that_is_more():
    us = Dialogue(NARROW)
    us.join(*(f"p{number}" for number in range(41)))
    us.wait(1_000)
    us.publish(b"news")
    assert len(us.wait(1_000)) == 10


def test_what_is_asked_for_is_sent_three_times_to_one_peer():
    us = Dialogue()
    us.join("ann", "bob")
    news = message("zoe", b"news")
    us.say("ann", news)
    us.judge(news, Verdict.ACCEPT)
    sent = ["bob <- message news"]
    assert [us.say("bob", IWant((news.id,))) for _ in range(4)] == [sent, sent, sent, []]
    assert us.say("bob", IWant((b"unknown",))) == []
    us.wait(6_000)
    assert us.say("ann", IWant((news.id,))) == []


def test_messages_under_validation_are_not_sent():
    us = Dialogue()
    us.join("ann", "bob")
    news = message("zoe", b"news")
    us.say("ann", news)
    assert us.say("bob", IWant((news.id,))) == []


def test_a_promise_is_kept_by_whoever_brings_the_message():
    us = Dialogue()
    us.join("ann", "bob")
    for number in range(40):
        us.wait(1_000)
        news = message("zoe", b"%d" % number, number)
        us.say("ann", IHave(TOPIC, (news.id,)))
        us.say("bob", news)
    us.wait(5_000)
    assert us.score("ann") >= 0


def test_who_promises_in_vain_is_soon_not_listened_to_and_who_floods_ends_in_the_graylist():
    us = Dialogue()
    us.join("eve", "mal")
    for number in range(40):
        us.say("eve", IHave(TOPIC, (b"bogus %d" % number,)))
        for part in range(5):
            us.say("mal", IHave(TOPIC, (b"bogus %d/%d" % (number, part),)))
        us.wait(500)
    assert us.score("eve") < -500
    assert us.say("eve", IHave(TOPIC, (b"bogus",))) == []
    assert us.score("mal") < -2_500


def test_a_few_broken_promises_cost_nothing_and_nothing_is_expected_of_who_is_gone():
    us = Dialogue()
    us.join("ann", "bob")
    for number in range(6):
        us.say("ann", IHave(TOPIC, (b"lost %d" % number,)))
    for number in range(10):
        us.say("bob", IHave(TOPIC, (b"gone %d" % number,)))
    us.tell(PeerLeft(peer("bob")))
    us.wait(5_000)
    us.join("bob")
    assert us.score("ann") >= 0
    assert us.score("bob") >= 0


def test_advertisements_are_bounded_in_number_and_ids_between_two_heartbeats():
    us = Dialogue()
    us.join("eve", "ann")
    us.wait(1_000)
    answers = [us.say("eve", IHave(TOPIC, (b"%d" % number,))) for number in range(15)]
    assert answers == [["eve <- IWANT 1"]] * 10 + [[]] * 5
    many = tuple(b"id %d" % number for number in range(4_000))
    more = tuple(b"more %d" % number for number in range(4_000))
    assert us.say("ann", IHave(TOPIC, many)) == ["ann <- IWANT 4000"]
    assert us.say("ann", IHave(TOPIC, more)) == ["ann <- IWANT 1000"]
    assert us.say("ann", IHave(TOPIC, (b"one",))) == []
    us.wait(1_000)
    assert us.say("ann", IHave(TOPIC, (b"one",))) == ["ann <- IWANT 1"]


def test_a_flood_of_requests_is_answered_within_a_bound():
    us = Dialogue()
    us.join("ann", "eve")
    us.wait(1_000)
    big = [message("zoe", b"x" * 1_000_000, number) for number in range(8)]
    for one in big:
        us.say("ann", one)
        us.judge(one, Verdict.ACCEPT)
    got = [line for _ in range(3) for line in us.say("eve", IWant(tuple(one.id for one in big)))]
    assert len(got) == 5
    us.wait(1_000)
    assert len(us.say("eve", IWant(tuple(one.id for one in big)))) == 5


def test_gossip_of_who_scores_below_the_threshold_is_ignored_and_none_is_told_it():
    us = Dialogue(NARROW)
    us.join("ann", "eve", "bob")
    us.wait(1_000)
    for number in range(3):
        bad = message("zoe", b"bad", number)
        us.say("eve", bad)
        us.judge(bad, Verdict.REJECT)
    us.wait(1_000)
    assert us.score("eve") < -500
    assert us.say("eve", IHave(TOPIC, (b"id",))) == []
    news = message("zoe", b"news", 9)
    us.say("ann", news)
    us.judge(news, Verdict.ACCEPT)
    assert us.say("eve", IWant((news.id,))) == []
    assert not any(line.startswith("eve") for line in us.wait(4_000))
    assert us.publish(b"ours") == ["ann <- message ours", "eve <- message ours", "bob <- message ours"]
    bad = message("zoe", b"bad", 10)
    us.say("eve", bad)
    us.judge(bad, Verdict.REJECT)
    assert us.score("eve") < -1_000
    assert us.publish(b"more") == ["ann <- message more", "bob <- message more"]
