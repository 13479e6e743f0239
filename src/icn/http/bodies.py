"""What requests say: strict models of bodies and queries. Bounds of numbers are here; rules are not.

Names are parsed twice, once to refuse what cannot be one with its place in the body, once to have it: a model's fields
stay what JSON has, so that the schema in the API's document is what is checked.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from icn.domain.federation.invitation import LINE_CHARS_MAX
from icn.domain.mesh.model import Status
from icn.domain.records import TEXT_CHARS_MAX
from icn.kernel import limits
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.mana import MANA_MAX
from icn.protocol.libp2p.multiaddr import MULTIADDR_CHARS_MAX

PAGE_ROWS = 50
JOB_SECONDS_MAX = 30 * 86_400
LIFETIME_SECONDS_MAX = 36_525 * 86_400
"""A hundred years."""
NAME_CHARS_MAX = 200
CURSOR_CHARS_MAX = 200
EXPORT_ROOTS_MAX = 64
INVITATION_SECONDS = 7 * 86_400
"""How long an invitation is good for unless told otherwise."""


def _is(parse: Callable[[str], Any]) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parse(text)
        except Invalid as error:
            raise ValueError(str(error)) from error
        return text

    return AfterValidator(check)


def decoded(text: str) -> bytes:
    """The bytes of a base64 field. Raises `Invalid`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("base64", "not the standard base64 encoding of bytes") from error


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a character that cannot be shown")
    return text


ShownText = Annotated[str, AfterValidator(_printable)]
DidText = Annotated[str, Field(max_length=NAME_CHARS_MAX, json_schema_extra={"format": "did"}), _is(Did.parse)]
CidText = Annotated[str, Field(max_length=NAME_CHARS_MAX, json_schema_extra={"format": "cid"}), _is(Cid.parse)]
JobIdText = Annotated[str, Field(max_length=NAME_CHARS_MAX, json_schema_extra={"format": "job-id"}), _is(JobId.parse)]
Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"}), _is(decoded)]


class Body(BaseModel):
    """Of every body: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """Of every query: nothing unknown; values are text and are read as what they should be."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PutBody(Body):
    """Content to store."""

    data: Base64
    codec: Literal["raw", "dag-cbor", "dag-pb"] = "raw"
    pin: bool = False
    ttl_seconds: int | None = Field(default=None, ge=1, le=LIFETIME_SECONDS_MAX)


class CidBody(Body):
    """A block by name."""

    cid: CidText


class PruneBody(Body):
    """How to prune."""

    dry_run: bool = False


class DidBody(Body):
    """Somebody."""

    did: DidText


class ConnectBody(Body):
    """A node to call."""

    address: str = Field(max_length=MULTIADDR_CHARS_MAX)
    """A multiaddr that ends in `/p2p/<peer id>`."""


class InviteBody(Body):
    """An invitation to issue."""

    for_node: DidText | None = None
    expires_seconds: int = Field(
        default=INVITATION_SECONDS, ge=1, le=limits.INVITATION_DAYS_MAX * 86_400, description="from now"
    )
    note: ShownText = Field(default="", max_length=limits.INVITATION_NOTE_CHARS_MAX)
    addresses: list[Annotated[str, Field(max_length=limits.INVITATION_ADDRESS_CHARS_MAX)]] = Field(
        default=[], max_length=limits.INVITATION_ADDRESSES_MAX
    )
    """Multiaddrs where newcomers dial this node; none: where it listens."""


class RevokeBody(Body):
    """An invitation to take back."""

    id: str = Field(pattern="^[0-9a-f]{32}$")


class JoinBody(Body):
    """What to join: one of the two."""

    invitation: str | None = Field(default=None, max_length=LINE_CHARS_MAX + NAME_CHARS_MAX)
    """The line of an invitation."""
    address: str | None = Field(default=None, max_length=limits.INVITATION_ADDRESS_CHARS_MAX)
    """The multiaddr of a member."""


class InitBody(Body):
    """A federation to found."""

    name: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """None: the configured one."""


