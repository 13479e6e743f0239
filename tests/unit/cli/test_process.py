"""The program as a process: what it loads, what it writes to a terminal, to a pipe that closes, to a full disk."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from icn.adapters.collecting import ALLOCATIONS
from icn.cli.endings import Exit
from icn.cli.reference import reference
from support.cli_server import Reply, answer

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-c", "import sys; from icn.cli.main import main; sys.exit(main())"]
HEAVY = (
    "dataclasses",
    "shutil",
    "pydantic",
    "fastapi",
    "rich",
    "wasmtime",
    "cryptography",
    "cbor2",
    "http.client",
    "uvicorn",
    "structlog",
)
LIST_LOADED = f"""
import sys
from icn.cli.main import main
status = main(sys.argv[1:])
print("\\nloaded:", [name for name in {HEAVY!r} if name in sys.modules], status)
"""
SUPPLY = answer({"minted": 1, "balanced": True})


def run(*argv, node=None, environ=None, **options):
    environment = {**os.environ, "ICN_NODE_URL": node.url if node else "http://127.0.0.1:1", **(environ or {})}
    for name in ("ICN_API_KEY", "PYTHONUNBUFFERED"):  # a person's Python holds output back until it is flushed
        environment.pop(name, None)
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([*PROGRAM, *argv], env=environment, timeout=60, check=False, **given)


def loaded_by(*argv, node=None):
    environment = {**os.environ, "ICN_NODE_URL": node.url if node else "http://127.0.0.1:1"}
    command = [sys.executable, "-c", LIST_LOADED, *argv]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_command_looks_for_garbage_as_seldom_as_a_node():
    told = "import gc; from icn.cli.main import main; main(['--version']); print(gc.get_threshold()[0])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == str(ALLOCATIONS)


@pytest.mark.slow
def test_a_command_about_an_archive_loads_nothing_that_talks_with_peers():
    told = "import sys; import icn.cli.archives; print('icn.services.replication' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False"]


@pytest.mark.slow
@pytest.mark.parametrize("line", ["--help", "--version", "mana --help", "nonsense"])
def test_help_loads_nothing_heavy(line):
    assert loaded_by(*line.split()).startswith("loaded: [] ")


@pytest.mark.slow
def test_a_request_loads_only_what_carries_it(node):
    node.on("GET", "/mana/supply", SUPPLY)
    assert loaded_by("mana", "supply", node=node) == "loaded: ['dataclasses', 'http.client'] 0"


@pytest.mark.slow
def test_the_status_is_that_of_the_process_and_the_streams_are_kept_apart(node):
    node.on("GET", "/mana/supply", SUPPLY)
    done = run("mana", "supply", "--output", "json", node=node)
    assert (done.returncode, done.stdout, done.stderr) == (0, SUPPLY.body + b"\n", b"")
    done = run("mana", "supply")
    assert (done.returncode, done.stdout) == (Exit.UNREACHABLE, b"")
    assert done.stderr.startswith(b"icn-cli: ")
    assert run("--version").stdout.startswith(b"icn-cli 0.")


@pytest.mark.slow
def test_a_terminal_gets_drawn_tables(node):
    node.on("GET", "/mana/supply", SUPPLY)
    ours, theirs = pty.openpty()
    try:
        done = run("mana", "supply", node=node, stdout=theirs, environ={"TERM": "xterm"})
        os.close(theirs)
        drawn = os.read(ours, 65536)
    finally:
        os.close(ours)
    assert done.returncode == 0
    assert b"\x1b[1mminted" in drawn


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 200_000])
def test_a_reader_that_stops_reading_is_no_error_worth_a_word(node, size):
    node.on("GET", "/mana/supply", answer({"note": "x" * size, "balanced": True}))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run("mana", "supply", node=node, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (Exit.OUTPUT_CLOSED, b"")


@pytest.mark.slow
def test_how_it_ended_is_told_even_when_nobody_reads_what_came_before(tmp_path):
    assert run("identity", "create", str(tmp_path / "key")).returncode == 0
    other = "did:key:z6MkeTGwHmLmuCmgg4ABYhzWVh6ZX7hTwWt8gguAretUfc9c"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run("identity", "verify", str(tmp_path / "key"), "--did", other, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == Exit.NOT_FOUND_OR_UNVERIFIED
    assert done.stderr.count(b"\n") == 1, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_fault_and_not_success(node):
    node.on("GET", "/mana/supply", SUPPLY)
    with Path("/dev/full").open("wb") as full:
        done = run("mana", "supply", node=node, stdout=full)
    assert done.returncode == Exit.FAULT
    assert b"No space left" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("closed", "status", "told"),
    [
        ("<&-", Exit.DONE, b""),
        ("2>&-", Exit.DONE, b""),
        (">&-", Exit.FAULT, b"Bad file"),
        (">&- 2>&-", Exit.FAULT, b""),
    ],
)
def test_a_stream_that_was_closed_before_is_no_bug(node, closed, status, told):
    node.on("GET", "/mana/supply", SUPPLY)
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, "mana", "supply", "--node", node.url]
    done = subprocess.run(shell, capture_output=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    assert done.stderr.count(b"\n") == bool(told)
    assert (b"minted" in done.stdout) == (status is Exit.DONE)


def test_a_key_appears_nowhere_however_it_ends(node, cli, tmp_path):
    (tmp_path / "key").write_text("s3cret")
    node.on("GET", "/mana/supply", Reply(raw=b"garbage"), Reply(401, b""), Reply(hang_up=True))
    for given in (["--api-key", "s3cret"], ["--api-key-file", str(tmp_path / "key")], ["--api-key-file", "absent"]):
        ran = cli("mana", "supply", *given)
        assert ran.status is not Exit.DONE
        assert "s3cret" not in ran.text + ran.err


def test_the_reference_is_the_page_in_docs():
    assert (ROOT / "docs/cli.md").read_text() == reference(), "python -m icn.cli.reference > docs/cli.md"


def test_help_names_every_command_and_group(alone):
    for line in ("--help", "-h"):
        ran = alone(line)
        assert ran.status is Exit.DONE
        assert "identity passphrase" in ran.text
        assert "exit status:" in ran.text
    assert "mana transfer" in alone("mana", "--help").text
    assert "--idempotency-key" in alone("mana", "transfer", "--help").text


def test_a_bug_is_70_with_where_it_happened(alone):
    def dry(count: int) -> bytes:
        raise LookupError("nothing of ours expects this")

    alone.chance = dry
    ran = alone("info")
    assert ran.status is Exit.BUG
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("icn-cli: this is a bug in icn-cli (cli.bug)")
