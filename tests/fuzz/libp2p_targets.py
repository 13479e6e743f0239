"""The decoders of libp2p: what a stranger's bytes reach before and after the handshake."""

from itertools import islice

from fuzz.target import REFUSALS, Target, pieces
from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p import identify
from icn.protocol.libp2p.connection import Connection, State
from icn.protocol.libp2p.framing import MessageReader, framed
from icn.protocol.libp2p.identify import IDENTIFY, Identification
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.multistream import HEADER as MULTISTREAM
from icn.protocol.libp2p.multistream import NOT_AVAILABLE, Outcome, Proposer, Responder, line
from icn.protocol.libp2p.noise import Role, XXHandshake
from icn.protocol.libp2p.ping import PING, PING_BYTES, Echo, Pinger
from icn.protocol.libp2p.protobuf import Message, bytes_field, number_field
from icn.protocol.libp2p.secure_channel import STATIC_KEY_TAG, Keys, SecureChannel, public_key_message
from icn.protocol.libp2p.upgrade import YAMUX, Upgrade
from icn.protocol.libp2p.yamux import HEADER, Data, Session

LIMITS = ConnectionLimits()
OURS, THEIRS = SeedSigner(b"o" * 32), SeedSigner(b"t" * 32)
PEER = PeerId.of(THEIRS.did)
SPOKEN = "/icn/fuzz/1"
MESSAGE_BYTES_MAX = 2048
EVENTS_MAX = 10_000
NOISE_AGREED = line(MULTISTREAM) + line(b"/noise")


def keys(signer: SeedSigner) -> Keys:
    return Keys(signer, b"s" * 32, b"e" * 32)


# Negotiation.


def negotiations() -> tuple[Proposer, Responder]:
    proposer = Proposer(("/icn/fuzz/2", SPOKEN), LIMITS.line_bytes_max)
    return proposer, Responder((SPOKEN.encode(),), LIMITS.line_bytes_max, LIMITS.proposals_max)


def read_multistream(data: bytes) -> None:
    """First byte: who we are. Whoever agrees, agrees on something that we speak, however the bytes came."""
    if not data:
        return
    which, rest = data[0] & 1, data[1:]
    machine = negotiations()[which]
    for piece in pieces(rest):
        machine.receive(piece)
    whole = negotiations()[which]
    whole.receive(rest[1:])
    assert machine.outcome is whole.outcome, "the outcome depends on how the bytes came"
    if machine.outcome is Outcome.AGREED:
        assert machine.agreed in {"/icn/fuzz/2", SPOKEN}
        assert machine.rest() == whole.rest()


def multistream_seeds() -> list[bytes]:
    agreed = line(MULTISTREAM) + line(SPOKEN.encode()) + b"what follows"
    refused = line(MULTISTREAM) + line(NOT_AVAILABLE) + line(NOT_AVAILABLE)
    return [b"\0\0" + refused, b"\0\x05" + line(MULTISTREAM) + line(b"/icn/fuzz/2"), b"\1\0" + agreed, b"\1\1" + agreed]


# Noise.


def read_noise_frames(data: bytes) -> None:
    """First byte: who we are. A stranger's handshake, cut anywhere."""
    if not data:
        return
    role = (Role.INITIATOR, Role.RESPONDER)[data[0] & 1]
    channel = SecureChannel(
        role, keys(OURS), expected=None, muxers=(YAMUX,), message_bytes_max=LIMITS.handshake_message_bytes_max
    )
    channel.start()
    for piece in pieces(data[1:]):
        channel.handshake(piece)
    assert channel.established is None, "a handshake stood without its keys"


def noise_frame_seeds() -> list[bytes]:
    one, two = XXHandshake(Role.INITIATOR, static=b"a" * 32, ephemeral=b"b" * 32), keys(OURS)
    first = one.write(b"")
    answered = SecureChannel(Role.RESPONDER, two, expected=None, muxers=(YAMUX,), message_bytes_max=4096)
    second = answered.handshake(len(first).to_bytes(2, "big") + first)
    return [b"\1\0" + len(first).to_bytes(2, "big") + first, b"\0\x10" + second]


def read_noise_payload(data: bytes) -> None:
    """The payload of message 3, rightly encrypted. Who is believed has signed with the key it names."""
    channel = SecureChannel(
        Role.RESPONDER, keys(OURS), expected=None, muxers=(), message_bytes_max=LIMITS.handshake_message_bytes_max
    )
    noise = XXHandshake(Role.INITIATOR, static=b"S" * 32, ephemeral=b"E" * 32)
    first = noise.write(b"")
    noise.read(channel.handshake(len(first).to_bytes(2, "big") + first)[2:])
    third = noise.write(data)
    channel.handshake(len(third).to_bytes(2, "big") + third)
    assert channel.established is not None
    assert channel.established.peer == PEER, "somebody was believed to be another"


