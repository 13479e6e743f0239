"""How far a node is, and what a quorum has confirmed."""

from dataclasses import replace

import pytest

from icn.domain.federation.model import Admission, Federation, JoinPolicy, Member
from icn.kernel.ids import DAG_CBOR, Cid
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.queries.membership import Membership, confirmations, federation, members, membership
from icn.stores.blocks import ClockEntry
from icn.stores.kv import Batch, KeyValueStore
from support.http_node import HttpNode, policy, signer_of

HERE, FOUNDER = signer_of(1).did, signer_of(2).did
DIDS = sorted(signer_of(number).did for number in range(1, 5))


def store_with(member: Member | None, join_policy: JoinPolicy = JoinPolicy.OPEN) -> KeyValueStore:
    node = HttpNode()
    batch = Batch()
    genesis = Cid.of(b"genesis", DAG_CBOR)
    made = Federation(genesis, "demo", replace(policy(), join_policy=join_policy), FOUNDER)
    rows.FEDERATION.put(batch, b"-", made)
    if member is not None:
        rows.MEMBERS.put(batch, member.node.public_key, member)
    node.store.commit(batch, node.store.claim())
    return node.store


ADMITTED = (Admission(FOUNDER, 0),)


@pytest.mark.parametrize(
    ("member", "join_policy", "expected"),
    [
        (None, JoinPolicy.OPEN, Membership.WAITING_TO_JOIN),
        (None, JoinPolicy.INVITE, Membership.WAITING_FOR_ADMISSION),
        (Member(HERE, ADMITTED, joined=False), JoinPolicy.INVITE, Membership.WAITING_TO_JOIN),
        (Member(HERE, (), joined=True), JoinPolicy.OPEN, Membership.WAITING_FOR_ADMISSION),
        (Member(HERE, ADMITTED, joined=True), JoinPolicy.OPEN, Membership.MEMBER),
    ],
)
def test_how_far_a_node_is(member: Member | None, join_policy: JoinPolicy, expected: Membership) -> None:
    assert membership(store_with(member, join_policy), HERE, joins=True) is expected


def test_votes_of_who_has_gone_are_not_shown_as_if_they_counted() -> None:
    voters = tuple(Admission(voter, 1) for voter in DIDS[1:])
    concerned = Member(DIDS[0], (), joined=False, votes=voters, removal_votes=voters)
    store = store_with(concerned, JoinPolicy.VOTE)
    batch = Batch()
    for voter in DIDS[1:]:
        left_at = 5 if voter == DIDS[1] else None
        rows.MEMBERS.put(batch, voter.public_key, Member(voter, ADMITTED, joined=True, left_at=left_at))
    store.commit(batch, store.claim())
    (shown,) = [view for view in members(store).items if view.did == DIDS[0]]
    assert (shown.votes, shown.removal_votes) == (2, 2)


def test_before_any_federation() -> None:
    empty = HttpNode().store
    assert membership(empty, HERE, joins=True) is Membership.WAITING_TO_JOIN
    assert membership(empty, HERE, joins=False) is Membership.FOUNDING
    view = federation(empty, HERE, joins=False)
    assert (view.id, view.policy, view.members) == (None, None, ())


def test_confirmed_is_what_a_quorum_has_built_on() -> None:
    """Three voters, and a joined node that is not admitted: that it has seen nothing holds nobody up."""
    node = HttpNode()
    batch = Batch()
    author, second, third, guest = DIDS
    seen = {author: 5, second: 3, third: 1, guest: 0}
    for number, (did, count) in enumerate(seen.items()):
        rows.MEMBERS.put(batch, did.public_key, Member(did, ADMITTED if did != guest else (), joined=True))
        clock = (ClockEntry(author, count),)
        head = rows.HeadRow(did, Cid.of(bytes([number]), DAG_CBOR), 0, Instant(0), clock, news_count=1)
        rows.HEADS.put(batch, did.public_key, head)
    node.store.commit(batch, node.store.claim())
    assert confirmations(node.store).count(author) == 3
    assert confirmations(node.store).count(guest) == 0
