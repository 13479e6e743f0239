"""What a command touches outside itself: streams, environment, waiting, chance. One value; tests hand in theirs."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Self

from icn.adapters.entropy import SystemEntropy
from icn.config.sources import process_environment


@dataclass(frozen=True, slots=True)
class World:
    """The process as a command sees it."""

    environ: Mapping[str, str]
    stdin: BinaryIO
    stdout: BinaryIO
    stderr: BinaryIO
    pause: Callable[[float], None]
    """Wait so many seconds."""
    random: Callable[[int], bytes]
    draws: bool
    """Whether standard output is a terminal that tables can be drawn on."""
    columns: int
    """Its width."""

    @classmethod
    def of_process(cls) -> Self:
        """The real one."""
        environ = process_environment()
        return cls(
            environ=environ,
            stdin=sys.stdin.buffer,
            stdout=sys.stdout.buffer,
            stderr=sys.stderr.buffer,
            pause=time.sleep,
            random=SystemEntropy().bytes,
            draws=sys.stdout.isatty() and environ.get("TERM") != "dumb",
            columns=shutil.get_terminal_size().columns,
        )

    def print(self, text: str) -> None:
        """A line, or several, to standard output."""
        self.stdout.write(text.encode(errors="backslashreplace") + b"\n")

    def say(self, text: str) -> None:
        """One line to standard error, at once: progress, warnings, errors. Control characters are shown as escapes."""
        self.stderr.write(f"icn-cli: {visible(text)}\n".encode(errors="backslashreplace"))
        self.stderr.flush()


def visible(text: str) -> str:
    """`text` with what a terminal would obey, such as escape sequences in another member's note, shown as escapes."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def abandon_standard_output() -> None:
    """Let the interpreter's flush at exit succeed when nobody reads any more.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
