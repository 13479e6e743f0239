"""Is an archive what it claims to be? Every finding is reported as far as reading can go on.

| | |
|---|---|
| `Examination` | every part has the hash its manifest says; every block the name of its bytes; form, order, counts |
| `Replay` | signatures, feeds, links, and every record against the rules, by replay; then heads, root and ledger |

Reads an archive from its beginning to its end, a part at a time. Changes nothing. What a manifest says before the parts
were read (`claimed`) is good for making plans, no more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from icn.domain.context import EventRefused
from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services import rows
from icn.services.backup import digest_of
from icn.services.intake import Intake
from icn.services.state import State
from icn.services.verify import FINDINGS_MAX, Finding
from icn.stores import archive
from icn.stores.archive import (
    IDENTITY,
    MANIFEST,
    ArchiveDamaged,
    ArchiveKind,
    ArchiveNewer,
    ContentLine,
    Manifest,
    Order,
    Part,
    read_car,
    split_name,
)
from icn.stores.blocks import clock_of_entries
from icn.stores.kv import Batch

BLOCKS_PER_SAVE = 1000
"""After so many the replay lets go of the rows of what has ended."""


class Archive(Protocol):
    """An archive somewhere."""

    @property
    def name(self) -> str:
        """For messages."""

    def entries(self) -> Iterator[tuple[Part, bytes]]:
        """Name, size and hash, and the bytes, of every entry in order. Each call begins anew.

        Raises:
            ArchiveDamaged: it cannot be read on.
            Fault: of the machine.
        """

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
    content: tuple[tuple[ContentLine, bytes | None], ...] = ()
    """Lines with their bytes; those without bytes come with the lines, the others with the bytes."""
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
    try:
        for part, data in source.entries():
            run.take(part, data)
            on_bytes(part.size)
        run.end()
    except ArchiveNewer:
        raise
    except ArchiveDamaged as error:
        run.note("archive", error.why)
    except Invalid as error:
        run.note("archive", f"{error.what}: {error.why}")
    return Examined(source, run.manifest, run.sha256, tuple(run.findings), run.total, run.size)


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

    def note(self, where: str, what: str) -> None:
        """Something is wrong."""
        self.total += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(where, what))

    def take(self, part: Part, data: bytes) -> Items:
        """The next entry; gives what it holds, as far as nothing is wrong. Raises `Invalid` where it cannot stand."""
        self.order.take(part.name)
        self.size += part.size
        if part.name == MANIFEST:
            self.sha256 = part.sha256
            self.manifest = archive.read_manifest(data)
            return _NOTHING
        self.parts.append(part)
        if part.name == IDENTITY:
            return Items(identity=data)
        folder, _, suffix = split_name(part.name)
        if (folder, suffix) != ("content", "car"):
            self._nothing_awaited(part.name)
        try:
            if suffix == "car":
                return self._take_car(folder, part.name, data)
            if folder == "content":
                return self._take_lines(data)
            local = tuple(archive.read_local_lines(data))
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
            elif due != part:
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

    def _take_car(self, folder: str, name: str, data: bytes) -> Items:
        found = tuple(read_car(data))
        for cid, block in found:
            if not cid.names(block):
                self.note(name, f"the bytes of block {cid} have another name")
        if folder == "content":
            return self._take_content(found)
        self._found[folder] += len(found)
        return Items(signed=found) if folder == "blocks" else Items(evidence=found)

    def _take_content(self, found: tuple[tuple[Cid, bytes], ...]) -> Items:
        awaited, self._awaited = self._awaited, []
        for line, (cid, block) in zip(awaited, found, strict=False):
            if line.cid != cid or line.size != len(block):
                raise Invalid("content", f"block {cid} is not the one its lines say")
        if len(awaited) != len(found):
            raise Invalid("content", f"there are {len(found)} blocks for {len(awaited)} lines")
        return Items(content=tuple((line, block) for line, (_, block) in zip(awaited, found, strict=True)))

    def _take_lines(self, data: bytes) -> Items:
        bare: list[tuple[ContentLine, bytes | None]] = []
        for line in archive.read_content_lines(data):
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


class ReplayRefused(Exception):
    """The replay of an archive met something that can never be accepted."""

    def __init__(self, where: str, what: str) -> None:
        self.where = where
        self.what = what
        super().__init__(f"{where}: {what}")


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


class Replay:
    """A state that the blocks of a chain of archives lead to."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._count = 0
        self.added = 0
        """Blocks that were not known."""

    def take(self, source: Archive, manifest: Manifest, on_bytes: Callable[[int], None]) -> None:
        """All blocks of the next archive. Raises `ReplayRefused`, `ArchiveDamaged`."""
        state = self._intake.state
        number = manifest.since.arrival
        for part, held in known_parts(source, manifest):
            on_bytes(part.size)
            if part.name.startswith("evidence/"):
                self._check_evidence(part.name, held)
            if not part.name.startswith("blocks/"):
                continue
            for cid, data in read_car(held):
                if not self._intake.knows(cid):
                    self._take_one(f"block {number} ({cid})", data)
                number += 1
        require_reached(state, manifest, may_be_ahead=self._intake.store is not None)

    def _take_one(self, where: str, data: bytes) -> None:
        state = self._intake.state
        try:
            block = parse_block(data)
            clock, _ = self._intake.take(block)
        except (Invalid, PeerViolation, EventRefused, InvariantBroken) as error:
            raise ReplayRefused(where, f"is against the rules: {error}") from error
        state.feeds.advance(block, clock)
        state.last_arrival += 1
        self.added += 1
        self._count += 1
        if self._count % BLOCKS_PER_SAVE == 0:
            rows.save(state, Batch())

    def _check_evidence(self, name: str, part: bytes) -> None:
        for cid, data in read_car(part):
            try:
                proves = self._intake.proves_fork(parse_block(data))
            except Invalid:
                proves = False
            if not proves:
                raise ReplayRefused(name, f"block {cid} proves no fork of any feed")


