"""Defects planted on purpose, to show that the checkers see them. In the simulator's parts only.

Each is one that really occurs: an outbox row that was not part of the commit, a commit that was not synced, and a job
whose end was recorded but not carried out in the live state, so that a later receipt or time-out ends it again; a node
that keeps no head mark, in a world where stores are put back; and executors that show what they pledged as soon as they
have pledged it, when others can still copy; and nodes for which the branch of a forker that came first is its history.
"""

from dataclasses import replace
from enum import Enum
from typing import Any, TypeVar

from icn.domain.mesh.model import Standing
from icn.domain.mesh.state import StandingKey
from icn.services.equivocation import Equivocations
from icn.services.pledging import PledgingService
from icn.services.state import State
from icn.services.work import UnitOfWork

Key = TypeVar("Key")
Value = TypeVar("Value")


class Plant(Enum):
    """The names `--plant` takes."""

    DOUBLE_SETTLEMENT = "double-settlement"
    LOST_OUTBOX = "lost-outbox"
    MISSING_FSYNC = "missing-fsync"
    NO_HEAD_MARK = "no-head-mark"
    EARLY_REVEAL = "early-reveal"
    BAN_IGNORED = "ban-ignored"
    FORK_IGNORED = "fork-ignored"


class _Sticky(dict[Key, Value]):
    """A map that forgets nothing."""

    def __delitem__(self, key: Key) -> None:
        """Keep it."""

    def pop(self, key: Key, *default: object) -> Value:
        """Keep it, and give it."""
        return self[key]


def keep_what_ended(state: State) -> None:
    """Plant the double settlement: ended jobs stay open, and their holds stay held."""
    mesh = state.mesh
    if not isinstance(mesh.jobs, _Sticky):
        mesh.jobs = _Sticky(mesh.jobs)
        state.ledger.holds = _Sticky(state.ledger.holds)
    mesh.open_by_home, mesh.open_by_payer = {}, {}
    for job in mesh.jobs.values():
        mesh.count_open(job.home, job.payer)


class _Forgiving(dict[StandingKey, Standing]):
    """Standings whose reader sees no ban."""

    def get(self, key: StandingKey, default: Any = None) -> Any:
        """Without it."""
        standing = super().get(key)
        return default if standing is None else replace(standing, ban=None)


def forgive(state: State) -> None:
    """Plant the ignored ban: it is recorded, and whoever decides does not see it."""
    if not isinstance(state.mesh.standings, _Forgiving):
        state.mesh.standings = _Forgiving(state.mesh.standings)


class BlindToForks(Equivocations):
    """Plant the ignored fork: whichever branch came first counts, and nobody says anything."""

    def is_due(self, work: UnitOfWork) -> bool:
        """Never."""
        return False


class HastyPledging(PledgingService):
    """Plant the early reveal: what is pledged is shown with the next thing that happens, whatever the home says."""

    def tick(self, work: UnitOfWork) -> None:
        """Show everything."""
        for key in list(self._waiting):
            self._reveal(work, work.state.mesh.executions[key])
