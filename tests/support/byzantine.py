"""A member of a federation of real nodes that is against it: a program with its own key, over the libp2p we ship.

    python -m support.byzantine BEHAVIOUR SECONDS P2P-ADDRESS…      (with tests and demo in PYTHONPATH)

It joins at the first address as an honest node would, connects to all of them, behaves as it is told for so long, and
prints one JSON object: what it sent, and which of the nodes threw it out, for what reason. Not here: what a single
message can do to a single node (tests/hostile_node).
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from icn.domain.ledger.events import AccountOpened, Transferred
from icn.domain.ledger.model import TransferNumber
from icn.kernel.ids import RAW, Cid, Did
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.protocol.codec import encode_message
from icn.protocol.messages import (
    FEED_PROTOCOL,
    Announce,
    Blocks,
    Chunk,
    FeedCount,
    Fetch,
    Heads,
    Message,
    Want,
)
from support.icn_attacker import Attacker, HostileMember

AT_ONCE = 50
"""Messages for each node before the others of this process get their turn."""
UNDER_WAY_MAX = 2_000
"""Repeated from what was heard, at most."""
CLAIMED = 10**6
"""Blocks that nobody has."""
Send = Callable[[Attacker, Message], None]


class Address:
    """What an attacker needs to know of a node."""

    def __init__(self, p2p: str) -> None:
        self.p2p = p2p


class Byzantine:
    """One identity, connected to every node."""

    def __init__(self, addresses: Sequence[str]) -> None:
        seed = os.urandom(32)
        self.member = HostileMember(Address(addresses[0]), seed)
        self.links: list[Attacker] = [self.member, *(Attacker(Address(each), seed) for each in addresses[1:])]
        self.sent = 0

    @property
    def open(self) -> list[Attacker]:
        """Where it has not been thrown out."""
        return [link for link in self.links if not link.ended]

    def say(self, link: Attacker, *messages: Message) -> None:
        """Queue, and count what was taken."""
        self.sent += sum(link.send(message) for message in messages)

    async def repeatedly(self, seconds: float, turn: Callable[[Attacker], None]) -> None:
        """Take a turn at each node again and again, for as long as one of them listens."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.open:
            for link in self.open:
                turn(link)
            await asyncio.sleep(0.01)


async def flood(evil: Byzantine, seconds: float) -> None:
    """Questions that cost more to answer than to ask, as fast as they go: everything, from the beginning, again."""

    def turn(link: Attacker) -> None:
        for _ in range(AT_ONCE):
            evil.say(link, Want(()), Heads((), "0" * 64), Fetch(Cid.of(os.urandom(8), RAW), 0))
        link.said.clear()

    await evil.repeatedly(seconds, turn)


async def replay(evil: Byzantine, seconds: float) -> None:
    """All blocks that it ever heard from anybody, to everybody, over and over; and whole messages of others."""
    heard: dict[bytes, None] = {}

    def turn(link: Attacker) -> None:
        for other in evil.links:
            for message in other.said:
                if isinstance(message, Blocks | Announce) and len(heard) < UNDER_WAY_MAX:
                    heard.update(dict.fromkeys(message.blocks))
            other.said.clear()
        known = list(heard)
        evil.say(link, Announce(tuple(known[-AT_ONCE:])), Announce(tuple(reversed(known[:AT_ONCE]))))
        evil.say(link, Blocks(tuple(known[:AT_ONCE]), more=True))

    for link in evil.links:
        evil.say(link, Want(()))
    await evil.repeatedly(seconds, turn)


async def lies_about_heads(evil: Byzantine, seconds: float) -> None:
    """Everybody's feed is far longer than it is, their own included; there is always more, and nothing comes."""
    authors = list(evil.member.engine.state.feeds.heads)

    def turn(link: Attacker) -> None:
        evil.say(link, Heads(tuple(FeedCount(author, CLAIMED) for author in authors), os.urandom(32).hex()))
        for _ in link.heard(Want):
            evil.say(link, Blocks((), more=True))
        link.said.clear()

    await evil.repeatedly(seconds, turn)


async def wrong_content(evil: Byzantine, seconds: float) -> None:
    """Whatever content is asked for, it has it: other bytes."""

    def answer(link: Attacker) -> Callable[[Message], None]:
        def told(message: Message) -> None:
            if isinstance(message, Fetch):
                evil.say(link, Chunk(message.cid, 0, 5, b"wrong"))

        return told

    for link in evil.links:
        link.on_message = answer(link)
    await evil.repeatedly(seconds, lambda _: None)


async def forged_blocks(evil: Byzantine, seconds: float) -> None:
    """Blocks whose signature is another's, blocks that pay from accounts of others, and what is no block at all."""
    victim = next(author for author in evil.member.engine.state.feeds.heads if author != evil.member.did)
    theft = evil.member.sign(Transferred(TransferNumber(10**6), victim, evil.member.did, Mana(1000), "thank you"))
    unsigned = evil.member.sign().data
    unsigned = unsigned[:-1] + bytes([unsigned[-1] ^ 1])
    forgeries = [Announce((theft.data,)), Announce((unsigned,)), Announce((b"no block",))]

    def turn(link: Attacker) -> None:
        message = forgeries[evil.links.index(link) % len(forgeries)]
        evil.sent += link.send_bytes(FEED_PROTOCOL, encode_message(message))

    await evil.repeatedly(seconds, turn)


async def two_histories(evil: Byzantine, seconds: float) -> None:
    """One block to every other node, another one with the same number to the rest; then each branch goes on."""
    for number in range(2):
        branch = [evil.member.sign(_opens(evil.member.did, f"{number}/0"))]
        follows = {"sequence": branch[0].header.sequence + 1, "previous": branch[0].cid}
        branch.append(evil.member.sign(_opens(evil.member.did, f"{number}/1"), **follows))
        for link in evil.links[number::2]:
            evil.say(link, Announce(tuple(block.data for block in branch)))
    await evil.repeatedly(seconds, lambda _: None)


def _opens(home: Did, name: str) -> AccountOpened:
    """An empty account for somebody at `home`."""
    owner = SeedSigner(hashlib.sha256(name.encode()).digest()).did
    return AccountOpened(owner, home, 0, Mana(0), 0, Mana(0))


BEHAVIOURS: dict[str, Callable[[Byzantine, float], Awaitable[None]]] = {
    "flood": flood,
    "replay": replay,
    "lies-about-heads": lies_about_heads,
    "wrong-content": wrong_content,
    "forged-blocks": forged_blocks,
    "two-histories": two_histories,
}


async def behave(behaviour: str, seconds: float, addresses: Sequence[str]) -> dict[str, Any]:
    """All of it."""
    evil = Byzantine(addresses)
    async with evil.member:
        await evil.member.join()
        others = [await link.__aenter__() for link in evil.links[1:]]
        try:
            for link in evil.links:
                if link is not evil.member:
                    await link.greet()
            print(json.dumps({"did": str(evil.member.did), "peer": str(evil.member.network.peer_id)}), flush=True)
            await BEHAVIOURS[behaviour](evil, seconds)
        finally:
            for link in others:
                await link.__aexit__()
    reasons = [link.ended[:1] for link in evil.links]
    return {"sent": evil.sent, "thrown_out": [bool(reason) for reason in reasons], "reasons": reasons}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(behave(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))))
