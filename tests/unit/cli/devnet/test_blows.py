"""What chaos plans: the same for the same seed, of the kinds asked for, and never most of the nodes at once."""

import pytest

from icn.cli.devnet.blows import Blow, Kind, plan

NAMES = [f"node-{number:02}" for number in range(1, 6)]


def away(blows: list[Blow], at: float) -> list[str]:
    return [blow.name for blow in blows if blow.at <= at < blow.at + blow.absence]


def test_a_seed_plans_the_same_again() -> None:
    assert plan(7, 60.0, list(Kind), NAMES) == plan(7, 60.0, list(Kind), NAMES)
    assert plan(7, 60.0, list(Kind), NAMES) != plan(8, 60.0, list(Kind), NAMES)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_less_than_half_are_away_and_nobody_twice(count: int) -> None:
    blows = [plan(seed, 120.0, list(Kind), NAMES[:count]) for seed in range(20)]
    assert all(blows)
    for one in blows:
        for blow in one:
            gone = away(one, blow.at)
            assert len(gone) == len(set(gone)) <= max(1, (count - 1) // 2)
            assert 0 < blow.at < 120.0


def test_only_what_was_asked_for() -> None:
    assert {blow.kind for blow in plan(1, 120.0, [Kind.PAUSE], NAMES)} == {Kind.PAUSE}
    assert {blow.kind for blow in plan(1, 120.0, list(Kind), NAMES)} == set(Kind)
