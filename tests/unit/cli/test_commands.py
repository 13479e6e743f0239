"""Every command: what it asks of the node, and what it prints."""

import base64
import json

import pytest

from icn.cli.commands import COMMANDS
from icn.cli.endings import Exit
from icn.cli.parsing import load
from icn.kernel.ids import DAG_CBOR, RAW, Cid, Did, JobId
from support import builders
from support.cli_server import Reply, answer, problem

DID = str(Did.from_public_key(bytes(range(32))))
JOB = str(JobId.of(Did.from_public_key(bytes(range(32))), bytes(16)))
CONTENT = b"what is stored\n"
CID = str(Cid.of(CONTENT, RAW))
KEY = "Bread-4-all"
UNTIL = "2024-01-02T03:04+01:00"
INFO = {
    "name": "icn",
    "version": "0.1.0",
    "did": DID,
    "peer_id": "12D3KooWPeer",
    "federation": {"id": "f1", "name": "bakers"},
    "storage": {"backend": "sqlite", "path": "/data/dag.sqlite"},
    "environment": "production",
    "started_at": "2026-11-23T20:45:00.123Z",
    "listen": {"http": "127.0.0.1:7845", "p2p": ["/ip4/127.0.0.1/tcp/7000"]},
    "execution_profile": None,
}
SUPPLY = {"minted": 100, "burned": 0, "available": 90, "held": 10, "in_transit": 0, "balanced": True}
STATUS = {
    "did": DID,
    "peer_id": "12D3KooWPeer",
    "version": "0.1.0",
    "uptime_seconds": 12,
    "federation": {
        "id": "f1",
        "name": "bakers",
        "join_policy": "open",
        "members": 3,
        "admitted": True,
        "state": "member",
    },
    "dag": {"root": CID, "blocks": 7, "heads": 3, "in_sync": None, "forks": 1},
    "mana": {"balance": 90, "supply": SUPPLY},
    "jobs": {"open": 1, "by_status": {"executing": 1}},
    "peers": {"connected": 2},
    "executor": {"capacity": 4, "running": 1},
    "queue": {"depth": 0},
    "writer": {"state": "author"},
}
LINE = {
    "job_id": JOB,
    "status": "completed",
    "attempt": 1,
    "submitted_at": "2026-11-23T20:45:00.123Z",
    "ended_at": "2026-11-23T20:45:01.123Z",
    "payer": DID,
    "home": DID,
    "executor": DID,
    "price": 100,
    "paid": 100,
    "reason": "",
}


def run_of(outcome, **fields):
    """An executor's part in an attempt."""
    times = {"started_at": "2026-11-23T20:45:00.200Z", "ended_at": "2026-11-23T20:45:01.000Z"}
    return {
        "executor": DID,
        "price": 100,
        "outcome": outcome,
        "reason": "",
        "counts_against_executor": False,
        **times,
        "receipt_cid": CID,
        **fields,
    }


