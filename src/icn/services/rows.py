"""The state as rows: which tables there are, how they are saved with the commit that changed them, how loaded."""

from collections.abc import Callable
from dataclasses import astuple, dataclass

from icn.domain.dag.block import Block, Place
from icn.domain.dag.feeds import Feeds, Head
from icn.domain.dag.forks import Cut
from icn.domain.federation.model import Federation, Invitation, Member
from icn.domain.ledger.model import Account, Hold, Supply, Transit
from icn.domain.ledger.state import HomeCounts
from icn.domain.mesh.agreement import Poll
from icn.domain.mesh.events import DisputeRaised
from icn.domain.mesh.model import Execution, Job, Standing
from icn.kernel import cbor_items
from icn.kernel.errors import require
from icn.kernel.fields import shape_of
from icn.kernel.ids import CID_BYTES, Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.services.state import State
from icn.stores import keyspace
from icn.stores.blocks import ClockEntry, clock_of_entries, last_arrival, with_clock
from icn.stores.kv import Batch, Reader
from icn.stores.projections import Table


@dataclass(frozen=True, slots=True)
class HeadRow:
    """A feed's newest block."""

    author: Did
    cid: Cid
    sequence: int
    time: Instant
    clock: tuple[ClockEntry, ...]
    news_count: int


@dataclass(frozen=True, slots=True)
class SideRow:
    """A block that is in no feed."""

    cid: Cid
    place: Place


@dataclass(frozen=True, slots=True)
class ProvenRow:
    """Who has proved a fork of whom."""

    accused: Did
    by: Did
    sequence: int


@dataclass(frozen=True, slots=True)
class StandingRow:
    """What one home has seen of one executor."""

    home: Did
    executor: Did
    standing: Standing


@dataclass(frozen=True, slots=True)
class PledgeRow:
    """What one executor has bound itself to."""

    executor: Did
    job: JobId
    attempt: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class DisputeRow:
    """A dispute, with who raised it and when."""

    raised_by: Did
    raised_at: Instant
    dispute: DisputeRaised


@dataclass(frozen=True, slots=True)
class PositionRow:
    """Which journal entry the rows are up to, and how many blocks there are."""

    arrival: int
    block_count: int


FEDERATION = Table("federation", Federation)
MEMBERS = Table("member", Member)
INVITATIONS = Table("invitation", Invitation)
ACCOUNTS = Table("account", Account)
HOLDS = Table("hold", Hold)
TRANSITS = Table("transit", Transit)
COUNTS = Table("home", HomeCounts)
SUPPLY = Table("supply", Supply)
"""The lower 64 bits of each sum."""
SUPPLY_ABOVE = Table("supply_above", Supply)
"""The rest, where mana was minted beyond them: each account holds at most 53 bits, but nobody bounds their number."""
JOBS = Table("job", Job)
"""All jobs, ended ones too, by id."""
JOBS_BY_TIME = Table("job_time", PositionRow)
OPEN_JOBS = Table("job_open", PositionRow)
"""Keys only: which jobs are open. The row says nothing."""
EXECUTIONS = Table("execution", Execution)
EXECUTIONS_ENDED = Table("execution_ended", PositionRow)
"""Keys only: (executor, job, attempt) whose receipt was issued; a repeated assignment finds it here."""
STANDINGS = Table("standing", StandingRow)
POLLS = Table("poll", Poll)
"""The last attempt of each job that several executors ran, by the job's id."""
PLEDGES = Table("pledge", PledgeRow)
DISPUTES = Table("dispute", DisputeRow)
ANSWERED = Table("answered", PositionRow)
"""Keys only: (home, job, attempt, executor) of assignments whose executor is done with them and paid nothing."""
HEADS = Table("head", HeadRow)
SIDES = Table("side", SideRow)
"""Side blocks, by author, number and name."""
CUTS = Table("cut", Cut)
PROVEN = Table("proven", ProvenRow)
VOID = Table("void", PositionRow)
"""Keys only: records without effect in blocks that are in a feed, by the block's name and their position in it."""
POSITION = Table("position", PositionRow)

_HEAD_ROW = shape_of(HeadRow)
_CLOCK_BEHIND_TIME = CID_BYTES + len(
    cbor_items.head(cbor_items.MAP, 6)
    + cbor_items.text("cid")
    + cbor_items.LINK_PREFIX
    + cbor_items.text("time")
    + cbor_items.text("clock")
)
"""Where the clock stands in the row of a head, but for the length of the time before it."""
_ONLY = b"-"
_ROW_BITS = 64
"""Of an integer in a row."""
_MARK = shape_of(PositionRow).encode(PositionRow(0, 0))
"""Of a row that says nothing: its key does."""


