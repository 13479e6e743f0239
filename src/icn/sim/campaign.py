"""Many runs: over several processes, and over several starts of the program.

A state file has one line of JSON for each run, behind a first line that says what is run and by which code. Killed at
any point, the program goes on where it was: a line that is not whole is cut off, and its seed runs again. Results of
other code are not mixed in: another version than that of the file is refused until `--fresh` gives the file up.
"""

import gc
import hashlib
import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import icn
from icn.adapters.prctl import end_with
from icn.sim.plan import Plan, Run, from_line, to_line
from icn.sim.world import World

FORMAT = 1


class StateRefused(Exception):
    """The state file is of other runs than these."""


def run_plan(plan: Plan) -> Run:
    """One run. What it leaves behind is collected after it, and not looked for while it goes on."""
    gc.disable()
    try:
        return World(plan).run()
    finally:
        gc.enable()
        gc.collect()


def results(plans: Sequence[Plan], processes: int) -> Iterator[Run]:
    """The runs, in the order in which they end."""
    if processes == 1:
        gc.freeze()  # what is imported stays: no collection need look at it
        yield from map(run_plan, plans)
        return
    with get_context("spawn").Pool(processes, initializer=_begin_process, initargs=(os.getpid(),)) as pool:
        yield from pool.imap_unordered(run_plan, plans)


def _begin_process(parent: int) -> None:
    end_with(parent)  # nobody would read what it finds
    gc.freeze()
    # The one process that keeps the state ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def code_version() -> str:
    """SHA-256 over the source of the whole package, in hexadecimal."""
    root = Path(icn.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class State:
    """A state file that is open for more."""

    def __init__(self, path: Path, done: dict[int, Run]) -> None:
        self._file = path.open("a", encoding="utf-8")
        self.done = done
        """By seed."""

    def add(self, run: Run) -> None:
        """Write a run down. Whole in the file before this returns, as far as this process is concerned."""
        self._file.write(to_line(run) + "\n")
        self._file.flush()
        self.done[run.plan.seed] = run

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()


@contextmanager
def opened(path: Path, plan: Plan, *, fresh: bool) -> Iterator[State]:
    """The state file at `path` for runs like `plan`, whatever its seed: gone on with, or begun.

    Raises:
        StateRefused: it is of other runs, or of another version of the code. With `fresh`, it is begun anew instead.
    """
    header = json.dumps({"format": FORMAT, "code": code_version(), "runs": _name_of(plan)})
    done: dict[int, Run] = {}
    if path.exists() and not fresh:
        whole, lines = _whole_lines(path.read_bytes())
        if lines:
            _check_header(lines[0], header)
            done = {run.plan.seed: run for run in map(from_line, lines[1:])}
        with path.open("r+b") as file:
            file.truncate(whole)
    else:
        path.write_bytes(b"")
    if not path.stat().st_size:
        path.write_text(header + "\n", encoding="utf-8")
    state = State(path, done)
    try:
        yield state
    finally:
        state.close()


def _name_of(plan: Plan) -> dict[str, object]:
    return {name: str(value) for name, value in asdict(plan).items() if name != "seed"}


def _whole_lines(data: bytes) -> tuple[int, list[str]]:
    """Up to where lines are whole, and these lines."""
    whole = data.rfind(b"\n") + 1
    return whole, data[:whole].decode().splitlines()


def _check_header(found: str, ours: str) -> None:
    if found == ours:
        return
    try:
        there = json.loads(found)
        here = json.loads(ours)
        same_runs = (there["format"], there["runs"]) == (here["format"], here["runs"])
    except (ValueError, KeyError, TypeError) as error:
        raise StateRefused("it is no state file of icn-sim") from error
    if not same_runs:
        raise StateRefused(f"it is of other runs: {there['runs']}, and these are {here['runs']}")
    raise StateRefused("it is of another version of the code, whose runs say nothing about this one")
