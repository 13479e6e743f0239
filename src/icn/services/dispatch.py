"""Answers callers' commands: who may ask, what is decided, what is said back.

The operator's principal is the node itself, so what it pays comes from the node's own account; a member pays from its
own. Nobody pays from somebody else's (semantics §4).
"""

from dataclasses import dataclass, replace
from typing import Any, assert_never

from icn.domain.federation.commands import AdmitNode, FoundFederation, VoteRemoval
from icn.domain.federation.refusals import NotInFederation
from icn.domain.federation.rules import decide as decide_federation
from icn.domain.ledger.commands import Endowment, OpenAccount, Transfer
from icn.domain.ledger.events import Transferred, TransferSent
from icn.domain.ledger.rules import account_at, available
from icn.domain.ledger.rules import decide as decide_ledger
from icn.domain.mesh.execution import ExecutionOutcome
from icn.domain.mesh.model import INPUT_INLINE_BYTES_MAX, JobSpec
from icn.domain.mesh.pricing import Rates, price_of
from icn.domain.mesh.refusals import JobNotFound
from icn.domain.records import Envelope
from icn.kernel.errors import Invalid, InvariantBroken, Kind, Refusal
from icn.kernel.ids import DAG_CBOR, RAW, Cid, Did, JobId
from icn.kernel.instant import Duration
from icn.kernel.mana import MANA_MAX, Mana
from icn.services import rows
from icn.services.answers import Answer, Done, refused
from icn.services.authorship import Authorship
from icn.services.changing import ChangingService
from icn.services.commands import (
    Admit,
    Cancel,
    ClearBan,
    ContentCommand,
    FederationCommand,
    FetchContent,
    Found,
    ImportBlocks,
    ImportContent,
    Init,
    Invite,
    Join,
    Leave,
    LookAtJob,
    NodeCommand,
    NoteBackup,
    NoteDrill,
    NoteFinding,
    NoteMismatch,
    NoteScan,
    OpenAccountFor,
    Pay,
    PinContent,
    PruneContent,
    PutContent,
    RecordBackup,
    Remove,
    RestoreContent,
    ResumeAuthoring,
    Revoke,
    Submit,
    SyncNow,
)
from icn.services.content import ContentDamaged, ContentNotFound, ContentService, kept_until
from icn.services.disputes import note_mismatch
from icn.services.executing import ExecutorService
from icn.services.federation import count_votes, open_own_account
from icn.services.inputs import Request
from icn.services.inviting import InvitingService
from icn.services.joining import JoiningService
from icn.services.leaving import leave
from icn.services.mending import MendingService
from icn.services.mesh import NONCE_BYTES, HomeService
from icn.services.peers import Peers
from icn.services.ports import Entropy
from icn.services.pruning import PruningService
from icn.services.replication import ReplicationService
from icn.services.scan import SCAN_ROW
from icn.services.seeking import SeekingService
from icn.services.work import UnitOfWork
from icn.stores import backup_schedule, backups, contents, schema
from icn.stores.archive import ArchiveKind
from icn.stores.backups import FinishedBackup
from icn.stores.contents import ContentMeta


class NotTheOperator(Refusal):
    """A command about the node itself."""

    code = "access.operator_only"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("only the node's operator may do this")


class BackupOfAnotherStore(Refusal):
    """A backup of what this store was before it was put back, or its node changed its federation."""

    code = "backup.other_store"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "the store was put back or began anew while the backup was made: the archive is good for what was before, "
            "and the next backup does not go on from it; make another one"
        )


