"""Each way a command can end: its status, its one line, and nothing on standard output that was not measured."""

import json

import pytest

from icn.cli.endings import MEANINGS, Exit
from icn.kernel.ids import Did
from support.cli_server import CommandLine, Reply, answer, problem

DID = str(Did.from_public_key(bytes(range(32))))
DONE = answer({"transfer": "t1", "status": "done"})
TRANSFER = ["mana", "transfer", DID, "5"]
SUPPLY = answer({"minted": 1, "balanced": True})


def test_the_statuses_are_those_of_the_surface():
    assert [status.value for status in MEANINGS] == [0, 1, 2, 3, 4, 5, 6, 70, 78, 130, 141]


@pytest.mark.parametrize(
    ("http_status", "status", "next_step"),
    [
        (400, Exit.REFUSED, "--help"),
        (401, Exit.NOT_AUTHORISED, "--api-key-file"),
        (402, Exit.REFUSED, "mana balance"),
        (403, Exit.NOT_AUTHORISED, "operator"),
        (404, Exit.NOT_FOUND_OR_UNVERIFIED, "name"),
        (409, Exit.REFUSED, "present state"),
        (413, Exit.REFUSED, "Send less"),
        (418, Exit.REFUSED, "log"),
        (422, Exit.REFUSED, "--help"),
        (429, Exit.REFUSED, "Try again"),
        (500, Exit.FAULT, "log"),
        (503, Exit.FAULT, "Try again"),
    ],
)
def test_a_problem_is_one_line_with_detail_code_correlation_id_and_what_to_do(
    node, cli, http_status, status, next_step
):
    node.on("POST", "/mana/transfer", problem(http_status, "ledger.some_code", "there is a reason"))
    ran = cli(*TRANSFER)
    assert (ran.status, ran.out) == (status, b"")
    assert ran.err.startswith("icn-cli: there is a reason (ledger.some_code; correlation id corr-7). ")
    assert next_step in ran.err
    assert ran.err.count("\n") == 1
    assert len(node.asked) == 1, "a refusal is not tried again"


def test_retry_after_is_told(node, cli):
    node.on("POST", "/mana/transfer", problem(429, "http.too_many", "slow down", Retry_After="7"))
    assert "Try again in 7 s." in cli(*TRANSFER).err


def test_a_problem_cannot_break_its_line_or_steer_the_terminal(node, cli):
    node.on("GET", "/mana/supply", problem(409, "x", "one\ntwo\x1b[2J"))
    err = cli("mana", "supply").err
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[1]", b'{"detail": 5}', b"\xff\xfe"])
def test_a_refusal_without_a_problem_document_is_told_by_its_status(node, cli, body):
    node.on("GET", "/mana/supply", Reply(502, body, {"x-correlation-id": "from-header"}))
    ran = cli("mana", "supply")
    assert ran.status is Exit.FAULT
    assert "HTTP status 502 (http.502; correlation id from-header)" in ran.err


def test_redirects_are_not_followed(node, cli):
    node.on("GET", "/mana/supply", Reply(307, b"", {"Location": "http://127.0.0.1:1/"}))
    ran = cli("mana", "supply")
    assert ran.status is Exit.FAULT
    assert "Redirects are not followed" in ran.err


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b'"text"', b"{", b"\xff", b"[" * 100_000, b"{}", b'{"minted": 1, "balanced": "yes"}'],
    ids=["nothing", "text", "list", "string", "cut", "not UTF-8", "deep", "no fields", "another type"],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_an_answer_that_cannot_be_understood_is_a_fault_and_no_bug(node, cli, body, output):
    node.on("GET", "/mana/supply", Reply(200, body))
    ran = cli("mana", "supply", "--output", output)
    assert ran.status is Exit.FAULT, ran.err
    assert "cannot be understood" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "body", [{"federation": 5, "storage": {}, "listen": {}}, {"federation": None}, {"storage": [], "federation": {}}]
)
def test_parts_of_another_shape_are_a_fault_and_no_bug(node, cli, body):
    node.on("GET", "/info", answer(body))
    assert cli("info").status is Exit.FAULT


