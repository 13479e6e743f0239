"""What a caller may ask of the node. Surfaces build these; `services.dispatch` answers them."""

from dataclasses import dataclass

from icn.domain.federation.model import Policy
from icn.domain.mesh.execution import ExecutionOutcome
from icn.domain.mesh.model import JobSpec
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Duration
from icn.kernel.mana import Mana
from icn.stores.archive_parts import ContentLine
from icn.stores.backup_schedule import MadeBackup, ProvenBackup
from icn.stores.backups import FinishedBackup
from icn.stores.changeover import Founding
from icn.stores.joining import Aim


@dataclass(frozen=True, slots=True)
class Found:
    """Found a federation with this node's DID among the founders."""

    name: str
    founders: tuple[Did, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Admit:
    """Vouch for a node."""

    node: Did


@dataclass(frozen=True, slots=True)
class Invite:
    """Issue an invitation."""

    lifetime: Duration
    for_node: Did | None
    note: str
    addresses: tuple[str, ...]
    """Multiaddrs where newcomers can dial this node."""


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take an invitation back."""

    id: bytes


@dataclass(frozen=True, slots=True)
class Join:
    """Join a federation."""

    aim: Aim


@dataclass(frozen=True, slots=True)
class Init:
    """Found a federation on the operator's word, whatever this node is in."""

    founding: Founding


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the federation, for good: the feed of this key ends there."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Vote to remove a node from the federation, for good."""

    node: Did
    reason: str


@dataclass(frozen=True, slots=True)
class OpenAccountFor:
    """Keep an account for a member here."""

    owner: Did


@dataclass(frozen=True, slots=True)
class Pay:
    """Transfer mana from the principal's account."""

    payee: Did
    amount: Mana
    note: str


@dataclass(frozen=True, slots=True)
class PutContent:
    """Store a content block."""

    data: bytes
    codec: int
    """One of `ids.CODECS`; the form it demands is checked."""
    pinned: bool
    lifetime_ms: int | None


@dataclass(frozen=True, slots=True)
class PinContent:
    """Keep a content block that is here until it is unpinned, or no longer."""

    cid: Cid
    pinned: bool


@dataclass(frozen=True, slots=True)
class PruneContent:
    """Remove content that nobody needs, or only say what would go."""

    dry_run: bool


@dataclass(frozen=True, slots=True)
class ImportContent:
    """Store several content blocks, each of which may be refused for itself."""

    items: tuple[tuple[Cid, bytes], ...]
    pinned: bool


@dataclass(frozen=True, slots=True)
class RestoreContent:
    """Store content of a backup that is not here, with the pin and lifetime it had; what is here keeps its own."""

    items: tuple[tuple[ContentLine, bytes], ...]


@dataclass(frozen=True, slots=True)
class ImportBlocks:
    """Take signed blocks of the federation, ancestors first, as if a peer had sent them."""

    encoded: tuple[bytes, ...]
    federation: Cid | None = None
    """The operator's word whose blocks they are, for a node that is in no federation yet."""


@dataclass(frozen=True, slots=True)
class NoteScan:
    """How far a scan of the store has come, and which blocks it found damaged."""

    position: bytes
    """What `services.scan` stores; opaque here."""
    damaged: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class FetchContent:
    """Have a block here, from a peer if need be."""

    cid: Cid


ImportCommand = ImportContent | RestoreContent | ImportBlocks
ContentCommand = PutContent | PinContent | PruneContent | ImportCommand | NoteScan | FetchContent


@dataclass(frozen=True, slots=True)
class Submit:
    """Open a job, paid from the principal's account. A long `input` is stored as content on the way."""

    spec: JobSpec
    input: bytes
    """Standard input; goes inline or by CID as its size demands. Empty where `spec.input_cid` names it."""
    by_own_rates: bool = False
    """The maximum price is what this node itself would ask, whatever `spec` says."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up a job."""

    job: JobId


@dataclass(frozen=True, slots=True)
class LookAtJob:
    """What only the engine knows of an open job at this moment; changes nothing."""

    job: JobId


@dataclass(frozen=True, slots=True)
class SyncNow:
    """Compare with every peer at once, and ask for what is missing; writes nothing."""


@dataclass(frozen=True, slots=True)
class ClearBan:
    """The operator's word that an executor gets jobs of this home again."""

    executor: Did


@dataclass(frozen=True, slots=True)
class NoteMismatch:
    """This node ran a job again, and what it got is to stand beside the receipt that completed the job."""

    job: JobId
    receipt: bytes
    """Sealed."""
    outcome: ExecutionOutcome


@dataclass(frozen=True, slots=True)
class ResumeAuthoring:
    """The operator's word that no block of this node exists that is not here: a held node authors again."""


@dataclass(frozen=True, slots=True)
class RecordBackup:
    """A backup that the operator took arrived whole: the next incremental one goes on from it."""

    finished: FinishedBackup
    store: str | None = None
    """Id of the store it was made of, in hexadecimal, where whoever took it says so."""


@dataclass(frozen=True, slots=True)
class NoteBackup:
    """A scheduled backup arrived whole at its target."""

    finished: FinishedBackup
    made: MadeBackup
    store: str
    """Id of the store it was made of, in hexadecimal."""
    place: str
    """What the target calls itself."""


@dataclass(frozen=True, slots=True)
class NoteDrill:
    """A backup was restored aside and verified."""

    proven: ProvenBackup


@dataclass(frozen=True, slots=True)
class NoteFinding:
    """The newest backup could not be restored: the next one is full."""


BackupCommand = RecordBackup | NoteBackup | NoteDrill | NoteFinding
FederationCommand = Admit | Invite | Revoke | Join | Init | Leave | Remove
NodeCommand = (
    Found
    | FederationCommand
    | OpenAccountFor
    | Pay
    | ContentCommand
    | Submit
    | Cancel
    | ClearBan
    | LookAtJob
    | SyncNow
    | NoteMismatch
    | ResumeAuthoring
    | BackupCommand
)
