"""What callers were told: the obviously right account that the stores are held against at the end.

A caller remembers what was acknowledged to it, and that the same key must get the same answer for ever.
"""

from dataclasses import dataclass, field

from icn.kernel.ids import Cid, Did
from icn.services import rows
from icn.services.answers import Answer, Done, Refused
from icn.services.authorship import AnswerLost, NodeHeld
from icn.services.commands import FetchContent, NodeCommand, OpenAccountFor, Pay, PutContent, Submit
from icn.sim.findings import expect
from icn.stores import keyspace
from icn.stores.kv import Reader

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


def is_refused_by(answer: Answer, code: str) -> bool:
    """Whether `answer` is that refusal."""
    return isinstance(answer, Refused) and answer.code == code


def _reply_key(principal: Did, key: str) -> bytes:
    return keyspace.reply(str(principal)) + key.encode()


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
    put_back: dict[Did, None] = field(default_factory=dict)
    """Nodes whose store was put back: what they said before, and only they had, is gone."""
    held: int = 0

    def forget(self, home: Did, store: Reader) -> None:
        """An older copy of the store of `home` is put back: what it does not hold was not promised."""
        self.put_back[home] = None
        gone = [name for name in self.answers if name[0] == home and store.get(_reply_key(name[1], name[2])) is None]
        for name in gone:
            del self.answers[name]
            ask = self.asks.pop(name)
            self.transfers = [told for told in self.transfers if told.ask != ask]
            self.jobs = {job: by for job, by in self.jobs.items() if by != ask}
        lost = [c for c, (node, _) in self.contents.items() if node == home and store.get(keyspace.block(c)) is None]
        for cid in lost:
            del self.contents[cid]
        for owner, node in list(self.accounts.items()):
            if node == home and rows.ACCOUNTS.get(store, rows.account_key(owner, home)) is None:
                del self.accounts[owner]

    def disown(self, home: Did) -> None:
        """`home` was removed: what it said before it heard of that need not have come to anybody."""
        for name in [name for name in self.answers if name[0] == home]:
            del self.answers[name]
            del self.asks[name]
        self.transfers = [told for told in self.transfers if told.ask.home != home]
        self.jobs = {job: by for job, by in self.jobs.items() if by.home != home}
        self.contents = {cid: told for cid, told in self.contents.items() if told[0] != home}
        self.accounts = {owner: node for owner, node in self.accounts.items() if node != home}

    def remembers(self, ask: Ask) -> bool:
        """Whether `ask` was answered, by a store that was not put back since."""
        return (ask.home, ask.principal, ask.key) in self.answers

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
        if not self.remembers(ask) or is_refused_by(answer, NodeHeld.code):
            return  # the other one is forgotten where it was asked
        if is_refused_by(self.answers[ask.home, ask.principal, ask.key], AnswerLost.code):
            expect(
                is_refused_by(answer, AnswerLost.code),
                "a key stands for one request",
                f"{ask.key}, whose answer was lost, with another body got {answer}",
            )
            return  # what was asked was lost with it: nobody can tell one body from another
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