@dataclass(slots=True)
class Dispatch:
    """Knows the services a command may need."""

    entropy: Entropy
    replication: ReplicationService
    inviting: InvitingService
    joining: JoiningService
    seeking: SeekingService
    changing: ChangingService
    pruning: PruningService
    mending: MendingService
    home: HomeService
    content: ContentService
    peers: Peers
    authorship: Authorship
    executor: ExecutorService

    def take(self, work: UnitOfWork, request: Request) -> None:
        """Answer `request`, now or when what it waits for is there."""
        envelope = Envelope(request.principal, None, request.key, request.correlation, None)
        if isinstance(request.command, FetchContent):
            self._fetch(work, request, request.command)
            return
        if isinstance(request.command, LookAtJob):
            work.answer(request, Done(self._look_at(work, request.command.job)), recorded=False)
            return
        if isinstance(request.command, SyncNow):
            asked = self.replication.ask_everybody(work)
            work.answer(request, Done({"asked": [str(peer) for peer in asked]}), recorded=False)
            return
        answer: Answer
        try:
            if isinstance(request.command, PruneContent):
                self._only_operator(work, request)
                self.pruning.ask(request, dry_run=request.command.dry_run)
                return
            answer = Done(self._decide(work, request, request.command, envelope))
        except Refusal as refusal:
            answer = refused(refusal)
        work.answer(request, answer, recorded=isinstance(answer, Done))

    def _decide(self, work: UnitOfWork, request: Request, command: NodeCommand, envelope: Envelope) -> dict[str, Any]:
        match command:
            case Found():
                return self._found(work, command, envelope)
            case Admit() | Invite() | Revoke() | Join() | Init() | Leave() | Remove():
                self._only_operator(work, request)
                return self._membership(work, command, envelope)
            case OpenAccountFor():
                self._only_operator(work, request)
                return self._open_account(work, command, envelope)
            case Pay():
                return self._pay(work, request, command, envelope)
            case PutContent() | PinContent() | ImportContent() | RestoreContent() | ImportBlocks() | NoteScan():
                return self._content(work, request, command)
            case Submit(spec, given, by_own_rates):
                _in_federation(work)
                spec = _completed(spec, given, self.home.terms.executor.rates if by_own_rates else None)
                job = self.home.submit(work, spec, given, self.entropy.bytes(NONCE_BYTES), envelope)
                return {"job_id": str(job), "status": "bidding", "held": spec.price_held}
            case Cancel(job):
                self.home.cancel(work, job, envelope)
                return {"job_id": str(job), "status": "cancelled"}
            case ClearBan(executor):
                self._only_operator(work, request)
                self.home.pardon(work, executor, envelope)
                return {"executor": str(executor), "cleared": True}
            case NoteMismatch(job, receipt, outcome):
                _in_federation(work)
                return {"disputed": _note_mismatch(work, job, receipt, outcome)}
            case ResumeAuthoring():
                self._only_operator(work, request)
                return {"was_held": self.authorship.resume(work)}
            case RecordBackup(finished, store):
                self._only_operator(work, request)
                _note_backup(work, finished, store)
                return {"manifest": finished.manifest}
            case NoteBackup(finished, made, store, place):
                self._only_operator(work, request)
                _note_backup(work, finished, store)
                is_full = finished.kind is ArchiveKind.FULL
                backup_schedule.put_made(work.get, work.batch, made, place, is_full=is_full)
                return {}
            case NoteDrill(proven):
                self._only_operator(work, request)
                backup_schedule.put_proven(work.get, work.batch, proven)
                return {}
            case NoteFinding():
                self._only_operator(work, request)
                backup_schedule.put_finding(work.batch)
                return {}
            case FetchContent() | PruneContent() | LookAtJob() | SyncNow():
                raise InvariantBroken("a fetch, a round of pruning and a look are answered in their own way")
            case _:
                assert_never(command)

    @staticmethod
    def _found(work: UnitOfWork, command: Found, envelope: Envelope) -> dict[str, Any]:
        found = FoundFederation(command.name, command.founders, command.policy)
        work.record(decide_federation(work.state.federation, found, work.context()), envelope)
        open_own_account(work)
        return {"state": f"the federation {command.name!r} is founded"}

    def _membership(self, work: UnitOfWork, command: FederationCommand, envelope: Envelope) -> dict[str, Any]:
        match command:
            case Admit(node):
                return _admit(work, node, envelope)
            case Invite(lifetime, for_node, note, addresses):
                return self.inviting.issue(work, lifetime, for_node, note, addresses, envelope)
            case Revoke(id_):
                return self.inviting.revoke(work, id_, envelope)
            case Join(aim):
                if self.joining.begin(work, aim):
                    return {"state": self.joining.explain(work.state, work.did)}
                if not aim.invitation:
                    self.seeking.begin(work, aim)
                    return {"state": self.seeking.explain(work.state)}
                return self.changing.begin(work, aim, None)
            case Init(founding):
                if work.state.federation.federation is not None:
                    return self.changing.begin(work, None, founding)
                self.joining.give_up(work)
                return self._found(work, Found(founding.name, founding.founders, founding.policy), envelope)
            case Leave():
                leave(work, self.peers, self.changing.unsettled, self.changing.patience, envelope)
                return {"node": str(work.did), "left": True}
            case Remove(node, reason):
                return _vote_removal(work, node, reason, envelope)
            case _:
                assert_never(command)

    def _look_at(self, work: UnitOfWork, job_id: JobId) -> dict[str, Any]:
        """The fields of `queries.job_progress.JobMoment`; empty for a job that is not open."""
        job = work.state.mesh.jobs.get(job_id)
        if job is None:
            return {}
        answers = self.home.biddings.answers(work, job)
        return {
            "attempt": job.attempt,
            **dict(zip(("offers", "declined", "expected"), answers or (None, None, None), strict=True)),
            "reasons": self.home.biddings.reasons_now(job),
            "is_fetching": self.home.is_settling(job) or self.executor.is_gathering(work, job.id, job.attempt),
        }

    def _content(self, work: UnitOfWork, request: Request, command: ContentCommand) -> dict[str, Any]:
        match command:
            case PutContent(data, codec, pinned, lifetime_ms):
                lifetime = None if lifetime_ms is None else Duration(lifetime_ms)
                was_here = self.content.has(work, cid := Cid.of(data, codec))
                self.content.store(work, data, codec, pinned=pinned, lifetime=lifetime)
                return {"cid": str(cid), "size": len(data), "new": not was_here, **self._kept(work, cid)}
            case PinContent(cid, pinned):
                self._only_operator(work, request)
                self.content.pin(work, cid, pinned=pinned)
                return {"cid": str(cid), **self._kept(work, cid)}
            case ImportContent(items, pinned):
                self._only_operator(work, request)
                return {"results": [self._import(work, cid, data, pinned=pinned) for cid, data in items]}
            case RestoreContent(lines):
                self._only_operator(work, request)
                return {"results": [self.content.put_back(work, line, data) for line, data in lines]}
            case ImportBlocks(encoded, federation):
                self._only_operator(work, request)
                results = self.replication.arrivals.take_imported(work, encoded, federation)
                for data, result in zip(encoded, results, strict=True):
                    if result == "known":
                        self.content.mend(work, Cid.of(data, DAG_CBOR), data)
                return {"results": results}
            case NoteScan(position, damaged):
                self._only_operator(work, request)
                work.batch.put(SCAN_ROW, position)
                return {"damaged": self.mending.examine(work, damaged)}
            case _:
                raise InvariantBroken("a fetch and a round of pruning are answered when they have ended")

    def _import(self, work: UnitOfWork, cid: Cid, data: bytes, *, pinned: bool) -> str:
        """`new`, `known`, or why not."""
        was_here = self.content.has(work, cid)
        try:
            self.content.store(work, data, cid.codec, pinned=pinned)
        except Invalid as error:
            return str(error)
        return "known" if was_here else "new"

    def _kept(self, work: UnitOfWork, cid: Cid) -> dict[str, Any]:
        """What holds for content now, whatever was asked. A signed block is always kept."""
        meta: ContentMeta | None = self.content.meta(work, cid)
        if meta is None:
            return {"pinned": True, "seconds_left": None}
        seconds = None if meta.pinned else max(0, kept_until(meta) - work.wall) // 1000
        return {"pinned": meta.pinned, "seconds_left": seconds}

    @staticmethod
    def _only_operator(work: UnitOfWork, request: Request) -> None:
        if request.principal != work.did:
            raise NotTheOperator

    @staticmethod
    def _open_account(work: UnitOfWork, command: OpenAccountFor, envelope: Envelope) -> dict[str, Any]:
        _in_federation(work)
        context = work.context()
        endowment = work.state.endowment(context) or Endowment(Mana(0), Mana(0), 0)
        opened = decide_ledger(work.state.ledger, OpenAccount(command.owner, endowment), context)
        work.record(opened, envelope)
        return {"did": str(command.owner), "home": str(work.did), "balance": endowment.granted}

    @staticmethod
    def _pay(work: UnitOfWork, request: Request, command: Pay, envelope: Envelope) -> dict[str, Any]:
        _in_federation(work)
        transfer = Transfer(request.principal, command.payee, command.amount, command.note)
        events = decide_ledger(work.state.ledger, transfer, work.context())
        work.record(events, envelope)
        moved = events[-1]
        number = moved.number if isinstance(moved, Transferred | TransferSent) else 0
        payer = account_at(work.state.ledger, request.principal, work.did)
        return {
            "transfer": f"{work.did}/{number}",
            "from": str(request.principal),
            "to": str(command.payee),
            "amount": command.amount,
            "status": "in_transit" if isinstance(moved, TransferSent) else "done",
            "balance": available(payer, work.now),
        }

    def _fetch(self, work: UnitOfWork, request: Request, command: FetchContent) -> None:
        def answer(later_work: UnitOfWork, found: bool) -> None:  # noqa: FBT001 - a content waiter
            damaged = command.cid in self.content.damage.found
            why_not = ContentDamaged(command.cid) if damaged else ContentNotFound(command.cid)
            result: Answer = Done({"cid": str(command.cid)}) if found else refused(why_not)
            later_work.answer(request, result, recorded=False)

        self.content.fetch(work, command.cid, [view.did for view in self.peers.greeted()], answer)


