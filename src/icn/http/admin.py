"""What only the operator says: that a held node may write again."""

from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response

from icn.http.bodies import Body
from icn.http.operations import Call, Operation
from icn.services.commands import ResumeAuthoring


class ResumeBody(Body):
    """The operator's word."""

    no_newer_blocks: Literal[True]
    """That no block of this node exists anywhere that is not in its store."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The node writes."""

    was_held: bool


async def resume(call: Call) -> Response:
    """Release a held node."""
    call.body(ResumeBody)
    return await call.submit(ResumeAuthoring())


OPERATIONS = (
    Operation(
        "POST",
        "/admin/resume",
        resume,
        "Let a node write again whose store was put back",
        Resumed,
        body=ResumeBody,
        writes=True,
    ),
)
