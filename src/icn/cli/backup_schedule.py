"""`backup`: the backups that the node makes by itself: how they fare, what is there, one now, and the proof of one."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Exit
from icn.cli.session import Session

JOB_SECONDS = 86_400.0
"""A large store on a slow line takes hours; the node goes on also when nobody waits."""


def status(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /status, of which a part is shown."""
    session.show(session.client.get("/status"), lambda answer: _state_view(answer.part("backups")))
    return Exit.DONE


def listed(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /admin/backups."""
    session.show(session.client.get("/admin/backups"), _list_view)
    return Exit.DONE


def run(session: Session, _given: argparse.Namespace) -> Exit:
    """POST /admin/backups/run."""
    session.show(session.client.ask("/admin/backups/run", {}), lambda made: [Facts(_made(made))])
    return Exit.DONE


def drill(session: Session, _given: argparse.Namespace) -> Exit:
    """POST /admin/backups/drill. A backup that the node could not be restored from is not a success."""
    answer = session.client.ask("/admin/backups/drill", {})
    session.show(answer, _drill_view)
    return Exit.DONE if answer.document().truth("ok") else Exit.NOT_FOUND_OR_UNVERIFIED


def _state_view(state: Document) -> Sequence[Block]:
    made, proven = state.part_or_none("last_success"), state.part_or_none("last_verified")
    failures = [
        [failure.value("task"), failure.value("in_a_row"), failure.value("at"), failure.value("why")]
        for failure in state.parts("failures")
    ]
    return [
        Facts(
            [
                ("scheduled", state.value("scheduled")),
                ("target", state.value("target")),
                ("under way", state.value("running")),
                ("next backup", state.value("next_backup_at")),
                ("next drill", state.value("next_drill_at")),
            ]
        ),
        Facts(_made(made) if made is not None else [("last backup", "none")]),
        Facts(
            [
                ("last verified", proven and proven.value("proven_at")),
                ("verified archive", proven and proven.value("archive")),
            ]
        ),
        Table(
            [Column("FAILED"), Column("IN A ROW"), Column("AT"), Column("WHY", Show.REST)],
            failures,
            when_empty="nothing fails",
        ),
    ]


def _list_view(answer: Document) -> Sequence[Block]:
    rows = [
        [archive.value(name) for name in ("made_at", "kind", "size", "encrypted", "restorable", "name")]
        for archive in answer.parts("archives")
    ]
    return [
        Table(
            [
                Column("MADE"),
                Column("KIND"),
                Column("BYTES"),
                Column("ENCRYPTED"),
                Column("RESTORABLE"),
                Column("NAME", Show.REST),
            ],
            rows,
            when_empty="no backups of this node at the target",
        )
    ]


def _drill_view(answer: Document) -> Sequence[Block]:
    return [
        Facts(
            [
                ("restorable", answer.truth("ok")),
                ("archive", answer.value("archive")),
                ("archives in its chain", answer.value("archives")),
                ("blocks verified", answer.value("blocks")),
                ("content verified", answer.value("content")),
                ("finding", answer.value("finding")),
                ("took", f"{answer.value('took_ms')} ms"),
            ]
        )
    ]


def _made(made: Document) -> list[tuple[str, object]]:
    return [
        ("last backup", made.value("made_at")),
        ("archive", made.value("archive")),
        ("bytes", made.value("size")),
        ("took", f"{made.value('took_ms')} ms"),
    ]


ACTIONS = {
    "status": Action(status),
    "list": Action(listed),
    "run": Action(run, patience=JOB_SECONDS),
    "drill": Action(drill, patience=JOB_SECONDS),
}