RECORD = {
    **LINE,
    "spec": {"module": None, "fuel": 5},
    "failures": [{"attempt": 1, "executor": DID, "reason": "worker lost", "blame": "at_once"}],
    "attempts": [
        {"attempt": 1, "runs": [run_of("failed", reason="worker lost")]},
        {"attempt": 2, "runs": [run_of("completed")]},
        {"attempt": 3, "runs": []},
    ],
    "cancelled_by": None,
    "correlation_id": "harvest-7",
    "output_cid": CID,
    "exit_code": 0,
    "receipt_cid": CID,
    "receipt": {"detail": "usage: primes N"},
    "parties": [{"executor": DID, "part": "dissented", "commitment_base64": "", "receipt_cid": CID}],
    "disputes": [
        {
            "attempt": 1,
            "accused": DID,
            "raised_by": DID,
            "raised_at": "2026-11-23T20:50:00.123Z",
            "receipt_cid": CID,
            "counter_cid": CID,
        }
    ],
    "deadline": "2026-11-23T20:50:00.123Z",
    "due_at": "2026-11-23T20:50:00.123Z",
    "confirmed": True,
    "cancellation": None,
}
DEBT = {
    "home": DID,
    "receipts": 12,
    "overdue": 11,
    "oldest_issued_at": "2024-01-01T00:00:00.000Z",
    "refused": True,
}
EXECUTOR = {
    "did": DID,
    "here": False,
    "connected": True,
    "executes": True,
    "places": None,
    "running": 1,
    "completed": 17,
    "failed_in_row": 0,
    "banned_until": None,
    "last_price": 100,
    "last_job": JOB,
    "last_chosen_at": "2026-11-23T20:45:00.123Z",
}
RUN = {"output_cid": CID, "fuel_used": 9, "exit": "completed"}
VERDICT = {"job_id": JOB, "signature_ok": True, "reexecuted": RUN, "receipt": RUN, "matches": True}
EVENT = {
    "id": "7-0",
    "type": "ledger.transferred",
    "time": "2026-11-23T20:45:00.123Z",
    "author": DID,
    "principal": None,
    "cause": "c",
    "correlation_id": "x",
    "block": CID,
    "event": {"amount": 5},
}
PEER = {
    "peer_id": "12D3KooWPeer",
    "did": DID,
    "address": "/ip4/127.0.0.1/tcp/7000",
    "direction": "out",
    "origin": "bootstrap",
    "connected_seconds": 3,
    "agent": "icn/0.1.0",
    "rtt_ms": 1,
    "in_sync": True,
    "bytes_in": 1,
    "bytes_out": 2,
    "gossip_score": -12,
}
DIALED = {
    "address": "/ip4/127.0.0.1/tcp/7001",
    "origin": "discovered",
    "state": "waiting",
    "breaker": "open",
    "attempts": 2,
    "next_attempt_in_seconds": 4,
    "last_error": "refused",
}
BALANCE = {
    "did": DID,
    "balance": 90,
    "held": 10,
    "in_transit_out": 0,
    "cap": 1000,
    "rate_per_hour": 10,
    "home": DID,
    "homes": [DID],
}
TRANSFER = {
    "transfer": "t1",
    "from": DID,
    "to": DID,
    "amount": 5,
    "status": "in_transit",
    "balance": 85,
    "block": CID,
}
FEDERATION = {
    "id": "f1",
    "name": "bakers",
    "policy": {"join": "open"},
    "state": "member",
    "members": [{"did": DID, "admitted": True, "joined": True, "sequence": 4}],
    "quorum": 2,
}
INVITATION = {
    "id": "ab" * 16,
    "state": "open",
    "issued_at": "2025-06-15T15:06:40.000Z",
    "expires_at": "2025-06-22T15:06:40.000Z",
    "for_node": None,
    "note": "bakers",
    "used_by": None,
    "used_at": None,
}
ROOT = {"root": CID, "heads": [{"cid": CID, "author": DID, "sequence": 4}], "blocks": 7}
CHECKED = {"ok": True, "checked": {"blocks": 7, "content": 2}, "findings": []}
SUBMITTED = {"job_id": JOB, "status": "bidding", "held": 100, "block": CID}

BANNED = {
    "executor": DID,
    "state": "banned",
    "reason": "worker_lost: killed",
    "failures": 3,
    "banned_at": "2025-06-15T15:06:40.000Z",
    "until": "2025-06-15T15:16:40.000Z",
    "seconds_left": 599,
    "trial": None,
}

