"""Ending a devnet: everybody is asked, whoever does not listen is killed, and what was not right is said."""

from pathlib import Path

import pytest

from icn.cli.devnet.folder import Folder
from icn.cli.devnet.launching import launch
from icn.cli.devnet.processes import lives
from icn.cli.devnet.state import Devnet, Node, ProcessId, Terms
from icn.cli.endings import Exit
from support.cli_server import CommandLine, Ran

pytestmark = pytest.mark.slow

WAIT = "echo ready >&2; while :; do sleep 0.02; done"
LIKE_A_NODE = f"""trap 'echo "{{\\"event\\": \\"stopped\\"}}" >&2; exit 0' TERM; {WAIT}"""
IN_SILENCE = f"trap 'exit 0' TERM; {WAIT}"
NEVER = f"trap '' TERM; {WAIT}"


def running(tmp_path: Path, program: str) -> tuple[Folder, ProcessId]:
    folder = Folder(tmp_path / "devnet")
    folder.make("a-key")
    log = folder.log_of("node-01")
    known: list[ProcessId] = []
    launch(["/bin/sh", "-c", program], log=log, environment={"PATH": "/usr/bin:/bin"}, remember=known.append)
    while b"ready" not in log.read_bytes():  # its trap is set
        assert lives(known[0])
    folder.write(Devnet(Terms("sqlite", "open"), (Node("node-01", process=known[0]),)))
    return folder, known[0]


def down(folder: Folder, *words: str) -> Ran:
    return CommandLine()("devnet", "down", "--dir", folder.root, "--within", "1", "--output", "json", *words)


def off(ran: Ran) -> list[str]:
    return [check["name"] for check in ran.json["checks"] if not check["ok"]]


def test_who_stops_when_asked(tmp_path: Path) -> None:
    folder, process = running(tmp_path, LIKE_A_NODE)
    ran = down(folder)
    assert (ran.status, off(ran), ran.json["stopped"]) == (Exit.DONE, [], 1)
    assert not lives(process)
    assert folder.read().node("node-01").process is None
    assert down(folder, "--purge").status is Exit.DONE
    assert not folder.root.exists()


def test_who_ends_without_a_word_is_noticed_and_nothing_is_purged(tmp_path: Path) -> None:
    folder, process = running(tmp_path, IN_SILENCE)
    ran = down(folder, "--purge")
    assert (ran.status, off(ran)) == (Exit.NOT_FOUND_OR_UNVERIFIED, ["all said that they have stopped"])
    assert not lives(process)
    assert folder.read().node("node-01").process is None
    assert ran.json["purged"] is False


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    folder, process = running(tmp_path, NEVER)
    ran = down(folder)
    assert (ran.status, off(ran)) == (Exit.NOT_FOUND_OR_UNVERIFIED, ["nobody had to be killed"])
    assert ran.json["killed"] == ["node-01"]
    assert not lives(process)
