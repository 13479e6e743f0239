"""Hostile peers against a node process: whatever they send, the node lives, serves others, and its memory stays flat.

Each test is one of the attack cases our design lists, and ends with an honest stranger who must be able to connect and
ping. Over all of them together the node's memory may grow by no more than `GROWTH_MAX`, it must hold no files more than
before, and no bug may have reached its event loop.
"""

import os
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from icn.kernel import varint
from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multistream import HEADER as MULTISTREAM
from icn.protocol.libp2p.multistream import NOT_AVAILABLE, line
from icn.protocol.libp2p.noise import Role, XXHandshake
from icn.protocol.libp2p.ping import PING
from icn.protocol.libp2p.protobuf import bytes_field
from icn.protocol.libp2p.secure_channel import STATIC_KEY_TAG, public_key_message
from icn.protocol.libp2p.yamux import HEADER, INITIAL_WINDOW
from support.libp2p_attacker import Server, Session, attacked, closed_by_peer, honest_ping, reset_hard, watched
from support.libp2p_network import MESSAGE_BYTES_MAX, OTHER, PROTOCOL
from support.libp2p_server import FLOOD, HANDSHAKE_MS, UNREAD

pytestmark = pytest.mark.slow

GROWTH_MAX = 30_000_000
SPOKEN = [PROTOCOL, OTHER, PING, "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/meshsub/1.1.0", "/icn/kad/1.0.0", FLOOD]
UNSPOKEN = ["/meshsub/1.2.0", "/floodsub/1.0.0", "/icn/feed/0"]
DATA, UPDATE, GO_AWAY = 0, 1, 3
SYN, FIN, RST = 1, 4, 8
NOISE_AGREED = line(MULTISTREAM) + line(b"/noise")
GARBAGE = [b"\xff" * 4096, b"\x80\x00", b"", b"\x00" * 4096, random.Random(2).randbytes(9999)]
MIB = 1 << 20


def broken_off(act: Callable[[], None], times: int) -> bool:
    """Whether the node closes the connection before `act` was done so often."""
    try:
        for _ in range(times):
            act()
    except ConnectionError:
        return True
    return False


def ended(sock: socket.socket) -> bool:
    """Whether the next thing to read is the end."""
    try:
        return not sock.recv(65_536)
    except ConnectionError:
        return True


def flood_unread(sessions: list[Session]) -> None:
    """Open streams on which the server sends for ever, with windows of 2 GiB, and read nothing."""
    for session in sessions:
        for _ in range(20):
            session.frame(UPDATE, 0, session.open(FLOOD), 0x7FFF_FFFF)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    for _ in range(20):
        assert honest_ping(server)  # what is allocated once is allocated now
    with Session(server) as session:
        session.data(session.open(UNREAD), bytes(INITIAL_WINDOW - 100))
    with ExitStack() as stack:
        flood_unread([stack.enter_context(Session(server)) for _ in range(10)])
        assert honest_ping(server)
    assert honest_ping(server)
    with watched(server, GROWTH_MAX):
        yield server


# Before the handshake.


def first_bytes() -> dict[str, bytes]:
    """What a stranger may say first."""
    tls = bytes.fromhex("16030100050100000100") + bytes(300)
    return {
        "random bytes": random.Random(1).randbytes(4096),
        "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a TLS hello": tls,
        "an oversized length": b"\xff\xff\xff\xff\x7f",
        "a length without end": b"\xff" * 4096,
        "a length that is not minimal": b"\x80\x00",
        "an empty line": b"\x00",
        "a line without newline": b"\x05hello",
        "text that is not UTF-8": b"\x05\xff\xfe\xfd\xfc\n",
        "empty lines behind the header": line(MULTISTREAM) + line(b"") * 64,
        "one proposal for ever": line(MULTISTREAM) + line(b"/tls/1.0.0") * 5000,
        "a proposal that is not UTF-8": (line(MULTISTREAM) + line(b"\xff\xfe\xfd")) * 64,
        "a Noise message of nothing": NOISE_AGREED + b"\x00\x00",
        "a short Noise message": NOISE_AGREED + b"\x00\x01\x00",
        "an oversized Noise message": NOISE_AGREED + b"\xff\xff" + bytes(65_535),
        "a key of low order": NOISE_AGREED + b"\x00\x20" + bytes(32),
        "random Noise messages": NOISE_AGREED + b"\x00\x20" + b"\xaa" * 32 + b"\x00\x60" + b"\xbb" * 96,
    }


