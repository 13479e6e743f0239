"""How a command ends: the exit statuses, and the one exception that carries one (surface, "CLI").

Every way of not doing what was asked is an `Ended` with what happened, the code programs match on, and what to do next.
Not here: what a refused request means (`problems`); how the line is printed (`main`).
"""

from enum import IntEnum

from icn.kernel.errors import IcnError, Kind


class Exit(IntEnum):
    """The exit statuses, for scripts. They never change meaning."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_AUTHORISED = 4
    NOT_FOUND_OR_UNVERIFIED = 5
    FAULT = 6
    BUG = 70
    CONFIGURATION = 78
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.REFUSED: "refused: the rules say no, or the job did not succeed",
    Exit.USAGE: "the command line is wrong",
    Exit.UNREACHABLE: "the node cannot be reached, or did not answer in time",
    Exit.NOT_AUTHORISED: "not authorised: the key is missing, wrong or not enough; or a wrong passphrase",
    Exit.NOT_FOUND_OR_UNVERIFIED: "not found, or verification failed",
    Exit.FAULT: "a fault: the node's disk or database, this machine's, or an answer that cannot be understood",
    Exit.BUG: "a bug in icn-cli",
    Exit.CONFIGURATION: "a variable, or a file it names, is wrong",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    Exit.OUTPUT_CLOSED: "whoever read the output stopped reading",
}
"""One line each, for the help and docs/cli.md."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while something may have been done. No `Ended`: some go on when a node does not answer as it should."""

    def __init__(self, next_step: str) -> None:
        self.next_step = next_step
        super().__init__(next_step)


_OF_KINDS = {
    Kind.NOT_FOUND: Exit.NOT_FOUND_OR_UNVERIFIED,
    Kind.UNAUTHENTICATED: Exit.NOT_AUTHORISED,
    Kind.FORBIDDEN: Exit.NOT_AUTHORISED,
}


def exit_of_refusal(kind: Kind) -> Exit:
    """The exit status for what this side's own rules refuse, as for the same refusal of a node."""
    return _OF_KINDS.get(kind, Exit.REFUSED)


class Ended(IcnError):
    """The command ends here, and not as asked."""

    def __init__(
        self, exit_status: Exit, what: str, *, code: str = "", next_step: str = "", correlation_id: str = ""
    ) -> None:
        self.exit_status = exit_status
        self.what = what
        self.code = code
        self.next_step = next_step
        self.correlation_id = correlation_id
        super().__init__(what)

    def line(self) -> str:
        """One line for standard error: what happened, its code and correlation id, and what to do next."""
        references = [self.code] if self.code else []
        if self.correlation_id:
            references.append(f"correlation id {self.correlation_id}")
        text = self.what.rstrip(".")
        if references:
            text += f" ({'; '.join(references)})"
        return f"{text}. {self.next_step}".rstrip() if self.next_step else text
