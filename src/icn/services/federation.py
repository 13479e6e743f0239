"""What a node does of its own accord once blocks have come: join, be endowed, claim what is in transit to it."""

from icn.domain.dag.feeds import NEVER
from icn.domain.federation.commands import CountVotes, JoinFederation
from icn.domain.federation.model import JoinPolicy
from icn.domain.federation.refusals import AdmissionNeeded
from icn.domain.federation.rules import decide as decide_federation
from icn.domain.ledger.commands import ClaimTransfer, EndowAccount, Endowment, OpenAccount, ReturnTransfer
from icn.domain.ledger.rules import decide as decide_ledger
from icn.domain.records import Event
from icn.kernel.ids import Did
from icn.kernel.mana import Mana
from icn.services.peers import Peers, PeerView
from icn.services.settings import NodeTerms
from icn.services.state import State
from icn.services.work import NODE_ITSELF, UnitOfWork


def join_when_caught_up(work: UnitOfWork, peers: Peers, terms: NodeTerms) -> bool:
    """Begin this node's feed once the genesis and all that a member has is here. Whether it did.

    Not before: a block names the newest blocks its author knows, and a newcomer should know them.
    """
    state = work.state
    federation = state.federation.federation
    member = state.federation.members.get(work.did)
    if federation is None or (member is not None and member.joined):
        return False
    # Whoever is no member may claim what it likes, and one member as well: what one of them has is enough.
    views = peers.members(state.federation) or peers.greeted()
    if not any(_has_no_more(view, state) for view in views):
        return False
    try:
        joined = decide_federation(state.federation, JoinFederation(terms.agent), work.context())
    except AdmissionNeeded:
        return False  # it waits; `services.health` says for what
    work.record(joined, NODE_ITSELF)
    open_own_account(work)
    return True


def _has_no_more(view: PeerView, state: State) -> bool:
    return all(
        count <= state.feeds.next_sequence(author) or author in state.cuts  # of a forker each counts what it knows
        for author, count in view.counts.items()
    )


def count_votes(work: UnitOfWork) -> None:
    """Where members vote on admissions: say that the votes are enough, for nodes that this one has voted for.

    Two may have voted at the same time, each without the other's vote; whoever of them sees both says so. Of who has
    left or was removed since nothing is said: it would never be admitted by that, and so be said again without end.
    """
    federation = work.state.federation
    if federation.federation is None or federation.federation.policy.join_policy is not JoinPolicy.VOTE:
        return
    for member in list(federation.members.values()):
        ancestry = work.context().ancestry
        if member.votes and not member.has_ended and not federation.is_admitted(member.node, ancestry):
            votes = federation.votes_for(member.node, ancestry)
            if work.did in votes and len(votes) >= federation.votes_needed(ancestry):
                work.record(decide_federation(federation, CountVotes(member.node), work.context()))


def open_own_account(work: UnitOfWork) -> None:
    """The node's own account: with grant and regeneration where the node is admitted, empty where it is not yet."""
    if work.state.ledger.account(work.did, work.did) is None:
        context = work.context()
        endowment = work.state.endowment(context) or Endowment(Mana(0), Mana(0), 0)
        # Asked for whether or not another node happens to keep an account of ours already: this is its own home.
        opened = decide_ledger(work.state.ledger, OpenAccount(work.did, endowment), context)
        work.record(opened)


def take_what_is_due(work: UnitOfWork) -> None:
    """Endowment after admission, transfers to claim, transfers to take back."""
    context = work.context()
    ledger = work.state.ledger
    own = ledger.account(work.did, work.did)
    endowment = work.state.endowment(context)
    if own is not None and not own.endowed and endowment is not None and endowment.granted + endowment.rate > 0:
        work.record(decide_ledger(ledger, EndowAccount(work.did, endowment), context))
    # Anybody may have as much in transit to us as it likes, unconfirmed: one look for each home is enough.
    open_from: dict[Did, int] = {}
    has_gone: dict[Did, bool] = {}
    for transit in list(ledger.transits.values()):
        events: list[Event] = []
        payer_home, payee_home, sequence = transit.payer_home, transit.payee_home, transit.sent_at_sequence
        if payee_home == work.did and transit.declined_at_sequence is None:
            if sequence >= open_from.get(payer_home, NEVER):
                continue
            if not context.ancestry.confirms(payer_home, sequence):
                open_from[payer_home] = sequence
            else:
                claim = ClaimTransfer(transit.payer_home, transit.number)
                events = [*decide_ledger(ledger, claim, work.context())]
        elif payer_home == work.did:
            if payee_home not in has_gone:
                has_gone[payee_home] = context.ancestry.has_ended_for_good(payee_home)
            if transit.declined_at_sequence is not None or has_gone[payee_home]:
                events = [*decide_ledger(ledger, ReturnTransfer(transit.number), work.context())]
        if events:
            work.record(events)