@pytest.mark.parametrize("name", first_bytes())
def test_a_stranger_who_begins_with_garbage_is_dropped(server, name):
    with attacked(server), server.connect() as sock:
        sock.sendall(first_bytes()[name])
        assert closed_by_peer(sock)


def test_an_endless_line_is_cut_off(server):
    with attacked(server), server.connect() as sock:
        sock.sendall(b"\xff\x7f")
        assert broken_off(lambda: sock.sendall(b"a" * 65_536), 2000)


@pytest.mark.parametrize("protocol", [b"/plaintext/2.0.0", b"/tls/1.0.0", b"/secio/1.0.0"])
def test_plaintext_and_other_security_is_not_available(server, protocol):
    with attacked(server), server.connect() as sock:
        sock.sendall(line(MULTISTREAM) + line(protocol))
        wanted = line(MULTISTREAM) + line(NOT_AVAILABLE)
        got = b""
        while len(got) < len(wanted):
            got += sock.recv(100)
        assert got == wanted
        sock.sendall(b"\x05\xff\xff\xff\xff\xff")
        assert closed_by_peer(sock)


def shake(server: Server, payload: Callable[[XXHandshake], bytes], spoil: bool = False) -> bool:
    """A whole handshake with `payload` in message 3; whether the node closes instead of going on."""
    with server.connect() as sock:
        noise = XXHandshake(Role.INITIATOR, static=os.urandom(32), ephemeral=os.urandom(32))
        first = noise.write(b"")
        sock.sendall(NOISE_AGREED + len(first).to_bytes(2, "big") + first)
        got = b""
        while len(got) < len(NOISE_AGREED) + 2 or len(got) < len(NOISE_AGREED) + 2 + int.from_bytes(
            got[len(NOISE_AGREED) : len(NOISE_AGREED) + 2], "big"
        ):
            got += sock.recv(65_536)
        noise.read(got[len(NOISE_AGREED) + 2 :])
        third = noise.write(payload(noise))
        if spoil:
            third = third[:-1] + bytes([third[-1] ^ 1])
        sock.sendall(len(third).to_bytes(2, "big") + third)
        try:
            # A session that stands begins with the node's identify and ping; one that does not, ends without a word.
            return sock.recv(65_536) == b""
        except ConnectionError:
            return True


def payload_of(key: bytes, signer: SeedSigner) -> Callable[[XXHandshake], bytes]:
    return lambda noise: said(key, signer.sign(STATIC_KEY_TAG, noise.static_public))


def said(key: bytes, signature: bytes) -> bytes:
    """A payload that leaves nothing else to negotiate: if it is believed, the session stands."""
    return bytes_field(1, key) + bytes_field(2, signature) + bytes_field(4, bytes_field(2, b"/yamux/1.0.0"))


MALLORY, VICTIM = SeedSigner(b"m" * 32), SeedSigner(b"v" * 32)
SECP256K1 = bytes.fromhex("08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99")
PAYLOADS: dict[str, Callable[[XXHandshake], bytes]] = {
    "the identity of another peer": payload_of(public_key_message(VICTIM.did), MALLORY),
    "a bad signature": lambda _: said(public_key_message(MALLORY.did), bytes(64)),
    "a signature of another static key": lambda _: said(
        public_key_message(MALLORY.did), MALLORY.sign(STATIC_KEY_TAG, bytes(32))
    ),
    "a junk key": payload_of(b"\x08\x63\x12\x03abc", MALLORY),
    "a key that is not Ed25519": payload_of(SECP256K1, MALLORY),
    "a key of small order": payload_of(b"\x08\x01\x12\x20" + bytes(32), MALLORY),
    "no key": lambda _: b"",
    "garbage instead of protobuf": lambda _: b"\xff" * 100,
    "names that are not UTF-8": lambda noise: (
        payload_of(public_key_message(MALLORY.did), MALLORY)(noise) + bytes_field(4, bytes_field(2, b"\xff\xfe"))
    ),
}


def test_a_true_identity_is_believed(server):
    with attacked(server):
        assert not shake(server, payload_of(public_key_message(MALLORY.did), MALLORY))


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_false_identity_is_dropped(server, name):
    with attacked(server):
        assert shake(server, PAYLOADS[name])


def test_a_handshake_with_a_wrong_key_is_dropped(server):
    with attacked(server):
        assert shake(server, payload_of(public_key_message(MALLORY.did), MALLORY), spoil=True)


