"""The worker process seen from outside: what it has, what it cannot do, and how it ends."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.wasm.bounds import WORKER_CPU_S_MAX
from icn.adapters.wasm.child import Child, GuestOverdue
from icn.adapters.wasm.frames import WorkerGone
from icn.adapters.wasm.messages import Ended, Run
from icn.adapters.wasm.refusals import ModuleRefused
from icn.domain.mesh.execution import ExitKind, Limits
from support.wasm_guests import ENDLESS, HELLO, compiled
from support.wasm_pool import FOR_EVER, LIMITS, wait_until_it_computes

pytestmark = pytest.mark.slow

START_MS, GRACE_MS = 30_000, 50


@pytest.fixture
def child() -> Iterator[Child]:
    found = Child.start(START_MS)
    yield found
    found.end()


def run(child: Child, key: bytes, limits: Limits = LIMITS) -> Ended | None:
    asked = Run(key=key, limits=limits, seed=b"", input=b"", arguments=())
    return child.run(asked, start_ms=START_MS, grace_ms=GRACE_MS)


def test_a_worker_compiles_loads_and_runs(child: Child) -> None:
    assert run(child, b"hello") is None
    child.load(b"hello", child.compile(compiled(HELLO), START_MS).encode(), START_MS)
    ended = run(child, b"hello")
    assert ended is not None
    assert ended.output == b"hello\n"


def test_a_worker_survives_what_it_refuses_to_compile(child: Child) -> None:
    with pytest.raises(ModuleRefused, match="not a WebAssembly"):
        child.compile(b"nonsense", START_MS)
    idle = compiled('(module (func (export "_start") nop nop nop))')
    with pytest.raises(ModuleRefused, match="not valid"):
        child.compile(idle.replace(b"\x01\x01\x01\x0b", b"\x1a\x1a\x1a\x0b"), START_MS)
    assert child.compile(compiled(HELLO), START_MS).memory_bytes == 65536


def test_a_worker_inherits_no_environment_and_no_descriptor() -> None:
    secret = Path(__file__).open("rb")  # noqa: SIM115 - open while the worker starts
    os.set_inheritable(secret.fileno(), True)
    os.environ["ICN_TEST_SECRET"] = "secret"
    try:
        child = Child.start(START_MS)
    finally:
        del os.environ["ICN_TEST_SECRET"]
        secret.close()
    try:
        proc = Path(f"/proc/{child.pid}")
        assert (proc / "environ").read_bytes() == b""
        open_files = {entry.name: str(entry.readlink()) for entry in (proc / "fd").iterdir()}
        assert set(open_files) == {"0", "1", "2"}
        assert open_files["0"].startswith("socket:")
        assert open_files["1"] == open_files["2"] == "/dev/null"
        assert (proc / "cwd").readlink() == Path("/")
    finally:
        child.end()


def test_a_worker_is_sealed(child: Child) -> None:
    limits = {
        line[:25].strip(): line[25:].split()[:2] for line in Path(f"/proc/{child.pid}/limits").read_text().splitlines()
    }
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max file size"] == ["0", "0"]
    assert limits["Max open files"] == ["16", "16"]
    assert limits["Max processes"] == ["0", "0"]
    assert limits["Max cpu time"] == [str(WORKER_CPU_S_MAX)] * 2
    assert limits["Max address space"][0] != "unlimited"
    assert limits["Max data size"][0] != "unlimited"
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert (status["Seccomp"].strip() == "2") == ("seccomp" in child.isolation)
    assert {"rlimits", "no_new_privs"} <= child.isolation


def test_the_use_of_a_worker_is_what_the_kernel_counts(child: Child) -> None:
    used = child.usage()
    assert used is not None
    pages = int(Path(f"/proc/{child.pid}/statm").read_text().split()[1])
    assert abs(used.resident_bytes - pages * 4096) < 8 << 20
    assert used.processor_s < 10
    child.end()
    assert child.usage() is None


def test_a_worker_that_does_not_answer_is_overdue_after_its_grace(child: Child) -> None:
    child.load(b"endless", child.compile(compiled(ENDLESS), START_MS).encode(), START_MS)
    # Stopped while the guest runs, when not even its watchdog can act: the raw hang.
    threading.Thread(target=stop_once_it_computes, args=(child.pid,), daemon=True).start()
    began = time.monotonic()
    with pytest.raises(GuestOverdue):
        run(child, b"endless", replace(LIMITS, fuel=FOR_EVER, wall_ms=1_000))
    assert time.monotonic() - began < 10


def stop_once_it_computes(pid: int) -> None:
    wait_until_it_computes(pid)
    os.kill(pid, signal.SIGSTOP)


def test_a_killed_worker_is_gone(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(WorkerGone):
        run(child, b"any")


def test_ending_a_worker_leaves_no_process() -> None:
    child = Child.start(START_MS)
    child.end()
    assert not Path(f"/proc/{child.pid}").exists()


def test_no_more_than_a_few_modules_stay_loaded(child: Child) -> None:
    artifact = child.compile(compiled(HELLO), START_MS).encode()
    for number in range(9):
        child.load(bytes((number,)), artifact, START_MS)
    assert run(child, b"\0") is None
    ended = run(child, b"\1")
    assert ended is not None
    assert ended.exit is ExitKind.COMPLETED


ORPHANING = """
import os, signal
from icn.adapters.wasm import frames
from icn.adapters.wasm.child import Child
from icn.adapters.wasm.messages import Run
from icn.adapters.wasm.text import compile_text
from icn.domain.mesh.execution import Limits

child = Child.start(30_000)
endless = compile_text('(module (func (export "_start") (loop $on (br $on))))')
child.load(b"endless", child.compile(endless, 30_000).encode(), 30_000)
limits = Limits(fuel=2**53 - 1, memory_bytes=1, table_elements=1, wall_ms=3_600_000, output_bytes=1)
asked = Run(key=b"endless", limits=limits, seed=b"", input=b"", arguments=())
frames.send(child._channel, frames.Kind.RUN, asked.encode())
assert frames.receive(child._channel).kind is frames.Kind.STARTED
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_does_not_outlive_its_node_even_while_a_guest_runs() -> None:
    node = subprocess.Popen([sys.executable, "-I", "-c", ORPHANING], stdout=subprocess.PIPE)
    out, _ = node.communicate(timeout=60)
    try:
        worker = os.pidfd_open(int(out))
    except ProcessLookupError:
        return  # gone already
    try:
        ended = select.poll()
        ended.register(worker, select.POLLIN)
        assert ended.poll(10_000)
    finally:
        os.close(worker)
