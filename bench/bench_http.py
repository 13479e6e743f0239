"""Requests per second through the HTTP surface, beside a bare ASGI application in the same run.

One server process with uvicorn (httptools, uvloop) serves three applications in turn: a bare one that answers fixed
bytes, and ours over an engine that runs inline on a memory store, so that what is measured is the surface with one
commit per write, without disk, queue or group commit (`bench_engine.py` has those). The load comes from this process
over keep-alive connections on loopback. Compare the ratios between runs: the figures carry the machine.

    python bench/bench_http.py [--seconds 3] [--connections 16] [--output FILE]
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import multiprocessing
import os
import platform
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from icn.http.app import create_app  # noqa: E402 - behind the path to the tests' node
from icn.http.settings import HttpSettings  # noqa: E402 - likewise
from icn.services.commands import OpenAccountFor  # noqa: E402 - likewise
from support.http_node import HttpNode, signer_of  # noqa: E402 - likewise

KEY = "bench"
PAYEE = str(signer_of(9).did)


@dataclass(frozen=True)
class Figure:
    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int


async def bare(_scope: Any, _receive: Any, send: Any) -> None:
    """As little as an application can do."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"status":"ok"}'})


def ours() -> Any:
    node = HttpNode()
    node.found(grant=10**9)
    node.ask(OpenAccountFor(signer_of(9).did))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    return create_app(node, HttpSettings(hashlib.sha256(KEY.encode()).digest()))


def serve(which: str, ready: Connection) -> None:
    app = bare if which == "bare" else ours()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    ready.send(listener.getsockname()[1])
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", loop="none", server_header=False)
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(server.serve(sockets=[listener]))


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "host: bench", f"x-api-key: {KEY}"]
    if body:
        head += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


async def caller(port: int, payload: bytes, until: float, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        writer.write(payload)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        lower = head.lower()
        if b"content-length: " in lower:
            await reader.readexactly(int(lower.partition(b"content-length: ")[2].partition(b"\r")[0]))
        else:
            while await reader.readline() != b"0\r\n":
                pass
            await reader.readline()
        times.append(time.perf_counter() - begun)
    writer.close()


async def load(port: int, payload: bytes, seconds: float, connections: int) -> Figure:
    times: list[float] = []
    begun = time.perf_counter()
    await asyncio.gather(*(caller(port, payload, begun + seconds, times) for _ in range(connections)))
    spent = time.perf_counter() - begun
    cuts = statistics.quantiles(times, n=100)
    return Figure(round(len(times) / spent), round(cuts[49] * 1000, 2), round(cuts[98] * 1000, 2), len(times))


def measured(which: str, run: Callable[[int], Awaitable[dict[str, Figure]]]) -> dict[str, Figure]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(which, there))
    process.start()
    try:
        return uvloop.run(run(here.recv()))
    finally:
        process.terminate()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results" / "http.json")
    options = parser.parse_args()
    transfer = json.dumps({"to": PAYEE, "amount": 1}).encode()
    did = str(HttpNode().did)
    payloads = {
        "GET /health": request("GET", "/health"),
        "GET /info": request("GET", "/info"),
        "GET /account/{did}/mana": request("GET", f"/account/{did}/mana"),
        "POST /mana/transfer": request("POST", "/mana/transfer", transfer),
    }

    async def bare_run(port: int) -> dict[str, Figure]:
        await load(port, request("GET", "/"), 0.3, options.connections)
        return {"bare ASGI": await load(port, request("GET", "/"), options.seconds, options.connections)}

    async def our_run(port: int) -> dict[str, Figure]:
        await load(port, payloads["GET /health"], 0.3, options.connections)
        found = {}
        for name, payload in payloads.items():
            found[name] = await load(port, payload, options.seconds, options.connections)
        return found

    figures = measured("bare", bare_run) | measured("ours", our_run)
    base = figures["bare ASGI"].per_second
    for name, figure in figures.items():
        ratio = base / figure.per_second
        print(
            f"{name:26} {figure.per_second:8.0f}/s  p50 {figure.p50_ms:6.2f} ms  p99 {figure.p99_ms:6.2f} ms  "
            f"{ratio:5.1f} times bare"
        )
    result = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "connections": options.connections,
        "figures": {
            name: asdict(figure) | {"times_bare": round(base / figure.per_second, 2)}
            for name, figure in figures.items()
        },
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