def account_key(owner: Did, home: Did) -> bytes:
    """Accounts by owner first, so that all accounts of an owner stand together."""
    return owner.public_key + home.public_key


def job_time_key(job: Job) -> bytes:
    """Jobs in order of submission."""
    return keyspace.u64(job.submitted_at) + job.id.data


def execution_key(executor: Did, job: bytes, attempt: int) -> bytes:
    """Executions by executor."""
    return executor.public_key + job + attempt.to_bytes(4, "big")


def dispute_key(job: JobId, attempt: int, accused: Did, raised_by: Did) -> bytes:
    """Disputes by job."""
    return job.data + attempt.to_bytes(4, "big") + accused.public_key + raised_by.public_key


def answered_key(home: Did, job: JobId, attempt: int, executor: Did) -> bytes:
    """What a home was told of one assignment."""
    return home.public_key + job.data + attempt.to_bytes(4, "big") + executor.public_key


def side_key(author: Did, sequence: int, cid: Cid) -> bytes:
    """Side blocks by author and number."""
    return author.public_key + keyspace.u64(sequence) + cid.data


def side_row(author: Did, sequence: int, cid: Cid) -> bytes:
    """Where it stands in the store whether a block is in no feed."""
    return SIDES.prefix + side_key(author, sequence, cid)


def void_key(cid: Cid, index: int) -> bytes:
    """A record without effect."""
    return cid.data + index.to_bytes(4, "big")


def is_void(reader: Reader, block: Block, index: int) -> bool:
    """Whether a record of a block that is here has no effect, because of a fork."""
    header = block.header
    is_side = SIDES.get(reader, side_key(header.author, header.sequence, block.cid)) is not None
    return is_side or VOID.get(reader, void_key(block.cid, index)) is not None


def was_answered(read: Callable[[bytes], bytes | None], home: Did, job: JobId, attempt: int, executor: Did) -> bool:
    """Whether the home was told that the executor is done with this assignment, which it was not paid for."""
    return read(keyspace.projection("answered") + answered_key(home, job, attempt, executor)) is not None


def receipt_taken_key(job: JobId, attempt: int, executor: Did) -> bytes:
    """Marks a receipt as taken by this home."""
    return keyspace.projection("receipt_taken") + job.data + attempt.to_bytes(4, "big") + executor.public_key


def pledged_receipt_key(executor: Did, job: JobId, attempt: int) -> bytes:
    """Where this node keeps the sealed receipt that it has pledged and not shown."""
    return keyspace.projection("pledged_receipt") + execution_key(executor, job.data, attempt)


def pledged_receipt(read: Callable[[bytes], bytes | None], executor: Did, job: JobId, attempt: int) -> bytes | None:
    """The sealed receipt behind this node's pledge; None where it has none, or has shown it."""
    return read(pledged_receipt_key(executor, job, attempt))


def execution_ended(read: Callable[[bytes], bytes | None], executor: Did, job: JobId, attempt: int) -> bool:
    """Whether the executor issued its receipt for this attempt."""
    return read(keyspace.projection("execution_ended") + execution_key(executor, job.data, attempt)) is not None


def save(state: State, batch: Batch) -> None:
    """Add the rows that changed since the last call, and forget that they did."""
    _save_federation(state, batch)
    _save_ledger(state, batch)
    _save_mesh(state, batch)
    for cid, index in state.void:
        VOID.put_bytes(batch, void_key(cid, index), _MARK)
    state.void.clear()
    POSITION.put(batch, _ONLY, PositionRow(state.last_arrival, state.feeds.block_count))


def save_cuts(state: State, batch: Batch) -> None:
    """Add the rows of the authors that forked: when the state was made anew because of it."""
    for cut in state.cuts.values():
        save_cut(batch, cut)


def save_cut(batch: Batch, cut: Cut) -> None:
    """Add the row of one of them."""
    CUTS.put(batch, cut.author.public_key, cut)


def save_side(batch: Batch, block: Block) -> None:
    """Add the row of a block that is in no feed."""
    header = block.header
    SIDES.put(batch, side_key(header.author, header.sequence, block.cid), SideRow(block.cid, block.place))


def save_head(state: State, batch: Batch, author: Did) -> None:
    """Add the row of a feed that grew."""
    head = state.feeds.heads[author]
    encoded = _HEAD_ROW.encode(HeadRow(author, head.cid, head.sequence, head.time, (), head.news_count))
    place = _CLOCK_BEHIND_TIME + len(cbor_items.integer(head.time))
    HEADS.put_bytes(batch, author.public_key, with_clock(encoded, place, head.clock))


