"""Five real nodes on machines and a network of the test's own, and what networks, machines and clocks do to them.

Clocks are set wrong by libfaketime, for the whole process: namespaces of Linux have no wall clock of their own.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from node_process import NodeProcess, wait_until

from support.federations import TERMS, Writer, acknowledged, admit, check_nothing_lost, settled, writers, writing
from support.machines import FarNode, Network, lasts, require_machines

CUT_SECONDS = 6.0
FAULT_SECONDS = 3.0
LONG_CUT_SECONDS = 60.0
RECOVERY_SECS_MAX = 60.0
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
EXECUTES_NOTHING = ("--set", "performance.max_concurrent_jobs=0")
EXIT_FAULT = 6
CLOCK_WRONG_SECONDS = 10
"""Each is within what nodes bear (CLOCK_AHEAD_MS_MAX, 15 s); what the early one says waits at the late one."""
DISK_MIB = 320
"""Enough to be ready with; see icn.node.running.DISK_FREE_BYTES_MIN."""


@dataclass
class Federation:
    """Three nodes at the left switch, two at the right one."""

    network: Network
    folder: Path
    nodes: list[FarNode]
    people: list[Writer]

    def add(self, name: str, *flags: str, right: bool = False) -> FarNode:
        """One more, not started, on a machine of its own."""
        bootstrap = [word for node in self.nodes for word in ("--bootstrap-peers", node.p2p)]
        node = FarNode(self.network.add(name, right=right), self.folder / name, *bootstrap, *EXECUTES_NOTHING, *flags)
        self.nodes.append(node)
        return node


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    require_machines()
    made = Federation(Network(), tmp_path_factory.mktemp("far"), [], [])
    try:
        made.add("a", *TERMS)
        for name, right in (("b", False), ("c", False), ("d", True), ("e", True)):
            made.add(name, right=right)
        for node in made.nodes:
            node.launch()
        for node in made.nodes:
            wait_until(f"{node.name} to be ready", lambda node=node: node.is_ready, 60.0)
        admit(made.nodes, made.nodes[1:])
        made.people = writers(made.nodes)
        yield made
    finally:
        for node in made.nodes:
            node.kill()
        made.network.end()


def recovered(five: Federation, what: str, *, deep: bool = False) -> float:
    """Seconds until all is settled and equal."""
    begun = time.monotonic()
    wait_until(f"agreement after {what}", lambda: settled(five.nodes), RECOVERY_SECS_MAX)
    took = time.monotonic() - begun
    check_nothing_lost(five.nodes, five.people, deep=deep)
    print(f"{what}: agreement after {took:.1f} s, {sum(acknowledged(five.people))} acknowledged writes so far")
    return took


def cut_for(five: Federation, seconds: float) -> None:
    before = acknowledged(five.people)
    with writing(five.people):
        wait_until("writes everywhere", lambda: _more(before, acknowledged(five.people)))
        five.network.wire(cut=1)
        cut = acknowledged(five.people)
        lasts(seconds)
        during = acknowledged(five.people)
        assert _more(cut, during), "both sides take writes while they are apart"
        left, right = five.nodes[:3], five.nodes[3:5]
        assert {root(node) for node in left}.isdisjoint(root(node) for node in right), "the cut is real"
        five.network.wire(cut=0)
    in_transit = five.nodes[0].ask("GET", "/mana/supply")["in_transit"]
    assert in_transit > 0, "no side had a quorum to confirm transfers with"
    recovered(five, f"a cut of {seconds:.0f} s", deep=True)


def root(node: NodeProcess) -> str:
    return str(node.ask("GET", "/dag/root")["root"])


def _more(before: list[int], now: list[int]) -> bool:
    return all(late > early for early, late in zip(before, now, strict=True))


@pytest.mark.slow
def test_a_federation_that_was_cut_in_two_is_one_again_and_has_lost_nothing(five: Federation) -> None:
    cut_for(five, CUT_SECONDS)


@pytest.mark.long
def test_a_minute_apart_is_no_different(five: Federation) -> None:
    cut_for(five, LONG_CUT_SECONDS)


@pytest.mark.slow
def test_a_slow_cable_that_loses_frames_delays_and_loses_nothing_else(five: Federation) -> None:
    before = acknowledged(five.people)
    five.network.wire(delay_ms=60, jitter_ms=30, loss=0.05, seed=7)
    with writing(five.people):
        lasts(FAULT_SECONDS)
    assert _more(before, acknowledged(five.people))
    told = five.network.wire(delay_ms=0, jitter_ms=0, loss=0)
    assert told["lost"] > 0
    recovered(five, "a bad cable")


@pytest.mark.long
def test_a_node_that_stood_still_goes_on_where_it_was(five: Federation) -> None:
    still = five.nodes[3]
    assert still.process is not None
    with writing([*five.people[:3], five.people[4]]):
        still.process.send_signal(signal.SIGSTOP)
        lasts(FAULT_SECONDS)
        still.process.send_signal(signal.SIGCONT)
    recovered(five, "a node that stood still")


@pytest.mark.long
def test_clocks_that_are_wrong_make_nobody_disagree(five: Federation) -> None:
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed")
    regular = five.nodes[:5]
    added = []
    for name, offset in (("early", f"+{CLOCK_WRONG_SECONDS}s"), ("late", f"-{CLOCK_WRONG_SECONDS}s")):
        node = five.add(name)
        node.wrapper = ("env", f"LD_PRELOAD={FAKETIME}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
        node.launch()
        added.append(node)
    for node in added:
        wait_until(f"{node.name} to be ready", lambda node=node: node.is_ready, 60.0)
    admit(regular, added)
    five.people += writers(five.nodes)[5:]
    with writing(five.people):
        lasts(FAULT_SECONDS)
    recovered(five, "wrong clocks")


@pytest.mark.slow
def test_a_node_whose_disk_is_full_loses_nothing_and_comes_back(five: Federation) -> None:
    name = "full"
    disk = five.folder / name / "disk"
    disk.mkdir(parents=True)
    node = five.add(name, "--data-dir", str(disk))
    node.machine.disk(disk, DISK_MIB)
    node.start()
    admit(five.nodes[:-1], [node])
    writer = writers(five.nodes)[-1]
    five.people.append(writer)
    others = five.people[:2]
    before = acknowledged(others)
    ballast = node.machine.seen(disk / "ballast")
    with writing([writer, *others]):
        wait_until("its first writes", lambda: writer.acknowledged)
        fill(ballast)
        wait_until("its end", lambda: node.process is not None and node.process.poll() is not None)
        full = acknowledged(others)
        wait_until("others to go on", lambda: _more(full, acknowledged(others)))
    assert node.process is not None
    assert node.process.returncode == EXIT_FAULT
    assert "disk is full: make room" in node.last_words().splitlines()[-1]
    assert _more(before, full)
    ballast.unlink()
    node.start()
    recovered(five, "a full disk", deep=True)


def fill(ballast: Path) -> None:
    """Until nothing more goes in."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)):
            pass
