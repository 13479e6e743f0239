"""Membership as the DAG tells it, and `apply`, the only place it changes."""

from dataclasses import dataclass, field, replace
from typing import assert_never

from icn.domain.context import Ancestry, Context
from icn.domain.federation.events import FederationEvent, FederationFounded, NodeAdmitted, NodeJoined
from icn.domain.federation.model import Admission, Federation, Member
from icn.kernel.errors import require
from icn.kernel.ids import Cid, Did


@dataclass(slots=True)
class FederationState:
    """No federation until a genesis block is here."""

    federation: Federation | None = None
    members: dict[Did, Member] = field(default_factory=dict)
    touched: dict[Did, None] = field(default_factory=dict)
    """Members changed since the last commit, in the order of change."""

    def is_admitted(self, node: Did, ancestry: Ancestry) -> bool:
        """Whether `node` is an admitted member in that ancestry."""
        member = self.members.get(node)
        return member is not None and any(ancestry.has(a.by, a.sequence) for a in member.admissions)

    def has_joined(self, node: Did) -> bool:
        """Whether the feed of `node` in this federation has begun, as far as is known here."""
        member = self.members.get(node)
        return member is not None and member.joined

    def voters(self, ancestry: Ancestry) -> list[Did]:
        """The admitted nodes in that ancestry, sorted: those that count towards a quorum."""
        return [node for node in sorted(self.members) if self.is_admitted(node, ancestry)]


def apply(state: FederationState, event: FederationEvent, context: Context) -> None:
    """Change membership as `event` says."""
    match event:
        case FederationFounded(name, founders, policy):
            require(state.federation is None, "a store holds one federation")
            # The id is the CID of the block this record stands in: it has none yet while the founder decides, and
            # gets it from `name_genesis` when the block is sealed or, on other nodes, was received.
            state.federation = Federation(None, name, policy, context.author)
            for node in founders:
                admission = Admission(context.author, context.sequence)
                _put(state, Member(node, (admission,), joined=node == context.author))
        case NodeJoined(node):
            known = state.members.get(node)
            _put(state, Member(node, known.admissions if known else (), joined=True))
        case NodeAdmitted(node):
            known = state.members.get(node, Member(node, (), joined=False))
            admission = Admission(context.author, context.sequence)
            _put(state, replace(known, admissions=tuple(sorted({*known.admissions, admission}))))
        case _:
            assert_never(event)


def name_genesis(state: FederationState, genesis: Cid) -> None:
    """Give the federation its id, which is the name of the block that founded it."""
    require(state.federation is not None and state.federation.id is None, "a genesis is named once")
    if state.federation is not None:
        state.federation = replace(state.federation, id=genesis)


def _put(state: FederationState, member: Member) -> None:
    state.members[member.node] = member
    state.touched[member.node] = None
