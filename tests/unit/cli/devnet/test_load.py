"""A load's verdict: good only when every job has the right result, and all nodes agree afterwards, to the last mana."""

import json
from typing import Any

import pytest

from icn.cli.devnet.folder import Folder
from icn.cli.devnet.loading import EXPECTED
from icn.cli.endings import Exit
from support.cli_server import CommandLine, NodeDouble, Ran, Reply, answer, problem, stream

JOB = "job-" + "a" * 32
SUPPLY = {"minted": 300, "burned": 0, "available": 300, "held": 0, "in_transit": 0, "balanced": True}
SETTLED = "all is settled, no mana made or lost, roots are equal"


def ended(**changes: Any) -> Reply:
    job = {"job_id": JOB, "status": "completed", "reason": "", "output_cid": "bafk", **changes}
    return stream(": following\n\n", f"event: end\ndata: {json.dumps(job)}\n\n")


def well(double: NodeDouble) -> None:
    """A node with which nothing is wrong."""
    double.on("POST", "/dag/put", answer({"cid": "bafkreia"}, 201))
    double.on("POST", "/mesh/submit", answer({"job_id": JOB}, 202))
    double.on("GET", f"/mesh/jobs/{JOB}/stream", ended())
    double.on("GET", f"/mesh/jobs/{JOB}/output", Reply(200, EXPECTED, {"Content-Type": "application/octet-stream"}))
    double.on("POST", "/mana/transfer", answer({}))
    double.on("GET", "/mana/supply", answer(SUPPLY))
    double.on("GET", "/dag/root", answer({"root": "ab" * 32}))


def load(folder: Folder, *words: str) -> Ran:
    given = ("--dir", folder.root, "--settling", "0.05", "--within", "5", "--output", "json", *words)
    return CommandLine()("devnet", "load", *given)


def off(ran: Ran) -> list[str]:
    return [check["name"] for check in ran.json["checks"] if not check["ok"]]


def test_all_is_well(doubles: list[NodeDouble], folder: Folder) -> None:
    for double in doubles:
        well(double)
    ran = load(folder, "--jobs", "6", "--transfers", "3")
    assert ran.status is Exit.DONE, ran.err
    assert (ran.json["ok"], ran.json["jobs"]["completed"], ran.json["transfers"]["completed"]) == (True, 6, 3)
    for double in doubles:
        assert double.requests.count("POST /mesh/submit") == 2
        assert double.requests.count("POST /mana/transfer") == 1
        assert {asked.headers["x-api-key"] for asked in double.asked} == {"a-key"}
    payments = [asked.json["to"] for double in doubles for asked in double.asked if asked.path == "/mana/transfer"]
    assert payments == ["did:key:z2", "did:key:z3", "did:key:z1"]
    keys = [asked.headers["idempotency-key"] for double in doubles for asked in double.asked if asked.method == "POST"]
    assert len([key for key in keys if "-job-" in key]) == len({key for key in keys if "-job-" in key}) == 6


def test_an_interrupt_ends_it(doubles: list[NodeDouble], folder: Folder) -> None:
    """Also in a request that could be repeated: it is no answer that was not as it should be."""
    for double in doubles:
        well(double)
    doubles[0].on("POST", "/dag/put", Reply(hang_up=True))
    command = CommandLine()
    command.interrupt_after = 1
    ran = command("devnet", "load", "--dir", folder.root, "--settling", "0.05", "--within", "5", "--jobs", "1")
    assert ran.status is Exit.INTERRUPTED, ran.err
    assert not any("POST" in one for double in doubles[1:] for one in double.requests)


@pytest.mark.parametrize(
    ("route", "reply", "wrong"),
    [
        ((f"/mesh/jobs/{JOB}/stream",), ended(status="failed", reason="out of fuel"), "all jobs completed"),
        ((f"/mesh/jobs/{JOB}/output",), Reply(200, bytes(8)), "all jobs completed"),
        (("/mana/supply",), answer({**SUPPLY, "balanced": False}), SETTLED),
        (("/mana/supply",), answer({"nonsense": 1}), SETTLED),
        (("/mana/supply",), answer({**SUPPLY, "held": 1}), SETTLED),
        (("/mana/supply",), answer({**SUPPLY, "in_transit": 1}), SETTLED),
        (("/mana/supply",), answer({**SUPPLY, "minted": 301}), SETTLED),
        (("/dag/root",), answer({"root": "cd" * 32}), SETTLED),
        (("/dag/root",), problem(503, "store.unavailable", "no store"), SETTLED),
    ],
    ids=["failed", "wrong result", "unbalanced", "nonsense", "held", "in transit", "minted", "another root", "no root"],
)
def test_one_thing_that_is_wrong_at_one_node_is_enough(
    route: tuple[str], reply: Reply, wrong: str, doubles: list[NodeDouble], folder: Folder
) -> None:
    for double in doubles:
        well(double)
    doubles[1].on("GET", route[0], reply)
    ran = load(folder, "--jobs", "3")
    assert (ran.status, off(ran)) == (Exit.NOT_FOUND_OR_UNVERIFIED, [wrong])
    assert ran.json["ok"] is False


def test_who_was_away_is_asked_again_under_the_same_key(doubles: list[NodeDouble], folder: Folder) -> None:
    for double in doubles:
        well(double)
    gone, done = Reply(hang_up=True), answer({})
    doubles[0].on("POST", "/mana/transfer", gone, gone, gone, gone, problem(503, "node.failed", "stopping"), done)
    ran = load(folder, "--jobs", "0", "--transfers", "3")
    assert ran.status is Exit.DONE, ran.err
    tries = [asked.headers["idempotency-key"] for asked in doubles[0].asked if asked.path == "/mana/transfer"]
    assert len(tries) == 6
    assert len(set(tries)) == 1


def test_a_refusal_is_no_success_and_is_told(doubles: list[NodeDouble], folder: Folder) -> None:
    for double in doubles:
        well(double)
    doubles[2].on("POST", "/mana/transfer", problem(402, "mana.insufficient", "no mana"))
    ran = load(folder, "--jobs", "0", "--transfers", "6", "--concurrency", "1")
    assert off(ran) == ["all transfers completed"]
    told = ran.json["transfers"]
    assert (told["completed"], told["success_rate"], told["failures"]) == (4, 0.6667, ["no mana", "no mana"])


def test_a_module_that_cannot_be_stored_is_told_in_the_verdict(doubles: list[NodeDouble], folder: Folder) -> None:
    for double in doubles:
        well(double)
    doubles[1].on("POST", "/dag/put", problem(413, "http.too_large", "too large"))
    ran = load(folder, "--jobs", "3")
    assert off(ran) == ["all jobs completed"]
    assert ran.json["jobs"]["failures"] == ["the module could not be stored: too large"]


def test_nothing_to_do_is_no_success_by_itself(doubles: list[NodeDouble], folder: Folder) -> None:
    for double in doubles:
        well(double)
    doubles[0].on("GET", "/mana/supply", problem(503, "node.failed", "stopping"))
    assert load(folder, "--jobs", "0").status is Exit.NOT_FOUND_OR_UNVERIFIED
