"""Where the node is that decides, for a caller who asked another one."""

from icn.domain.ledger.refusals import NotHome
from icn.http.ports import PeersInfo
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did, PeerId
from icn.services.answers import Refused

ADDRESSES_MAX = 8


def home_addresses(answer: Refused, peers: PeersInfo) -> dict[str, list[str]]:
    """For a refusal that names another home: the addresses at which this node reaches it. Nothing for others.

    They are addresses of the network between nodes: where a home serves its API is its operator's affair.
    """
    if answer.code != NotHome.code:
        return {}
    try:
        home = Did.parse(str(answer.fields.get("home")))
    except Invalid:
        return {}
    suffix = f"/p2p/{PeerId.of(home)}"
    dialled = [peer.address for peer in peers.items if peer.did == home and peer.direction == "outbound"]
    known = [state.address for state in peers.dialing if state.address.endswith(suffix)]
    addresses = dict.fromkeys(a if a.endswith(suffix) else a + suffix for a in (*dialled, *known))
    return {"home_addresses": list(addresses)[:ADDRESSES_MAX]}
