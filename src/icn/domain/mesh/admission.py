"""How fast one principal may submit jobs: a steady rate, with a burst, by exact integers.

The law is the generic cell rate algorithm: each principal has a moment from which on its next submission is on time.
One that comes before it by no more than the burst allows is taken, and moves the moment on by the time that one
submission stands for. Refused ones move nothing, so who keeps asking is not kept out.

Times are in units of which `per_minute` make a millisecond, so that no rate is rounded: one submission stands for
60,000 of them.

Not here: how many jobs may be open (rules). What is kept here is not recorded: a start forgets it, and gives everybody
a burst.
"""

from dataclasses import dataclass, field

from icn.domain.mesh.refusals import TooManySubmissions
from icn.kernel.ids import Did
from icn.kernel.instant import Instant

MINUTE_MS = 60_000
BURST_PART = 10
"""A tenth of a minute's submissions may come at once,"""
BURST_MIN = 10
"""but ten at least."""
PRINCIPALS_MAX = 10_000
"""Remembered at once. Who has been quiet is forgotten first, and loses nothing by it."""


@dataclass(slots=True)
class Admission:
    """When each principal's next submission is on time."""

    per_minute: int
    _due: dict[Did, int] = field(default_factory=dict)
    """In units of 1/`per_minute` ms."""

    def admit(self, principal: Did, now: Instant) -> None:
        """Count a submission. Raises `TooManySubmissions`, with when to come again."""
        moment = now * self.per_minute
        due = max(self._due.get(principal, 0), moment)
        burst = min(self.per_minute, max(BURST_MIN, self.per_minute // BURST_PART))
        early = due - moment - (burst - 1) * MINUTE_MS
        if early > 0:
            raise TooManySubmissions(self.per_minute, -(-early // (self.per_minute * 1000)))
        self._due[principal] = due + MINUTE_MS
        if len(self._due) > PRINCIPALS_MAX:
            self._forget(moment)

    def _forget(self, moment: int) -> None:
        self._due = {who: due for who, due in self._due.items() if due > moment}
        while len(self._due) > PRINCIPALS_MAX:
            del self._due[min(self._due, key=lambda who: self._due[who])]
