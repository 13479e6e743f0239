"""Decides and checks membership.

`decide` says what a command of ours would change; `check` says whether the author of a block was entitled to a record.
Whatever `decide` yields passes `check`, on every node.
"""

from typing import assert_never

from icn.domain.context import Context, entitled
from icn.domain.federation import invitation_rules, removal_rules
from icn.domain.federation.commands import (
    AdmitNode,
    CountRemoval,
    CountVotes,
    FederationCommand,
    FoundFederation,
    IssueInvitation,
    JoinFederation,
    LeaveFederation,
    ProveFork,
    RedeemInvitation,
    RevokeInvitation,
    VoteRemoval,
)
from icn.domain.federation.events import (
    AdmissionCounted,
    EquivocationProven,
    FederationEvent,
    FederationFounded,
    InvitationIssued,
    InvitationRedeemed,
    InvitationRevoked,
    NodeAdmitted,
    NodeJoined,
    NodeLeft,
    NodeRemoved,
    RemovalVoted,
)
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.federation.refusals import (
    AdmissionNeeded,
    AlreadyAdmitted,
    AlreadyFounded,
    AlreadyVoted,
    LastMember,
    NodeHasLeft,
    NodeIsRemoved,
    NotEntitledToAdmit,
    NotInFederation,
    UnknownNode,
    VotesMissing,
)
from icn.domain.federation.state import FederationState
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did
from icn.kernel.limits import GRANTS_PER_NODE_MAX
from icn.kernel.mana import MANA_MAX

NAME_CHARS_MAX = 64
AGENT_CHARS_MAX = 64
FOUNDERS_MAX = 64
REGENERATION_PER_HOUR_MAX = 10**9


def decide(state: FederationState, command: FederationCommand, context: Context) -> list[FederationEvent]:
    """What `command` would change. Raises a `Refusal`; changes nothing."""
    author = context.author
    match command:
        case FoundFederation(name, founders, policy):
            if state.federation is not None:
                raise AlreadyFounded
            why_not = _wrong_with_genesis(name, founders, policy, author)
            if why_not:
                raise Invalid("federation", why_not)
            return [FederationFounded(name, founders, policy)]
        case JoinFederation(agent):
            if state.federation is None:
                raise NotInFederation
            member = state.members.get(author)
            if member is not None and member.joined:
                raise AlreadyFounded
            policy_now = state.federation.policy.join_policy
            if policy_now is not JoinPolicy.OPEN and not state.is_admitted(author, context.ancestry):
                raise AdmissionNeeded(policy_now.value)
            return [NodeJoined(author, agent[:AGENT_CHARS_MAX])]
        case AdmitNode(node):
            if state.federation is None:
                raise NotInFederation
            _require_member(state, context)
            if node not in state.members and state.federation.policy.join_policy is JoinPolicy.OPEN:
                raise UnknownNode(node)  # where anybody may join, an unknown name is a slip of the pen
            if state.has_left(node, context.ancestry):
                raise NodeHasLeft(node)
            if state.is_removed(node, context.ancestry):
                raise NodeIsRemoved(node)
            if state.is_admitted(node, context.ancestry):
                raise AlreadyAdmitted(node)
            return _vouch(state, node, context)
        case CountVotes(node):
            votes, needed = len(state.votes_for(node, context.ancestry)), state.votes_needed(context.ancestry)
            if state.has_left(node, context.ancestry):
                raise NodeHasLeft(node)
            if state.is_removed(node, context.ancestry):
                raise NodeIsRemoved(node)
            if state.is_admitted(node, context.ancestry):
                raise AlreadyAdmitted(node)
            if votes < needed:
                raise VotesMissing(node, votes, needed)
            return [AdmissionCounted(node)]
        case LeaveFederation():
            if not state.has_joined(author):
                raise NotInFederation
            others = [node for node in state.members if node != author and state.has_joined(node)]
            if others and state.voters(context.ancestry) == [author]:
                raise LastMember
            return [NodeLeft(author)]
        case IssueInvitation() | RevokeInvitation() | RedeemInvitation():
            if state.federation is None:
                raise NotInFederation
            _require_member(state, context)
            return [*invitation_rules.decide(state, command, context)]
        case VoteRemoval():
            if state.federation is None:
                raise NotInFederation
            _require_member(state, context)
            return [*removal_rules.decide(state, command, context)]
        case CountRemoval():
            return [*removal_rules.decide(state, command, context)]
        case ProveFork(accused, sequence, first, second):
            known = state.proven.get((accused, author))
            if accused == author or (known is not None and known <= sequence):
                return []
            return [EquivocationProven(accused, sequence, *sorted((first, second)))]
        case _:
            assert_never(command)


