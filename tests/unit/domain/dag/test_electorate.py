"""Who counts behind a block, and which removals do: one answer for one set of records, whatever their order."""

from itertools import permutations
from typing import Any

import pytest

from icn.domain.dag.electorate import Electorate, RemovalFound, Vouching, VouchingKind, chosen, counting, ends_of
from icn.domain.dag.feeds import Clock
from icn.kernel.ids import RAW, Cid, Did
from icn.kernel.limits import REMOVALS_SAID_MAX
from support import builders

A, B, C, D, E = (builders.did(number) for number in (1, 2, 3, 4, 5))
EVERYTHING = dict.fromkeys((A, B, C, D, E), 99)


def name(number: int) -> Cid:
    """Names in the order of their numbers."""
    return sorted(Cid.of(bytes([each]), RAW) for each in range(16))[number]


def founds(*nodes: Did) -> Vouching:
    return Vouching(VouchingKind.FOUNDS, A, 0, nodes, {A: 1})


def votes_out(by: Did, sequence: int, node: Did, clock: Clock) -> Vouching:
    return Vouching(VouchingKind.VOTES_OUT, by, sequence, (node,), {A: 1, **clock, by: sequence + 1})


def removes(
    by: Did, sequence: int, node: Did, clock: Clock, *, accepted: int | None = None, block: int = 1
) -> Vouching:
    behind = {A: 1, **clock, by: sequence + 1}
    count = behind.get(node, 0) if accepted is None else accepted
    return Vouching(VouchingKind.REMOVES, by, sequence, (node,), behind, name(block), count)


def electorate(*vouchings: Vouching, forks: dict[Did, int] | None = None) -> Electorate:
    made = Electorate(forks or {})
    for each in vouchings:
        made.take(each)
    return made


VOTED = (votes_out(A, 3, D, {}), votes_out(B, 3, D, {D: 4}), votes_out(C, 3, D, {D: 5}))
"""Three of four."""


def test_with_the_votes_of_more_than_half_a_member_counts_no_more() -> None:
    made = electorate(founds(A, B, C, D), *VOTED, removes(C, 4, D, {A: 4, B: 4, D: 5}))
    assert made.admitted(EVERYTHING) == tuple(sorted((A, B, C)))
    assert made.admitted({**EVERYTHING, C: 4}) == tuple(sorted((A, B, C, D))), "the removal is not behind that"
    assert ends_of(made.removals()) == {D: 5}


@pytest.mark.parametrize(
    ("what", "vouching"),
    [
        ("a vote is not behind it", removes(C, 4, D, {A: 4, D: 5})),
        ("it accepts less than is behind it", removes(C, 4, D, {A: 4, B: 4, D: 5}, accepted=4)),
        ("it accepts more than is behind it", removes(C, 4, D, {A: 4, B: 4, D: 5}, accepted=6)),
        ("its author is no member", removes(E, 4, D, {A: 4, B: 4, C: 4, D: 5})),
        ("its author is who is removed", removes(D, 5, D, {A: 4, B: 4, C: 4})),
    ],
)
def test_a_removal_that_its_author_was_not_entitled_to_removes_nobody(what: str, vouching: Vouching) -> None:
    assert not electorate(founds(A, B, C, D), *VOTED, vouching).removals(), what


def test_who_is_concerned_has_no_vote_and_is_counted_among_the_members() -> None:
    two = electorate(founds(A, D), votes_out(A, 1, D, {D: 4}), removes(A, 2, D, {D: 4}))
    assert not two.removals(), "of two neither removes the other"
    own = (votes_out(D, 2, D, {}), *VOTED[:2])
    assert not electorate(founds(A, B, C, D), *own, removes(B, 4, D, {A: 4, D: 4})).removals()


@pytest.mark.parametrize(("members", "needed"), [(3, 2), (4, 3), (5, 3)])
def test_more_than_half_of_all_members_remove_one(members: int, needed: int) -> None:
    nodes = (D, A, B, C, E)[:members]
    votes = tuple(votes_out(by, 3, D, {D: 4}) for by in nodes[1:])
    for given in range(1, members):
        behind = dict.fromkeys(nodes[1 : given + 1], 4) | {D: 4}
        made = electorate(founds(*nodes), *votes[:given], removes(A, 4, D, behind))
        assert bool(made.removals()) == (given >= needed)


