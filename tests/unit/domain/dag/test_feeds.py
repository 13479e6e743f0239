"""Frontier, root, clocks and what is confirmed (semantics §2)."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.dag import feeds as dag_feeds
from icn.domain.dag.block import Block, Place
from icn.domain.dag.feeds import Clock, Feeds, confirmed_count, is_confirmed_at, merged_clock, quorum
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import Cid, Did
from icn.kernel.limits import PARENTS_MAX
from support import builders

A, B, C = (builders.did(n) for n in (1, 2, 3))
FEDERATION = builders.cid("federation")


class Dag:
    """A DAG as its authors make it, each naming what it knows."""

    def __init__(self, authors: int = 3) -> None:
        self.knows = {n: Feeds() for n in range(1, authors + 1)}
        self.blocks: list[tuple[Block, dict[Did, int]]] = []
        self.clocks: dict[tuple[Did, int], Clock] = {}

    def author(self, number: int) -> None:
        feeds, did = self.knows[number], builders.did(number)
        head = feeds.heads.get(did)
        sequence = feeds.next_sequence(did)
        block = builders.block(
            number,
            federation=FEDERATION,
            sequence=sequence,
            previous=head.cid if head else None,
            parents=feeds.parents_for(did),
        )
        clock = merged_clock(did, sequence, feeds.clocks_behind(did))
        self.clocks[did, sequence] = clock
        self.blocks.append((block, clock))
        feeds.advance(block, clock)

    def tell(self, number: int, of: int) -> None:
        """Node `number` learns all that node `of` knows."""
        for block, clock in self.blocks:
            header = block.header
            known = self.knows[of].next_sequence(header.author) > header.sequence
            if known and self.knows[number].next_sequence(header.author) == header.sequence:
                self.knows[number].advance(block, clock)


def history(moves: list[tuple[int, int]]) -> Dag:
    """Each move: a node learns what another knows (unless it is itself), then authors."""
    dag = Dag()
    for number, of in moves:
        if of != number:
            dag.tell(number, of)
        dag.author(number)
    return dag


MOVES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=20)


@given(MOVES, st.randoms(use_true_random=False))
def test_frontier_root_and_clock_do_not_depend_on_the_order_of_arrival(
    moves: list[tuple[int, int]], chance: Random
) -> None:
    dag = history(moves)
    in_order = Feeds()
    for block, clock in dag.blocks:
        in_order.advance(block, clock)
    shuffled, waiting = Feeds(), list(dag.blocks)
    while waiting:
        ready = [
            (block, clock)
            for block, clock in waiting
            if all(shuffled.next_sequence(a) >= n - (a == block.header.author) for a, n in clock.items())
        ]
        block, clock = chance.choice(ready)
        waiting.remove((block, clock))
        shuffled.advance(block, clock)
    assert shuffled == in_order
    assert shuffled.root() == in_order.root()
    assert shuffled.block_count == len(moves)


@given(MOVES)
def test_the_frontier_is_what_nobody_has_built_on(moves: list[tuple[int, int]]) -> None:
    dag = history(moves)
    feeds = Feeds()
    named: dict[object, None] = {}
    for block, clock in dag.blocks:
        feeds.advance(block, clock)
        named |= dict.fromkeys((block.header.previous, *block.header.parents))
    assert sorted(feeds.frontier) == sorted(b.cid for b, _ in dag.blocks if b.cid not in named)


@given(MOVES)
def test_a_clock_counts_the_ancestry(moves: list[tuple[int, int]]) -> None:
    dag = history(moves)
    by_cid = {block.cid: block for block, _ in dag.blocks}
    for block, clock in dag.blocks:
        behind, open_ends = {block.cid: block}, [block]
        while open_ends:
            header = open_ends.pop().header
            for cid in (header.previous, *header.parents):
                if cid is not None and cid not in behind:
                    behind[cid] = by_cid[cid]
                    open_ends.append(by_cid[cid])
        counts: dict[Did, int] = {}
        for ancestor in behind.values():
            counts[ancestor.header.author] = counts.get(ancestor.header.author, 0) + 1
        assert clock == counts


@pytest.mark.parametrize(
    ("voters", "enough"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 5), (7, 5), (8, 6), (9, 7), (10, 7)]
)
def test_how_many_confirm(voters: int, enough: int) -> None:
    assert quorum(voters) == enough
    if voters >= 4:
        assert 3 * enough > 2 * voters
        assert 3 * (enough - 1) <= 2 * voters


def test_confirmed_is_seen_by_a_quorum() -> None:
    seen: dict[Did, Clock] = {A: {A: 3}, B: {A: 2}, C: {}}
    assert confirmed_count(A, [A, B, C], seen.get) == 2
    assert confirmed_count(A, [A], seen.get) == 3
    assert confirmed_count(A, [C], seen.get) == 0
    assert confirmed_count(A, [], seen.get) == 0
    assert confirmed_count(A, [A, builders.did(9)], seen.get) == 0


def test_confirmed_in_an_ancestry_is_what_the_ancestry_saw() -> None:
    dag = Dag()
    dag.author(1)
    dag.tell(2, 1)
    dag.author(2)
    dag.tell(3, 2)
    dag.author(3)

    def confirmed(by: Did, sequence: int) -> bool:
        return is_confirmed_at(
            A, 0, clock=dag.clocks[by, sequence], voters=[A, B, C], clock_of=lambda who, n: dag.clocks[who, n]
        )

    assert not confirmed(A, 0)
    assert confirmed(B, 0)
    assert confirmed(C, 0)


def test_blocks_of_a_feed_are_taken_in_order() -> None:
    feeds = Feeds()
    with pytest.raises(InvariantBroken):
        feeds.advance(builders.block(1, federation=FEDERATION, sequence=1, previous=FEDERATION), {A: 2})


def test_a_block_names_as_many_parents_as_it_has_room_for_and_never_its_own_head() -> None:
    feeds = Feeds()
    for number in range(PARENTS_MAX + 20):
        did = Did.from_public_key(builders.digest(f"{number}"))
        feeds.frontier[builders.cid(f"{number}")] = did
    feeds.frontier[builders.cid("own")] = A
    parents = feeds.parents_for(A)
    assert len(parents) == PARENTS_MAX
    assert list(parents) == sorted(parents)
    assert builders.cid("own") not in parents


def test_an_empty_dag_has_a_root_too() -> None:
    assert Feeds().root() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Feeds().latest_time() == 0


def test_the_newest_blocks_are_at_hand_and_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag_feeds, "RECENT_BLOCKS_MAX", 3)
    dag = Dag(2)
    for _ in range(4):
        dag.author(1)
        dag.tell(2, of=1)
        dag.author(2)
        dag.tell(1, of=2)
    feeds = dag.knows[1]
    newest = dag.blocks[-3:]
    assert feeds.recent == {block.cid: block.place for block, _ in newest}
    assert feeds.recent_clocks == {(block.header.author, block.header.sequence): clock for block, clock in newest}


class WalkedOver(dict[Cid, Place]):
    """Counts how often all of it is gone through."""

    walks = 0

    def values(self):
        self.walks += 1
        return super().values()

    def items(self):
        self.walks += 1
        return super().items()

    def __iter__(self):
        self.walks += 1
        return super().__iter__()


def test_whose_blocks_are_in_no_feed_is_known_without_a_walk_over_them() -> None:
    first = builders.block(1, federation=FEDERATION)
    feeds = Feeds(sides={first.cid: first.place})
    feeds.sides = walked = WalkedOver(feeds.sides)
    for sequence in range(1, 50):
        block = builders.block(2, federation=FEDERATION, sequence=sequence, previous=FEDERATION)
        feeds.put_aside(block, is_branch=True)
        assert [who for who in (A, B, C) if who in feeds.aside] == [A, B]
    assert (len(feeds.sides), walked.walks) == (50, 0)


def test_the_root_is_another_one_with_each_block_and_the_same_until_then() -> None:
    dag = Dag()
    feeds = dag.knows[1]
    roots = [feeds.root()]
    for _ in range(3):
        dag.author(1)
        roots += [feeds.root(), feeds.root()]
    assert [roots.count(root) for root in dict.fromkeys(roots)] == [1, 2, 2, 2]
    assert feeds.root() == Feeds(feeds.heads, feeds.frontier).root()
