"""Is an archive what it claims to be? Every finding is reported as far as reading can go on.

Every part has the hash its manifest says, every block the name of its bytes; form, order and counts. What its signed
blocks prove is `archive_proof`'s. Reads an archive from its beginning to its end, a part at a time. Changes nothing.
What a manifest says before the parts were read (`claimed`) is good for making plans, no more.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from icn.kernel.errors import Invalid, require
from icn.kernel.ids import Cid
from icn.services.findings import FINDINGS_MAX, Finding
from icn.stores import archive, archive_parts
from icn.stores.archive import (
    IDENTITY,
    MANIFEST,
    ArchiveDamaged,
    ArchiveKind,
    ArchiveNewer,
    Manifest,
    Order,
    Part,
    split_name,
)
from icn.stores.archive_parts import ContentLine, view_car
from icn.stores.tar import Room

BLOCKS_PER_SAVE = 1000
"""After so many the replay lets go of the rows of what has ended."""


Hashed = Callable[[str], bool]
"""See `Archive.entries`."""


def hashing_all(_name: str) -> bool:
    """The hash of every entry is told."""
    return True


def hashing_but_content(name: str) -> bool:
    """Of all but the bytes of content: their lines, which are hashed, leave no other file than the one they tell of.

    Each says name and size of a block, the name is that of its bytes, and a CAR of given blocks has one form only.
    """
    return name in {MANIFEST, IDENTITY} or split_name(name)[::2] != ("content", "car")


class Archive(Protocol):
    """An archive somewhere."""

    @property
    def name(self) -> str:
        """For messages."""

    def entries(self, hashed: Hashed = hashing_all) -> Iterator[tuple[Part, bytes]]:
        """Name, size and hash, and the bytes, of every entry in order. Each call begins anew.

        `hashed`: says of a name whether its entry is hashed; the hash of others is empty.

        Raises:
            ArchiveDamaged: it cannot be read on.
            Fault: of the machine.
        """

    def entries_in(self, room: Room, hashed: Hashed) -> Iterator[tuple[Part, bytes | memoryview]]:
        """The same, put where `room` says; each when it is asked for: for who has no use for threads."""

    def manifest(self) -> bytes | None:
        """What seems to be the manifest, found without reading what stands before it; None where that cannot be done.

        Raises faults of the machine.
        """


@dataclass(frozen=True, slots=True)
class Examined:
    """What a first reading found, or what the archive claims of itself."""

    archive: Archive
    manifest: Manifest | None
    sha256: str
    """Of the manifest; empty without one."""
    findings: tuple[Finding, ...]
    findings_total: int
    size: int
    """Bytes of all entries."""

    def whole(self) -> Manifest:
        """The manifest of an archive without findings. Raises `ArchiveDamaged`."""
        if self.findings_total or self.manifest is None:
            first = self.findings[0] if self.findings else Finding(MANIFEST, "is missing")
            more = f", and {self.findings_total - 1} more" if self.findings_total > 1 else ""
            raise ArchiveDamaged(self.archive.name, f"{first.where}: {first.what}{more}")
        return self.manifest


@dataclass(frozen=True, slots=True)
class Items:
    """What an entry holds, read. What its name says is in one of these; the others are empty."""

    signed: tuple[tuple[Cid, bytes], ...] = ()
    evidence: tuple[tuple[Cid, bytes], ...] = ()
    content: tuple[tuple[ContentLine, bytes | memoryview | None], ...] = ()
    """Lines with their bytes; those without bytes come with the lines, the others with the bytes, where these stand in
    the entry, which is held by a look at any of them."""
    local: tuple[tuple[bytes, bytes], ...] = ()
    """Whole keys and values."""
    identity: bytes | None = None


def claimed(source: Archive) -> Examined | None:
    """What the archive says of itself, where that can be found without reading it: nothing of it is checked.

    Raises `ArchiveNewer`, and faults of the machine.
    """
    data = source.manifest()
    if data is None:
        return None
    try:
        manifest = archive.read_manifest(data)
    except Invalid:
        return None  # `examine` says more
    size = sum(part.size for part in manifest.parts) + len(data)
    return Examined(source, manifest, archive.manifest_hash(data), (), 0, size)


def examine(source: Archive, on_bytes: Callable[[int], None]) -> Examined:
    """Read all of it once. Raises `ArchiveNewer`, and faults of the machine; everything else is a finding."""
    run = Examination()
    with run.noting():
        for part, _ in run.follow(source.entries()):
            on_bytes(part.size)
    return run.examined(source)


@dataclass(slots=True)
class Examination:
    """Follows the entries of one archive as they are read."""

    order: Order = field(default_factory=Order)
    findings: list[Finding] = field(default_factory=list)
    total: int = 0
    parts: list[Part] = field(default_factory=list)
    manifest: Manifest | None = None
    sha256: str = ""
    size: int = 0
    _found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("blocks", "evidence", "content", "local"), 0))
    _bare: int = 0
    """Content lines without bytes."""
    _awaited: list[ContentLine] = field(default_factory=list)
    """Lines whose bytes must come next."""

    def follow(self, entries: Iterator[tuple[Part, bytes | memoryview]]) -> Iterator[tuple[Part, Items]]:
        """Every entry and what it holds, as far as nothing is wrong; compared with the manifest at the end."""
        for part, data in entries:
            yield part, self.take(part, data)
        self.end()

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """What keeps an archive from being read on is a finding; a newer format, and faults of the machine, are not."""
        try:
            yield
        except ArchiveNewer:
            raise
        except ArchiveDamaged as error:
            self.note("archive", error.why)
        except Invalid as error:
            self.note("archive", f"{error.what}: {error.why}")

    def examined(self, source: Archive) -> Examined:
        """What was found."""
        return Examined(source, self.manifest, self.sha256, tuple(self.findings), self.total, self.size)

    def note(self, where: str, what: str) -> None:
        """Something is wrong."""
        self.total += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(where, what))

    def take(self, part: Part, data: bytes | memoryview) -> Items:
        """The next entry; gives what it holds, as far as nothing is wrong. Raises `Invalid` where it cannot stand."""
        self.order.take(part.name)
        require(bool(part.sha256) or not hashing_but_content(part.name), "what nothing else proves is hashed")
        self.size += part.size
        if part.name == MANIFEST:
            self.sha256 = part.sha256
            self.manifest = archive.read_manifest(bytes(data))
            return _NOTHING
        self.parts.append(part)
        if part.name == IDENTITY:
            return Items(identity=bytes(data))
        folder, _, suffix = split_name(part.name)
        if (folder, suffix) != ("content", "car"):
            self._nothing_awaited(part.name)
        try:
            if suffix == "car":
                return self._take_car(folder, part.name, data)
            if folder == "content":
                return self._take_lines(bytes(data))
            local = tuple(archive_parts.read_local_lines(bytes(data)))
        except Invalid as error:
            self._awaited = []
            self.note(part.name, f"{error.what}: {error.why}")
            return _NOTHING
        self._found["local"] += len(local)
        return Items(local=local)

    def end(self) -> None:
        """Compare with the manifest."""
        self._nothing_awaited(MANIFEST)
        manifest = self.manifest
        if manifest is None:
            self.note(MANIFEST, "is missing: the archive is not whole")
            return
        stated = {part.name: part for part in manifest.parts}
        for part in self.parts:
            due = stated.pop(part.name, None)
            if due is None:
                self.note(part.name, "is not in the manifest")
            elif due != (part if part.sha256 else replace(part, sha256=due.sha256)):
                self.note(part.name, f"has {part.size} bytes and SHA-256 {part.sha256}, not those of the manifest")
        for name in stated:
            self.note(name, "is in the manifest, and missing")
        if not self.total and tuple(part.name for part in self.parts) != tuple(part.name for part in manifest.parts):
            self.note(MANIFEST, "names the parts in another order")
        counts = manifest.counts
        due_counts = {
            "blocks": counts.blocks,
            "evidence": counts.evidence,
            "content": counts.content,
            "local": counts.local,
        }
        for what, count in due_counts.items():
            if not self.total and self._found[what] != count:
                self.note(MANIFEST, f"says {count} of {what}, and there are {self._found[what]}")
        if manifest.kind is ArchiveKind.FULL and self._bare:
            self.note("content", f"{self._bare} lines of a full backup are without bytes")

    def _take_car(self, folder: str, name: str, data: bytes | memoryview) -> Items:
        found = tuple(view_car(data))
        for cid, block in found:
            if not cid.names(block):
                self.note(name, f"the bytes of block {cid} have another name")
        if folder == "content":
            return self._take_content(found)
        self._found[folder] += len(found)
        blocks = tuple((cid, bytes(block)) for cid, block in found)
        return Items(signed=blocks) if folder == "blocks" else Items(evidence=blocks)

    def _take_content(self, found: tuple[tuple[Cid, memoryview], ...]) -> Items:
        awaited, self._awaited = self._awaited, []
        for line, (cid, block) in zip(awaited, found, strict=False):
            if line.cid != cid or line.size != len(block):
                raise Invalid("content", f"block {cid} is not the one its lines say")
        if len(awaited) != len(found):
            raise Invalid("content", f"there are {len(found)} blocks for {len(awaited)} lines")
        return Items(content=tuple((line, block) for line, (_, block) in zip(awaited, found, strict=True)))

    def _take_lines(self, data: bytes) -> Items:
        bare: list[tuple[ContentLine, bytes | None]] = []
        for line in archive_parts.read_content_lines(data):
            self._found["content"] += 1
            if line.has_bytes:
                self._awaited.append(line)
            else:
                bare.append((line, None))
        self._bare += len(bare)
        return Items(content=tuple(bare))

    def _nothing_awaited(self, name: str) -> None:
        if self._awaited:
            self.note(name, f"stands where the bytes of {self._awaited[0].cid} are due")
            self._awaited = []


_NOTHING = Items()


def known_parts(source: Archive, manifest: Manifest) -> Iterator[tuple[Part, bytes]]:
    """All parts of an archive that was examined. Raises `ArchiveDamaged` when it changed since."""
    stated = iter(manifest.parts)
    for part, data in source.entries():
        if part.name != MANIFEST:
            if part != next(stated, None):
                raise ArchiveDamaged(source.name, f"{part.name} has changed since it was read first")
            yield part, data
    if next(stated, None) is not None:
        raise ArchiveDamaged(source.name, "it has changed since it was read first")


def federation_of(manifest: Manifest) -> Cid | None:
    """Whose blocks the archive holds."""
    return None if manifest.federation is None else Cid.parse(manifest.federation.id)
