"""A node process for hostile tests: the real network with short deadlines, and nothing else.

Prints its address on standard output, then lives until standard input closes; each line of it before that is answered
with a line of JSON, what the node thinks of its peers. A listener's exception, or any other bug that reaches the event
loop, is printed as `FAULT` and fails the test that reads it.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

import uvloop

from icn.adapters.network.ports import Delivery
from icn.adapters.network.settings import NetworkSettings
from icn.adapters.network.stream import RawStream
from icn.adapters.network.tcp import Libp2pNetwork
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.settings import GossipSettings, OverlaySettings, RouterSettings
from icn.protocol.libp2p.limits import ConnectionLimits
from support.libp2p_network import ANY_PORT, MESSAGE_BYTES_MAX, OTHER, PROTOCOL, RepeatableEntropy, clock, signer

FLOOD = "/icn/test/flood/1"
"""Sends for ever to whoever opens it."""
UNREAD = "/icn/test/unread/1"
"""Never reads."""
TOPIC = "icn/test/hostile"
"""Subscribed to. Whatever comes is accepted, and so travels on."""
HANDSHAKE_MS = 1_500
LIMITS = ConnectionLimits(handshake_ms_max=HANDSHAKE_MS)
GOSSIP = RouterSettings(OverlaySettings(heartbeat_ms=100), GossipSettings(follow_up_ms=500))


class Silent:
    """Takes what comes, and answers every message to its sender so that the sending side is exercised too."""

    def __init__(self) -> None:
        self.network: Libp2pNetwork | None = None

    def peer_up(self, peer: PeerId, address: str) -> None:
        pass

    def peer_down(self, peer: PeerId, reason: str) -> None:
        pass

    def message(self, peer: PeerId, protocol: str, payload: bytes) -> None:
        if self.network:
            self.network.send(peer, protocol, payload)

    def speaks(self, peer: PeerId, protocols: tuple[str, ...]) -> None:
        pass

    def delivered(self, delivery: Delivery) -> None:
        if self.network:
            self.network.judge(delivery.token, Verdict.ACCEPT)


async def flood(stream: RawStream) -> None:
    while True:
        await stream.write(bytes(65_536))


async def never_read(_stream: RawStream) -> None:
    await asyncio.Event().wait()


def state(network: Libp2pNetwork) -> dict[str, Any]:
    """How publications fare, and the score of each peer that is connected."""
    figures = network.figures()
    return {
        "gossip": asdict(figures.gossip),
        "scores": {str(peer.peer): peer.score for peer in network.peers()},
        "records": {str(peer.peer): peer.record is not None for peer in network.peers()},
        "contacts": figures.contacts,
        "known": figures.known,
        "dialled": len(network.dial_states()),
    }


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: print("FAULT", repr(context), flush=True))
    settings = NetworkSettings(listen=(ANY_PORT,), agent="icn/hostile-test", limits=LIMITS, gossip=GOSSIP)
    spoken = {PROTOCOL: MESSAGE_BYTES_MAX, OTHER: 1024}
    network = Libp2pNetwork(settings, signer("server"), RepeatableEntropy("server"), clock, spoken)
    network.handle(FLOOD, flood)
    network.handle(UNREAD, never_read)
    network.subscribe(TOPIC)
    listener = Silent()
    listener.network = network
    await network.start(listener)
    print(network.listen_addresses[0], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(state(network)), flush=True)
    await network.stop()


if __name__ == "__main__":
    uvloop.run(main())
