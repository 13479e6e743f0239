"""What must be true, looked at when a node is between two batches, and at the end when everything is quiet.

Each checker raises a `Finding` with its stable name. Those at the end read a node's store, not its memory, wherever the
promise is about what lasts.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from icn.domain.context import Context, EventRefused
from icn.domain.dag.block import parse_block
from icn.domain.federation.events import FederationFounded, NodeRemoved
from icn.domain.federation.state import name_genesis
from icn.domain.ledger.events import (
    AccountEndowed,
    AccountOpened,
    HoldReleased,
    HoldSettled,
    HoldShared,
    ManaHeld,
    ManaRegenerated,
    TransferDeclined,
    TransferReceived,
    Transferred,
    TransferReturned,
    TransferSent,
)
from icn.domain.ledger.state import Ledger
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptFailed,
    JobAgreed,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    OutputRevealed,
    ReceiptIssued,
    ReceiptKept,
)
from icn.domain.mesh.papers import open_receipt
from icn.domain.records import Record
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.services import acceptance, rows
from icn.services.ancestry import BlockAncestry
from icn.services.answers import Done
from icn.services.authorship import AnswerLost
from icn.services.commands import Cancel, PutContent
from icn.services.recutting import contest_of, recut
from icn.services.state import Pairing, State, apply_event, check_event
from icn.sim.findings import Finding, expect
from icn.sim.forks import cuts_by_hand
from icn.sim.model import Model, is_refused_by
from icn.sim.node import Node
from icn.stores import blocks, keyspace
from icn.stores.kv import Reader


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the federation's history."""

    cid: Cid
    author: Did
    sequence: int
    time: Instant
    record: Record
    is_void: bool = False
    """It has no effect, because of a fork."""


def supply_adds_up(name: str, ledger: Ledger) -> None:
    """Totals are balanced, and are what counting everything again gives."""
    supply = ledger.supply
    expect(supply.is_balanced, "supply identity", f"{name}: {supply}")
    available = sum(account.balance for account in ledger.accounts.values())
    held = sum(hold.amount for hold in ledger.holds.values())
    in_transit = sum(transit.amount for transit in ledger.transits.values())
    expect(
        (available, held, in_transit) == (supply.available, supply.held, supply.in_transit),
        "supply recount",
        f"{name}: counted {available} available, {held} held, {in_transit} in transit; kept {supply}",
    )
    expect(all(account.balance >= 0 for account in ledger.accounts.values()), "no debt", name)


def state_fields(state: State) -> dict[str, object]:
    """Everything of a state that is the same on every node with the same blocks."""
    return {
        "federation": state.federation.federation,
        "members": state.federation.members,
        "invitations": state.federation.invitations,
        "accounts": state.ledger.accounts,
        "homes_of": state.ledger.homes_of,
        "holds": state.ledger.holds,
        "transits": state.ledger.transits,
        "counts": state.ledger.counts,
        "supply": state.ledger.supply,
        "jobs": state.mesh.jobs,
        "executions": state.mesh.executions,
        "standings": state.mesh.standings,
        "open_by_payer": state.mesh.open_by_payer,
        "open_by_home": {home: count for home, count in state.mesh.open_by_home.items() if count},
        "heads": state.feeds.heads,
        "frontier": state.feeds.frontier,
        "block_count": state.feeds.block_count - len(state.feeds.sides),
        "cuts": state.cuts,
        "proven": state.federation.proven,
    }


def same_state(checker: str, what: str, left: State, right: State) -> None:
    """Compare field by field."""
    ours, theirs = state_fields(left), state_fields(right)
    for name, value in ours.items():
        expect(value == theirs[name], checker, f"{what}: {name} differ: {_difference(value, theirs[name])}")


def _difference(left: object, right: object) -> str:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
        return "; ".join(f"{key}: {left.get(key)} != {right.get(key)}" for key in keys[:2])[:1500]
    return f"{left} != {right}"[:1500]


