"""What a load consists of: jobs whose results are known beforehand, and transfers; each timed by whoever asked for it.

A node that is away (killed, paused, restarting) is asked again under the same key, so what is counted was done once.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from icn.cli.answer import Document, read_document
from icn.cli.client import path_of
from icn.cli.devnet.asking import Asker
from icn.cli.endings import Ended, Exit
from icn.cli.following import follow
from icn.cli.session import Session
from icn.cli.watching import END

T = TypeVar("T")

TURNS = 100_000
"""Of the module's loop: some milliseconds in a sandbox."""
MODULE = f"""(module (func (export "run") (result i64) (local $n i64) (local $sum i64)
  (loop $on
    (local.set $n (i64.add (local.get $n) (i64.const 1)))
    (local.set $sum (i64.add (local.get $sum) (i64.mul (local.get $n) (local.get $n))))
    (br_if $on (i64.lt_u (local.get $n) (i64.const {TURNS}))))
  (local.get $sum)))"""
EXPECTED = (TURNS * (TURNS + 1) * (2 * TURNS + 1) // 6 % 2**64).to_bytes(8, "little")
"""The sum of the first squares, which has a formula: nobody can pass without having done it."""
FUEL = 10_000_000
MAX_PRICE = 1000
PAUSE = 0.5
AWAY = frozenset((Exit.UNREACHABLE, Exit.FAULT))
"""Ways of not answering that time mends."""


@dataclass(slots=True)
class Tally:
    """What became of one kind of work."""

    asked: int
    seconds: list[float] = field(default_factory=list)
    """Of those that succeeded, from asking to knowing."""
    failures: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many succeeded."""
        return len(self.seconds)


class Load:
    """One run. `until`: on the monotonic clock, when what is not done has failed."""

    def __init__(self, session: Session, asked: Sequence[Asker], until: float) -> None:
        self._session = session
        self._asked = asked
        self._until = until
        self._run = session.world.random(8).hex()

    def jobs(self, count: int, at_once: int, tell: Callable[[Tally], None]) -> Tally:
        """Jobs at every node in turn. Nothing is done twice, whatever is repeated."""
        try:
            modules = {one.name: self._stored(one) for one in self._asked} if count else {}
        except Ended as ended:
            return Tally(count, failures=[f"the module could not be stored: {ended.what}"])

        def one(number: int) -> None:
            home = self._asked[number % len(self._asked)]
            body = {
                "module": modules[home.name],
                "args": [],
                "fuel": FUEL,
                "max_price": MAX_PRICE,
                "deadline_seconds": max(1, int(self._until - time.monotonic())),
            }
            job = self._asking(lambda: home.post("/mesh/submit", body, key=f"load-{self._run}-job-{number}"))
            self._check_job(home, job.text("job_id"))

        return self._all(count, at_once, one, tell)

    def transfers(self, count: int, at_once: int, tell: Callable[[Tally], None]) -> Tally:
        """One mana each, from every node in turn to the next one."""

        def one(number: int) -> None:
            payer, payee = (self._asked[(number + step) % len(self._asked)] for step in (0, 1))
            body = {"to": payee.node.did, "amount": 1, "note": f"load {self._run} {number}"}
            self._asking(lambda: payer.post("/mana/transfer", body, key=f"load-{self._run}-transfer-{number}"))

        return self._all(count, at_once, one, tell)

    def _all(self, count: int, at_once: int, one: Callable[[int], None], tell: Callable[[Tally], None]) -> Tally:
        tally = Tally(count)

        def timed(number: int) -> None:
            begun = time.monotonic()
            try:
                one(number)
            except Ended as ended:
                tally.failures.append(ended.what)
            else:
                tally.seconds.append(time.monotonic() - begun)
            tell(tally)

        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(timed, range(count)))
        return tally

    def _stored(self, home: Asker) -> str:
        from icn.adapters.wasm.text import compile_text
        from icn.cli.dag import put_body

        body = put_body(compile_text(MODULE), "raw", pin=True, ttl=None)
        stored: Document = self._asking(lambda: home.post("/dag/put", body, key=f"load-{self._run}-module"))
        return stored.text("cid")

    def _check_job(self, home: Asker, job: str) -> None:
        """Wait for its end; raises `Ended` unless it completed with the right result."""
        ended = self._asking(lambda: self._end_of(home, job))
        if ended.text("status") != "completed":
            raise _wrong(f"{job} {ended.text('status')}: {ended.text('reason')}")
        output = self._asking(lambda: home.raw(path_of("mesh", "jobs", job, "output"))).body
        if output != EXPECTED:
            raise _wrong(f"{job} completed with a wrong result: {output.hex()}")

    def _end_of(self, home: Asker, job: str) -> Document:
        for told in follow(home.client, self._session.world, path_of("mesh", "jobs", job, "stream"), []):
            if told.name == END:
                return read_document(told.data.encode())
        raise _wrong(f"{job}: its stream ended")

    def _asking(self, question: Callable[[], T]) -> T:
        """Ask until there is an answer, or it is too late."""
        while True:
            try:
                return question()
            except Ended as ended:
                if ended.exit_status not in AWAY or time.monotonic() > self._until:
                    raise
            self._session.world.pause(PAUSE)


def _wrong(what: str) -> Ended:
    return Ended(Exit.NOT_FOUND_OR_UNVERIFIED, what, code="cli.load_failed")