def require_reached(state: State, manifest: Manifest, *, may_be_ahead: bool) -> None:
    """Raise `ReplayRefused` unless the blocks taken lead to what the manifest says they do.

    `may_be_ahead`: there were others before them.
    """
    clock, due = state.feeds.clock(), clock_of_entries(manifest.clock_to)
    if clock == due:
        _compare(state, manifest)
    elif not (may_be_ahead and all(clock.get(author, 0) >= count for author, count in due.items())):
        raise ReplayRefused(MANIFEST, "the blocks do not reach the feeds it names")


def _compare(state: State, manifest: Manifest) -> None:
    heads = {head.author: (head.sequence, head.cid) for head in manifest.heads}
    if heads != {author: (head.sequence, str(head.cid)) for author, head in state.feeds.heads.items()}:
        raise ReplayRefused(MANIFEST, "its heads are not those that the blocks lead to")
    if state.feeds.root() != manifest.root:
        raise ReplayRefused(MANIFEST, f"its root is {manifest.root}, the blocks lead to {state.feeds.root()}")
    federation = state.federation.federation
    named = None if manifest.federation is None else (manifest.federation.id, manifest.federation.name)
    if named != (None if federation is None else (str(federation.id), federation.name)):
        raise ReplayRefused(MANIFEST, "its federation is not that of the blocks")
    if not state.ledger.supply.is_balanced:
        raise ReplayRefused("ledger", "mana was created or lost outside a named record")
    accounts = Batch()
    for (owner, home), account in state.ledger.accounts.items():
        rows.ACCOUNTS.put(accounts, rows.account_key(owner, home), account)
    pairs = ((key, value) for key, value in sorted(accounts.operations.items()) if value is not None)
    if digest_of(state.ledger.supply, pairs) != manifest.ledger:
        raise ReplayRefused(MANIFEST, "its ledger is not the one that the blocks lead to")


def replay_alone(examined: Examined, on_bytes: Callable[[int], None]) -> Finding | None:
    """What is wrong with the blocks of an archive, seen by itself; None when nothing is.

    An incremental one cannot be replayed without those before it: signatures and the order of feeds are checked.
    """
    manifest = examined.whole()
    try:
        if manifest.kind is ArchiveKind.FULL:
            Replay(Intake(State(), federation_of(manifest))).take(examined.archive, manifest, on_bytes)
        else:
            _check_feeds(examined.archive, manifest, on_bytes)
    except ReplayRefused as refused:
        return Finding(refused.where, refused.what)
    return None


def federation_of(manifest: Manifest) -> Cid | None:
    """Whose blocks the archive holds."""
    return None if manifest.federation is None else Cid.parse(manifest.federation.id)


def _check_feeds(source: Archive, manifest: Manifest, on_bytes: Callable[[int], None]) -> None:
    counts: dict[Did, int] = clock_of_entries(manifest.clock_since)
    newest: dict[Did, Cid] = {}
    for number, (cid, data) in enumerate(_blocks_of(source, manifest, on_bytes), start=manifest.since.arrival):
        where = f"block {number} ({cid})"
        try:
            block = parse_block(data)
        except Invalid as error:
            raise ReplayRefused(where, str(error)) from error
        header = block.header
        if not block.is_genuine():
            raise ReplayRefused(where, f"is not signed by its author {header.author}")
        follows = newest.get(header.author)
        if header.sequence != counts.get(header.author, 0) or follows not in {None, header.previous}:
            raise ReplayRefused(where, f"is not the next block of {header.author}")
        counts[header.author], newest[header.author] = header.sequence + 1, cid
    if counts != clock_of_entries(manifest.clock_to):
        raise ReplayRefused(MANIFEST, "the blocks do not reach the feeds it names")


def _blocks_of(source: Archive, manifest: Manifest, on_bytes: Callable[[int], None]) -> Iterator[tuple[Cid, bytes]]:
    for part, data in known_parts(source, manifest):
        on_bytes(part.size)
        if part.name.startswith("blocks/"):
            yield from read_car(data)
