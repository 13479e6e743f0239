"""Invitations between engines: redeemed once by their issuer, refused with a reason, and no way to make it write."""

from dataclasses import replace

import pytest

from icn.domain.federation.events import (
    AdmissionCounted,
    FederationFounded,
    InvitationIssued,
    InvitationRedeemed,
    NodeAdmitted,
    NodeJoined,
)
from icn.domain.federation.invitation import (
    open_invitation,
    read_line,
    seal_invitation,
)
from icn.domain.federation.model import JoinPolicy
from icn.kernel.ids import Did, PeerId
from icn.kernel.instant import Instant, seconds
from icn.kernel.limits import PRESENTATIONS_PER_CONNECTION_MAX
from icn.protocol.messages import Blocks, Hello, InvitationAnswered, InvitationPresented, Message
from icn.services.answers import Answer, Done, Refused
from icn.services.commands import Admit, Invite, Join, Leave, Remove, ResumeAuthoring, Revoke
from icn.services.effects import Dial, Send
from icn.services.inputs import PeerUp, Received
from icn.stores.joining import Aim
from support import builders
from support.world import World, terms

WEEK = seconds(7 * 86_400)
ADDRESS = "/ip4/127.0.0.1/tcp/7000"


def inviting(policy: JoinPolicy = JoinPolicy.INVITE, founders: tuple[str, ...] = ()) -> World:
    """A federation that lets nobody in by himself, and a node `new` that has none."""
    world = World()
    for name in ("a", *founders, "new"):
        world.add(name, terms(joins=name != "a"))
    world.found("a", builders.policy(join_policy=policy), founders)
    for name in founders:
        world.link("a", name)
    world.pass_time(2_000)
    return world


def invite(world: World, who: str = "a", for_node: Did | None = None) -> dict[str, object]:
    return world.done(who, Invite(WEEK, for_node, "for the bakers", (ADDRESS,)))


def aim(issued: dict[str, object]) -> Aim:
    data = read_line(str(issued["line"]))
    return Aim(open_invitation(data).addresses, data)


def answers_to(world: World, name: str) -> list[InvitationAnswered]:
    did = world[name].did
    sent = [effect for _, effect in world.trace if isinstance(effect, Send) and effect.peer == did]
    return [send.message for send in sent if isinstance(send.message, InvitationAnswered)]


def has_joined(world: World, name: str) -> bool:
    node = world[name].engine
    return node.state.federation.has_joined(node.did)


def refusal_of(answer: Answer) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


def test_who_presents_an_invitation_joins_and_is_a_full_member() -> None:
    world = inviting()
    issued = invite(world)
    assert "waiting to join" in str(world.done("new", Join(aim(issued)))["state"])
    assert [e.address for n, e in world.trace if n == "new" and isinstance(e, Dial)] == issued["addresses"]
    world.link("a", "new")
    world.pass_time(2_000)
    new = world["new"]
    assert new.happened(NodeJoined)[-1] == NodeJoined(new.did, "test/1")
    assert world["a"].happened(InvitationRedeemed) == [InvitationRedeemed(bytes.fromhex(str(issued["id"])), new.did)]
    account = new.engine.state.ledger.account(new.did, new.did)
    assert account is not None
    assert account.balance == 1000, "it is admitted, so it has a grant"
    assert new.engine.joining.explain(new.engine.state, new.did) == ""
    assert new.engine.joining.aim is None
    world.restart("new")
    world.settle()
    assert new.engine.joining.aim is None, "what is reached is not aimed at again"


def test_the_next_to_present_it_is_refused_and_told_by_whom_it_was_used() -> None:
    world = inviting()
    issued = invite(world)
    world.add("thief", terms())
    for name in ("new", "thief"):
        world.done(name, Join(aim(issued)))
        world.link("a", name)
        world.pass_time(1_000)
    thief = world["thief"].engine
    assert len(world["a"].happened(InvitationRedeemed)) == 1
    assert thief.state.feeds.next_sequence(thief.did) == 0
    assert str(world["new"].did) in thief.joining.explain(thief.state, thief.did)
    assert "icn-cli federation admit" in thief.joining.explain(thief.state, thief.did)
    assert [answer.code for answer in answers_to(world, "thief")] == ["invitation.used"]


