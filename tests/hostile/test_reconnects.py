"""Peers that come and go for ever leave nothing behind in a node: memory, files and what it says of itself stay flat.

Twenty minutes of it (`ICN_RECONNECT_SECONDS` for less or more) against a whole node, from strangers that are new each
time and from some that return, who leave in every way there is.
"""

import os
import time
from collections.abc import Callable
from itertools import count
from statistics import median

import pytest

from icn.kernel.signing import SeedSigner
from icn.protocol.codec import encode_message
from icn.protocol.libp2p.framing import framed
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.multistream import HEADER as MULTISTREAM
from icn.protocol.libp2p.multistream import line
from icn.protocol.messages import FEED_PROTOCOL, Hello
from support.libp2p_attacker import Session, Victim, honest_ping, reset_hard
from support.processes import Nodes

pytestmark = pytest.mark.long

SECONDS = int(os.environ.get("ICN_RECONNECT_SECONDS", "1200"))
RETURNING = 20
SAMPLE_EVERY = 100
GROWTH_MAX = 8_000_000
"""From the second quarter to the last; what a node allocates once is allocated in the first."""
HELLO = framed(encode_message(Hello("stranger", None, (), "", executes=False)))
GO_AWAY = 3


def goes_at_once(victim: Victim, number: int) -> None:
    reset_hard(victim.connect())


def goes_in_the_handshake(victim: Victim, number: int) -> None:
    with victim.connect() as sock:
        sock.sendall(line(MULTISTREAM) + line(b"/noise") + b"\x00\x20" + b"\xaa" * 20)


def goes_after_the_handshake(victim: Victim, number: int) -> None:
    reset_hard(Session(victim, fresh(number)).sock)


def greets_and_says_goodbye(victim: Victim, number: int) -> None:
    with Session(victim, fresh(number)) as session:
        session.data(session.open(FEED_PROTOCOL), HELLO)
        session.frame(GO_AWAY, 0, 0, 0)
        session.closed()


def returns_and_greets(victim: Victim, number: int) -> None:
    session = Session(victim, fresh(number % RETURNING))
    session.data(session.open(FEED_PROTOCOL), HELLO)
    reset_hard(session.sock)


def goes_within_a_message(victim: Victim, number: int) -> None:
    session = Session(victim, fresh(number))
    session.data(session.open(FEED_PROTOCOL), b"\xff\xff\x01" + bytes(20_000))
    reset_hard(session.sock)


WAYS: list[Callable[[Victim, int], None]] = [
    *(goes_at_once, goes_in_the_handshake, goes_after_the_handshake),
    *(greets_and_says_goodbye, returns_and_greets, goes_within_a_message),
]


def fresh(number: int) -> SeedSigner:
    return SeedSigner(number.to_bytes(32, "big"))


def test_memory_is_flat_while_peers_come_and_go(tmp_path, capsys):
    nodes = Nodes(tmp_path)
    try:
        node = nodes.make("victim").start()
        assert node.process is not None
        victim = Victim(Multiaddr.parse(node.p2p), node.process.pid)
        assert honest_ping(victim)
        files, memory = victim.files(), []
        ends = time.monotonic() + SECONDS
        for number in count():
            WAYS[number % len(WAYS)](victim, number)
            if number % SAMPLE_EVERY == 0:
                memory.append(victim.rss())
                if time.monotonic() > ends:
                    break
        assert honest_ping(victim)
        quarter = len(memory) // 4
        early, late = median(memory[quarter : 2 * quarter]), median(memory[-quarter:])
        with capsys.disabled():
            print(
                f"\n{number} visits in {SECONDS} s: {memory[0] / 1e6:.1f} MB at first, {early / 1e6:.1f} MB in the "
                f"second quarter, {late / 1e6:.1f} MB in the last; {victim.files() - files} files more than before"
            )
        assert late - early < GROWTH_MAX
        assert victim.files() - files <= 2, "connections leak"
        assert node.ask("GET", "/network/peers")["items"] == []
    finally:
        nodes.end()
