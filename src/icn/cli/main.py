"""`icn-cli`: runs one command, and makes one line and an exit status of how it ends (architecture, "Error taxonomy").

Everything imported here is paid for by `icn-cli --help`; what commands need is imported by them.
"""

import contextlib
import sys
from collections.abc import Sequence

from icn.adapters.collecting import collect_no_more, collect_seldom
from icn.cli.endings import Ended, Exit, Interrupted, exit_of_refusal
from icn.cli.parsing import Shown, parse
from icn.cli.session import Session
from icn.cli.world import World, abandon_standard_output
from icn.kernel.errors import ConfigError, Fault, InvariantBroken, Refusal

BUGS = (
    InvariantBroken,
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What only a mistake of ours raises this far out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is returned."""
    collect_seldom()  # before what a command needs is imported
    world = World.of_process()
    status = run(sys.argv[1:] if argv is None else argv, world)
    try:
        if sys.stdout is not None:  # closed by whoever started this
            sys.stdout.flush()
    except OSError:  # the interpreter would try again at exit, and complain
        abandon_standard_output()
    collect_no_more()
    return int(status)


def run(argv: Sequence[str], world: World) -> Exit:
    """The same in a world of the caller's."""
    try:
        status = _perform(argv, world)
        world.stdout.flush()
    except Ended as ended:
        with contextlib.suppress(OSError):  # on a terminal both streams read in order; `ended` matters more
            world.stdout.flush()
        world.say(ended.line())
        return ended.exit_status
    except Interrupted as interrupted:
        world.say(Ended(Exit.INTERRUPTED, "interrupted", next_step=interrupted.next_step).line())
        return Exit.INTERRUPTED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.OUTPUT_CLOSED
    except ConfigError as error:
        world.say(str(error))
        return Exit.CONFIGURATION
    except Refusal as refusal:
        status = exit_of_refusal(refusal.kind)
        world.say(Ended(status, str(refusal), code=refusal.code).line())
        return status
    except Fault as fault:
        world.say(Ended(Exit.FAULT, str(fault), code=fault.code).line())
        return Exit.FAULT
    except OSError as error:
        world.say(Ended(Exit.FAULT, f"this machine: {error}", code="cli.local_fault").line())
        return Exit.FAULT
    except BUGS as error:
        return _report_bug(error, world)
    return status


def _perform(argv: Sequence[str], world: World) -> Exit:
    try:
        _, action, given = parse(argv, world.print)
    except Shown:
        return Exit.DONE
    for name, what, better in (("api_key", "key", "--api-key-file"), ("token", "token", "--token-file")):
        if getattr(given, name, None) is not None:
            world.say(f"warning: a {what} on the command line is seen by everybody on this machine; use {better}")
    return action.run(Session(world, given, patience=action.patience), given)


def _report_bug(error: Exception, world: World) -> Exit:
    import traceback

    for line in traceback.format_exception(error):
        world.stderr.write(line.encode(errors="backslashreplace"))
    world.say(Ended(Exit.BUG, "this is a bug in icn-cli", code="cli.bug", next_step="Please report the above.").line())
    return Exit.BUG


if __name__ == "__main__":
    sys.exit(main())
