"""What a sealed process cannot do, tried from inside one."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import os, socket, sys, threading, time
from icn.adapters.wasm import hardening

def attempt(name, action):
    try:
        action()
    except BaseException as error:
        print(name, type(error).__name__, getattr(error, "errno", None))
    else:
        print(name, "succeeded")

sealed = hardening.seal()
print("sealed", sealed)
attempt("read", lambda: open("/etc/hostname", "rb").read())
attempt("write", lambda: open("/tmp/icn-sealed", "wb"))
attempt("fork", os.fork)
attempt("exec", lambda: os.execv("/bin/true", ["/bin/true"]))
attempt("socket", socket.socket)
attempt("pair", socket.socketpair)
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("thread", lambda: threading.Thread(target=print, daemon=True).start())
attempt("memory", lambda: bytes(16 * 1024 * 1024))
attempt("clock", time.monotonic)
attempt("wait", lambda: threading.Event().wait(0.001))
sys.stdout.flush()
"""


def attempts() -> dict[str, str]:
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM], check=True, capture_output=True, text=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_a_sealed_process_can_compute_and_nothing_else() -> None:
    found = attempts()
    for needed in ("memory", "clock", "wait"):
        assert found[needed] == "succeeded"
    if "seccomp=on" not in found["sealed"]:
        pytest.skip("this kernel offers no seccomp filter, so only resource limits seal a worker")
    for forbidden in ("read", "write", "fork", "exec", "socket", "pair", "kill"):
        assert found[forbidden].endswith("Error 1"), forbidden
    assert found["thread"] == "RuntimeError None"
