"""Many runs go on where they were, whatever ended the program, and say how to see each finding again."""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from icn.sim import campaign
from icn.sim.faults import CALM
from icn.sim.findings import Finding
from icn.sim.main import EXIT_FINDING, EXIT_MISUSE, main
from icn.sim.plan import Plan, Run, Scenario, from_line, to_line
from icn.sim.plants import Plant
from icn.sim.tempo import Tempo
from icn.sim.world import World


def many(state, *more):
    return main(["--seeds", "4", "--nodes", "3", "--seconds", "2", "--state", str(state), *more])


def said(capsys):
    """The lines that are the same for the same runs, whatever they took."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(("trace", "finding"))]


def test_a_run_is_a_line_and_back():
    plan = Plan(7, 5, 60, Plant.LOST_OUTBOX, Tempo.SELDOM, Scenario.CUTS)
    found = Run(plan, replace(CALM, loss=3), Tempo.SELDOM, finding=Finding("agreement", "n1, n2"), tail=["a", "b"])
    again = from_line(to_line(found))
    assert str(again.finding) == str(found.finding)
    assert replace(again, finding=None) == replace(found, finding=None)
    with pytest.raises(ValueError, match="not a run"):
        from_line(json.dumps({"plan": None}))


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0, 10, 3_000, 4_000])
def test_killed_at_any_point_it_goes_on_and_ends_the_same(kept, tmp_path, capsys, monkeypatch):
    state = tmp_path / "state"
    assert many(state) == 0
    whole, told = state.read_bytes(), said(capsys)
    state.write_bytes(whole[:kept])
    before = whole[:kept].count(b"\n") - 1
    ran = []
    monkeypatch.setattr(campaign, "run_plan", lambda plan: ran.append(plan.seed) or World(plan).run())
    assert many(state) == 0
    assert said(capsys) == told
    assert len(ran) == 4 - max(before, 0)
    assert [from_line(line).digest for line in state.read_text().splitlines()[1:]] == [
        from_line(line).digest for line in whole.decode().splitlines()[1:]
    ]


@pytest.mark.slow
def test_results_of_other_code_or_other_runs_are_refused_until_told_to_begin_anew(tmp_path, capsys, monkeypatch):
    state = tmp_path / "state"
    assert many(state) == 0
    whole = state.read_bytes()
    assert many(state, "--seconds", "3") == EXIT_MISUSE
    assert "other runs" in capsys.readouterr().err
    monkeypatch.setattr(campaign, "code_version", lambda: "another")
    assert many(state) == EXIT_MISUSE
    assert "another version of the code" in capsys.readouterr().err
    assert state.read_bytes() == whole
    assert many(state, "--fresh") == 0
    assert state.read_text().splitlines()[0] != whole.decode().splitlines()[0]
    state.write_text("something else\n")
    assert many(state) == EXIT_MISUSE
    assert "no state file" in capsys.readouterr().err


@pytest.mark.slow
def test_findings_are_kept_and_listed_with_what_repeats_them(tmp_path, capsys):
    options = ("--plant", "double-settlement", "--tempo", "dense", "--seconds", "20")
    assert many(tmp_path / "state", *options) == EXIT_FINDING
    listed = said(capsys)
    assert many(tmp_path / "state", *options) == EXIT_FINDING
    assert said(capsys) == listed
    again = [line.removeprefix("finding: icn-sim ") for line in listed if line.startswith("finding")]
    assert again
    arguments = again[0].split()
    assert arguments[-2] == "--trace"
    assert main(arguments[:-2]) == EXIT_FINDING


@pytest.mark.slow
def test_two_processes_find_what_one_does(capsys):
    plain = ["--seeds", "4", "--nodes", "3", "--seconds", "2"]
    assert main(plain) == 0
    told = said(capsys)
    assert main([*plain, "--processes", "2"]) == 0
    assert said(capsys) == told


LONG = """
from icn.sim.campaign import results
from icn.sim.plan import Plan
if __name__ == "__main__":
    for run in results([Plan(1, 3, 1), *(Plan(seed, 5, 100_000) for seed in range(2, 10))], 2):
        print(run.plan.seed, flush=True)
"""


@pytest.mark.slow
def test_killed_it_leaves_nobody_simulating(tmp_path):
    script = tmp_path / "long.py"
    script.write_text(LONG)
    with (
        ExitStack() as opened,
        subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as campaign,
    ):
        assert campaign.stdout is not None
        assert campaign.stdout.readline() == "1\n"
        found = Path(f"/proc/{campaign.pid}/task/{campaign.pid}/children").read_text().split()
        assert len(found) >= 2
        ends = select.poll()
        for child in found:
            descriptor = os.pidfd_open(int(child))
            opened.callback(os.close, descriptor)
            ends.register(descriptor, select.POLLIN)
        campaign.send_signal(signal.SIGKILL)
        running = len(found)
        while running:
            ended = ends.poll(20_000)
            assert ended, f"{running} processes go on"
            for descriptor, _ in ended:
                ends.unregister(descriptor)
                running -= 1
