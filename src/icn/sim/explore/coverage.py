"""What an exploration has seen: which situations a job, its hold and its executions were in, and where a node crashed.

A situation is what the home's journal says of the first job and its hold, and what its executors say of its execution.
"""

from collections import Counter
from dataclasses import dataclass, field

from icn.sim.explore.history import OPEN
from icn.sim.explore.moves import Federation, Move, State

Situation = tuple[str, str, str]
"""Of the job, of its hold, of its executions."""
NONE = "-"


@dataclass(slots=True)
class Coverage:
    """Counts by situation."""

    situations: Counter[Situation] = field(default_factory=Counter)
    crashes: Counter[tuple[Situation, str, str]] = field(default_factory=Counter)
    """Situation, who crashed, how far it came."""

    def note_state(self, federation: Federation, state: State) -> None:
        """A state was met."""
        self.situations[situation_of(federation, state)] += 1

    def note_crash(self, federation: Federation, state: State, move: Move) -> None:
        """A node crashed in `state`."""
        home = _home_of(federation)
        who = "home" if move.node == home else "executor"
        self.crashes[situation_of(federation, state), who, move.dies or "between batches"] += 1


def _home_of(federation: Federation) -> int:
    return federation.asks[0].node if federation.asks else 0


def situation_of(federation: Federation, state: State) -> Situation:
    """Of the first job."""
    locals_ = federation.locals_of(state)
    home = locals_[_home_of(federation)]
    did = federation.processes.dids[home.node]
    name = next((key for key in home.history.jobs if key[0] == did), None)
    if name is None:
        return NONE, NONE, NONE
    job = home.history.jobs[name]
    if job == OPEN and home.engine is not None:
        job = next((each.status.value for key, each in home.engine.state.mesh.jobs.items() if key.data == name[1]), job)
    executions: list[str] = []
    for local in locals_:
        if any(run.request.job.data == name[1] for run in local.running):
            executions.append("running")
        elif local.engine is None and local.node != home.node:
            executions.append("executor down")
        elif local.engine is not None and (
            own := [k for k in local.engine.state.mesh.executions if (k[0], k[1].data) == (local.engine.did, name[1])]
        ):
            executions.append("pledged" if own[0] in local.engine.state.mesh.pledges else "accepted")
        elif any(receipt for receipt in local.history.issued):
            executions.append("answered")
    return job, home.history.holds[name], "+".join(sorted(dict.fromkeys(executions))) or NONE