def noise_payload_seeds() -> list[bytes]:
    static = XXHandshake(Role.INITIATOR, static=b"S" * 32, ephemeral=b"E" * 32).static_public
    said = bytes_field(1, public_key_message(THEIRS.did)) + bytes_field(2, THEIRS.sign(STATIC_KEY_TAG, static))
    return [said, said + bytes_field(4, bytes_field(2, YAMUX.encode()) + bytes_field(2, b"/mplex/6.7.0"))]


def read_upgrade(data: bytes) -> None:
    """First byte: who we are. Everything before the streams, in the clear."""
    if not data:
        return
    role = (Role.INITIATOR, Role.RESPONDER)[data[0] & 1]
    upgrade = Upgrade(role, keys(OURS), LIMITS, expected=None, early_muxer=True)
    upgrade.start()
    for piece in pieces(data[1:]):
        upgrade.receive(piece)
    assert upgrade.result is None, "an upgrade stood without its keys"


def upgrade_seeds() -> list[bytes]:
    return [bytes([seed[0], seed[1]]) + NOISE_AGREED + seed[2:] for seed in noise_frame_seeds()]


# Streams.


def read_yamux(data: bytes) -> None:
    """First byte: who we are. What is told never exceeds the windows that were granted."""
    if not data:
        return
    session = Session((Role.INITIATOR, Role.RESPONDER)[data[0] & 1], LIMITS)
    ours = [session.open(), session.open()]
    unread: dict[int, int] = {}
    for piece in pieces(data[1:]):
        for event in islice(session.receive(piece), EVENTS_MAX):
            if isinstance(event, Data):
                unread[event.stream] = unread.get(event.stream, 0) + len(event.data)
                if len(unread) % 2:
                    session.consume(event.stream, unread.pop(event.stream))
        session.finished()
        assert session.unread <= (LIMITS.inbound_streams_max + len(ours)) * LIMITS.receive_window_max
        session.take(1 << 16)


def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, stream, length) + body


def yamux_seeds() -> list[bytes]:
    opened = frame(1, 1, 1, 0) + frame(0, 0, 1, 5, b"bytes") + frame(0, 4, 1, 0)
    even = frame(1, 1, 2, 0) + frame(0, 0, 2, 5, b"bytes") + frame(1, 8, 2, 0)
    answered = frame(1, 2, 1, 1000) + frame(0, 0, 1, 3, b"abc") + frame(1, 4, 1, 0)
    return [
        *(b"\1\0" + opened, b"\1\7" + opened, b"\0\0" + even, b"\0\0" + answered),
        b"\1\0" + frame(2, 1, 0, 77) + frame(2, 2, 0, 77) + frame(3, 0, 0, 1),
    ]


def read_connection(data: bytes) -> None:
    """First byte: whether we dialled. Behind a true handshake, frames with anything on the streams: negotiations,
    identify, ping, the owner's. The connection ends, or goes on; nothing else may come of it."""
    if not data:
        return
    dialled = bool(data[0] & 1)
    role, other = (Role.INITIATOR, Role.RESPONDER) if dialled else (Role.RESPONDER, Role.INITIATOR)
    about = Identification(agent="fuzz", protocols=(SPOKEN,), listen_addresses=(), observed=None)
    machine = Connection(role, keys(OURS), LIMITS, now=0, owners={SPOKEN}, about=about, ping_secret=b"p")
    stranger = Upgrade(other, Keys(THEIRS, b"x" * 32, b"y" * 32), LIMITS, expected=None, early_muxer=True)
    events = machine.receive(stranger.start(), 1)
    while stranger.result is None:
        events += machine.receive(stranger.receive(machine.output(1 << 20)), 1)
    channel = stranger.result.channel
    for second, piece in enumerate(pieces(data[1:]), start=2):
        events += machine.receive(channel.encrypt(piece), second * 1000)
        machine.output(1 << 16)
        events += machine.tick(second * 1000)
        for stream, consumed in [(event.stream, len(event.data)) for event in events if hasattr(event, "data")]:
            machine.consume(stream, consumed)
        events.clear()
    assert machine.peer == PEER
    if machine.state is State.OPEN:
        machine.depart("the end")
    machine.output(1 << 20)


