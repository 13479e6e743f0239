"""The decoders behind peers' own streams: gossip, Kademlia, signed peer records; and the machines that act on them."""

from dataclasses import replace
from random import Random

from fuzz.target import REFUSALS, Target, pieces
from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p import mdns, routing_record
from icn.protocol.libp2p.gossipsub import rpc, signing
from icn.protocol.libp2p.gossipsub.effects import Deliver
from icn.protocol.libp2p.gossipsub.inputs import Judge, PeerJoined, RpcReceived, Subscribe, Tick, Verdict
from icn.protocol.libp2p.gossipsub.router import Router
from icn.protocol.libp2p.gossipsub.rpc import Graft, IHave, IWant, Prune, Rpc, Subscription
from icn.protocol.libp2p.gossipsub.settings import MESHSUB_1_1, RouterSettings
from icn.protocol.libp2p.kademlia import messages, serving
from icn.protocol.libp2p.kademlia.machine import Ask, Kademlia
from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo, Reach
from icn.protocol.libp2p.kademlia.settings import ADDRESSES_PER_PEER_MAX, PEERS_PER_MESSAGE_MAX, KademliaSettings
from icn.protocol.libp2p.multiaddr import Multiaddr

OURS, THEIRS, OTHERS = SeedSigner(b"o" * 32), SeedSigner(b"t" * 32), SeedSigner(b"x" * 32)
PEER, OTHER = PeerId.of(THEIRS.did), PeerId.of(OTHERS.did)
TOPIC = "topic"
ADDRESS = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
HOST = "127.0.0.1"


def read_record(data: bytes) -> None:
    """Who is named has signed."""
    record = routing_record.verify(data)
    assert record.envelope == data
    assert len(record.addresses) <= routing_record.ADDRESSES_MAX


def record_seeds() -> list[bytes]:
    return [routing_record.make(THEIRS, 7, (ADDRESS, Multiaddr.parse("/dns4/a.example/tcp/1"))).envelope]


def read_rpc(data: bytes) -> None:
    """What was understood can be said again, and means the same; so it is with each message in it. Controls that came
    in several parts are said in one, kind by kind."""
    understood = rpc.decode(data)
    controls = sorted(understood.controls, key=lambda one: (IHave, IWant, Graft, Prune).index(type(one)))
    assert rpc.decode(rpc.encode(understood)) == replace(understood, controls=tuple(controls))
    for message in understood.messages:
        try:
            publication = signing.read(message)
            signing.check_signature(publication)
        except REFUSALS:
            continue
        assert publication.raw == message


def publication() -> signing.Publication:
    """A signed one."""
    return signing.sign(THEIRS, b"\0" * 8, TOPIC, b"payload")


def rpc_seeds() -> list[bytes]:
    subscriptions = (Subscription(TOPIC, subscribe=True), Subscription("other", subscribe=False))
    identifier = publication().id
    controls = (IHave(TOPIC, (identifier, b"id")), IWant((identifier,)), Graft(TOPIC), Prune(TOPIC, 60), Prune(TOPIC))
    said = [Rpc(subscriptions), Rpc(messages=(publication().raw,)), *(Rpc(controls=(one,)) for one in controls)]
    return [rpc.encode(one) for one in [*said, Rpc(subscriptions, (publication().raw,), controls)]]


def act_on_gossip(data: bytes) -> None:
    """A peer's RPCs, one after the other, and time: the router goes on, and only what was signed is delivered."""
    router = Router(RouterSettings(), OURS, Random(1), Random(2).randbytes)
    router.handle(Subscribe(TOPIC), 0)
    for peer in (PEER, OTHER):
        router.handle(PeerJoined(peer, MESHSUB_1_1, outbound=True, origin=HOST), 0)
    for turn, piece in enumerate(pieces(data), start=1):
        for effect in router.handle(RpcReceived((PEER, OTHER)[turn % 2], piece), turn * 400):
            if isinstance(effect, Deliver):
                assert effect.topic == TOPIC
                router.handle(Judge(effect.message, list(Verdict)[turn % 3]), turn * 400)
        router.handle(Tick(), turn * 400)


def gossip_seeds() -> list[bytes]:
    return [bytes([size]) + seed for seed in rpc_seeds() for size in (0, len(seed) & 255)]


def read_kademlia(data: bytes) -> None:
    """What was understood can be said again, and means the same."""
    message = messages.decode(data)
    assert len(message.closer) <= PEERS_PER_MESSAGE_MAX
    assert all(len(info.addresses) <= ADDRESSES_PER_PEER_MAX for info in (*message.closer, *message.providers))
    again = messages.decode(messages.encode(message))
    assert (again.kind, again.key, again.closer, again.providers) == (
        *(message.kind, message.key, message.closer, message.providers),
    )


def kademlia_seeds() -> list[bytes]:
    info = PeerInfo(OTHER, (ADDRESS,), Reach.CONNECTED)
    return [
        messages.encode(Message(Kind.FIND_NODE, PEER.multihash)),
        messages.encode(Message(Kind.FIND_NODE, PEER.multihash, closer=(info, info))),
        messages.encode(Message(Kind.GET_PROVIDERS, b"key", closer=(info,), providers=(info,))),
        *(messages.encode(Message(kind, b"key")) for kind in Kind),
    ]


def act_on_kademlia(data: bytes) -> None:
    """As an answer to what we asked, and as a request: the machine goes on, and never believes that we are another."""
    ours = PeerId.of(OURS.did)
    machine = Kademlia(ours, KademliaSettings(), b"secret")
    machine.met(PeerInfo(PEER, (ADDRESS,)), HOST, 0)
    begun = machine.find(OTHER, 1)
    assert begun is not None
    asked = [effect.number for effect in begun[1] if isinstance(effect, Ask)]
    message = messages.decode(data)
    for number in asked:
        machine.answered(number, message, HOST, 2)
    machine.tick(60_000)
    assert ours not in [contact.peer for contact in machine.contacts]
    try:
        answer = machine.serve(message, PEER, HOST, PeerInfo(ours, (ADDRESS,)), 60_001)
    except serving.Refused:
        return
    if answer is not None:
        messages.decode(messages.encode(answer))


def hear_mdns(data: bytes) -> None:
    """A datagram of the local network: it is answered at most once, and nobody is told of without an address."""
    machine = mdns.Mdns(PeerId.of(OURS.did), b"ours")
    reply, heard = machine.receive(data, (ADDRESS,), 0)
    assert reply is None or not heard
    assert sum(len(one.addresses) for one in heard) <= mdns.ADDRESSES_MAX
    assert all(one.addresses and one.peer != PeerId.of(OURS.did) for one in heard)
    assert machine.receive(data, (ADDRESS,), 1)[0] is None or reply is None


def mdns_seeds() -> list[bytes]:
    return [mdns.query(), mdns.answer(b"theirs", (ADDRESS.with_peer(PEER), Multiaddr.parse("/ip6/::1/tcp/1")))]


TARGETS = [
    Target("mdns", hear_mdns, mdns_seeds),
    Target("peer-record", read_record, record_seeds),
    Target("gossip-rpc", read_rpc, rpc_seeds),
    Target("gossip-router", act_on_gossip, gossip_seeds),
    Target("kademlia", read_kademlia, kademlia_seeds),
    Target("kademlia-machine", act_on_kademlia, kademlia_seeds),
]
