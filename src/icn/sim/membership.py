"""Nodes that join late, leave, or are removed: drawn from the seed, and checked at the end.

A newcomer gets a line from a member's operator, who asks until it is answered; sometimes two get one, sometimes it is
taken back. One that is left without is admitted in the end by what callers say anyhow, or waits: that is no fault.
A node that leaves stops its callers first, and asks to leave until nothing is pending any more, also after all healed.
One that is removed goes on until it hears of it; the operators of all others vote, each until its own node knows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from icn.domain.federation.events import (
    AdmissionCounted,
    FederationFounded,
    InvitationIssued,
    InvitationRedeemed,
    InvitationRevoked,
    NodeAdmitted,
    NodeJoined,
    NodeLeft,
    NodeRemoved,
    RemovalVoted,
)
from icn.domain.federation.invitation import open_invitation, read_line
from icn.domain.federation.model import JoinPolicy
from icn.domain.federation.refusals import NotInFederation
from icn.kernel.ids import Did
from icn.kernel.instant import seconds
from icn.services.answers import Answer, Done
from icn.services.commands import Admit, Invite, Join, Leave, NodeCommand, Remove, Revoke
from icn.sim.checkers import Entry
from icn.sim.findings import expect
from icn.sim.model import Ask, is_refused_by
from icn.sim.node import Node
from icn.sim.timeline import MS, Timeline
from icn.sim.workload import Callers
from icn.stores.joining import Aim

ASK_AGAIN_US = 700 * MS
ADDRESS = "/ip4/127.0.0.1/tcp/7000"
"""Nobody dials in a simulation: the network connects whom it can."""


@dataclass(frozen=True, slots=True)
class Comings:
    """Who joins how, and who leaves. Nodes by index."""

    newcomers: tuple[int, ...] = ()
    """Not among the founders."""
    share_a_line: bool = False
    """All newcomers get the same line: one of them joins by it."""
    revokes: bool = False
    """A line is taken back some time after it was handed over."""
    by_votes: bool = False
    """Members vote on newcomers, instead of handing out lines."""
    joins_at_us: int = 0
    leaver: int | None = None
    leaves_at_us: int = 0
    removed: int | None = None
    removes_at_us: int = 0


def draw_comings(seed: int, nodes: int, span_ms: int) -> Comings:
    """For two fifths of the seeds; the others are federations of founders that stay, as they always were."""
    rng = Random(f"{seed}/membership")
    if nodes < 4 or rng.random() > 0.35:
        return _draw_removal(seed, nodes, span_ms)
    count = rng.choice((0, 1, 2))
    newcomers = tuple(range(nodes - count, nodes))
    leaver = rng.choice((None, 1, 1))
    by_votes = bool(newcomers) and Random(f"{seed}/newcomers voted on").random() < 0.3
    if by_votes and Random(f"{seed}/one of them leaves").random() < 0.5:
        leaver = newcomers[0]
    return Comings(
        newcomers=newcomers,
        share_a_line=rng.random() < 0.4,
        revokes=rng.random() < 0.3,
        by_votes=by_votes,
        joins_at_us=rng.randrange(1, span_ms) * MS,
        leaver=leaver,
        leaves_at_us=rng.randrange(span_ms // 4, span_ms) * MS,
    )


def _draw_removal(seed: int, nodes: int, span_ms: int) -> Comings:
    rng = Random(f"{seed}/removal")
    if nodes < 4 or rng.random() > 0.15:
        return Comings()
    return Comings(removed=rng.randrange(1, nodes), removes_at_us=rng.randrange(span_ms // 4, span_ms) * MS)


@dataclass(slots=True)
class Registrar:
    """The operators' part in all that."""

    comings: Comings
    timeline: Timeline
    nodes: list[Node]
    callers: Callers
    leaver: Node | None = None
    """Who leaves; None also when it turns out that there is nothing to leave."""
    removed: Node | None = None
    """Who is voted out."""
    _lines: int = 0
    _open: dict[str, None] = field(default_factory=dict)
    """Requests that were not answered."""

    def begin(self) -> None:
        """Plan what comes."""
        comings = self.comings
        if comings.newcomers:
            self.timeline.plan(comings.joins_at_us, self._vote if comings.by_votes else self._invite)
        if comings.leaver is not None:
            self.leaver = self.nodes[comings.leaver]
            self.timeline.plan(comings.leaves_at_us, self._leave, self.leaver)
        if comings.removed is not None:
            self.removed = self.nodes[comings.removed]
            self.removed.is_leaving = True  # what is put back of it would be released by nobody
            for node in self.staying:
                self.timeline.plan(comings.removes_at_us, self._vote_out, node, 0)

    def unrest(self) -> str:
        """Why it is not over; empty where it is."""
        if self._open:
            return f"operators without an answer: {' '.join(self._open)}"
        if self.removed is not None and self.removed.engine is None:
            return f"{self.removed.name} is down"
        leaver, removed = self.leaver, self.removed
        slow = [node.name for node in self.nodes if leaver is not None and not self._has_ended(node, leaver.did)]
        if leaver is not None and slow:
            return f"{leaver.name} has not left for {' '.join(slow)}"
        slow = [
            node.name
            for node in self.staying
            if removed is not None and self._may_remove(node, removed.did) and not self._has_ended(node, removed.did)
        ]
        return f"{removed.name} is not removed for {' '.join(slow)}" if removed is not None and slow else ""

    @staticmethod
    def _may_remove(node: Node, did: Did) -> bool:
        """Who has never come to join is no member, and nobody can vote on it; and of two neither removes the other."""
        if node.engine is None:
            return True
        members = node.engine.state.federation.members
        return did in members and sum(bool(one.admissions) and not one.has_ended for one in members.values()) > 2

    @staticmethod
    def _has_ended(node: Node, did: Did) -> bool:
        return node.engine is not None and node.engine.state.federation.has_ended(did)

    @property
    def staying(self) -> list[Node]:
        """The nodes that are compared with each other at the end."""
        return [node for node in self.nodes if node is not self.leaver and node is not self.removed]

    @property
    def gone(self) -> tuple[Did, ...]:
        """Who is no member at the end."""
        return tuple(node.did for node in (self.leaver, self.removed) if node is not None)

    def _invite(self) -> None:
        """Get a line for each newcomer, or one for all."""
        groups = [self.comings.newcomers] if self.comings.share_a_line else [(n,) for n in self.comings.newcomers]
        for group in groups:
            self._lines += 1
            command = Invite(seconds(3600), None, f"line {self._lines}", (ADDRESS,))
            self._ask(self.nodes[0], command, f"invite-{self._lines}", partial(self._hand_over, group))

    def _vote(self) -> None:
        """Every member votes for every newcomer, at about the same time."""
        for node in self.nodes:
            for newcomer in self.comings.newcomers:
                if node.index not in self.comings.newcomers and node.index != self.comings.leaver:
                    command = Admit(self.nodes[newcomer].did)
                    self._ask(node, command, f"vote-{node.index}-{newcomer}", _ignore)

    def _hand_over(self, group: tuple[int, ...], answer: Answer) -> None:
        if not isinstance(answer, Done):
            return  # it was put back meanwhile, or is not founded yet
        data = read_line(answer.body["line"])
        aim = Aim(open_invitation(data).addresses, data)
        for index in group:
            self._ask(self.nodes[index], Join(aim), f"join-{index}-{answer.body['id']}", _ignore)
        if self.comings.revokes:
            self.timeline.plan(
                2_000 * MS,
                self._ask,
                self.nodes[0],
                Revoke(bytes.fromhex(answer.body["id"])),
                f"revoke-{answer.body['id']}",
                _ignore,
            )

    def _vote_out(self, node: Node, attempt: int) -> None:
        """Who is not admitted yet, or does not know the other one, is asked again."""
        if self.removed is None or self._has_ended(node, self.removed.did):
            return
        if node.engine is not None:
            self._send(node, Remove(self.removed.did, "drawn"), f"remove-{node.index}-{attempt}", _ignore)
        self.timeline.plan(ASK_AGAIN_US, self._vote_out, node, attempt + 1)

    def _leave(self, node: Node) -> None:
        node.is_leaving = True
        self.callers.closing[node.index] = None
        self._try_to_leave(node, 0)

    def _try_to_leave(self, node: Node, attempt: int) -> None:
        engine = node.engine
        if self.leaver is None:
            return
        if engine is not None and engine.state.federation.has_ended(node.did):
            return
        if engine is not None:
            self._send(node, Leave(), f"leave-{attempt}", self._hear_of_leaving)
        self.timeline.plan(ASK_AGAIN_US, self._try_to_leave, node, attempt + 1)

    def _hear_of_leaving(self, answer: Answer) -> None:
        if self.callers.is_over and is_refused_by(answer, NotInFederation.code):
            self.leaver = None  # nobody has founded a federation, or it has never come to join it

    def _ask(self, node: Node, command: NodeCommand, key: str, then: Callable[[Answer], None]) -> None:
        """Until it is answered."""
        self._open[key] = None
        self._ask_again(node, command, key, then)

    def _ask_again(self, node: Node, command: NodeCommand, key: str, then: Callable[[Answer], None]) -> None:
        if key not in self._open:
            return

        def hear(answer: Answer) -> None:
            if self._open.pop(key, 0) is None:
                then(answer)

        self._send(node, command, key, hear)
        self.timeline.plan(ASK_AGAIN_US, self._ask_again, node, command, key, then)

    def _send(self, node: Node, command: NodeCommand, key: str, hear: Callable[[Answer], None]) -> None:
        self.callers.send(node, Ask(node.did, node.did, f"registrar-{key}", key.encode(), command), hear)


