"""A node is remembered before it runs; one that cannot be remembered never runs."""

from pathlib import Path

import pytest

from icn.cli.devnet.launching import launch, loopback_flags
from icn.cli.devnet.processes import await_end, lives
from icn.cli.devnet.state import ProcessId

pytestmark = pytest.mark.slow


def test_it_runs_once_it_is_remembered(tmp_path: Path) -> None:
    log, known = tmp_path / "log", list[ProcessId]()
    environment = {"PATH": "/usr/bin:/bin", "ICN_API_KEY": "of the client", "COLOUR": "green"}
    process = launch(
        ["/bin/sh", "-c", 'echo "$1 $COLOUR ${ICN_API_KEY-unset}"; read -r line || echo end of input', "sh", "a b"],
        log=log,
        environment=environment,
        remember=known.append,
    )
    assert known == [process]
    assert await_end([process], 10.0) == []
    assert log.read_text() == "a b green unset\nend of input\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_it_does_not_when_it_cannot_be_remembered(tmp_path: Path) -> None:
    known = []

    def fail(process: ProcessId) -> None:
        known.append(process)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        launch(["/bin/sh", "-c", "echo ran"], log=tmp_path / "log", environment={}, remember=fail)
    assert await_end(known, 10.0) == []
    assert not lives(known[0])
    assert (tmp_path / "log").read_text() == ""


def test_a_node_keeps_its_addresses() -> None:
    first = loopback_flags(Path("data"), Path("key"), backend="sled", http="", p2p="")
    again = loopback_flags(
        Path("data"), Path("key"), backend="sled", http="127.0.0.1:5", p2p="/ip4/127.0.0.1/tcp/6/p2p/12D3KooW"
    )
    assert first[first.index("--http-listen-addr") + 1] == "127.0.0.1:0"
    assert first[first.index("--p2p-listen-addr") + 1] == "/ip4/127.0.0.1/tcp/0"
    assert again[again.index("--http-listen-addr") + 1] == "127.0.0.1:5"
    assert again[again.index("--p2p-listen-addr") + 1] == "/ip4/127.0.0.1/tcp/6"