def _save_federation(state: State, batch: Batch) -> None:
    touched, proven = state.federation.touched, state.federation.touched_proven
    for accused, by in proven:
        row = ProvenRow(accused, by, state.federation.proven[accused, by])
        PROVEN.put(batch, accused.public_key + by.public_key, row)
    proven.clear()
    if touched:
        FEDERATION.put(batch, _ONLY, state.federation.federation)
    for node in touched:
        MEMBERS.put(batch, node.public_key, state.federation.members[node])
    touched.clear()
    for issuer, id_ in state.federation.touched_invitations:
        INVITATIONS.put(batch, issuer.public_key + id_, state.federation.invitations[issuer, id_])
    state.federation.touched_invitations.clear()


def _save_ledger(state: State, batch: Batch) -> None:
    ledger, touched = state.ledger, state.ledger.touched
    if touched.accounts or touched.holds or touched.transits:
        _save_supply(batch, ledger.supply)
    for owner, home in touched.accounts:
        ACCOUNTS.put(batch, account_key(owner, home), ledger.accounts[owner, home])
    for home, hold in touched.holds:
        HOLDS.put(batch, home.public_key + hold, ledger.holds.get((home, hold)))
    for home, number in touched.transits:
        TRANSITS.put(batch, home.public_key + keyspace.u64(number), ledger.transits.get((home, number)))
    for home in touched.homes:
        COUNTS.put(batch, home.public_key, ledger.counts[home])
    touched.accounts.clear()
    touched.holds.clear()
    touched.transits.clear()
    touched.homes.clear()


def _save_supply(batch: Batch, supply: Supply) -> None:
    if supply.minted >> _ROW_BITS == 0:  # all others are parts of it, and it never falls
        SUPPLY.put(batch, _ONLY, supply)
        return
    sums = astuple(supply)
    SUPPLY.put(batch, _ONLY, Supply(*(amount % (1 << _ROW_BITS) for amount in sums)))
    SUPPLY_ABOVE.put(batch, _ONLY, Supply(*(amount >> _ROW_BITS for amount in sums)))


def forget_ended(state: State, batch: Batch, reader: Reader) -> None:
    """Of jobs that their home opens again, ended as they had: when they were submitted before is said no more.

    To be called before `save`, which does not read: the journal gives one such row for a job, its last.
    """
    for job_id in state.mesh.touched.opened:
        before = JOBS.get(reader, job_id.data)
        if before is not None:
            JOBS_BY_TIME.put(batch, job_time_key(before), None)


def _save_mesh(state: State, batch: Batch) -> None:
    mesh, touched = state.mesh, state.mesh.touched
    for job_id, job in touched.jobs.items():
        JOBS.put(batch, job_id.data, job)
        if job_id in touched.opened:
            JOBS_BY_TIME.put_bytes(batch, job_time_key(job), _MARK)
        if job.status.has_ended:
            OPEN_JOBS.put(batch, job_id.data, None)
        elif job_id in touched.opened:
            OPEN_JOBS.put_bytes(batch, job_id.data, _MARK)
    for key in touched.executions:
        executor, job_id, attempt = key
        row_key = execution_key(executor, job_id.data, attempt)
        execution = mesh.executions.get(key)
        EXECUTIONS.put(batch, row_key, execution)
        if execution is None:
            EXECUTIONS_ENDED.put_bytes(batch, row_key, _MARK)
        else:  # an executor may have said before that it had ended
            EXECUTIONS_ENDED.put(batch, row_key, None)
    for home, executor in touched.standings:
        row = StandingRow(home, executor, mesh.standings[home, executor])
        STANDINGS.put(batch, home.public_key + executor.public_key, row)
    for job_id, poll in touched.polls.items():
        POLLS.put(batch, job_id.data, poll)
    for key in touched.pledges:
        executor, job_id, attempt = key
        commitment = mesh.pledges.get(key)
        pledge = None if commitment is None else PledgeRow(executor, job_id, attempt, commitment)
        PLEDGES.put(batch, execution_key(executor, job_id.data, attempt), pledge)
    for (job_id, attempt, accused, raised_by), (raised_at, dispute) in touched.disputes.items():
        row_of_dispute = DisputeRow(raised_by, raised_at, dispute)
        DISPUTES.put(batch, dispute_key(job_id, attempt, accused, raised_by), row_of_dispute)
    for home, job_id, attempt, executor in touched.answered:
        ANSWERED.put_bytes(batch, answered_key(home, job_id, attempt, executor), _MARK)
    touched.answered.clear()
    touched.jobs.clear()
    touched.opened.clear()
    touched.executions.clear()
    touched.standings.clear()
    touched.polls.clear()
    touched.pledges.clear()
    touched.disputes.clear()


