"""Files and streams on this side: read within bounds, written as asked, errors said with the path."""

from pathlib import Path

from icn.cli.endings import Ended, Exit
from icn.cli.world import World
from icn.kernel.limits import CONTENT_BYTES_MAX

STREAM = "-"
"""Stands for standard input."""


def read_content(name: str, world: World) -> bytes:
    """All of a file, or of standard input. Raises `Ended` when it is not there or larger than content may be."""
    if name == STREAM:
        content = world.stdin.read(CONTENT_BYTES_MAX + 1)
    else:
        try:
            with Path(name).open("rb") as file:
                content = file.read(CONTENT_BYTES_MAX + 1)
        except FileNotFoundError as error:
            raise Ended(Exit.NOT_FOUND_OR_UNVERIFIED, f"there is no file {name}", code="cli.no_file") from error
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Ended(Exit.FAULT, f"{name} cannot be read: {reason}", code="cli.local_fault") from error
    if len(content) > CONTENT_BYTES_MAX:
        raise Ended(
            Exit.REFUSED,
            f"{'standard input' if name == STREAM else name} is larger than {CONTENT_BYTES_MAX} bytes",
            code="cli.too_large",
            next_step="Send it in several pieces.",
        )
    return content


def write_file(name: str, content: bytes) -> None:
    """Write to the path, replacing what a file there held, as shell redirection does."""
    try:
        Path(name).write_bytes(content)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Ended(Exit.FAULT, f"{name} cannot be written: {reason}", code="cli.local_fault") from error


def write_raw(content: bytes, world: World) -> None:
    """The bytes to standard output, as they are; to a terminal only where they are text.

    Other members' bytes could hold sequences that a terminal obeys.
    """
    if world.draws and not _is_text(content):
        raise Ended(
            Exit.USAGE, "these bytes are no text for a terminal", next_step="Give -o FILE, or send them into a pipe."
        )
    world.stdout.write(content)


def is_harmless(text: str) -> bool:
    """Whether a terminal would show it, and obey nothing in it."""
    return all(sign.isprintable() or sign in "\n\t" for sign in text)


def _is_text(content: bytes) -> bool:
    try:
        return is_harmless(content.decode())
    except UnicodeDecodeError:
        return False
