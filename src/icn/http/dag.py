"""Content and blocks."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from icn.http.bodies import BlockQuery, BlocksQuery, CidBody, PageQuery, PruneBody, PutBody, VerifyQuery, decoded
from icn.http.operations import Call, Operation, paged, shown, sliced
from icn.kernel.ids import DAG_CBOR, DAG_PB, RAW, Cid
from icn.services.answers import Refused
from icn.services.commands import FetchContent, PinContent, PruneContent, PutContent
from icn.services.content import ContentNotFound
from icn.services.findings import Report
from icn.services.queries import dag, forks, stored
from icn.services.queries.dag import RootView, StoredContent
from icn.services.queries.forks import ForkView
from icn.services.queries.stored import BlockLine, BlockMetaView, DagStatus
from icn.services.verify import verify

CODEC_NAMES = {RAW: "raw", DAG_CBOR: "dag-cbor", DAG_PB: "dag-pb"}
_CODECS = {name: codec for codec, name in CODEC_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Put:
    """A stored content block, and what holds for it now: it may have been here before."""

    cid: Cid
    size: int
    new: bool
    pinned: bool
    seconds_left: int | None
    """Until pruning may remove it; none while it is pinned."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A content block's pin."""

    cid: Cid
    pinned: bool
    seconds_left: int | None
    """Until pruning may remove it; none while it is pinned."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a round of pruning removed, or would."""

    dry_run: bool
    examined: int
    removed: int
    removed_bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What is stored, and in which state."""

    dag: DagStatus
    blocks_damaged: int
    """Known to be damaged, and not mended yet."""


@dataclass(frozen=True, slots=True)
class Got:
    """A block's bytes."""

    cid: Cid
    codec: str
    size: int
    data: bytes
    signed: bool


async def put(call: Call) -> Response:
    """Store a content block. Putting it again adds a pin or a longer lifetime, and takes nothing away."""
    body = call.body(PutBody)
    data = await asyncio.to_thread(decoded, body.data)
    lifetime_ms = None if body.ttl_seconds is None else body.ttl_seconds * 1000
    command = PutContent(data, _CODECS[body.codec], body.pin, lifetime_ms)
    return await call.submit(command, HTTPStatus.CREATED)


async def get(call: Call) -> Response:
    """A block's bytes, from a peer if they are not here."""
    cid = Cid.parse(call.body(CidBody).cid)
    found = await fetched(call, cid)
    if isinstance(found, Response):
        return found
    return shown(Got(cid, CODEC_NAMES[cid.codec], len(found.data), found.data, found.signed))


async def fetched(call: Call, cid: Cid) -> StoredContent | Response:
    """The bytes of `cid`, fetched if need be; or the answer that says why not."""
    with call.committed() as reader:
        found = dag.content(reader, cid)
    if found is not None:
        return found
    answer = await call.node.submit(
        FetchContent(cid), principal=call.principal, key="", digest=b"", correlation=call.correlation
    )
    if isinstance(answer, Refused):
        return call.refuse(answer)
    with call.committed() as reader:
        found = dag.content(reader, cid)
    if found is None:  # it was here, and pruned since
        raise ContentNotFound(cid)
    return found


async def root(call: Call) -> Response:
    """The DAG root and every feed's head."""
    with call.committed() as reader:
        return shown(dag.root(reader))


async def block(call: Call) -> Response:
    """A block's bytes under their media type, from a peer if they are not here; or a signed block, read."""
    cid = Cid.parse(call.path("cid"))
    if call.query(BlockQuery).read:
        return shown(await call.read_aside(lambda reader: dag.block(reader, cid)))
    found = await fetched(call, cid)
    if isinstance(found, Response):
        return found
    headers = {"x-content-cid": str(cid), "x-content-type-options": "nosniff"}
    return sliced(found.data, f"application/vnd.ipld.{CODEC_NAMES[cid.codec]}", headers)


async def pin(call: Call) -> Response:
    """Keep content until it is unpinned. It is fetched from a peer if it is not here."""
    cid = Cid.parse(call.body(CidBody).cid)
    found = await fetched(call, cid)
    return found if isinstance(found, Response) else await call.submit(PinContent(cid, pinned=True))


async def unpin(call: Call) -> Response:
    """Keep content no longer than its lifetime, or what refers to it, asks for."""
    return await call.submit(PinContent(Cid.parse(call.body(CidBody).cid), pinned=False))


async def prune(call: Call) -> Response:
    """Remove content that nobody needs, and say how much; or only say."""
    return await call.submit(PruneContent(call.body(PruneBody).dry_run))


async def meta(call: Call) -> Response:
    """What is known of a block beside its bytes."""
    cid = Cid.parse(call.body(CidBody).cid)
    return shown(await call.read_aside(lambda reader: stored.meta(reader, cid)))


async def listed(call: Call) -> Response:
    """Blocks of one kind, in the order this node got or changed them."""
    query = call.query(BlocksQuery)
    page = stored.signed_blocks if query.kind == "signed" else stored.content_blocks
    return paged(await call.read_aside(lambda reader: page(reader, limit=query.limit, cursor=query.cursor)))


async def status(call: Call) -> Response:
    """What is stored, and how its integrity is known."""
    found = await call.read_aside(stored.status)
    return shown(StoreStatus(found, call.node.live().blocks_damaged))


async def evidence(call: Call) -> Response:
    """Members that signed two histories, with the blocks that prove it."""
    query = call.query(PageQuery)
    return paged(await call.read_aside(lambda reader: forks.forks(reader, limit=query.limit, cursor=query.cursor)))


async def check(call: Call) -> Response:
    """Verify the store, shallow or deep, with every finding."""
    deep = call.query(VerifyQuery).deep
    return shown(await call.read_aside(lambda reader: verify(reader, call.node.did, deep=deep)))


OPERATIONS = (
    Operation("POST", "/dag/put", put, "Store content", Put, status=HTTPStatus.CREATED, body=PutBody, writes=True),
    Operation("POST", "/dag/get", get, "Content or a block by name", Got, body=CidBody),
    Operation("GET", "/dag/root", root, "The DAG root and the heads", RootView),
    Operation("POST", "/dag/meta", meta, "What is known of a block beside its bytes", BlockMetaView, body=CidBody),
    Operation("POST", "/dag/pin", pin, "Keep content until it is unpinned", Pinned, body=CidBody, writes=True),
    Operation("POST", "/dag/unpin", unpin, "Take away a pin", Pinned, body=CidBody, writes=True),
    Operation("POST", "/dag/prune", prune, "Remove content that nobody needs", Pruned, body=PruneBody, writes=True),
    Operation("GET", "/dag/blocks", listed, "Blocks of one kind", BlockLine, query=BlocksQuery),
    Operation(
        "GET",
        "/dag/blocks/{cid}",
        block,
        "A block's bytes; with `read`, a signed block as JSON",
        {"type": "string", "format": "binary"},
        query=BlockQuery,
        media_type="application/vnd.ipld.raw",
    ),
    Operation("GET", "/dag/status", status, "What is stored, and in which state", StoreStatus),
    Operation("GET", "/dag/evidence", evidence, "Members that signed two histories", ForkView, query=PageQuery),
    Operation("GET", "/dag/verify", check, "Verify what is stored", Report, query=VerifyQuery),
)