class LeaveBody(Body):
    """The operator's word, for what cannot be taken back."""

    for_good: Literal[True]


class RemoveBody(Body):
    """A vote to remove a node. It is final, and so is the removal."""

    did: DidText
    reason: ShownText = Field(default="", max_length=limits.REMOVAL_REASON_CHARS_MAX)
    for_good: Literal[True]


class TransferBody(Body):
    """A payment from the caller's account."""

    to: DidText
    amount: int = Field(ge=1, le=MANA_MAX)
    note: str = Field(default="", max_length=limits.NOTE_CHARS_MAX)


class JobIdBody(Body):
    """A job by name."""

    job_id: JobIdText


class SubmitBody(Body):
    """A job to run."""

    module: str | None = Field(default=None, max_length=NAME_CHARS_MAX)
    """The CID of a WASM module; none, or `echo`, for the built-in."""
    args: list[str] = Field(default=[], max_length=limits.JOB_ARGUMENTS_MAX)
    input_base64: Base64 | None = Field(default=None, max_length=limits.JOB_INPUT_BYTES_MAX * 4 // 3 + 4)
    input_cid: CidText | None = None
    max_price: int | None = Field(default=None, ge=1, le=MANA_MAX)
    """Per executor; none: what this node itself would ask."""
    deadline_seconds: int = Field(default=300, ge=1, le=JOB_SECONDS_MAX)
    fuel: int = Field(default=100_000_000, ge=1, le=limits.FUEL_MAX)
    memory_bytes: int = Field(default=64 * limits.MIB, ge=1, le=limits.JOB_MEMORY_BYTES_MAX)
    table_elements: int = Field(default=10_000, ge=1, le=limits.JOB_TABLE_ELEMENTS_MAX)
    wall_ms: int = Field(default=10_000, ge=1, le=limits.JOB_WALL_MS_MAX)
    output_bytes: int = Field(default=limits.MIB, ge=1, le=limits.JOB_OUTPUT_BYTES_MAX)
    capabilities: list[str] = Field(default=[], max_length=limits.JOB_ARGUMENTS_MAX)
    redundancy: int = Field(default=1, ge=1, le=limits.REDUNDANCY_MAX)


class VerifyQuery(Query):
    """How much to verify."""

    deep: bool = False


class BlockQuery(Query):
    """In which form."""

    read: bool = False
    """A signed block as JSON, with its records, instead of its bytes."""


class ExportQuery(Query):
    """What to export."""

    roots: str | None = Field(default=None, max_length=EXPORT_ROOTS_MAX * 64)
    """CIDs, separated by commas; none: everything."""


class ImportQuery(Query):
    """How to keep what is imported."""

    pin: bool = False
    """Pin the content that the file names as its roots."""


class PageQuery(Query):
    """Which page."""

    limit: int = Field(default=PAGE_ROWS, ge=1, le=limits.PAGE_ROWS_MAX)
    cursor: str | None = Field(default=None, max_length=CURSOR_CHARS_MAX)


class BlocksQuery(PageQuery):
    """Which blocks."""

    kind: Literal["content", "signed"] = "content"


class JobsQuery(PageQuery):
    """Which jobs."""

    status: Status | None = None
    payer: DidText | None = None
    since: str | None = Field(default=None, max_length=NAME_CHARS_MAX)
    """Submitted then, or later."""


class EventsQuery(PageQuery):
    """Which events."""

    type: str | None = Field(default=None, max_length=NAME_CHARS_MAX)
    """A full name, `mesh.rollback`, its last part, `rollback`, or its first, `mesh`."""
    since: str | None = Field(default=None, max_length=NAME_CHARS_MAX)
    until: str | None = Field(default=None, max_length=NAME_CHARS_MAX)
    actor: DidText | None = None
    job: JobIdText | None = None
    correlation: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    """Only what the request with this correlation id caused."""
    tail: int | None = Field(default=None, ge=1, le=limits.PAGE_ROWS_MAX)
    """The newest so many, instead of a page from the beginning."""
