"""Which blocks of a forker count: the same on every node, and what a quorum acknowledged in good faith survives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from icn.domain.dag.electorate import Vouching, VouchingKind, voters_behind
from icn.domain.dag.feeds import quorum
from icn.domain.dag.forks import Contest, Cut, ForksShown, Link, lowest
from icn.kernel.ids import Cid, Did
from support import builders

X = builders.did(66)
VOTERS = tuple(sorted(builders.did(n) for n in (1, 2, 3, 4)))


@dataclass
class Dag:
    """Blocks by name, in an order in which ancestors come first."""

    blocks: dict[Cid, Link] = field(default_factory=dict)
    count: dict[Did, int] = field(default_factory=dict)
    heads: dict[Did, Cid] = field(default_factory=dict)

    def add(
        self, author: Did, parents: tuple[Cid, ...] = (), *, proofs: tuple[int, ...] = (), after: Cid | None = None
    ) -> Cid:
        """A block that follows `after`, or the newest one of its author."""
        before = self.heads.get(author) if after is None else after
        sequence = 0 if before is None else self.blocks[before].sequence + 1
        name = builders.cid(f"{author}/{len(self.blocks)}")
        links = (() if before is None else (before,)) + tuple(sorted(p for p in parents if p != before))
        self.blocks[name] = Link(name, author, sequence, links, tuple((X, at) for at in proofs))
        self.heads[author] = name
        return name

    def behind(self, cid: Cid) -> dict[Cid, None]:
        """The ancestry of a block, itself included."""
        found: dict[Cid, None] = {}
        pending = [cid]
        while pending:
            each = pending.pop()
            if each not in found:
                found[each] = None
                pending += self.blocks[each].links
        return found

    def orders(self, rng: Random) -> list[Link]:
        """Another order of the same blocks, ancestors first."""
        left, taken = dict(self.blocks), []
        done: dict[Cid, None] = {}
        while left:
            ready = [cid for cid, block in left.items() if all(link in done for link in block.links)]
            cid = rng.choice(ready)
            taken.append(left.pop(cid))
            done[cid] = None
        return taken


def kept(
    dag: Dag, cut: int, voters: tuple[Did, ...] = (X, *VOTERS), order: list[Link] | None = None
) -> tuple[Cid, ...]:
    contest = Contest({X: cut}, {X: voters})
    for block in order or list(dag.blocks.values()):
        contest.take(block)
    return contest.kept(X)


def by_hand(dag: Dag, cut: int, voters: tuple[Did, ...]) -> tuple[Cid, ...]:
    """The rule, read from the definition with whole ancestries."""
    votes: dict[Cid, int] = {}
    candidates = {cid: b for cid, b in dag.blocks.items() if b.author == X and b.sequence >= cut}
    for voter in voters:
        if voter == X:
            continue
        feed = sorted((b.sequence, cid) for cid, b in dag.blocks.items() if b.author == voter)
        seen: dict[int, Cid | None] = {}
        proved = 10**9
        for _, cid in feed:
            proved = min([proved, *(at for _, at in dag.blocks[cid].proofs)])
            here: dict[int, list[Cid]] = {}
            for each in dag.behind(cid):
                if each in candidates:
                    here.setdefault(candidates[each].sequence, []).append(each)
            for sequence, cids in here.items():
                if sequence not in seen:
                    seen[sequence] = cids[0] if len(cids) == 1 and sequence < proved else None
        for acknowledged in seen.values():
            if acknowledged is not None:
                votes[acknowledged] = votes.get(acknowledged, 0) + 1
    chain: list[Cid] = []
    while True:
        fitting = sorted(
            cid
            for cid, count in votes.items()
            if count >= quorum(len(voters))
            and candidates[cid].sequence == cut + len(chain)
            and (not chain or chain[-1] in candidates[cid].links)
        )
        if not fitting:
            return tuple(chain)
        chain.append(fitting[0])


def forked() -> tuple[Dag, Cid, Cid]:
    dag = Dag()
    base = dag.add(X)
    return dag, dag.add(X, after=base), dag.add(X, after=base)


def test_a_branch_that_a_quorum_builds_on_first_is_kept() -> None:
    dag, one, _ = forked()
    for voter in VOTERS:
        dag.add(voter, (one,))
    assert kept(dag, 1) == (one,)


def test_of_a_forker_that_was_removed_nothing_is_kept_that_its_removal_does_not_accept() -> None:
    dag, one, _ = forked()
    two = dag.add(X, after=one)
    for voter in VOTERS:
        dag.add(voter, (two,))
    for end, due in ((4, (one, two)), (3, (one, two)), (2, (one,)), (1, ())):
        contest = Contest({X: min(1, end)}, {X: (X, *VOTERS)}, {X: end}, {X: 1})
        for block in dag.blocks.values():
            contest.take(block)
        assert contest.kept(X) == due
        assert contest.cut(X) == Cut(X, 1, len(due), due[-1] if due else None, forked_at=1, removed_at=end)


def test_one_acknowledgement_less_keeps_nothing() -> None:
    dag, one, other = forked()
    for voter in VOTERS[:3]:
        dag.add(voter, (one,))
    dag.add(VOTERS[3], (other,))
    assert kept(dag, 1) == ()


def test_two_branches_at_once_acknowledge_neither() -> None:
    dag, one, other = forked()
    for voter in VOTERS:
        dag.add(voter, (one, other))
    assert kept(dag, 1) == ()


def test_what_is_built_on_after_a_proof_acknowledges_nothing() -> None:
    dag, one, _ = forked()
    for voter in VOTERS[:3]:
        dag.add(voter, (one,))
    dag.add(VOTERS[3], proofs=(1,))
    dag.add(VOTERS[3], (one,))
    assert kept(dag, 1) == ()


def test_a_proof_of_a_later_fork_does_not_silence_about_earlier_blocks() -> None:
    dag, one, _ = forked()
    for voter in VOTERS[:3]:
        dag.add(voter, (one,))
    dag.add(VOTERS[3], proofs=(2,))
    dag.add(VOTERS[3], (one,))
    assert kept(dag, 1) == (one,)


def test_a_chain_is_kept_as_far_as_it_was_acknowledged() -> None:
    dag, one, _ = forked()
    second = dag.add(X, after=one)
    dag.add(X, after=second)
    for voter in VOTERS:
        dag.add(voter, (second,))
    assert kept(dag, 1) == (one, second)


def test_a_voter_that_forked_itself_is_heard_up_to_its_own_fork() -> None:
    dag, one, _ = forked()
    for voter in VOTERS[:3]:
        dag.add(voter, (one,))
    dag.add(VOTERS[3])
    dag.add(VOTERS[3], (one,))
    cuts: dict[Did, int] = {X: 1, VOTERS[3]: 1}
    contest = Contest(cuts, {X: (X, *VOTERS)})
    for block in dag.blocks.values():
        contest.take(block)
    assert contest.kept(X) == ()
    cuts[VOTERS[3]] = 2
    contest = Contest(cuts, {X: (X, *VOTERS)})
    for block in dag.blocks.values():
        contest.take(block)
    assert contest.kept(X) == (one,)


def random_dag(rng: Random, proofs: Callable[[], bool]) -> Dag:
    """A forker with up to three branches, voters that build on what they happen to have seen."""
    dag = Dag()
    base = dag.add(X)
    tips = [base] * rng.randint(2, 3)
    proved: dict[Did, None] = {}
    for _ in range(rng.randint(8, 40)):
        if rng.random() < 0.3:
            branch = rng.randrange(len(tips))
            others = (
                tuple(rng.sample([dag.heads[v] for v in VOTERS if v in dag.heads], k=1)) if len(dag.heads) > 2 else ()
            )
            tips[branch] = dag.add(X, others, after=tips[branch])
            continue
        voter = rng.choice(VOTERS)
        known = [dag.heads[v] for v in VOTERS if v in dag.heads and v != voter]
        parents = rng.sample(known, k=min(len(known), rng.randint(0, 2)))
        if rng.random() < 0.5:
            parents.append(rng.choice(tips))
        says = proofs() and voter not in proved
        if says:
            proved[voter] = None
        dag.add(voter, tuple(dict.fromkeys(parents)), proofs=(rng.choice((1, 2)),) if says else ())
    return dag


@pytest.mark.parametrize("seed", range(60))
def test_any_order_of_arrival_keeps_the_same_as_the_definition_says(seed: int) -> None:
    rng = Random(seed)
    dag = random_dag(rng, lambda: rng.random() < 0.1)
    voters = (X, *VOTERS[: rng.choice((2, 3, 4))])
    due = by_hand(dag, 1, voters)
    for _ in range(4):
        assert kept(dag, 1, voters, dag.orders(rng)) == due


def test_the_random_dags_keep_something_now_and_then() -> None:
    lengths = []
    for seed in range(60):
        rng = Random(seed)
        dag = random_dag(rng, lambda rng=rng: rng.random() < 0.1)  # type: ignore[misc]  # bound at once
        lengths.append(len(kept(dag, 1, (X, *VOTERS[: rng.choice((2, 3, 4))]))))
    assert 0 in lengths
    assert max(lengths) > 1


def test_what_is_decided_stays_so() -> None:
    dag, _, _ = forked()
    contest = Contest({X: 1}, {X: (X, *VOTERS)})
    for voter in VOTERS:
        dag.add(voter, proofs=(1,))
    for block in dag.blocks.values():
        assert not contest.is_decided
        contest.take(block)
    assert contest.is_decided


def test_the_lowest_number_counts() -> None:
    cuts: dict[Did, int] = {}
    assert lowest(cuts, X, 5)
    assert not lowest(cuts, X, 6)
    assert lowest(cuts, X, 4)
    assert cuts == {X: 4}


def test_voters_are_who_was_admitted_by_blocks_that_no_cut_touches() -> None:
    a, b, c, d = (builders.did(n) for n in (1, 2, 3, 4))
    vouchings = [
        Vouching(VouchingKind.FOUNDS, a, 0, (a, b), {a: 1}),
        Vouching(VouchingKind.ADMITS, b, 3, (c,), {a: 1, b: 4}),
        Vouching(VouchingKind.ADMITS, c, 1, (d,), {a: 1, b: 4, c: 2}),
        Vouching(VouchingKind.LEAVES, d, 20, (d,), {a: 1, b: 4, c: 2, d: 21}),
    ]
    everything = {a: 9, b: 9, c: 9, d: 9}
    assert voters_behind({**everything, d: 20}, vouchings, {}) == tuple(sorted((a, b, c, d)))
    assert voters_behind({**everything, d: 21}, vouchings, {}) == tuple(sorted((a, b, c)))
    assert voters_behind(everything, vouchings, {}) == tuple(sorted((a, b, c, d)))
    assert voters_behind({a: 9, b: 3}, vouchings, {}) == tuple(sorted((a, b)))
    assert voters_behind(everything, vouchings, {b: 3}) == tuple(sorted((a, b))), "who c vouches for falls with c"


def test_votes_that_a_cut_touches_do_not_admit() -> None:
    a, b, c, d = (builders.did(n) for n in (1, 2, 3, 4))
    vouchings = [
        Vouching(VouchingKind.FOUNDS, a, 0, (a, b, c), {a: 1}),
        Vouching(VouchingKind.VOTES, a, 3, (d,), {a: 4}),
        Vouching(VouchingKind.VOTES, b, 3, (d,), {a: 1, b: 4}),
        Vouching(VouchingKind.COUNTS, c, 1, (d,), {a: 4, b: 4, c: 2}),
    ]
    everything = {a: 9, b: 9, c: 9}
    assert voters_behind(everything, vouchings, {}) == tuple(sorted((a, b, c, d)))
    assert voters_behind(everything, vouchings, {b: 3}) == tuple(sorted((a, b, c)))
    assert voters_behind(everything, vouchings, {c: 1}) == tuple(sorted((a, b, c)))


def test_a_second_block_with_a_number_and_a_proof_show_a_fork_and_the_lowest_number_counts() -> None:
    shown = ForksShown()
    for sequence in (0, 1, 2):
        shown.take(X, sequence, ())
    assert not shown.found
    shown.take(VOTERS[0], 0, [(X, 2)])
    assert shown.found == {X: 2}
    shown.take(X, 1, ())
    shown.take(X, 3, ())
    assert shown.found == {X: 1}
