"""`icn-sim explore CASE`: all states of a small federation. Exit 0: nothing found; 5: something was; 2: misuse."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from icn.sim.explore.case import CASES, Bounds, Case
from icn.sim.explore.dialogue import NoSuchMove, read, told
from icn.sim.explore.form import Form
from icn.sim.explore.looking import look_at
from icn.sim.explore.moves import Federation
from icn.sim.explore.report import print_exploration, print_finding
from icn.sim.explore.search import Order, Search

EXIT_FINDING = 5
EXIT_MISUSE = 2


def main(arguments: Sequence[str]) -> int:
    """Entry point of the subcommand."""
    options = _parser().parse_args(arguments)
    case = CASES[options.case]
    case = replace(case, bounds=_bounds(case.bounds, options))
    if options.replay is not None:
        return _replay(case, options.replay)
    found = Search(case, order=Order(options.order), form=Form(options.form)).run()
    print_exploration(found)
    if found.finding is None:
        return 0
    print_finding(found, Federation(case, look_at))
    return EXIT_FINDING


def _replay(case: Case, words: str) -> int:
    try:
        for line in told(Federation(case, look_at), [read(word) for word in words.split()]):
            print(line)
    except NoSuchMove as error:
        print(f"icn-sim: {error}", file=sys.stderr)
        return EXIT_MISUSE
    return 0


def _bounds(bounds: Bounds, options: argparse.Namespace) -> Bounds:
    given = {
        name: value
        for name in ("crashes", "cuts", "workers_lost", "answers_lost", "early", "states_max", "seconds_max")
        if (value := getattr(options, name)) is not None
    }
    if options.gathers:
        given["gathers"] = True
    if options.overtaking is not None:
        given["overtaking"] = None if options.overtaking == "any" else int(options.overtaking)
    return replace(bounds, **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icn-sim explore",
        description="Every order of events of a small federation, up to named bounds: "
        + "; ".join(f"{case.name}: {case.says}" for case in CASES.values()),
    )
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("--order", choices=[each.value for each in Order], default=Order.BREADTH.value)
    parser.add_argument("--form", choices=[each.value for each in Form], default=Form.ALIKE.value)
    parser.add_argument("--crashes", type=int, help="processes that die on one path")
    parser.add_argument("--cuts", type=int, help="connections that are lost")
    parser.add_argument("--workers-lost", type=int, help="guests whose worker dies")
    parser.add_argument("--answers-lost", type=int, help="answers that their caller does not hear")
    parser.add_argument("--early", type=int, help="timers that fire before what would come first")
    parser.add_argument("--overtaking", help="messages that come before older ones of another protocol; or: any")
    parser.add_argument("--gathers", action="store_true", help="what waits for a node may also come as one batch")
    parser.add_argument("--states-max", type=int, help="states after which the exploration is cut")
    parser.add_argument("--seconds-max", type=int, help="seconds after which it is cut")
    parser.add_argument("--replay", help="walk this path and say what happens")
    return parser