def load(reader: Reader) -> State:
    """The state the rows describe, which must be the journal's.

    Raises:
        InvariantBroken: rows and journal do not belong together; `dag verify --deep` says more.
    """
    state = load_as_far_as_they_go(reader)
    require(state.last_arrival == last_arrival(reader), "the rows of the state are up to the journal")
    return state


def load_as_far_as_they_go(reader: Reader) -> State:
    """The state the rows describe, which may be that of an earlier block: while they are made anew."""
    state = State()
    position = POSITION.get(reader, _ONLY)
    state.last_arrival = position.arrival if position else -1
    state.federation.federation = FEDERATION.get(reader, _ONLY)
    state.federation.members = {member.node: member for _, member in MEMBERS.rows(reader)}
    state.federation.invitations = {(one.issuer, one.id): one for _, one in INVITATIONS.rows(reader)}
    unspent = [key for key, one in state.federation.invitations.items() if one.is_open(one.issued_at)]
    state.federation.unspent = dict.fromkeys(unspent)
    state.federation.proven = {(row.accused, row.by): row.sequence for _, row in PROVEN.rows(reader)}
    ledger = state.ledger
    for _, account in ACCOUNTS.rows(reader):
        ledger.accounts[account.owner, account.home] = account
        ledger.homes_of[account.owner] = tuple(sorted((*ledger.homes_of.get(account.owner, ()), account.home)))
    ledger.holds = {(hold.home, hold.id): hold for _, hold in HOLDS.rows(reader)}
    ledger.transits = {(transit.payer_home, transit.number): transit for _, transit in TRANSITS.rows(reader)}
    ledger.counts = {Did.from_public_key(key): counts for key, counts in COUNTS.rows(reader)}
    ledger.supply = load_supply(reader)
    for key, _ in OPEN_JOBS.rows(reader):
        job = JOBS.get(reader, key)
        require(job is not None, "an open job has its row")
        if job is not None:
            state.mesh.jobs[job.id] = job
            state.mesh.count_open(job.home, job.payer)
            poll = POLLS.get(reader, key) if job.assignees else None
            if poll is not None:
                state.mesh.polls[job.id] = poll
    for _, execution in EXECUTIONS.rows(reader):
        state.mesh.executions[execution.executor, execution.job, execution.attempt] = execution
    for _, pledge in PLEDGES.rows(reader):
        state.mesh.pledges[pledge.executor, pledge.job, pledge.attempt] = pledge.commitment
    state.mesh.standings = {(row.home, row.executor): row.standing for _, row in STANDINGS.rows(reader)}
    heads = {
        row.author: Head(row.cid, row.sequence, row.time, clock_of_entries(row.clock), row.news_count)
        for _, row in HEADS.rows(reader)
    }
    sides = {row.cid: row.place for _, row in SIDES.rows(reader)}
    state.feeds = Feeds(heads, frontier_of(heads), sides, block_count=position.block_count if position else 0)
    state.cuts = {cut.author: cut for _, cut in CUTS.rows(reader)}
    state.feeds.unaccepted = {
        (place.author, place.sequence): cid
        for cid, place in sides.items()
        if not state.is_branch(place.author, place.sequence)
    }
    return state


def load_federation(reader: Reader) -> Federation | None:
    """The federation of the store, if it belongs to one."""
    return FEDERATION.get(reader, _ONLY)


def load_supply(reader: Reader) -> Supply:
    """The supply as committed."""
    stored, above = SUPPLY.get(reader, _ONLY) or Supply(), SUPPLY_ABOVE.get(reader, _ONLY)
    if above is None:
        return stored
    pairs = zip(astuple(stored), astuple(above), strict=True)
    return Supply(*(low + (high << _ROW_BITS) for low, high in pairs))


def load_position(reader: Reader) -> PositionRow:
    """Journal position and block count as committed."""
    return POSITION.get(reader, _ONLY) or PositionRow(-1, 0)


def frontier_of(heads: dict[Did, Head]) -> dict[Cid, Did]:
    """The heads that no other head has in its ancestry: what nobody has built on."""
    return {
        head.cid: author
        for author, head in sorted(heads.items())
        if all(other.clock.get(author, 0) <= head.sequence for by, other in heads.items() if by != author)
    }