def check(state: FederationState, event: FederationEvent, context: Context) -> None:
    """Raise `EventRefused` unless the author was entitled to `event`, judged by the block's ancestry alone."""
    match event:
        case FederationFounded(name, founders, policy):
            entitled(state.federation is None and context.sequence == 0, "a genesis begins a federation")
            why_not = _wrong_with_genesis(name, founders, policy, context.author)
            entitled(why_not is None, f"genesis: {why_not}")
        case NodeJoined(node, agent):
            entitled(node == context.author, "a node joins for itself")
            entitled(context.sequence == 0, "joining begins a feed")
            entitled(len(agent) <= AGENT_CHARS_MAX, "the agent's name is short")
            policy_now = state.federation.policy.join_policy if state.federation else None
            entitled(
                policy_now is JoinPolicy.OPEN or state.is_admitted(node, context.ancestry),
                "a node joins as a founder, after admission, or where the policy is open",
            )
        case NodeAdmitted():
            entitled(state.is_admitted(context.author, context.ancestry), "an admitted member admits others")
        case AdmissionCounted(node):
            entitled(state.is_admitted(context.author, context.ancestry), "an admitted member counts votes")
            votes, needed = len(state.votes_for(node, context.ancestry)), state.votes_needed(context.ancestry)
            entitled(votes >= needed, "more than half of the members have voted for a node that is admitted by votes")
        case NodeLeft(node):
            entitled(node == context.author and state.has_joined(node), "a node leaves for itself, after it has joined")
        case InvitationIssued() | InvitationRevoked() | InvitationRedeemed():
            invitation_rules.check(state, event, context)
        case RemovalVoted() | NodeRemoved():
            removal_rules.check(state, event, context)
        case EquivocationProven(accused, sequence, first, second):
            # That the two blocks prove it is seen before any record is looked at (`services.acceptance`).
            entitled(accused != context.author, "a node proves the forks of others")
            entitled(first.data < second.data, "two different blocks are named, in order")
            known = state.proven.get((accused, context.author))
            entitled(sequence >= 0 and (known is None or sequence < known), "a node proves a fork once, or a lower one")
        case _:
            assert_never(event)


def _require_member(state: FederationState, context: Context) -> None:
    """A founder is admitted before it comes: nothing of it may stand before its joining, or its feed never begins."""
    if not state.is_admitted(context.author, context.ancestry):
        raise NotEntitledToAdmit
    if not state.has_joined(context.author):
        raise NotInFederation


def _vouch(state: FederationState, node: Did, context: Context) -> list[FederationEvent]:
    if state.federation is None or state.federation.policy.join_policy is not JoinPolicy.VOTE:
        return [NodeAdmitted(node)]
    votes, needed = state.votes_for(node, context.ancestry), state.votes_needed(context.ancestry)
    if context.author in votes:
        raise AlreadyVoted(node, len(votes), needed)
    return [NodeAdmitted(node)]


def _wrong_with_genesis(name: str, founders: tuple[Did, ...], policy: Policy, author: Did) -> str | None:
    if not 1 <= len(name) <= NAME_CHARS_MAX:
        return f"the name has 1 to {NAME_CHARS_MAX} characters"
    if author not in founders or list(founders) != sorted(dict.fromkeys(founders)) or len(founders) > FOUNDERS_MAX:
        return f"the founders are distinct, sorted, at most {FOUNDERS_MAX}, and include the founding node"
    if not 0 <= policy.initial_grant <= policy.mana_cap <= MANA_MAX:
        return "the initial grant is at most the cap"
    if not 0 <= policy.regeneration_per_hour <= REGENERATION_PER_HOUR_MAX:
        return f"regeneration is 0 to {REGENERATION_PER_HOUR_MAX} per hour"
    if not 1 <= policy.grants_per_node_max <= GRANTS_PER_NODE_MAX:
        return f"a node opens 1 to {GRANTS_PER_NODE_MAX} accounts with a grant"
    return None