def test_votes_and_removals_above_a_fork_are_not_heard() -> None:
    vouchings = (founds(A, B, C, D), *VOTED, removes(C, 4, D, {A: 4, B: 4, D: 5}))
    assert not electorate(*vouchings, forks={B: 3}).removals()
    assert not electorate(*vouchings, forks={C: 4}).removals()
    assert electorate(*vouchings, forks={C: 5}).removals()


def test_what_is_accepted_of_a_forker_is_said_up_to_its_fork() -> None:
    vouchings = (founds(A, B, C, D), *VOTED, removes(C, 4, D, {A: 4, B: 4, D: 5}, accepted=8))
    assert electorate(*vouchings, forks={D: 5}).removals(), "from there on a clock says nothing"
    assert not electorate(*vouchings, forks={D: 6}).removals()
    forked = electorate(*vouchings, forks={D: 5})
    assert D not in forked.admitted(EVERYTHING)
    assert not ends_of(forked.removals()), "the fork says what counts of its feed"


def test_whoever_founds_again_founds_nothing() -> None:
    again = Vouching(VouchingKind.FOUNDS, E, 0, (D, E), {A: 1, E: 1})
    assert electorate(founds(A, B), again).admitted(EVERYTHING) == tuple(sorted((A, B)))
    assert not electorate(founds(A, B), again, forks={A: 0}).admitted(EVERYTHING), (
        "nor where the founder forked at once"
    )


def test_a_node_leaves_for_itself() -> None:
    said = Vouching(VouchingKind.LEAVES, C, 2, (B,), {A: 1, C: 3})
    left = Vouching(VouchingKind.LEAVES, C, 2, (C,), {A: 1, C: 3})
    assert electorate(founds(A, B, C), said).admitted(EVERYTHING) == tuple(sorted((A, B, C)))
    assert electorate(founds(A, B, C), left).admitted(EVERYTHING) == tuple(sorted((A, B)))


def test_who_has_left_is_no_member_again_by_leaving_once_more() -> None:
    left = Vouching(VouchingKind.LEAVES, C, 2, (C,), {A: 1, C: 3})
    again = Vouching(VouchingKind.LEAVES, C, 9, (C,), {A: 1, C: 10})
    made = electorate(founds(A, B, C), left, again)
    assert made.admitted({**EVERYTHING, C: 5}) == tuple(sorted((A, B))), "as before the second record came"


def test_a_vote_about_a_node_that_nobody_knows_there_is_not_heard() -> None:
    def counted(*, known: bool) -> tuple[RemovalFound, ...]:
        at_vote: Clock = {E: 1} if known else {}
        votes = tuple(votes_out(by, 3, E, at_vote) for by in (A, B, C))
        return electorate(founds(A, B, C, D), *votes, removes(C, 4, E, {A: 4, B: 4, E: 2})).removals()

    assert counted(known=True), "it has joined, and was never admitted"
    assert not counted(known=False)


def test_whom_a_removed_member_let_in_above_its_end_is_no_member() -> None:
    late = Vouching(VouchingKind.ADMITS, D, 7, (E,), {A: 1, D: 8})
    made = electorate(founds(A, B, C, D), *VOTED, late, removes(C, 4, D, {A: 4, B: 4, D: 5}))
    assert E not in made.admitted(EVERYTHING)
    assert E in made.admitted({**EVERYTHING, C: 4})


def test_of_two_that_remove_each_other_the_lower_name_counts_whatever_came_first() -> None:
    both = tuple(votes_out(by, 3, node, {node: 4}) for by in (A, B) for node in (C, D))
    votes = (*both, votes_out(C, 4, D, {}), votes_out(D, 4, C, {}))
    one = removes(C, 5, D, {A: 4, B: 4, D: 4}, block=1)
    other = removes(D, 5, C, {A: 4, B: 4, C: 4}, block=2)
    for last in ((one, other), (other, one)):
        made = electorate(founds(A, B, C, D), *votes, *last)
        assert [found.node for found in made.removals()] == [D]
        assert made.admitted(EVERYTHING) == tuple(sorted((A, B, C)))


