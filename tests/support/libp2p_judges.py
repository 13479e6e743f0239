"""Drives the nodes of other implementations of libp2p, in tests/interop: commands in, answers and events out, one JSON
object per line, the same ones for all."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from icn.protocol.libp2p.kademlia.settings import PROTOCOL as KADEMLIA

HERE = Path(__file__).resolve().parents[1] / "interop"
PATIENCE_S = 40
SETUP = "run tests/interop/setup.sh"


def absent(what: str) -> str:
    """Skips, or fails where everything is required. `what` says what is not there."""
    reason = f"{what}; {SETUP}"
    if os.environ.get("ICN_TEST_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def node_program() -> str:
    """The Node.js 22 that setup.sh installed."""
    found = sorted((HERE / "js" / "node_modules").glob("node-linux-*/bin/node"))
    packages = HERE / "js" / "node_modules"
    if not found or not all((packages / name).is_dir() for name in ("libp2p", "@libp2p/gossipsub", "@ipld/car")):
        return absent("js-libp2p and @ipld/car are not installed")
    return str(found[0])


def _js() -> list[str]:
    return [node_program(), str(HERE / "js" / "node.mjs")]


_GO = HERE / "go" / "judge"
_P2PD = HERE / "p2pd" / "unpacked" / "p2pd"


def _go() -> list[str]:
    return [str(_GO)] if _GO.exists() else [absent("the go-libp2p node is not built (it needs Go 1.26)")]


def _p2pd() -> list[str]:
    return [sys.executable, str(HERE / "p2pd" / "node.py")]


def _py() -> list[str]:
    python = HERE / "py" / ".venv" / "bin" / "python"
    return [str(python if python.exists() else absent("py-libp2p is not installed")), str(HERE / "py" / "node.py")]


@dataclass(frozen=True)
class Implementation:
    """One implementation, and how its node is started. `command` skips the test where it is not installed."""

    name: str
    command: Callable[[], list[str]]
    agent: str = "libp2p"
    """In what it calls itself."""
    kademlia: str = KADEMLIA
    """What its Kademlia is called. It is asked under that name where it has no other."""
    tells: bool = True
    """What it hears of us by identify, and that we are gone."""


_GO_LIBP2P = Implementation("go-libp2p", _go)
_IN_A_WHEEL = Implementation("p2pd (go-libp2p) of hivemind", _p2pd, "p2pd", "/ipfs/kad/1.0.0", tells=False)


def implementations(go: Path = _GO, p2pd: Path = _P2PD) -> tuple[Implementation, ...]:
    """Those that are tried here. p2pd is where it was unpacked, and instead of go-libp2p where that was not built."""
    gos = [_GO_LIBP2P] if go.exists() or not p2pd.exists() else []
    if p2pd.exists():
        gos.append(_IN_A_WHEEL)
    return (Implementation("js-libp2p", _js), *gos, Implementation("py-libp2p", _py))


class Judge:
    """One node of another implementation, in its own process and an empty folder. An async context manager: at its end
    both are gone."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0
        self._said = asyncio.Event()
        self.events: list[dict[str, Any]] = []
        self.peer = ""
        self.address = ""
        self.version = ""

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=self._folder.name
        )
        self._reading = asyncio.create_task(self._read())
        ready = await self.event("ready")
        self.peer, self.address = ready["peer"], ready["addresses"][0]
        self.version = ready["version"].removeprefix("v")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        await self.process.wait()
        await self._reading
        self._folder.cleanup()

    def kill(self) -> None:
        """End it without a word."""
        if self.process.returncode is None:
            self.process.kill()

    async def __call__(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Give a command and wait for its answer, which must be a good one."""
        self._count += 1
        answer = self._answers[self._count] = asyncio.get_running_loop().create_future()
        command = {"name": name, "number": self._count, **arguments}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            said: dict[str, Any] = await answer
        assert said["ok"], said
        return said

    async def event(self, name: str, *, lists: str = "", **wanted: Any) -> dict[str, Any]:
        """The first event of that name with those values, now or when it comes. `lists`: one of what it says was
        added."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    fits = event["event"] == name and all(event.get(key) == value for key, value in wanted.items())
                    if fits and (not lists or lists in event["added"]):
                        return event
                self._said.clear()
                await self._said.wait()

    def forget(self) -> None:
        """Forget the events so far, so that `event` waits for one to come."""
        self.events.clear()

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            said = json.loads(line)
            if "answer" in said:
                self._answers.pop(said["answer"]).set_result(said)
            else:
                self.events.append(said)
                self._said.set()
