"""`mesh output`: bytes that come piece by piece, and reach nobody before they are known to be right."""

import base64
import os
import stat
import tracemalloc

import pytest

from icn.cli.endings import Exit
from icn.cli.receiving import PIECE_BYTES
from icn.kernel.ids import RAW, Cid, Did, JobId
from support.cli_server import Reply, answer

JOB = str(JobId.of(Did.from_public_key(bytes(range(32))), bytes(16)))
CONTENT = b"what is stored\n"


def has(node, content, named=None):
    cid = str(Cid.of(content if named is None else named, RAW))
    node.on("GET", f"/mesh/jobs/{JOB}", answer({"job_id": JOB, "status": "completed", "output_cid": cid}))
    node.on("GET", f"/mesh/jobs/{JOB}/output", Reply(200, content))


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2])
def test_any_size_comes_out_as_it_is_in_every_way(node, cli, tmp_path, size):
    content = bytes(n % 251 for n in range(size))
    has(node, content)
    assert cli("mesh", "output", JOB).out == content
    told = cli("mesh", "output", JOB, "--output", "json").json
    assert (base64.b64decode(told["data"]), told["size"], told["job_id"]) == (content, size, JOB)
    ran = cli("mesh", "output", JOB, "-o", tmp_path / "out", "--output", "json")
    assert (tmp_path / "out").read_bytes() == content
    assert ran.json == {**{k: told[k] for k in ("job_id", "output_cid", "size")}, "file": str(tmp_path / "out")}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("options", [[], ["--output", "json"], ["-o", "kept"]])
@pytest.mark.parametrize(
    "reply", [Reply(200, b"forged"), Reply(200, CONTENT[:5], missing_bytes=10), Reply(hang_up=True)]
)
def test_what_is_wrong_or_cut_off_reaches_nobody(node, cli, tmp_path, monkeypatch, options, reply):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_bytes(b"before")
    has(node, CONTENT)
    node.on("GET", f"/mesh/jobs/{JOB}/output", reply)
    ran = cli("mesh", "output", JOB, *options)
    assert ran.status is (Exit.NOT_FOUND_OR_UNVERIFIED if reply.body == b"forged" else Exit.UNREACHABLE)
    assert ran.out == b""
    assert (tmp_path / "kept").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_file_that_is_replaced_keeps_its_permissions_and_a_link_its_target(node, cli, tmp_path):
    has(node, CONTENT)
    (tmp_path / "real").write_bytes(b"before")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    assert cli("mesh", "output", JOB, "-o", tmp_path / "link").status is Exit.DONE
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == CONTENT
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_what_is_no_file_is_written_to_and_never_replaced(node, cli, tmp_path):
    # Not tried on a device of this machine: code that replaced it would leave everybody without.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    has(node, CONTENT)
    assert cli("mesh", "output", JOB, "-o", pipe).status is Exit.DONE
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.read(reader, len(CONTENT) + 1) == CONTENT
    os.close(reader)


def test_a_place_that_cannot_be_written_is_said_with_its_name(node, cli, tmp_path):
    has(node, CONTENT)
    for name in (tmp_path / "no" / "folder", tmp_path):
        ran = cli("mesh", "output", JOB, "-o", name)
        assert ran.status is Exit.FAULT
        assert f"{name} cannot be written" in ran.err


def test_only_text_reaches_a_terminal(node, cli):
    cli.draws = True
    for content, status in ((CONTENT, Exit.DONE), (b"\x1b]0;owned\x07", Exit.USAGE), (b"half \xc3", Exit.USAGE)):
        has(node, content)
        ran = cli("mesh", "output", JOB)
        assert (ran.status, ran.out) == (status, content if status is Exit.DONE else b"")
    straddling = b"a" * (PIECE_BYTES - 1) + "é".encode()
    has(node, straddling)
    assert cli("mesh", "output", JOB).out == straddling


def test_a_job_without_an_output_says_where_it_stands(node, cli):
    node.on("GET", f"/mesh/jobs/{JOB}", answer({"job_id": JOB, "status": "bidding", "output_cid": None}))
    ran = cli("mesh", "output", JOB)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "is bidding" in ran.err


@pytest.mark.slow
def test_the_largest_output_is_never_in_memory(node, cli, tmp_path):
    content = bytes(8 * 1024 * 1024)
    has(node, content)
    cli("mesh", "jobs")  # what is imported counts for nobody
    tracemalloc.start()
    assert cli("mesh", "output", JOB, "-o", tmp_path / "out").status is Exit.DONE
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "out").stat().st_size == len(content)
    assert peak < 2 * 1024 * 1024
