"""A py-libp2p node that obeys: one command per line of standard input, one answer or event per line of standard output,
both JSON, as tests/interop/js/node.mjs has them. It ends when its standard input does.

Runs in an environment of its own (tests/interop/setup.sh), never in ours.
"""

import json
import sys
import time
from importlib import metadata

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host import basic_host
from libp2p.host.ping import PingService
from libp2p.identity.identify_push import identify_push
from libp2p.kad_dht import kad_dht, peer_routing, provider_store, value_store
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

ECHO = TProtocol("/icn/test/echo/1")
KADEMLIA = TProtocol("/icn/kad/1.0.0")
MESH = [TProtocol("/meshsub/1.1.0"), TProtocol("/meshsub/1.0.0")]
CHUNK_BYTES = 1 << 16
PATIENCE_S = 30


def tell(said):
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def watch_identify():
    """Tell what peers say of themselves; the implementation keeps some of it and tells nobody."""
    for module, event in ((basic_host, "identify"), (identify_push, "pushed")):
        keep = module.update_peerstore_from_identify

        async def watched(peerstore, peer, message, keep=keep, event=event):
            await keep(peerstore, peer, message)
            tell(
                {
                    "event": event,
                    "peer": str(peer),
                    "agent": message.agent_version,
                    "protocols": list(message.protocols),
                    "added": list(message.protocols),
                    "record": peerstore.get_peer_record(peer) is not None,
                }
            )

        module.update_peerstore_from_identify = watched


class Node:
    def __init__(self, host, pubsub, dht, nursery):
        self.host, self.pubsub, self.dht, self.nursery = host, pubsub, dht, nursery

    async def reach(self, address):
        info = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(info)
        return info.peer_id

    async def echoed(self, peer, count):
        stream = await self.host.new_stream(peer, [ECHO])
        sent = bytes(at * 31 & 255 for at in range(256)) * (count // 256 + 1)
        sent = sent[:count]

        async def write():
            for at in range(0, count, CHUNK_BYTES):
                await stream.write(sent[at : at + CHUNK_BYTES])

        got = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while len(got) < count:
                chunk = await stream.read(CHUNK_BYTES)
                if not chunk:
                    break
                got += chunk
        await stream.close()
        return bytes(got) == sent

    async def dial(self, address):
        peer = await self.reach(address)
        [connection] = self.host.get_network().get_connections(peer)
        return {
            "peer": str(peer),
            "encryption": str(connection.get_negotiated_security_protocol()),
            "muxer": str(connection.get_negotiated_muxer_protocol()),
        }

    async def ping(self, address):
        [microseconds] = await PingService(self.host).ping(await self.reach(address), 1)
        return {"ms": microseconds / 1000}

    async def echo(self, address, count):
        return {"same": await self.echoed(await self.reach(address), count)}

    async def echoes(self, address, streams):
        peer, same = await self.reach(address), []

        async def one():
            same.append(await self.echoed(peer, 200))

        async with trio.open_nursery() as nursery:
            for _ in range(streams):
                nursery.start_soon(one)
        return {"same": all(same)}

    async def serve(self, protocol):
        async def ended(stream):
            await stream.close()

        self.host.set_stream_handler(TProtocol(protocol), ended)
        await identify_push.push_identify_to_peers(self.host)
        return {}

    async def subscribe(self, topic):
        while not self.pubsub.peers:  # noqa: ASYNC110 - it tells nobody whom it has no stream to, then or later
            await trio.sleep(0.01)
        subscription = await self.pubsub.subscribe(topic)

        async def read():
            async for message in subscription:
                tell(
                    {
                        "event": "message",
                        "topic": message.topicIDs[0],
                        "from": str(ID(message.from_id)),
                        "data": message.data.decode(),
                    }
                )

        self.nursery.start_soon(read)
        return {}

    async def publish(self, topic, data):
        await self.pubsub.publish(topic, data.encode())
        return {}

    async def listening(self, topic):
        return {"peers": [str(peer) for peer in self.pubsub.peer_topics.get(topic, ())]}

    async def find(self, peer):
        found = await self.dht.find_peer(ID.from_base58(peer))
        return {"addresses": [str(address) for address in found.addrs] if found else []}

    async def obey(self, command):
        number, name = command.pop("number"), command.pop("name")
        try:
            with trio.fail_after(PATIENCE_S):
                answer = await getattr(self, name)(**command)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test that asked is told
            tell({"answer": number, "ok": False, "error": repr(error)})
        else:
            tell({"answer": number, "ok": True, **answer})


async def echo(stream):
    try:
        while chunk := await stream.read(CHUNK_BYTES):
            await stream.write(chunk)
        await stream.close()
    except StreamError:
        await stream.reset()


class Gone:
    """Tells who is no longer connected."""

    async def disconnected(self, _network, connection):
        tell({"event": "disconnect", "peer": str(connection.muxed_conn.peer_id)})

    async def connected(self, *_):
        pass

    opened_stream = closed_stream = listen = listen_close = connected


async def main():
    watch_identify()
    for module in (kad_dht, peer_routing, provider_store, value_store):
        module.PROTOCOL_ID = KADEMLIA
    keys = create_new_key_pair()
    security = {NOISE: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)}
    host = new_host(key_pair=keys, sec_opt=security, muxer_opt={TProtocol(YAMUX): Yamux})
    # Its own bound on messages a second is below what one test sends.
    gossip = GossipSub(
        protocols=MESH, degree=6, degree_low=5, degree_high=12, heartbeat_interval=1, spam_protection_enabled=False
    )
    pubsub = Pubsub(host, gossip)
    # Its sequence numbers would begin at 0 with every start, and others would take its messages for repetitions.
    pubsub.counter = time.time_ns()
    dht = KadDHT(host, DHTMode.SERVER, protocol_prefix=TProtocol("/icn"))
    host.set_stream_handler(ECHO, echo)
    async with (
        host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]),
        background_trio_service(pubsub),
        background_trio_service(gossip),
        background_trio_service(dht),
        trio.open_nursery() as nursery,
    ):
        await pubsub.wait_until_ready()
        host.get_network().register_notifee(Gone())
        node = Node(host, pubsub, dht, nursery)
        [address] = host.get_addrs()
        tell(
            {
                "event": "ready",
                "peer": str(host.get_id()),
                "addresses": [str(address)],
                "version": metadata.version("libp2p"),
            }
        )
        async for line in trio.wrap_file(sys.stdin):
            nursery.start_soon(node.obey, json.loads(line))
        nursery.cancel_scope.cancel()


trio.run(main)
