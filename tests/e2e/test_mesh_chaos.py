"""Jobs over five real nodes while executors are killed with SIGKILL at random: every one comes to its right end.

The default run is short. `-m long` has the whole: 100 jobs. The seed decides who is killed and when; another one by
CHAOS_SEED. What must hold is in `support.mesh_chaos`.
"""

import os
from collections.abc import Callable

import pytest

from support.mesh_chaos import Chaos, five_nodes, story
from support.processes import Nodes

SEED = int(os.environ.get("CHAOS_SEED", "7"))


def hold(chaos: Chaos, run: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> str:
    """Run, check, and print what happened, also where all is well."""
    try:
        run()
        line = chaos.check()
    except BaseException:
        with capfd.disabled():
            print("\n" + story(chaos))
        raise
    with capfd.disabled():
        print("\n" + line)
    return line


@pytest.mark.slow
def test_some_jobs_survive_killed_executors(nodes: Nodes, capfd: pytest.CaptureFixture[str]) -> None:
    chaos = Chaos(SEED, five_nodes(nodes))
    hold(chaos, lambda: chaos.run(8, cancels=2, kills=2, plagues=1, within=90), capfd)
    assert chaos.counts["executors killed"] == 2
    assert chaos.counts["workers killed"] >= 1


@pytest.mark.long
def test_a_hundred_jobs_survive_killed_executors(nodes: Nodes, capfd: pytest.CaptureFixture[str]) -> None:
    chaos = Chaos(SEED, five_nodes(nodes))
    hold(chaos, lambda: chaos.run(100, cancels=15, kills=25, plagues=4, within=600), capfd)
    assert chaos.counts["executors killed"] >= 20
    assert chaos.counts["workers killed"] >= 4