def test_what_does_not_speak_http_is_a_fault(node, cli):
    node.on("GET", "/mana/supply", Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"))
    ran = cli("mana", "supply")
    assert ran.status is Exit.FAULT
    assert "does not speak HTTP" in ran.err


# --- reaching the node ---


def test_a_node_that_is_not_there_is_told_at_once(alone):
    for words in (["info"], TRANSFER):
        ran = alone(*words)
        assert (ran.status, ran.out, ran.pauses) == (Exit.UNREACHABLE, b"", [])
        assert "no connection to the node at http://127.0.0.1:1: connection refused (cli.unreachable)" in ran.err
        assert "ICN_NODE_URL" in ran.err


def test_a_host_that_does_not_exist_is_unreachable(alone):
    assert alone("--node", "http://" + "a" * 70 + ".invalid", "info").status is Exit.UNREACHABLE


@pytest.mark.parametrize("reply", [Reply(hang_up=True), Reply(200, b"{}", missing_bytes=5)], ids=["none", "cut short"])
def test_a_write_whose_connection_is_lost_is_repeated_under_the_same_key(node, cli, reply):
    node.on("POST", "/mana/transfer", reply, reply, DONE)
    ran = cli(*TRANSFER)
    assert ran.status is Exit.DONE, ran.err
    assert len({asked.headers["idempotency-key"] for asked in node.asked}) == 1
    assert len(node.asked) == 3
    assert ran.pauses == [0.25, 0.5]


def test_repeating_is_bounded_and_the_report_says_how_to_go_on(node, cli):
    node.on("POST", "/mana/transfer", Reply(hang_up=True))
    ran = cli(*TRANSFER)
    assert ran.status is Exit.UNREACHABLE
    assert len(node.asked) == 4
    key = node.asked[0].headers["idempotency-key"]
    assert f"It may have been done: repeat it with --idempotency-key {key}" in ran.err


@pytest.mark.slow
def test_an_answer_that_does_not_come_is_not_asked_for_again(node, cli):
    node.on("POST", "/mana/transfer", Reply(silent=True))
    ran = cli("--timeout", "0.3", *TRANSFER)
    assert ran.status is Exit.UNREACHABLE
    assert "did not answer within 0.3 s" in ran.err
    assert f"--idempotency-key {node.asked[0].headers['idempotency-key']}" in ran.err
    assert len(node.asked) == 1


# --- the command line, the environment, this machine ---


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "dag",
        "dag nonsense",
        "info extra",
        "info --unknown",
        "--unknown info",
        "--nod http://127.0.0.1:1 info",
        "--output yaml info",
        "--timeout 0 info",
        "--timeout nan info",
        "--timeout inf info",
        "--timeout soon info",
        "--node ftp://127.0.0.1 info",
        "--node 127.0.0.1:7845 info",
        "--node http://127.0.0.1:99999 info",
        "--node http://127.0.0.1/?a=b info",
        "--api-key a --api-key-file b info",
        "dag get not-a-cid",
        "dag put -  --ttl 0",
        "mesh job not-a-job",
        "mesh jobs --status done",
        "mesh submit echo --input a --input-cid bafkreid2efqasdh4cdd2aft726pfpcbiclfpnubh3mhnnw73iyj4sxvzoe",
        "mana balance ../info",
        f"mana transfer {DID} -5",
        f"mana transfer {DID} 0",
        f"mana transfer {DID} 1.5",
        f"mana transfer {DID} 5 --idempotency-key {'k' * 121}",
        "events --since yesterday",
        "events --follow --until 2024-01-01",
    ],
)
def test_a_wrong_command_line_asks_nothing_of_anybody(node, cli, line):
    ran = cli(*line.split())
    assert ran.status is Exit.USAGE
    assert ran.err.splitlines()[-1].startswith("icn-cli: ")
    assert (ran.out, node.asked) == (b"", [])


def test_a_misspelt_command_is_answered_with_the_near_one(cli):
    assert "did you mean mesh?" in cli("mseh", "jobs").err
    assert "did you mean balance?" in cli("mana", "balanse").err


@pytest.mark.parametrize(
    "environ",
    [
        {"ICN_NODE_URL": "nonsense"},
        {"ICN_API_KEY_FILE": "/nonexistent"},
        {"ICN_API_KEY": "two words"},
        {"ICN_API_KEY": "new\nline"},
    ],
)
def test_a_wrong_variable_is_a_matter_of_configuration(node, cli, environ):
    cli.environ |= environ
    ran = cli("info")
    assert ran.status is Exit.CONFIGURATION
    assert node.asked == []
    assert "two words" not in ran.err


def test_a_variable_of_somebody_else_is_not_our_business(node, cli):
    cli.environ["ICN_SOMETHING"] = "else"
    node.on("GET", "/mana/supply", SUPPLY)
    assert cli("mana", "supply").status is Exit.DONE


def test_a_password_in_an_address_is_refused_and_not_repeated(cli):
    for credentials in ("me:hunter2", "hunter2"):
        ran = cli("--node", f"http://{credentials}@127.0.0.1", "info")
        assert ran.status is Exit.USAGE
        assert "hunter2" not in ran.err


