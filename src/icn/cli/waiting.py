"""Waits for a job to end, telling how it goes: a line that moves on a terminal, a line per change where output is
piped, an object per change as JSON. A node that restarts meanwhile is waited for.

The pauses grow, so that a short job is seen at once and a long one costs little. Bounded by the job's own deadline,
at which its home ends it, and some time for that.
"""

from icn.cli.answer import Answer, Document
from icn.cli.client import path_of
from icn.cli.endings import Ended, Exit
from icn.cli.job_telling import Telling
from icn.cli.progress import progress
from icn.cli.session import Session

PAUSE_FIRST = 0.05
PAUSE_GROWTH = 1.5
PAUSE_MAX = 1.0
PAUSE_MAX_DRAWN = 0.25
"""On a terminal the time that is left is seen to pass."""
GRACE_SECONDS = 120.0
ABSENCE_SECONDS_MAX = 60.0
"""How long the node may be away."""


def wait_for_end(session: Session, job: str, *, seconds: int) -> Answer:
    """The job's record once it has ended. Raises `Ended` when the node stays away, or the job does not end."""
    with progress(session.world) as line:
        telling = Telling(session, job, line)
        _until_it_ended(session, job, telling, seconds=seconds)
    return session.client.get(path_of("mesh", "jobs", job))


def _until_it_ended(session: Session, job: str, telling: Telling, *, seconds: int) -> None:
    waited = absent = 0.0
    pause = PAUSE_FIRST
    pause_max = PAUSE_MAX_DRAWN if session.world.draws else PAUSE_MAX
    while waited < seconds + GRACE_SECONDS:
        found = _look(session, job, telling, absent)
        if found is None:
            absent += pause
        else:
            absent = 0.0
            telling.tell(found)
            if found.value("phase_ends_at") is None:
                return
        session.world.pause(pause)
        waited += pause
        pause = min(pause_max, pause * PAUSE_GROWTH)
    raise Ended(
        Exit.UNREACHABLE,
        f"{job} has not ended within its deadline and {GRACE_SECONDS:g} s",
        code="cli.no_end",
        next_step=f"Look at it with icn-cli mesh job {job}.",
    )


def _look(session: Session, job: str, telling: Telling, absent: float) -> Document | None:
    """How far it is; None while the node is away."""
    try:
        return session.client.get(path_of("mesh", "jobs", job, "progress")).document()
    except Ended as ended:
        if ended.exit_status not in {Exit.UNREACHABLE, Exit.FAULT} or absent >= ABSENCE_SECONDS_MAX:
            raise
        if absent == 0:
            telling.interrupt(f"{ended.what}; still waiting")
        return None
