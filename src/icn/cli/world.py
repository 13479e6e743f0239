"""What a command touches outside itself: streams, environment, waiting, chance. One value; tests hand in theirs."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import BinaryIO, Literal, Self

from icn.adapters.entropy import SystemEntropy

COLUMNS = 80
"""Where the terminal does not say."""


class World:
    """The process as a command sees it.

    A plain class, as help is printed through it: `dataclasses` would be a fifth of the time that help takes.
    """

    __slots__ = ("environ", "pause", "random", "stderr", "stdin", "stdout", "terminal_columns")

    def __init__(
        self,
        *,
        environ: Callable[[], Mapping[str, str]],
        stdin: BinaryIO,
        stdout: BinaryIO,
        stderr: BinaryIO,
        pause: Callable[[float], None],
        random: Callable[[int], bytes],
        terminal_columns: int | None,
    ) -> None:
        self.environ = environ
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.pause = pause
        """Wait so many seconds."""
        self.random = random
        self.terminal_columns = terminal_columns
        """Width of the terminal that standard output is; None where it is none."""

    @classmethod
    def of_process(cls) -> Self:
        """The real one."""
        return cls(
            environ=_environ,
            stdin=_absent(os.O_WRONLY, "rb") if sys.stdin is None else sys.stdin.buffer,
            stdout=_absent(os.O_RDONLY, "wb") if sys.stdout is None else sys.stdout.buffer,
            stderr=_absent(os.O_WRONLY, "wb") if sys.stderr is None else sys.stderr.buffer,
            pause=time.sleep,
            random=SystemEntropy().bytes,
            terminal_columns=_terminal_columns(),
        )

    @property
    def draws(self) -> bool:
        """Whether standard output is a terminal that tables can be drawn on."""
        return self.terminal_columns is not None and self.environ().get("TERM") != "dumb"

    def print(self, text: str) -> None:
        """A line, or several, to standard output."""
        self.stdout.write(text.encode(errors="backslashreplace") + b"\n")

    def print_json(self, text: str) -> None:
        """A JSON document on a line. What a terminal would obey, in another member's note, stands in it as escapes."""
        self.print(text if text.isprintable() else "".join(map(_json_sign, text)))

    def say(self, text: str) -> None:
        """One line to standard error, at once: progress, warnings, errors. Control characters are shown as escapes."""
        self.stderr.write(f"icn-cli: {visible(text)}\n".encode(errors="backslashreplace"))
        self.stderr.flush()


def _environ() -> Mapping[str, str]:
    from icn.config.sources import process_environment

    return process_environment()


def _absent(flags: int, mode: Literal["rb", "wb"]) -> BinaryIO:
    """In place of a stream that whoever started the program has closed.

    With `flags` for the other direction using it is an error of the machine. It takes the number that is free, so that
    no file or connection of ours gets it, and is written to by whoever believes it to be the stream.
    """
    return os.fdopen(os.open(os.devnull, flags), mode, buffering=0)


def _terminal_columns() -> int | None:
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    # Not `shutil`, which loads every compression there is.
    return os.get_terminal_size(sys.stdout.fileno()).columns or COLUMNS


def visible(text: str) -> str:
    """`text` with what a terminal would obey, such as escape sequences in another member's note, shown as escapes."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _json_sign(sign: str) -> str:
    if sign.isprintable() or sign in "\n\r\t":
        return sign
    import json

    return json.dumps(sign)[1:-1]


def abandon_standard_output() -> None:
    """Let the interpreter's flush at exit succeed when nobody reads any more.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
