"""Drives the js-libp2p node of tests/interop/js: commands in, answers and events out, one JSON object per line."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Self

import pytest

HERE = Path(__file__).resolve().parents[1] / "interop"
PATIENCE_S = 60


def node_program() -> Path:
    """The Node.js 22 that setup.sh installed; skips, or fails where everything is required, when it has not run."""
    found = sorted((HERE / "js" / "node_modules").glob("node-linux-*/bin/node"))
    packages = HERE / "js" / "node_modules"
    if not found or not all((packages / name).is_dir() for name in ("libp2p", "@ipld/car")):
        reason = "js-libp2p and @ipld/car are not installed; run tests/interop/setup.sh"
        if os.environ.get("ICN_TEST_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found[0]


class JsNode:
    """One js-libp2p node in its own process. An async context manager: at its end the process is gone."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0
        self._said = asyncio.Event()
        self.events: list[dict[str, Any]] = []
        self.peer = ""
        self.address = ""

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            str(self._program),
            str(HERE / "js" / "node.mjs"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        ready = await self.event("ready")
        self.peer, self.address = ready["peer"], ready["addresses"][0]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

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

    async def event(self, name: str, **wanted: Any) -> dict[str, Any]:
        """The first event of that name with those values, now or when it comes."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if event["event"] == name and all(event.get(key) == value for key, value in wanted.items()):
                        return event
                self._said.clear()
                await self._said.wait()

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            said = json.loads(line)
            if "answer" in said:
                self._answers.pop(said["answer"]).set_result(said)
            else:
                self.events.append(said)
                self._said.set()
