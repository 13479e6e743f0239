"""`icn-sim`: many runs, or one again; `icn-sim explore`: all states of a few nodes (sim.explore).

Exit 0: nothing found; 5: something was; 2: misuse; 130: interrupted.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from icn.sim.campaign import StateRefused, opened, results
from icn.sim.explore.main import main as explore
from icn.sim.plan import Plan, Run, Scenario
from icn.sim.plants import Plant
from icn.sim.report import print_finding, print_summary, speed
from icn.sim.tempo import Tempo
from icn.sim.world import World

EXIT_FINDING = 5
EXIT_MISUSE = 2
EXIT_INTERRUPTED = 130
SEEDS_DEFAULT = 100
FINDINGS_SHOWN_MAX = 5
PROGRESS_EVERY_SECONDS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["explore"]:
        return explore(given[1:])
    options = _parser().parse_args(given)
    first, count = (options.first, options.seeds) if options.seed is None else (options.seed, 1)
    like = Plan(first, options.nodes, options.seconds, options.plant, options.tempo, options.scenario)
    plans = [replace(like, seed=seed) for seed in range(first, first + count)]
    runs: dict[int, Run] = {}
    try:
        for run in _shown(_run_all(plans, options), len(plans)):
            runs[run.plan.seed] = run
    except StateRefused as refused:
        print(f"icn-sim: {options.state}: {refused}. --fresh begins it anew.", file=sys.stderr)
        return EXIT_MISUSE
    except KeyboardInterrupt:
        how = "the same command goes on from here" if options.state else "with --state FILE it could go on from here"
        print(f"interrupted after {len(runs)} of {len(plans)} seeds; {how}", file=sys.stderr)
        return EXIT_INTERRUPTED
    print_summary([run for _, run in sorted(runs.items())])
    return EXIT_FINDING if any(run.finding is not None for run in runs.values()) else 0


def _run_all(plans: list[Plan], options: argparse.Namespace) -> Iterator[Run]:
    with ExitStack() as stack:
        if options.trace is not None:
            sink = stack.enter_context(options.trace.open("w", encoding="utf-8"))
            yield from (World(plan, sink=sink).run() for plan in plans)
            return
        if options.state is None:
            yield from results(plans, options.processes)
            return
        state = stack.enter_context(opened(options.state, plans[0], fresh=options.fresh))
        done = [state.done[plan.seed] for plan in plans if plan.seed in state.done]
        if done:
            print(f"{len(done)} of {len(plans)} seeds are in {options.state}", file=sys.stderr)
        yield from done
        for run in results([plan for plan in plans if plan.seed not in state.done], options.processes):
            state.add(run)
            yield run


def _shown(runs: Iterator[Run], count: int) -> Iterator[Run]:
    """The runs, with findings and progress told as they come."""
    began = told = time.monotonic()
    here: list[Run] = []
    found = 0
    for run in runs:
        here.append(run)
        if run.finding is not None:
            found += 1
            if found <= FINDINGS_SHOWN_MAX:
                print_finding(run)
                sys.stdout.flush()  # it may be long until the next
        now = time.monotonic()
        if now - told >= PROGRESS_EVERY_SECONDS:
            told = now
            minutes = (now - began) * (count - len(here)) / len(here) / 60
            told_so_far = f"{len(here)} of {count} seeds, {found} findings, {speed(here)}, about {minutes:.0f} min left"
            print(told_so_far, file=sys.stderr, flush=True)
        yield run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icn-sim",
        description="Simulated federations: the shipped core under virtual time, faults and checkers. "
        "`icn-sim explore --help`: all states of a few nodes instead.",
    )
    parser.add_argument("--seeds", type=_positive, default=SEEDS_DEFAULT, help="how many runs (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="this one run only")
    parser.add_argument("--nodes", type=_positive, default=5, help="nodes in a federation (default %(default)s)")
    parser.add_argument(
        "--seconds", type=_positive, default=20, help="virtual seconds of faults in each run (default %(default)s)"
    )
    parser.add_argument(
        "--processes", type=_positive, default=1, help="that run seeds side by side (default %(default)s)"
    )
    parser.add_argument("--state", type=Path, default=None, help="keep results in this file, and go on where it ends")
    parser.add_argument("--fresh", action="store_true", help="begin the state file anew")
    parser.add_argument("--trace", type=Path, default=None, help="write every line of the trace to this file")
    parser.add_argument(
        "--tempo",
        type=Tempo,
        metavar=_names(Tempo),
        default=None,
        help="when callers ask (default: drawn from the seed)",
    )
    parser.add_argument(
        "--scenario", type=Scenario, metavar=_names(Scenario), default=None, help="one kind of trouble only"
    )
    parser.add_argument(
        "--plant", type=Plant, metavar=_names(Plant), default=None, help="plant a defect that must be found"
    )
    return parser


def _names(choices: type[Tempo] | type[Scenario] | type[Plant]) -> str:
    return "{" + ",".join(choice.value for choice in choices) + "}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
