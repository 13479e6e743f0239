"""What a block must be to be accepted, wherever it comes from: a peer, the store under verification, an archive.

One path for every source (semantics §2): `replication` runs it for blocks that arrive, `verify` again for those stored.
Each function is one step, in the order in which they are taken; all but the last few only look. Not here: whether the
signature is genuine (`Block.is_genuine`), where ancestors are found, and what to do with a block that is refused.

**Where somebody forked** (`domain.dag.forks`) a record of an honest author may lean on one that is void, which nobody
could know when it was written. Then not the block is refused: the record has no effect, together with those that it is
paired with, and the rest of its block counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from icn.domain.context import Context, EventRefused
from icn.domain.dag.block import Block, Header, Place, parse_block
from icn.domain.dag.feeds import NEVER, Clock, Feeds, merged_clock
from icn.domain.federation.events import (
    AdmissionCounted,
    EquivocationProven,
    FederationEvent,
    FederationFounded,
    InvitationRedeemed,
    NodeAdmitted,
    NodeJoined,
    NodeRemoved,
)
from icn.domain.federation.model import JoinPolicy
from icn.domain.federation.state import FederationState, name_genesis
from icn.domain.records import EVENT_NAMES, Event, Record, read_record
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import Cid, Did
from icn.kernel.limits import PROOFS_PER_BLOCK_MAX
from icn.services import rows
from icn.services.state import Pairing, State, apply_event, check_event, skip_event
from icn.stores import blocks, job_index, references
from icn.stores.kv import Batch

ADMITTING = [EVENT_NAMES[kind] for kind in (NodeAdmitted, AdmissionCounted, InvitationRedeemed)]
"""Names of the records by which a node may become a member that was none at the beginning."""
_PROOF = EVENT_NAMES[EquivocationProven]
_REMOVAL = EVENT_NAMES[NodeRemoved]
_KNOWN_EVENTS = frozenset(EVENT_NAMES.values())


class Unfit(PeerViolation):
    """Its author was not entitled to a block, as far as is known here.

    Who knows of a fork that is not known here took it, for there a record that does not fit is void: so its author is
    to blame, and nobody else who brings it.
    """


class RefusedAtOnce(EventRefused):
    """A block is against the rules, and nothing of it was applied, or is any more."""


def links(header: Header) -> tuple[Cid, ...]:
    """The blocks a block names: its author's previous one first, if there is one."""
    return header.parents if header.previous is None else (header.previous, *header.parents)


def check_federation(block: Block, ours: Cid | None) -> None:
    """Raise `PeerViolation` unless the block belongs to the federation `ours`, or is its genesis."""
    header = block.header
    is_genesis = header.federation is None and header.sequence == 0 and block.cid == ours
    if header.federation != ours and not is_genesis:
        raise PeerViolation("a block belongs to the federation")


def evidence_of(block: Block) -> tuple[Cid, ...]:
    """The blocks that its records of forks name. Whoever takes it must have their bytes, not their ancestors."""
    return tuple(dict.fromkeys(cid for proof in _proofs(block) for cid in (proof.first, proof.second)))


def proofs_of(block: Block) -> tuple[tuple[Did, int], ...]:
    """The forks that its records prove, whether or not they have an effect: author and number."""
    return tuple((proof.accused, proof.sequence) for proof in _proofs(block))


def event_names(block: Block) -> tuple[str, ...]:
    """The events that are known among its records, each once. Records out of form are for whoever applies them."""
    names = (record.get("type") for record in block.records if isinstance(record, dict))
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name in _KNOWN_EVENTS))


