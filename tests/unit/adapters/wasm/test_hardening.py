"""What a worker has and what it cannot do, tried from inside a process that was started and sealed as a worker is."""

import os
import platform
import socket
import subprocess
from functools import cache
from pathlib import Path

import pytest

from icn.adapters.wasm.child import spawn
from icn.adapters.wasm.settings import Isolation

pytestmark = pytest.mark.slow

# Tells what it finds through the socket that a worker talks to the node with: one line each, "name: what happened".
PROGRAM = """
import ctypes, os, socket, sys, threading, time
from icn.adapters.wasm import hardening

channel = socket.socket(fileno=0)
found = []

def note(name, what):
    found.append(f"{name}: {what}")

def attempt(name, action):
    try:
        action()
    except BaseException as error:
        note(name, f"{type(error).__name__} {getattr(error, 'errno', None)}")
    else:
        note(name, "succeeded")

def capabilities():
    header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capget(header, held)
    return any(held)

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

note("environment", sorted(os.environ))
descriptors = os.listdir("/proc/self/fd")
note("descriptors", sorted(int(one) for one in descriptors if os.path.exists(f"/proc/self/fd/{one}")))
note("session", os.getsid(0) == os.getpid())
note("folder", os.getcwd())
parts = hardening.set_apart()
if "empty_root" in parts:
    attempt("see the root", lambda: note("root", os.listdir("/")))
    attempt("look above", lambda: note("above", os.listdir("../../..")))
    attempt("write into the root", lambda: open("/left", "wb"))
if "no_network" in parts:
    attempt("reach the machine", lambda: socket.socket().connect(("127.0.0.1", PORT)))
note("rights", capabilities())
note("user", os.getuid())
parts += hardening.seal()
note("parts", " ".join(parts))
attempt("read", lambda: open("/etc/hostname", "rb").read())
attempt("write", lambda: open("/tmp/icn-sealed", "wb"))
attempt("list", lambda: os.listdir("/"))
attempt("fork", os.fork)
attempt("exec", lambda: os.execv("/bin/true", ["/bin/true"]))
attempt("socket", socket.socket)
attempt("pair", socket.socketpair)
attempt("pipe", os.pipe)
attempt("duplicate", lambda: os.dup(0))
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("change a limit", lambda: call(302, 0, 7, 0, 0))
attempt("forget the parent", lambda: call(157, 1, 0))
attempt("trace", lambda: call(101, 0, 0, 0, 0))
attempt("leave again", lambda: call(272, 0x10000000))
attempt("another filter", lambda: call(317, 1, 0, 0))
attempt("ring", lambda: call(425, 1, 0))
attempt("kernel events", lambda: call(298, 0, 0, -1, -1, 0))
attempt("keys", lambda: call(250, 0, 0))
attempt("thread", lambda: threading.Thread(target=print, daemon=True).start())
attempt("memory", lambda: bytes(16 * 1024 * 1024))
attempt("clock", time.monotonic)
attempt("wait", lambda: threading.Event().wait(0.001))
channel.sendall("\\n".join(found).encode())
"""
FORBIDDEN = (
    *("read", "write", "list", "fork", "exec", "socket", "pair", "pipe", "duplicate", "kill", "change a limit"),
    *("forget the parent", "trace", "leave again", "another filter", "ring", "kernel events", "keys"),
)
X86_ONLY = {"change a limit", "forget the parent", "trace", "leave again", "another filter", "kernel events", "keys"}
"""Tried by their numbers, which are those of one architecture."""