def connection_seeds() -> list[bytes]:
    def on(stream: int, protocol: str, body: bytes) -> bytes:
        text = line(MULTISTREAM) + line(protocol.encode()) + body
        return frame(1, 1, stream, 0) + frame(0, 0, stream, len(text), text)

    theirs = [on(1, PING, b"p" * 32), on(1, IDENTIFY, b""), on(1, SPOKEN, b"bytes"), on(1, "/unknown", b"")]
    identified = line(MULTISTREAM) + line(IDENTIFY.encode()) + framed(identify_seeds()[0])
    answer = frame(1, 2, 1, 0) + frame(0, 0, 1, len(identified), identified) + frame(0, 4, 1, 0)
    return [*(b"\0\0" + seed for seed in theirs), b"\0\x20" + theirs[0], b"\1\0" + answer, b"\1\x40" + answer]


# Messages.


def read_identify(data: bytes) -> None:
    """What was understood can be said again, and means the same."""
    said = identify.decode(data, PEER, LIMITS)
    assert len(said.protocols) <= LIMITS.identify_entries_max
    assert len(said.listen_addresses) <= LIMITS.identify_entries_max
    assert said.agent.isprintable()
    again = identify.decode(identify.encode(THEIRS.did, said), PEER, LIMITS)
    assert again == said


def identify_seeds() -> list[bytes]:
    address = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
    said = Identification("icn/1", (IDENTIFY, PING, SPOKEN), (address, address.with_peer(PEER)), address)
    return [identify.encode(THEIRS.did, said), b"", bytes_field(6, b"\xff\xfe agent")]


def read_ping(data: bytes) -> None:
    """Both sides: everything is echoed in whole payloads, and only the right echo is a round trip."""
    echo, pinger = Echo(), Pinger(b"secret", LIMITS, 0)
    pinger.begin(0)
    expected = pinger.payload(0)
    echoed, came, trip = b"", b"", None
    for piece in pieces(data):
        echoed += echo.receive(piece)
        came += piece
        if trip is None:
            trip = pinger.receive(piece, 5)
    assert echoed == came[: len(came) // PING_BYTES * PING_BYTES]
    assert (trip is None) or came[:PING_BYTES] == expected


def ping_seeds() -> list[bytes]:
    pinger = Pinger(b"secret", LIMITS, 0)
    pinger.begin(0)
    return [b"\0" + pinger.payload(0), b"\x05" + pinger.payload(0), b"\0" + b"z" * 64]


def read_protobuf(data: bytes) -> None:
    message = Message(data)
    for field in (1, 2, 3, 15, 16):
        for ask in (message.number, message.byte_string):
            try:
                ask(field)
            except REFUSALS:
                continue


def protobuf_seeds() -> list[bytes]:
    nested = bytes_field(2, bytes_field(1, b"inner") + number_field(3, 1 << 40))
    return [number_field(1, 300) + nested + bytes_field(15, b""), b"\x09" + bytes(8) + b"\x15" + bytes(4)]


def read_multiaddr(data: bytes) -> None:
    """As bytes and as text: what was read is written in one way, which reads as the same."""
    try:
        address = Multiaddr.from_bytes(data)
    except REFUSALS:
        address = Multiaddr.parse(data.decode("utf-8", "replace"))
    assert Multiaddr.from_bytes(address.to_bytes()) == address
    assert Multiaddr.parse(str(address)) == address


def multiaddr_seeds() -> list[bytes]:
    texts = [
        *("/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/1", "/dns4/node.example/tcp/65535", "/dns/a.b/tcp/0"),
        f"/ip4/10.0.0.1/tcp/4001/p2p/{PEER}",
    ]
    return [*(text.encode() for text in texts), *(Multiaddr.parse(text).to_bytes() for text in texts)]


def read_framing(data: bytes) -> None:
    """However the bytes came, the messages are the same."""
    came = list(pieces(data))
    one, other = MessageReader(MESSAGE_BYTES_MAX), MessageReader(MESSAGE_BYTES_MAX)
    messages = [message for piece in came for message in one.receive(piece)]
    assert messages == other.receive(b"".join(came))
    assert one.held == other.held
    assert all(len(message) <= MESSAGE_BYTES_MAX for message in messages)


def framing_seeds() -> list[bytes]:
    messages = framed(b"one") + framed(b"") + framed(b"x" * 300)
    return [b"\0" + messages, b"\1" + messages, b"\x40" + framed(b"y" * 2048)]


TARGETS = [
    Target("multistream", read_multistream, multistream_seeds),
    Target("noise-frames", read_noise_frames, noise_frame_seeds),
    Target("noise-payload", read_noise_payload, noise_payload_seeds),
    Target("upgrade", read_upgrade, upgrade_seeds),
    Target("yamux", read_yamux, yamux_seeds),
    Target("connection", read_connection, connection_seeds),
    Target("identify", read_identify, identify_seeds),
    Target("ping", read_ping, ping_seeds),
    Target("protobuf", read_protobuf, protobuf_seeds),
    Target("multiaddr", read_multiaddr, multiaddr_seeds),
    Target("framing", read_framing, framing_seeds),
]
