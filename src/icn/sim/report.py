"""What a person reads: a finding with everything needed to see it again, and the sum of many runs."""

import hashlib

from icn.sim.world import Plan, Run

SHOWN_LINES_MAX = 40


def replay_command(plan: Plan) -> str:
    """What repeats one run."""
    plant = f" --plant {plan.plant.value}" if plan.plant is not None else ""
    return (
        f"icn-sim --seed {plan.seed} --nodes {plan.nodes} --seconds {plan.seconds}{plant} --trace sim-{plan.seed}.txt"
    )


def print_finding(run: Run) -> None:
    """One failed run."""
    finding = run.finding
    if finding is None:
        return
    print(f"FINDING  seed {run.plan.seed}: {finding.checker}")
    print(f"  {finding.detail}")
    print(f"  at step {run.steps}, {run.virtual_us / 1_000_000:.3f} virtual seconds")
    print(f"  faults: {run.faults.describe()}")
    print("  the trace ends:")
    for line in run.tail[-SHOWN_LINES_MAX:]:
        print(f"    {line}")
    print(f"  again:  {replay_command(run.plan)}")


def print_summary(runs: list[Run], cpu_seconds: float) -> None:
    """All runs together. The hash is over the runs' own, in the order of seeds."""
    together = hashlib.sha256("".join(run.digest for run in runs).encode()).hexdigest()
    virtual = sum(run.virtual_us for run in runs) / 1_000_000
    node_seconds = sum(run.virtual_us / 1_000_000 * run.plan.nodes for run in runs)
    found = [run for run in runs if run.finding is not None]
    print(
        f"{len(runs)} seeds, {len(found)} findings, {virtual:.0f} virtual seconds, "
        f"{node_seconds / max(cpu_seconds, 0.001):.0f} node-seconds per CPU second"
    )
    print(
        f"{sum(run.blocks for run in runs)} blocks, {sum(run.answered for run in runs)} requests answered, "
        f"{sum(run.transfers for run in runs)} transfers, {sum(run.jobs for run in runs)} jobs, "
        f"{sum(run.crashes for run in runs)} crashes"
    )
    print(f"trace {together}")