def _in_federation(work: UnitOfWork) -> None:
    """Raise `NotInFederation` until this node's feed has begun."""
    member = work.state.federation.members.get(work.did)
    if member is None or not member.joined:
        raise NotInFederation


def _admit(work: UnitOfWork, node: Did, envelope: Envelope) -> dict[str, Any]:
    """Vouch for a node, or vote for it; and say whether that was enough."""
    federation = work.state.federation
    work.record(decide_federation(federation, AdmitNode(node), work.context()), envelope)
    count_votes(work)
    ancestry = work.context().ancestry
    admitted, votes = federation.is_admitted(node, ancestry), len(federation.votes_for(node, ancestry))
    # Only where members vote there are any; otherwise one word is enough.
    missing = 0 if admitted else max(0, federation.votes_needed(ancestry) - votes)
    return {"node": str(node), "admitted": admitted, "votes": votes, "votes_missing": missing}


def _vote_removal(work: UnitOfWork, node: Did, reason: str, envelope: Envelope) -> dict[str, Any]:
    """Record this node's vote. Where it was the last one needed, the next batch begins with the removal."""
    federation = work.state.federation
    work.record(decide_federation(federation, VoteRemoval(node, reason), work.context()), envelope)
    ancestry = work.context().ancestry
    votes = len(federation.removal_votes(node, ancestry))
    missing = max(0, federation.votes_needed(ancestry) - votes)
    return {"node": str(node), "votes": votes, "votes_missing": missing}


