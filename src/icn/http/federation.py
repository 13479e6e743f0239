"""Membership."""

from dataclasses import dataclass

from starlette.responses import Response

from icn.http.bodies import DidBody
from icn.http.operations import Call, Operation, shown
from icn.kernel.ids import Cid, Did
from icn.services.commands import Admit
from icn.services.queries import membership
from icn.services.queries.membership import FederationView


@dataclass(frozen=True, slots=True)
class Admitted:
    """A node that this one vouches for."""

    node: Did
    admitted: bool
    block: Cid


async def status(call: Call) -> Response:
    """The federation, its policy and its members."""
    with call.committed() as reader:
        return shown(membership.federation(reader, call.node.did, joins=call.node.facts.joins))


async def admit(call: Call) -> Response:
    """Vouch for a node."""
    return await call.submit(Admit(Did.parse(call.body(DidBody).did)))


OPERATIONS = (
    Operation("GET", "/federation/status", status, "The federation and its members", FederationView),
    Operation("POST", "/federation/admit", admit, "Vouch for a node", Admitted, body=DidBody, writes=True),
)
