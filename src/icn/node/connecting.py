"""A connection that the operator asks for while the node runs: made at once, kept from then on, or refused with why."""

from typing import Protocol

from icn.adapters.network.dialing import DialFailed
from icn.kernel.errors import Invalid, Kind, Refusal
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import Multiaddr


class Caller(Protocol):
    """What is needed of a network."""

    async def connect(self, address: Multiaddr) -> PeerId:
        """Dial now, and keep it connected. Raises `DialFailed`."""


class NoNetwork(Refusal):
    """This node does not talk to others: `network.p2p_enabled` is false."""

    code = "network.disabled"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("this node does not talk to others: network.p2p_enabled is false")


class CannotConnect(Refusal):
    """Somebody answered at the address, and it is not whom it names; or calling it again changes nothing."""

    code = "network.cannot_connect"
    kind = Kind.CONFLICT

    def __init__(self, address: str, why: str) -> None:
        self.address = address
        self.why = why
        super().__init__(f"{address} is not connected: {why}")


class NobodyAnswers(Refusal):
    """The address was called, and nobody answered. It is not called again by itself."""

    code = "network.nobody_answers"
    kind = Kind.UNAVAILABLE

    def __init__(self, address: str, why: str) -> None:
        self.address = address
        self.why = why
        super().__init__(f"{address} is not connected: {why}")


async def connect(network: Caller | None, text: str) -> tuple[PeerId, Multiaddr]:
    """Call a multiaddr that an operator gave, and keep it connected while the node runs.

    Raises:
        Invalid: it is no multiaddr with a port and a peer id.
        NoNetwork, CannotConnect, NobodyAnswers: as they say.
    """
    address = Multiaddr.parse(text)
    if address.peer is None:
        raise Invalid("address", "does not end in /p2p/<peer id>, so the peer could not be told from an impostor")
    if address.port == 0:
        raise Invalid("address", "has port 0; the port on which the peer listens belongs there")
    if network is None:
        raise NoNetwork
    try:
        return await network.connect(address), address
    except DialFailed as error:
        raise (CannotConnect if error.lasting else NobodyAnswers)(str(address), str(error)) from error
