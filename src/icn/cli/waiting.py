"""Waits for a job to end, telling each change to standard error. A node that restarts meanwhile is waited for.

The pauses grow, so that a short job is seen at once and a long one costs little. Bounded by the job's own deadline,
at which its home ends it, and some time for that.
"""

from icn.cli.answer import Answer
from icn.cli.client import path_of
from icn.cli.endings import Ended, Exit
from icn.cli.session import Session

PAUSE_FIRST = 0.05
PAUSE_GROWTH = 1.5
PAUSE_MAX = 1.0
GRACE_SECONDS = 120.0
ABSENCE_SECONDS_MAX = 60.0
"""How long the node may be away."""


def wait_for_end(session: Session, job: str, *, seconds: int) -> Answer:
    """The job's record once it has ended. Raises `Ended` when the node stays away, or the job does not end."""
    waited = absent = 0.0
    pause = PAUSE_FIRST
    told = ""
    while waited < seconds + GRACE_SECONDS:
        try:
            answer = session.client.get(path_of("mesh", "jobs", job))
        except Ended as ended:
            if ended.exit_status not in {Exit.UNREACHABLE, Exit.FAULT} or absent >= ABSENCE_SECONDS_MAX:
                raise
            if absent == 0:
                session.world.say(f"{ended.what}; still waiting")
                told = ""
            absent += pause
        else:
            absent = 0.0
            record = answer.document()
            now = f"{record.text('status')}, attempt {record.value('attempt')}"
            if now != told:
                session.world.say(f"{job} {now}")
                told = now
            if record.value("ended_at") is not None:
                return answer
        session.world.pause(pause)
        waited += pause
        pause = min(PAUSE_MAX, pause * PAUSE_GROWTH)
    raise Ended(
        Exit.UNREACHABLE,
        f"{job} has not ended within its deadline and {GRACE_SECONDS:g} s",
        code="cli.no_end",
        next_step=f"Look at it with icn-cli mesh job {job}.",
    )