def check_form(block: Block, federation: FederationState) -> None:
    """Raise `PeerViolation` for what no block may be, wherever it stands.

    Only the genesis begins its author's feed, so that nothing can be beside it and no fork makes it void. No feed
    begins with accusing somebody, so that nobody has to fetch proofs for who has no feed yet.
    """
    header, founded, proofs = block.header, federation.federation, _proofs(block)
    founder = None if founded is None else founded.founder
    if header.sequence == 0 and header.federation is not None and header.author == founder:
        raise PeerViolation("the feed of a founder begins with the genesis")
    if any(proof.sequence == 0 and proof.accused == founder for proof in proofs):
        raise PeerViolation("there is nothing beside the genesis")
    if proofs and header.sequence == 0:
        raise PeerViolation("a feed does not begin with a proof of a fork")
    if len(proofs) > PROOFS_PER_BLOCK_MAX:
        raise PeerViolation(f"a block proves at most {PROOFS_PER_BLOCK_MAX} forks")


def check_proofs(block: Block, bytes_of: Callable[[Cid], bytes | None]) -> None:
    """Raise `PeerViolation` unless what it says of forks is proved by the blocks it names, which must be here."""
    for proof in _proofs(block):
        held = [data for cid in (proof.first, proof.second) if (data := bytes_of(cid)) is not None]
        if not proves(proof, held, block.header.federation):
            raise PeerViolation("a fork is proved by two signed blocks with one number")


def proves(proof: EquivocationProven, held: Sequence[bytes], federation: Cid | None) -> bool:
    """Whether these bytes are the two blocks, of this federation, and genuine.

    What somebody signed elsewhere is another feed.
    """
    try:
        pair = [parse_block(data) for data in held]
    except Invalid:
        return False
    return (
        tuple(block.cid for block in pair) == (proof.first, proof.second)
        and proof.first != proof.second
        and all((b.header.author, b.header.sequence) == (proof.accused, proof.sequence) for b in pair)
        and all(block.header.federation == federation for block in pair)
        and all(block.is_genuine() for block in pair)
    )


def removals_of(block: Block) -> list[tuple[int, NodeRemoved]]:
    """Its records that say that a member is removed, whether or not they have an effect, with their positions."""
    found = _records_of_type(block, _REMOVAL)
    if not found:
        return []
    read = ((index, _event_of(data)) for index, data in found)
    return [(index, event) for index, event in read if isinstance(event, NodeRemoved)]


def events_of(block: Block, names: Sequence[str]) -> list[Event]:
    """What its records of these events say, whether or not they have an effect."""
    read = [_event_of(data) for name in names for _, data in _records_of_type(block, name)]
    return [event for event in read if event is not None]


def _proofs(block: Block) -> list[EquivocationProven]:
    found = _records_of_type(block, _PROOF)
    if not found:
        return []
    read = (_event_of(data) for _, data in found)
    return [event for event in read if isinstance(event, EquivocationProven)]


def _records_of_type(block: Block, name: str) -> list[tuple[int, Any]]:
    """Its records of one event, with their positions, unread."""
    if not block.record_count or name.encode() not in block.data:
        return []  # most blocks, by far: the name would stand in its bytes
    return [(index, data) for index, data in enumerate(block.records) if _type_of(data) == name]


def _type_of(data: Any) -> str | None:
    name = data.get("type") if type(data) is dict else None
    return name if type(name) is str else None


def _event_of(data: Any) -> Event | None:
    """What a record says; None for one out of form: its block is refused for that, whatever it says."""
    try:
        return read_record(data).event
    except Invalid:
        return None


def check_follows(block: Block, feeds: Feeds) -> None:
    """Raise `PeerViolation` unless the block is the next of its feed."""
    header = block.header
    if header.sequence != feeds.next_sequence(header.author) or (
        header.previous is not None and feeds.heads[header.author].cid != header.previous
    ):
        raise PeerViolation("a block follows the newest one of its feed")


