"""Where each of several executors of a job stands, and the disputes about a job."""

from dataclasses import dataclass

from icn.domain.mesh.agreement import Ballot, Part
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.services import rows
from icn.stores.kv import Reader

DISPUTES_SHOWN_MAX = 64
"""Of one job; all are events."""


@dataclass(frozen=True, slots=True)
class PartyView:
    """One of several executors of a job's last attempt."""

    executor: Did
    part: Part
    commitment_base64: bytes
    """SHA-256(output CID ‖ nonce ‖ DID); empty before it pledged."""
    receipt_cid: Cid | None
    """Names the sealed receipt that it showed."""


@dataclass(frozen=True, slots=True)
class DisputeView:
    """Two receipts that cannot both be right."""

    attempt: int
    accused: Did
    raised_by: Did
    raised_at: Instant
    receipt_cid: Cid
    counter_cid: Cid
    """The receipt that contradicts it."""


def parties(reader: Reader, job: JobId) -> tuple[PartyView, ...]:
    """The executors of the last attempt, in the order of the assignment; none where one executor runs the job."""
    poll = rows.POLLS.get(reader, job.data)
    return () if poll is None else tuple(_party(ballot) for ballot in poll.ballots)


def disputes(reader: Reader, job: JobId) -> tuple[DisputeView, ...]:
    """The disputes about a job's receipts that this node knows of."""
    found: list[DisputeView] = []
    for _, row in rows.DISPUTES.rows(reader, prefix=job.data):
        if len(found) == DISPUTES_SHOWN_MAX:
            break
        said = row.dispute
        found.append(
            DisputeView(
                said.attempt,
                said.accused,
                row.raised_by,
                row.raised_at,
                Cid.of(said.receipt, RAW),
                Cid.of(said.counter, RAW),
            )
        )
    return tuple(found)


def _party(ballot: Ballot) -> PartyView:
    receipt = Cid.of(ballot.receipt, RAW) if ballot.receipt else None
    return PartyView(ballot.executor, ballot.part, ballot.commitment, receipt)
