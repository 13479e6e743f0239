"""Leaving a federation: the last record of a node's feed, once nothing of others depends on more of it (semantics §3).

What is looked for here is prudence towards others, and no rule that blocks are judged by: who leaves with a job open
harms those who wait for it, and everybody can see that. Mana in transit to a home that has left goes back to its payer.
"""

from typing import ClassVar

from icn.domain.federation.commands import LeaveFederation
from icn.domain.federation.events import NodeLeft
from icn.domain.federation.rules import decide
from icn.domain.records import Envelope
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did
from icn.kernel.instant import Duration
from icn.services.effects import Committed
from icn.services.peers import Peers
from icn.services.unsettled import Unsettled, overdue_at
from icn.services.work import UnitOfWork


class BusinessPending(Refusal):
    """Something of this node has begun and not ended."""

    code: ClassVar[str] = "federation.business_pending"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, pending: str) -> None:
        self.pending = pending
        super().__init__(f"this node cannot leave yet: {pending}")


def leave(work: UnitOfWork, peers: Peers, unsettled: Unsettled, patience: Duration, envelope: Envelope) -> None:
    """Record that this node leaves; nothing is recorded after it. Raises a `Refusal`."""
    left = decide(work.state.federation, LeaveFederation(), work.context())
    found = pending(work, unsettled, patience)
    # Who is away may be gone for good, and is not waited for.
    if count := sum(len(work.outbox.messages_for(peer)) for peer in peers.views if peers.is_here(peer)):
        found.append(f"messages to connected members are not acknowledged ({count}): try again in a moment")
    if found:
        raise BusinessPending("; ".join(found))
    work.record(left, envelope)
    work.may_author = False


def who_left(work: UnitOfWork) -> list[Did]:
    """The nodes whose leaving became known in this batch. A record that is void is nobody's leaving."""
    records = [effect for effect in work.effects if isinstance(effect, Committed)]
    said = [one.author for one in records if isinstance(one.record.event, NodeLeft) and one.author != work.did]
    return [author for author in said if work.state.federation.has_ended(author)]


def pending(work: UnitOfWork, unsettled: Unsettled, patience: Duration) -> list[str]:
    """What has begun and not ended, with what ends it. Empty where nothing stands against leaving."""
    state, found = work.state, []
    if count := sum(1 for job in state.mesh.jobs.values() if job.home == work.did):
        found.append(f"jobs of this node are open ({count}): wait for them, or cancel them (icn-cli mesh cancel)")
    if count := sum(1 for executor, _, _ in state.mesh.executions if executor == work.did):
        found.append(f"jobs of others run here ({count}): wait for them")
    # A home that has not paid long after the deadline is not waited for: it would keep this node for ever.
    homes = [(home, rows) for home, rows in unsettled.by_home.items() if not state.federation.has_ended(home)]
    owed = [row for _, rows in homes for row in rows.values()]
    if count := sum(1 for row in owed if work.wall < overdue_at(row, patience)):
        found.append(f"receipts are not settled by their homes ({count}): see icn-cli mesh unsettled")
    if count := sum(1 for one in state.ledger.transits.values() if work.did in {one.payer_home, one.payee_home}):
        found.append(f"transfers from or to accounts of this node are in transit ({count}): wait for them")
    return found
