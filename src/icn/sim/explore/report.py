"""What a person reads of an exploration: how much was seen, whether that is all, and the way to what was found."""

from icn.sim.explore.dialogue import told, written
from icn.sim.explore.moves import Federation
from icn.sim.explore.search import Exploration

SITUATIONS_SHOWN_MAX = 60


def print_exploration(found: Exploration) -> None:
    """One exploration."""
    bounds = found.case.bounds
    print(f"{found.case.name}: {found.case.says}")
    print(
        f"  at most {bounds.crashes} crashes, {bounds.cuts} lost connections, {bounds.workers_lost} lost workers, "
        f"{bounds.answers_lost} lost answers, {bounds.early} early timers, "
        f"{'any number of' if bounds.overtaking is None else bounds.overtaking} overtakings"
        f"{', everything that waits also as one batch' if bounds.gathers else ''}"
    )
    state = "complete" if found.is_complete else f"cut, {found.frontier} states not expanded"
    print(
        f"  {found.states} states, {found.transitions} transitions, {found.merged} of them into known states, "
        f"depth {found.depth}, {found.ended} ends: {state}"
    )
    print(
        f"  {found.engine_runs} runs of the engine, {found.locals} states of single nodes; "
        f"{found.seconds:.1f} s, {found.states / max(found.seconds, 0.001):.0f} states/s"
    )
    print("  transitions: " + ", ".join(f"{kind} {count}" for kind, count in sorted(found.kinds.items())))
    _print_coverage(found)


def _print_coverage(found: Exploration) -> None:
    situations, crashes = found.coverage.situations, found.coverage.crashes
    print(
        f"  situations of the first job (job, hold, executions): {len(situations)}; "
        f"crash points in them: {len(crashes)}"
    )
    for situation, count in sorted(situations.items())[:SITUATIONS_SHOWN_MAX]:
        points = sorted({f"{who} {how}" for (where, who, how), _ in crashes.items() if where == situation})
        crashed = f"; crashes: {', '.join(points)}" if points else ""
        print(f"    {' / '.join(situation)}: {count}{crashed}")


def print_finding(found: Exploration, federation: Federation) -> None:
    """The way there, from the beginning. `federation`: another one of the same case."""
    print(f"FINDING  {found.finding}")
    for line in told(federation, found.path):
        print(f"  {line}")
    print(f"  again:  icn-sim explore {found.case.name} --replay '{' '.join(written(move) for move in found.path)}'")
