"""What is known of an archive that is being written: a file beside it, a line per part, so that it can be gone on with.

A line is written when the disk has its part. The first line says of what the archive is made; another store, kind or
beginning cannot go on with it.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from icn.adapters.files import PRIVATE_FILE, sync_folder
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of
from icn.stores.archive import Manifest, Part, Position, Reached, split_name

LINES_BYTES_MAX = 256 * 1024 * 1024
RESUMABLE = ("blocks", "content")
"""Parts that stay valid: their numbers only grow. Others are of the newest snapshot, and written again."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Of what an archive is made."""

    store: str
    kind: str
    arrival: int
    change: int
    parent: str | None

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """From a draft."""
        since = manifest.since
        return cls(manifest.store, manifest.kind.value, since.arrival, since.change, manifest.parent)


@dataclass(frozen=True, slots=True)
class Written:
    """A part that is on disk."""

    name: str
    size: int
    sha256: str
    end: int
    """Of the file, behind it."""
    lines: int
    """Of a part of lines."""
    next_arrival: int
    next_change: int
    """What comes next in the store, once this part is there."""

    @property
    def part(self) -> Part:
        """As the manifest names it."""
        return Part(self.name, self.size, self.sha256)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An archive that somebody began."""

    subject: Subject
    written: tuple[Written, ...]

    @property
    def reached(self) -> Reached:
        """Where to go on."""
        if not self.written:
            return Reached(Position(self.subject.arrival, self.subject.change))
        last = self.written[-1]
        names = [split_name(written.name) for written in self.written]
        return Reached(
            Position(last.next_arrival, last.next_change),
            sum(1 for folder, _, _ in names if folder == "blocks"),
            sum(1 for folder, _, suffix in names if (folder, suffix) == ("content", "jsonl")),
        )


class PartsFile:
    """The file of lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Unfinished | None:
        """What it says; None where there is none, or none that can be gone on with."""
        try:
            with self.path.open("rb") as file:
                text = file.read(LINES_BYTES_MAX)
        except FileNotFoundError:
            return None
        lines = text.split(b"\n")[:-1]  # one that was cut is no line
        try:
            subject = shape_of(Subject).from_map(json.loads(lines[0]))
            written = [shape_of(Written).from_map(json.loads(line)) for line in lines[1:]]
            kept = _resumable(written)
        except (Invalid, ValueError, IndexError):
            return None
        return Unfinished(subject, kept)

    def write(self, unfinished: Unfinished) -> None:
        """Begin it anew with these lines."""
        lines = [asdict(unfinished.subject), *(asdict(written) for written in unfinished.written)]
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
        self._append(descriptor, lines)
        sync_folder(self.path.parent)

    def add(self, written: Sequence[Written]) -> None:
        """These are on disk now."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._append(descriptor, [asdict(one) for one in written])

    def remove(self) -> None:
        """The archive is finished, or given up."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    @staticmethod
    def _append(descriptor: int, lines: Sequence[dict[str, object]]) -> None:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            file.flush()
            os.fsync(descriptor)


def _resumable(written: list[Written]) -> tuple[Written, ...]:
    """The parts from the first on that stay valid: a part of lines only with the bytes that belong to it."""
    kept: list[Written] = []
    for one in written:
        if split_name(one.name)[0] not in RESUMABLE:
            break
        kept.append(one)
    while kept and split_name(kept[-1].name)[::2] == ("content", "jsonl"):
        kept.pop()
    return tuple(kept)
