"""What a block must be to be accepted, wherever it comes from: a peer, the store under verification, an archive.

One path for every source (semantics §2): `replication` runs it for blocks that arrive, `verify` again for those stored.
Each function is one step, in the order in which they are taken; all but the last two only look. Not here: whether the
signature is genuine (`Block.is_genuine`), where ancestors are found, and what to do with a block that is refused.
"""

from collections.abc import Callable

from icn.domain.context import Context, EventRefused
from icn.domain.dag.block import Block, Header, Place
from icn.domain.dag.feeds import Clock, ClockOf, Feeds, merged_clock
from icn.domain.federation.events import FederationFounded, NodeJoined
from icn.domain.federation.state import FederationState, name_genesis
from icn.domain.records import Record, read_record
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services import rows
from icn.services.state import Pairing, State, apply_event, check_event
from icn.stores import blocks, job_index, references
from icn.stores.kv import Batch


def links(header: Header) -> tuple[Cid, ...]:
    """The blocks a block names: its author's previous one first, if there is one."""
    return header.parents if header.previous is None else (header.previous, *header.parents)


def check_federation(block: Block, ours: Cid | None) -> None:
    """Raise `PeerViolation` unless the block belongs to the federation `ours`, or is its genesis."""
    header = block.header
    is_genesis = header.federation is None and header.sequence == 0 and block.cid == ours
    if header.federation != ours and not is_genesis:
        raise PeerViolation("a block belongs to the federation")


def check_follows(block: Block, feeds: Feeds) -> None:
    """Raise `PeerViolation` unless the block is the next of its feed."""
    header = block.header
    if header.sequence != feeds.next_sequence(header.author) or (
        header.previous is not None and feeds.heads[header.author].cid != header.previous
    ):
        raise PeerViolation("a block follows the newest one of its feed")


def clock_from_links(block: Block, place_of: Callable[[Cid], Place], clock_of: ClockOf) -> dict[Did, int]:
    """The clock of a block whose ancestors are known. Raises `PeerViolation` for links that cannot be."""
    header = block.header
    clocks: list[Clock] = []
    authors: list[Did] = []
    for cid in links(header):
        ancestor = place_of(cid)
        if ancestor.time > header.time:
            raise PeerViolation("a block is not older than its parents")
        clocks.append(clock_of(ancestor.author, ancestor.sequence))
        authors.append(ancestor.author)
    parent_authors = authors if header.previous is None else authors[1:]
    if header.previous is not None and authors[0] != header.author:
        raise PeerViolation("the previous block is the author's own")
    if header.author in parent_authors or len(parent_authors) != len(dict.fromkeys(parent_authors)):
        raise PeerViolation("parents are heads of different feeds of others")
    return merged_clock(header.author, header.sequence, clocks)


def read_records(block: Block) -> list[Record]:
    """What stands in a block, whoever wrote it. Raises `Invalid`."""
    return [read_record(data) for data in block.records]


def records_of(block: Block, federation: FederationState) -> list[Record]:
    """The records of a block whose author may have a feed. Raises `PeerViolation`."""
    header = block.header
    try:
        records = read_records(block)
    except Invalid as error:
        raise PeerViolation(f"a block's records have their form: {error}") from error
    member = federation.members.get(header.author)
    begins = header.sequence == 0 and bool(records)
    if not (begins and isinstance(records[0].event, NodeJoined | FederationFounded)) and (
        member is None or not member.joined
    ):
        raise PeerViolation("a block is authored by a member, and a feed begins with joining")
    if member is not None and member.left_at is not None:
        raise PeerViolation("a feed ends when its node leaves")
    return records


def apply_records(state: State, block: Block, records: list[Record], context: Context) -> None:
    """Check each record against the rules and apply it. After an `EventRefused` the state is half changed."""
    pairing = Pairing()
    for record in records:
        check_event(state, record.event, context, pairing)
        apply_event(state, record.event, context)
    if not pairing.is_complete:
        raise EventRefused("jobs and their holds stand together")
    if records and block.header.sequence == 0 and isinstance(records[0].event, FederationFounded):
        name_genesis(state.federation, block.cid)


def keep(state: State, batch: Batch, block: Block, clock: Clock, records: list[Record]) -> None:
    """Put a block whose records are applied into feeds, journal and indexes."""
    state.feeds.advance(block, clock)
    state.last_arrival += 1
    blocks.put_block(batch, block, state.last_arrival, clock, tuple(record.name for record in records))
    references.put_records(batch, records)
    job_index.put_records(batch, state.last_arrival, records)
    rows.save_head(state, batch, block.header.author)
