"""`events --follow`: prints what happens, and takes up again where it was."""

import json

import pytest

from icn.cli.endings import Exit
from icn.cli.following import TRIES_MAX, EventLines
from support.cli_server import Reply, answer, problem, stream


def event(number: int) -> dict[str, object]:
    return {
        "id": f"{number}-0",
        "time": "2026-11-23T20:45:00.123Z",
        "type": "ledger.transferred",
        "author": "a",
        "principal": None,
        "event": {"amount": number},
    }


def sent(number: int) -> str:
    return f"id: {number}-0\nevent: ledger.transferred\ndata: {json.dumps(event(number))}\n\n"


def follow(cli, *options):
    return cli("events", "--follow", "--output", "json", *options)


def numbers(ran):
    return [json.loads(line)["event"]["amount"] for line in ran.text.splitlines()]


def test_events_are_printed_one_a_line_and_followed_behind_the_last(node, cli):
    end = problem(403, "auth.revoked", "the key was revoked")
    node.on("GET", "/events", stream(": following\n\n", sent(1), sent(2), "id: 3-0\ndata: {"), stream(sent(3)), end)
    ran = follow(cli, "--tail", "2", "--type", "ledger.transferred", "--since", "2024-01-01")
    assert ran.status is Exit.NOT_AUTHORISED
    assert numbers(ran) == [1, 2, 3], "what was cut off in the middle comes again, whole and once"
    first, second, third = node.asked
    assert first.headers["accept"] == "text/event-stream"
    assert first.query == {"type": "ledger.transferred", "tail": "2", "since": "2024-01-01T00:00:00.000Z"}
    assert "last-event-id" not in first.headers
    assert (second.headers["last-event-id"], third.headers["last-event-id"]) == ("2-0", "3-0")
    assert second.query == {"type": "ledger.transferred"}
    assert "taking up again after event 2-0" in ran.err


def test_tables_are_lines_too(node, cli):
    node.on("GET", "/events", stream(sent(1)), problem(403, "x", "enough"))
    ran = cli("events", "--follow")
    assert ran.text == '1-0  2026-11-23T20:45:00.123Z  ledger.transferred  a  -  {"amount": 1}\n'


def test_a_node_that_never_answered_is_not_waited_for(alone):
    ran = alone("events", "--follow")
    assert (ran.status, ran.pauses) == (Exit.UNREACHABLE, [])


@pytest.mark.parametrize("reply", [answer({"items": []}), Reply(503, b"")])
def test_what_is_no_stream_at_first_is_a_fault_at_once(node, cli, reply):
    node.on("GET", "/events", reply)
    ran = follow(cli)
    assert (ran.status, ran.pauses) == (Exit.FAULT, [])


def test_a_node_that_stays_away_is_given_up_after_growing_pauses(node, cli):
    node.on("GET", "/events", stream(sent(1)), Reply(hang_up=True))
    ran = follow(cli)
    assert ran.status is Exit.UNREACHABLE
    assert len(ran.pauses) == TRIES_MAX
    assert ran.pauses[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_a_fault_in_between_is_outlasted_and_an_event_starts_the_count_anew(node, cli):
    node.on(
        "GET", "/events", stream(sent(1)), Reply(503, b""), stream(sent(2)), Reply(503, b""), problem(401, "x", "y")
    )
    ran = follow(cli)
    assert numbers(ran) == [1, 2]
    assert ran.pauses == [0.5, 1.0, 0.5, 1.0]


def test_an_event_that_is_not_json_is_a_fault(node, cli):
    node.on("GET", "/events", stream("data: not json\n\n"))
    assert follow(cli).status is Exit.FAULT


def test_ctrl_c_ends_following(node, cli):
    node.on("GET", "/events", stream(sent(1)))
    cli.interrupt_after = 1
    ran = follow(cli)
    assert (ran.status, numbers(ran)) == (Exit.INTERRUPTED, [1])


def test_lines_are_put_together_as_the_standard_says():
    lines = EventLines()
    text = [": comment", "id: 1", "event: x", "data:one", "data: two", "data:  three", "", "", "id: 2", "", "data"]
    text += ["", "data: y", ""]
    told = [lines.line(line.encode()) for line in text]
    assert [one for one in told if one is not None] == [("x", "one\ntwo\n three"), ("", "y")]
    assert lines.last_id == "2", "an id without data counts"
