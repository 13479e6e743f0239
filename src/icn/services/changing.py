"""A node gives up its federation for another one: whether it may, and what it does first when it has (semantics §3).

Who is alone in a federation, waits in one without a feed there, or has left it, may. Somebody else may depend on the
feed of anybody else: that node leaves first, and changes when another member has its last block.

Not here: what becomes of the store (stores.changeover), and when (node.changeover).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from icn.domain.federation.commands import FoundFederation
from icn.domain.federation.refusals import NotInFederation
from icn.domain.federation.rules import decide
from icn.domain.federation.state import FederationState
from icn.kernel.errors import Kind, Refusal, require
from icn.kernel.instant import Duration
from icn.services.federation import open_own_account
from icn.services.leaving import BusinessPending, pending
from icn.services.peers import Peers
from icn.services.unsettled import Unsettled
from icn.services.work import UnitOfWork
from icn.stores import changeover, joining
from icn.stores.changeover import Change, Founding
from icn.stores.joining import Aim
from icn.stores.kv import Reader


class LeaveFirst(Refusal):
    """Others are in this federation and know this node."""

    code: ClassVar[str] = "federation.leave_first"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "other nodes have joined this node's federation and count on it: leave it first (icn-cli federation leave)"
        )


class LeavingUnknown(Refusal):
    """What others never heard of did not happen for them."""

    code: ClassVar[str] = "federation.leaving_unknown"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "no other member is known to have the record that this node left, and it would be lost with the store: try "
            "again when one is connected"
        )


class FederationChanging(Refusal):
    """The node is about to give up its federation."""

    code: ClassVar[str] = "federation.changing"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("this node is changing its federation, and takes no commands until it has")


@dataclass(slots=True)
class ChangingService:
    """Mirrors a row of the store."""

    peers: Peers
    unsettled: Unsettled
    patience: Duration
    """For receipts that a home has not settled."""
    is_under_way: bool = False

    def load(self, reader: Reader) -> None:
        """As the store has it."""
        self.is_under_way = changeover.change_of(reader) is not None

    def begin(self, work: UnitOfWork, aim: Aim | None, founding: Founding | None) -> dict[str, Any]:
        """Note what comes next; nothing is recorded in the old federation any more. Raises a `Refusal`."""
        require((aim is None) != (founding is None), "a node that changes its federation joins one or founds one")
        federation = work.state.federation.federation
        if federation is None or federation.id is None:
            raise NotInFederation
        if founding is not None:  # refused now, and not by the engine that founds it
            found = FoundFederation(founding.name, founding.founders, founding.policy)
            decide(FederationState(), found, work.context())
        self.require_free(work)
        had_feed = work.state.feeds.next_sequence(work.did) > 0
        change = Change(federation.id, work.wall, had_feed=had_feed, is_archived=False, aim=aim, founding=founding)
        changeover.put_change(work.batch, change)
        joining.forget_sought(work.batch)
        self.is_under_way = True
        work.may_author = False
        return {"state": f"changing: what is here of {federation.name!r} goes into an archive, then it begins anew"}

    @staticmethod
    def found_as_told(work: UnitOfWork) -> None:
        """With the first batch after the change: found the federation that was asked for."""
        founding = changeover.founding_of(work.store)
        if founding is None:
            return
        if work.state.federation.federation is None:
            found = FoundFederation(founding.name, founding.founders, founding.policy)
            work.record(decide(work.state.federation, found, work.context()))
            open_own_account(work)
        changeover.forget_founding(work.batch)

    def require_free(self, work: UnitOfWork) -> None:
        """Raise a `Refusal` where this node may not give up its federation."""
        federation, did = work.state.federation, work.did
        if not federation.has_joined(did) and not federation.has_ended(did):
            return  # it has no feed there: nobody can count on it
        others = [node for node in federation.members if node != did and federation.has_joined(node)]
        if federation.was_removed(did):
            return  # others have said so, and wait for nothing of it
        if federation.has_ended(did):
            count = work.state.feeds.next_sequence(did)
            known = any(view.counts.get(did, 0) >= count for view in self.peers.views.values() if view.introduced)
            if others and not known:
                raise LeavingUnknown
            return
        if others:
            raise LeaveFirst
        if found := pending(work, self.unsettled, self.patience):
            raise BusinessPending("; ".join(found))