def test_what_a_removal_ends_removes_nobody_though_its_name_is_lower() -> None:
    first = RemovalFound(D, 5, B, 4, name(9))
    ended = RemovalFound(C, 5, D, 5, name(1))
    then = RemovalFound(B, 2, C, 6, name(0))
    for order in permutations((first, ended)):
        assert chosen(order) == (first,)
    for order in permutations((first, ended, then)):
        assert chosen(order) == (then,), (
            "in a circle the lowest name counts, without what it ends and what would end it"
        )


def test_the_lowest_of_several_ends_counts() -> None:
    several = (RemovalFound(D, 5, B, 4, name(1)), RemovalFound(D, 3, C, 4, name(2)))
    assert chosen(several) == several
    assert ends_of(several) == {D: 3}


def test_a_removal_that_others_may_never_hear_of_does_not_count_against_one_that_all_hear_of() -> None:
    one, other = RemovalFound(D, 4, C, 5, name(2)), RemovalFound(C, 4, D, 5, name(1))
    for order in permutations((one, other)):
        assert counting(order, [one]) == (one,) == counting([one], [one]), "as for those that have not heard of it"
        assert counting(order, [other]) == (other,)
        assert counting(order, [one, other]) == (other,) == counting(order, []), "else the lower name counts"


def test_a_removal_that_nothing_keeps_from_others_counts_though_nobody_has_built_on_it() -> None:
    ended, ending = RemovalFound(D, 4, C, 5, name(1)), RemovalFound(C, 4, B, 5, name(2))
    freed = RemovalFound(B, 9, D, 6, name(3))
    assert counting([ended, ending], [ended]) == (ending,)
    assert set(counting([ended, ending, freed], [ended])) == {ending, freed}, "it is cut by nothing that counts"


@pytest.mark.parametrize(("said", "heard"), [(REMOVALS_SAID_MAX - 1, True), (REMOVALS_SAID_MAX, False)])
def test_who_has_said_so_often_enough_that_a_member_is_removed_is_not_heard_any_more(said: int, heard: bool) -> None:
    early = [removes(C, 4 + number, D, {D: 4}) for number in range(said)]  # without the votes
    last = removes(C, 4 + said, D, {A: 4, B: 4, D: 5})
    assert bool(electorate(founds(A, B, C, D), *VOTED, *early, last).removals()) == heard
    assert electorate(founds(A, B, C, D), *VOTED, *early, removes(B, 4, D, {A: 4, C: 4, D: 5})).removals(), "others are"


class Looked(dict[Did, int]):
    """A clock that counts how often it is asked."""

    times = 0

    def get(self, key: Did, default: Any = None) -> Any:
        Looked.times += 1
        return super().get(key, default)


@pytest.mark.parametrize("kind", [VouchingKind.ADMITS, VouchingKind.VOTES, VouchingKind.VOTES_OUT, VouchingKind.COUNTS])
def test_a_member_that_says_the_same_again_and_again_costs_the_same_each_time(kind: VouchingKind) -> None:
    made = electorate(founds(A, B, C), Vouching(VouchingKind.VOTES, A, 1, (D,), {A: 2, D: 1}))
    Looked.times = 0
    for sequence in range(2, 1002):
        made.take(Vouching(kind, A, sequence, (D,), Looked({A: sequence + 1, D: 1})))
    assert Looked.times < 1000 * 20


def test_whom_a_member_admits_costs_nobody_a_look_at_all_others() -> None:
    made = electorate(founds(A, B, C))
    nodes = [Did.from_public_key(number.to_bytes(32, "big")) for number in range(1000)]
    Looked.times = 0
    for sequence, node in enumerate(nodes):
        made.take(Vouching(VouchingKind.ADMITS, A, sequence + 1, (node,), Looked({A: sequence + 2})))
    assert Looked.times < 1000 * 20
    assert made.admitted({A: 501}) == tuple(sorted((A, B, C, *nodes[:500])))
