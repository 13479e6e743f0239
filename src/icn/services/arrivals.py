"""Blocks that come in, from peers and from files: checked, applied, kept, or refused (semantics §2).

One path for every block, wherever it comes from: size and form, name, signature, membership, sequence and previous,
parents (else it waits in a bounded quarantine and the sender is asked), time, then every record against the rules. A
block whose records its author was not entitled to is refused whole and remembered as such.

Of an author that signed two histories, or was removed, nothing more is taken but what somebody else has built on in
good faith, and that goes into no feed (`services.equivocation`).

The single checks are those of `services.acceptance`. Not here: what peers say to each other beside blocks
(`services.replication`), and passing blocks on (`services.announcing`).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from icn.domain.context import Context, EventRefused
from icn.domain.dag.block import Block, Header, parse_block
from icn.domain.dag.feeds import NEVER, Clock, Feeds
from icn.kernel import limits
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import DAG_CBOR, Cid, Did
from icn.kernel.instant import Duration, Instant, later
from icn.protocol.messages import WantNamed
from icn.services import acceptance
from icn.services.authorship import Authorship
from icn.services.equivocation import SIGNED_TWO, Equivocations
from icn.services.peers import Peers, PeerView
from icn.services.quarantine import Quarantine, Waiting
from icn.services.state import State
from icn.services.telling import question
from icn.services.work import UnitOfWork
from icn.stores import blocks, keyspace
from icn.stores.overlay import Overlay

REFUSED_REMEMBERED_MAX = 4096


def named(encoded: Iterable[bytes]) -> dict[Cid, bytes]:
    """Blocks by their names, in the order in which they came, each once."""
    return {Cid.of(data, DAG_CBOR): data for data in encoded}


class RecordsRefused(PeerViolation):
    """A block with a record against the rules was partly applied: the batch must be done again without it."""

    def __init__(self, cid: Cid, author: Did, rule: str) -> None:
        self.cid = cid
        self.author = author
        super().__init__(f"block {cid} of {author} is against the rules: {rule}")


@dataclass(slots=True)
class Arrivals:
    """Owns the quarantine, and what is known to be against the rules."""

    peers: Peers
    authorship: Authorship
    forks: Equivocations
    patience: Duration
    """After so long what was asked for by name is asked of another peer."""
    quarantine: Quarantine = field(default_factory=Quarantine)
    refused: dict[Cid, bool] = field(default_factory=dict)
    """Blocks found to be against the rules, newest last, and whether they are so wherever somebody forked as well."""
    target: Cid | None = None
    """The federation this node is joining, while it has no genesis."""
    is_pinned: bool = False
    """The target is where a head mark says that this node has a feed: no other federation will do."""
    asked: dict[Cid, Instant] = field(default_factory=dict)
    """Blocks that were asked for by name, and when."""
    is_wary: bool = False
    """A block was refused half applied. From now on notes are taken, which costs a little for each record: loading the
    state again for each such block would cost as much as it is large, and its author comes back with another one."""
    turn: int = 0
    """Whose turn it is to be asked again."""

    def release(self, work: UnitOfWork) -> None:
        """Take blocks whose time has come."""
        self._accept_all(work, self.quarantine.release(None, work.wall, self.peers))

    def take(self, work: UnitOfWork, view: PeerView, encoded: Mapping[Cid, bytes]) -> bool:
        """Take blocks by their names (see `named`). Whether any of them was news."""
        before = work.state.feeds.block_count
        again: Mapping[Cid, bytes] = encoded
        rest = dict(encoded)
        while again:
            self._take_all(work, view, again)
            # What is taken only where somebody has built on it comes before the block that does: once more for it.
            again = {cid: rest.pop(cid) for cid in self.quarantine.missing() if cid in rest}
        return work.state.feeds.block_count > before

    def _take_all(self, work: UnitOfWork, view: PeerView, encoded: Mapping[Cid, bytes]) -> None:
        for cid, data in encoded.items():
            if cid in self.quarantine.waiting or work.has_block(cid):
                continue  # known: not worth parsing
            try:
                block = parse_block(data, cid)
            except Invalid as error:
                raise PeerViolation(f"malformed block: {error}") from error
            if view.quarantined >= limits.QUARANTINE_PER_PEER_MAX and self._missing_link(work, block) is not None:
                break  # no room for it, nor for what follows and builds on it: not worth reading, let alone verifying
            if not work.state.is_side(block.header.author, block.header.sequence):
                self._note_sender_has(view, block)
            self._accept(work, view, block)

    def want(self, work: UnitOfWork, view: PeerView) -> None:
        """Ask for everything beyond what is here, what waits in quarantine included: it need not come again."""
        view.wanted_at = work.wall
        work.send(view.did, question(work, view, self._have(work)))

    def want_named(self, work: UnitOfWork, view: PeerView) -> None:
        """Ask for what blocks in quarantine wait for, by name: no count tells of it."""
        missing = [cid for cid in self.quarantine.missing() if self._is_of_use(cid)]
        # What waits no more may still be on its way.
        known = dict.fromkeys(missing)
        self.asked = {c: asked for c, asked in self.asked.items() if c in known or not self._may_ask(c, work.wall)}
        due = [cid for cid in missing if self._may_ask(cid, work.wall)][: limits.WANTED_BLOCKS_MAX]
        if due:
            self.asked |= dict.fromkeys(due, work.wall)
            work.send(view.did, WantNamed(tuple(due)))

    def tick(self, work: UnitOfWork) -> None:
        """What was asked for by name and did not come is asked of somebody else."""
        waiting = self.quarantine.missing()
        if any(cid in self.asked and self._may_ask(cid, work.wall) for cid in waiting):
            others = self.peers.greeted()
            if others:
                self.turn += 1
                self.want_named(work, others[self.turn % len(others)])

    def wake_at(self, wall: Instant) -> Instant | None:
        """When `tick` or `release` has something to do."""
        moments: list[Instant] = []
        if self.asked and self.peers.greeted():  # without peers there is nobody to be asked
            asked = (self.asked.get(cid) for cid in self.quarantine.missing())
            moments += [later(at, self.patience) for at in asked if at is not None]
        if self.quarantine.awaits_time():
            moments.append(later(wall, self.patience))
        return min(moments, default=None)

    def forget_unnamed(self, state: State) -> None:
        """What waits of an author that has forked, and is in nobody's ancestry, waits no more."""
        named: dict[Did, dict[Cid, None]] = {}
        for entry in list(self.quarantine.waiting.values()):
            header = entry.block.header
            if state.is_side(header.author, header.sequence):
                if header.author not in named:
                    named[header.author] = self._named_by_others(state, header.author)
                if entry.block.cid not in named[header.author]:
                    self.quarantine.drop(entry, self.peers)

    def _is_of_use(self, cid: Cid) -> bool:
        """Whether something would come of a block."""
        return cid not in self.refused or self.quarantine.is_evidence(cid)

    def _may_ask(self, cid: Cid, wall: Instant) -> bool:
        asked = self.asked.get(cid)
        return asked is None or wall >= later(asked, self.patience)

    def _have(self, work: UnitOfWork) -> Clock:
        have = work.state.feeds.clock()
        held = {(e.block.header.author, e.block.header.sequence) for e in self.quarantine.waiting.values()}
        for author, _ in sorted(held):
            while (author, have.get(author, 0)) in held:
                have[author] = have.get(author, 0) + 1
        return have

    def _ask(self, work: UnitOfWork, view: PeerView) -> None:
        """An ancestor is missing: by the counts where they tell that we are behind, by its name otherwise."""
        have = self._have(work)
        if all(count <= have.get(author, 0) for author, count in view.counts.items()):
            self.want_named(work, view)
        elif view.wanted_at is None:
            self.want(work, view)

    @staticmethod
    def _note_sender_has(view: PeerView, block: Block) -> None:
        author, count = block.header.author, block.header.sequence + 1
        if author in view.counts or len(view.counts) < limits.CLOCK_ENTRIES_MAX:
            view.counts[author] = max(view.counts.get(author, 0), count)

    def _accept(self, work: UnitOfWork, view: PeerView, block: Block) -> None:
        try:
            accepted = self._accept_one(work, view, block)
        except acceptance.Unfit:
            if view.did == block.header.author:
                raise
            return
        if accepted:
            self._accept_all(work, self.quarantine.release(block.cid, work.wall, self.peers))

    def _accept_all(self, work: UnitOfWork, released: list[Waiting]) -> None:
        """Take blocks that waited. One that is wrong counts against who sent it, not who brought what it waited for."""
        pending = deque(released)  # bounded: by the quarantine it is filled from
        while pending:
            entry = pending.popleft()
            sender = self.peers.views.get(entry.sender)
            if sender is None:
                continue
            try:
                accepted = self._accept_one(work, sender, entry.block)
            except RecordsRefused:
                raise
            except PeerViolation as violation:
                if not isinstance(violation, acceptance.Unfit) or entry.sender == entry.block.header.author:
                    work.violations.append((entry.sender, str(violation)))
                continue
            if accepted:
                pending += self.quarantine.release(entry.block.cid, work.wall, self.peers)

    def _accept_one(self, work: UnitOfWork, view: PeerView, block: Block) -> bool:
        """Whether it is news, and what waited for it may go on. Raises `PeerViolation` when it can never be taken."""
        is_side = self._is_side(work, block)
        if is_side and work.has_block(block.cid):
            return False
        is_evidence = self.quarantine.is_evidence(block.cid)
        is_owed = is_evidence or block.cid in self.asked or work.get(keyspace.evidence(block.cid)) is not None
        if block.cid in self.refused and is_owed and not is_evidence:
            return False
        if block.cid in self.refused and not is_owed:
            wrong = PeerViolation if self.refused[block.cid] else acceptance.Unfit
            raise wrong(f"block {block.cid} was refused before")
        federation = work.state.federation.federation
        acceptance.check_federation(block, federation.id if federation is not None else self.target)
        if not block.is_genuine():
            raise PeerViolation("a block is signed by its author")
        if not is_owed:
            return self._place(work, view, block, is_side=is_side)
        # As evidence its bytes are enough, whatever else is wrong with it; and who was asked for it, be it a while ago,
        # is not to blame for that.
        if is_evidence:
            self.forks.keep(work, block)
        is_news = False
        if block.cid not in self.refused:
            try:
                is_news = self._place(work, view, block, is_side=is_side)
            except RecordsRefused:
                raise
            except PeerViolation:
                pass
        return is_evidence or is_news

    def _place(self, work: UnitOfWork, view: PeerView, block: Block, *, is_side: bool) -> bool:
        """The same of a genuine block of the federation."""
        header = block.header
        acceptance.check_form(block, work.state.federation)
        if is_side and not self._is_named(work, view, block):
            return False
        if header.author == work.did:
            self.authorship.see_own(block, view.did)
        if header.time > work.wall + limits.CLOCK_AHEAD_MS_MAX:
            self.quarantine.add(Waiting(block, view.did, None), view, self.peers)
            return False
        missing, is_proof = self._missing_link(work, block), False
        if missing is None:
            # Nothing is fetched, nor kept, to see what a block proves that is no feed's next one.
            if not is_side:
                acceptance.check_follows(block, work.state.feeds)
            missing, is_proof = self._missing_proof(work, block), True
        if missing is not None:
            # It will come, as an answer to what is asked; until then the block may wait, if there is room.
            self.quarantine.add(Waiting(block, view.did, missing, is_proof), view, self.peers)
            self._ask(work, view)
            return False
        try:
            acceptance.check_proofs(block, lambda cid: work.get(keyspace.block(cid)))
        except PeerViolation:
            self.refuse(block.cid)
            raise
        is_branch = is_side and not self._is_only_unaccepted(work, block)
        clock = acceptance.clock_from_links(block, work.ancestor, is_branch=is_branch)
        self._apply(work, view, block, clock, is_side=is_side, is_branch=is_branch)
        return True

    def _is_side(self, work: UnitOfWork, block: Block) -> bool:
        """Whether the block is another one than its author's feed has, or will have: for all that is known, it forked.

        A block that is here already counts as one too, where its feed has gone on.
        """
        header, feeds = block.header, work.state.feeds
        return self._is_beside(feeds, header) or self.forks.is_cut(header.author, header.sequence)

    def _is_only_unaccepted(self, work: UnitOfWork, block: Block) -> bool:
        """Whether a side block is one only because a removal of its author does not accept it."""
        header = block.header
        is_forked = header.sequence >= self.forks.cuts.get(header.author, NEVER)
        return not is_forked and not self._is_beside(work.state.feeds, header)

    @staticmethod
    def _is_beside(feeds: Feeds, header: Header) -> bool:
        """Whether the feed of the author, as it is here, has another block with this number, or before it."""
        expected = feeds.next_sequence(header.author)
        beside = header.sequence == expected > 0 and header.previous != feeds.heads[header.author].cid
        return header.sequence < expected or beside

    def _is_named(self, work: UnitOfWork, view: PeerView, block: Block) -> bool:
        """Whether a block of a fork is to be taken: only where another author has built on it in good faith.

        Raises `PeerViolation` where it comes from who signed it. Whoever else brings it is not to blame.
        """
        header = block.header
        self.forks.see(work, block)
        if view.is_file or block.cid in self._named_by_others(work.state, header.author):
            return True
        # Who was removed in this very batch could not know, and is told before it is let go.
        if view.did == header.author and header.author not in self.forks.ends:
            raise PeerViolation(SIGNED_TWO.format(sequence=header.sequence))
        return False

    def _named_by_others(self, state: State, author: Did) -> dict[Cid, None]:
        """What blocks that wait have behind them, of `author` and beyond.

        Only those count whose own author has a feed here, was admitted, or may join by saying so: a second key costs
        nothing.
        """

        def is_known(naming: Block) -> bool:
            by = naming.header.author
            member = state.federation.members.get(by)
            if by in state.feeds.heads or (member is not None and bool(member.admissions)):
                return True
            return acceptance.joins_openly(naming, state.federation)

        return self.quarantine.named_by_others(author, is_known)

    def take_imported(self, work: UnitOfWork, encoded: tuple[bytes, ...], federation: Cid | None = None) -> list[str]:
        """Take blocks from a file, ancestors first: for each `new`, `known`, or why not. Nothing waits for its parents.

        `federation`: which one this node is to be in by them, where it is in none and seeks no other.

        Raises:
            RecordsRefused: the batch must be done again without a block.
        """
        if federation is not None and work.state.federation.federation is None and not self.is_pinned:
            self.target = federation
        # Nobody to be asked for what is missing, and no room in the quarantine.
        file = PeerView(work.did, wanted_at=work.wall, quarantined=limits.QUARANTINE_PER_PEER_MAX, is_file=True)
        return [self._take_imported(work, file, data) for data in encoded]

    def _take_imported(self, work: UnitOfWork, file: PeerView, data: bytes) -> str:
        cid = Cid.of(data, DAG_CBOR)
        if work.has_block(cid):
            return "known"
        try:
            block = parse_block(data, cid)
            if self._accept_one(work, file, block):
                self._accept_all(work, self.quarantine.release(cid, work.wall, self.peers))
                return "new"
            missing = self._missing_link(work, block) or self._missing_proof(work, block)
        except RecordsRefused:
            raise
        except (Invalid, PeerViolation) as error:
            return str(error)
        return "it is dated too far ahead" if missing is None else f"its ancestor {missing} is not here"

    @staticmethod
    def _missing_link(work: UnitOfWork, block: Block) -> Cid | None:
        """The first block it builds on that is not here."""
        return next((cid for cid in acceptance.links(block.header) if not work.has_block(cid)), None)

    def _missing_proof(self, work: UnitOfWork, block: Block) -> Cid | None:
        """The first block it names to prove a fork that is not kept here; what is here otherwise is kept from now on.

        Content with that name will do, and would not be kept nor given to those who ask for signed blocks.
        """
        for cid in acceptance.evidence_of(block):
            if work.has_block(cid) or work.get(keyspace.evidence(cid)) is not None:
                continue
            waiting = self.quarantine.waiting.get(cid)
            held = waiting.block if waiting is not None else self._read(work, cid)
            if held is None:
                return cid
            self.forks.keep(work, held)
        return None

    @staticmethod
    def _read(work: UnitOfWork, cid: Cid) -> Block | None:
        """A genuine signed block among what is stored."""
        block = blocks.get_block(Overlay(work.store, work.batch), cid)
        return block if block is not None and block.is_genuine() else None

    def _apply(
        self, work: UnitOfWork, view: PeerView, block: Block, clock: Clock, *, is_side: bool, is_branch: bool
    ) -> None:
        header, state = block.header, work.state
        try:
            records = acceptance.records_of(block, state.federation, is_lenient=self.forks.is_lenient, is_side=is_side)
        except PeerViolation as violation:
            self.refuse(block.cid, always=not isinstance(violation, acceptance.Unfit))
            raise
        context = work.context_of(header.author, header.sequence, header.time, clock)
        try:
            if is_side:
                pass  # its records are void
            elif self.forks.is_lenient:
                self._check_begins(work, block, context)
                state.removals = self.forks.judge(work, block, clock)
                acceptance.apply_what_fits(state, block, records, context)
                state.removals = None
            elif self.is_wary:
                acceptance.apply_all_or_none(state, block, records, context)
            else:
                acceptance.apply_records(state, block, records, context)
        except EventRefused as error:
            self.refuse(block.cid, always=self.forks.is_lenient)
            refused = RecordsRefused(block.cid, header.author, str(error))
            if isinstance(error, acceptance.RefusedAtOnce):
                raise (PeerViolation if self.forks.is_lenient else acceptance.Unfit)(str(refused)) from error
            self.is_wary = True
            raise refused from error
        work.now = max(work.now, header.time)
        work.admit(block, clock, records, source=view.did, is_side=is_side, is_branch=is_branch)
        self.forks.take(work, block)
        if header.author == work.did:
            self.authorship.take_back(work, block, records)
        author = self.peers.views.get(header.author)
        if author is not None and not is_side:  # what it built on, it has
            for who, count in clock.items():
                count = min(count, self.forks.ends.get(who, NEVER))
                author.counts[who] = max(count, author.counts.get(who, 0))

    def _check_begins(self, work: UnitOfWork, block: Block, context: Context) -> None:
        """Raise `RefusedAtOnce` where a stranger begins a feed: its joining would be void, its blocks would be kept.

        Anything behind the block that names its author as admitted is enough, void or not.
        """
        if acceptance.is_vouched_for(block, work.state.federation, context):
            return
        reader = Overlay(work.store, work.batch)
        namings = self.forks.namings_of(work, block.header.author)
        if not acceptance.has_behind(
            block, namings, lambda cid: blocks.arrival_of(reader, cid), lambda cid: blocks.get_block(reader, cid)
        ):
            raise acceptance.RefusedAtOnce("a node joins as a founder, or after admission")

    def refuse(self, cid: Cid, *, always: bool = True) -> None:
        """Remember that a block is against the rules, and whether it is so wherever somebody forked as well."""
        self.refused[cid] = always
        while len(self.refused) > REFUSED_REMEMBERED_MAX:
            del self.refused[next(iter(self.refused))]