@pytest.mark.parametrize("line", [["dag", "put", "absent"], ["mesh", "submit", "absent.wasm"]])
def test_a_file_that_is_not_there_is_not_found(node, cli, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = cli(*line)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert node.asked == []


def test_a_file_that_cannot_be_read_is_a_fault(cli, tmp_path):
    assert cli("dag", "put", tmp_path).status is Exit.FAULT


def test_ctrl_c_ends_in_130_without_a_word(node, cli):
    node.on("GET", "/mana/supply", Reply(hang_up=True))
    cli.interrupt_after = 1
    ran = cli("mana", "supply")
    assert (ran.status, ran.out, ran.err) == (Exit.INTERRUPTED, b"", "")


def test_ctrl_c_in_a_write_tells_how_to_repeat_it_so_that_it_is_done_once(node, cli):
    node.on("POST", "/mana/transfer", Reply(hang_up=True))
    cli.interrupt_after = 1
    ran = cli(*TRANSFER)
    assert (ran.status, ran.out) == (Exit.INTERRUPTED, b"")
    assert f"repeat it with --idempotency-key {node.asked[0].headers['idempotency-key']}" in ran.err


@pytest.mark.parametrize("line", [[*TRANSFER, "--note", "caf\udce9"], ["events", "--correlation", "caf\udce9"]])
def test_what_was_typed_in_another_encoding_is_a_slip_and_no_bug(node, cli, line):
    ran = cli(*line)
    assert (ran.status, ran.err.count("\n")) == (Exit.USAGE, 1)
    assert node.asked == []


def test_json_says_the_same_and_steers_no_terminal(node, cli):
    body = '{"minted": 1, "balanced": true,\n "note": "caf\u00e9 \u009b31m \x7f \u202e \U000e0041 \\"\\n"}'
    node.on("GET", "/mana/supply", Reply(200, body.encode()))
    ran = cli("mana", "supply", "--output", "json")
    assert json.loads(ran.text) == json.loads(body)
    assert all(sign.isprintable() for sign in ran.text.replace("\n", ""))
    assert "caf\u00e9" in ran.text


# --- where the node and the key come from ---


@pytest.fixture
def keys(node, cli, tmp_path):
    """Runs a command and says which key the node was shown."""
    (tmp_path / "key").write_text("from-file\n")
    node.on("GET", "/mana/supply", SUPPLY)

    def run(environ: dict[str, str], *options: str) -> str | None:
        cli.environ = {"ICN_NODE_URL": node.url, **environ}
        ran = cli(*options, "mana", "supply")
        assert ran.status is Exit.DONE, ran.err
        return node.asked[-1].headers.get("x-api-key")

    return run


def test_a_key_comes_from_a_flag_before_the_environment(keys, tmp_path):
    file = str(tmp_path / "key")
    assert keys({}) is None
    assert keys({"ICN_API_KEY": ""}) is None
    assert keys({"ICN_API_KEY": "from-env"}) == "from-env"
    assert keys({"ICN_API_KEY_FILE": file}) == "from-file"
    assert keys({"ICN_API_KEY": "from-env"}, "--api-key-file", file) == "from-file"
    assert keys({"ICN_API_KEY": "from-env"}, "--api-key", "from-flag") == "from-flag"


def test_a_key_on_the_command_line_works_and_is_warned_of_in_one_line(node, cli):
    node.on("GET", "/mana/supply", SUPPLY)
    ran = cli("mana", "supply", "--api-key", "s3cret")
    assert ran.err.startswith("icn-cli: warning: a key on the command line")
    assert ran.err.count("\n") == 1
    assert "s3cret" not in ran.err + ran.text


@pytest.mark.parametrize(
    "line",
    [
        "--node {} mana supply",
        "mana --node {} supply",
        "mana supply --node {}",
        "--node http://no mana supply --node {}",
    ],
)
def test_global_options_stand_anywhere_and_the_last_one_counts(node, line):
    node.on("GET", "/api/v1/mana/supply", SUPPLY)
    ran = CommandLine()(*line.format(node.url + "/api/v1/").split(), "--output=json")
    assert ran.status is Exit.DONE, ran.err
    assert ran.json == json.loads(SUPPLY.body)


def test_requests_say_who_sends_them_and_bear_a_correlation_id(node, cli):
    node.on("GET", "/mana/supply", SUPPLY)
    cli("mana", "supply")
    assert node.asked[0].headers["user-agent"].startswith("icn-cli/")
    assert node.asked[0].headers["x-correlation-id"].startswith("cli-")


def test_a_time_before_the_first_year_is_no_time(node, cli):
    ran = cli("events", "--since", "0001-01-01T00:00+05:00")
    assert (ran.status, "is no date or time" in ran.err) == (Exit.USAGE, True)
    assert node.asked == []