# command line; route; answer; query; words that piped output has
FORK = {
    "author": DID,
    "sequence": 6,
    "kept": 1,
    "side_blocks": 2,
    "first": CID,
    "second": CID,
    "proved_by": [DID],
}
SYNC = {
    "root": CID,
    "blocks": 7,
    "in_sync": False,
    "peers": [
        {
            "did": DID,
            "in_sync": False,
            "root": "ab" * 32,
            "seconds": 4,
            "feeds_ahead": 1,
            "feeds_behind": 0,
            "feeds": [{"author": DID, "here": 3, "there": 5}],
        }
    ],
    "waiting": 1,
    "quarantine": [{"cid": CID, "author": DID, "sequence": 4, "sender": DID, "missing": CID}],
}
READS = {
    "info": ("info", "/info", INFO, {}, [DID, "bakers", "sqlite at /data/dag.sqlite"]),
    "status": ("status", "/status", STATUS, {}, [CID, "member", "1 of 4 running", "-", "icn-cli dag evidence"]),
    "dag evidence": (
        "dag evidence --limit 2",
        "/dag/evidence",
        {"items": [FORK], "next_cursor": None},
        {"limit": "2"},
        ["FORKED AT", DID],
    ),
    "sync status": ("sync status", "/sync/status", SYNC, {}, ["DIFFERS FOR S", CID, DID]),
    "dag root": ("dag root", "/dag/root", ROOT, {}, [CID, DID]),
    "dag verify": ("dag verify", "/dag/verify", CHECKED, {"deep": "false"}, ["verified", "yes"]),
    "dag verify --deep": ("dag verify --deep", "/dag/verify", CHECKED, {"deep": "true"}, ["blocks checked"]),
    "mesh jobs": (
        f"mesh jobs --status completed --payer {DID} --since 2026-11-23 --limit 2 --cursor ab",
        "/mesh/jobs",
        {"items": [LINE], "next_cursor": None},
        {
            "status": "completed",
            "limit": "2",
            "cursor": "ab",
            "payer": DID,
            "since": "2026-11-23T00:00:00.000Z",
        },
        [JOB, DID, "completed"],
    ),
    "mesh job": (
        f"mesh job {JOB}",
        f"/mesh/jobs/{JOB}",
        RECORD,
        {},
        [
            *(JOB, "worker lost", "asked fuel", "usage: primes N", "attempts:", "harvest-7", CID),
            *("executors that must agree:", "dissented", "disputes:"),
        ],
    ),
    "mesh executors": (
        "mesh executors --limit 3",
        "/mesh/executors",
        {"items": [EXECUTOR], "next_cursor": None},
        {"limit": "3"},
        [DID, JOB, "17"],
    ),
    "mesh blacklist": (
        "mesh blacklist --limit 2 --cursor ab",
        "/mesh/blacklist",
        {"items": [BANNED], "next_cursor": None},
        {"limit": "2", "cursor": "ab"},
        [DID, "banned", "599", "worker_lost: killed"],
    ),
    "mesh unsettled": (
        "mesh unsettled",
        "/mesh/unsettled",
        {"items": [DEBT], "unsettled_receipts_max": 10, "unsettled_after_secs": 3600},
        {},
        [DID, "12", "11"],
    ),
    "mana balance": (f"mana balance {DID}", f"/account/{DID}/mana", BALANCE, {}, [DID, "rate per hour"]),
    "mana supply": ("mana supply", "/mana/supply", SUPPLY, {}, ["in transit", "balanced"]),
    "events": (
        f"events --type rollback --tail 20 --since 2024-01-01 --until {UNTIL} --job {JOB} --correlation harvest-7",
        "/events",
        {"items": [EVENT], "next_cursor": None},
        {
            "job": JOB,
            "correlation": "harvest-7",
            "type": "rollback",
            "tail": "20",
            "since": "2024-01-01T00:00:00.000Z",
            "until": "2024-01-02T02:04:00.000Z",
        },
        ["7-0", DID, '{"amount": 5}'],
    ),
    "network peers": (
        "network peers",
        "/network/peers",
        {
            "items": [PEER],
            "dialing": [DIALED],
            "services": [{"place": "s3://coop", "breaker": "half_open", "failures": 3}],
        },
        {},
        ["12D3KooWPeer", DID, "bootstrap", "discovered", "refused", "s3://coop", "half_open"],
    ),
    "federation status": ("federation status", "/federation/status", FEDERATION, {}, [DID, "bakers", "policy join"]),
    "federation members": ("federation members", "/federation/members", {"items": FEDERATION["members"]}, {}, [DID]),
    "federation peers": ("federation peers", "/federation/peers", {"items": [PEER]}, {}, [DID]),
    "federation invitations": (
        "federation invitations",
        "/federation/invitations",
        {"items": [INVITATION]},
        {},
        ["ab" * 16, "open", "bakers"],
    ),
}
WRITES = {
    "mesh blacklist --clear": (
        f"mesh blacklist --clear {DID}",
        "/mesh/blacklist/clear",
        {"did": DID},
        {"executor": DID, "cleared": True, "block": CID},
        [DID, "cleared"],
    ),
    "mana transfer": (
        f"mana transfer {DID} 5 --note bread",
        "/mana/transfer",
        {"to": DID, "amount": 5, "note": "bread"},
        TRANSFER,
        ["in_transit"],
    ),
    "dag resume": (
        "dag resume --no-newer-blocks",
        "/admin/resume",
        {"no_newer_blocks": True},
        {"was_held": True},
        ["writes again"],
    ),
    "federation admit": (
        f"federation admit {DID}",
        "/federation/admit",
        {"did": DID},
        {"node": DID, "admitted": True, "block": CID},
        ["admitted"],
    ),
    "federation invitations --revoke": (
        f"federation invitations --revoke {'ab' * 16}",
        "/federation/invitations/revoke",
        {"id": "ab" * 16},
        {"id": "ab" * 16, "revoked": True, "block": CID},
        ["revoked"],
    ),
    "federation join": (
        "federation join icn-invite:oWE",
        "/federation/join",
        {"invitation": "icn-invite:oWE"},
        {"state": "waiting to join"},
        ["waiting to join"],
    ),
    "federation init": (
        "federation init --name bakers",
        "/federation/init",
        {"name": "bakers"},
        {"state": "changing"},
        ["changing"],
    ),
    "federation join an address": (
        "federation join /ip4/10.0.0.1/tcp/7000/p2p/x",
        "/federation/join",
        {"address": "/ip4/10.0.0.1/tcp/7000/p2p/x"},
        {"state": "waiting to join"},
        ["waiting to join"],
    ),
    "account open": (
        f"account open {DID}",
        "/account/open",
        {"did": DID},
        {"did": DID, "home": DID, "balance": 0},
        [DID],
    ),
    "mesh submit": (
        "mesh submit echo --arg a --arg=-b --max-price 7 --deadline 60 --redundancy 3 --capability z --capability y",
        "/mesh/submit",
        {
            "module": None,
            "args": ["a", "-b"],
            "max_price": 7,
            "deadline_seconds": 60,
            "redundancy": 3,
            "capabilities": ["y", "z"],
        },
        SUBMITTED,
        [JOB],
    ),
}


