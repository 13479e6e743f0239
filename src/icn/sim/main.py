"""`icn-sim`: many runs, or one again; `icn-sim explore`: all states of a few nodes (sim.explore).

Exit 0: nothing found; 5: something was; 2: misuse.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

from icn.sim.explore.main import main as explore
from icn.sim.plants import Plant
from icn.sim.report import print_finding, print_summary
from icn.sim.world import Plan, Run, World

EXIT_FINDING = 5
SEEDS_DEFAULT = 100
FINDINGS_SHOWN_MAX = 5


def run_plan(plan: Plan) -> tuple[Run, float]:
    """One run, and the CPU seconds it took."""
    began = time.process_time()
    run = World(plan).run()
    return run, time.process_time() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["explore"]:
        return explore(given[1:])
    options = _parser().parse_args(given)
    plant = None if options.plant is None else Plant(options.plant)
    first = options.first if options.seed is None else options.seed
    count = options.seeds if options.seed is None else 1
    plans = [Plan(seed, options.nodes, options.seconds, plant) for seed in range(first, first + count)]
    runs: list[Run] = []
    cpu = 0.0
    for run, seconds in _results(plans, options.jobs, options.trace):
        runs.append(run)
        cpu += seconds
        if run.finding is not None and sum(one.finding is not None for one in runs) <= FINDINGS_SHOWN_MAX:
            print_finding(run)
            sys.stdout.flush()  # it may be long until the next
    print_summary(runs, cpu)
    return EXIT_FINDING if any(run.finding is not None for run in runs) else 0


def _results(plans: list[Plan], processes: int, trace: Path | None) -> Iterator[tuple[Run, float]]:
    with ExitStack() as stack:
        if trace is not None:
            sink = stack.enter_context(trace.open("w", encoding="utf-8"))
            for plan in plans:
                began = time.process_time()
                run = World(plan, sink=sink).run()
                yield run, time.process_time() - began
        elif processes > 1:
            pool = stack.enter_context(get_context("spawn").Pool(processes))
            yield from pool.imap(run_plan, plans)
        else:
            yield from map(run_plan, plans)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icn-sim",
        description="Simulated federations: the shipped core under virtual time, faults and checkers. "
        "`icn-sim explore --help`: all states of a few nodes instead.",
    )
    parser.add_argument("--seeds", type=int, default=SEEDS_DEFAULT, help="how many runs (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="this one run only")
    parser.add_argument("--nodes", type=int, default=5, help="nodes in a federation (default %(default)s)")
    parser.add_argument(
        "--seconds", type=int, default=20, help="virtual seconds of faults in each run (default %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that run seeds (default %(default)s)")
    parser.add_argument("--trace", type=Path, default=None, help="write every line of the trace to this file")
    parser.add_argument(
        "--plant", choices=[plant.value for plant in Plant], default=None, help="plant a defect that must be found"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