def clock_from_links(
    block: Block, ancestor_of: Callable[[Cid], tuple[Place, Clock]], *, is_branch: bool = False
) -> dict[Did, int]:
    """The clock of a block whose ancestors are known. Raises `PeerViolation` for links that cannot be.

    `is_branch`: its author forked there or below, and it is not kept: its clock is that of what is behind it.
    """
    header = block.header
    clocks: list[Clock] = []
    authors: list[Did] = []
    for cid in links(header):
        place, clock = ancestor_of(cid)
        if place.time > header.time:
            raise PeerViolation("a block is not older than its parents")
        clocks.append(clock)
        authors.append(place.author)
        if cid == header.previous and (place.author, place.sequence + 1) != (header.author, header.sequence):
            raise PeerViolation("the previous block is the author's own, with the number before")
    parent_authors = authors if header.previous is None else authors[1:]
    if header.author in parent_authors or len(parent_authors) != len(dict.fromkeys(parent_authors)):
        raise PeerViolation("parents are heads of different feeds of others")
    return merged_clock(None if is_branch else header.author, header.sequence, clocks)


def read_records(block: Block) -> list[Record]:
    """What stands in a block, whoever wrote it. Raises `Invalid`."""
    return [read_record(data) for data in block.records]


def records_of(
    block: Block, federation: FederationState, *, is_lenient: bool = False, is_side: bool = False
) -> list[Record]:
    """The records of a block whose author may have a feed. Raises `PeerViolation`.

    `is_lenient`: what follows in a feed is taken whoever is a member. That may change with what a fork makes void, and
    a block that was taken once must be taken in every replay. `is_side`: it goes into no feed.
    """
    header = block.header
    check_form(block, federation)
    try:
        records = read_records(block)
    except Invalid as error:
        raise PeerViolation(f"a block's records have their form: {error}") from error
    if is_side:
        return records  # another author, who may have a feed, has built on it
    if header.sequence == 0:
        if not records or not _begins_feed(header, records[0].event):
            raise PeerViolation("a feed begins with joining, and the genesis with founding")
        return records
    if is_lenient:
        return records
    member = federation.members.get(header.author)
    if member is None or not member.joined:
        raise Unfit("a block is authored by a member")
    if member.left_at is not None:
        raise Unfit("a feed ends when its node leaves")
    return records


def _begins_feed(header: Header, event: Event) -> bool:
    """Only the genesis founds: whoever founds in a block of a federation would give it to itself."""
    if header.federation is None:
        return isinstance(event, FederationFounded)
    return isinstance(event, NodeJoined) and event.node == header.author


def joins_openly(block: Block, federation: FederationState) -> bool:
    """Whether it begins the feed of somebody in a federation that everybody may join by saying so."""
    founded = federation.federation
    if block.header.sequence or founded is None or founded.policy.join_policy is not JoinPolicy.OPEN:
        return False
    try:
        return bool(block.records) and _begins_feed(block.header, read_record(block.records[0]).event)
    except Invalid:
        return False


def apply_records(state: State, block: Block, records: list[Record], context: Context) -> None:
    """Check each record against the rules and apply it.

    After an `EventRefused` the state is half changed, but not after a `RefusedAtOnce`.
    """
    pairing = Pairing()
    for index, record in enumerate(records):
        try:
            check_event(state, record.event, context, pairing)
        except EventRefused as error:
            if index:
                raise
            raise RefusedAtOnce(str(error)) from error
        apply_event(state, record.event, context)
    if not pairing.is_complete:
        raise EventRefused("jobs and their holds stand together")
    _name_genesis(state, block, records)


def apply_all_or_none(state: State, block: Block, records: list[Record], context: Context) -> None:
    """`apply_records` that takes notes, and takes back what was applied. Raises `RefusedAtOnce`."""
    undo = state.noting()
    undo.begin()
    try:
        apply_records(state, block, records, context)
    except EventRefused as error:
        undo.back()
        raise RefusedAtOnce(str(error)) from error
    undo.end()


