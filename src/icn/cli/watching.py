"""`mesh watch`: what happens to one job until it ends, or to all jobs, as it happens."""

import argparse
from typing import Any

from icn.cli.answer import Document, read_document
from icn.cli.arguments import Action, argument, job_id
from icn.cli.blocks import cell
from icn.cli.client import path_of
from icn.cli.endings import Exit
from icn.cli.following import follow
from icn.cli.session import Session

END = "end"
"""The event that says that a job's stream is over."""
NOTHING = cell(None)
_SAID_BEFORE = ("job", "receipt", "assignment", "spec", "nonce", "home_epoch")
"""Fields of an event that say nothing to a person, or stand in the line already."""


def watch(session: Session, given: argparse.Namespace) -> Exit:
    """GET /mesh/jobs/{id}/stream, or GET /events of the mesh."""
    if given.job is None:
        for told in follow(session.client, session.world, "/events", [("type", "mesh")]):
            _print(session, told.data)
        return Exit.DONE  # a stream without an end ends by Ctrl-C
    path = path_of("mesh", "jobs", str(given.job), "stream")
    for told in follow(session.client, session.world, path, [], begins="from its beginning"):
        if told.name == END:
            return _ended(session, read_document(told.data.encode()))
        _print(session, told.data)
    return Exit.FAULT  # not reached: following ends only by raising


def _ended(session: Session, job: Document) -> Exit:
    if not session.as_json:
        reason = job.text("reason")
        paid = f"; {job.value('paid')} mana paid" if job.value("paid") else ""
        session.world.say(f"{job.text('job_id')} {job.text('status')}{': ' + reason if reason else paid}")
    return Exit.DONE if job.text("status") == "completed" else Exit.REFUSED


def _print(session: Session, data: str) -> None:
    item = read_document(data.encode())
    if session.as_json:
        session.world.print_json(data)
    else:
        session.world.print("  ".join(cell(value) for value in _row(item)))
    session.world.stdout.flush()


def _row(item: Document) -> list[Any]:
    event = item.part("event")
    rest = [(name, cell(value)) for name, value in event.facts() if not name.startswith(_SAID_BEFORE)]
    told = " ".join(f"{name}={text}" for name, text in rest if text != NOTHING)
    return [item.value("time"), event.value_or_none("job"), item.value("type"), told]


ACTIONS = {
    "watch": Action(
        watch,
        (
            argument(
                "job",
                metavar="JOB",
                nargs="?",
                type=job_id,
                default=None,
                help="until it ends; default all jobs, without end",
            ),
        ),
    )
}
