"""Membership."""

from dataclasses import dataclass, replace
from http import HTTPStatus

from starlette.responses import Response

from icn.domain.federation.invitation import open_invitation, read_line
from icn.http.bodies import DidBody, InitBody, InviteBody, JoinBody, LeaveBody, RemoveBody, RevokeBody
from icn.http.operations import Call, Operation, shown
from icn.http.ports import PeerInfo
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import seconds
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.services.commands import Admit, Init, Invite, Join, Leave, Remove, Revoke
from icn.services.queries import membership
from icn.services.queries.membership import FederationView, InvitationsView, MembersView
from icn.stores.joining import Aim


@dataclass(frozen=True, slots=True)
class Admitted:
    """A node that this one vouches for, or has voted for."""

    node: Did
    admitted: bool
    """False where members vote and more votes are needed."""
    votes: int
    votes_missing: int
    block: Cid


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation. Whoever has the line can join, once: it is handed over like a key."""

    id: str
    line: str
    expires_at_ms: int
    """Milliseconds since 1970."""
    for_node: Did | None
    addresses: tuple[str, ...]
    """Where the newcomer will look for this node."""
    block: Cid


@dataclass(frozen=True, slots=True)
class Revoked:
    """An invitation that nobody can use any more."""

    id: str
    revoked: bool
    block: Cid


@dataclass(frozen=True, slots=True)
class Joining:
    """The node joins a federation, or founds one; perhaps after it has given up another."""

    state: str
    """What happens, or what is waited for."""


@dataclass(frozen=True, slots=True)
class Left:
    """This node's feed in the federation has ended."""

    node: Did
    left: bool
    block: Cid


@dataclass(frozen=True, slots=True)
class RemovalVote:
    """This node's vote to remove another one. Once none is missing the node is removed, at once and for good."""

    node: Did
    votes: int
    """Members that have voted so, this one among them."""
    votes_missing: int
    block: Cid


@dataclass(frozen=True, slots=True)
class FederationPeers:
    """Connected nodes of this federation."""

    items: tuple[PeerInfo, ...]


async def status(call: Call) -> Response:
    """The federation, its policy and its members."""
    waiting = call.node.live().joining
    with call.committed() as reader:
        joins = call.node.facts.joins
        return shown(membership.federation(reader, call.node.did, joins=joins, waiting_for=waiting))


async def members(call: Call) -> Response:
    """The nodes of the federation."""
    with call.committed() as reader:
        return shown(membership.members(reader))


async def peers(call: Call) -> Response:
    """Connected nodes of this federation: those whose blocks are compared with ours."""
    return shown(FederationPeers(tuple(peer for peer in call.node.peers().items if peer.in_sync is not None)))


async def invitations(call: Call) -> Response:
    """The invitations of this node."""
    now = call.node.now()
    return shown(await call.read_aside(lambda reader: membership.invitations(reader, call.node.did, now)))


async def admit(call: Call) -> Response:
    """Vouch for a node."""
    return await call.submit(Admit(Did.parse(call.body(DidBody).did)))


async def invite(call: Call) -> Response:
    """Issue an invitation."""
    asked = call.body(InviteBody)
    for_node = None if asked.for_node is None else Did.parse(asked.for_node)
    addresses = tuple(asked.addresses) or call.node.p2p_addresses()
    return await call.submit(
        Invite(seconds(asked.expires_seconds), for_node, asked.note, addresses), status=HTTPStatus.CREATED
    )


async def revoke(call: Call) -> Response:
    """Take an invitation back."""
    return await call.submit(Revoke(bytes.fromhex(call.body(RevokeBody).id)))


async def join(call: Call) -> Response:
    """Join a federation: by an invitation, or by the address of a member."""
    return await call.submit(Join(_aim(call.body(JoinBody))), status=HTTPStatus.ACCEPTED)


async def init(call: Call) -> Response:
    """Found a federation."""
    name = call.body(InitBody).name
    founding = call.node.founding
    return await call.submit(
        Init(founding if name is None else replace(founding, name=name)), status=HTTPStatus.ACCEPTED
    )


async def leave(call: Call) -> Response:
    """Leave the federation, for good."""
    call.body(LeaveBody)
    return await call.submit(Leave())


async def remove(call: Call) -> Response:
    """Vote to remove a node, for good."""
    asked = call.body(RemoveBody)
    return await call.submit(Remove(Did.parse(asked.did), asked.reason))


def _aim(asked: JoinBody) -> Aim:
    if (asked.invitation is None) == (asked.address is None):
        raise Invalid("join", "name one: an invitation, or the address of a member")
    if asked.invitation is not None:
        data = read_line(asked.invitation)
        return Aim(open_invitation(data).addresses, data)
    address = Multiaddr.parse(asked.address or "")
    if address.peer is None:
        raise Invalid("address", "it does not end in /p2p/<peer id>, so the member could not be told from an impostor")
    return Aim((str(address),), b"")


OPERATIONS = (
    Operation("GET", "/federation/status", status, "The federation and its members", FederationView),
    Operation("GET", "/federation/members", members, "The nodes of the federation", MembersView),
    Operation("GET", "/federation/peers", peers, "Connected nodes of the federation", FederationPeers),
    Operation("GET", "/federation/invitations", invitations, "Invitations that this node issued", InvitationsView),
    Operation(
        "POST", "/federation/admit", admit, "Vouch for a node, or vote for it", Admitted, body=DidBody, writes=True
    ),
    Operation(
        "POST",
        "/federation/invite",
        invite,
        "Issue an invitation, good for one node",
        Invited,
        status=HTTPStatus.CREATED,
        body=InviteBody,
        writes=True,
    ),
    Operation(
        "POST",
        "/federation/invitations/revoke",
        revoke,
        "Take an invitation back",
        Revoked,
        body=RevokeBody,
        writes=True,
    ),
    Operation(
        "POST",
        "/federation/join",
        join,
        "Join a federation",
        Joining,
        status=HTTPStatus.ACCEPTED,
        body=JoinBody,
        writes=True,
    ),
    Operation(
        "POST",
        "/federation/init",
        init,
        "Found a federation, and give up the one this node is alone in, or has left",
        Joining,
        status=HTTPStatus.ACCEPTED,
        body=InitBody,
        writes=True,
    ),
    Operation(
        "POST",
        "/federation/leave",
        leave,
        "Leave the federation: this key's feed in it ends",
        Left,
        body=LeaveBody,
        writes=True,
    ),
    Operation(
        "POST",
        "/federation/remove",
        remove,
        "Vote to remove a node: with the votes of more than half of all members its feed ends",
        RemovalVote,
        body=RemoveBody,
        writes=True,
    ),
)
