"""Scenario files: a line at the margin does something, the indented lines below it are all that is seen to follow.

```
nodes a b c    founders b c    capacity b=1
a submits job j1 for 50
  a -> b: JobAnnounced j1
  a: JobSubmitted j1, ManaHeld 50, BiddingOpened j1
```

The first node founds; founders besides it are connected from the start, others join when they meet somebody.

Seen are records as they become durable at their author, and messages about jobs as they are sent; blocks and heads on
the way are left out, for they say what the records say. `…` in place of an expectation accepts whatever comes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.papers import open_assignment, open_bid, open_receipt
from icn.kernel.ids import Did, JobId
from icn.kernel.mana import Mana
from icn.protocol.messages import (
    Acknowledged,
    AssignmentSent,
    BidOffered,
    Message,
    ReceiptSent,
)
from icn.services.answers import Done
from icn.services.commands import Admit, Cancel, OpenAccountFor, Pay
from icn.services.effects import Committed, Disconnect, Effect, Send, StopJob
from icn.services.inputs import Executed
from support import builders
from support.world import World, terms


@dataclass
class Dialogue:
    """One scenario under way."""

    path: Path
    world: World = field(default_factory=World)
    jobs: dict[str, JobId] = field(default_factory=dict)
    running: dict[tuple[str, JobId], ExecutionRequest] = field(default_factory=dict)
    seen: int = 0

    def play(self) -> tuple[list[str], list[str]]:
        """(the file as it stands, the file as it should be)."""
        written, heard = [], []
        lines = self.path.read_text().splitlines()
        index = 0
        while index < len(lines):
            line = lines[index]
            index += 1
            written.append(line)
            heard.append(line)
            if not line.strip() or line.startswith("#"):
                continue
            expected = []
            while index < len(lines) and lines[index].startswith("  "):
                expected.append(lines[index])
                index += 1
            self.act(line.split("#")[0].split())
            followed = [f"  {what}" for what in self.follows()]
            written += expected
            heard += expected if expected == ["  …"] else followed
        return written, heard

    def act(self, words: list[str]) -> None:
        """Do what a line at the margin says."""
        world = self.world
        match words:
            case ["nodes", *rest]:
                self._begin(rest)
                return
            case [who, "submits", "job", job, "for", price]:
                spec = world.spec(within=120_000, max_price=Mana(int(price)))
                self.jobs[job] = world.submit(who, spec, data=job.encode())
            case [who, "cancels", job]:
                answer = world.do(who, Cancel(self.jobs[job]))
                assert isinstance(answer, Done), answer
            case [who, "finishes", job]:
                self._end(who, job, ExitKind.COMPLETED)
            case [who, "loses", job]:
                self._end(who, job, ExitKind.WORKER_LOST)
            case [who, "traps", "on", job]:
                self._end(who, job, ExitKind.TRAPPED)
            case [who, "stops", job]:
                self._end(who, job, ExitKind.CANCELLED)
            case [who, "pays", payee, amount]:
                world.done(who, Pay(world[payee].did, Mana(int(amount)), ""))
            case [who, "opens", "an", "account", "for", number]:
                world.done(who, OpenAccountFor(builders.did(int(number))))
            case [who, "admits", other]:
                world.done(who, Admit(world[other].did))
            case [one, "and", other, "meet"]:
                world.link(one, other)
            case [one, "and", other, "part"]:
                world.cut(one, other)
            case [who, "restarts"]:
                world.restart(who)
            case ["everybody", "meets"]:
                world.link_all()
            case [amount, "ms", "pass"]:
                world.pass_time(int(amount))
            case ["all", "agree"]:
                assert len(dict.fromkeys(world.roots())) == 1, f"{self.path.name}: roots differ"
            case [who, "has", amount]:
                account = world[who].engine.state.ledger.account(world[who].did, world[who].did)
                assert account is not None
                assert account.balance == int(amount), f"{self.path.name}: {who} has {account.balance}"
            case _:
                raise AssertionError(f"{self.path.name}: nobody knows how to {' '.join(words)!r}")
        world.settle()

    def _begin(self, words: list[str]) -> None:
        """The first line."""
        parts: dict[str, list[str]] = {"nodes": []}
        part = "nodes"
        for word in words:
            if word in {"founders", "capacity"}:
                part = word
                parts[part] = []
            else:
                parts[part].append(word)
        capacities = dict(pair.split("=") for pair in parts.get("capacity", []))
        founder = parts["nodes"][0]
        for name in parts["nodes"]:
            node_terms = terms(capacity=int(capacities.get(name, "0")), joins=name != founder)
            self.world.add(name, node_terms, run=self._runner(name))
        self.world.found(founder, founders=tuple(parts.get("founders", [])))
        for name in parts.get("founders", []):
            self.world.link(founder, name)
        for index, one in enumerate(parts.get("founders", [])):
            for other in parts["founders"][index + 1 :]:
                self.world.link(one, other)
        self.world.pass_time(2_000)
        self.follows()

    def _runner(self, name: str) -> Any:
        def run(request: ExecutionRequest) -> ExecutionOutcome | None:
            self.running[name, request.job] = request
            return None

        return run

    def _end(self, who: str, job: str, kind: ExitKind) -> None:
        request = self.running.pop((who, self.jobs[job]))
        self.world[who].inbox.append(Executed(request, builders.outcome(request, kind, kind.value)))

    def follows(self) -> list[str]:
        """What was seen since the last call."""
        told = [text for name, effect in self.world.trace[self.seen :] if (text := self._tell(name, effect))]
        self.seen = len(self.world.trace)
        merged: list[str] = []
        for text in told:  # one line per node and batch of records
            before = merged[-1].split(": ")[0] if merged else ""
            if " -> " not in text and text.split(": ")[0] == before and " -> " not in before:
                merged[-1] += ", " + text.split(": ")[1]
            else:
                merged.append(text)
        return merged

    def _tell(self, name: str, effect: Effect) -> str:
        match effect:
            case Committed(author=author, record=record) if author == self.world[name].did:
                return f"{name}: {type(record.event).__name__}{self._about(record.event)}"
            case Send(peer, message):
                about = self._job_of(message)
                if about is not None:
                    return f"{name} -> {self.world.name_of(peer)}: {type(message).__name__} {about}"
            case StopJob(job, _):
                return f"{name}: stops {self._name(job)}"
            case Disconnect(peer, reason):
                return f"{name}: lets {self.world.name_of(peer)} go ({reason})"
            case _:
                pass
        return ""

    def _about(self, event: object) -> str:
        said = []
        job = getattr(event, "job", None)
        if isinstance(job, JobId):
            said.append(self._name(job))
        if getattr(event, "attempt", 1) > 1:
            said.append(f"attempt {getattr(event, 'attempt', 1)}")
        amounts = ("amount", "paid", "granted", "restored")
        said += [str(getattr(event, name)) for name in amounts if hasattr(event, name)]
        for field_name in ("executor", "payee", "node"):
            who = getattr(event, field_name, None)
            if isinstance(who, Did):
                said.append(f"({self.world.name_of(who)})")
        said += [f"({self.world.name_of(assignee.executor)})" for assignee in getattr(event, "assignees", ())]
        return "".join(f" {word}" for word in said)

    def _job_of(self, message: Message) -> str | None:
        match message:
            case Acknowledged():
                return None
            case BidOffered(bid):
                offer = open_bid(bid)
                return f"{self._name(offer.job)} for {offer.price}"
            case AssignmentSent(_, assignment):
                return self._name(open_assignment(assignment).job)
            case ReceiptSent(_, receipt):
                opened = open_receipt(receipt)
                return f"{self._name(opened.job)} {opened.exit.value}"
            case _:
                job = getattr(message, "job", None)
                return self._name(job) if isinstance(job, JobId) else None

    def _name(self, job: JobId) -> str:
        # A job is seen before its name is known here: the one submitted last.
        return next((name for name, known in self.jobs.items() if known == job), "?")