def _completed(spec: JobSpec, input_bytes: bytes, rates: Rates | None) -> JobSpec:
    """The job with its input where that belongs, inline or by CID, and the price asked by `rates` where there are any.

    Raises `Invalid`.
    """
    if input_bytes and spec.input_cid is not None:
        raise Invalid("input", "either inline or by CID")
    if len(input_bytes) <= INPUT_INLINE_BYTES_MAX:
        spec = replace(spec, input=input_bytes)
    else:
        spec = replace(spec, input=b"", input_cid=Cid.of(input_bytes, RAW))
    if rates is not None:
        spec = replace(spec, max_price=Mana(min(max(1, price_of(spec, rates)), MANA_MAX)))
    return spec


def _note_mismatch(work: UnitOfWork, job_id: JobId, receipt: bytes, outcome: ExecutionOutcome) -> bool:
    mesh = work.state.mesh
    job = mesh.jobs.get(job_id) or mesh.touched.jobs.get(job_id) or rows.JOBS.get(work.store, job_id.data)
    if job is None:
        raise JobNotFound(job_id)
    return note_mismatch(work, job, receipt, outcome)


def _note_backup(work: UnitOfWork, finished: FinishedBackup, store: str | None) -> None:
    """Remember a backup.

    Raises:
        BackupOfAnotherStore: this store became another one since, and the next backup would go on from what ended.
        Invalid: it claims more than is here: the next one would leave a gap.
    """
    here = schema.store_id(work.store)
    if store is not None and here is not None and store != here.hex():
        raise BackupOfAnotherStore
    arrival, change = work.state.last_arrival + 1, contents.next_change(work.get)
    if finished.to.arrival > arrival or finished.to.change > change:
        raise Invalid("backup", f"it says it reaches {finished.to}, and this store reaches {arrival} and {change}")
    backups.note_finished(work.batch, backups.finished_backups(work.store), finished)