@pytest.mark.parametrize(("line", "path", "document", "query", "words"), READS.values(), ids=READS.keys())
def test_a_read_asks_once_and_prints_what_the_node_said(node, cli, line, path, document, query, words):
    node.on("GET", path, answer(document))
    ran = cli(*line.split())
    assert ran.status is Exit.DONE, ran.err
    assert node.requests == [f"GET {path}"]
    assert node.asked[0].query == query
    assert "idempotency-key" not in node.asked[0].headers
    for word in words:
        assert word in ran.text
    assert "\x1b" not in ran.text


@pytest.mark.parametrize(("line", "path", "document", "query", "words"), READS.values(), ids=READS.keys())
def test_json_output_is_the_node_s_document_as_it_came(node, cli, line, path, document, query, words):
    reply = answer(document)
    node.on("GET", path, reply)
    ran = cli("--output", "json", *line.split())
    assert ran.out == reply.body + b"\n"


@pytest.mark.parametrize(("line", "path", "body", "document", "words"), WRITES.values(), ids=WRITES.keys())
def test_a_write_bears_its_key_and_its_body(node, cli, line, path, body, document, words):
    node.on("POST", path, answer(document))
    ran = cli(*line.split(), "--idempotency-key", KEY)
    assert ran.status is Exit.DONE, ran.err
    assert [asked.json for asked in node.asked] == [body]
    assert node.asked[0].headers["idempotency-key"] == KEY
    for word in words:
        assert word in ran.text
    again = cli(*line.split(), "--output", "json")
    assert again.json == document
    assert node.asked[1].headers["idempotency-key"].startswith("cli-"), "a key is made where none is given"


@pytest.mark.parametrize("line", [line for line, *_ in (*READS.values(), *WRITES.values())])
def test_tables_fit_in_80_columns_on_a_terminal(node, cli, line):
    for wanted, path, document, *_ in READS.values():
        if wanted == line:
            node.on("GET", path, answer(document))
    for wanted, path, _, document, _ in WRITES.values():
        if wanted == line:
            node.on("POST", path, answer(document))
    cli.draws = True
    ran = cli(*line.split())
    assert ran.status is Exit.DONE, ran.err
    plain = "".join(part.partition("m")[2] if n else part for n, part in enumerate(ran.text.split("\x1b[")))
    assert all(len(row) <= 80 for row in plain.splitlines()), plain


