"""Executors that this node has banned from its jobs."""

from dataclasses import dataclass

from starlette.responses import Response

from icn.http.bodies import DidBody, PageQuery
from icn.http.operations import Call, Operation, paged
from icn.kernel.ids import Cid, Did
from icn.services.commands import ClearBan
from icn.services.queries import blacklist
from icn.services.queries.blacklist import BlacklistLine


@dataclass(frozen=True, slots=True)
class Cleared:
    """An executor that gets jobs of this node again."""

    executor: Did
    cleared: bool
    block: Cid


async def listed(call: Call) -> Response:
    """Who is on the blacklist, why, and for how long."""
    query, now = call.query(PageQuery), call.node.now()
    return paged(
        await call.read_aside(
            lambda reader: blacklist.blacklist(reader, call.node.did, now, limit=query.limit, cursor=query.cursor)
        )
    )


async def clear(call: Call) -> Response:
    """End a ban before its time, and forget failures in a row."""
    return await call.submit(ClearBan(Did.parse(call.body(DidBody).did)))


OPERATIONS = (
    Operation("GET", "/mesh/blacklist", listed, "Banned executors, and for how long", BlacklistLine, query=PageQuery),
    Operation("POST", "/mesh/blacklist/clear", clear, "Clear a ban", Cleared, body=DidBody, writes=True),
)
