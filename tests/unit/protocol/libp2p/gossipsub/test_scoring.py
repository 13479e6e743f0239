import pytest

from icn.protocol.libp2p.gossipsub.scoring import ONE, Scores
from icn.protocol.libp2p.gossipsub.seen import Sighting, Standing
from icn.protocol.libp2p.gossipsub.settings import ScoreSettings, TopicScoring
from support.gossip_talk import peer

ANN, BOB, EVE = peer("ann"), peer("bob"), peer("eve")
HOUR = 3_600_000


def scores(**changes: int) -> Scores:
    made = Scores(ScoreSettings(topic=TopicScoring(**changes)) if changes else ScoreSettings())
    for one in (ANN, BOB, EVE):
        made.arrive(one, "", 0)
    return made


def pass_time(of: Scores, start: int, end: int) -> None:
    for moment in range(start, end, 1_000):
        of.decay(moment)


def test_a_stranger_and_a_newcomer_have_no_score():
    made = scores()
    assert made.of(ANN, 5) == made.of(peer("nobody"), 5) == 0
    assert made.decays_at is None


def test_p1_time_in_the_mesh_is_worth_a_little_up_to_a_cap():
    made = scores()
    made.graft(ANN, "t", 0)
    assert made.of(ANN, 10_000) == 100
    assert made.of(ANN, HOUR) == made.of(ANN, 2 * HOUR) == 6_000
    made.prune(ANN, "t", HOUR)
    assert made.of(ANN, HOUR) == 0


def test_p2_the_first_to_bring_what_is_accepted_earns_a_point_up_to_a_cap():
    made = scores()
    made.accept("t", [ANN, BOB], [], 0)
    assert (made.of(ANN, 0), made.of(BOB, 0)) == (1_000, 0)
    for _ in range(200):
        made.accept("t", [ANN], [], 0)
    assert made.of(ANN, 0) == 50_000


def test_p3_who_is_in_the_mesh_and_brings_nothing_loses_where_others_bring_something():
    made = scores(mesh_deliveries_activation_ms=1_000)
    mesh = [ANN, BOB, EVE]
    for one in mesh:
        made.graft(one, "t", 0)
    for number in range(40):
        made.accept("t", [EVE if number % 2 else BOB], mesh, 5_000)
    worth_of_time = 50
    assert made.of(ANN, 5_000) == worth_of_time - 200 * 5 * 5
    assert made.of(BOB, 5_000) == worth_of_time + 20_000


def test_p3_is_no_matter_where_nothing_was_published_and_for_newcomers():
    made = scores(mesh_deliveries_activation_ms=1_000)
    made.graft(ANN, "t", 0)
    assert made.of(ANN, HOUR) > 0
    made.graft(BOB, "t", HOUR)
    for _ in range(40):
        made.accept("t", [EVE], [ANN, BOB], HOUR + 500)
    assert made.of(ANN, HOUR + 500) < made.of(BOB, HOUR + 500) + 6_000
    assert made.of(BOB, HOUR + 500) == 0


def test_p3_alone_makes_nobody_negative_with_the_defaults():
    made = scores()
    made.graft(ANN, "t", 0)
    for moment in range(0, HOUR, 10_000):
        made.accept("t", [BOB], [ANN], moment)
        made.decay(moment)
        assert made.of(ANN, moment) >= 0
    assert made.of(ANN, HOUR) == 1_000


def test_p3_counts_what_comes_soon_after_the_first_and_not_what_is_played_back_later():
    made = scores(mesh_deliveries_activation_ms=1_000)
    for one in (ANN, BOB):
        made.graft(one, "t", 0)
    for _ in range(40):
        sighting = Sighting(5_000, Standing.ACCEPTED, 5_000)
        made.accept("t", [EVE], [ANN, BOB], 5_000)
        made.repeat(ANN, "t", sighting, 7_000)
        made.repeat(BOB, "t", sighting, 7_001)
    assert made.of(ANN, 7_001) == 70
    assert made.of(BOB, 7_001) == 70 - 5_000