@pytest.mark.parametrize("lost", [InvitationPresented, InvitationAnswered])
def test_a_lost_message_is_made_up_for_with_the_next_connection(lost: type[Message]) -> None:
    world = inviting()
    issued = invite(world)
    world.done("new", Join(aim(issued)))
    world.drop = lambda _one, _other, message: isinstance(message, lost)
    world.link("a", "new")
    world.pass_time(500)
    world.isolate("new")
    world.drop = None
    world.link("a", "new")
    world.pass_time(1_000)
    assert len(world["a"].happened(InvitationRedeemed)) == 1
    assert has_joined(world, "new")


def test_a_node_that_dies_while_it_joins_goes_on_where_it_was() -> None:
    world = inviting()
    world.done("new", Join(aim(invite(world))))
    world.restart("new")
    world.settle()
    dialled = [e.address for n, e in world.trace if n == "new" and isinstance(e, Dial)]
    assert len(dialled) == 2, "it dials again after a start"
    world.link("a", "new")
    world.pass_time(1_000)
    assert has_joined(world, "new")


def test_an_invitation_survives_its_issuers_restart_and_expires() -> None:
    world = inviting()
    issued, other = invite(world), invite(world)
    world.restart("a")
    world.done("new", Join(aim(issued)))
    world.link("a", "new")
    world.pass_time(1_000)
    assert has_joined(world, "new")
    world.add("late", terms())
    world.done("late", Join(aim(other)))
    world.clock.time = Instant(world.clock.time + WEEK)
    world.link("a", "late")
    world.pass_time(1_000)
    assert [answer.code for answer in answers_to(world, "late")] == ["invitation.expired"]
    assert not has_joined(world, "late")
    assert refusal_of(world.do("late", Join(aim(other)))) == "invitation.expired"


def test_a_revoked_one_and_one_for_another_node_are_refused() -> None:
    world = inviting()
    revoked, named = invite(world), invite(world, for_node=builders.did(9))
    world.done("a", Revoke(bytes.fromhex(str(revoked["id"]))))
    world.done("new", Join(aim(revoked)))
    world.link("a", "new")
    world.pass_time(1_000)
    assert [answer.code for answer in answers_to(world, "new")] == ["invitation.revoked"]
    assert refusal_of(world.do("new", Join(aim(named)))) == "invitation.for_another_node"


def test_an_invitation_names_the_federation_and_no_other_is_followed() -> None:
    world = inviting()
    world.done("new", Join(aim(invite(world))))
    world.add("other", terms(joins=False))
    world.found("other", builders.policy(), ())
    world.link("other", "new")
    world.pass_time(1_000)
    assert world["new"].engine.state.federation.federation is None
    assert "another federation" in world["new"].disconnects[0][1]
    world.link("a", "new")
    world.pass_time(1_000)
    assert has_joined(world, "new")


def test_only_the_issuer_redeems() -> None:
    world = inviting(founders=("b",))
    issued = invite(world)
    new, b = world["new"], world["b"]
    world.link("b", "new")
    world.settle()
    world.handle("b", Received(new.did, InvitationPresented(aim(issued).invitation)))
    assert [answer.code for answer in answers_to(world, "new")] == ["invitation.wrong_issuer"]
    assert not b.happened(InvitationRedeemed)


def test_a_stranger_cannot_make_the_issuer_write() -> None:
    world = inviting()
    genuine = open_invitation(aim(invite(world)).invitation)
    a, new = world["a"], world["new"]
    made_up = seal_invitation(replace(genuine, id=bytes(16)), builders.signer(a.number))
    elsewhere = seal_invitation(replace(genuine, federation=builders.cid("x")), builders.signer(a.number))
    for data, code in ((made_up, "invitation.unknown"), (elsewhere, "invitation.wrong_federation")):
        world.link("a", "new")
        world.settle()
        before = a.engine.state.last_arrival
        world.handle("a", Received(new.did, InvitationPresented(data)))
        assert answers_to(world, "new")[-1].code == code
        assert a.engine.state.last_arrival == before, "a refusal is not recorded"
        world.cut("a", "new")
        world.settle()
    forged = seal_invitation(replace(genuine, id=bytes(16)), builders.signer(9))
    for data in (forged, b"", b"\x82" * 100):
        world.link("a", "new")
        world.settle()
        before = len(a.disconnects)
        world.handle("a", Received(new.did, InvitationPresented(data)))
        assert len(a.disconnects) == before + 1, "what is no invitation of anybody is against the protocol"
        world.settle()
        world.cut("a", "new")
        world.settle()


