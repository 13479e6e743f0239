"""What callers do: found, open accounts, pay, submit and cancel jobs, store and fetch content, admit; and ask again.

A caller asks one thing at a time under a fresh key and repeats it, same key, until it is answered: after a lost answer,
a fault or a crash. Now and then it asks twice at once, repeats what was answered long ago, or uses a key for something
else.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from icn.domain.federation.model import Policy
from icn.domain.federation.refusals import NotInFederation
from icn.domain.mesh.execution import Limits
from icn.domain.mesh.model import JobSpec
from icn.kernel.encoding import encode
from icn.kernel.ids import DAG_CBOR, RAW, Cid, Did, JobId
from icn.kernel.instant import Duration, later
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.services.answers import Answer, Done
from icn.services.authorship import NodeHeld
from icn.services.commands import (
    Admit,
    Cancel,
    FetchContent,
    Found,
    NodeCommand,
    OpenAccountFor,
    Pay,
    PutContent,
    Submit,
)
from icn.services.inputs import Request
from icn.sim.faults import Chance
from icn.sim.model import Ask, Model, is_refused_by
from icn.sim.node import Node
from icn.sim.tempo import Rhythm
from icn.sim.timeline import MS, SECOND, Timeline

PATIENCE_MS = 1_500
MEMBERS_PER_NODE = 1
DEADLINE_SECONDS = (4, 20)


@dataclass(slots=True)
class Town:
    """What all callers know of: everybody's accounts and content, and the plan of the federation."""

    nodes: list[Node]
    founders: tuple[Did, ...]
    policy: Policy
    owners: list[Did] = field(default_factory=list)
    contents: list[Cid] = field(default_factory=list)


class Callers:
    """All of them, and the requests under way."""

    def __init__(
        self,
        timeline: Timeline,
        town: Town,
        model: Model,
        rng: Random,
        rhythm: Rhythm,
        *,
        answer_lost: int,
    ) -> None:
        self.model = model
        self.rhythm = rhythm
        pause_ms = rhythm.pause_ms
        self.timeline = timeline
        self.town = town
        self.answer_lost = answer_lost
        self.is_over = False
        self.closing: dict[int, None] = {}
        """Nodes that are about to leave: nothing new is asked of them."""
        self.chance = Chance(rng)
        self._tokens = 0
        self._waiting: dict[int, tuple[int, Callable[[Answer], None]]] = {}
        self.callers: list[Caller] = []
        for node in town.nodes:
            town.owners.append(node.did)
            self.callers.append(Caller(self, node, node.did, f"op{node.index}", Random(rng.randbytes(16)), pause_ms))
            for m in range(MEMBERS_PER_NODE):
                did = SeedSigner(bytes([m + 1, node.index]) * 16).did
                town.owners.append(did)
                name = f"m{node.index}.{m}"
                self.callers.append(Caller(self, node, did, name, Random(rng.randbytes(16)), pause_ms))

    def start(self) -> None:
        """Everybody begins, the founder first."""
        for number, caller in enumerate(self.callers):
            self.timeline.plan(number * 7 * MS, caller.act)

    def stop(self) -> None:
        """Nothing new is asked; what is open is asked until it is answered."""
        self.is_over = True
        self.answer_lost = 0

    @property
    def are_idle(self) -> bool:
        """Whether everybody was answered."""
        return all(caller.ask is None for caller in self.callers)

    def send(self, node: Node, ask: Ask, hear: Callable[[Answer], None], *, digest: bytes = b"") -> None:
        """Ask a node."""
        self._tokens += 1
        self._waiting[self._tokens] = (node.index, hear)
        node.push(Request(self._tokens, ask.command, ask.principal, ask.key, digest or ask.digest, ask.key))

    def answered(self, token: int, answer: Answer) -> int | None:
        """A node answers; the answer may be lost on its way. Who hears that the node is held asks again.

        The node, if with this a caller was told for the first time that what it asked is done.
        """
        index, hear = self._waiting.pop(token)
        before = self.model.answered
        if is_refused_by(answer, NodeHeld.code):
            self.model.held += 1
        elif not self.chance.happens(self.answer_lost):
            hear(answer)
        return index if self.model.answered > before and isinstance(answer, Done) else None


