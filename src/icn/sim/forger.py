"""A member that signs as many histories as it likes, and shows each to whom it likes.

It is no engine: it writes, in the place of an honest author, what the node that it talks to would accept next, on that
node's own view of its feed. As long as all see the same it has one feed; as soon as views differ, or when it takes back
its newest block, it has forked. It answers nothing, and says nothing of what it has.
"""

from collections.abc import Callable, Sequence
from random import Random

from icn.domain.context import Context
from icn.domain.dag.block import FORMAT_VERSION, Block, Header, sign_block
from icn.domain.dag.feeds import Clock, merged_clock
from icn.domain.federation.commands import JoinFederation
from icn.domain.federation.rules import decide as decide_federation
from icn.domain.ledger.commands import Endowment, OpenAccount, Transfer
from icn.domain.ledger.rules import decide as decide_ledger
from icn.domain.records import Envelope, Event, Record, write_record
from icn.kernel.errors import Refusal
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.protocol.messages import Announce, Hello
from icn.services import rows
from icn.services.ancestry import BlockAncestry, stored_clock
from icn.services.engine import Engine
from icn.services.inputs import Input, PeerUp
from icn.services.state import State
from icn.sim.mischief import Mischief
from icn.sim.network import Network
from icn.sim.node import Node
from icn.sim.timeline import MS, SECOND, Timeline
from icn.stores import blocks
from icn.stores.kv import StoreUnavailable

ITSELF = Envelope(None, None, "", "", None)
SHOWN_MAX = 3
"""Nodes that see a block at once, at most."""


class Forger:
    """Satisfies `network.Station`."""

    def __init__(
        self,
        seed: str,
        timeline: Timeline,
        network: Network,
        nodes: Sequence[Node],
        owners: Sequence[Did],
        *,
        every_ms: int,
        unfit: int,
        note: Callable[[str], None],
    ) -> None:
        self.signer = SeedSigner(b"forger".ljust(32, b"."))
        self.did: Did = self.signer.did
        self.life = 0
        self.forged = 0
        """Blocks it has signed."""
        self._rng = Random(f"{seed}/forger")
        self._timeline = timeline
        self._network = network
        self._nodes = nodes
        self._owners = owners
        self._every_ms = every_ms
        self._mischief = Mischief(seed, self.did, owners, unfit)
        self._note = note
        self._is_over = False
        self._loyal_until_us = self._rng.choice((0, 0, 4, 10)) * SECOND
        """Until then it has one history, and shows it to everybody."""

    @property
    def is_up(self) -> bool:
        """It never rests."""
        return True

    def push(self, input_: Input) -> None:
        """Of what it hears it takes up only that somebody is there."""
        if isinstance(input_, PeerUp):
            known = (rows.load_federation(node.disk.platter) for node in self._nodes)
            federation = next((one.id for one in known if one is not None), None)
            self._network.send(self.did, input_.peer, Hello("forger/1", federation, (), "", executes=False))

    def hear(self, peer: Did, data: bytes) -> None:
        """It takes no part in the gossip: what it forges it shows to whom it chooses."""

    def begin(self) -> None:
        """Act now and then, until `end`."""
        self._timeline.plan(self._rng.randrange(2 * self._every_ms) * MS, self._act)

    def end(self) -> None:
        """It has said what it had to say."""
        self._is_over = True

    @property
    def _is_loyal(self) -> bool:
        return self._timeline.now_us < self._loyal_until_us

    def _act(self) -> None:
        if self._is_over:
            return
        self.begin()
        node = self._nodes[0] if self._is_loyal else self._rng.choice(self._nodes)
        if node.engine is None:
            return
        try:
            block = self._write(node.engine, node.local_time())
        except StoreUnavailable:  # of the node over whose shoulder it looks
            return
        if block is None:
            return
        self.forged += 1
        few = self._rng.randint(0, min(SHOWN_MAX, len(self._nodes)))
        others = self._nodes if self._is_loyal else self._rng.sample(list(self._nodes), k=few)
        shown = list(dict.fromkeys([node.index, *(other.index for other in others)]))
        self._note(f"the forger shows its block {block.header.sequence} {block.cid} to {shown}")
        for index in shown:
            for each in (block, *self._mischief.evidence_for(block)):
                self._network.send(self.did, self._nodes[index].did, Announce((each.data,)))

    def _write(self, engine: Engine, wall: Instant) -> Block | None:
        """The next block as `engine` sees it; now and then beside its newest one."""
        state = engine.state
        federation = state.federation.federation
        if federation is None or federation.id is None:
            return None
        head = state.feeds.heads.get(self.did)
        sequence = 0 if head is None else head.sequence + 1
        previous = None if head is None else head.cid
        if head is not None and head.sequence > 1 and not self._is_loyal and self._rng.random() < 0.15:
            newest = blocks.get_block(engine.store, head.cid)
            if newest is not None:
                sequence, previous = head.sequence, newest.header.previous
        clock = merged_clock(self.did, sequence, state.feeds.clocks_behind(self.did))
        time = max(wall, state.feeds.latest_time())
        events = self._choose(state, self._context(engine, sequence, time, clock))
        if events is None:
            return None
        events = self._mischief.made_worse(events, sequence, federation.id)
        parents = state.feeds.parents_for(self.did)
        header = Header(FORMAT_VERSION, federation.id, self.did, sequence, previous, parents, time)
        return sign_block(header, tuple(write_record(Record(ITSELF, event)) for event in events), self.signer)

    def _context(self, engine: Engine, sequence: int, time: Instant, clock: Clock) -> Context:
        def clock_of(author: Did, number: int) -> Clock:
            if (author, number) == (self.did, sequence):
                return clock
            return stored_clock(engine.store, engine.state.feeds, author, number)

        return Context(self.did, sequence, time, BlockAncestry(clock, engine.state.federation, clock_of))

    def _choose(self, state: State, context: Context) -> list[Event] | None:
        draw = self._rng.random()
        try:
            if context.sequence == 0:
                return [*decide_federation(state.federation, JoinFederation("forger/1"), context)]
            if state.ledger.account(self.did, self.did) is None:
                endowment = state.endowment(context) or Endowment(Mana(0), Mana(0), 0)
                return [*decide_ledger(state.ledger, OpenAccount(self.did, endowment), context)]
            if draw < 0.6:
                payee = self._rng.choice(self._owners)
                return [
                    *decide_ledger(state.ledger, Transfer(self.did, payee, Mana(self._rng.choice((1, 7))), ""), context)
                ]
            if draw < 0.8:
                owner = SeedSigner(bytes([self._rng.randrange(1, 5)]) * 32).did
                return [*decide_ledger(state.ledger, OpenAccount(owner, Endowment(Mana(0), Mana(0), 0)), context)]
        except Refusal:
            pass
        return []
