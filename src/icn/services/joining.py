"""The newcomer's side of joining: whom to dial, what to present there, and what to tell the operator meanwhile.

```
 Join ──> aim kept in the store ──> its addresses dialled ──> issuer greets ──> InvitationPresented
                                                                   admitted <──┴──> refused, with the reason
```

The aim outlives a restart and is forgotten when the node has joined and, where it has an invitation, is admitted. An
invitation names the federation: no other one is followed. What makes a node join once it may is `services.federation`.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from icn.domain.federation.invitation import InvitationPaper, open_invitation
from icn.domain.federation.invitation_refusals import InvitationExpired, InvitationForAnother
from icn.domain.federation.model import JoinPolicy
from icn.domain.federation.refusals import AlreadyFounded, NodeHasLeft, NodeIsRemoved
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did
from icn.kernel.instant import Duration, Instant, later
from icn.protocol.messages import InvitationAnswered, InvitationPresented
from icn.services.authorship import NodeHeld
from icn.services.effects import Dial
from icn.services.queries.membership import admission_line
from icn.services.replication import ReplicationService
from icn.services.state import State
from icn.services.work import UnitOfWork
from icn.stores import joining
from icn.stores.joining import Aim
from icn.stores.kv import Reader

PRESENT_AGAIN_AFTER = Duration(30_000)
"""To an issuer that could record nothing at the time."""
ANSWER_CHARS_MAX = 400
"""Of what an issuer says about an invitation, as far as it is shown."""


class NothingToJoin(Refusal):
    """Neither an invitation nor an address."""

    code: ClassVar[str] = "federation.nothing_to_join"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self) -> None:
        super().__init__("name what to join: the line of an invitation, or the address of a member")


class FederationGivenUp(Refusal):
    """This node's feed there has ended, and is in an archive."""

    code: ClassVar[str] = "federation.given_up"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"this node has given up the federation {name!r}: it would come back under a new key")