def feeds_verify(name: str, reader: Reader, state: State, *, signatures: bool) -> None:
    """Every block is under its name, signed, linked to the one before and not older; nothing is missing."""
    count = 0
    for author, head in sorted(state.feeds.heads.items()):
        previous: Cid | None = None
        time = Instant(0)
        for sequence in range(head.sequence + 1):
            cid = blocks.cid_at(reader, author, sequence)
            data = None if cid is None else blocks.get_bytes(reader, cid)
            where = f"{name}: {author} {sequence}"
            if cid is None or data is None:
                raise Finding("feeds verify", f"{where} is missing")
            block = parse_block(data)
            header = block.header
            expect(block.cid == cid, "feeds verify", f"{where} is not what its name says")
            expect(
                (header.author, header.sequence, header.previous) == (author, sequence, previous), "feeds verify", where
            )
            expect(header.time >= time, "feeds verify", f"{where} is older than the one before")
            if signatures:
                expect(block.is_genuine(), "feeds verify", f"{where} is not signed by its author")
            previous, time = cid, header.time
            count += 1
        expect(previous == head.cid, "feeds verify", f"{name}: the head of {author} is another block")
    expect(
        count + len(state.feeds.sides) == state.feeds.block_count,
        "feeds verify",
        f"{name}: {count} blocks, {state.feeds.block_count} counted",
    )
    held = sum(1 for _ in blocks.journal(reader))
    expect(held == state.feeds.block_count, "feeds verify", f"{name}: journal and feeds differ")


def history(reader: Reader) -> list[Entry]:
    """All records of a store, in the order its blocks came."""
    entries: list[Entry] = []
    for _, cid in blocks.journal(reader):
        block = parse_block(blocks.get_bytes(reader, cid) or b"")
        header = block.header
        entries += [
            Entry(cid, header.author, header.sequence, header.time, record, rows.is_void(reader, block, index))
            for index, record in enumerate(acceptance.read_records(block))
        ]
    return entries


def replayed(reader: Reader) -> State:
    """The state that the journal alone gives, every record checked again."""
    contest = contest_of(reader, cuts_by_hand(reader))
    if contest.cuts:
        return recut(reader, contest).state
    state = State()
    for arrival, cid in blocks.journal(reader):
        block = parse_block(blocks.get_bytes(reader, cid) or b"")
        header = block.header
        clock = blocks.clock_at(reader, header.author, header.sequence)
        ancestry = BlockAncestry(clock, state.federation, lambda who, number: blocks.clock_at(reader, who, number))
        context = Context(header.author, header.sequence, header.time, ancestry)
        pairing = Pairing()
        records = acceptance.read_records(block)
        for record in records:
            try:
                check_event(state, record.event, context, pairing)
            except EventRefused as refused:
                raise Finding("replay", f"{record.name} in {cid} of {header.author}: {refused}") from refused
            apply_event(state, record.event, context)
        if records and isinstance(records[0].event, FederationFounded):
            name_genesis(state.federation, cid)
        state.feeds.advance(block, clock)
        state.last_arrival = arrival
    return state