def test_presenting_is_bounded() -> None:
    world = inviting()
    genuine = open_invitation(aim(invite(world)).invitation)
    data = seal_invitation(replace(genuine, id=bytes(16)), builders.signer(world["a"].number))
    world.link("a", "new")
    world.settle()
    presented = Received(world["new"].did, InvitationPresented(data))
    world.handle("a", *[presented] * PRESENTATIONS_PER_CONNECTION_MAX)
    assert not world["a"].disconnects
    world.handle("a", presented)
    assert world["a"].disconnects


def test_an_answer_is_taken_from_the_issuer_alone() -> None:
    world = inviting(founders=("b",))
    issued = invite(world)
    world.done("new", Join(aim(issued)))
    world.link("b", "new")
    world.settle()
    lie = InvitationAnswered(bytes.fromhex(str(issued["id"])), "invitation.used", "it was used")
    world.handle("new", Received(world["b"].did, lie))
    assert world["new"].engine.joining.refusal == ""
    world.handle("new", Received(world["b"].did, replace(lie, detail="\x1b[2Jx")))
    world.link("a", "new")
    world.pass_time(1_000)
    assert has_joined(world, "new")


def test_what_is_said_of_an_invitation_is_shown_without_control_characters() -> None:
    world = inviting()
    issued = invite(world)
    world.done("new", Join(aim(issued)))
    world.link("a", "new")
    lie = InvitationAnswered(bytes.fromhex(str(issued["id"])), "x", "\x1b[2Jgone\n" + "x" * 5000)
    world.handle("new", Received(world["a"].did, lie))
    refusal = world["new"].engine.joining.refusal
    assert refusal.startswith("[2Jgonexxx")
    assert len(refusal) == 400


def test_addresses_are_those_of_the_issuer() -> None:
    world = inviting()
    stranger = f"{ADDRESS}/p2p/{PeerId.of(builders.did(9))}"
    for addresses in ((), ("nowhere",), (stranger,), ("/ip4/127.0.0.1/tcp/0",)):
        assert isinstance(world.do("a", Invite(WEEK, None, "", addresses)), Refused)
    assert not world["a"].happened(InvitationIssued)


def test_one_that_waits_for_admission_may_be_invited_still() -> None:
    world = inviting()
    world.link("a", "new")
    world.pass_time(1_000)
    new = world["new"].engine
    assert new.joining.explain(new.state, new.did).endswith(f"icn-cli federation admit {new.did}")
    world.done("new", Join(aim(invite(world))))
    world.pass_time(1_000)
    assert has_joined(world, "new")
    assert refusal_of(world.do("new", Join(aim(invite(world))))) == "federation.already_founded"


def test_where_anybody_may_join_an_invitation_admits_as_well() -> None:
    world = inviting(JoinPolicy.OPEN)
    world.done("new", Join(aim(invite(world))))
    world.link("a", "new")
    world.pass_time(2_000)
    a = world["a"].engine
    assert a.state.federation.is_admitted(world["new"].did, builders.EVERYTHING)
    assert world["new"].engine.joining.aim is None


def test_members_vote_at_the_same_time_and_the_votes_are_counted() -> None:
    world = inviting(JoinPolicy.VOTE, founders=("b", "c"))
    for other in ("b", "c"):
        world.link("new", other)
    world.link("b", "c")
    world.pass_time(1_000)
    new = world["new"]
    assert refusal_of(world.do("a", Invite(WEEK, None, "", (ADDRESS,)))) == "invitation.members_vote"
    world.isolate("a")
    assert world.done("a", Admit(new.did)).items() >= {"admitted": False, "votes": 1, "votes_missing": 1}.items()
    assert world.done("b", Admit(new.did))["votes"] == 1
    world.pass_time(500)
    assert not has_joined(world, "new")
    told = new.engine.joining.explain(new.engine.state, new.did)
    assert "more than half of 3 members, 1 have voted" in told
    gone = replace(new.engine.state.federation.members[world["b"].did], left_at=1)
    new.engine.state.federation.members[gone.node] = gone
    assert "more than half of 2 members, 0 have voted" in new.engine.joining.explain(new.engine.state, new.did)
    new.engine.state.federation.members[gone.node] = replace(gone, left_at=None)
    world.link("a", "b")
    world.pass_time(7_000)
    assert has_joined(world, "new")
    roots = world.roots()
    assert len(dict.fromkeys(roots)) == 1
    states = [node.engine.state.federation.members for node in world.nodes.values()]
    assert all(state == states[0] for state in states)
    answer = world.do("c", Admit(new.did))
    assert refusal_of(answer) == "federation.already_admitted"


