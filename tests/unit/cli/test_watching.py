"""`mesh watch`: a job's records until its end, taken up where they broke off; or those of all jobs."""

import json

from icn.cli.endings import Exit
from icn.kernel.ids import Did, JobId
from support.cli_server import answer, problem, stream

DID = str(Did.from_public_key(bytes(range(32))))
JOB = str(JobId.of(Did.from_public_key(bytes(range(32))), bytes(16)))
STREAM = f"/mesh/jobs/{JOB}/stream"


def told(number, kind, **event):
    fields = {"id": f"{number}-0", "type": kind, "time": "2026-11-23T20:45:00.123Z", "author": DID}
    return f"id: {number}-0\nevent: {kind}\ndata: {json.dumps({**fields, 'event': {'job': JOB, **event}})}\n\n"


def end(status, reason="", paid=0):
    line = {"job_id": JOB, "status": status, "reason": reason, "paid": paid}
    return f"event: end\ndata: {json.dumps(line)}\n\n"


def test_a_job_is_followed_to_its_end(node, cli):
    node.on(
        "GET",
        STREAM,
        stream(": following\n\n", told(1, "mesh.bidding_opened", attempt=1), told(2, "mesh.job_completed", paid=7)),
        stream(end("completed", paid=7)),
    )
    ran = cli("mesh", "watch", JOB)
    assert ran.status is Exit.DONE
    assert ran.text == (
        f"2026-11-23T20:45:00.123Z  {JOB}  mesh.bidding_opened  attempt=1\n"
        f"2026-11-23T20:45:00.123Z  {JOB}  mesh.job_completed  paid=7\n"
    )
    assert f"{JOB} completed; 7 mana paid" in ran.err
    assert node.asked[1].headers["last-event-id"] == "2-0"


def test_the_exit_status_says_how_it_ended_and_the_reason_is_told(node, cli):
    for status, reason in (("failed", "5 attempts failed"), ("cancelled", "cancelled by its submitter")):
        node.on("GET", STREAM, stream(end(status, reason)))
        ran = cli("mesh", "watch", JOB)
        assert ran.status is Exit.REFUSED
        assert f"{status}: {reason}" in ran.err


def test_a_lost_connection_is_reported_and_nothing_is_missed_or_told_twice(node, cli):
    first, second = told(1, "mesh.job_submitted"), told(2, "mesh.rollback", reason="x")
    away = problem(503, "node.starting", "starting")
    node.on("GET", STREAM, stream(first, second[:-20]), away, stream(second, end("failed")))
    ran = cli("mesh", "watch", JOB, "--output", "json")
    assert [json.loads(line)["id"] for line in ran.text.splitlines()] == ["1-0", "2-0"]
    assert ran.err.count("taking up again after event 1-0") == 2
    assert ran.pauses == [0.5, 1.0]


def test_who_has_seen_nothing_yet_begins_at_the_beginning(node, cli):
    node.on("GET", STREAM, stream(": following\n\n"), stream(end("completed")))
    assert "taking up again from its beginning" in cli("mesh", "watch", JOB).err


def test_a_job_that_does_not_exist(node, cli):
    node.on("GET", STREAM, problem(404, "mesh.job_not_found", "no such job"))
    assert cli("mesh", "watch", JOB).status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert cli("mesh", "watch", "pear").status is Exit.USAGE


def test_all_jobs_are_followed_without_end(node, cli):
    node.on("GET", "/events", stream(told(1, "mesh.job_submitted"), told(2, "mesh.rollback")), answer({}, 403))
    ran = cli("mesh", "watch", "--output", "json")
    assert ran.status is Exit.NOT_AUTHORISED
    assert len(ran.text.splitlines()) == 2
    assert node.asked[0].query == {"type": "mesh"}


def test_what_another_member_wrote_cannot_steer_the_terminal(node, cli):
    node.on("GET", STREAM, stream(told(1, "mesh.attempt_failed", reason="\x1b[2J"), end("failed", "\x07")))
    ran = cli("mesh", "watch", JOB)
    assert "\x1b" not in ran.text
    assert "\x07" not in ran.err


def test_long_papers_are_left_to_json(node, cli):
    node.on("GET", STREAM, stream(told(1, "mesh.receipt_issued", receipt_base64="r" * 900), end("completed")))
    assert "rrr" not in cli("mesh", "watch", JOB).text