def membership_by_hand(entries: Iterable[Entry], policy: JoinPolicy) -> None:
    """Added up record by record, in an order in which causes stand before what leans on them."""
    admitted: dict[Did, None] = {}
    joined: dict[Did, None] = {}
    left: dict[Did, None] = {}
    lines: dict[tuple[Did, bytes], str] = {}
    votes: dict[Did, dict[Did, None]] = {}
    against: dict[Did, dict[Did, None]] = {}
    ends: dict[Did, int] = {}
    newest: dict[Did, int] = {}
    founders: tuple[Did, ...] = ()
    for entry in entries:
        author, event = entry.author, entry.record.event
        expect(
            author not in left, "a feed ends with leaving", f"{entry.record.name} in block {entry.sequence} of {author}"
        )
        newest[author] = max(entry.sequence, newest.get(author, 0))
        match event:
            case FederationFounded(founders=named):
                founders = named
                admitted |= dict.fromkeys(founders)
                joined[author] = None
            case NodeJoined():
                openly = policy is JoinPolicy.OPEN
                expect(openly or author in admitted, "nobody joins uninvited", str(author))
                joined[author] = None
            case NodeAdmitted(node) | AdmissionCounted(node):
                expect(author in admitted, "members admit", f"{author} admits {node}")
                if policy is JoinPolicy.VOTE and isinstance(event, NodeAdmitted):
                    votes.setdefault(node, {})[author] = None
                    continue
                # The members of its ancestry may be more than the founders that stay, and are no fewer.
                electorate = sum(1 for founder in founders if founder not in left)
                enough = policy is not JoinPolicy.VOTE or 2 * len(votes.get(node, {})) > electorate
                expect(enough, "more than half admit", f"{node} by {len(votes.get(node, {}))} votes")
                admitted[node] = None
            case InvitationIssued(id_):
                expect((author, id_) not in lines, "an invitation is issued once", id_.hex())
                lines[author, id_] = "open"
            case InvitationRevoked(id_) | InvitationRedeemed(id_):
                state = lines.get((author, id_))
                expect(state == "open", "an invitation is used once", f"{id_.hex()} of {author} was {state}")
                lines[author, id_] = entry.record.name
                if isinstance(event, InvitationRedeemed):
                    admitted[event.node] = None
            case NodeLeft():
                left[author] = None
            case RemovalVoted(node):
                said = f"{author} votes against {node}"
                expect(author in admitted and author != node, "members vote about others", said)
                expect(author not in against.setdefault(node, {}), "a vote is given once", said)
                against[node][author] = None
            case NodeRemoved(node, accepted):
                # As above: the members of its ancestry are no fewer than the founders that stay, who is removed too.
                electorate = sum(1 for founder in founders if founder not in left)
                enough = 2 * len(against.get(node, {})) > electorate
                expect(enough and author in against[node], "more than half remove", f"{author} counts against {node}")
                ends[node] = min(accepted, ends.get(node, accepted))
            case _:
                expect(author in joined, "members author", f"{entry.record.name} of {author}, who has not joined")
    for node, end in ends.items():
        expect(newest.get(node, 0) < max(end, 1), "a feed ends where its author is removed", f"{node} at {end}")


def _ignore(_answer: Answer) -> None:
    """Whatever it was."""
