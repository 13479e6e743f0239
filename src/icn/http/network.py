"""Peers."""

from dataclasses import dataclass

from starlette.responses import Response

from icn.http.bodies import ConnectBody
from icn.http.operations import Call, Operation, shown
from icn.http.ports import Connected, PeersInfo
from icn.kernel.ids import PeerId


@dataclass(frozen=True, slots=True)
class LocalPeer:
    """How others reach this node."""

    peer_id: PeerId
    addresses: tuple[str, ...]


async def local_peer_id(call: Call) -> Response:
    """How others reach this node."""
    return shown(LocalPeer(PeerId.of(call.node.did), call.node.p2p_addresses()))


async def peers(call: Call) -> Response:
    """Connected peers, and addresses that are dialled."""
    return shown(call.node.peers())


async def connect(call: Call) -> Response:
    """Answers when the node is connected, or says why it is not. It is called once; connected, it is kept so."""
    return shown(await call.node.connect(call.body(ConnectBody).address))


OPERATIONS = (
    Operation("GET", "/network/local-peer-id", local_peer_id, "How others reach this node", LocalPeer),
    Operation("GET", "/network/peers", peers, "Connected peers and addresses dialled", PeersInfo),
    Operation("POST", "/network/connect", connect, "Call a node and keep it connected", Connected, body=ConnectBody),
)
