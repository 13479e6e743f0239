"""The whole state of a node: what the DAG says, and how a record changes or may not change it.

Knows which domain an event belongs to, and the rules that span domains: a job's hold is made when it is submitted and
settled or released with the very record that ends it. Those pairs stand in one block, so `Pairing` follows a block from
its first record to its last.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard, get_args

from icn.domain.context import Context, entitled
from icn.domain.dag.feeds import Feeds
from icn.domain.dag.forks import Cut
from icn.domain.federation import rules as federation_rules
from icn.domain.federation import state as federation_state
from icn.domain.federation.events import FederationEvent, NodeRemoved
from icn.domain.federation.state import FederationState
from icn.domain.ledger import rules as ledger_rules
from icn.domain.ledger import state as ledger_state
from icn.domain.ledger.commands import Endowment
from icn.domain.ledger.events import (
    AccountEndowed,
    AccountOpened,
    HoldReleased,
    HoldSettled,
    HoldShared,
    LedgerEvent,
    ManaHeld,
    Share,
)
from icn.domain.ledger.state import Ledger
from icn.domain.mesh import rules as mesh_rules
from icn.domain.mesh import state as mesh_state
from icn.domain.mesh.events import JobAgreed, JobCompleted, JobRolledBack, JobSubmitted, MeshEvent
from icn.domain.mesh.model import Assignee
from icn.domain.mesh.state import Mesh
from icn.domain.records import Event
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.mana import Mana
from icn.kernel.memo import Memo
from icn.services.undoing import Undo

JOBS_REMEMBERED_MAX = 4096
"""Jobs whose correlation id is at hand without the store."""


@dataclass(slots=True)
class State:
    """Everything that replay rebuilds."""

    federation: FederationState = field(default_factory=FederationState)
    ledger: Ledger = field(default_factory=Ledger)
    mesh: Mesh = field(default_factory=Mesh)
    feeds: Feeds = field(default_factory=Feeds)
    cuts: dict[Did, Cut] = field(default_factory=dict)
    """Authors that forked or were removed. From the first one on, a record that no longer fits is void and its block
    stays; before, a block with a record against the rules is refused whole."""
    removals: Mapping[tuple[Did, int, Did], None] | None = field(default=None, compare=False, repr=False)
    """While the journal is replayed: which records that remove a member count, by block and member; what a removal has
    ended since is in nobody's clock any more. None: each is judged by its own ancestry."""
    _undo: Undo | None = field(default=None, compare=False, repr=False)
    """What takes notes of changes, from the first fork on."""
    void: dict[tuple[Cid, int], None] = field(default_factory=dict, compare=False, repr=False)
    """Records without effect in blocks that are in a feed, since the rows were last saved: block and position."""
    last_arrival: int = -1
    """Number of the newest block in this store's journal."""
    correlations: Memo[JobId, str] = field(default_factory=lambda: Memo(JOBS_REMEMBERED_MAX), compare=False, repr=False)
    """Of the requests that opened jobs of late, as the store has them."""

    def is_side(self, author: Did, sequence: int) -> bool:
        """Whether a block that was not here when the cuts were made is a side block."""
        cut = self.cuts.get(author)
        return cut is not None and sequence >= cut.sequence

    def is_branch(self, author: Did, sequence: int) -> bool:
        """Whether the author forked at this number or below: its side blocks are not one history there."""
        cut = self.cuts.get(author)
        return cut is not None and cut.forked_at is not None and sequence >= cut.forked_at

    def noting(self) -> Undo:
        """What takes notes of changes from now on, so that those of a few records can be taken back."""
        if self._undo is None:
            self._undo = Undo(self.federation, self.ledger, self.ledger.touched, self.mesh, self.mesh.touched)
        return self._undo

    def endowment(self, context: Context) -> Endowment | None:
        """What may be minted for an account that `context.author` opens; None where it is not admitted."""
        federation = self.federation.federation
        if federation is None or not self.federation.is_admitted(context.author, context.ancestry):
            return None
        policy = federation.policy
        if self.ledger.counts_of(context.author).endowed_accounts >= policy.grants_per_node_max:
            return None
        return Endowment(policy.initial_grant, policy.mana_cap, policy.regeneration_per_hour)


@dataclass(slots=True)
class Pairing:
    """What the records of one block still owe each other."""

    held: dict[bytes, tuple[Did, Mana]] = field(default_factory=dict)
    """Job to the payer and amount its hold must have."""
    settled: dict[bytes, tuple[Did, Did, Mana]] = field(default_factory=dict)
    """Job to the executor, its account's home and the price its settlement must pay."""
    shared: dict[bytes, tuple[Share, ...]] = field(default_factory=dict)
    """Job to what each of the executors that agreed must be paid."""
    released: dict[bytes, None] = field(default_factory=dict)

    def owe_nothing(self) -> None:
        """What was owed is void."""
        for owed in (self.held, self.settled, self.shared, self.released):
            owed.clear()

    @property
    def is_complete(self) -> bool:
        """Nothing is owed."""
        return not (self.held or self.settled or self.shared or self.released)