def money_by_hand(entries: Iterable[Entry], ledger: Ledger) -> None:
    """Balances, added up record by record without the ledger's rules, are the ledger's."""
    balances: dict[tuple[Did, Did], int] = {}
    holds: dict[tuple[Did, bytes], tuple[Did, int]] = {}
    transits: dict[tuple[Did, int], tuple[Did, int]] = {}
    minted = 0

    def add(owner: Did, home: Did, amount: int) -> None:
        balances[owner, home] = balances.get((owner, home), 0) + amount

    for entry in entries:
        home, event = entry.author, entry.record.event
        match event:
            case AccountOpened(owner, _, _, _, _, granted) | AccountEndowed(owner, _, _, granted):
                add(owner, home, granted)
                minted += granted
            case ManaRegenerated(owner, gained):
                add(owner, home, gained)
                minted += gained
            case Transferred(_, payer, payee, amount):
                add(payer, home, -amount)
                add(payee, home, amount)
            case TransferSent(number, payer, _, _, amount):
                add(payer, home, -amount)
                transits[home, number] = (payer, amount)
            case TransferReceived(payer_home, number, payee, amount):
                _, sent = transits.pop((payer_home, number))
                expect(sent == amount, "money by hand", f"{number} of {payer_home}: {sent} became {amount}")
                add(payee, home, amount)
            case TransferDeclined():
                pass
            case TransferReturned(number):
                payer, back = transits.pop((home, number))
                add(payer, home, back)
            case ManaHeld(hold, payer, amount):
                add(payer, home, -amount)
                holds[home, hold] = (payer, amount)
            case HoldSettled(hold, number, payee, payee_home, paid):
                expect((home, hold) in holds, "exactly-once settlement", f"hold {hold.hex()} of {home} ended before")
                payer, set_aside = holds.pop((home, hold))
                add(payer, home, set_aside - paid)
                if payee_home == home:
                    add(payee, home, paid)
                elif paid:
                    transits[home, number] = (payer, paid)
            case HoldShared(hold, number, shares):
                expect((home, hold) in holds, "exactly-once settlement", f"hold {hold.hex()} of {home} ended before")
                payer, set_aside = holds.pop((home, hold))
                add(payer, home, set_aside - sum(share.paid for share in shares))
                for offset, share in enumerate(shares):
                    if share.payee_home == home:
                        add(share.payee, home, share.paid)
                    elif share.paid:
                        transits[home, number + offset] = (payer, share.paid)
            case HoldReleased(hold):
                expect((home, hold) in holds, "exactly-once settlement", f"hold {hold.hex()} of {home} ended before")
                payer, set_aside = holds.pop((home, hold))
                add(payer, home, set_aside)
            case NodeRemoved(node):
                for key in [key for key in holds if key[0] == node]:
                    payer, set_aside = holds.pop(key)
                    add(payer, node, set_aside)
            case _:
                pass
    kept = {key: account.balance for key, account in ledger.accounts.items()}
    expect(kept == balances, "money by hand", _difference(kept, balances))
    expect(minted == ledger.supply.minted, "money by hand", f"minted {minted}, kept {ledger.supply.minted}")


def jobs_end_once(entries: Iterable[Entry], gone: Collection[Did] = ()) -> None:
    """Every job was submitted once and ended once, with the end of its hold beside it.

    `gone`: homes that are no members any more. The jobs of one that was removed end with it.
    """
    ends: dict[JobId, str] = {}
    submitted: dict[JobId, None] = {}
    ended_with_home: dict[JobId, None] = {}
    for entry in entries:
        event = entry.record.event
        if isinstance(event, JobSubmitted):
            expect(event.job not in submitted, "jobs end once", f"{event.job} was submitted twice")
            submitted[event.job] = None
            if entry.author in gone:
                ended_with_home[event.job] = None
        elif isinstance(event, JobCompleted | JobAgreed | JobRolledBack):
            expect(event.job not in ends, "exactly-once settlement", f"{event.job}: {ends.get(event.job)}, then again")
            ends[event.job] = entry.record.name
    open_still = [job for job in submitted if job not in ends and job not in ended_with_home]
    expect(not open_still, "every job ends", f"{len(open_still)} did not, the first {open_still[:1]}")


def what_was_confirmed_counts(entries: Iterable[Entry], gone: Collection[Did]) -> None:
    """A claim leans on a debit that was confirmed: no removal takes that away from who claimed it in good faith."""
    for entry in entries:
        if entry.is_void and entry.author not in gone and isinstance(entry.record.event, TransferReceived):
            raise Finding("what was confirmed counts", f"a claim in block {entry.sequence} of {entry.author} is void")


def receipts_are_answered(entries: list[Entry], put_back: Collection[Did], left: Collection[Did]) -> None:
    """Whatever an executor signed, its home has settled, scored or kept; but for a home that was put back since.

    Who has `left` sent what it could: a home that was away when it left may lack a receipt of a failure; and as a home
    it had no job open, so that what came later was late. Who was put back may sign again for an attempt, knowing
    of its first receipt only if somebody had the block: the home has taken one of both.
    """
    taken: set[tuple[Did, bytes]] = set()
    for entry in entries:
        match entry.record.event:
            case (
                JobCompleted(receipt=receipt)
                | AttemptFailed(receipt=receipt)
                | ReceiptKept(receipt=receipt)
                | OutputRevealed(receipt=receipt)
                | AssigneeFailed(receipt=receipt)
            ):
                taken.add((entry.author, receipt))
            case _:
                pass
    for entry in entries:
        event = entry.record.event
        if (
            isinstance(event, ReceiptIssued)
            and event.home not in put_back
            and not {entry.author, event.home} & set(left)
        ):
            where = f"the receipt for {event.job} attempt {event.attempt} by {entry.author} never reached {event.home}"
            is_taken = (event.home, event.receipt) in taken
            if not is_taken and entry.author in put_back:
                is_taken = any(home == event.home and _is_of(receipt, entry.author, event) for home, receipt in taken)
            expect(is_taken, "receipts are answered", where)