def test_names_are_shortened_in_tables_on_a_terminal_only(node, cli):
    node.on("GET", "/federation/status", answer(FEDERATION))
    assert DID in cli("federation", "status").text
    cli.draws = True
    drawn = cli("federation", "status").text
    assert DID not in drawn
    assert DID[-6:] in drawn
    assert cli("federation", "status", "--output", "json").json == FEDERATION


def test_what_others_wrote_cannot_steer_the_terminal(node, cli):
    hostile = {**RECORD, "reason": "\x1b[2J\x07gone\nstatus completed"}
    node.on("GET", f"/mesh/jobs/{JOB}", answer(hostile))
    for cli.draws in (False, True):
        text = cli("mesh", "job", JOB).text
        assert "\x1b[2J" not in text
        assert "\x07" not in text
        assert "\\x1b[2J\\x07gone\\nstatus completed" in text


def test_a_balance_without_a_name_is_the_node_s_own(node, cli):
    node.on("GET", "/info", answer(INFO))
    node.on("GET", f"/account/{DID}/mana", answer(BALANCE))
    assert "90" in cli("mana", "balance").text
    assert node.requests == ["GET /info", f"GET /account/{DID}/mana"]


def test_a_supply_that_does_not_add_up_is_a_failed_verification(node, cli):
    node.on("GET", "/mana/supply", answer({**SUPPLY, "balanced": False}))
    ran = cli("mana", "supply")
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "balanced    no" in ran.text


@pytest.mark.parametrize(
    "document",
    [
        {**CHECKED, "ok": False, "findings": [{"where": "block b1", "what": "signature"}]},
        {**CHECKED, "findings": [{"where": "block b1", "what": "signature"}]},
        {**CHECKED, "ok": False},
    ],
    ids=["found", "found but called well", "not well and nothing found"],
)
def test_findings_are_listed_and_end_in_5(node, cli, document):
    node.on("GET", "/dag/verify", answer(document))
    ran = cli("dag", "verify", "--deep")
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert ("block b1" in ran.text) == bool(document["findings"])
    assert "verified         no" in ran.text


def test_more_pages_are_named_on_standard_error(node, cli):
    node.on("GET", "/mesh/jobs", answer({"items": [LINE], "next_cursor": "cd"}))
    ran = cli("mesh", "jobs")
    assert ran.err == "icn-cli: there is more: --cursor cd\n"


def test_behind_the_newest_events_there_is_no_more(node, cli):
    node.on("GET", "/events", answer({"items": [EVENT], "next_cursor": "7-4096"}))
    assert cli("events", "--tail", "1").err == ""
    assert "--cursor 7-4096" in cli("events").err


def test_an_event_that_would_fill_the_screen_is_cut_on_a_terminal_only(node, cli):
    node.on("GET", "/events", answer({"items": [{**EVENT, "event": {"receipt": "r" * 2000}}], "next_cursor": None}))
    assert "r" * 2000 in cli("events").text
    cli.draws = True
    assert cli("events").text.count("r") < 300


def test_nothing_to_list_says_so(node, cli):
    node.on("GET", "/mesh/jobs", answer({"items": [], "next_cursor": None}))
    assert cli("mesh", "jobs").text == "no jobs\n"


# --- content ---


def test_content_is_stored_from_a_file_and_its_cid_printed_alone(node, cli, tmp_path):
    (tmp_path / "bread.txt").write_bytes(CONTENT)
    node.on("POST", "/dag/put", answer({"cid": CID, "size": len(CONTENT)}, 201))
    ran = cli("dag", "put", tmp_path / "bread.txt", "--pin", "--ttl", "60")
    assert (ran.status, ran.text) == (Exit.DONE, CID + "\n")
    assert node.asked[0].json == {
        "data": base64.b64encode(CONTENT).decode(),
        "codec": "raw",
        "pin": True,
        "ttl_seconds": 60,
    }


