"""What a node says of itself is found in its log, from its last start on, however the lines come."""

import json
from pathlib import Path

from icn.cli.devnet.announcements import NodeLog

OLD = '{"event": "ready"}\n{"event": "listening", "http": "127.0.0.1:1", "did": "did:key:old"}\n'
HTTP = json.dumps({"event": "listening", "http": "127.0.0.1:7", "did": "did:key:z"}) + "\n"
P2P = json.dumps({"event": "listening", "p2p": "/ip4/127.0.0.1/tcp/8/p2p/12D"}) + "\n"
READY = json.dumps({"event": "ready", "http": "127.0.0.1:7"}) + "\n"


def test_a_start_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(OLD)
    log = NodeLog(path)

    def grow(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    assert (log.look().http, log.look().is_ready) == ("", False)
    grow(HTTP[:20])
    assert log.look().http == ""
    grow(HTTP[20:] + "no JSON at all\n[1]\n" + P2P)
    assert (log.look().http, log.announced.did) == ("127.0.0.1:7", "did:key:z")
    assert log.look().p2p.endswith("/p2p/12D")
    assert not log.look().is_ready
    grow(READY)
    assert log.look().is_ready
    assert not log.look().has_stopped
    grow('{"event": "stopped"}\n')
    assert log.look().has_stopped
    assert "127.0.0.1:1" not in log.last_words()
    assert log.last_words().splitlines()[-1] == '{"event": "stopped"}'


def test_a_log_that_is_not_there_yet_says_nothing(tmp_path: Path) -> None:
    log = NodeLog(tmp_path / "log")
    assert not log.look().is_ready
    assert log.last_words() == ""


def test_a_run_that_somebody_else_began_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(OLD)
    begins = NodeLog(path).begins
    assert begins == len(OLD)
    with path.open("a") as file:
        file.write(HTTP)
    said = NodeLog(path, begins).look()
    assert (said.http, said.is_ready) == ("127.0.0.1:7", False)