def test_a_replayed_handshake_is_worth_nothing(server):
    spoken: list[bytes] = []

    class Taped:
        """Another node's connection, listened to."""

        def __init__(self) -> None:
            self.sock = server.connect()

        def run(self) -> None:
            noise = XXHandshake(Role.INITIATOR, static=b"s" * 32, ephemeral=b"e" * 32)
            first = noise.write(b"")
            spoken.append(NOISE_AGREED + len(first).to_bytes(2, "big") + first)
            self.sock.sendall(spoken[-1])
            got = b""
            while len(got) < len(NOISE_AGREED) + 100:
                got += self.sock.recv(65_536)
            noise.read(got[len(NOISE_AGREED) + 2 :])
            third = noise.write(payload_of(public_key_message(MALLORY.did), MALLORY)(noise))
            spoken.append(len(third).to_bytes(2, "big") + third)
            self.sock.sendall(spoken[-1])

    with attacked(server):
        taped = Taped()
        taped.run()
        with server.connect() as sock:
            sock.sendall(b"".join(spoken))
            assert closed_by_peer(sock)
        taped.sock.close()


def test_half_a_noise_message_waits_no_longer_than_the_deadline(server):
    with attacked(server), server.connect() as sock:
        sock.sendall(NOISE_AGREED + b"\x00\x20" + b"\xaa" * 16)
        assert closed_by_peer(sock)


def test_one_byte_at_a_time_does_not_stretch_the_deadline(server):
    with attacked(server), server.connect() as sock:
        began = time.monotonic()
        speech = iter(NOISE_AGREED + b"\x00\x20" + b"\xaa" * 32)
        sock.setblocking(False)
        while time.monotonic() - began < 5 * HANDSHAKE_MS / 1000:
            readable, _, _ = select.select([sock], [], [], 0.1)
            try:
                if readable and not sock.recv(4096):
                    break
                sock.send(bytes([next(speech)]))
            except ConnectionError:
                break
        assert time.monotonic() - began < 2 * HANDSHAKE_MS / 1000 + 1


def test_three_hundred_idle_sockets_shut_nobody_out(server):
    socks = []
    try:
        with attacked(server):
            for _ in range(300):
                socks.append(server.connect())  # noqa: PERF401 - those opened so far are closed if one fails
        assert honest_ping(server)
    finally:
        for sock in socks:
            sock.close()


# After the handshake.


@pytest.mark.parametrize("protocol", SPOKEN)
@pytest.mark.parametrize("garbage", GARBAGE, ids=["ones", "varint", "nothing", "zeros", "random"])
def test_garbage_on_a_protocol_harms_nobody(server, protocol, garbage):
    with attacked(server), Session(server) as session:
        session.data(session.open(protocol), garbage, FIN)
        session.frame(GO_AWAY, 0, 0, 0)
        assert session.closed()


@pytest.mark.parametrize("protocol", UNSPOKEN)
def test_a_protocol_that_is_not_spoken_costs_nothing(server, protocol):
    with attacked(server), Session(server) as session:
        stream = session.open(protocol)
        wanted = line(MULTISTREAM) + line(NOT_AVAILABLE)
        assert session.body_of(stream, len(wanted)) == wanted
        session.data(stream, bytes(INITIAL_WINDOW - 100))
        assert session.until_reset(stream)


def test_names_that_are_not_utf8_are_not_available(server):
    with attacked(server), Session(server) as session:
        session.frame(UPDATE, SYN, 1, 0)
        session.data(1, line(MULTISTREAM) + line(b"\xff\xfe\xfd"))
        wanted = line(MULTISTREAM) + line(NOT_AVAILABLE)
        assert session.body_of(1, len(wanted)) == wanted


def test_an_oversized_message_costs_its_stream_only(server):
    with attacked(server), Session(server) as session:
        stream = session.open(PROTOCOL)
        session.data(stream, varint.encode(MESSAGE_BYTES_MAX + 1) + b"x")
        assert session.until_reset(stream)
        assert session.body_of(session.open(PROTOCOL), 20) == line(MULTISTREAM)


def test_twenty_thousand_streams_are_not_kept(server):
    with attacked(server), Session(server) as session:
        session.sock.settimeout(10)
        opened = b"".join(HEADER.pack(0, UPDATE, SYN, number * 2 + 1, 0) for number in range(20_000))
        try:
            for start in range(0, len(opened), 12_000):
                session.send(opened[start : start + 12_000])
        except ConnectionError:
            pass  # it may close instead of refusing each