def test_content_is_stored_from_standard_input_under_another_codec(node, cli):
    cid = str(Cid.of(b"\xa0", DAG_CBOR))
    node.on("POST", "/dag/put", answer({"cid": cid, "size": 1}, 201))
    ran = cli("dag", "put", "-", "--codec", "dag-cbor", stdin=b"\xa0")
    assert ran.text == cid + "\n"
    assert node.asked[0].json == {"data": "oA==", "codec": "dag-cbor", "pin": False}


def test_a_node_that_names_content_wrongly_is_not_believed(node, cli):
    node.on("POST", "/dag/put", answer({"cid": CID, "size": 1}, 201))
    ran = cli("dag", "put", "-", stdin=b"something else")
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert ran.out == b""
    assert "cli.hash_mismatch" in ran.err


def test_too_much_content_is_refused_before_it_is_sent(node, cli, tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(8 * 1024 * 1024 + 1)
    ran = cli("dag", "put", tmp_path / "large")
    assert ran.status is Exit.REFUSED
    assert node.requests == []


def got(content=CONTENT, cid=CID):
    return answer(
        {
            "cid": cid,
            "codec": "raw",
            "size": len(content),
            "data": base64.b64encode(content).decode(),
            "signed": False,
        }
    )


def test_content_comes_out_as_it_is(node, cli, tmp_path):
    every_byte = bytes(range(256))
    cid = str(Cid.of(every_byte, RAW))
    node.on("POST", "/dag/get", got(every_byte, cid))
    assert cli("dag", "get", cid).out == every_byte
    assert node.asked[0].json == {"cid": cid}
    assert "idempotency-key" not in node.asked[0].headers
    ran = cli("dag", "get", cid, "-o", tmp_path / "out", "--output", "json")
    assert (tmp_path / "out").read_bytes() == every_byte
    assert ran.json == {"cid": cid, "size": 256, "file": str(tmp_path / "out")}
    assert cli("dag", "get", cid, "--output", "json").json["signed"] is False


def test_content_with_another_hash_is_not_written(node, cli, tmp_path):
    node.on("POST", "/dag/get", got(b"something else"))
    for options in ([], ["-o", tmp_path / "out"], ["--output", "json"]):
        ran = cli("dag", "get", CID, *options)
        assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
        assert ran.out == b""
    assert not (tmp_path / "out").exists()


def test_bytes_that_are_no_text_do_not_reach_a_terminal(node, cli):
    hostile = b"\x1b]0;owned\x07"
    cid = str(Cid.of(hostile, RAW))
    node.on("POST", "/dag/get", got(hostile, cid))
    cli.draws = True
    ran = cli("dag", "get", cid)
    assert (ran.status, ran.out) == (Exit.USAGE, b"")
    node.on("POST", "/dag/get", got())
    assert cli("dag", "get", CID).out == CONTENT


# --- jobs ---


def test_the_price_offered_by_default_is_the_nodes_to_say_and_so_are_the_limits(node, cli):
    node.on("POST", "/mesh/submit", answer(SUBMITTED, 202))
    cli("mesh", "submit", "echo")
    cli("mesh", "submit", "echo", "--fuel", "2000001", "--max-price", "3")
    assert "max_price" not in node.asked[0].json
    assert "fuel" not in node.asked[0].json
    assert (node.asked[1].json["max_price"], node.asked[1].json["fuel"]) == (3, 2_000_001)


def test_limits_go_by_the_names_of_the_api(node, cli):
    node.on("POST", "/mesh/submit", answer(SUBMITTED, 202))
    limits = ["--fuel", 1, "--memory", 2, "--tables", 3, "--wall-ms", 4, "--output-max", 5]
    cli("mesh", "submit", "echo", *limits)
    wanted = {"fuel": 1, "memory_bytes": 2, "table_elements": 3, "wall_ms": 4, "output_bytes": 5}
    assert wanted.items() <= node.asked[0].json.items()


def test_a_module_by_cid_is_named_and_not_sent(node, cli):
    node.on("POST", "/mesh/submit", answer(SUBMITTED, 202))
    cli("mesh", "submit", CID, "--input-cid", CID)
    assert node.requests == ["POST /mesh/submit"]
    assert node.asked[0].json["module"] == CID
    assert node.asked[0].json["input_cid"] == CID


def test_a_module_in_a_file_is_stored_first_under_a_key_that_follows(node, cli, tmp_path):
    (tmp_path / "empty.wat").write_text("(module)")
    (tmp_path / "empty.wasm").write_bytes(b"\0asm\1\0\0\0")
    cid = str(Cid.of(b"\0asm\1\0\0\0", RAW))
    node.on("POST", "/dag/put", answer({"cid": cid, "size": 8}, 201))
    node.on("POST", "/mesh/submit", answer(SUBMITTED, 202))
    for name in ("empty.wat", "empty.wasm"):
        ran = cli("mesh", "submit", tmp_path / name, "--idempotency-key", KEY)
        assert ran.status is Exit.DONE, ran.err
    assert node.requests == ["POST /dag/put", "POST /mesh/submit"] * 2
    assert [node.asked[n].json["module"] for n in (1, 3)] == [cid, cid]
    keys = [asked.headers["idempotency-key"] for asked in node.asked]
    assert keys[1] == keys[3] == KEY
    assert keys[0] == keys[2] != KEY


def test_text_that_is_no_module_is_refused_with_its_place(node, cli, tmp_path):
    (tmp_path / "wrong.wat").write_text("(module (func")
    ran = cli("mesh", "submit", tmp_path / "wrong.wat")
    assert ran.status is Exit.REFUSED
    assert "1:14" in ran.err
    assert ran.err.count("\n") == 1
    assert node.requests == []


def test_a_short_input_travels_with_the_job_and_a_long_one_is_stored(node, cli):
    long = bytes(5000)
    cid = str(Cid.of(long, RAW))
    node.on("POST", "/dag/put", answer({"cid": cid, "size": 5000}, 201))
    node.on("POST", "/mesh/submit", answer(SUBMITTED, 202))
    cli("mesh", "submit", "echo", "--input", "-", stdin=b"abc")
    cli("mesh", "submit", "echo", "--input", "-", stdin=long)
    assert node.asked[0].json["input_base64"] == "YWJj"
    assert node.requests[1:] == ["POST /dag/put", "POST /mesh/submit"]
    assert node.asked[2].json["input_cid"] == cid
    assert "input_base64" not in node.asked[2].json


def test_a_job_is_cancelled(node, cli):
    node.on("POST", f"/mesh/jobs/{JOB}/cancel", answer({"job_id": JOB, "status": "cancelled"}))
    ran = cli("mesh", "cancel", JOB, "--idempotency-key", KEY)
    assert ran.text == f"{JOB} cancelled\n"
    assert node.asked[0].headers["idempotency-key"] == KEY
    assert node.asked[0].body == b""


@pytest.mark.parametrize(
    ("verdict", "status", "words"),
    [
        ({}, Exit.DONE, ["valid", "matches"]),
        ({"signature_ok": False}, Exit.NOT_FOUND_OR_UNVERIFIED, ["NOT VALID"]),
        ({"matches": False}, Exit.NOT_FOUND_OR_UNVERIFIED, ["DOES NOT MATCH"]),
        ({"matches": False, "comparable": True}, Exit.NOT_FOUND_OR_UNVERIFIED, ["DOES NOT MATCH"]),
        ({"matches": False, "comparable": False}, Exit.NOT_FOUND_OR_UNVERIFIED, ["not match, which proves nothing"]),
    ],
    ids=["holds", "signature", "result", "comparable", "accident"],
)
def test_a_receipt_is_verified_by_signature_and_by_running_again(node, cli, verdict, status, words):
    node.on("POST", "/mesh/verify", answer({**VERDICT, **verdict}))
    ran = cli("mesh", "verify", JOB)
    assert ran.status is status
    assert node.asked[0].json == {"job_id": JOB}
    assert all(word in ran.text for word in words)
    assert json.loads(cli("mesh", "verify", JOB, "--output", "json").out) == {**VERDICT, **verdict}


def test_a_node_is_called_once_and_the_answer_says_who_it_is(node, cli):
    connected = {"peer_id": "12D3KooWPeer", "did": DID, "address": "/dns4/a/tcp/1/p2p/12D3KooWPeer"}
    node.on("POST", "/network/connect", answer(connected))
    ran = cli("network", "connect", connected["address"])
    assert ran.status is Exit.DONE
    assert node.asked[0].json == {"address": connected["address"]}
    assert all(word in ran.text for word in connected.values())
    node.on("POST", "/network/connect", problem(503, "network.nobody_answers", "refused there"))
    ran = cli("network", "connect", "/ip4/127.0.0.1/tcp/1")
    assert ran.status is not Exit.DONE
    assert "refused there" in ran.err


def test_every_command_of_the_table_is_there_and_none_besides():
    actions = {command.words: load(command) for command in COMMANDS}
    assert len(actions) == len(COMMANDS)
    tested = {*READS, "mana transfer", "federation admit", "account open", "sync now", "mesh submit", "dag resume"}
    tested |= {f"federation {verb}" for verb in ("init", "join", "invite", "leave", "remove")}  # test_federation
    tested |= {"dag put", "dag get", "mesh cancel", "mesh verify", "network connect"}
    tested |= {"mesh output", "mesh watch"}  # test_waiting, test_watching, test_receiving
    tested |= {"mesh receipt"}  # test_receipts
    identity = {f"identity {verb}" for verb in ("create", "show", "encrypt", "passphrase", "verify")}
    tested |= {f"dag {verb}" for verb in ("pin", "unpin", "prune", "meta", "blocks", "status", "export", "import")}
    storage = {f"storage {verb}" for verb in ("info", "migrate", "rebuild", "reopen")}
    backups = {"dag backup", "dag restore", *(f"backup {verb}" for verb in ("status", "list", "run", "drill"))}
    devnet = {f"devnet {verb}" for verb in ("up", "status", "load", "chaos", "down")}  # tests/e2e/test_devnet.py
    assert set(actions) == (tested | identity | storage | backups | devnet) - {"dag verify --deep"}


def test_info_says_which_engine_keeps_what_the_guide_calls_sled(node, cli):
    node.on("GET", "/info", answer({**INFO, "storage": {"backend": "sled", "path": "/data/dag.sled"}}))
    assert "sled (LMDB) at /data/dag.sled" in cli("info").text


def test_sync_now_asks_everybody_and_says_what_came(node, cli):
    node.on(
        "GET", "/sync/status", answer(SYNC), answer(SYNC), answer({**SYNC, "blocks": 9, "in_sync": True, "waiting": 0})
    )
    node.on("POST", "/sync/now", answer({"asked": [DID]}))
    ran = cli("sync", "now", "--output", "json")
    assert ran.status is Exit.DONE, ran.err
    assert ran.json == {"asked": 1, "blocks_came": 2, "in_sync": True, "root": CID, "waiting": 0}


def test_sync_now_that_brings_not_everything_is_no_success(node, cli):
    node.on("GET", "/sync/status", answer(SYNC))
    node.on("POST", "/sync/now", answer({"asked": [DID]}))
    ran = cli("sync", "now", "--wait", "0.01")
    assert ran.status is Exit.REFUSED
    assert "sync status" in ran.err


def test_evidence_is_exported_and_verified_without_a_node(node, cli, tmp_path):
    one, other = (
        builders.block(1, federation=builders.cid("f"), sequence=1, previous=builders.cid("p"), time=t) for t in (5, 6)
    )
    fork = {**FORK, "author": str(one.header.author), "first": str(one.cid), "second": str(other.cid)}
    node.on("GET", "/dag/evidence", answer({"items": [fork], "next_cursor": None}))
    for block in (one, other):
        node.on("GET", f"/dag/blocks/{block.cid}", Reply(200, block.data))
    file = tmp_path / "proof.car"
    assert cli("dag", "evidence", "export", "--author", fork["author"], "-o", str(file)).status is Exit.DONE
    asked = len(node.asked)
    ran = cli("dag", "evidence", "verify", str(file), "--output", "json")
    assert ran.status is Exit.DONE, ran.err
    said = ran.json
    assert (said["author"], said["sequence"], {said["first"], said["second"]}) == (
        fork["author"],
        1,
        {str(one.cid), str(other.cid)},
    )
    assert len(node.asked) == asked, "no node is needed"
    file.write_bytes(file.read_bytes()[:-1])
    assert cli("dag", "evidence", "verify", str(file)).status is Exit.NOT_FOUND_OR_UNVERIFIED