def test_a_last_vote_admits_at_once() -> None:
    world = inviting(JoinPolicy.VOTE, founders=("b",))
    new = world["new"].did
    assert world.done("a", Admit(new))["votes_missing"] == 1
    world.pass_time(1_000)
    assert refusal_of(world.do("a", Admit(new))) == "federation.already_voted"
    answer = world.do("b", Admit(new))
    assert isinstance(answer, Done)
    assert answer.body["admitted"] is True
    assert world["b"].happened(NodeAdmitted)


@pytest.mark.parametrize("is_removed", [False, True])
def test_who_was_admitted_by_votes_and_has_gone_is_not_counted_in_again(is_removed: bool) -> None:
    """Each voter said so again in every block, because of every block of another one that did: without end."""
    world = inviting(JoinPolicy.VOTE, founders=("b", "c"))
    world.link_all()
    new = world["new"].did
    for voter in ("a", "b"):
        world.done(voter, Admit(new))
        world.pass_time(2_000)
    assert has_joined(world, "new")
    if is_removed:
        for voter in ("a", "b", "c"):
            world.done(voter, Remove(new, "gone bad"))
    else:
        world.done("new", Leave())
    world.pass_time(2_000)
    assert world["a"].engine.state.federation.has_ended(new)
    assert len(world["c"].happened(AdmissionCounted)) == 1
    before = world.roots()
    world.pass_time(5_000)
    assert world.roots() == before, "nobody has anything to say any more"


def test_a_held_issuer_is_asked_again() -> None:
    world = inviting()
    issued = invite(world)
    world["a"].engine.authorship.why = "it was restored from a backup"
    world.done("new", Join(aim(issued)))
    world.link("a", "new")
    world.pass_time(1_000)
    assert [answer.code for answer in answers_to(world, "new")] == ["node.held"]
    assert not has_joined(world, "new")
    world.done("a", ResumeAuthoring())
    world.pass_time(31_000, step=1_000)
    assert [answer.code for answer in answers_to(world, "new")] == ["node.held", ""]
    assert has_joined(world, "new")


def test_votes_that_came_while_a_voter_was_held_are_counted_when_it_is_held_no_more() -> None:
    world = inviting(JoinPolicy.VOTE, founders=("b", "c"))
    new = world["new"].did
    world.isolate("a")
    world.done("a", Admit(new))
    world.done("b", Admit(new))
    a = world["a"].engine
    a.authorship.why = "it was restored from a backup"
    world["b"].engine.authorship.why = "so was this one"
    world.link("a", "b")
    world.pass_time(1_000)
    assert not a.state.federation.is_admitted(new, builders.EVERYTHING)
    world.done("a", ResumeAuthoring())
    world.pass_time(1_000)
    assert a.state.federation.is_admitted(new, builders.EVERYTHING)


def test_nobody_else_founds_the_federation_that_an_invitation_names() -> None:
    world = inviting()
    issued = invite(world)
    world.done("new", Join(aim(issued)))
    ours = world["a"].engine.state.federation.federation
    assert ours is not None
    evil = builders.did(66)
    founded = FederationFounded("mine", (evil,), builders.policy())
    genesis = builders.block(66, [founded], federation=ours.id, time=world.clock.time)
    hello = Hello("evil/1", ours.id, (), "", executes=False)
    world.handle("new", PeerUp(evil), Received(evil, hello))
    world.handle("new", Received(evil, Blocks((genesis.data,), more=False)))
    assert world["new"].engine.state.federation.federation is None
    world.link("a", "new")
    world.pass_time(2_000)
    assert has_joined(world, "new")
