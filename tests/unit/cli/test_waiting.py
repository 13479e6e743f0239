"""`mesh submit --wait`: how the job goes, told as it goes, and its end as the exit status."""

import json

import pytest

from icn.cli.endings import Exit
from icn.kernel.ids import RAW, Cid, Did, JobId
from support.cli_server import Reply, answer

DID = str(Did.from_public_key(bytes(range(32))))
JOB = str(JobId.of(Did.from_public_key(bytes(range(32))), bytes(16)))
OUTPUT = b"pears\n"
CID = str(Cid.of(OUTPUT, RAW))
SUBMITTED = {"job_id": JOB, "status": "bidding", "held": 100, "block": CID}
PROGRESS = f"/mesh/jobs/{JOB}/progress"
RECORD = {
    "job_id": JOB,
    "status": "completed",
    "confirmed": True,
    "cancellation": None,
    "exit_code": 0,
    "reason": "",
    "attempt": 1,
    "submitted_at": "a",
    "ended_at": "b",
    "deadline": "c",
    "payer": DID,
    "cancelled_by": None,
    "home": DID,
    "executor": DID,
    "price": 100,
    "paid": 100,
    "output_cid": CID,
    "receipt_cid": CID,
    "correlation_id": "x",
    "receipt": None,
    "spec": {},
    "attempts": [],
    "parties": [],
    "disputes": [],
}


def at(phase, *, attempt=1, left=5000, waits_for="run", bids=None, attempts=(), **fields):
    ended = phase in {"completed", "failed", "cancelled"}
    return answer(
        {
            "job_id": JOB,
            "phase": phase,
            "attempt": attempt,
            "waits_for": None if ended else waits_for,
            "bids": bids,
            "phase_ends_at": None if ended else "t",
            "phase_left_ms": None if ended else left,
            "job_left_ms": None if ended else left,
            "reason": "",
            "attempts": list(attempts),
            **fields,
        }
    )


def failed(attempt, reason):
    return {"attempt": attempt, "runs": [{"outcome": "failed", "executor": DID, "reason": reason}]}


def bids(offered, declined, expected):
    return {"offered": offered, "declined": declined, "expected": expected}


@pytest.fixture(autouse=True)
def submits(node):
    node.on("POST", "/mesh/submit", answer(SUBMITTED, 202))
    node.on("GET", f"/mesh/jobs/{JOB}", answer(RECORD))
    node.on("GET", f"/mesh/jobs/{JOB}/output", Reply(200, OUTPUT))


def test_each_change_is_told_once_with_the_cause_of_every_failure(node, cli):
    bidding = [at("bidding", waits_for="bids", bids=bids(n, 1, 3)) for n in (0, 1)]
    again = at("submitted", waits_for="retry", attempts=[failed(1, "worker lost")])
    running = [at("executing", attempt=2, left=n, attempts=[failed(1, "worker lost")]) for n in (900, 800, 700)]
    node.on("GET", PROGRESS, *bidding, at("executing"), again, *running, at("completed", attempt=2))
    ran = cli("mesh", "submit", "echo", "--wait")
    assert ran.status is Exit.DONE
    assert [line.removeprefix(f"icn-cli: {JOB} ") for line in ran.err.splitlines()] == [
        "bidding; 100 mana held",
        "bidding, attempt 1: 0 offers, 1 of 3 answered",
        "bidding, attempt 1: 1 offers, 2 of 3 answered",
        "executing, attempt 1: running",
        f"attempt 1 failed at {DID}: worker lost",
        "submitted, attempt 1: pausing before the next attempt",
        "executing, attempt 2: running",
        "completed, attempt 2",
    ]
    assert len(ran.pauses) == 7
    assert max(ran.pauses) <= 1.0
    assert CID in ran.text


def test_as_json_there_is_an_object_a_line_and_the_last_is_the_job_as_it_ended(node, cli):
    stages = [at("executing", left=n) for n in (900, 800)]
    node.on("GET", PROGRESS, at("bidding", waits_for="bids"), *stages, at("completed"))
    ran = cli("mesh", "submit", "echo", "--wait", "--output", "json")
    submitted, *progress, ended = [json.loads(line) for line in ran.text.splitlines()]
    assert submitted == SUBMITTED
    assert [one["phase"] for one in progress] == ["bidding", "executing", "completed"], "time that passes is no change"
    assert progress[1]["phase_left_ms"] == 900
    assert ended == RECORD
    assert ran.err == ""


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        ({}, Exit.DONE),
        ({"exit_code": 3}, Exit.REFUSED),
        ({"status": "failed", "exit_code": None}, Exit.REFUSED),
        ({"status": "cancelled", "exit_code": None}, Exit.REFUSED),
    ],
    ids=["completed", "the guest is unhappy", "failed", "cancelled"],
)
def test_the_exit_status_says_whether_the_job_succeeded(node, cli, ended, status):
    node.on("GET", PROGRESS, at(ended.get("status", "completed")))
    node.on("GET", f"/mesh/jobs/{JOB}", answer({**RECORD, **ended}))
    assert cli("mesh", "submit", "echo", "--wait").status is status


