"""How a job goes, told as it goes. What changes is told once; what only passes, the time, is told on a terminal."""

import json
from itertools import cycle
from typing import Any

from icn.cli.answer import Document
from icn.cli.blocks import cell
from icn.cli.progress import Progress
from icn.cli.session import Session

BAR_COLUMNS = 16
SPINNER = "|/-\\"
_WAITS = {
    "retry": "pausing before the next attempt",
    "bids": "waiting for offers",
    "executor": "waiting for its executor",
    "fetch": "fetching what is needed",
    "run": "running",
}
_PASSING = ("phase_left_ms", "job_left_ms")


class Telling:
    """Told every answer of `GET /mesh/jobs/{id}/progress`, says what is new in it."""

    def __init__(self, session: Session, job: str, line: Progress) -> None:
        self._session = session
        self._job = job
        self._line = line
        self._told: Any = None
        self._failures = 0
        self._whole_ms = 1
        self._spinner = cycle(SPINNER)

    def tell(self, found: Document) -> None:
        """How far it is now."""
        if self._session.as_json:
            self._tell_json(found)
            return
        self._tell_failures(found)
        now = _words(found)
        if self._session.world.draws:
            self._draw(found, now)
        elif now != self._told:
            self._told = now
            self._session.world.say(f"{self._job} {now}")

    def interrupt(self, text: str) -> None:
        """Something else is to be said; afterwards the state is told anew."""
        self._line.clear()
        self._session.world.say(text)
        self._told = None

    def _tell_json(self, found: Document) -> None:
        now = {name: value for name, value in found.facts() if name not in _PASSING}
        if now != self._told:
            self._told = now
            self._session.world.print_json(json.dumps(dict(found.facts()), ensure_ascii=False))
            self._session.world.stdout.flush()

    def _tell_failures(self, found: Document) -> None:
        """Each failed attempt, once, with its cause: what follows is no explanation of it."""
        failed = [
            (attempt.value("attempt"), run)
            for attempt in found.parts("attempts")
            for run in attempt.parts("runs")
            if run.value("outcome") == "failed"
        ]
        for number, run in failed[self._failures :]:
            self._line.clear()
            cause = f"failed at {run.text('executor')}: {run.text('reason')}"
            self._session.world.say(f"{self._job} attempt {number} {cause}")
        self._failures = max(self._failures, len(failed))

    def _draw(self, found: Document, now: str) -> None:
        left = found.value("phase_left_ms")
        if not isinstance(left, int):
            return
        if now != self._told:
            self._told, self._whole_ms = now, max(1, left)
        gone = BAR_COLUMNS - round(min(1.0, left / self._whole_ms) * BAR_COLUMNS)
        bar = f"[{'#' * gone:<{BAR_COLUMNS}}]"
        self._line.tell(f"{next(self._spinner)} {now} {bar} {left / 1000:.0f} s left")


def _words(found: Document) -> str:
    """`bidding, attempt 1: 2 of 3 answered`."""
    words = f"{cell(found.text('phase'))}, attempt {found.value('attempt')}"
    waits_for, bids = found.value("waits_for"), found.part_or_none("bids")
    if bids is not None:
        answered = bids.value("offered") + bids.value("declined")
        return f"{words}: {bids.value('offered')} offers, {answered} of {bids.value('expected')} answered"
    return words if waits_for is None else f"{words}: {_WAITS.get(waits_for, cell(waits_for))}"
