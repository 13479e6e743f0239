"""What a person reads: a finding with everything needed to see it again, and the sum of many runs."""

import hashlib
import shlex
from dataclasses import fields

from icn.sim.faults import Faults
from icn.sim.plan import Plan, Run, totals
from icn.sim.tempo import Tempo

SHOWN_LINES_MAX = 40
_HOW = ("delay_min", "delay_spread", "minority", "jump", *(f.name for f in fields(Faults) if f.name.endswith("_for")))
"""Of the faults, those that say how, not whether."""
_ABSENT = (0, -1)


def replay_command(plan: Plan) -> str:
    """What repeats one run."""
    words = ["icn-sim", "--seed", str(plan.seed), "--nodes", str(plan.nodes), "--seconds", str(plan.seconds)]
    for option in ("plant", "tempo", "scenario"):
        chosen = getattr(plan, option)
        words += [] if chosen is None else [f"--{option}", chosen.value]
    return shlex.join([*words, "--trace", f"sim-{plan.seed}.txt"])


def print_finding(run: Run) -> None:
    """One failed run."""
    finding = run.finding
    if finding is None:
        return
    print(f"FINDING  seed {run.plan.seed}: {finding.checker}")
    print(f"  {finding.detail}")
    print(f"  at step {run.steps}, {run.virtual_us / 1_000_000:.3f} virtual seconds, callers ask: {run.tempo.value}")
    print(f"  faults: {run.faults.describe()}")
    print("  the trace ends:")
    for line in run.tail[-SHOWN_LINES_MAX:]:
        print(f"    {line}")
    print(f"  again:  {replay_command(run.plan)}")


def print_summary(runs: list[Run]) -> None:
    """All runs together, in the order of seeds. The hash is over the runs' own."""
    together = hashlib.sha256("".join(run.digest for run in runs).encode()).hexdigest()
    found = [run for run in runs if run.finding is not None]
    virtual = sum(run.virtual_us for run in runs) / 1_000_000
    print(f"{len(runs)} seeds, {len(found)} findings, {virtual:.0f} virtual seconds, {speed(runs)}")
    print(_happened(runs))
    for tempo in Tempo:
        some = [run for run in runs if run.tempo is tempo]
        if some and len(some) < len(runs):
            print(f"  {tempo.value}: {len(some)} seeds, {speed(some)}; {_happened(some)}")
    cut = [run for run in runs if run.cuts]
    if cut:
        few, many = sum(run.cut_writes_few for run in cut), sum(run.cut_writes_many for run in cut)
        print(f"{len(cut)} federations were cut: {few} writes acknowledged in smaller parts, {many} in larger ones")
    print(f"faults drawn, in so many seeds: {_drawn(runs)}")
    print(f"trace {together}")
    for run in found:
        print(f"finding: {replay_command(run.plan)}")


def speed(runs: list[Run]) -> str:
    """Virtual seconds of nodes for a second of the processor."""
    seconds = sum(run.cpu_us for run in runs) / 1_000_000
    node_seconds = sum(run.node_seconds for run in runs)
    per_second = node_seconds / max(seconds, 0.001)
    return f"{node_seconds:.0f} node-seconds in {seconds:.0f} s of CPU: {per_second:.0f} per second"


def _happened(runs: list[Run]) -> str:
    node_seconds = max(sum(run.node_seconds for run in runs), 1)
    sums = totals(runs)
    a_minute = ", ".join(f"{60 * sums[name] / node_seconds:.1f} {name}" for name in ("messages", "blocks", "answered"))
    return ", ".join(f"{count} {name}" for name, count in sums.items()) + f" ({a_minute} per node and minute)"


def _drawn(runs: list[Run]) -> str:
    names = [one.name for one in fields(Faults) if one.name not in _HOW]
    counts = {name: sum(getattr(run.faults, name) not in _ABSENT for run in runs) for name in names}
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none"
