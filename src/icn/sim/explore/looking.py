"""What must hold in every state that an exploration reaches, and what besides when everything has ended.

Most of it is about one node and is looked at once, when that state of the node is first met. What is about several is
looked at once for each pair of such states.
"""

from itertools import pairwise

from icn.domain.mesh.model import Status
from icn.kernel.ids import Did, JobId
from icn.services import rows
from icn.services.answers import Done
from icn.services.commands import Submit
from icn.sim import checkers
from icn.sim.capacity import within_capacity
from icn.sim.explore.case import Ask
from icn.sim.explore.history import HELD, OPEN, RELEASED, SETTLED
from icn.sim.explore.moves import Federation, State
from icn.sim.explore.process import Local
from icn.sim.findings import expect
from icn.stores import keyspace

_FEED_KEY_BYTES = 1 + 32


def look_at(local: Local) -> None:
    """One node, as it is between two batches. Raises a `Finding`."""
    engine, name, history = local.engine, f"node {local.node}", local.history
    for key, how in history.holds.items():
        job = history.jobs.get(key)
        due = HELD if job == OPEN else SETTLED if job == Status.COMPLETED.value else RELEASED
        expect(how == due, "a hold lives as long as its job", f"{name}: the job is {job}, its hold {how}")
    expect(
        history.jobs.keys() == history.holds.keys(), "a hold lives as long as its job", f"{name}: one without another"
    )
    if engine is None:
        return
    state = engine.state
    checkers.supply_adds_up(name, state.ledger)
    checkers.same_state("live state is the stored one", name, state, rows.load(local.disk))
    held = {(home, bytes(hold)): amount.amount for (home, hold), amount in state.ledger.holds.items()}
    wanted = {(job.home, job.id.data): job.spec.price_held for job in state.mesh.jobs.values()}
    expect(held == wanted, "a hold lives as long as its job", f"{name}: holds {held}, open jobs {wanted}")
    within_capacity(name, engine, [(run.request.job.data, run.request.attempt) for run in local.running])
    expect(not engine.replication.arrivals.refused, "honest blocks are accepted", name)


class Looking:
    """What is about several nodes. Remembers which pairs it has looked at."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._feeds: dict[int, dict[bytes, bytes]] = {}
        self._pairs: dict[tuple[int, int], None] = {}
        self._agreed: dict[tuple[int, int], None] = {}
        self._replayed: dict[int, None] = {}
        self._told: dict[tuple[int, int, int], None] = {}

    def look(self, state: State) -> None:
        """Anything that two nodes must not contradict each other in, or a node its callers."""
        locals_ = self._federation.locals_of(state)
        for index, one in enumerate(locals_):
            for other in locals_[index + 1 :]:
                pair = (one.number, other.number)
                if pair not in self._pairs:
                    self._same_feeds(one, other)
                    self._pairs[pair] = None
        answers = self._federation.answers_of(state)
        for number, (ask, answer) in enumerate(zip(self._federation.asks, answers, strict=True)):
            if isinstance(answer, Done):
                local = locals_[ask.node]
                key = (local.number, number, id(answer))
                if key not in self._told:
                    self._kept(local, ask, answer)
                    self._told[key] = None

    def has_ended(self, state: State) -> bool:
        """Whether nothing is left to happen but what idle nodes say to each other."""
        federation = self._federation
        locals_ = federation.locals_of(state)
        if not federation.is_empty_between(state) or not federation.is_answered(state):
            return False
        roots: dict[str, None] = {}
        for local in locals_:
            engine = local.engine
            if engine is None or local.idle is None or local.running:
                return False
            mesh, ledger = engine.state.mesh, engine.state.ledger
            if mesh.jobs or mesh.executions or ledger.transits or engine.outbox.waiting:
                return False
            roots[engine.state.feeds.root()] = None
        return len(roots) == 1

    def look_at_end(self, state: State) -> None:
        """Everybody agrees, every receipt was answered, and the journals give the very states."""
        locals_ = self._federation.locals_of(state)
        for one, other in pairwise(locals_):
            pair = (one.number, other.number)
            if pair in self._agreed or one.engine is None or other.engine is None:
                continue
            what = f"node {one.node} and node {other.node}"
            checkers.same_state("agreement", what, one.engine.state, other.engine.state)
            self._agreed[pair] = None
        for local in locals_:
            if local.number in self._replayed or local.engine is None:
                continue
            unanswered = local.history.issued.keys() - local.history.taken.keys()
            expect(not unanswered, "receipts are answered", f"node {local.node}: {len(unanswered)} never were")
            checkers.same_state("replay", f"node {local.node}", local.engine.state, checkers.replayed(local.disk))
            self._replayed[local.number] = None

    def _same_feeds(self, one: Local, other: Local) -> None:
        ours, theirs = self._feeds_of(one), self._feeds_of(other)
        for key, cid in ours.items():
            if theirs.get(key, cid) != cid:
                author = Did.from_public_key(key[1:_FEED_KEY_BYTES])
                expect(False, "no honest equivocation", f"{author} signed two blocks with one sequence")

    def _feeds_of(self, local: Local) -> dict[bytes, bytes]:
        known = self._feeds.get(local.number)
        if known is None:
            known = self._feeds[local.number] = dict(local.disk.scan(keyspace.FEED))
        return known

    @staticmethod
    def _kept(local: Local, ask: Ask, answer: Done) -> None:
        """What a caller was told is on the disk of who said so, whether its process lives or not."""
        job = str(answer.body.get("job_id", ""))
        status = next((how for (_, data), how in local.history.jobs.items() if str(JobId(data)) == job), None)
        expect(status is not None, "durability", f"the acknowledged job {job} is gone")
        if not isinstance(ask.command, Submit):
            expect(status == Status.CANCELLED.value, "cancelled is cancelled", f"{job} is {status}")
