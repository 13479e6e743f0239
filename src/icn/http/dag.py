"""Content and blocks."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from icn.http.bodies import CidBody, PutBody, VerifyQuery, decoded
from icn.http.operations import Call, Operation, shown
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.services.answers import Refused
from icn.services.commands import FetchContent, PutContent
from icn.services.content import ContentNotFound
from icn.services.queries import dag
from icn.services.queries.dag import BlockView, RootView, StoredContent
from icn.services.verify import Report, verify

CODEC_NAMES = {RAW: "raw", DAG_CBOR: "dag-cbor"}
_CODECS = {name: codec for codec, name in CODEC_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Put:
    """A stored content block."""

    cid: Cid
    size: int


@dataclass(frozen=True, slots=True)
class Got:
    """A block's bytes."""

    cid: Cid
    codec: str
    size: int
    data: bytes
    signed: bool


async def put(call: Call) -> Response:
    """Store a content block. Putting it again changes nothing."""
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
    """A signed block, read."""
    cid = Cid.parse(call.path("cid"))
    return shown(await call.read_aside(lambda reader: dag.block(reader, cid)))


async def check(call: Call) -> Response:
    """Verify the store, shallow or deep, with every finding."""
    deep = call.query(VerifyQuery).deep
    return shown(await call.read_aside(lambda reader: verify(reader, call.node.did, deep=deep)))


OPERATIONS = (
    Operation("POST", "/dag/put", put, "Store content", Put, status=HTTPStatus.CREATED, body=PutBody, writes=True),
    Operation("POST", "/dag/get", get, "Content or a block by name", Got, body=CidBody),
    Operation("GET", "/dag/root", root, "The DAG root and the heads", RootView),
    Operation("GET", "/dag/blocks/{cid}", block, "A signed block, read", BlockView),
    Operation("GET", "/dag/verify", check, "Verify what is stored", Report, query=VerifyQuery),
)
