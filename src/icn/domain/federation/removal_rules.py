"""Decides and checks the removal of a node: votes of other members, and the record that says they are enough.

A vote is final, as votes for admission are. From it on its author confirms nothing of the node any more: a quorum that
confirms a block and the votes that remove its author have a member in common, who had that block behind its vote. So
what was confirmed is among the blocks that a removal accepts, as long as that member has one history and both sides
know the same members. What is not promised beside that is told in ADR 21.
"""

from typing import assert_never

from icn.domain.context import Context, entitled
from icn.domain.federation.commands import CountRemoval, VoteRemoval
from icn.domain.federation.events import NodeRemoved, RemovalVoted
from icn.domain.federation.refusals import (
    AlreadyVotedToRemove,
    NobodyRemovesItself,
    NodeHasLeft,
    NodeIsRemoved,
    RemovalVotesMissing,
    TooFewToRemove,
    UnknownNode,
)
from icn.domain.federation.state import FederationState
from icn.kernel.errors import Invalid
from icn.kernel.limits import REMOVAL_REASON_CHARS_MAX

RemovalCommand = VoteRemoval | CountRemoval
RemovalEvent = RemovalVoted | NodeRemoved


def decide(state: FederationState, command: RemovalCommand, context: Context) -> list[RemovalEvent]:
    """What `command` of an admitted member would change. Raises a `Refusal`; changes nothing."""
    node, ancestry = command.node, context.ancestry
    if node == context.author:
        raise NobodyRemovesItself
    if not state.is_known(node, ancestry):
        raise UnknownNode(node)
    if state.has_left(node, ancestry):
        raise NodeHasLeft(node)
    if state.is_removed(node, ancestry):
        raise NodeIsRemoved(node)
    votes, needed = len(state.removal_votes(node, ancestry)), state.votes_needed(ancestry)
    match command:
        case VoteRemoval(_, reason):
            if len(reason) > REMOVAL_REASON_CHARS_MAX:
                raise Invalid("reason", f"{len(reason)} characters; at most {REMOVAL_REASON_CHARS_MAX} are accepted")
            if sum(1 for voter in state.voters(ancestry) if voter != node) < needed:
                raise TooFewToRemove(node)
            if context.author in state.silent_about(node):
                raise AlreadyVotedToRemove(node, votes, needed)
            return [RemovalVoted(node, reason)]
        case CountRemoval():
            if votes < needed:
                raise RemovalVotesMissing(node, votes, needed)
            return [NodeRemoved(node, ancestry.count(node))]
        case _:
            assert_never(command)


def check(state: FederationState, event: RemovalEvent, context: Context) -> None:
    """Raise `EventRefused` unless the author was entitled to `event`, judged by the block's ancestry alone."""
    node, ancestry = event.node, context.ancestry
    entitled(state.is_admitted(context.author, ancestry), "an admitted member votes on the removal of another")
    entitled(node != context.author, "a node does not vote on itself")
    entitled(not state.has_gone(node, ancestry), "who has left or was removed is not removed again")
    match event:
        case RemovalVoted(_, reason):
            entitled(state.is_known(node, ancestry), "a member votes on a node that has joined or was admitted")
            entitled(context.author not in state.silent_about(node), "a member votes once to remove a node")
            entitled(len(reason) <= REMOVAL_REASON_CHARS_MAX, "the reason of a removal is short")
        case NodeRemoved(_, accepted):
            votes, needed = len(state.removal_votes(node, ancestry)), state.votes_needed(ancestry)
            entitled(votes >= needed, "more than half of the members have voted to remove a node")
            entitled(accepted == ancestry.count(node), "a removal accepts the blocks that are behind it")
        case _:
            assert_never(event)