class Caller:
    """One person or program at one node."""

    def __init__(self, callers: Callers, node: Node, did: Did, name: str, rng: Random, pause_ms: int) -> None:
        self.ask: Ask | None = None
        self.name = name
        self._callers = callers
        self._node = node
        self._did = did
        self._rng = rng
        self._redundancy = Random(f"{name}/{rng.getstate()}")
        """Draws what came later, so that the older draws of a seed stay what they were."""
        self._pause_ms = pause_ms
        self._count = 0
        self._jobs: list[JobId] = []
        self._modules: list[Cid] = []
        self._past: list[Ask] = []
        self._todo: list[NodeCommand] = []
        if did == node.did:
            members = [SeedSigner(bytes([m + 1, node.index]) * 16).did for m in range(MEMBERS_PER_NODE)]
            self._todo = [OpenAccountFor(member) for member in members]
            if node.index == 0:
                town = callers.town
                self._todo.insert(0, Found("simulated", town.founders, town.policy))

    def act(self) -> None:
        """Ask the next thing."""
        if self.ask is not None or self._callers.is_over or self._node.index in self._callers.closing:
            return
        still = self._callers.rhythm.opens_in(self._callers.timeline.now_us)
        if still:
            self._callers.timeline.plan(still + self._rng.randrange(2 * self._pause_ms) * MS, self.act)
            return
        if self._past and self._rng.random() < 0.1:
            past = self._rng.choice(self._past)
            if self._callers.model.remembers(past):
                self._ask_again(past)
        command = self._todo.pop(0) if self._todo else self._choose()
        self._count += 1
        key = f"{self.name}-{self._count}"
        self.ask = Ask(self._node.did, self._did, key, hashlib.sha256(key.encode()).digest(), command)
        self._send()
        if self._rng.random() < 0.05:
            self._send(again=False)

    def _send(self, *, again: bool = True) -> None:
        ask = self.ask
        if ask is None:
            return
        self._callers.send(self._node, ask, lambda answer: self._hear(ask, answer))
        if again:
            patience = PATIENCE_MS + self._rng.randrange(PATIENCE_MS)
            self._callers.timeline.plan(patience * MS, self._lose_patience, ask)

    def _lose_patience(self, ask: Ask) -> None:
        if self.ask is ask:
            self._send()

    def _ask_again(self, ask: Ask) -> None:
        model = self._callers.model
        if self._rng.random() < 0.3:
            other = hashlib.sha256(b"another body" + ask.digest).digest()
            self._callers.send(self._node, ask, lambda answer: model.hear_conflict(ask, answer), digest=other)
        else:
            self._callers.send(self._node, ask, lambda answer: model.hear(ask, answer))

    def _hear(self, ask: Ask, answer: Answer) -> None:
        self._callers.model.hear(ask, answer)
        if self.ask is not ask:
            return
        self.ask = None
        self._past.append(ask)
        self._learn(ask, answer)
        pause = 1 + self._rng.randrange(2 * self._pause_ms)
        self._callers.timeline.plan(pause * MS, self.act)

    def _learn(self, ask: Ask, answer: Answer) -> None:
        if not isinstance(answer, Done):
            if isinstance(ask.command, OpenAccountFor) and answer.code == NotInFederation.code:
                self._todo.append(ask.command)
            return
        match ask.command:
            case Submit():
                self._jobs.append(JobId.parse(answer.body["job_id"]))
            case PutContent():
                cid = Cid.parse(answer.body["cid"])
                self._modules.append(cid)
                self._callers.town.contents.append(cid)
            case _:
                pass

    def _choose(self) -> NodeCommand:
        rng, town = self._rng, self._callers.town
        draw = rng.random()
        if self._did == self._node.did and self._node.index < 2 and draw < 0.08:
            return Admit(rng.choice(town.nodes).did)
        if draw < 0.45:
            return Pay(rng.choice(town.owners), Mana(rng.choice((1, 3, 10, 40, 500))), "")
        if draw < 0.8:
            return self._submission()
        if draw < 0.86 and self._jobs:
            return Cancel(rng.choice(self._jobs[-3:]))
        if draw < 0.94 or not town.contents:
            data = rng.randbytes(rng.choice((3, 200, 9_000)))
            if rng.random() < 0.2:
                return PutContent(encode({"data": data}), DAG_CBOR, pinned=True, lifetime_ms=None)
            return PutContent(data, RAW, pinned=False, lifetime_ms=rng.choice((None, 60_000)))
        return FetchContent(rng.choice(town.contents))

    def _submission(self) -> Submit:
        rng = self._rng
        module = rng.choice(self._modules) if self._modules and rng.random() < 0.5 else None
        given = rng.randbytes(rng.choice((0, 40, 5_000)))
        limits = Limits(
            fuel=rng.choice((1_000, 3_000_000)),
            memory_bytes=rng.choice((1, 1, 1, 2)) << 20,
            table_elements=10,
            wall_ms=rng.choice((500, 3_000)),
            output_bytes=10_000,
        )
        span = Duration(rng.randrange(DEADLINE_SECONDS[0] * 1000, DEADLINE_SECONDS[1] * 1000))
        spec = JobSpec(
            module=module,
            arguments=("simulate", self.name),
            input=b"",
            input_cid=None,
            limits=limits,
            max_price=Mana(rng.choice((2, 5, 20))),
            capabilities=(),
            deadline=later(self._node.local_time(), span),
            redundancy=self._redundancy.choice((1, 1, 3)),
        )
        return Submit(spec, given)


LAST_DEADLINE_US = DEADLINE_SECONDS[1] * SECOND
"""The longest a job lives after its submission."""
