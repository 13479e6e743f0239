"""Bytes of any size from the node into a file here, checked on the way, so that nobody ever has what is not verified.

They come piece by piece into a temporary file beside the target and are hashed as they come; the file gets its name
when the hash is right. Nothing is held in memory, and what was under the name before is there until then.
"""

import base64
import codecs
import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from icn.cli.byte_progress import byte_progress
from icn.cli.endings import Ended, Exit
from icn.cli.local_files import is_harmless
from icn.cli.session import Session
from icn.kernel.ids import Cid

PIECE_BYTES = 48 * 1024
"""A multiple of three: pieces of base64 make the base64 of the whole."""
SUFFIX_BYTES = 4


def receive_to(session: Session, path: str, named: Cid, name: str) -> int:
    """Write what the node has at `path` to the file `name`, replacing it; its size.

    Raises:
        Ended: it is not what `named` stands for, or cannot be had or written; nothing was changed.
    """
    target = Path(os.path.realpath(name))
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe: there is no name to be given at the end.
            with _verified(session, path, named) as (file, size), target.open("wb") as device:
                for piece in _pieces(file):
                    device.write(piece)
            return size
        return _receive_beside(session, path, named, target)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Ended(Exit.FAULT, f"{name} cannot be written: {reason}", code="cli.local_fault") from error


def receive_to_output(session: Session, path: str, named: Cid) -> int:
    """Write it to standard output, once it is verified; to a terminal only where it is text."""
    world = session.world
    with _verified(session, path, named) as (file, size):
        if world.draws and not _is_text(file):
            raise Ended(
                Exit.USAGE,
                "these bytes are no text for a terminal",
                next_step="Name a file for them, or send them into a pipe.",
            )
        for piece in _pieces(file):
            world.stdout.write(piece)
    return size


def receive_as_json(session: Session, path: str, named: Cid, facts: dict[str, str]) -> None:
    """Print one JSON object: `facts`, the size, and the bytes as base64, never all of them at once."""
    import json

    with _verified(session, path, named) as (file, size):
        head = json.dumps({**facts, "size": size, "data": ""}, ensure_ascii=False)
        session.world.stdout.write(head.removesuffix('"}').encode())
        for piece in _pieces(file):
            session.world.stdout.write(base64.b64encode(piece))
        session.world.stdout.write(b'"}\n')


def _receive_beside(session: Session, path: str, named: Cid, target: Path) -> int:
    partial = target.with_name(f"{target.name}.{session.world.random(SUFFIX_BYTES).hex()}.partial")
    try:
        with partial.open("xb") as file:
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            size = _fill(session, path, named, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return size


@contextmanager
def _verified(session: Session, path: str, named: Cid) -> Iterator[tuple[BinaryIO, int]]:
    """The bytes in a file without a name, once they are known to be right."""
    with tempfile.TemporaryFile() as file:
        yield file, _fill(session, path, named, file)


def _fill(session: Session, path: str, named: Cid, file: BinaryIO) -> int:
    digest = hashlib.sha256()
    size = 0
    with session.client.stream(path, ()) as read, byte_progress(session.world, "receiving") as progress:
        while piece := read(PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
            size += len(piece)
            progress(len(piece))
    if digest.digest() != named.digest:
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            f"the node's bytes are not the output {named}; nothing was written",
            code="cli.hash_mismatch",
            next_step="Ask another node, and run dag verify on this one.",
        )
    return size


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(PIECE_BYTES):
        yield piece


def _is_text(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        harmless = all(is_harmless(decoder.decode(piece)) for piece in _pieces(file))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return harmless