def _is_of(receipt: bytes, executor: Did, event: ReceiptIssued) -> bool:
    """Whether it is one of `executor` for the attempt that `event` is about."""
    if not receipt:
        return False
    said = open_receipt(receipt)
    return (said.job, said.attempt, said.executor) == (event.job, event.attempt, executor)


def promises_are_kept(model: Model, nodes: list[Node], entries: list[Entry]) -> None:
    """What was acknowledged is in the store of the node that said so; what was asked once happened once."""
    stores: dict[Did, Reader] = {node.did: node.disk.platter for node in nodes}
    caused: dict[tuple[Did, Did, str], int] = {}
    transfers: dict[str, Entry] = {}
    jobs: dict[str, Entry] = {}
    for entry in entries:
        event, envelope = entry.record.event, entry.record.envelope
        if isinstance(event, Transferred | TransferSent):
            transfers[f"{entry.author}/{event.number}"] = entry
        elif isinstance(event, JobSubmitted):
            jobs[str(event.job)] = entry
        else:
            continue
        if envelope.principal is not None:
            name = (entry.author, envelope.principal, envelope.cause)
            caused[name] = caused.get(name, 0) + 1
    for told in model.transfers:
        found = transfers.get(told.name)
        if found is None:
            raise Finding("durability", f"the acknowledged transfer {told.name} ({told.ask.key}) is gone")
        event = found.record.event
        right = isinstance(event, Transferred | TransferSent) and (event.payer, event.payee, event.amount) == (
            told.ask.principal,
            told.payee,
            told.amount,
        )
        expect(right and str(found.cid) == told.block, "durability", f"{told.name} is not what was acknowledged")
        stored = stores[told.ask.home].get(keyspace.block(found.cid))
        expect(stored is not None, "durability", f"the block of {told.name} is not in its home's store")
    for job, ask in model.jobs.items():
        expect(job in jobs, "durability", f"the acknowledged job {job} ({ask.key}) is gone")
        if jobs[job].is_void:
            continue
        row = rows.JOBS.get(stores[ask.home], JobId.parse(job).data)
        expect(row is not None and row.status.has_ended, "every job ends", f"{job} is {row and row.status}")
    for cid, (home, data) in model.contents.items():
        expect(stores[home].get(keyspace.block(cid)) == data, "durability", f"the acknowledged content {cid} is gone")
    for owner, home in model.accounts.items():
        row_account = rows.ACCOUNTS.get(stores[home], rows.account_key(owner, home))
        expect(row_account is not None, "durability", f"the acknowledged account of {owner} is gone")
    for name, count in caused.items():
        expect(count == 1, "a key acts once", f"{name[2]} at {name[0]} was carried out {count} times")
    _no_more_than_told(model, caused)


def _no_more_than_told(model: Model, caused: dict[tuple[Did, Did, str], int]) -> None:
    """Nothing was done for a request that was refused."""
    for name, answer in model.answers.items():
        if not isinstance(answer, Done) and not is_refused_by(answer, AnswerLost.code) and name in caused:
            raise Finding("a refusal changes nothing", f"{name[2]} was refused and carried out")


def cancellations(model: Model, nodes: list[Node]) -> None:
    """A job whose cancellation was acknowledged is cancelled, not paid."""
    stores: dict[Did, Reader] = {node.did: node.disk.platter for node in nodes}
    for name, answer in model.answers.items():
        command = model.asks[name].command
        if isinstance(command, Cancel) and isinstance(answer, Done):
            row = rows.JOBS.get(stores[name[0]], command.job.data)
            expect(row is not None and row.status.value == "cancelled", "cancelled is cancelled", str(command.job))
            expect(row is None or row.paid == 0, "cancelled is cancelled", f"{command.job} was paid")


def contents_put(model: Model) -> Iterator[Cid]:
    """What callers stored."""
    for name, answer in model.answers.items():
        if isinstance(model.asks[name].command, PutContent) and isinstance(answer, Done):
            yield Cid.parse(answer.body["cid"])
