"""Values for tests: who, when, what a job asks, in whose ancestry. Small, valid, and alike on every run."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from icn.domain.context import Ancestry, Context
from icn.domain.dag.block import FORMAT_VERSION, Block, Header, sign_block
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind, Limits
from icn.domain.mesh.model import Assignment, Bid, Job, JobSpec, Receipt, Status
from icn.domain.records import Envelope, Event, Record, write_record
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner

START = Instant(1_000_000)
"""When tests begin."""
NODE_ITSELF = Envelope(None, None, "", "", None)


def signer(number: int) -> SeedSigner:
    """The key of node `number`."""
    return SeedSigner(bytes([number]) * 32)


def did(number: int) -> Did:
    """The name of node `number`."""
    return signer(number).did


def digest(text: str) -> bytes:
    """32 bytes that look random."""
    return hashlib.sha256(text.encode()).digest()


def cid(text: str) -> Cid:
    """The name of some content."""
    return Cid.of(text.encode(), RAW)


def policy(**changes: Any) -> Policy:
    """An open federation that grants 1000 and gives 100 an hour up to 10,000."""
    made = Policy(JoinPolicy.OPEN, Mana(1000), Mana(10_000), 100, 100)
    return replace(made, **changes)


def limits(**changes: Any) -> Limits:
    """What a small job may use."""
    made = Limits(fuel=1000, memory_bytes=1 << 20, table_elements=10, wall_ms=1000, output_bytes=1000)
    return replace(made, **changes)


def spec(**changes: Any) -> JobSpec:
    """A job for the built-in, for at most 10 mana, within a minute of the start."""
    made = JobSpec(
        module=None,
        arguments=("x",),
        input=b"",
        input_cid=None,
        limits=limits(),
        max_price=Mana(10),
        capabilities=(),
        deadline=Instant(START + 60_000),
        redundancy=1,
    )
    return replace(made, **changes)


def job_id(home: Did, name: str = "job") -> JobId:
    """A job of `home`."""
    return JobId.of(home, digest(name)[:16])


def bid(executor: int, home: int, /, **changes: Any) -> Bid:
    """An offer of 1 mana for the first attempt."""
    made = Bid(job_id(did(home)), 1, did(home), did(executor), Mana(1), ())
    return replace(made, **changes)


def assignment(executor: int, home: int, /, **changes: Any) -> Assignment:
    """The first attempt, for 1 mana, within five seconds."""
    given = spec()
    made = Assignment(job_id(did(home)), 1, did(home), did(executor), Mana(1), Instant(START + 5_000), given)
    return replace(made, **changes)


def receipt(executor: int, home: int, /, **changes: Any) -> Receipt:
    """A completed first attempt of `spec()` with the output "hello"."""
    made = Receipt(
        job=job_id(did(home)),
        attempt=1,
        home=did(home),
        executor=did(executor),
        spec=spec().cid,
        module=None,
        output=cid("hello"),
        exit=ExitKind.COMPLETED,
        exit_code=0,
        fuel_used=0,
        memory_peak_bytes=0,
        wall_ms=1,
        memory_growth_denied=0,
        table_growth_denied=0,
        profile="echo",
        detail="",
        finished_at=START,
        nonce=b"",
    )
    return replace(made, **changes)


def job(**changes: Any) -> Job:
    """A job of node 1 that takes bids for its first attempt."""
    home = did(1)
    made = Job(
        id=job_id(home),
        home=home,
        home_epoch=0,
        payer=home,
        spec=spec(),
        submitted_at=START,
        status=Status.BIDDING,
        attempt=1,
        due_at=START,
        assignees=(),
        assigned_at=None,
        failures=(),
        ended_at=None,
        reason="",
        output=None,
        paid=Mana(0),
        receipt=b"",
    )
    return replace(made, **changes)


def outcome(request: ExecutionRequest, kind: ExitKind = ExitKind.COMPLETED, detail: str = "") -> ExecutionOutcome:
    """What the built-in answers, or a failure."""
    return ExecutionOutcome(
        exit=kind,
        exit_code=0,
        output=request.input if kind is ExitKind.COMPLETED else b"",
        detail=detail,
        fuel_used=0,
        memory_peak_bytes=0,
        wall_ms=1,
        memory_growth_denied=0,
        table_growth_denied=0,
        profile="echo",
    )


@dataclass(frozen=True, slots=True)
class Knows:
    """An ancestry: how many blocks of each author are in it, and of which so many are confirmed."""

    counts: Mapping[Did, int]
    confirmed: Mapping[Did, int]
    ended: tuple[Did, ...] = ()

    def has(self, author: Did, sequence: int) -> bool:
        return self.counts.get(author, 0) > sequence

    def count(self, author: Did) -> int:
        return self.counts.get(author, 0)

    def has_ended(self, author: Did) -> bool:
        return author in self.ended

    def has_ended_for_good(self, author: Did) -> bool:
        return author in self.ended

    def confirms(self, author: Did, sequence: int) -> bool:
        return self.confirmed.get(author, 0) > sequence


class Everything:
    """An ancestry with every block in it, all confirmed."""

    def has(self, author: Did, sequence: int) -> bool:
        return True

    def count(self, author: Did) -> int:
        return 2**62

    def has_ended(self, author: Did) -> bool:
        return False

    def has_ended_for_good(self, author: Did) -> bool:
        return False

    def confirms(self, author: Did, sequence: int) -> bool:
        return True


class Nothing:
    """An empty ancestry."""

    def has(self, author: Did, sequence: int) -> bool:
        return False

    def count(self, author: Did) -> int:
        return 0

    def has_ended(self, author: Did) -> bool:
        return False

    def has_ended_for_good(self, author: Did) -> bool:
        return False

    def confirms(self, author: Did, sequence: int) -> bool:
        return False


EVERYTHING = Everything()
NOTHING = Nothing()


def context(author: int = 1, *, sequence: int = 1, time: int = START, ancestry: Ancestry = EVERYTHING) -> Context:
    """The context of a record of node `author`."""
    return Context(did(author), sequence, Instant(time), ancestry)


def block(
    author: int,
    events: Iterable[Event] = (),
    *,
    federation: Cid | None = None,
    sequence: int = 0,
    previous: Cid | None = None,
    parents: Iterable[Cid] = (),
    time: int = START,
    records: tuple[Any, ...] | None = None,
) -> Block:
    """A signed block. `records` in place of events for what no honest node writes."""
    written = tuple(write_record(Record(NODE_ITSELF, event)) for event in events) if records is None else records
    header = Header(FORMAT_VERSION, federation, did(author), sequence, previous, tuple(sorted(parents)), Instant(time))
    return sign_block(header, written, signer(author))
