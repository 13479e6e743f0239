"""Every event with its stable name, and the envelope each record bears: the one module here that knows all domains.

A name, once used, keeps its meaning for ever; golden files in tests/wire hold one example of each. The envelope stands
in records from the first day because stored blocks cannot be amended: who asked (principal), for whom, what caused it,
which request it belongs to, and a member's own signature where there is one.
"""

from dataclasses import dataclass
from typing import Any

from icn.domain.federation.events import (
    AdmissionCounted,
    EquivocationProven,
    FederationEvent,
    FederationFounded,
    InvitationIssued,
    InvitationRedeemed,
    InvitationRevoked,
    NodeAdmitted,
    NodeJoined,
    NodeLeft,
    NodeRemoved,
    RemovalVoted,
)
from icn.domain.ledger.events import (
    AccountEndowed,
    AccountOpened,
    HoldReleased,
    HoldSettled,
    HoldShared,
    LedgerEvent,
    ManaHeld,
    ManaRegenerated,
    TransferDeclined,
    TransferReceived,
    Transferred,
    TransferReturned,
    TransferSent,
)
from icn.domain.mesh.events import (
    AssigneeFailed,
    AssignmentAccepted,
    AssignmentDeclined,
    AttemptAbandoned,
    AttemptFailed,
    BiddingOpened,
    DisputeRaised,
    ExecutionStarted,
    ExecutorBanned,
    ExecutorPardoned,
    FailureDeferred,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    MeshEvent,
    OutputCommitted,
    OutputRevealed,
    PledgeMade,
    ReceiptIssued,
    ReceiptKept,
    RevealOpened,
)
from icn.kernel import cbor_items
from icn.kernel.errors import Invalid
from icn.kernel.fields import Shape, shape_of
from icn.kernel.ids import Did

Event = FederationEvent | LedgerEvent | MeshEvent

EVENT_NAMES: dict[type[Any], str] = {
    FederationFounded: "federation.founded",
    NodeJoined: "federation.node_joined",
    NodeAdmitted: "federation.node_admitted",
    EquivocationProven: "federation.equivocation",
    AccountOpened: "ledger.account_opened",
    AccountEndowed: "ledger.account_endowed",
    ManaRegenerated: "ledger.mana_regenerated",
    Transferred: "ledger.transferred",
    TransferSent: "ledger.transfer_sent",
    TransferReceived: "ledger.transfer_received",
    TransferDeclined: "ledger.transfer_declined",
    TransferReturned: "ledger.transfer_returned",
    ManaHeld: "ledger.mana_held",
    HoldSettled: "ledger.hold_settled",
    HoldReleased: "ledger.hold_released",
    HoldShared: "ledger.hold_shared",
    JobSubmitted: "mesh.job_submitted",
    BiddingOpened: "mesh.bidding_opened",
    JobAssigned: "mesh.job_assigned",
    ExecutionStarted: "mesh.execution_started",
    OutputCommitted: "mesh.output_committed",
    AttemptFailed: "mesh.attempt_failed",
    FailureDeferred: "mesh.failure_deferred",
    JobCompleted: "mesh.job_completed",
    JobRolledBack: "mesh.rollback",
    ReceiptKept: "mesh.receipt_kept",
    AssignmentDeclined: "mesh.assignment_declined",
    ExecutorBanned: "mesh.executor_banned",
    ExecutorPardoned: "mesh.executor_pardoned",
    AssignmentAccepted: "mesh.assignment_accepted",
    ReceiptIssued: "mesh.receipt_issued",
    PledgeMade: "mesh.pledge_made",
    RevealOpened: "mesh.reveal_opened",
    OutputRevealed: "mesh.output_revealed",
    AssigneeFailed: "mesh.assignee_failed",
    AttemptAbandoned: "mesh.attempt_abandoned",
    JobAgreed: "mesh.job_agreed",
    DisputeRaised: "mesh.dispute_raised",
    AdmissionCounted: "federation.admission_counted",
    InvitationIssued: "federation.invitation_issued",
    InvitationRevoked: "federation.invitation_revoked",
    InvitationRedeemed: "federation.invitation_redeemed",
    NodeLeft: "federation.node_left",
    RemovalVoted: "federation.removal_voted",
    NodeRemoved: "federation.node_removed",
}
_SHAPES: dict[str, Shape[Any]] = {name: shape_of(cls) for cls, name in EVENT_NAMES.items()}

TEXT_CHARS_MAX = 256


@dataclass(frozen=True, slots=True)
class MemberSignature:
    """A member's own signature over what it asked for."""

    signer: Did
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who and why, on every record."""

    principal: Did | None
    """Who asked; none where the node acted by itself (a time ran out, a peer's message)."""
    on_behalf_of: Did | None
    cause: str
    """The request key or input that led to this, for `events` and audit."""
    correlation: str
    """Ties together what one request caused, across nodes."""
    signature: MemberSignature | None


@dataclass(frozen=True, slots=True)
class Record:
    """An event with its envelope."""

    envelope: Envelope
    event: Event

    @property
    def name(self) -> str:
        """The event's stable name."""
        return EVENT_NAMES[type(self.event)]


_ENVELOPE = shape_of(Envelope)
_ENVELOPE_KEY = cbor_items.text("envelope")
_HEADS: dict[type[Any], tuple[bytes, Shape[Any]]] = {
    cls: (
        cbor_items.head(cbor_items.MAP, 3) + cbor_items.text("type") + cbor_items.text(name) + cbor_items.text("event"),
        _SHAPES[name],
    )
    for cls, name in EVENT_NAMES.items()
}
"""What the bytes of every record of an event begin with, and how the event is written."""


def write_record(record: Record) -> dict[str, Any]:
    """The map that stands in a block."""
    name = record.name
    return {
        "type": name,
        "event": _SHAPES[name].to_map(record.event),
        "envelope": _ENVELOPE.to_map(record.envelope),
    }


def encode_record(record: Record) -> bytes:
    """The bytes of the map that stands in a block."""
    head, shape = _HEADS[type(record.event)]
    return b"".join((head, shape.encode(record.event), _ENVELOPE_KEY, _ENVELOPE.encode(record.envelope)))


def read_record(data: Any) -> Record:
    """Inverse of `write_record`. Raises `Invalid` for an unknown event or a field out of form."""
    if type(data) is not dict or len(data) != 3 or type(data.get("type")) is not str:
        raise Invalid("record", "a map of type, event and envelope is expected")
    shape = _SHAPES.get(data["type"])
    if shape is None:
        raise Invalid("record", f"event {data['type'][:80]!r} is not known to this node")
    envelope = _ENVELOPE.from_map(data.get("envelope"))
    if len(envelope.cause) > TEXT_CHARS_MAX or len(envelope.correlation) > TEXT_CHARS_MAX:
        raise Invalid("record", f"cause and correlation have at most {TEXT_CHARS_MAX} characters")
    return Record(envelope, shape.from_map(data.get("event")))
