"""Processes are told apart by more than their id, signalled only when meant, and measured with their children."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from icn.cli.devnet.processes import await_end, identify, lives, send, usage

pytestmark = pytest.mark.slow

WITH_A_CHILD = """
import subprocess, sys
child = subprocess.Popen(["sleep", "60"])
print(flush=True)
sys.stdin.read()
child.kill()
"""


@contextmanager
def running(program: str = "print(flush=True); input()") -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.communicate()


def test_a_process_lives_until_it_ends() -> None:
    with running() as child:
        process = identify(child.pid)
        assert lives(process)
        assert send(process, signal.SIGTERM)
        assert await_end([process], 10.0) == []
        assert not lives(process), "nobody has asked for its end yet"
    assert not lives(process)
    assert not send(process, signal.SIGTERM)
    with pytest.raises(ProcessLookupError):
        identify(child.pid)


def test_another_process_of_the_same_id_is_left_alone() -> None:
    with running() as child:
        process = identify(child.pid)
        for other in (replace(process, started=process.started - 1), replace(process, boot="another boot")):
            assert not lives(other)
            assert not send(other, signal.SIGKILL)
            assert usage(other) is None
        assert lives(process)


def test_who_does_not_end_in_time_is_named() -> None:
    with running() as child:
        process = identify(child.pid)
        assert await_end([process], 0.0) == [process]


def test_what_it_takes_is_measured_with_its_children() -> None:
    with running(WITH_A_CHILD) as child:
        process = identify(child.pid)
        used = usage(process)
        assert used is not None
        assert used.processes == 2
        assert 1_000_000 < used.resident_bytes < 1_000_000_000
        assert used.cpu_seconds < 10
        assert not used.stopped
        send(process, signal.SIGSTOP)
        try:
            while not (stopped := usage(process)).stopped:  # the kernel stops it soon
                pass
        finally:
            send(process, signal.SIGCONT)
        assert stopped.processes == 2
    assert usage(process) is None
    assert usage(None) is None
    assert not lives(None)
    assert not send(None, signal.SIGTERM)