def test_streams_opened_and_reset_for_ever_are_not_kept(server):
    with attacked(server), Session(server) as session:
        try:
            for start in range(0, 20_000, 500):
                numbers = range(2 * start + 1, 2 * (start + 500) + 1, 2)
                pairs = (HEADER.pack(0, UPDATE, flag, number, 0) for number in numbers for flag in (SYN, RST))
                session.send(b"".join(pairs))
        except ConnectionError:
            pass


@pytest.mark.parametrize("protocol", [UNREAD, PROTOCOL, PING])
def test_two_hundred_mib_beyond_the_window_end_the_connection(server, protocol):
    with attacked(server), Session(server) as session:
        stream = session.open(protocol)
        # One frame within the rules of length, and so far beyond the window that no update can excuse it.
        assert broken_off(lambda: session.frame(DATA, 0, stream, 8 * MIB, bytes(MIB)), 200)
        assert session.closed()


def test_small_frames_beyond_the_window_end_the_connection_too(server):
    with attacked(server), Session(server) as session:
        stream = session.open(UNREAD)
        assert broken_off(lambda: session.data(stream, bytes(65_500)), 200 * 16)


@pytest.mark.parametrize(
    "frame",
    [
        (4, 0, 1, 0),
        (255, 0, 1, 0),
        (DATA, 0x10, 1, 0),
        (UPDATE, 0xFFFF, 1, 0),
        (DATA, SYN, 2, 0),
        (DATA, SYN, 0, 0),
        (UPDATE, 0, 0, 10),
        (2, SYN, 7, 1),
        (2, 0, 0, 1),
        (2, SYN | FIN, 0, 1),
        (GO_AWAY, 0, 9, 0),
        (GO_AWAY, 0, 0, 77),
        (DATA, 0, 1, 0xFFFF_FFFF),
    ],
    ids=str,
)
def test_a_frame_against_the_rules_ends_the_connection(server, frame):
    with attacked(server), Session(server) as session:
        session.frame(*frame)
        assert session.closed()


def test_another_version_ends_the_connection(server):
    with attacked(server), Session(server) as session:
        session.frame(DATA, 0, 1, 0, version=1)
        assert session.closed()


def test_a_window_beyond_32_bits_ends_the_connection(server):
    with attacked(server), Session(server) as session:
        stream = session.open(PING)
        session.frame(UPDATE, 0, stream, 0xFFFF_FFFF)
        assert session.closed()


def test_a_broken_ciphertext_ends_the_connection(server):
    with attacked(server), Session(server) as session:
        session.sock.sendall(b"\x00\x40" + os.urandom(64))
        assert session.closed()


def test_pings_without_reading_end_the_connection(server):
    pings = b"".join(HEADER.pack(0, 2, SYN, 0, number) for number in range(1000))
    with attacked(server), Session(server) as session:
        assert broken_off(lambda: session.send(pings), 3000)


def test_streams_that_never_read_cost_what_their_window_allows(server):
    sessions = [Session(server) for _ in range(10)]
    try:
        with attacked(server):
            flood_unread(sessions)
        assert honest_ping(server)
        assert server.rss() < 200 * MIB
    finally:
        for session in sessions:
            session.sock.close()


def test_half_messages_on_many_connections_are_bounded(server):
    sessions = [Session(server) for _ in range(30)]
    try:
        with attacked(server):
            for session in sessions:
                stream = session.open(PROTOCOL)
                session.data(stream, b"\xff\xff\x7f" + bytes(200_000))
        assert honest_ping(server)
    finally:
        for session in sessions:
            session.sock.close()


def test_four_hundred_reconnects_leave_nothing_behind(server):
    with attacked(server):
        for number in range(400):
            session = Session(server, SeedSigner(number.to_bytes(32, "big")))
            if number % 2:
                session.open(PING)
            reset_hard(session.sock)


def test_one_peer_with_many_connections_keeps_few(server):
    sessions = [Session(server, MALLORY) for _ in range(20)]
    try:
        with attacked(server):
            left = {session.sock for session in sessions}
            ends = time.monotonic() + 10
            while len(left) > 4 and time.monotonic() < ends:
                for sock in select.select(list(left), [], [], 1)[0]:
                    if ended(sock):
                        left.discard(sock)
            assert len(left) <= 4
    finally:
        for session in sessions:
            session.sock.close()


def test_the_limits_used_are_the_ones_in_production():
    """Only the handshake's deadline is shortened here."""
    from support.libp2p_server import LIMITS

    assert ConnectionLimits(handshake_ms_max=HANDSHAKE_MS) == LIMITS
    assert PeerId.of(MALLORY.did) != PeerId.of(VICTIM.did)