@dataclass(slots=True)
class JoiningService:
    """Soft but for the aim, which stands in the store or in the node's terms."""

    replication: ReplicationService
    invited: Aim | None
    """What the node's terms tell it to join."""
    aim: Aim | None = None
    paper: InvitationPaper | None = None
    """The aim's invitation, opened."""
    refusal: str = ""
    """Why the issuer refused the invitation; empty where it did not."""
    _presented_to: Did | None = None
    """The issuer, while it is connected and was shown the invitation."""
    _again_at: Instant | None = None
    _is_stored: bool = False
    _has_pinned: bool = False
    """No other federation will do, because of the invitation."""
    _told: dict[str, None] = field(default_factory=dict)  # bounded: by the addresses of one aim

    @classmethod
    def of(cls, replication: ReplicationService, store: Reader, state: State, invited: Aim | None) -> "JoiningService":
        """As the store has it; else, for a node without a federation, as its terms say (`invited`)."""
        made = cls(replication, invited)
        made.load(store, state)
        return made

    def load(self, store: Reader, state: State) -> None:
        """Take the aim from the store: at the start, and when a commit failed that may have changed it."""
        self.aim, self.paper, self.refusal = None, None, ""
        if self._has_pinned:
            self.replication.arrivals.is_pinned = self._has_pinned = False
        self._told.clear()
        stored = joining.aim_of(store)
        self._is_stored = stored is not None
        aim = stored or (self.invited if state.federation.federation is None else None)
        if aim is not None:
            self._take_aim(aim, state)

    def begin(self, work: UnitOfWork, aim: Aim) -> bool:
        """Join there from now on. False where this node must give up another federation first.

        Raises a `Refusal` for an invitation that is of no use here.
        """
        if not aim.addresses:
            raise NothingToJoin
        federation = work.state.federation.federation
        if aim.invitation:
            paper = open_invitation(aim.invitation)
            if paper.node is not None and paper.node != work.did:
                raise InvitationForAnother(paper.id, paper.node)
            if work.wall > paper.expires_at:
                raise InvitationExpired(paper.id, paper.expires_at)
            if paper.federation in self.replication.former:
                raise FederationGivenUp(paper.name)
            if federation is not None and paper.federation != federation.id:
                return False
        member = work.state.federation.members.get(work.did)
        if member is not None and member.left_at is not None and self._is_ours(aim, work.state):
            raise NodeHasLeft(work.did)
        if member is not None and member.removals and self._is_ours(aim, work.state):
            raise NodeIsRemoved(work.did)
        if member is not None and member.joined and self._is_ours(aim, work.state) and member.admissions:
            raise AlreadyFounded
        if federation is not None and not aim.invitation:
            return False
        self._take_aim(aim, work.state)
        joining.put_aim(work.batch, aim)
        self._is_stored = True
        self._told.clear()
        self.resume(work)
        for view in self.replication.peers.greeted():
            self.peer_here(work, view.did)
        return True

    @staticmethod
    def _is_ours(aim: Aim, state: State) -> bool:
        """Whether the aim's invitation is into the federation that this node is in."""
        federation = state.federation.federation
        return (
            bool(aim.invitation)
            and federation is not None
            and (open_invitation(aim.invitation).federation == federation.id)
        )

    def give_up(self, work: UnitOfWork) -> None:
        """Another federation is founded instead."""
        self.aim, self.paper, self.refusal = None, None, ""
        self._presented_to, self._again_at = None, None
        if self._has_pinned:
            self.replication.arrivals.is_pinned = self._has_pinned = False
        joining.forget_aim(work.batch)
        self._is_stored = False

    def resume(self, work: UnitOfWork) -> None:
        """After a start: whom the aim names is dialled."""
        for address in self.aim.addresses if self.aim is not None else ():
            if address not in self._told:
                self._told[address] = None
                work.effects.append(Dial(address))

    def peer_here(self, work: UnitOfWork, peer: Did) -> None:
        """A peer of the federation that is joined has said who it is: if it is the issuer, it is shown the paper."""
        if self.paper is None or self.aim is None or peer != self.paper.issuer or self._presented_to == peer:
            return
        if not self.replication.peers.is_here(peer) or self._is_done(work):
            return
        self._presented_to = peer
        self._again_at = None
        work.send(peer, InvitationPresented(self.aim.invitation))

    def part(self, peer: Did) -> None:
        """A peer is gone, and its answer with it."""
        if self._presented_to == peer:
            self._presented_to, self._again_at = None, None

    def take_answer(self, work: UnitOfWork, peer: Did, answer: InvitationAnswered) -> None:
        """What the issuer says of the invitation."""
        if self.paper is None or peer != self.paper.issuer or answer.invitation != self.paper.id:
            return  # of one that is no more presented
        self.refusal = "".join(sign for sign in answer.detail if sign.isprintable())[:ANSWER_CHARS_MAX]
        if answer.code == NodeHeld.code and self._presented_to == peer:
            self._again_at = later(work.wall, PRESENT_AGAIN_AFTER)

    def tick(self, work: UnitOfWork) -> None:
        """Present again where that is due, and forget the aim when it is reached."""
        if self._again_at is not None and work.wall >= self._again_at:
            issuer, self._presented_to, self._again_at = self._presented_to, None, None
            if issuer is not None:
                self.peer_here(work, issuer)
        if self.aim is not None and self._is_done(work):
            self.aim, self.paper, self.refusal = None, None, ""
            self._presented_to, self._again_at = None, None
            if self._is_stored:
                joining.forget_aim(work.batch)
                self._is_stored = False

    def wake_at(self) -> Instant | None:
        """When `tick` has something to do."""
        return self._again_at

    def explain(self, state: State, did: Did) -> str:
        """For the operator: what this node waits for before it is a full member; empty where it is one, or founds."""
        federation = state.federation.federation
        member = state.federation.members.get(did)
        admitted = member is not None and member.is_admitted
        if federation is None:
            return self._explain_search()
        if member is not None and member.left_at is not None:
            return f"this node has left the federation {federation.name!r}: it can found or join another one"
        if member is not None and member.removals:
            return (
                f"the members of the federation {federation.name!r} have removed this node: it can found or join "
                "another one, or be invited under a new key"
            )
        if admitted and member is not None and member.joined:
            return ""
        if admitted:
            return "waiting to join: it is admitted, and joins when it has all blocks of a member that is connected"
        said = f"the invitation was refused: {self.refusal}. " if self.refusal else ""
        line = admission_line(did)
        if federation.policy.join_policy is JoinPolicy.VOTE:
            voters = {other.node: None for other in state.federation.members.values() if other.is_admitted}
            votes = {} if member is None else {vote.by: None for vote in member.votes if vote.by in voters}
            return (
                f"{said}waiting for admission by the votes of more than half of {len(voters)} members, "
                f"{len(votes)} have voted: "
                f"each member's operator votes with: {line}"
            )
        return f"{said}waiting for admission: the operator of a member admits this node with: {line}"

    def _explain_search(self) -> str:
        if self.paper is not None:
            refused = f" It was refused: {self.refusal}." if self.refusal else ""
            return (
                f"waiting to join {self.paper.name!r}: the invitation is presented to {self.paper.issuer} when it is "
                f"reached at {', '.join(self.paper.addresses)}.{refused}"
            )
        if not self.replication.seeks:
            return ""
        if self.replication.arrivals.quarantine.awaits_time():
            return (
                "waiting to join: blocks of the federation are dated ahead of this node's clock, and wait for their "
                "time: is the clock of this machine right?"
            )
        return "waiting to join: no member of a federation has been reached"

    def _is_done(self, work: UnitOfWork) -> bool:
        """Joined, and admitted where an invitation is at hand that would admit."""
        member = work.state.federation.members.get(work.did)
        if member is None or not member.joined:
            return False
        return self.paper is None or bool(member.admissions)

    def _take_aim(self, aim: Aim, state: State) -> None:
        self.aim, self.paper, self.refusal = aim, open_invitation(aim.invitation) if aim.invitation else None, ""
        self._presented_to, self._again_at = None, None
        self.replication.seeks = True
        arrivals = self.replication.arrivals
        if self.paper is not None and state.federation.federation is None:
            arrivals.target, arrivals.is_pinned, self._has_pinned = self.paper.federation, True, True