@cache
def inside() -> dict[str, str]:
    """What the program found, with a listener on this machine, an open file and a secret in its parent's reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Path(__file__).open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        os.set_inheritable(listener.fileno(), True)
        os.environ["ICN_TEST_SECRET"] = "secret"
        try:
            process, channel = spawn("-c", PROGRAM.replace("PORT", str(listener.getsockname()[1])))
        finally:
            del os.environ["ICN_TEST_SECRET"]
        with channel:
            channel.settimeout(60)
            said = b"".join(iter(lambda: channel.recv(65536), b"")).decode()
        process.wait(60)
    return dict(line.split(": ", 1) for line in said.splitlines())


def parts() -> frozenset[str]:
    return frozenset(inside()["parts"].split())


def test_nothing_of_the_nodes_is_inherited() -> None:
    found = inside()
    assert found["environment"] in {"[]", "['LC_CTYPE']"}  # the interpreter coerces its own locale
    assert found["descriptors"] == "[0, 1, 2]"
    assert (found["session"], found["folder"]) == ("True", "/")


def test_a_sealed_process_can_compute_and_nothing_else() -> None:
    found = inside()
    for needed in ("memory", "clock", "wait"):
        assert found[needed] == "succeeded"
    if "seccomp" not in parts():
        pytest.skip("this kernel offers no seccomp filter")
    forbidden = [name for name in FORBIDDEN if platform.machine() == "x86_64" or name not in X86_ONLY]
    assert {name: found[name] for name in forbidden} == dict.fromkeys(forbidden, "PermissionError 1")
    assert found["thread"] == "RuntimeError None"


def test_a_process_set_apart_sees_an_empty_root_and_reaches_nothing() -> None:
    if not {"empty_root", "no_network"} <= parts():
        pytest.skip("this kernel or container gives no namespaces")
    found = inside()
    assert (found["root"], found["above"]) == ("[]", "[]")
    assert found["write into the root"] != "succeeded"
    assert found["reach the machine"] in {"OSError 101", "OSError 99"}  # no network, or no address
    assert found["rights"] == "False"
    assert os.getuid() != 0 or found["user"] == "65534"


def test_what_the_kernel_does_not_give_is_not_claimed() -> None:
    # In a user namespace that allows no further one of any kind, as in many containers.
    limits = ("mnt", "user", "net")
    program = f"""
import ctypes, os, socket
from icn.adapters.wasm import hardening
user, group = os.getuid(), os.getgid()
ctypes.CDLL(None).unshare(0x10000000)
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"0 {{user}} 1")
open("/proc/self/gid_map", "w").write(f"0 {{group}} 1")
for name in {limits}:
    open(f"/proc/sys/user/max_{{name}}_namespaces", "w").write("0")
parts = hardening.set_apart()
header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
ctypes.CDLL(None).capget(header, held)
said = parts + [str(any(held)), str(len(os.listdir("/")))]
socket.socket(fileno=0).sendall(" ".join(said).encode())
"""
    process, channel = spawn("-c", program)
    with channel:
        channel.settimeout(60)
        said = channel.recv(1000).decode().split()
    if process.wait(60) != 0:
        pytest.skip("this kernel or container gives no user namespace to try it in")
    *found, has_rights, entries = said
    assert has_rights == "False"
    assert not {"empty_root", "no_network", "unprivileged"} & set(found)
    assert int(entries) > 0


def test_each_level_asks_for_more_than_the_one_before() -> None:
    everything = frozenset(("rlimits", "no_new_privs", "seccomp", "no_network", "empty_root", "unprivileged"))
    nothing = frozenset[str]()
    missing = [level.missing(nothing) for level in (Isolation.LIMITS, Isolation.SECCOMP, Isolation.FULL)]
    assert missing[0] == ["rlimits", "no_new_privs"]
    assert missing[1] == [*missing[0], "seccomp"]
    assert set(missing[2]) == everything
    assert Isolation.FULL.missing(everything) == []


def test_the_filter_covers_threads_that_ran_before_it() -> None:
    program = """
import os, socket, threading
from icn.adapters.wasm import hardening
channel, sealed, said = socket.socket(fileno=0), threading.Event(), []
def other():
    sealed.wait()
    try:
        os.open("/", os.O_RDONLY)
    except OSError as error:
        said.append(str(error.errno))
    else:
        said.append("opened")
thread = threading.Thread(target=other)
thread.start()
parts = hardening.seal()
sealed.set()
thread.join()
channel.sendall(" ".join(parts + said).encode())
"""
    process, channel = spawn("-c", program)
    with channel:
        said = channel.recv(1000).decode().split()
    process.wait(60)
    if "seccomp" not in said:
        pytest.skip("this kernel offers no seccomp filter")
    assert said[-1] == "1"


def test_a_worker_that_cannot_be_started_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object, **_kwargs: object) -> subprocess.Popen[bytes]:
        raise OSError(11, "no more processes")

    monkeypatch.setattr(subprocess, "Popen", refused)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="no more"):
        spawn("-c", "")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