def test_on_a_terminal_one_line_moves_and_is_gone_at_the_end(node, cli, monkeypatch):
    monkeypatch.setattr("icn.cli.progress.SILENT_SECONDS", 0.0)
    monkeypatch.setattr("icn.cli.progress.BETWEEN_SECONDS", 0.0)
    stages = [at("executing", left=n) for n in (4000, 2000, 1000)]
    node.on("GET", PROGRESS, *stages, at("completed"))
    cli.draws = True
    ran = cli("mesh", "submit", "echo", "--wait")
    drawn = [part.strip() for part in ran.err.split("\r") if "left" in part]
    assert drawn == [
        "| executing, attempt 1: running [                ] 4 s left",
        "/ executing, attempt 1: running [########        ] 2 s left",
        "- executing, attempt 1: running [############    ] 1 s left",
    ]
    assert ran.err.endswith(" \r")
    assert max(ran.pauses) <= 0.25
    assert "\r" not in cli("mesh", "submit", "echo", "--wait").text


def test_a_short_job_draws_nothing(node, cli):
    node.on("GET", PROGRESS, at("executing"), at("completed"))
    cli.draws = True
    assert "\r" not in cli("mesh", "submit", "echo", "--wait").err


def test_a_node_that_restarts_is_waited_for(node, cli):
    unavailable = answer({"detail": "starting", "code": "node.starting"}, 503)
    node.on("GET", PROGRESS, at("executing"), unavailable, unavailable, at("executing"), at("completed"))
    ran = cli("mesh", "submit", "echo", "--wait")
    assert ran.status is Exit.DONE
    assert ran.err.count("still waiting") == 1
    assert ran.err.count("executing") == 2, "where it is is told again behind the interruption"


def test_a_node_that_stays_away_is_given_up(node, cli):
    node.on("GET", PROGRESS, answer({"detail": "starting", "code": "node.starting"}, 503))
    ran = cli("mesh", "submit", "echo", "--wait")
    assert ran.status is Exit.FAULT
    assert 60 <= sum(ran.pauses) <= 63


def test_a_job_that_does_not_end_is_waited_for_until_its_deadline_and_some_time(node, cli):
    node.on("GET", PROGRESS, at("executing"))
    ran = cli("mesh", "submit", "echo", "--wait", "--deadline", "1")
    assert ran.status is Exit.UNREACHABLE
    assert "has not ended" in ran.err
    assert 121 <= sum(ran.pauses) <= 122


def test_the_output_can_be_asked_for_at_the_end(node, cli, tmp_path):
    node.on("GET", PROGRESS, at("completed"))
    ran = cli("mesh", "submit", "echo", "--wait", "--output-file", tmp_path / "out")
    assert ran.status is Exit.DONE, ran.err
    assert (tmp_path / "out").read_bytes() == OUTPUT
    assert "6 bytes of output" in ran.err
    assert CID in ran.text
    ran = cli("mesh", "submit", "echo", "--wait", "--output-file", "-")
    assert (ran.status, ran.out) == (Exit.DONE, OUTPUT), "the output and nothing else"


def test_an_unhappy_guest_s_output_is_written_and_the_status_says_so(node, cli):
    node.on("GET", PROGRESS, at("completed"))
    node.on("GET", f"/mesh/jobs/{JOB}", answer({**RECORD, "exit_code": 3}))
    ran = cli("mesh", "submit", "echo", "--wait", "--output-file", "-")
    assert (ran.status, ran.out) == (Exit.REFUSED, OUTPUT)
    assert "exit code 3" in ran.err


def test_a_job_that_failed_has_no_output_and_says_why(node, cli, tmp_path):
    node.on("GET", PROGRESS, at("failed"))
    no_output = {"status": "failed", "reason": "5 attempts failed", "output_cid": None, "exit_code": None}
    node.on("GET", f"/mesh/jobs/{JOB}", answer({**RECORD, **no_output}))
    ran = cli("mesh", "submit", "echo", "--wait", "--output-file", "-")
    assert (ran.status, ran.out) == (Exit.REFUSED, b"")
    assert "5 attempts failed" in ran.err
    assert cli("mesh", "submit", "echo", "--wait", "--output-file", tmp_path / "out").status is Exit.REFUSED
    assert not (tmp_path / "out").exists()


def test_what_makes_no_sense_is_refused_before_anything_is_submitted(node, cli):
    for options in (["--output-file", "x"], ["--wait", "--output-file", "-", "--output", "json"]):
        assert cli("mesh", "submit", "echo", *options).status is Exit.USAGE
    assert node.requests == []
