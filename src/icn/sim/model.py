"""What callers were told: the obviously right account that the stores are held against at the end.

A caller remembers what was acknowledged to it, and that the same key must get the same answer for ever.
"""

from dataclasses import dataclass, field

from icn.kernel.ids import Cid, Did
from icn.services.answers import Answer, Done, Refused
from icn.services.commands import FetchContent, NodeCommand, OpenAccountFor, Pay, PutContent, Submit
from icn.sim.findings import expect

KeyName = tuple[Did, Did, str]
"""(home, principal, request key)"""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a caller, whatever often it is sent."""

    home: Did
    principal: Did
    key: str
    digest: bytes
    command: NodeCommand


@dataclass(frozen=True, slots=True)
class ToldTransfer:
    """An acknowledged payment."""

    ask: Ask
    name: str
    block: str
    amount: int
    payee: Did


@dataclass(slots=True)
class Model:
    """Everything that was said to callers."""

    answers: dict[KeyName, Answer] = field(default_factory=dict)
    asks: dict[KeyName, Ask] = field(default_factory=dict)
    transfers: list[ToldTransfer] = field(default_factory=list)
    jobs: dict[str, Ask] = field(default_factory=dict)
    contents: dict[Cid, tuple[Did, bytes]] = field(default_factory=dict)
    """Content to the node that acknowledged it first."""
    accounts: dict[Did, Did] = field(default_factory=dict)
    """Owner to home."""
    refusals: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    repeated: int = 0

    def hear(self, ask: Ask, answer: Answer) -> None:
        """A caller got `answer`."""
        name = (ask.home, ask.principal, ask.key)
        before = self.answers.get(name)
        if before is not None:
            self.repeated += 1
            expect(before == answer, "one key, one answer", f"{ask.key}: {before} became {answer}")
            return
        self.answers[name] = answer
        self.asks[name] = ask
        self.answered += 1
        if isinstance(answer, Refused):
            self.refusals[answer.code] = self.refusals.get(answer.code, 0) + 1
        else:
            self._believe(ask, answer)

    def hear_conflict(self, ask: Ask, answer: Answer) -> None:
        """The answer to a request under the key of another one."""
        expect(
            isinstance(answer, Refused) and answer.code == "request.key_reused",
            "a key stands for one request",
            f"{ask.key} with another body got {answer}",
        )

    def _believe(self, ask: Ask, answer: Done) -> None:
        body = answer.body
        match ask.command:
            case Pay(payee, amount):
                self.transfers.append(ToldTransfer(ask, body["transfer"], body["block"], amount, payee))
            case Submit():
                expect(body["job_id"] not in self.jobs, "a job is one job", body["job_id"])
                self.jobs[body["job_id"]] = ask
            case PutContent(data):
                self.contents.setdefault(Cid.parse(body["cid"]), (ask.home, data))
            case FetchContent(cid):
                expect(str(cid) == body["cid"], "content is what was asked for", str(cid))
            case OpenAccountFor(owner):
                self.accounts[owner] = ask.home
            case _:
                pass