def apply_what_fits(state: State, block: Block, records: list[Record], context: Context) -> None:
    """The same where somebody forked: a record that is against the rules is void, with those it is paired with."""
    undo = state.noting()
    pairing, begun = Pairing(), 0
    undo.begin()
    for index, record in enumerate(records):
        if begun < index and isinstance(record.event, FederationEvent):
            # Who is a member is told by such records alone (`domain.dag.electorate`): none is paired with another one.
            pairing.owe_nothing()
            undo.back()
            _void(state, block, records, range(begun, index), context)
            begun = index
            undo.begin()
        try:
            check_event(state, record.event, context, pairing)
            apply_event(state, record.event, context)
        except EventRefused:
            pairing.owe_nothing()
            undo.back()
            _void(state, block, records, range(begun, index + 1), context)
        if pairing.is_complete:
            begun = index + 1
            undo.begin()
    if pairing.is_complete:
        undo.end()
    else:
        undo.back()
        _void(state, block, records, range(begun, len(records)), context)
    _name_genesis(state, block, records)


def _name_genesis(state: State, block: Block, records: list[Record]) -> None:
    if block.header.federation is None and records and isinstance(records[0].event, FederationFounded):
        name_genesis(state.federation, block.cid)


def _void(state: State, block: Block, records: list[Record], which: range, context: Context) -> None:
    for index in which:
        skip_event(state, records[index].event, context)
        state.void[block.cid, index] = None


def is_vouched_for(block: Block, federation: FederationState, context: Context) -> bool:
    """Whether a block that begins the feed of a node may: by what counts, not by what a fork has made void."""
    founded = federation.federation
    is_open = founded is None or founded.policy.join_policy is JoinPolicy.OPEN
    return block.header.sequence > 0 or is_open or federation.is_admitted(block.header.author, context.ancestry)


def vouched_for_in(block: Block) -> list[Did]:
    """The nodes that its records admit, or vote for, whether or not they have an effect."""
    return [
        event.node
        for event in events_of(block, ADMITTING)
        if isinstance(event, NodeAdmitted | AdmissionCounted | InvitationRedeemed)
    ]


def has_behind(
    block: Block, wanted: Mapping[Cid, int], arrival_of: Callable[[Cid], int], block_of: Callable[[Cid], Block | None]
) -> bool:
    """Whether one of `wanted`, each with its number in the journal, is behind the block, by links.

    What came before all of them has none of them behind it, and is not looked at.
    """
    first = min(wanted.values(), default=NEVER)
    seen: dict[Cid, None] = {}
    pending = list(links(block.header))
    while pending:
        cid = pending.pop()
        if cid in seen or arrival_of(cid) < first:
            continue
        if cid in wanted:
            return True
        seen[cid] = None
        behind = block_of(cid)
        pending += () if behind is None else links(behind.header)
    return False


def keep(
    state: State,
    batch: Batch,
    block: Block,
    clock: Clock,
    records: list[Record],
    *,
    is_side: bool = False,
    is_branch: bool = False,
) -> None:
    """Put a block whose records are applied into feeds, journal and indexes.

    `is_side`: into no feed. `is_branch`: neither does any clock count it (`clock_from_links`).
    """
    keep_in_journal(state, batch, block, clock, records, is_side=is_side, is_branch=is_branch)
    if not is_side:
        rows.save_head(state, batch, block.header.author)


def keep_in_journal(
    state: State, batch: Batch, block: Block, clock: Clock, records: list[Record], *, is_side: bool, is_branch: bool
) -> None:
    """`keep` without the row of the feed's head, which only the last block of a batch need have saved."""
    state.last_arrival += 1
    blocks.put_block(batch, block, state.last_arrival, clock, tuple(record.name for record in records), is_side=is_side)
    references.put_records(batch, records)
    job_index.put_records(batch, state.last_arrival, records)
    if is_side:
        state.feeds.put_aside(block, is_branch=is_branch)
        rows.save_side(batch, block)
    else:
        state.feeds.advance(block, clock)