def check_event(state: State, event: Event, context: Context, pairing: Pairing) -> None:
    """Raise `EventRefused` unless the author was entitled to `event` at this point of its block."""
    entitled(not state.federation.has_ended(context.author), "nothing follows a node's leaving or removal")
    if _is_mesh(event):
        mesh_rules.check(state.mesh, event, context)
        _note_debt(state, event, pairing)
    elif _is_ledger(event):
        _check_pair(event, pairing)
        mints = isinstance(event, AccountOpened | AccountEndowed)
        ledger_rules.check(state.ledger, event, context, state.endowment(context) if mints else None)
    elif isinstance(event, NodeRemoved) and state.removals is not None:
        place = (context.author, context.sequence, event.node)
        entitled(place in state.removals, "a removal counts unless another one has ended its author's feed")
    elif isinstance(event, FederationEvent):
        federation_rules.check(state.federation, event, context)


def apply_event(state: State, event: Event, context: Context) -> None:
    """Change the state as `event` says."""
    if _is_mesh(event):
        mesh_state.apply(state.mesh, event, context)
    elif _is_ledger(event):
        ledger_state.apply(state.ledger, event, context)
    elif isinstance(event, FederationEvent):
        federation_state.apply(state.federation, event, context)
        if isinstance(event, NodeRemoved):
            _settle_for(state, event.node)


def _settle_for(state: State, removed: Did) -> None:
    """What a removed member had under way ends: nobody else may decide about it, and it may no more.

    All that counts of its feed is behind each record that removes it, so this is the same after whichever comes first.
    """
    head = state.feeds.heads.get(removed)
    if head is not None:
        mesh_state.end_for(state.mesh, removed, head.time)
    ledger_state.release_all(state.ledger, removed)


def skip_event(state: State, event: Event, context: Context) -> None:
    """Note what a record without effect uses up nevertheless."""
    if isinstance(event, FederationEvent):
        federation_state.skip(state.federation, event)
    elif isinstance(event, LedgerEvent):
        ledger_state.skip(state.ledger, event, context)


def shares_of(assignees: tuple[Assignee, ...], winners: tuple[Did, ...]) -> tuple[Share, ...]:
    """What each of the executors that agreed gets: its own price, in the order of the assignment."""
    return tuple(Share(a.executor, a.executor_home, a.price) for a in assignees if a.executor in winners)


# `isinstance` of a union asks for its classes one by one, and a record of a job would be asked for all others first.


def _is_mesh(event: Event) -> TypeGuard[MeshEvent]:
    return type(event) in _MESH


def _is_ledger(event: Event) -> TypeGuard[LedgerEvent]:
    return type(event) in _LEDGER


_MESH = frozenset(get_args(MeshEvent))
_LEDGER = frozenset(get_args(LedgerEvent))


def _note_debt(state: State, event: MeshEvent, pairing: Pairing) -> None:
    match event:
        case JobSubmitted(job, _, _, payer, spec):
            pairing.held[job.data] = (payer, spec.price_held)
        case JobCompleted(job, _, executor, _, paid):
            assignee = state.mesh.jobs[job].assignee(executor)
            if assignee is not None:
                pairing.settled[job.data] = (executor, assignee.executor_home, paid)
        case JobAgreed(job, _, _, winners):
            pairing.shared[job.data] = shares_of(state.mesh.jobs[job].assignees, winners)
        case JobRolledBack(job):
            pairing.released[job.data] = None
        case _:
            pass


def _check_pair(event: LedgerEvent, pairing: Pairing) -> None:
    match event:
        case ManaHeld(hold, payer, amount):
            owed = pairing.held.pop(hold, None)
            entitled(owed == (payer, amount), "mana is held for a job as it is submitted")
        case HoldSettled(hold, _, payee, payee_home, paid):
            due = pairing.settled.pop(hold, None)
            entitled(due == (payee, payee_home, paid), "a hold is settled as its job completes")
        case HoldShared(hold, _, shares):
            parts = pairing.shared.pop(hold, None)
            entitled(parts == shares, "a hold is shared as its job's executors agree")
        case HoldReleased(hold):
            known = hold in pairing.released
            pairing.released.pop(hold, None)
            entitled(known, "a hold is released as its job is rolled back")
        case _:
            pass