def test_p3b_what_was_owed_when_it_was_pruned_stays():
    made = scores(mesh_deliveries_activation_ms=1_000)
    made.graft(ANN, "t", 0)
    for _ in range(40):
        made.accept("t", [EVE], [ANN], 5_000)
    made.prune(ANN, "t", 5_000)
    assert made.of(ANN, 5_000) == -5_000
    made.graft(ANN, "t", 5_000)
    assert made.of(ANN, 5_000) == -5_000


def test_p4_grows_with_the_square():
    made = scores()
    for times, worth in ((1, -100), (2, -400), (3, -900)):
        made.invalid(ANN, "t")
        assert made.of(ANN, 0) == worth * 1_000, times


def test_p4_who_repeats_what_was_rejected_is_treated_as_if_it_had_brought_it():
    made = scores()
    made.repeat(ANN, "t", Sighting(0, Standing.REJECTED, 0), 50_000)
    made.repeat(BOB, "t", Sighting(0, Standing.IGNORED, 0), 0)
    made.repeat(EVE, "t", Sighting(0, Standing.VALIDATING, 0), 0)
    assert [made.of(one, 0) for one in (ANN, BOB, EVE)] == [-100_000, 0, 0]


def test_p5_is_what_the_application_says():
    made = scores()
    made.appraise(ANN, -3_000)
    made.appraise(peer("nobody"), 5)
    assert made.of(ANN, 0) == -3_000
    made.appraise(ANN, 10)
    assert made.of(ANN, 0) == 10


def test_p6_many_peers_of_one_address_lose_and_where_it_is_not_counted_they_do_not():
    made = scores()
    for number in range(7):
        made.arrive(peer(f"p{number}"), "203.0.113.9", 0)
    assert made.of(peer("p0"), 0) == -400_000
    made.leave(peer("p6"), 0)
    assert made.of(peer("p0"), 0) == -100_000
    made.arrive(peer("p5"), "203.0.113.10", 0)
    assert made.of(peer("p0"), 0) == 0
    assert made.of(ANN, 0) == 0


def test_p7_is_free_up_to_its_threshold_and_grows_with_the_square_from_there():
    made = scores()
    made.misbehave(ANN, 6)
    assert made.of(ANN, 0) == 0
    made.misbehave(ANN, 2)
    assert made.of(ANN, 0) == -40_000


def test_what_a_topic_earns_is_capped():
    made = scores()
    for topic in ("t", "u", "v"):
        for _ in range(50):
            made.accept(topic, [ANN], [], 0)
    assert made.of(ANN, 0) == 100_000


def test_counters_sink_and_are_nothing_after_an_hour():
    made = scores()
    made.invalid(ANN, "t")
    made.misbehave(BOB, 10)
    made.decay(0)
    pass_time(made, 0, HOUR // 2)
    assert made.of(ANN, HOUR // 2) == pytest.approx(-100_000 / 10**2, rel=0.1)
    assert made.decays_at is not None
    pass_time(made, HOUR // 2, 2 * HOUR)
    assert made.of(ANN, 2 * HOUR) == made.of(BOB, 2 * HOUR) == 0
    assert made.decays_at is None


def test_a_score_outlives_the_connection_for_an_hour():
    made = scores()
    for _ in range(5):
        made.invalid(ANN, "t")
    made.leave(ANN, 0)
    made.arrive(ANN, "", HOUR - 1)
    assert made.of(ANN, HOUR - 1) < 0
    made.leave(ANN, HOUR)
    made.arrive(ANN, "", 2 * HOUR)
    assert made.of(ANN, 2 * HOUR) == 0


def test_who_left_first_is_forgotten_first_and_a_forgotten_peer_leaves_no_trace():
    made = Scores(ScoreSettings(retained_max=2))
    for name in ("a", "b", "c"):
        made.arrive(peer(name), "", 0)
        made.invalid(peer(name), "t")
        made.leave(peer(name), 0)
    assert [made.of(peer(name), 0) for name in ("a", "b", "c")] == [0, -100_000, -100_000]
    made.invalid(peer("a"), "t")
    made.accept("t", [peer("a")], [peer("a")], 0)
    assert made.of(peer("a"), 0) == 0
    assert ONE == 1_000_000
